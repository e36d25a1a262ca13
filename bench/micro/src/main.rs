//! Runs one scenario so and so often, for a tool that counts instructions: `mesh-micro few 1000`.

use std::process::ExitCode;

use mesh_micro::{Fields, Shape, Stage};

/// Names, callers at once, and what they ask for.
const SCENARIOS: [(&str, usize, Shape); 6] = [
    ("one", 1, Shape { fields: Fields::Few, up: 0, down: 60 }),
    ("few", 50, Shape { fields: Fields::Few, up: 0, down: 60 }),
    ("usual", 50, Shape { fields: Fields::Usual, up: 0, down: 60 }),
    ("page", 50, Shape { fields: Fields::Usual, up: 0, down: 10 * 1024 }),
    ("download", 1, Shape { fields: Fields::Usual, up: 0, down: 1024 * 1024 }),
    ("upload", 1, Shape { fields: Fields::Usual, up: 1024 * 1024, down: 60 }),
];

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args().skip(1).collect();
    if let [name, count] = &words[..]
        && let Some((_, callers, shape)) = SCENARIOS.iter().find(|(known, ..)| known == name)
        && let Ok(count) = count.parse::<usize>()
    {
        let mut stage = Stage::new(*callers, *shape);
        for _ in 0..count.div_ceil(*callers) {
            stage.round();
        }
        return ExitCode::SUCCESS;
    }
    let names: Vec<_> = SCENARIOS.iter().map(|(name, ..)| *name).collect();
    eprintln!("Usage: mesh-micro {} REQUESTS", names.join("|"));
    ExitCode::from(2)
}
