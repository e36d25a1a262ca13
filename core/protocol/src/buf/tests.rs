use std::collections::VecDeque;

use super::Buf;
use crate::rng::Rng;

#[test]
fn behaves_like_a_queue_of_bytes() {
    let mut rng = Rng::from_seed(7);
    let mut buf = Buf::new();
    let mut model: VecDeque<u8> = VecDeque::new();
    let (mut added, mut taken) = (0_u64, 0_u64);
    for _ in 0..5_000 {
        if rng.below(3) == 0 {
            let spare = buf.spare_mut();
            let count = rng.index(spare.len().min(300) + 1);
            let bytes: Vec<u8> = (0..count).map(|_| rng.mask()[0]).collect();
            spare[..count].copy_from_slice(&bytes);
            buf.commit(count);
            added += count as u64;
            model.extend(bytes);
        } else if rng.below(2) == 0 {
            let bytes: Vec<u8> = (0..rng.below(300)).map(|_| rng.mask()[0]).collect();
            buf.extend(&bytes);
            added += bytes.len() as u64;
            model.extend(bytes);
        } else {
            let count = rng.index(model.len() + 1);
            buf.consume(count);
            taken += count as u64;
            model.drain(..count);
        }
        assert!(model.iter().eq(buf.as_slice()));
        assert_eq!((buf.added(), buf.taken()), (added, taken));
    }
}

#[test]
fn appends_every_byte_of_any_number() {
    let bytes: Vec<u8> = (1..=251).chain(1..50).collect();
    for count in 0..=bytes.len() {
        let mut buf = Buf::new();
        buf.extend(b"<");
        buf.extend(&bytes[..count]);
        buf.extend(b">");
        assert_eq!(buf.as_slice(), [b"<", &bytes[..count], b">"].concat(), "{count} bytes");
    }
}

#[test]
fn memory_does_not_grow_with_what_passed_through() {
    let mut buf = Buf::new();
    for _ in 0..10_000 {
        buf.extend(&[1; 700]);
        buf.consume(buf.len().saturating_sub(100));
    }
    assert!(buf.capacity() < 4096, "{}", buf.capacity());
}

#[test]
fn a_long_queue_owns_a_quarter_more_than_it_holds_and_is_rarely_moved() {
    const PIECE: usize = 16 * 1024;
    let mut buf = Buf::new();
    let mut longest = 0;
    while longest < 1 << 20 {
        buf.extend(&[1; PIECE]);
        longest = buf.len();
        assert!(buf.capacity() <= longest * 5 / 4 + PIECE, "{} for {longest}", buf.capacity());
    }
    let mut moved = 0;
    for _ in 0..1_000 {
        buf.consume(PIECE);
        let before = buf.start;
        buf.extend(&[1; PIECE]);
        moved += usize::from(buf.start < before);
    }
    assert!(buf.capacity() <= longest * 5 / 4 + PIECE, "{} for {longest}", buf.capacity());
    // A quarter is 16 pieces.
    assert!(moved <= 1_000 / 15, "moved {moved} times for 1000 pieces");
}

#[test]
fn an_empty_queue_gives_its_memory_back_and_keeps_its_counters() {
    let mut buf = Buf::new();
    buf.extend(b"hello");
    assert!(buf.reclaim().is_none(), "it is in use");
    buf.clear();
    let storage = buf.reclaim().expect("it owns memory");
    assert_eq!(buf.capacity(), 0);
    buf.lend(storage);
    assert_eq!((buf.added(), buf.taken(), buf.len()), (5, 5, 0));
}

#[test]
#[expect(clippy::panic, reason = "the panic is the rule under test")]
fn consuming_more_than_is_there_is_a_bug_of_the_caller() {
    let outcome = std::panic::catch_unwind(|| Buf::new().consume(1));
    if outcome.is_ok() {
        panic!("consume(1) of an empty queue returned");
    }
}

#[test]
fn what_is_cut_off_takes_its_memory_along() {
    let mut buf = Buf::new();
    buf.extend(&[1; 100_000]);
    buf.consume(10);
    buf.cut_off(1_000);
    assert_eq!((buf.as_slice(), buf.taken()), (&[1; 1_000][..], 10));
    assert_eq!(buf.capacity(), 1_000);
    buf.cut_off(2_000);
    assert_eq!(buf.len(), 1_000);
    buf.extend(&[2; 10]);
    assert!(buf.as_slice().ends_with(&[1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2]));
}
