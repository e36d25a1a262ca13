//! What is beyond a proxy: the target, and the talk with the proxy until it is reached.

use std::io::{self, Read, Write};

use mesh_protocol::proxy::{ConnectRequest, Way};
use mesh_protocol::{Security, Target};
use mio::net::TcpStream;

/// A target that is reached through a proxy.
#[derive(Debug)]
pub(super) struct Beyond {
    pub(super) target: Target,
    ask: ConnectRequest,
    has_begun: bool,
}

/// What one read brings of a proxy's answer.
const READ_BYTES: usize = 1024;

impl Beyond {
    /// Whom to connect to for a target, and what is beyond.
    pub(super) fn split(mut target: Target) -> (Target, Option<Self>) {
        let Some(proxy) = target.via.take() else {
            return (target, None);
        };
        let ask = ConnectRequest::new(&proxy, &target.host, target.port);
        let first = Target {
            host: proxy.host,
            port: proxy.port,
            security: Security::Plain,
            traffic: target.traffic,
            via: None,
        };
        (first, Some(Self { target, ask, has_begun: false }))
    }

    /// Whether the proxy is being talked to.
    pub(super) const fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// Says and hears what can be said and heard now.
    ///
    /// # Errors
    /// The proxy does not let us through, or the connection to it broke.
    pub(super) fn talk(&mut self, stream: &mut TcpStream) -> io::Result<Way> {
        self.has_begun = true;
        let talked = self.say(stream).and_then(|()| self.hear(stream));
        match talked {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Way::Pending),
            talked => talked,
        }
    }

    fn say(&mut self, stream: &mut TcpStream) -> io::Result<()> {
        while !self.ask.unsent().is_empty() {
            match stream.write(self.ask.unsent()) {
                Ok(count) => self.ask.sent(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Comes to an end even with a proxy that speaks without one: only so long an answer is pending.
    fn hear(&mut self, stream: &mut TcpStream) -> io::Result<Way> {
        let mut bytes = [0; READ_BYTES];
        loop {
            let count = match stream.read(&mut bytes) {
                Ok(0) => {
                    let kind = io::ErrorKind::UnexpectedEof;
                    return Err(io::Error::new(kind, "it closed the connection"));
                }
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let way = self.ask.receive(&bytes[..count]);
            match way
                .map_err(|refusal| io::Error::new(io::ErrorKind::ConnectionRefused, refusal))?
            {
                Way::Open => return Ok(Way::Open),
                Way::Pending => {}
            }
        }
    }
}
