//! Many connections that ask once and then wait.

use std::io::Read;
use std::net::{SocketAddr, TcpStream};

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
    let request = http::request("GET", "/small", http::HOST, "");
    let mut open = Vec::with_capacity(arguments.connections);
    for _ in 0..arguments.connections {
        let mut stream = TcpStream::connect(arguments.to)?;
        let (response, bytes) = http::exchange(&mut stream, &request)?;
        let Body::Length(length) = response.body else {
            return Err("the answer has no length".into());
        };
        let rest = response.head_len + usize::try_from(length)? - bytes.len();
        stream.read_exact(&mut vec![0; rest])?;
        open.push(stream);
    }
    println!("ready");
    stop.wait();
    samples::print(&Figures { connections: open.len() })
}
