//! Loads, links and a backend for bench/run.py, as subcommands of one small program.
//!
//! Each load prints its figures as one line of JSON when its time is over. It ends with 1 and a
//! sentence if anything came back wrong: a figure of a broken chain is worse than none.

mod backend;
mod bare;
mod bulk;
mod certificate;
mod chunked;
mod clients;
mod frames;
mod get;
mod http;
mod idle;
mod relay;
mod samples;
mod sse;
mod ws;

use std::process::ExitCode;

use argh::FromArgs;

/// Loads for bench/run.py.
#[derive(FromArgs)]
struct Arguments {
    #[argh(subcommand)]
    what: What,
}

#[derive(FromArgs)]
#[argh(subcommand)]
enum What {
    Backend(backend::Arguments),
    Bare(bare::Arguments),
    Certificate(certificate::Arguments),
    Download(bulk::Download),
    Get(get::Arguments),
    Idle(idle::Arguments),
    Relay(relay::Arguments),
    Sse(sse::Arguments),
    Upload(bulk::Upload),
    Ws(ws::Arguments),
}

/// What went wrong, in words.
type Outcome<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn main() -> ExitCode {
    // argh wants name and value apart.
    let words: Vec<String> = std::env::args().skip(1).flat_map(apart).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let arguments = match Arguments::from_args(&["bench-load"], &words) {
        Ok(arguments) => arguments,
        Err(early) => {
            println!("{}", early.output);
            return if early.status.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        }
    };
    let outcome = match arguments.what {
        What::Backend(arguments) => backend::run(&arguments),
        What::Bare(arguments) => bare::run(&arguments),
        What::Certificate(arguments) => certificate::run(&arguments),
        What::Download(arguments) => bulk::download(arguments),
        What::Get(arguments) => get::run(&arguments),
        What::Idle(arguments) => idle::run(&arguments),
        What::Relay(arguments) => relay::run(&arguments),
        What::Sse(arguments) => sse::run(&arguments),
        What::Upload(arguments) => bulk::upload(arguments),
        What::Ws(arguments) => ws::run(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn apart(word: String) -> Vec<String> {
    match word.split_once('=') {
        Some((name, value)) if name.starts_with("--") => vec![name.to_owned(), value.to_owned()],
        Some(_) | None => vec![word],
    }
}
