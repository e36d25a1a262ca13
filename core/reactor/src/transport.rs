//! TCP with and without TLS, as the driver needs it.

mod passing;
mod tls;

use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use mesh_protocol::tls::TlsFilter;
use mesh_protocol::{Buf, Filled, Flushed, Patience, Traffic, Transport, Unread};
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use socket2::{SockRef, TcpKeepalive};

use crate::identity::dns_names;
use tls::Tls;

/// One connection's socket.
#[derive(Debug)]
pub(crate) enum Socket {
    Plain(Plain),
    Tls(Box<Tls>),
}

#[derive(Debug)]
pub(crate) struct Plain {
    stream: TcpStream,
}

/// The least room in a queue for reading straight into it: a small head.
const DIRECT_BYTES_MIN: usize = 2 * 1024;
/// Linux keeps the last bytes, less than a full segment, for what is said next (send(2)): the FIN of
/// a connection that ends after them saves a segment, which loopback and NAT pay for at both ends.
#[cfg(any(target_os = "android", target_os = "linux"))]
const MSG_MORE: i32 = 0x8000;
#[cfg(not(any(target_os = "android", target_os = "linux")))]
const MSG_MORE: i32 = 0;
/// What may wait unsent in the kernel on a connection of many flows; nothing overtakes it there.
const UNSENT_BYTES_MAX: u32 = 16 * 1024;

/// What [`Patience::Short`] is: the kernel repeats a packet three times in that, the first time after
/// 200 ms.
const UNHEARD_MAX: Duration = Duration::from_secs(2);

impl Socket {
    pub(crate) const fn plain(stream: TcpStream) -> Self {
        Self::Plain(Plain { stream })
    }

    pub(crate) fn tls(stream: TcpStream, filter: TlsFilter) -> Self {
        Self::Tls(Box::new(Tls::new(stream, filter)))
    }

    /// Registers the socket, once for as long as this worker has it. When the kernel refuses, the connection is shut
    /// instead, and the driver finds its end.
    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let stream = self.stream_mut();
        let registered = register(stream, registry, token);
        if registered.is_err() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        registered
    }

    /// Ends the registration, for the socket to be registered with another loop. The kernel tells
    /// that one anew how the socket stands, so no edge is lost on the way.
    pub(crate) fn deregister(&mut self, registry: &Registry) {
        // A socket that the kernel does not know is not registered either.
        let _ = registry.deregister(self.stream_mut());
    }

    const fn stream_mut(&mut self) -> &mut TcpStream {
        match self {
            Self::Plain(plain) => &mut plain.stream,
            Self::Tls(tls) => &mut tls.stream,
        }
    }
}

/// Both directions, edge-triggered.
pub(crate) fn register(
    stream: &mut TcpStream,
    registry: &Registry,
    token: Token,
) -> io::Result<()> {
    registry.register(stream, token, Interest::READABLE | Interest::WRITABLE)
}

/// Sets the options of a socket that we connected, or of a listening one: all that are accepted from that
/// inherit them (Linux), which saves calls for each. One that the kernel refuses costs speed, not
/// correctness, and a connection that is already broken will say so itself.
///
/// An answer may take hours; whether the peer is still there shows in a minute while nothing is on its way to
/// it, even when it has ended its direction.
pub(crate) fn set_options(socket: &SockRef<'_>, traffic: Traffic) {
    let _ = socket.set_tcp_nodelay(true);
    match traffic {
        Traffic::Single => {}
        Traffic::Multiplexed => {
            #[cfg(any(target_os = "android", target_os = "linux"))]
            let _ = socket.set_tcp_notsent_lowat(UNSENT_BYTES_MAX);
        }
    }
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(30))
        .with_interval(Duration::from_secs(10))
        .with_retries(3);
    let _ = socket.set_tcp_keepalive(&keepalive);
}

impl Transport for Socket {
    fn fill(&mut self, rx: &mut Buf, max: usize, scratch: &mut [u8]) -> io::Result<Filled> {
        match self {
            Self::Plain(plain) => plain.fill(rx, max, scratch),
            Self::Tls(tls) => tls.fill(rx, max, scratch),
        }
    }

    fn flush(&mut self, tx: &mut Buf) -> io::Result<Flushed> {
        match self {
            Self::Plain(plain) => plain.flush(tx, Then::More),
            Self::Tls(tls) => tls.flush(tx, Then::More),
        }
    }

    fn flush_with(&mut self, tx: &mut Buf, pieces: &[&[u8]]) -> io::Result<Flushed> {
        match self {
            Self::Plain(plain) => plain.flush_with(tx, pieces),
            Self::Tls(tls) => tls.flush_with(tx, pieces),
        }
    }

