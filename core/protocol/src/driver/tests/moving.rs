//! Connections that move to another worker for good.

use super::*;

#[test]
fn a_connection_moves_with_everything_that_is_under_way() {
    let (mut here, mut there) = (World::new(), World::new());
    let conn = here.accept(Rule::Keep);
    here.peer(conn).room = 2;
    here.connection(conn).io.tx.extend(b"answer");
    here.receive(conn, bytes("question"), READABLE);
    here.driver.settle();
    // More came that nobody has read, and the kernel's edge for it was told here.
    here.receive(conn, bytes(" and more"), READABLE);
    here.send(conn);
    assert!(here.driver.app_mut().conns.get(conn).is_none(), "its name means nothing here");
    assert!(here.driver.app_mut().conns.is_empty() && !here.driver.has_work());
    let heard = here.heard();
    assert!(!heard.iter().any(|heard| matches!(heard, Heard::Closed(..))), "{heard:?}");
    here.driver.latch(conn, HANGUP);
    here.pass(Duration::from_secs(100));
    assert_eq!(here.heard(), [], "late news of it means nothing");

    there.driver.app_mut().rule = Some(Rule::Keep);
    let conns = here.deliver(&mut there);
    let [conn] = conns[..] else { panic!("one connection") };
    assert_eq!(there.heard()[0], Heard::Adopted(1));
    assert_eq!(there.connection(conn).io.rx.as_slice(), b"question and more");
    assert_eq!(there.connection(conn).io.tx.as_slice(), b"swer");
    there.peer(conn).room = 100;
    there.driver.latch(conn, WRITABLE);
    there.driver.settle();
    let acts = here.acts();
    assert_eq!(acts, [Act::Wrote(1, b"an".to_vec()), Act::Wrote(1, b"swer".to_vec())]);
}

#[test]
fn what_a_transport_was_told_of_patience_is_known_at_its_new_place() {
    let (mut here, mut there) = (World::new(), World::new());
    let conn = here.accept(Rule::Keep);
    here.connection(conn).io.patience = Patience::Short;
    here.driver.settle();
    here.send(conn);
    let conns = here.deliver(&mut there);
    there.connection(conns[0]).io.patience = Patience::Long;
    there.driver.settle();
    assert_eq!(here.acts(), [Patience::Short, Patience::Long].map(|one| Act::Waits(1, one)));
}

#[test]
fn a_connection_that_has_ended_in_part_ends_at_its_new_place() {
    let (mut here, mut there) = (World::new(), World::new());
    let conn = here.accept(Rule::Keep);
    here.receive(conn, bytes("x"), READABLE);
    here.receive(conn, Incoming::Eof, HANGUP);
    here.driver.settle();
    here.send(conn);
    let conns = here.deliver(&mut there);
    assert!(there.connection(conns[0]).io.rx_eof);
    there.connection(conns[0]).io.rx.clear();
    there.connection(conns[0]).io.close(Closing::AfterFlush);
    there.driver.settle();
    assert_eq!(there.heard().last(), Some(&Heard::Closed(1, "finished")));
    assert_eq!(here.heard().last(), Some(&Heard::Progress(1)));
    assert_eq!(here.acts(), [Act::Finished(1), Act::Dropped(1)], "one end, at one place");
}

#[test]
fn what_is_closing_or_not_yet_made_stays() {
    let mut here = World::new();
    let dialled = here.dial();
    here.send(dialled);
    let closing = here.accept(Rule::Keep);
    here.connection(closing).io.close(Closing::AfterFlush);
    here.send(closing);
    here.send(closing);
    assert!(here.driver.poll_parcel().is_none());
    assert!(here.driver.app().conns.get(dialled).is_some());
    here.receive(closing, Incoming::Eof, HANGUP);
    here.driver.settle();
    assert_eq!(here.heard(), [Heard::Closed(2, "finished")]);
}

#[test]
fn a_connection_that_moves_in_the_middle_of_its_deadline_is_not_served_any_more() {
    let mut here = World::new();
    let conn = here.accept(Rule::Keep);
    let other = here.accept(Rule::Keep);
    let due = here.now + Duration::from_secs(1);
    for conn in [conn, other] {
        here.driver.app_mut().deadlines.insert(conn, due);
        here.connection(conn);
    }
    here.driver.settle();
    here.driver.app_mut().outgoing_then.extend([
        (OTHER, Outgoing::Message(7)),
        (OTHER, Outgoing::Connection(conn)),
        (OTHER, Outgoing::Connection(other)),
    ]);
    here.pass(Duration::from_secs(1));
    assert_eq!(here.heard(), [Heard::Deadline(1)], "both left after the first event");
    let mut there = World::new();
    assert_eq!(here.deliver(&mut there).len(), 2);
    assert_eq!(there.heard(), [Heard::Message(7), Heard::Adopted(1), Heard::Adopted(2)]);
}
