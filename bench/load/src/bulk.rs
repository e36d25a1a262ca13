//! Large bodies, down and up, one thread for each stream.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use argh::FromArgs;
use serde::Serialize;
use signal_hook::consts::{SIGINT, SIGTERM};
use socket2::{Domain, Socket, Type};

use crate::http::{self, Body};
use crate::{Outcome, samples};

/// Fetch a path again and again.
#[derive(FromArgs)]
#[argh(subcommand, name = "download")]
pub(crate) struct Download {
    /// address and port to connect to
    #[argh(option)]
    to: SocketAddr,
    /// what to fetch
    #[argh(option, default = "String::from(\"/100m\")")]
    path: String,
    /// how many at once
    #[argh(option, default = "1")]
    streams: usize,
    /// how long, at most
    #[argh(option)]
    seconds: u64,
    /// bytes per second that each stream takes at most; 0 is as many as come
    #[argh(option, default = "0")]
    reader_rate: u32,
}

/// Send bodies of 100 MiB again and again to /sink.
#[derive(FromArgs)]
#[argh(subcommand, name = "upload")]
pub(crate) struct Upload {
    /// address and port to connect to
    #[argh(option)]
    to: SocketAddr,
    /// how many at once
    #[argh(option, default = "1")]
    streams: usize,
    /// how long, at most
    #[argh(option)]
    seconds: u64,
}

#[derive(Serialize)]
struct Figures {
    bytes: u64,
    seconds: f64,
}

/// Set when the time is over or somebody asks for the figures.
#[derive(Clone)]
pub(crate) struct Stop {
    asked: Arc<AtomicBool>,
    deadline: Option<Instant>,
}

impl Stop {
    fn is_due(&self) -> bool {
        self.asked.load(Ordering::Relaxed) || self.deadline.is_some_and(|at| Instant::now() >= at)
    }

    pub(crate) fn wait(&self) {
        while !self.is_due() {
            thread::sleep(Duration::from_millis(10));
        }
    }
}

pub(crate) fn stop_at_signal() -> Outcome<Stop> {
    let asked = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&asked))?;
    }
    Ok(Stop { asked, deadline: None })
}

fn stop_after(seconds: u64) -> Outcome<Stop> {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    Ok(Stop { deadline: Some(deadline), ..stop_at_signal()? })
}

pub(crate) fn download(arguments: Download) -> Outcome {
    let stop = stop_after(arguments.seconds)?;
    let count = Arc::new(AtomicU64::new(0));
    let begun = Instant::now();
    let (streams, arguments) = (arguments.streams, Arc::new(arguments));
    run_all(streams, || {
        let (stop, count, arguments) = (stop.clone(), Arc::clone(&count), Arc::clone(&arguments));
        thread::spawn(move || fetch(&arguments, &stop, &count))
    })?;
    let bytes = count.load(Ordering::Relaxed);
    samples::print(&Figures { bytes, seconds: begun.elapsed().as_secs_f64() })
}

fn run_all(streams: usize, start: impl FnMut() -> thread::JoinHandle<Outcome>) -> Outcome {
    let threads: Vec<_> = std::iter::repeat_with(start).take(streams).collect();
    for thread in threads {
        thread.join().map_err(|_| "a stream's thread panicked")??;
    }
    Ok(())
}

fn fetch(arguments: &Download, stop: &Stop, count: &AtomicU64) -> Outcome {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    if arguments.reader_rate > 0 {
        // Else the kernel takes megabytes for a reader that takes nothing.
        socket.set_recv_buffer_size(64 << 10)?;
    }
    socket.connect(&arguments.to.into())?;
    let mut stream = TcpStream::from(socket);
    let request = http::request("GET", &arguments.path, http::HOST, "");
    let piece_size = if arguments.reader_rate > 0 { 16 << 10 } else { 256 << 10 };
    let mut piece = vec![0; piece_size];
    let (begun, mut taken) = (Instant::now(), 0_u64);
    while !stop.is_due() {
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let (response, bytes) = http::exchange(&mut stream, &request)?;
        let (200, Body::Length(length)) = (response.status, response.body) else {
            return Err(format!("status {}, {:?}", response.status, response.body).into());
        };
        // Short, so that a stalled stream ends with the others.
        stream.set_read_timeout(Some(Duration::from_millis(100)))?;
        let mut left = length - u64::try_from(bytes.len() - response.head_len)?;
        count.fetch_add(length - left, Ordering::Relaxed);
        while left > 0 && !stop.is_due() {
            let size = match stream.read(&mut piece) {
                Ok(0) => return Err(format!("a body ended {left} bytes early").into()),
                Ok(size) => u64::try_from(size)?,
                Err(error) if is_timeout(&error) => continue,
                Err(error) => return Err(error.into()),
            };
            left = left.checked_sub(size).ok_or("a body is longer than it should be")?;
            taken += size;
            count.fetch_add(size, Ordering::Relaxed);
            if arguments.reader_rate > 0 {
                pace(begun, taken, arguments.reader_rate);
            }
        }
    }
    Ok(())
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

fn pace(begun: Instant, taken: u64, rate: u32) {
    let due = Duration::from_micros(taken * 1_000_000 / u64::from(rate));
    thread::sleep((begun + due).saturating_duration_since(Instant::now()));
}

const UPLOAD_BYTES: usize = 100 << 20;

pub(crate) fn upload(arguments: Upload) -> Outcome {
    let stop = stop_after(arguments.seconds)?;
    // What was written may still be anywhere in the chain; the backend knows what came.
    let (before, begun) = (sunk(arguments.to)?, Instant::now());
    let to = arguments.to;
    run_all(arguments.streams, || {
        let stop = stop.clone();
        thread::spawn(move || send(to, &stop))
    })?;
    let bytes = sunk(arguments.to)? - before;
    // Both answers were on their way for the same time, so it does not count.
    samples::print(&Figures { bytes, seconds: begun.elapsed().as_secs_f64() })
}

fn sunk(to: SocketAddr) -> Outcome<u64> {
    Ok(std::str::from_utf8(&http::ask(to, "/sunk")?)?.trim().parse()?)
}

fn send(to: SocketAddr, stop: &Stop) -> Outcome {
    let mut stream = TcpStream::connect(to)?;
    stream.set_write_timeout(Some(Duration::from_millis(100)))?;
    let mut piece = vec![0; 256 << 10];
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut piece)
        .map_err(|_| "the system gives no random bytes")?;
    let head =
        http::request("POST", "/sink", http::HOST, &format!("Content-Length: {UPLOAD_BYTES}\r\n"));
    while !stop.is_due() {
        stream.write_all(&head)?;
        let mut left = UPLOAD_BYTES;
        while left > 0 && !stop.is_due() {
            match stream.write(&piece[..left.min(piece.len())]) {
                Ok(size) => left -= size,
                Err(error) if is_timeout(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if left == 0 {
            let (response, _) = http::exchange(&mut stream, b"")?;
            if response.status != 200 {
                return Err(format!("an upload got status {}", response.status).into());
            }
        }
    }
    Ok(())
}
