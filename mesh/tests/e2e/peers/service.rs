//! The local service of an agent, in the test's own process: it records every byte of every
//! request, and holds answers back until the test lets go of them.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::caller::find;
use super::place::own_address;
use super::wire::PATIENCE;

/// A service that listens until it is dropped.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    listening: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    name: String,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    requests: Vec<Request>,
    /// Requests that wait to be let go.
    held: usize,
    /// Connections that ended while their request was held, or while it was being answered.
    abandoned: usize,
    is_released: bool,
    is_unhealthy: bool,
    is_over: bool,
}

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn target(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }
}

/// How often a held request looks at whether its caller is still there.
const GLANCE: Duration = Duration::from_millis(10);

impl Service {
    /// Answers every path with its own name, the request line and the body, except:
    ///
    /// | path | answer |
    /// | --- | --- |
    /// | `/health` | 200 or 503, as the test wants; not recorded |
    /// | `/hold` | after [`Self::release`] |
    /// | `/half` | a head and half of a body, and the rest after [`Self::release`] |
    /// | `/deaf` | none; the body is not even read |
    /// | `/endless` | bytes without end |
    /// | `/pad?N` | a head with N bytes of padding |
    pub(crate) fn start(name: &str) -> Self {
        Self::start_at(name, own_address())
    }

    /// The same on an address of the test's choice.
    pub(crate) fn start_at(name: &str, address: SocketAddr) -> Self {
        let listener = listen(address);
        let address = listener.local_addr().unwrap();
        let name = name.to_owned();
        let (state, changed) = (Mutex::default(), Condvar::new());
        let shared = Arc::new(Shared { name, state, changed });
        let served = Arc::clone(&shared);
        let listening = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if served.lock().is_over {
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

    /// What was asked so far, without the health checks.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.shared.lock().requests.clone()
    }

    /// Requests that are held now.
    pub(crate) fn held(&self) -> usize {
        self.shared.lock().held
    }

    /// Waits until so many requests are held.
    pub(crate) fn wait_held(&self, count: usize) {
        self.wait("held requests", |state| state.held >= count);
    }

    /// Waits until so many held or half answered requests lost their caller.
    pub(crate) fn wait_abandoned(&self, count: usize) {
        self.wait("abandoned requests", |state| state.abandoned >= count);
    }

    /// Answers what is held, now and from now on.
    pub(crate) fn release(&self) {
        self.shared.lock().is_released = true;
        self.shared.changed.notify_all();
    }

    pub(crate) fn set_healthy(&self, healthy: bool) {
        self.shared.lock().is_unhealthy = !healthy;
    }

    fn wait(&self, what: &str, holds: impl Fn(&State) -> bool) {
        let state = self.shared.lock();
        let (state, timeout) =
            self.shared.changed.wait_timeout_while(state, PATIENCE, |state| !holds(state)).unwrap();
        assert!(!timeout.timed_out(), "not enough {what}: {state:?}");
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.shared.lock().is_over = true;
        self.release();
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
        let _ = self.listening.take().map(JoinHandle::join);
        // A process that another test starts at this moment has the listener too until it becomes
        // another program, and the system takes in callers for it.
        let due = Instant::now() + PATIENCE;
        while TcpStream::connect(self.address).is_ok() && Instant::now() < due {
            std::thread::sleep(GLANCE);
        }
    }
}

/// A listener whose port can be had again at once.
fn listen(address: SocketAddr) -> TcpListener {
    let due = Instant::now() + PATIENCE;
    loop {
        match TcpListener::bind(address) {
            Ok(listener) => return listener,
            Err(error) => assert!(Instant::now() < due, "{address}: {error}"),
        }
        std::thread::sleep(GLANCE);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.lock());
        self.changed.notify_all();
        result
    }

