use super::{BYTES_MAX, HEAD_BYTES_MAX, Heads};
use crate::Buf;

fn head(bytes: usize) -> Buf {
    let mut head = Buf::new();
    head.extend(&vec![b'a'; bytes]);
    head
}

#[test]
fn memory_of_a_head_is_used_again_and_holds_nothing_of_it() {
    let mut heads = Heads::default();
    heads.keep(head(200));
    let kept = heads.take();
    assert!(kept.is_empty() && kept.capacity() >= 200);
    assert_eq!(heads.take().capacity(), 0, "there was one");
    assert_eq!(heads.bytes, 0);
}

#[test]
fn a_thousand_usual_heads_are_kept_and_no_more_than_the_bound() {
    let mut heads = Heads::default();
    (0..1024).for_each(|_| heads.keep(head(600)));
    assert_eq!(heads.free.len(), 1024);
    (0..1024).for_each(|_| heads.keep(head(HEAD_BYTES_MAX)));
    let held: usize = heads.free.iter().map(Buf::capacity).sum();
    assert_eq!(held, heads.bytes);
    assert!(held <= BYTES_MAX && heads.free.len() > 1024, "{held}");
    let count = heads.free.len();
    heads.keep(head(HEAD_BYTES_MAX + 1));
    heads.keep(Buf::new());
    assert_eq!(heads.free.len(), count, "neither a huge one nor none at all");
}
