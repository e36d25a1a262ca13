//! A caller that writes its requests by hand and reads whole responses.

use std::net::SocketAddr;

use super::wire::{End, Wire, lossy};

/// A whole response.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// With its blank line.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

/// A response that did not arrive.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The connection ended before the response began.
    Unanswered(End),
    /// The connection ended within it.
    Short(End),
}

impl Response {
    /// The value of a field, if it is there.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The reason of an answer by the mesh itself.
    pub(crate) fn error(&self) -> &str {
        self.field("x-mesh-error").unwrap_or("none")
    }

    /// The status and the reason, in the form in which tests compare them.
    pub(crate) fn verdict(&self) -> (u16, &str) {
        (self.status, self.error())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Whether the sender closes the connection behind it.
    pub(crate) fn is_last(&self) -> bool {
        self.field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

/// Reads the next final response to a request that was sent on the connection.
pub(crate) fn read_response(wire: &mut Wire) -> Result<Response, Cut> {
    loop {
        let mut is_begun = false;
        let head = wire.wait(|bytes| {
            is_begun |= !bytes.is_empty();
            find(bytes, b"\r\n\r\n").map(|at| at + 4)
        });
        let Some(length) = head else {
            let end = wire.read_to_end().1;
            return Err(if is_begun { Cut::Short(end) } else { Cut::Unanswered(end) });
        };
        let head = String::from_utf8(wire.take(length)).unwrap();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status: u16 = status.unwrap_or_else(|| panic!("no status in {head:?}"));
        if status >= 200 {
            let mut response = Response { status, head, body: Vec::new() };
            response.body = read_body(wire, &response)?;
            return Ok(response);
        }
    }
}

fn read_body(wire: &mut Wire, response: &Response) -> Result<Vec<u8>, Cut> {
    if matches!(response.status, 204 | 304) {
        return Ok(Vec::new());
    }
    if response.field("transfer-encoding").is_some() {
        return read_chunks(wire);
    }
    let Some(length) = response.field("content-length") else {
        return match wire.read_to_end() {
            (body, End::Closed) => Ok(body),
            (_, End::Reset) => Err(Cut::Short(End::Reset)),
        };
    };
    let length = length.parse().unwrap();
    take_exactly(wire, length)
}

fn read_chunks(wire: &mut Wire) -> Result<Vec<u8>, Cut> {
    let mut body = Vec::new();
    loop {
        let line = wire.wait(|bytes| find(bytes, b"\r\n"));
        let Some(length) = line else { return Err(Cut::Short(wire.read_to_end().1)) };
        let line = String::from_utf8(wire.take(length + 2)).unwrap();
        let size = usize::from_str_radix(line.trim_end(), 16).unwrap();
        let mut chunk = take_exactly(wire, size + 2)?;
        chunk.truncate(size);
        body.extend(chunk);
        if size == 0 {
            return Ok(body);
        }
    }
}

fn take_exactly(wire: &mut Wire, count: usize) -> Result<Vec<u8>, Cut> {
    match wire.wait(|bytes| (bytes.len() >= count).then_some(())) {
        Some(()) => Ok(wire.take(count)),
        None => Err(Cut::Short(wire.read_to_end().1)),
    }
}

/// One request on a connection of its own, for the host with which all tests register.
pub(crate) fn get(address: SocketAddr, path: &str) -> Response {
    ask(address, request("GET", path, ""))
}

/// Sends the bytes on a connection of their own and reads one response.
pub(crate) fn ask(address: SocketAddr, bytes: impl AsRef<[u8]>) -> Response {
    let bytes = bytes.as_ref();
    try_ask(address, bytes).unwrap_or_else(|cut| panic!("{cut:?} after {:?}", lossy(bytes)))
}

/// The same for a response that may not come.
pub(crate) fn try_ask(address: SocketAddr, bytes: impl AsRef<[u8]>) -> Result<Response, Cut> {
    let mut wire = Wire::connect(address);
    wire.send(bytes);
    read_response(&mut wire)
}

/// A request with a body, which may be empty.
pub(crate) fn request(method: &str, path: &str, body: &str) -> String {
    let length = match (method, body.len()) {
        ("GET" | "HEAD", 0) => String::new(),
        (_, length) => format!("Content-Length: {length}\r\n"),
    };
    format!("{method} {path} HTTP/1.1\r\nHost: {HOST}\r\n{length}\r\n{body}")
}

/// The host that the agents of these tests register.
pub(crate) const HOST: &str = "demo.local";

/// Where a byte string lies in another one.
pub(crate) fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
