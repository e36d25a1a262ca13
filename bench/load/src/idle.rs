//! Many connections that ask once and then wait.

use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::thread;

use argh::FromArgs;

use crate::http::{self, Body};
use crate::{Outcome, bulk, samples};

/// Open connections that ask once and then wait, until SIGINT.
#[derive(FromArgs)]
#[argh(subcommand, name = "idle")]
pub(crate) struct Arguments {
    /// address and port to connect to
    #[argh(option)]
    to: SocketAddr,
    /// how many connections
    #[argh(option)]
    connections: usize,
}

#[derive(serde::Serialize)]
struct Figures {
    connections: usize,
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let stop = bulk::stop_at_signal()?;
    let share = arguments.connections.div_ceil(OPENERS);
    let openers: Vec<_> = (0..OPENERS)
        .map(|number| (share * number).min(arguments.connections))
        .map(|before| share.min(arguments.connections - before))
        .map(|count| (count, arguments.to))
        .map(|(count, to)| thread::spawn(move || open_connections(to, count)))
        .collect();
    let mut open = Vec::with_capacity(arguments.connections);
    for opener in openers {
        open.extend(opener.join().map_err(|_| "a thread panicked")??);
    }
    println!("ready");
    stop.wait();
    samples::print(&Figures { connections: open.len() })
}

/// How many open connections at the same time.
const OPENERS: usize = 16;

fn open_connections(to: SocketAddr, count: usize) -> Outcome<Vec<TcpStream>> {
    let request = http::request("GET", "/small", http::HOST, "");
    let mut open = Vec::with_capacity(count);
    for _ in 0..count {
        let mut stream = TcpStream::connect(to)?;
        let (response, bytes) = http::exchange(&mut stream, &request)?;
        let (200, Body::Length(length)) = (response.status, response.body) else {
            return Err(format!("status {}, {:?}", response.status, response.body).into());
        };
        let rest = response.head_len + usize::try_from(length)? - bytes.len();
        stream.read_exact(&mut vec![0; rest])?;
        open.push(stream);
    }
    Ok(open)
}
