//! Which connections the kernel is to tell of, and when.

use super::*;

/// Longer than anybody stays unwatched.
const LONG: Duration = Duration::from_millis(50);

/// A connection of which nothing is known but that it is there; whoever it is waits for nobody.
fn arrive(world: &mut World, rule: Rule, words: Option<&str>) -> ConnId {
    world.driver.app_mut().rule = Some(rule);
    let mut transport = world.transport();
    transport.incoming.extend(words.map(bytes));
    let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, transport.name));
    let conn = world.driver.accepted(ListenerId(0), peer, transport).expect("the rule accepts");
    world.driver.app_mut().serving.push(conn);
    world.driver.settle();
    conn
}

#[test]
fn what_came_with_a_connection_is_answered_without_having_been_announced() {
    let mut world = World::new();
    arrive(&mut world, Rule::AnswerAndClose, Some("question"));
    let wrote = Act::WroteLast(1, b"answer".to_vec());
    assert_eq!(world.acts(), [wrote, Act::Finished(1)]);
}

#[test]
fn who_is_served_and_gone_is_never_watched() {
    let mut world = World::new();
    let conn = arrive(&mut world, Rule::Keep, Some("question"));
    assert_eq!(world.watch(), []);
    world.connection(conn).io.tx.extend(b"answer");
    world.connection(conn).io.close(Closing::Agreed);
    world.driver.settle();
    let wrote = Act::WroteLast(1, b"answer".to_vec());
    assert_eq!(world.acts(), [wrote, Act::Finished(1), Act::Dropped(1)]);
    assert_eq!(world.watch(), []);
    world.pass(LONG);
    assert_eq!(world.watch(), []);
    let next = arrive(&mut world, Rule::Keep, None);
    assert_eq!(next.index(), conn.index(), "its place is another's");
    assert_eq!(world.watch(), [], "whose time has only begun");
}

#[test]
fn who_sends_on_after_its_last_message_does_not_lose_the_answer() {
    for (closing, is_over) in [(Closing::Agreed, false), (Closing::Discard, true)] {
        let mut world = World::new();
        let conn = arrive(&mut world, Rule::Keep, Some("question"));
        world.peer(conn).incoming.push_back(bytes("\r\n"));
        world.connection(conn).io.tx.extend(b"answer");
        world.connection(conn).io.close(closing);
        world.driver.settle();
        let mut expected = vec![Act::WroteLast(1, b"answer".to_vec()), Act::Finished(1)];
        expected.extend(is_over.then_some(Act::Dropped(1)));
        assert_eq!(world.acts(), expected, "{closing:?}");
        world.pass(2 * LINGER_TIMEOUT);
        assert_eq!(world.heard().last(), Some(&Heard::Closed(1, "finished")), "{closing:?}");
    }
}

#[test]
fn who_waits_for_its_peer_is_watched_at_once() {
    let mut world = World::new();
    let conn = arrive(&mut world, Rule::Keep, Some("the half of a"));
    world.driver.app_mut().serving.clear();
    assert_eq!(world.watch(), [conn]);
    assert_eq!(world.watch(), [], "once");
}

#[test]
fn who_waits_for_room_is_watched_at_once() {
    let mut world = World::new();
    let conn = arrive(&mut world, Rule::Keep, Some("question"));
    world.peer(conn).room = 3;
    world.connection(conn).io.tx.extend(b"answer");
    world.driver.settle();
    assert_eq!(world.watch(), [conn]);
}

#[test]
fn who_has_said_goodbye_and_hears_none_is_watched_at_once() {
    let mut world = World::new();
    let conn = arrive(&mut world, Rule::AnswerAndClose, Some("question"));
    assert_eq!(world.watch(), [conn]);
    world.receive(conn, Incoming::Eof, HANGUP);
    world.driver.settle();
    assert_eq!(world.heard().last(), Some(&Heard::Closed(1, "finished")));
}

#[test]
fn nobody_stays_unwatched_for_long() {
    let mut world = World::new();
    let conn = arrive(&mut world, Rule::Keep, Some("question"));
    let due = world.driver.next_deadline().expect("somebody has to come back for it");
    assert!(due > world.now && due < world.now + LONG);
    world.pass(Duration::from_millis(1));
    assert_eq!(world.watch(), []);
    let rest = due - world.now;
    world.pass(rest);
    assert_eq!(world.watch(), [conn]);
    assert_eq!(world.driver.next_deadline(), None);
}

#[test]
fn not_all_of_a_crowd_stay_unwatched() {
    let mut world = World::new();
    let crowd: Vec<_> = (0..100).map(|_| arrive(&mut world, Rule::Keep, Some("x"))).collect();
    let watched = world.watch();
    assert_eq!(watched, crowd[64..]);
}

#[test]
fn who_goes_to_another_worker_unwatched_is_unwatched_there() {
    let (mut here, mut there) = (World::new(), World::new());
    let conn = arrive(&mut here, Rule::Keep, Some("question"));
    // A loan would leave the registration here, and there is none.
    here.driver.app_mut().outgoing.push_back((OTHER, Outgoing::Loan(conn)));
    here.driver.settle();
    let Some((OTHER, Parcel::Connection(moved))) = here.driver.poll_parcel() else {
        panic!("a connection")
    };
    assert_eq!((moved.terms(), moved.is_watched()), (Terms::Transferred, false));
    assert_eq!(here.watch(), []);
    let conn = there.driver.adopt(WorkerId::FIRST, moved);
    there.driver.app_mut().names.insert(conn, 1);
    there.driver.app_mut().serving.push(conn);
    there.driver.adopted(conn);
    there.driver.settle();
    assert_eq!(there.watch(), []);
    there.pass(LONG);
    assert_eq!(there.watch(), [conn]);
}

#[test]
fn who_goes_to_another_worker_watched_is_watched_anew_when_it_waits() {
    let (mut here, mut there) = (World::new(), World::new());
    let conn = here.accept(Rule::Keep);
    assert_eq!(here.watch(), [conn]);
    here.driver.app_mut().outgoing.push_back((OTHER, Outgoing::Connection(conn)));
    here.driver.settle();
    let Some((OTHER, Parcel::Connection(moved))) = here.driver.poll_parcel() else {
        panic!("a connection")
    };
    assert!(moved.is_watched(), "which the shell ends");
    let conn = there.driver.adopt(WorkerId::FIRST, moved);
    there.driver.app_mut().names.insert(conn, 1);
    there.driver.adopted(conn);
    there.driver.settle();
    assert_eq!(there.watch(), [conn]);
}