    fn serve(&self, mut stream: TcpStream) {
        let mut unread = Vec::new();
        let _ = stream.set_nodelay(true);
        while let Some(request) = read_request(&mut stream, &mut unread) {
            if self.lock().is_over {
                return;
            }
            let path = request.target().split('?').next().unwrap_or_default().to_owned();
            if path == "/health" {
                let status = if self.lock().is_unhealthy { "503 No" } else { "200 OK" };
                let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
                continue;
            }
            self.change(|state| state.requests.push(request.clone()));
            let body = self.describe(&request);
            let answered = match path.as_str() {
                "/hold" => self.hold(&stream) && reply(&mut stream, &body).is_ok(),
                "/deaf" => {
                    self.hold(&stream);
                    false
                }
                "/pad" => pad(&mut stream, request.target()).is_ok(),
                "/half" => self.answer_by_halves(&mut stream).is_ok(),
                "/endless" => self.answer_without_end(&mut stream).is_ok(),
                _ => reply(&mut stream, &body).is_ok(),
            };
            if !answered {
                self.change(|state| state.abandoned += 1);
                return;
            }
        }
    }

    fn describe(&self, request: &Request) -> Vec<u8> {
        let line = request.head.lines().next().unwrap_or_default();
        [format!("{}: {line}\n", self.name).as_bytes(), &request.body].concat()
    }

    /// Waits to be let go; false when the caller left before.
    fn hold(&self, stream: &TcpStream) -> bool {
        let _ = stream.set_read_timeout(Some(GLANCE));
        self.change(|state| state.held += 1);
        let mut is_there = true;
        while is_there && !self.lock().is_released {
            is_there = match stream.peek(&mut [0]) {
                Ok(0) => false,
                Ok(_) => {
                    std::thread::sleep(GLANCE);
                    true
                }
                Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
            };
        }
        self.change(|state| state.held -= 1);
        let _ = stream.set_read_timeout(None);
        is_there
    }

    fn answer_by_halves(&self, stream: &mut TcpStream) -> std::io::Result<()> {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf")?;
        if !self.hold(stream) {
            return Err(ErrorKind::ConnectionReset.into());
        }
        stream.write_all(b"half")
    }

    fn answer_without_end(&self, stream: &mut TcpStream) -> std::io::Result<()> {
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        let chunk = [b"4000\r\n", &[b'x'; 0x4000][..], b"\r\n"].concat();
        while !self.lock().is_over {
            stream.write_all(&chunk)?;
        }
        Ok(())
    }
}

fn pad(stream: &mut TcpStream, target: &str) -> std::io::Result<()> {
    let size = target.split_once('?').and_then(|(_, size)| size.parse().ok()).unwrap_or(0);
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: {}\r\n\r\n", "a".repeat(size))
}

fn reply(stream: &mut TcpStream, body: &[u8]) -> std::io::Result<()> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(&[head.as_bytes(), body].concat())
}

/// The next whole request; what the mesh sends is framed by `Content-Length` or in chunks.
fn read_request(stream: &mut TcpStream, unread: &mut Vec<u8>) -> Option<Request> {
    let head_end = fill_until(stream, unread, |bytes| find(bytes, b"\r\n\r\n"))? + 4;
    let head = String::from_utf8_lossy(&unread.drain(..head_end).collect::<Vec<_>>()).into_owned();
    let field = |name: &str| {
        head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    };
    let mut body = Vec::new();
    if head.contains(" /deaf") {
        return Some(Request { head, body });
    }
    if field("transfer-encoding").is_some() {
        loop {
            let line = fill_until(stream, unread, |bytes| find(bytes, b"\r\n"))?;
            let line: Vec<u8> = unread.drain(..line + 2).collect();
            let size = usize::from_str_radix(std::str::from_utf8(&line).ok()?.trim(), 16).ok()?;
            fill_until(stream, unread, |bytes| (bytes.len() >= size + 2).then_some(0))?;
            body.extend(unread.drain(..size + 2).take(size));
            if size == 0 {
                break;
            }
        }
    } else if let Some(length) = field("content-length") {
        let length = length.parse().ok()?;
        fill_until(stream, unread, |bytes| (bytes.len() >= length).then_some(0))?;
        body.extend(unread.drain(..length));
    }
    Some(Request { head, body })
}

fn fill_until(
    stream: &mut TcpStream,
    unread: &mut Vec<u8>,
    find: impl Fn(&[u8]) -> Option<usize>,
) -> Option<usize> {
    let mut buffer = [0; 16 * 1024];
    loop {
        if let Some(found) = find(unread) {
            return Some(found);
        }
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return None,
            Ok(count) => unread.extend_from_slice(&buffer[..count]),
        }
    }
}
