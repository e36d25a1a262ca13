use super::{GROWN_BYTES, LARGE_BYTES_MAX, SMALL_BYTES, SMALL_BYTES_MAX, Spare};
use crate::Buf;

/// A queue that held so many bytes and is empty again.
fn used(bytes: usize) -> Buf {
    let mut queue = Buf::new();
    queue.extend(&vec![1; bytes]);
    queue.clear();
    queue
}

#[test]
fn a_queue_gets_memory_of_the_size_that_it_used_lately() {
    let mut spare = Spare::new();
    let (mut small, mut large) = (used(1000), used(100_000));
    spare.take_back(&mut small);
    spare.take_back(&mut large);
    assert_eq!((small.capacity(), large.capacity()), (0, 0));
    spare.lend(&mut large);
    assert!(large.capacity() >= 100_000, "{}", large.capacity());
    let mut fresh = Buf::new();
    spare.lend(&mut fresh);
    assert!((1000..=SMALL_BYTES).contains(&fresh.capacity()), "{}", fresh.capacity());
    spare.lend(&mut small);
    assert_eq!(small.capacity(), SMALL_BYTES, "both pieces are in use, so it is a new one");
}

#[test]
fn a_queue_of_now_much_and_now_little_gets_memory_for_much_and_forgets_it_in_time() {
    let mut spare = Spare::new();
    let mut queue = used(3 * GROWN_BYTES);
    spare.take_back(&mut queue);
    let mut use_little = |queue: &mut Buf| {
        spare.lend(queue);
        let lent = queue.capacity();
        queue.extend(b"little");
        queue.clear();
        spare.take_back(queue);
        lent
    };
    let often = (1..).find(|_| use_little(&mut queue) == SMALL_BYTES).unwrap();
    assert!((10..100).contains(&often), "{often}");
}

#[test]
fn a_queue_with_memory_keeps_it() {
    let mut spare = Spare::new();
    let mut queue = Buf::new();
    queue.extend(b"in use");
    spare.take_back(&mut queue);
    assert_eq!(queue.as_slice(), b"in use");
    let capacity = queue.capacity();
    spare.take_back(&mut used(10_000));
    spare.lend(&mut queue);
    assert_eq!(queue.capacity(), capacity);
}

#[test]
fn not_more_is_kept_than_the_bounds_say() {
    let mut spare = Spare::new();
    for _ in 0..2 * SMALL_BYTES_MAX / SMALL_BYTES {
        spare.take_back(&mut used(SMALL_BYTES));
        spare.take_back(&mut used(LARGE_BYTES_MAX / 7));
    }
    for (stack, most) in [(&spare.small, SMALL_BYTES_MAX), (&spare.large, LARGE_BYTES_MAX)] {
        let held: usize = stack.pieces.iter().map(Vec::len).sum();
        assert_eq!(held, stack.bytes);
        assert!((most / 2..=most).contains(&held), "{held}");
    }
}

#[test]
fn a_piece_that_grew_a_bit_is_used_for_the_next_queue() {
    let mut spare = Spare::new();
    let mut tunnel = Buf::new();
    spare.lend(&mut tunnel);
    tunnel.extend(&[1; SMALL_BYTES + 1]);
    tunnel.clear();
    let grown = tunnel.capacity();
    spare.take_back(&mut tunnel);
    let mut next = Buf::new();
    spare.lend(&mut next);
    assert_eq!(next.capacity(), grown);
}
