//! A small HTTP server of threads that keeps every request as it came.

use std::fmt;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::peers::caller::find;
use crate::peers::place::own_address;
use crate::peers::wire::wait_until;

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// With its blank line.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn method(&self) -> &str {
        self.head.split(' ').next().unwrap_or_default()
    }

    pub(crate) fn path(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }

    /// The value of a header, whatever the case of its name.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// What is asked of AWS: `GetCallerIdentity`, `DescribeTasks`.
    pub(crate) fn action(&self) -> String {
        if let Some(target) = self.field("x-amz-target") {
            return target.rsplit('.').next().unwrap_or_default().to_owned();
        }
        let body = String::from_utf8_lossy(&self.body);
        let action = body.split('&').find_map(|pair| pair.strip_prefix("Action="));
        action.unwrap_or_default().to_owned()
    }

    /// Head and body.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        [self.head.as_bytes(), &self.body].concat()
    }
}

/// What comes back.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// These bytes, then the next request.
    Bytes(Vec<u8>),
    /// These bytes, then the end.
    Last(Vec<u8>),
    /// A byte of them at a time, with pauses.
    Drip(Vec<u8>, Duration),
    /// These bytes, then those over and over.
    Endless(Vec<u8>, Vec<u8>),
    /// Nothing, but the connection stays.
    Silence,
    /// Nothing but the end.
    Close,
}

impl Reply {
    /// A whole response.
    pub(crate) fn new(status: u16, kind: &str, body: &str) -> Self {
        Self::with_headers(status, &[("content-type", kind)], body)
    }

    /// The same with headers of the test's choice.
    pub(crate) fn with_headers(status: u16, headers: &[(&str, &str)], body: &str) -> Self {
        let lines = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
        let (lines, length) = (lines.collect::<String>(), body.len());
        let head = format!("HTTP/1.1 {status} Fake\r\n{lines}content-length: {length}\r\n\r\n");
        Self::Bytes((head + body).into_bytes())
    }

    pub(crate) fn json(status: u16, body: &serde_json::Value) -> Self {
        Self::new(status, "application/json", &body.to_string())
    }
}

type Answer = dyn Fn(&Request) -> Reply + Send + Sync;

/// The server. It listens until it is dropped; connections end with their clients or soon after.
pub(crate) struct Fake {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    listening: Option<JoinHandle<()>>,
}

struct Shared {
    answer: Box<Answer>,
    seen: Mutex<Vec<Request>>,
    under_way: AtomicUsize,
    busiest: AtomicUsize,
    is_over: AtomicBool,
}

impl Fake {
    /// A server on an address of its own.
    pub(crate) fn start(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_at(own_address(), answer)
    }

    /// The same there.
    pub(crate) fn start_at(
        address: SocketAddr,
        answer: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener =
            TcpListener::bind(address).unwrap_or_else(|error| panic!("{address}: {error}"));
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            answer: Box::new(answer),
            seen: Mutex::default(),
            under_way: AtomicUsize::new(0),
            busiest: AtomicUsize::new(0),
            is_over: AtomicBool::new(false),
        });
        let served = Arc::clone(&shared);
        let listening = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if served.is_over.load(Ordering::SeqCst) {
                    return;
                }
                let served = Arc::clone(&served);
                std::thread::spawn(move || served.serve(stream));
            }
        });
        Self { address, shared, listening: Some(listening) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every request so far, in order of arrival.
    pub(crate) fn seen(&self) -> Vec<Request> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// How many requests for this action came so far.
    pub(crate) fn count(&self, action: &str) -> usize {
        let seen = self.shared.seen.lock().unwrap();
        seen.iter().filter(|request| request.action() == action).count()
    }

    /// Waits until so many requests for this action came.
    pub(crate) fn wait_count(&self, action: &str, count: usize) {
        wait_until(&format!("{count} times {action}"), || self.count(action) >= count);
    }

    /// The most requests that were waiting for their answers at once.
    pub(crate) fn busiest(&self) -> usize {
        self.shared.busiest.load(Ordering::SeqCst)
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        // Wakes the listener up, so that the address is free afterwards.
        let _ = TcpStream::connect(self.address);
        if let Some(listening) = self.listening.take() {
            let _ = listening.join();
        }
    }
}

impl fmt::Debug for Fake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fake").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Shared {
    /// One connection up to its end.
    fn serve(&self, mut stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let mut unread = Vec::new();
        while let Some(request) = read_request(&mut stream, &mut unread) {
            self.seen.lock().unwrap().push(request.clone());
            let under_way = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
            self.busiest.fetch_max(under_way, Ordering::SeqCst);
            let reply = (self.answer)(&request);
            self.under_way.fetch_sub(1, Ordering::SeqCst);
            if self.is_over.load(Ordering::SeqCst) || !write_reply(&mut stream, &reply) {
                return;
            }
        }
    }
}

/// Writes it; whether another request may follow.
fn write_reply(stream: &mut TcpStream, reply: &Reply) -> bool {
    match reply {
        Reply::Bytes(bytes) => stream.write_all(bytes).is_ok(),
        Reply::Last(bytes) => stream.write_all(bytes).is_err(),
        Reply::Drip(bytes, pause) => bytes.iter().all(|byte| {
            std::thread::sleep(*pause);
            stream.write_all(&[*byte]).is_ok()
        }),
        Reply::Endless(start, rest) => {
            let mut is_open = stream.write_all(start).is_ok();
            while is_open {
                is_open = stream.write_all(rest).is_ok();
            }
            false
        }
        // Until the client has enough of it.
        Reply::Silence => matches!(stream.read(&mut [0; 4096]), Ok(1..)),
        Reply::Close => false,
    }
}

/// The next request; nothing at the end of the connection.
fn read_request(stream: &mut TcpStream, unread: &mut Vec<u8>) -> Option<Request> {
    let mut buffer = [0; 16 * 1024];
    loop {
        if let Some(end) = find(unread, b"\r\n\r\n").map(|at| at + 4) {
            let head = String::from_utf8_lossy(&unread[..end]).into_owned();
            let mut request = Request { head, body: Vec::new() };
            let length = request.field("content-length").and_then(|length| length.parse().ok());
            let length: usize = length.unwrap_or(0);
            if unread.len() >= end + length {
                request.body = unread[end..end + length].to_vec();
                unread.drain(..end + length);
                return Some(request);
            }
        }
        match stream.read(&mut buffer) {
            Ok(count @ 1..) => unread.extend_from_slice(&buffer[..count]),
            Ok(_) | Err(_) => return None,
        }
    }
}
