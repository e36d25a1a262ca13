//! A TCP connection on which a test says exactly what it wants, and hears exactly what is said.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustls::{ClientConnection, Stream};
use socket2::{Domain, SockRef, Socket, Type};

/// How long anything may take that should happen at once. Only a failing test waits for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);

/// Far less than any timeout that these tests leave at its default.
pub(crate) const AT_ONCE: Duration = Duration::from_secs(3);

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// With FIN.
    Closed,
    /// With RST.
    Reset,
}

/// One connection, read with a deadline.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    /// With it, what is said and heard is within TLS.
    session: Option<Box<ClientConnection>>,
    /// What was received and not yet taken.
    unread: Vec<u8>,
    end: Option<End>,
}

/// What a read brought.
enum Read1 {
    Bytes,
    End(End),
    Late,
}

impl Wire {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        Self::new(stream)
    }

    /// A connection whose kernel takes little that is not read.
    pub(crate) fn connect_slowly(address: SocketAddr) -> Self {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        socket.connect(&address.into()).unwrap();
        Self::new(socket.into())
    }

    /// A connection from a certain address of this machine.
    pub(crate) fn connect_from(source: IpAddr, address: SocketAddr) -> Self {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::new(source, 0).into()).unwrap();
        socket.connect(&address.into()).unwrap();
        Self::new(socket.into())
    }

    pub(crate) fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { stream, session: None, unread: Vec::new(), end: None }
    }

    /// A connection within which TLS is spoken; the handshake comes with the first bytes.
    pub(crate) fn connect_with(session: ClientConnection, address: SocketAddr) -> Self {
        Self { session: Some(Box::new(session)), ..Self::connect(address) }
    }

    pub(crate) fn session(&self) -> &ClientConnection {
        self.session.as_ref().unwrap()
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Writes everything; a peer that has closed already is no failure of the test.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.try_send(bytes);
    }

    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        let Some(session) = &mut self.session else {
            return self.stream.write_all(bytes.as_ref());
        };
        let mut stream = Stream::new(session.as_mut(), &mut self.stream);
        stream.write_all(bytes.as_ref())?;
        stream.flush()
    }

    /// Ends the sending direction.
    pub(crate) fn finish(&mut self) {
        if let Some(session) = &mut self.session {
            session.send_close_notify();
            let _ = session.write_tls(&mut self.stream);
        }
        let _ = self.stream.shutdown(std::net::Shutdown::Write);
    }

    /// Closes with a reset rather than in peace.
    pub(crate) fn abort(self) {
        let socket = SockRef::from(&self.stream);
        socket.set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// Takes so many bytes off what arrived.
    pub(crate) fn take(&mut self, count: usize) -> Vec<u8> {
        self.unread.drain(..count).collect()
    }

    /// Waits until `find` sees what it wants in the unread bytes; `None` when the connection ended
    /// before.
    ///
    /// # Panics
    /// When it takes too long.
    pub(crate) fn wait<T>(&mut self, mut find: impl FnMut(&[u8]) -> Option<T>) -> Option<T> {
        let due = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = find(&self.unread) {
                return Some(found);
            }
            match self.read(due) {
                Read1::Bytes => {}
                Read1::End(_) => return None,
                Read1::Late => panic!("still waiting after {:?}", lossy(&self.unread)),
            }
        }
    }

    /// Everything up to the end of the connection, and how it ended.
    pub(crate) fn read_to_end(&mut self) -> (Vec<u8>, End) {
        let due = Instant::now() + PATIENCE;
        loop {
            match self.read(due) {
                Read1::Bytes => {}
                Read1::End(end) => return (std::mem::take(&mut self.unread), end),
                Read1::Late => panic!("not closed after {:?}", lossy(&self.unread)),
            }
        }
    }

    /// Whether nothing arrives, and the connection stays, for that long.
    pub(crate) fn is_quiet_for(&mut self, time: Duration) -> bool {
        self.unread.is_empty() && matches!(self.read(Instant::now() + time), Read1::Late)
    }

    fn read(&mut self, due: Instant) -> Read1 {
        if let Some(end) = self.end {
            return Read1::End(end);
        }
        let left = due.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        self.stream.set_read_timeout(Some(left)).unwrap();
        let mut buffer = [0; 64 * 1024];
        let read = match &mut self.session {
            None => self.stream.read(&mut buffer),
            Some(session) => Stream::new(session.as_mut(), &mut self.stream).read(&mut buffer),
        };
        match read {
            Ok(0) => {
                self.end = Some(End::Closed);
                Read1::End(End::Closed)
            }
            Ok(count) => {
                self.unread.extend_from_slice(&buffer[..count]);
                Read1::Bytes
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Read1::Late
            }
            Err(_) => {
                self.end = Some(End::Reset);
                Read1::End(End::Reset)
            }
        }
    }
}

/// The first bytes as text, for messages.
pub(crate) fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(400)]).into_owned()
}

/// Waits for a condition of the world.
///
/// # Panics
/// When it takes too long.
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let due = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < due, "not yet: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
