//! Everything at once: any requests on any links.

use std::time::Duration;

use mesh_sim::peers::Reading;
use mesh_sim::{FaultRates, seeds};

use crate::ask::{Ask, Weather};
use crate::stage::{Plan, Stage};

/// Longer than anything takes on the slowest links.
const LONG: Duration = Duration::from_secs(3_600);

/// Callers of all kinds, each with a script drawn from the seed.
fn invite(stage: &mut Stage) {
    // Now and then bodies of up to 2 MiB, many times a window.
    let bits = if stage.below(4) == 0 { 21 } else { 18 };
    for _ in 0..2 + stage.below(4) {
        let count = 1 + stage.below(5);
        let asks: Vec<_> = (0..count).map(|_| Ask::draw(stage.rng(), bits)).collect();
        let pipelines = stage.below(4) == 0 && asks.iter().all(Ask::is_pipelinable);
        let slow = match stage.below(4) {
            0 => Some((1 + stage.below(32 * 1024), 1 + stage.below(20))),
            _ => None,
        };
        stage.add_caller(asks, |mut client| {
            if pipelines {
                client = client.pipelined();
            }
            if let Some((bytes, every)) = slow {
                let bytes = 1024 + usize::try_from(bytes).expect("small");
                client = client.reading(Reading::Slow(bytes, Duration::from_millis(every)));
            }
            client
        });
    }
}

fn fair(seed: u64, faults: FaultRates) {
    let mut stage = Stage::new(seed, Plan::drawn(faults).with_agents(1 + (seed % 3) as usize));
    stage.expect_ready(Duration::from_secs(60));
    invite(&mut stage);
    stage.expect_answers(LONG);
    stage.judge(Weather::Fair);
    stage.expect_empty_after_drain();
}

#[test]
fn every_request_is_answered_right() {
    seeds(256, |seed| fair(seed, FaultRates::none()));
}

#[test]
fn every_request_is_answered_right_whatever_delays_it() {
    seeds(256, |seed| fair(seed, FaultRates::mild()));
}

#[test]
fn a_broken_connection_never_passes_for_an_answer() {
    seeds(256, |seed| {
        let plan = Plan::drawn(FaultRates::rough()).with_agents(1 + (seed % 3) as usize);
        let mut stage = Stage::new(seed, plan);
        stage.expect_known(Duration::from_secs(600));
        invite(&mut stage);
        stage.expect_endings();
        stage.judge(Weather::Foul);
        stage.clear_up();
        stage.expect_ready(Duration::from_secs(120));
        stage.probe();
        stage.expect_empty_after_drain();
    });
}
