//! Messages of WebSocket, masked and unmasked, as the agent's end of a tunnel sends them.

use std::hint::black_box;

use mesh_protocol::mux::frame::DATA_BYTES_MAX;
use mesh_protocol::ws::frame::{self, Message};
use mesh_protocol::ws::{Kind, Role, Writer};
use mesh_protocol::{Buf, Rng};

/// Finds and unmasks a message of 16 KiB, `count` times.
///
/// # Panics
/// When it is not what was masked.
pub fn unmask(count: usize) {
    let (clear, mut rng) = (vec![b'm'; DATA_BYTES_MAX], Rng::from_seed(1));
    let mut rx = Buf::new();
    write(&clear, &mut rx, &mut rng);
    for turn in 0..count {
        // What is unmasked already becomes masked again, which costs the same.
        let found = frame::parse(Role::Server, black_box(rx.as_mut_slice()));
        let Some(Message { kind: Kind::Binary, payload }) = found.expect("we wrote it") else {
            panic!("it is one whole message");
        };
        assert_eq!((payload.len(), payload.end), (clear.len(), rx.len()));
        let is_clear = rx.as_slice()[payload.clone()].last() == clear.last();
        assert_eq!(is_clear, turn % 2 == 0);
    }
    assert_eq!(rx.as_slice().ends_with(&clear), count % 2 == 1);
}

/// Writes and masks a message of 16 KiB, `count` times.
///
/// # Panics
/// When it is not a whole one, or not masked.
pub fn mask(count: usize) {
    let (clear, mut rng) = (vec![b'm'; DATA_BYTES_MAX], Rng::from_seed(1));
    let mut tx = Buf::new();
    for _ in 0..count {
        write(black_box(&clear), &mut tx, &mut rng);
        assert!(tx.len() > clear.len(), "there is no header");
        black_box(tx.as_slice());
        tx.clear();
    }
    write(&clear, &mut tx, &mut rng);
    assert!(!tx.as_slice().ends_with(&clear), "it is not masked");
}

fn write(clear: &[u8], tx: &mut Buf, rng: &mut Rng) {
    let writer = Writer::begin(Role::Client, tx);
    tx.extend(clear);
    writer.finish(tx, rng);
}
