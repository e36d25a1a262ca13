//! The process: start, announcement, signals and end.

use std::env;
use std::fmt::Display;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use axum::serve::ListenerExt as _;
use tokio::net::TcpListener;
use tokio::runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config::Config;
use crate::router_until;
use crate::shutdown;

/// How long requests in progress may take to finish after the signal. ECS kills after 30 seconds.
const GRACE: Duration = Duration::from_secs(20);

/// Runs the service until SIGTERM or SIGINT.
///
/// When it listens it prints `listening on http://ADDRESS:PORT` to standard output. A start that
/// fails gives one sentence on standard error and the exit code 1, an argument that there is not
/// one with the exit code 2.
pub fn run() -> ExitCode {
    let words: Vec<_> = env::args_os().skip(1).collect();
    let outcome = match words.first().map(|word| word.to_string_lossy()) {
        None => start(),
        Some(word) if word == "--help" => say(HELP),
        Some(word) if word == "--version" => say(concat!("test-app ", env!("CARGO_PKG_VERSION"))),
        Some(word) => {
            log(format!("There is no argument {word:?}; settings are variables, see --help."));
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            log(problem);
            ExitCode::FAILURE
        }
    }
}

/// What `--help` says; the settings are those of [`Config`].
const HELP: &str = "\
Usage: test-app [--help | --version]

A sample HTTP service to put behind the mesh. Its settings are environment variables:

  PORT             TCP port; 0 lets the system choose [default: 3000]
  BIND             IP address to listen on [default: 0.0.0.0]
  SERVICE_NAME     what the service calls itself [default: test-app]
  SERVICE_VERSION  the version it reports [default: its own]
  COLOR            accent of the page: CSS colour name, #rgb or #rrggbb [default: blue]
  DOWNSTREAM_X     URL that /downstream/x calls [default: http://x/api/info]";

/// Says something to whoever asked.
fn say(text: &str) -> Result<(), String> {
    writeln!(io::stdout(), "{text}").map_err(|error| format!("Cannot write: {error}."))
}

/// One line to standard error; that nobody may read it is no reason to fail.
fn log(line: impl Display) {
    let _ = writeln!(io::stderr(), "test-app: {line}");
}

fn start() -> Result<(), String> {
    let config = Config::from_env()?;
    config.warnings.iter().for_each(log);
    let runtime = runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("Cannot start the runtime: {error}."))?;
    let result = runtime.block_on(serve(config));
    // Does not wait for what has outlasted the grace.
    runtime.shutdown_background();
    result
}

async fn serve(config: Config) -> Result<(), String> {
    let signals = |error| format!("Cannot watch for signals: {error}.");
    let mut terminate = signal(SignalKind::terminate()).map_err(signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(signals)?;
    let listen = config.listen;
    let refused = |error| format!("Cannot listen on {listen}: {error}.");
    let listener = TcpListener::bind(listen).await.map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;

    let (stop, shutdown) = shutdown::pair();
    let router = router_until(config, shutdown.clone());
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    let serving = axum::serve(listener, router).with_graceful_shutdown(shutdown.wait());
    let mut serving = tokio::spawn(serving.into_future());
    announce(address);

    tokio::select! {
        () = received(&mut terminate, &mut interrupt) => {}
        result = &mut serving => return Err(format!("The server ended by itself: {result:?}.")),
    }
    stop.stop();
    let finish = async {
        let _ = serving.await;
        stop.finished().await;
    };
    if tokio::time::timeout(GRACE, finish).await.is_err() {
        log(format!("Requests were still in progress after {} seconds.", GRACE.as_secs()));
    }
    Ok(())
}

async fn received(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// Tells whoever started the process where it listens.
fn announce(address: SocketAddr) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "listening on http://{address}").and_then(|()| out.flush());
}
