//! Bodies in chunks, taken out of their framing and put into it.

use std::hint::black_box;

use mesh_protocol::Buf;
use mesh_protocol::http1::{BodyLength, Decoder, Encoder, Eof};

/// How a body is cut.
#[derive(Debug, Clone, Copy)]
pub struct Cut {
    /// How many chunks it has.
    pub chunks: usize,
    /// Bytes of each.
    pub bytes: usize,
}

/// Takes `count` bodies out of their chunks, all of each arriving at once.
///
/// # Panics
/// When not all of a body comes out.
pub fn decode(cut: Cut, count: usize) {
    let mut framed = Buf::new();
    write(cut, &vec![b'c'; cut.bytes], &mut framed);
    for _ in 0..count {
        let mut rx = black_box(framed.as_slice());
        let mut decoder = Decoder::new(BodyLength::Chunked);
        let mut length = 0;
        while !decoder.has_ended() {
            let decoded = decoder.decode(rx, usize::MAX, Eof::Open).expect("we wrote it");
            assert!(decoded.used > 0, "all of it is there");
            length += black_box(decoded.data).len();
            rx = &rx[decoded.used..];
        }
        assert_eq!((length, rx.len()), (cut.chunks * cut.bytes, 0));
    }
}

/// Puts `count` bodies into chunks.
///
/// # Panics
/// When a body is not written as a whole.
pub fn encode(cut: Cut, count: usize) {
    let data = vec![b'c'; cut.bytes];
    let mut tx = Buf::new();
    for _ in 0..count {
        write(cut, black_box(&data), &mut tx);
        assert!(black_box(tx.as_slice()).ends_with(b"\r\n0\r\n\r\n"));
        assert!(tx.len() > cut.chunks * cut.bytes, "there is no framing");
        tx.clear();
    }
}

fn write(cut: Cut, data: &[u8], tx: &mut Buf) {
    let mut encoder = Encoder::new(BodyLength::Chunked);
    for _ in 0..cut.chunks {
        encoder.write(data, tx).expect("chunks have no sum to keep to");
    }
    encoder.finish(b"", tx).expect("there are no trailers");
    assert!(encoder.has_ended());
}
