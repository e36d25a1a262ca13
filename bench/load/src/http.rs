//! As much of HTTP as the loads need: heads of requests written, heads of responses read.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::Outcome;

pub(crate) const HOST: &str = "bench.localhost";

/// How the body of a response ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Body {
    Length(u64),
    Chunked,
    UntilEnd,
}

pub(crate) struct Response {
    pub(crate) head_len: usize,
    pub(crate) status: u16,
    pub(crate) body: Body,
}

pub(crate) fn request(method: &str, path: &str, host: &str, fields: &str) -> Vec<u8> {
    format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n").into_bytes()
}

/// A whole head at the beginning of `bytes`, if there is one yet.
pub(crate) fn response(bytes: &[u8]) -> Outcome<Option<Response>> {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(head_len) = head.parse(bytes)? else {
        return Ok(None);
    };
    let mut body = Body::UntilEnd;
    for field in head.headers.iter() {
        if field.name.eq_ignore_ascii_case("content-length") {
            body = Body::Length(std::str::from_utf8(field.value)?.parse()?);
        } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
            body = Body::Chunked;
        }
    }
    Ok(Some(Response { head_len, status: head.code.unwrap_or(0), body }))
}

/// Sends a request and reads up to the end of the response's head; what of the body came with it
/// is what follows `head_len`.
pub(crate) fn exchange(stream: &mut TcpStream, request: &[u8]) -> Outcome<(Response, Vec<u8>)> {
    stream.write_all(request)?;
    let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let count = stream.read(&mut piece)?;
        if count == 0 {
            return Err("the connection ended before the head of the response".into());
        }
        bytes.extend_from_slice(&piece[..count]);
        if let Some(response) = response(&bytes)? {
            return Ok((response, bytes));
        }
    }
}

/// One small request with its whole answer, on a connection of its own.
pub(crate) fn ask(to: SocketAddr, path: &str) -> Outcome<Vec<u8>> {
    let mut stream = TcpStream::connect(to)?;
    let (response, mut bytes) = exchange(&mut stream, &request("GET", path, HOST, ""))?;
    let Body::Length(length) = response.body else {
        return Err(format!("GET {path}: the answer has no length").into());
    };
    let whole = response.head_len + usize::try_from(length)?;
    let mut piece = [0; 4096];
    while bytes.len() < whole {
        match stream.read(&mut piece)? {
            0 => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            count => bytes.extend_from_slice(&piece[..count]),
        }
    }
    if response.status != 200 {
        return Err(format!("GET {path}: status {}", response.status).into());
    }
    Ok(bytes.split_off(response.head_len))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_framing_is_what_the_head_says() {
        let body = |text: &[u8]| response(text).unwrap().unwrap().body;
        assert_eq!(body(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"), Body::Length(5));
        assert_eq!(body(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), Body::Chunked);
        assert_eq!(body(b"HTTP/1.1 200 OK\r\n\r\n"), Body::UntilEnd);
        assert!(response(b"HTTP/1.1 200 OK\r\n").unwrap().is_none());
    }
}
