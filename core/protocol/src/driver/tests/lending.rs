//! Connections that one worker lends another: they come back, end there, or are kept.

use super::*;

/// Two workers of one application, and what was heard from the kernel where.
struct Pair {
    here: World,
    there: World,
    /// The connection that is lent, by its name at home.
    conn: ConnId,
}

impl Pair {
    /// The first worker has lent a connection to the other one.
    fn lent() -> (Self, ConnId) {
        let (mut here, mut there) = (World::new(), World::new());
        there.driver.app_mut().rule = Some(Rule::Keep);
        let conn = here.accept(Rule::Keep);
        here.receive(conn, bytes("question"), READABLE);
        here.driver.settle();
        assert_eq!(here.watch(), [conn]);
        let mut pair = Self { here, there, conn };
        let guest = pair.lend();
        (pair, guest)
    }

    fn lend(&mut self) -> ConnId {
        let loan = Outgoing::Loan(self.conn);
        self.here.driver.app_mut().outgoing.push_back((OTHER, loan));
        self.here.driver.settle();
        let [Passed::Connection(conn, Terms::Lent(name))] = self.pass()[..] else {
            panic!("a loan");
        };
        assert_eq!(name, self.conn);
        conn
    }

    fn send(&mut self, conn: ConnId, to: WorkerId, outgoing: impl Fn(ConnId) -> Outgoing<u32>) {
        self.there.driver.app_mut().outgoing.push_back((to, outgoing(conn)));
        self.there.driver.settle();
    }

    /// What the first worker has for the other one.
    fn pass(&mut self) -> Vec<Passed> {
        pass(&mut self.here, &mut self.there, (WorkerId::FIRST, OTHER))
    }

    /// What the other one has for the first.
    fn pass_back(&mut self) -> Vec<Passed> {
        pass(&mut self.there, &mut self.here, (OTHER, WorkerId::FIRST))
    }
}

/// A parcel that was taken in.
#[derive(Debug, PartialEq, Eq)]
enum Passed {
    Connection(ConnId, Terms),
    Kept(Option<ConnId>),
    Released,
}

fn pass(from: &mut World, to: &mut World, (sender, receiver): (WorkerId, WorkerId)) -> Vec<Passed> {
    let mut passed = Vec::new();
    while let Some((worker, parcel)) = from.driver.poll_parcel() {
        assert_eq!(worker, receiver);
        let is_urgent = parcel.is_urgent();
        passed.push(match parcel {
            Parcel::Message(_) => panic!("nothing was said"),
            Parcel::Connection(mut moved) => {
                let (name, terms) = (moved.transport_mut().name, moved.terms());
                assert_eq!(is_urgent, !matches!(terms, Terms::Returned(_)));
                let conn = to.driver.adopt(sender, moved);
                to.driver.app_mut().names.insert(conn, name);
                to.driver.adopted(conn);
                Passed::Connection(conn, terms)
            }
            Parcel::Ready(name) => {
                assert!(is_urgent);
                Passed::Kept(to.driver.keep(sender, name))
            }
            Parcel::Released(name) => {
                to.driver.released(name);
                Passed::Released
            }
        });
    }
    to.driver.settle();
    passed
}

#[test]
fn what_was_lent_comes_back_under_its_name() {
    let (mut pair, guest) = Pair::lent();
    assert!(pair.here.driver.is_lent(pair.conn) && pair.here.driver.app().conns.is_empty());
    let stranger = pair.here.accept(Rule::Keep);
    assert_ne!(stranger.index(), pair.conn.index(), "its place is kept");
    let connection = pair.there.connection(guest);
    assert_eq!(connection.io.rx.as_slice(), b"question");
    connection.io.rx.clear();
    connection.io.tx.extend(b"answer");
    pair.there.driver.settle();
    assert_eq!(pair.here.acts(), [Act::Wrote(1, b"answer".to_vec())], "nobody had to ask");
    pair.send(guest, WorkerId::FIRST, Outgoing::Return);
    let returned = Passed::Connection(pair.conn, Terms::Returned(pair.conn));
    assert_eq!(pair.pass_back(), [returned]);
    assert!(pair.there.driver.app().conns.is_empty() && !pair.here.driver.is_lent(pair.conn));
    pair.here.receive(pair.conn, bytes("more"), READABLE);
    pair.here.driver.settle();
    assert_eq!(pair.here.connection(pair.conn).io.rx.as_slice(), b"more");
}

#[test]
fn what_the_kernel_says_of_it_is_told_once_and_who_has_it_keeps_it() {
    let (mut pair, guest) = Pair::lent();
    pair.here.driver.latch(pair.conn, READABLE);
    pair.here.driver.latch(pair.conn, HANGUP);
    assert_eq!(pair.pass(), [Passed::Kept(Some(guest))]);
    pair.here.driver.latch(pair.conn, HANGUP);
    assert_eq!(pair.pass(), []);
    assert_eq!(pair.pass_back(), [Passed::Released]);
    assert!(!pair.here.driver.is_lent(pair.conn));
    let next = pair.here.accept(Rule::Keep);
    assert_eq!(next.index(), pair.conn.index(), "its place is free");
    assert_ne!(next, pair.conn);
    pair.send(guest, WorkerId::FIRST, Outgoing::Return);
    assert_eq!(pair.pass_back(), [], "it is at home");
    assert_eq!(pair.there.connection(guest).io.rx.as_slice(), b"question");
}

