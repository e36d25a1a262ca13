use mesh_protocol::Buf;
use mesh_protocol::mux::Flags;

use super::{Reached, Replay};
use crate::balance::Tried;
use crate::replies::Reason;
use crate::tunnel::{AgentId, Serial};

const HEAD: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\n\r\n";
/// The default.
const WINDOW: u32 = 256 * 1024;

fn replay() -> Replay {
    replay_with(WINDOW, false)
}

fn replay_with(window: u32, is_idempotent: bool) -> Replay {
    let mut head = Buf::new();
    head.extend(HEAD);
    Replay::new(head, Flags::NONE, is_idempotent, window)
}

#[test]
fn a_body_is_kept_as_long_as_no_service_can_have_taken_any_of_it() {
    for (window, kept) in [(WINDOW, 256), (1024 * 1024, 256), (64 * 1024, 96), (16 * 1024, 48)] {
        let mut replay = replay_with(window, false);
        for _ in 0..kept {
            replay.keep(&[b'x'; 1024]);
            assert!(replay.is_possible(Reached::CertainlyNot), "{window}");
        }
        replay.keep(b"x");
        assert!(!replay.is_possible(Reached::CertainlyNot), "{window}");
    }
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
    for _ in 0..30 {
        long.keep(&[b'x'; 10_000]);
    }
    for replay in [answered, long] {
        assert_eq!((replay.head(), replay.unsent()), (HEAD, &[][..]));
        assert!(replay.into_memory().capacity() < 1024);
    }
}

/// How much of a body was sent, and whether its answer has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    Nothing,
    Little,
    Much,
    Answered,
}

#[test]
fn only_what_does_no_harm_is_given_to_a_second_agent() {
    use Reached::{Certainly, CertainlyNot, Perhaps};
    use Sent::{Answered, Little, Much, Nothing};
    // Whether the method is idempotent, how much of the body was sent, how far it got.
    let possible = [
        (true, Nothing, CertainlyNot),
        (true, Little, CertainlyNot),
        (true, Nothing, Perhaps),
        (false, Nothing, CertainlyNot),
        (false, Little, CertainlyNot),
    ];
    let (serial, reason) = (Serial(1), Reason::AgentLost);
    let tried = Tried { serial, agent: AgentId(serial), service: "".into(), reason };
    for is_idempotent in [false, true] {
        for sent in [Nothing, Little, Much, Answered] {
            for reached in [CertainlyNot, Perhaps, Certainly] {
                for is_second in [false, true] {
                    let mut replay = replay_with(WINDOW, is_idempotent);
                    match sent {
                        Nothing => {}
                        Little => replay.keep(b"12345"),
                        Much => replay.keep(&[b'x'; 256 * 1024 + 1]),
                        Answered => replay.forget(),
                    }
                    if is_second {
                        replay.restart(tried.clone());
                    }
                    let case = (is_idempotent, sent, reached);
                    let is_right = !is_second && possible.contains(&case);
                    assert_eq!(replay.is_possible(reached), is_right, "{case:?}, {is_second}");
                }
            }
        }
    }
}
