//! A service that the test plays itself: what the agent sends arrives in the test byte for byte,
//! and what the test says leaves as it is. Both ends of an exchange are then in one thread, and a
//! test reads as a conversation.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use super::answer::take_head;
use crate::peers::place::own_address;
use crate::peers::wire::{PATIENCE, Wire};

/// The listening end. Health checks are answered with 200 and never reach the test.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    calls: Receiver<Call>,
}

/// A request that arrived, and the connection on which it did.
#[derive(Debug)]
pub(crate) struct Call {
    /// With its blank line.
    pub(crate) head: Vec<u8>,
    /// What follows the head is not read yet.
    pub(crate) wire: Wire,
}

impl Origin {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind(own_address()).unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, calls) = channel();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let sender = sender.clone();
                thread::spawn(move || receive(stream, &sender));
            }
        });
        Self { address, calls }
    }

    /// The next request on a connection of its own.
    pub(crate) fn next(&self) -> Call {
        self.calls.recv_timeout(PATIENCE).expect("a request reaches the service")
    }

    /// Whether no request was on its way to the service until now.
    pub(crate) fn is_untouched(&self) -> bool {
        self.calls.try_recv().is_err()
    }
}

impl Call {
    /// The head as text, for tests without other bytes in it.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.head).unwrap()
    }

    /// The lines of the head whose name is this one, whatever its case.
    pub(crate) fn lines_of(&self, name: &str) -> Vec<&str> {
        let is_named = |line: &&str| {
            line.split_once(':').is_some_and(|(key, _)| key.eq_ignore_ascii_case(name))
        };
        self.text().lines().filter(is_named).collect()
    }

    /// Answers 200 without a body, so that the connection can be kept.
    pub(crate) fn approve(&mut self) {
        self.wire.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    }

    /// Answers 200 without a body, and says that the connection ends with it. On a busy machine the end
    /// alone may reach the agent after the next request, which fails then unless it may be sent again.
    pub(crate) fn approve_and_close(mut self) {
        self.wire.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    }
}

/// Hands the first request of a connection that is no health check to the test.
fn receive(stream: TcpStream, sender: &Sender<Call>) {
    let mut wire = Wire::new(stream);
    while let Some(head) = take_head(&mut wire) {
        if !head.starts_with(b"GET /health ") {
            // The test may be over.
            let _ = sender.send(Call { head, wire });
            return;
        }
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    }
}
