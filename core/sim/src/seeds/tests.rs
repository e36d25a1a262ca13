use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{chosen, seeds};

#[test]
fn a_failing_history_ends_the_sweep() {
    if chosen().is_some() {
        return;
    }
    let last = Cell::new(0);
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        seeds(10, |seed| {
            last.set(seed);
            assert!(seed < 3);
        });
    }));
    assert!(outcome.is_err());
    assert_eq!(last.get(), 3);
}