    fn flush_last(&mut self, tx: &mut Buf) -> io::Result<Flushed> {
        match self {
            Self::Plain(plain) => plain.flush(tx, Then::End),
            Self::Tls(tls) => tls.flush(tx, Then::End),
        }
    }

    fn has_pending(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(tls) => tls.filter.has_outgoing(),
        }
    }

    fn finish(&mut self) -> io::Result<Flushed> {
        match self {
            Self::Plain(_) => {}
            Self::Tls(tls) => {
                tls.filter.finish();
                if let Flushed::Blocked(_) = tls.write(Then::End)? {
                    return Ok(Flushed::Blocked(0));
                }
            }
        }
        self.stream_mut().shutdown(Shutdown::Write)?;
        Ok(Flushed::All(0))
    }

    fn finish_for_close(&mut self) -> io::Result<Flushed> {
        match self {
            Self::Plain(_) => Ok(Flushed::All(0)),
            Self::Tls(_) => self.finish(),
        }
    }

    fn peek(&mut self) -> Unread {
        match retry(|| self.stream_mut().peek(&mut [0])) {
            Ok(None) => Unread::Nothing,
            Ok(Some(1..)) => Unread::Bytes,
            Ok(Some(0)) | Err(_) => Unread::End,
        }
    }

    fn set_patience(&mut self, patience: Patience) {
        let unheard = match patience {
            Patience::Long => Duration::ZERO,
            Patience::Short => UNHEARD_MAX,
        };
        #[cfg(any(target_os = "android", target_os = "linux"))]
        let _ = SockRef::from(&*self.stream_mut()).set_tcp_user_timeout(Some(unheard));
        #[cfg(not(any(target_os = "android", target_os = "linux")))]
        let _ = unheard;
    }

    fn reset(&mut self) {
        let _ = SockRef::from(&*self.stream_mut()).set_linger(Some(Duration::ZERO));
    }

    fn take_error(&mut self) -> Option<io::Error> {
        self.stream_mut().take_error().ok().flatten()
    }

    fn is_handshaking(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(tls) => tls.filter.is_handshaking(),
        }
    }

    fn needs_replacing(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(tls) => tls.filter.needs_replacing(),
        }
    }

    fn peer_names(&self) -> Option<Box<[String]>> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(tls) => tls.filter.client_certificate().map(dns_names),
        }
    }
}

impl Plain {
    /// Reads into the memory that the queue has, which saves a copy; and by way of `scratch` when
    /// that is too little to be worth a call.
    fn fill(&mut self, rx: &mut Buf, max: usize, scratch: &mut [u8]) -> io::Result<Filled> {
        let spare = rx.spare_mut();
        let is_direct = spare.len() >= max.min(DIRECT_BYTES_MIN);
        let target = if is_direct { spare } else { &mut *scratch };
        let asked = max.min(target.len());
        let Some(count) = read(&mut self.stream, &mut target[..asked])? else {
            return Ok(Filled::Blocked(0));
        };
        if count == 0 {
            return Ok(Filled::Eof);
        }
        if is_direct {
            rx.commit(count);
        } else {
            rx.extend(&scratch[..count]);
        }
        Ok(if count < asked { Filled::Short(count) } else { Filled::More(count) })
    }

    /// Goes on after a partial write until the kernel says "would block": only then is it certain
    /// that it will report free space.
    fn flush(&mut self, tx: &mut Buf, then: Then) -> io::Result<Flushed> {
        let mut total = 0;
        while !tx.is_empty() {
            let Some(count) = write(&mut self.stream, tx.as_slice(), then)? else {
                return Ok(Flushed::Blocked(total));
            };
            tx.consume(count);
            total += count;
        }
        Ok(Flushed::All(total))
    }
}

/// What follows on bytes that are written.
#[derive(Debug, Clone, Copy)]
enum Then {
    /// More bytes, at some time or never: these leave now.
    More,
    /// FIN, in the next call: the kernel may send it in the same segment.
    End,
}

/// Writes what the end follows on.
struct Last<'a>(&'a TcpStream);

impl Write for Last<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        SockRef::from(self.0).send_with_flags(bytes, MSG_MORE)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        SockRef::from(self.0).send_vectored_with_flags(slices, MSG_MORE)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How many bytes were read, 0 at the end; `None` when reading would block.
fn read(stream: &mut TcpStream, bytes: &mut [u8]) -> io::Result<Option<usize>> {
    retry(|| stream.read(bytes))
}

/// How many bytes were written; `None` when writing would block.
fn write(stream: &mut TcpStream, bytes: &[u8], then: Then) -> io::Result<Option<usize>> {
    retry(|| match then {
        Then::More => stream.write(bytes),
        Then::End => Last(stream).write(bytes),
    })
}

/// What a call brought; `None` when it would block.
fn retry(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<Option<usize>> {
    loop {
        match call() {
            Ok(count) => return Ok(Some(count)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests;
