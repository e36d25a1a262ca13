use std::io::{Read, Write};
use std::sync::mpsc;

use mesh_protocol::{Buf, Filled, Flushed};
use socket2::SockRef;

use super::{Then, Tls};
use crate::transport::tests::{Events, pattern, read_all, sealed_pair};

/// Reads and writes until both ends agree.
fn shake_hands(near: &mut Tls, events: &mut Events) {
    let (mut rx, mut scratch) = (Buf::new(), [0; 4096]);
    while near.filter.is_handshaking() {
        let flushed = near.flush(&mut Buf::new(), Then::More).unwrap();
        assert_eq!(flushed, Flushed::All(0), "a handshake is nobody's bytes");
        events.wait();
        near.fill(&mut rx, 1, &mut scratch).unwrap();
    }
    near.flush(&mut Buf::new(), Then::More).unwrap();
    assert!(rx.is_empty());
}

#[test]
fn no_more_is_read_than_there_is_room_for_and_a_record() {
    const ROOM: usize = 64 * 1024;
    let (told, hears) = mpsc::channel::<()>();
    let (mut near, far) = sealed_pair(move |mut far| {
        far.write_all(&pattern(1 << 20)).unwrap();
        far.flush().unwrap();
        hears.recv().unwrap_err();
    });
    SockRef::from(&near.stream).set_recv_buffer_size(4 * ROOM).unwrap();
    let mut events = Events::of(&mut near.stream);
    shake_hands(&mut near, &mut events);
    let mut scratch = vec![0; 2 * ROOM];
    // The kernel has more than twice of what there is room for.
    while near.stream.peek(&mut vec![0; 3 * ROOM]).unwrap_or(0) < 3 * ROOM / 2 {
        events.wait();
    }
    let mut rx = Buf::new();
    let filled = near.fill(&mut rx, ROOM, &mut scratch).unwrap();
    assert_eq!(filled, Filled::More(rx.len()));
    assert!(rx.len() > ROOM - super::CIPHERTEXT_BYTES_MIN, "{}", rx.len());
    assert!(rx.len() < ROOM + 20 * 1024, "{}", rx.len());
    let mut got = 0;
    let sent = pattern(1 << 20);
    while got < sent.len() {
        assert_eq!(rx.as_slice(), &sent[got..got + rx.len()]);
        got += rx.len();
        rx.clear();
        if let Filled::Blocked(0) = near.fill(&mut rx, ROOM, &mut scratch).unwrap() {
            events.wait();
        }
    }
    drop(told);
    far.join().unwrap();
}

#[test]
fn what_was_sealed_before_counts_when_it_leaves() {
    let (may_read, waits) = mpsc::channel();
    let (mut near, far) = sealed_pair(move |mut far| {
        far.read_exact(&mut [0]).unwrap();
        waits.recv().unwrap();
        read_all(far)
    });
    let mut events = Events::of(&mut near.stream);
    shake_hands(&mut near, &mut events);
    let (mut tx, mut sent) = (Buf::new(), 0);
    let blocked = loop {
        tx.extend(&[1; 10_000]);
        sent += tx.len();
        match near.flush(&mut tx, Then::More).unwrap() {
            Flushed::All(count) => assert!(count > 10_000, "{count}"),
            Flushed::Blocked(count) => break count,
        }
    };
    assert!(tx.is_empty() && near.filter.has_outgoing() && blocked < 11_000, "{blocked}");
    may_read.send(()).unwrap();
    loop {
        events.wait();
        match near.flush(&mut tx, Then::More).unwrap() {
            Flushed::Blocked(0) => {}
            Flushed::All(count) | Flushed::Blocked(count) => break assert!(count > 0),
        }
    }
    near.filter.finish();
    while let Flushed::Blocked(_) = near.flush(&mut tx, Then::More).unwrap() {
        events.wait();
    }
    assert_eq!(far.join().unwrap().len(), sent - 1);
}
