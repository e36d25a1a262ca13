//! The way through an HTTP proxy, by `CONNECT` (RFC 9110 9.3.6): a request and its answer, before the
//! first byte for the target.
//!
//! ```text
//!   ConnectRequest: unsent, sent ... ---> receive ---> Pending ---> ... ---> Open: the connection is the target's
//!                                 `---> Refusal
//! ```

use std::fmt;

use data_encoding::BASE64;

use crate::http1::{ClientConn, Storage};

/// A proxy on the way to a target.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    /// A DNS name or an address literal without brackets.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    credentials: Option<String>,
}

/// Credentials stay out of logs.
impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Authority(&self.host, self.port))
    }
}

impl Proxy {
    /// A proxy, and what it is told of who asks: `user:password` (RFC 7617).
    #[must_use]
    pub const fn new(host: String, port: u16, credentials: Option<String>) -> Self {
        Self { host, port, credentials }
    }

    /// `user:password`, if it wants to know who asks.
    #[must_use]
    pub fn credentials(&self) -> Option<&str> {
        self.credentials.as_deref()
    }
}

/// A host with its port, as it stands in a request and in messages.
#[derive(Debug)]
pub struct Authority<'a>(pub &'a str, pub u16);

impl fmt::Display for Authority<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(host, port) = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// One request to a proxy, until its answer is there.
#[derive(Debug)]
pub struct ConnectRequest {
    request: Vec<u8>,
    sent: usize,
    answer: Vec<u8>,
    /// How much of an answer is still read, `answer` included.
    answer_bytes_left: usize,
}

/// How far the way is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// More of the answer is to come.
    Pending,
    /// Whatever follows is between us and the target.
    Open,
}

/// Why there is no way through the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It answered with this status.
    Status(u16),
    /// What it answered is no HTTP, or too long.
    NotHttp,
    /// It, or the target, spoke before it was spoken to.
    Early,
}

/// The longest answer that is read, with the interim ones before it: proxies explain themselves in the
/// body, which is not.
const ANSWER_BYTES_MAX: usize = 8 * 1024;

impl ConnectRequest {
    /// Asks `proxy` for a connection to this host and port.
    #[must_use]
    pub fn new(proxy: &Proxy, host: &str, port: u16) -> Self {
        let target = Authority(host, port);
        let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
        if let Some(credentials) = proxy.credentials() {
            let encoded = BASE64.encode(credentials.as_bytes());
            request += &format!("Proxy-Authorization: Basic {encoded}\r\n");
        }
        request += "\r\n";
        Self {
            request: request.into_bytes(),
            sent: 0,
            answer: Vec::new(),
            answer_bytes_left: ANSWER_BYTES_MAX,
        }
    }

    /// What is still to be sent.
    #[must_use]
    pub fn unsent(&self) -> &[u8] {
        &self.request[self.sent..]
    }

    /// So many bytes of that were sent.
    pub fn sent(&mut self, count: usize) {
        self.sent = self.request.len().min(self.sent + count);
    }

    /// Takes in what the proxy said.
    ///
    /// # Errors
    /// It does not let us through.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<Way, Refusal> {
        self.answer.extend_from_slice(bytes);
        loop {
            let mut storage = Storage::new();
            let head =
                ClientConn::new(self.answer_bytes_left).read_head(&self.answer, &mut storage);
            let Some(head) = head.map_err(|_| Refusal::NotHttp)? else { return Ok(Way::Pending) };
            let length = head.bytes.len();
            match head.status {
                200..=299 if length < self.answer.len() => return Err(Refusal::Early),
                200..=299 => return Ok(Way::Open),
                // Interim: another answer follows (RFC 9110 15.2).
                100 | 102..=199 => {
                    self.answer_bytes_left -= length;
                    self.answer.drain(..length);
                }
                status => return Err(Refusal::Status(status)),
            }
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(407) => f.write_str("it answered 407: it wants (other) credentials"),
            Self::Status(status) => write!(f, "it answered {status}"),
            Self::NotHttp => f.write_str("its answer is not HTTP"),
            Self::Early => f.write_str("something was said before the tunnel began"),
        }
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(credentials: Option<&str>) -> ConnectRequest {
        let credentials = credentials.map(str::to_owned);
        let proxy = Proxy::new("proxy.test".to_owned(), 3128, credentials);
        ConnectRequest::new(&proxy, "ingress.test", 443)
    }