#[test]
fn what_the_kernel_said_on_its_way_back_is_not_lost() {
    let (mut pair, guest) = Pair::lent();
    pair.there.connection(guest).io.rx.clear();
    let peer = pair.there.peer(guest);
    peer.incoming.push_back(bytes("more"));
    pair.send(guest, WorkerId::FIRST, Outgoing::Return);
    pair.here.driver.latch(pair.conn, READABLE);
    assert_eq!(pair.pass(), [Passed::Kept(None)], "who lent it is to look for it");
    pair.pass_back();
    assert_eq!(pair.here.connection(pair.conn).io.rx.as_slice(), b"more");
    // Of a later loan, nothing is known that was said of this one.
    let guest = pair.lend();
    assert_eq!(pair.pass(), []);
    pair.here.driver.latch(pair.conn, READABLE);
    assert_eq!(pair.pass(), [Passed::Kept(Some(guest))]);
}

#[test]
fn news_that_came_before_it_was_back_are_not_told_when_it_is() {
    let (mut pair, guest) = Pair::lent();
    pair.there.connection(guest).io.rx.clear();
    pair.there.peer(guest).incoming.push_back(bytes("more"));
    pair.send(guest, WorkerId::FIRST, Outgoing::Return);
    pair.here.driver.latch(pair.conn, READABLE);
    pair.pass_back();
    assert_eq!(pair.here.connection(pair.conn).io.rx.as_slice(), b"more");
    assert_eq!(pair.pass(), []);
}

#[test]
fn news_of_one_loan_are_not_those_of_the_next() {
    let (mut pair, guest) = Pair::lent();
    pair.there.connection(guest).io.rx.clear();
    pair.send(guest, WorkerId::FIRST, Outgoing::Return);
    pair.here.driver.latch(pair.conn, READABLE);
    pair.pass_back();
    // Lent again in the very turn in which it came back.
    pair.lend();
    assert_eq!(pair.pass(), []);
}

#[test]
fn what_ends_elsewhere_gives_its_name_back() {
    let (mut pair, guest) = Pair::lent();
    pair.there.connection(guest).io.close(Closing::Abort);
    pair.there.driver.settle();
    assert_eq!(pair.there.heard().last(), Some(&Heard::Closed(1, "aborted")));
    // It is not told before it is known.
    pair.here.driver.latch(pair.conn, HANGUP);
    assert_eq!(pair.pass(), [Passed::Kept(None)]);
    assert_eq!(pair.pass_back(), [Passed::Released]);
    pair.here.driver.latch(pair.conn, HANGUP);
    assert_eq!(pair.pass(), []);
    assert_eq!(pair.here.accept(Rule::Keep).index(), pair.conn.index());
    assert!(!pair.here.heard().contains(&Heard::Closed(1, "aborted")), "it is told once");
}

#[test]
fn a_guest_that_goes_elsewhere_goes_for_good() {
    for way in [Outgoing::Connection, Outgoing::Loan] {
        let (mut pair, guest) = Pair::lent();
        pair.send(guest, WorkerId::FIRST, way);
        let passed = pair.pass_back();
        let [Passed::Connection(conn, Terms::TransferredFrom(WorkerId::FIRST)), Passed::Released] =
            passed[..]
        else {
            panic!("{passed:?}");
        };
        assert_ne!(conn, pair.conn, "it is registered anew before its old name is given up");
        assert_eq!(pair.here.connection(conn).io.rx.as_slice(), b"question");
        assert_eq!(pair.here.driver.app().conns.len(), 1);
    }
}

#[test]
fn a_loan_that_outlasts_a_deadline_is_none_any_more() {
    let (mut here, mut there) = (World::new(), World::new());
    there.driver.app_mut().rule = Some(Rule::Keep);
    let conn = here.accept(Rule::Keep);
    assert_eq!(here.watch(), [conn]);
    let due = here.now + Duration::from_secs(1);
    here.driver.app_mut().deadlines.insert(conn, due);
    here.connection(conn);
    here.driver.settle();
    let mut pair = Pair { here, there, conn };
    let guest = pair.lend();
    assert_eq!(pair.here.driver.next_deadline(), Some(due), "it wakes who lent it");
    pair.here.pass(Duration::from_secs(2));
    assert_eq!(pair.here.heard(), [], "the deadline is another one's");
    assert_eq!(pair.pass(), [Passed::Kept(Some(guest))]);
    assert_eq!(pair.pass_back(), [Passed::Released]);
}
