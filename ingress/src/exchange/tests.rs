use mesh_protocol::Buf;
use mesh_protocol::mux::Flags;

use super::Replay;

const HEAD: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\n\r\n";

fn replay() -> Replay {
    let mut head = Buf::new();
    head.extend(HEAD);
    Replay::new(head, Flags::NONE, false)
}

#[test]
fn what_a_second_agent_lacked_takes_no_memory_once_it_has_it() {
    let mut replay = replay();
    replay.keep(&[b'x'; 60_000]);
    replay.resent = 0;
    replay.forget();
    replay.note_resent(20_000);
    assert_eq!(replay.unsent().len(), 40_000);
    replay.note_resent(40_000);
    assert_eq!((replay.head(), replay.unsent()), (HEAD, &[][..]));
    assert!(replay.into_memory().capacity() < 1024);
}

#[test]
fn a_body_that_is_of_no_more_use_takes_no_memory() {
    let (mut answered, mut long) = (replay(), replay());
    answered.keep(&[b'x'; 60_000]);
    answered.forget();
    for _ in 0..10 {
        long.keep(&[b'x'; 10_000]);
    }
    for replay in [answered, long] {
        assert_eq!((replay.head(), replay.unsent()), (HEAD, &[][..]));
        assert!(replay.into_memory().capacity() < 1024);
    }
}
