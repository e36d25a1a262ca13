//! Runs one scenario so and so often, for a tool that counts instructions: `mesh-micro few 1000`.

use std::process::ExitCode;

use mesh_micro::chunks::{self, Cut};
use mesh_micro::{Fields, Shape, Stage, heads, masks, mux};

struct Scenario {
    name: &'static str,
    /// How many operations make a count: `count.py` compares so many with three times as many.
    lot: usize,
    /// Does so many operations.
    run: fn(usize),
}

const SMALL: Cut = Cut { chunks: 64, bytes: 16 };
const LARGE: Cut = Cut { chunks: 4, bytes: 16 * 1024 };
const MIB: usize = 1024 * 1024;

/// The whole path by what is asked for, then its parts.
#[rustfmt::skip]
const SCENARIOS: [Scenario; 17] = [
    Scenario { name: "one", lot: 1000, run: |n| path(1, Fields::Few, 0, 60, n) },
    Scenario { name: "few", lot: 1000, run: |n| path(50, Fields::Few, 0, 60, n) },
    Scenario { name: "usual", lot: 1000, run: |n| path(50, Fields::Usual, 0, 60, n) },
    Scenario { name: "page", lot: 500, run: |n| path(50, Fields::Usual, 0, 10 * 1024, n) },
    Scenario { name: "download", lot: 20, run: |n| path(1, Fields::Usual, 0, MIB, n) },
    Scenario { name: "upload", lot: 20, run: |n| path(1, Fields::Usual, MIB, 60, n) },
    Scenario { name: "request-few", lot: 1000, run: |n| heads::requests(Fields::Few, n) },
    Scenario { name: "request-usual", lot: 1000, run: |n| heads::requests(Fields::Usual, n) },
    Scenario { name: "response-agent", lot: 1000, run: heads::responses_at_agent },
    Scenario { name: "response-ingress", lot: 1000, run: heads::responses_at_ingress },
    Scenario { name: "decode-small", lot: 200, run: |n| chunks::decode(SMALL, n) },
    Scenario { name: "decode-large", lot: 200, run: |n| chunks::decode(LARGE, n) },
    Scenario { name: "encode-small", lot: 200, run: |n| chunks::encode(SMALL, n) },
    Scenario { name: "encode-large", lot: 200, run: |n| chunks::encode(LARGE, n) },
    Scenario { name: "mask", lot: 200, run: masks::mask },
    Scenario { name: "unmask", lot: 200, run: masks::unmask },
    Scenario { name: "mux", lot: 200, run: mux::exchanges },
];

/// Requests through ingress and agent, by so many callers at once.
fn path(callers: usize, fields: Fields, up: usize, down: usize, count: usize) {
    let mut stage = Stage::new(callers, Shape { fields, up, down });
    for _ in 0..count.div_ceil(callers) {
        stage.round();
    }
}

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args().skip(1).collect();
    match &words[..] {
        [list] if list == "list" => {
            for Scenario { name, lot, .. } in &SCENARIOS {
                println!("{name} {lot}");
            }
            return ExitCode::SUCCESS;
        }
        [name, count] => {
            let found = SCENARIOS.iter().find(|scenario| scenario.name == name);
            if let (Some(scenario), Ok(count)) = (found, count.parse()) {
                (scenario.run)(count);
                return ExitCode::SUCCESS;
            }
        }
        _ => {}
    }
    let names: Vec<_> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
    eprintln!("Usage: mesh-micro list, or mesh-micro {} OPERATIONS", names.join("|"));
    ExitCode::from(2)
}
