use std::time::Instant;

use super::{RETRY_AFTER, TROUBLE_PAUSE, Trouble};

#[test]
fn trouble_that_lasts_is_told_now_and_then() {
    let begin = Instant::now();
    let mut trouble = Trouble::default();
    let tries = (0..600).map(|n| n * RETRY_AFTER);
    let told: Vec<_> = tries.filter(|at| trouble.is_to_be_told(begin + *at)).collect();
    let expected: Vec<_> = (0..6).map(|n| n * TROUBLE_PAUSE).collect();
    assert_eq!(told, expected);
}
