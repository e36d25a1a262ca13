//! In the steady state a request allocates nothing, at either end of the tunnel.

use std::alloc::System;

use mesh_micro::{Fields, Shape, Stage};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Rounds until every queue has had its largest load.
const WARM_UP: usize = 200;
const ROUNDS: usize = 100;

/// One test, because the allocator counts for the whole process.
#[test]
fn no_request_allocates_in_the_steady_state() {
    for (callers, fields, up, down) in [
        (1, Fields::Few, 0, 60),
        (50, Fields::Few, 0, 60),
        (250, Fields::Few, 0, 60),
        (50, Fields::Usual, 0, 60),
        (8, Fields::Usual, 0, 10 * 1024),
        (50, Fields::Usual, 2 * 1024, 60),
        (8, Fields::Usual, 8 * 1024, 60),
    ] {
        let mut stage = Stage::new(callers, Shape { fields, up, down });
        (0..WARM_UP).for_each(|_| stage.round());
        let region = Region::new(ALLOCATOR);
        (0..ROUNDS).for_each(|_| stage.round());
        let change = region.change();
        let count = change.allocations + change.reallocations;
        let what = format!("{callers} callers, {up} bytes up, {down} bytes down");
        assert_eq!(count, 0, "{what}: {change:?} in {} requests", ROUNDS * callers);
    }
    // Turns of many and of few requests by chance, so that queues need now more and now less than
    // the memory of a head.
    let mut stage = Stage::new(50, Shape { fields: Fields::Few, up: 0, down: 60 });
    let mut rng = mesh_protocol::Rng::from_seed(5);
    let mut sizes = std::iter::repeat_with(|| 1 + rng.index(50));
    (0..WARM_UP).zip(&mut sizes).for_each(|(_, asking)| stage.round_of(asking));
    let region = Region::new(ALLOCATOR);
    let requests: usize = (0..10 * ROUNDS)
        .zip(&mut sizes)
        .map(|(_, asking)| {
            stage.round_of(asking);
            asking
        })
        .sum();
    let change = region.change();
    let count = change.allocations + change.reallocations;
    assert!(count < requests / 1000, "{change:?} in {requests} requests");
}
