//! A server on loopback that says what a test tells it to, and remembers what it was asked.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// What was asked: the first line, the headers in lower case, the body.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asked {
    pub(crate) line: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

/// What to say to it.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// Status and body.
    Answer(u16, String),
    /// These bytes.
    Raw(Vec<u8>),
    /// Nothing, until the client gives up.
    Silence,
    /// The end of the connection.
    Hangup,
    /// One byte of a long answer after the other, until the client gives up.
    Drip,
}

pub(crate) struct Server {
    address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// A server that decides by what it was asked and by how many were before it.
    pub(crate) fn start(reply: impl Fn(&Asked, usize) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                serve(stream, &seen, &reply);
            }
        });
        Self { address, asked }
    }

    /// A server that gives these replies one after the other, and the last one for ever.
    pub(crate) fn script(replies: Vec<Reply>) -> Self {
        Self::start(move |_, before| replies[before.min(replies.len() - 1)].clone())
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its host and port.
    pub(crate) fn address(&self) -> (String, u16) {
        let (host, port) = self.address.rsplit_once(':').unwrap();
        (host.to_owned(), port.parse().unwrap())
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

impl Reply {
    pub(crate) fn ok(body: impl Into<String>) -> Self {
        Self::Answer(200, body.into())
    }
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_str())
    }
}

/// An address where nobody listens, now or later: no server of a test is on that address.
pub(crate) fn refused() -> String {
    let listener = TcpListener::bind("127.0.0.2:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// One request per connection.
fn serve(mut stream: TcpStream, seen: &Mutex<Vec<Asked>>, reply: &impl Fn(&Asked, usize) -> Reply) {
    let Some(asked) = read(&stream) else {
        return;
    };
    let before = {
        let mut seen = seen.lock().unwrap();
        seen.push(asked.clone());
        seen.len() - 1
    };
    // A client that has gone is what some tests are about.
    let _ = match reply(&asked, before) {
        Reply::Answer(status, body) => stream.write_all(
            format!(
                "HTTP/1.1 {status} X\r\nlocation: /elsewhere\r\ncontent-length: {}\r\n\
                 connection: close\r\n\r\n{body}",
                body.len()
            )
            .as_bytes(),
        ),
        Reply::Raw(bytes) => stream.write_all(&bytes),
        Reply::Silence => stream.read_to_end(&mut Vec::new()).map(|_| ()),
        Reply::Hangup => Ok(()),
        Reply::Drip => drip(stream),
    };
}

fn drip(mut stream: TcpStream) -> std::io::Result<()> {
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")?;
    stream.set_read_timeout(Some(std::time::Duration::from_millis(20)))?;
    for _ in 0..1000 {
        stream.write_all(b"x")?;
        if matches!(stream.read(&mut [0]), Ok(0)) {
            break;
        }
    }
    Ok(())
}

fn read(stream: &TcpStream) -> Option<Asked> {
    let mut reader = BufReader::new(stream);
    let mut asked = Asked::default();
    reader.read_line(&mut asked.line).ok()?;
    asked.line = asked.line.trim_end().to_owned();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':')?;
        asked.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = asked.header("content-length").map_or(0, |value| value.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    asked.body = String::from_utf8(body).unwrap();
    Some(asked)
}