    #[test]
    fn the_request_names_the_target_and_who_asks() {
        let mut anonymous = ask(None);
        let head = b"CONNECT ingress.test:443 HTTP/1.1\r\nHost: ingress.test:443\r\n\r\n";
        assert_eq!(anonymous.unsent(), head);
        anonymous.sent(10);
        assert_eq!(anonymous.unsent(), &head[10..]);
        let known = ask(Some("Aladdin:open sesame"));
        let request = String::from_utf8(known.unsent().to_vec()).unwrap();
        // The example of RFC 7617 2.
        let field = "\r\nProxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n";
        assert!(request.ends_with(field), "{request}");
    }

    #[test]
    fn an_address_of_version_6_has_brackets() {
        let proxy = Proxy::new("proxy.test".to_owned(), 3128, None);
        let request = ConnectRequest::new(&proxy, "2001:db8::1", 443).unsent().to_vec();
        assert!(request.starts_with(b"CONNECT [2001:db8::1]:443 HTTP/1.1\r\n"));
    }

    #[test]
    fn nothing_tells_of_credentials() {
        let credentials = Some("user:secret".to_owned());
        let proxy = Proxy::new("proxy.test".to_owned(), 3128, credentials);
        assert_eq!(format!("{proxy:?}"), "proxy.test:3128");
    }

    #[test]
    fn the_way_is_open_after_any_success_however_it_comes() {
        for answer in [
            "HTTP/1.1 200 Connection established\r\n\r\n",
            "HTTP/1.0 200 OK\r\nProxy-Agent: x\r\n\r\n",
            "HTTP/1.1 204 \r\n\r\n",
            // RFC 9110 9.3.6: to be ignored.
            "HTTP/1.1 200 OK\r\nContent-Length: 10\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 199 Wait\r\nX: y\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        ] {
            let mut whole = ask(None);
            assert_eq!(whole.receive(answer.as_bytes()), Ok(Way::Open), "{answer}");
            let mut bit_by_bit = ask(None);
            let (last, first) = answer.as_bytes().split_last().unwrap();
            for byte in first {
                assert_eq!(bit_by_bit.receive(&[*byte]), Ok(Way::Pending), "{answer}");
            }
            assert_eq!(bit_by_bit.receive(&[*last]), Ok(Way::Open), "{answer}");
        }
    }

    #[test]
    fn what_is_no_success_is_named() {
        for (answer, refusal) in [
            ("HTTP/1.1 407 Who are you?\r\nContent-Length: 3\r\n\r\nwho", Refusal::Status(407)),
            ("HTTP/1.1 403 Forbidden\r\n\r\n", Refusal::Status(403)),
            ("HTTP/1.1 101 Switching Protocols\r\n\r\n", Refusal::Status(101)),
            ("HTTP/1.1 102 Wait\r\n\r\nHTTP/1.1 403 Forbidden\r\n\r\n", Refusal::Status(403)),
            ("HTTP/1.1 200 OK\r\n\r\nHello", Refusal::Early),
            ("SSH-2.0-OpenSSH_9.2\r\n\r\n", Refusal::NotHttp),
            ("\x15\x03\x01\x00\x02\x02\x16\r\n\r\n", Refusal::NotHttp),
        ] {
            assert_eq!(ask(None).receive(answer.as_bytes()), Err(refusal), "{answer}");
        }
        let endless = [b"HTTP/1.1 200 OK\r\nX: ", &b"x".repeat(ANSWER_BYTES_MAX)[..]].concat();
        assert_eq!(ask(None).receive(&endless), Err(Refusal::NotHttp));
    }

    /// Whoever reads until nothing more is there would read for as long as the proxy speaks.
    #[test]
    fn interim_answers_without_end_are_no_answer() {
        let interim = b"HTTP/1.1 100 Continue\r\n\r\n";
        assert_eq!(ask(None).receive(&interim.repeat(1000)), Err(Refusal::NotHttp));
        let mut one_by_one = ask(None);
        let receive = |_| one_by_one.receive(interim);
        let last = (0..1000).map(receive).find(|way| *way != Ok(Way::Pending));
        assert_eq!(last, Some(Err(Refusal::NotHttp)));
    }
}
