//! Connections of all kinds under random steps.

use super::*;

/// Whatever peers and application do, each connection ends once, in time, and nothing is left.
#[test]
fn every_connection_is_closed_exactly_once() {
    for seed in 0..200 {
        let mut world = World::new();
        let mut rng = Rng::from_seed(seed);
        let mut conns = Vec::new();
        for _ in 0..300 {
            if conns.len() < 3 || rng.below(10) == 0 {
                conns.push(random_connection(&mut world, &mut rng));
            }
            let pick = usize::try_from(rng.below(conns.len() as u64)).unwrap();
            disturb(&mut world, conns[pick], &mut rng);
            if rng.below(3) == 0 {
                world.driver.settle();
            }
            if rng.below(8) == 0 {
                world.pass(Duration::from_millis(rng.below(3000)));
            }
        }
        for &conn in &conns {
            if let Some(connection) = world.driver.app_mut().conns.get_mut(conn) {
                connection.io.close(Closing::AfterFlush);
            }
        }
        for _ in 0..=(FLUSH_TIMEOUT + LINGER_MAX).as_secs() {
            world.pass(Duration::from_secs(1));
        }
        let mut closed: Vec<_> = world
            .heard()
            .into_iter()
            .filter_map(|heard| match heard {
                Heard::Closed(name, _) => Some(name),
                Heard::Connected(_)
                | Heard::Progress(_)
                | Heard::Deadline(_)
                | Heard::Tick
                | Heard::Adopted(_)
                | Heard::Message(_)
                | Heard::Drain => None,
            })
            .collect();
        closed.sort_unstable();
        let mut all: Vec<_> = world.driver.app().names.values().copied().collect();
        all.sort_unstable();
        assert_eq!(closed, all, "seed {seed}");
        assert!(world.driver.app().conns.is_empty(), "seed {seed}");
        assert!(!world.driver.has_work(), "seed {seed}");
        assert!(world.driver.sockets.iter().all(Option::is_none), "seed {seed}");
    }
}

fn random_connection(world: &mut World, rng: &mut Rng) -> ConnId {
    match rng.below(4) {
        0 => world.dial(),
        1 => world.accept(Rule::AnswerAndClose),
        2 => world.accept(Rule::Keep),
        _ => world.accept(Rule::Echo),
    }
}

/// One thing that a peer, the kernel or the application may do at any time.
fn disturb(world: &mut World, conn: ConnId, rng: &mut Rng) {
    let incoming = match rng.below(16) {
        0 => Incoming::Eof,
        1 => Incoming::Reset,
        2 => Incoming::Handshake,
        _ => Incoming::Bytes(vec![1; usize::try_from(1 + rng.below(5000)).unwrap()]),
    };
    match rng.below(12) {
        0..3 => {
            if let Some(peer) = world.driver.transport_mut(conn) {
                peer.incoming.push_back(incoming);
            }
            world.driver.latch(conn, READABLE);
        }
        3 => world.driver.latch(conn, HANGUP),
        4 => world.driver.latch(conn, WRITABLE),
        5 => {
            if let Some(peer) = world.driver.transport_mut(conn) {
                peer.room = usize::try_from(rng.below(10_000)).unwrap();
            }
        }
        6 => {
            if let Some(connection) = world.driver.app_mut().conns.get_mut(conn) {
                connection.io.tx.extend(&[2; 3000]);
                connection.io.rx.clear();
            }
        }
        7 => {
            if let Some(connection) = world.driver.app_mut().conns.get_mut(conn) {
                use Closing::{Abort, AfterFlush, Agreed, Discard, Write};
                let how = [Write, AfterFlush, Agreed, Discard, Abort];
                connection.io.close(how[usize::try_from(rng.below(5)).unwrap()]);
            }
        }
        8 => world.driver.connect_failed(conn, ErrorKind::TimedOut.into()),
        9 => {
            let mut transport = world.transport();
            transport.handshaking = rng.below(2) == 0;
            world.driver.connected(conn, transport);
            world.driver.latch(conn, BOTH);
        }
        10 => {
            let due = world.now + Duration::from_millis(rng.below(4000));
            world.driver.app_mut().deadlines.insert(conn, due);
            world.driver.app_mut().conns.touch(conn);
        }
        _ => {
            if let Some(peer) = world.driver.transport_mut(conn) {
                peer.write_error = Some(ErrorKind::BrokenPipe);
            }
        }
    }
}
