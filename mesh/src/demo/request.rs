//! One HTTP request, made the plain way: what any caller of the mesh does.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// A request with its response, as they were on the wire.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) request: String,
    pub(crate) response_head: String,
    pub(crate) response_body: String,
    pub(crate) took: Duration,
}

/// More than anything on one machine takes.
const TIMEOUT: Duration = Duration::from_secs(5);
/// More than the sample service ever answers.
const RESPONSE_BYTES_MAX: u64 = 64 * 1024;

/// Asks `address` for `path` of `host`.
pub(crate) fn get(address: SocketAddr, host: &str, path: &str) -> io::Result<Exchange> {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: mesh-demo\r\nAccept: */*\r\n\
         Connection: close\r\n\r\n"
    );
    let begin = Instant::now();
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream.write_all(request.as_bytes())?;
    let mut response = Vec::new();
    stream.take(RESPONSE_BYTES_MAX).read_to_end(&mut response)?;
    let took = begin.elapsed();
    let response = String::from_utf8_lossy(&response);
    let (head, body) = response
        .split_once("\r\n\r\n")
        .ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, "the answer is incomplete"))?;
    Ok(Exchange {
        request: request.trim_end().to_owned(),
        response_head: head.to_owned(),
        response_body: body.to_owned(),
        took,
    })
}

impl Exchange {
    /// The first line of the response.
    pub(crate) fn status_line(&self) -> &str {
        self.response_head.lines().next().unwrap_or_default()
    }

    /// Whether the service answered.
    pub(crate) fn is_success(&self) -> bool {
        self.status_line().starts_with("HTTP/1.1 200 ")
    }
}
