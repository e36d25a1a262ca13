//! TCP with TLS: what is read is opened, and what is written was sealed.

use std::io::{self, IoSlice};

use mesh_protocol::tls::TlsFilter;
use mesh_protocol::{Buf, Filled, Flushed};
use mio::net::TcpStream;
use rustls::{CertificateError, InvalidMessage};

use super::{Last, Then, read, retry};

#[derive(Debug)]
pub(crate) struct Tls {
    pub(super) stream: TcpStream,
    pub(super) filter: TlsFilter,
    /// What reading says next: it failed after bytes that the application is to see first, or no key is
    /// left to write with.
    failed: Option<io::Error>,
}

/// What is read of ciphertext beyond the room for plaintext, however little that is: whole handshake
/// messages, small records, and what records add. Less room than that is left alone after a read.
const CIPHERTEXT_BYTES_MIN: usize = 4 * 1024;
/// What rustls says of a first byte that begins no TLS record, such as the `G` of `GET`.
const NO_TLS: rustls::Error = rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType);

impl Tls {
    pub(super) const fn new(stream: TcpStream, filter: TlsFilter) -> Self {
        Self { stream, filter, failed: None }
    }

    /// Reads until the kernel has no more or about `max` bytes of plaintext arrived. One read and what
    /// was kept of one record may overshoot that, by less than 20 KiB.
    pub(super) fn fill(
        &mut self,
        rx: &mut Buf,
        max: usize,
        scratch: &mut [u8],
    ) -> io::Result<Filled> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let before = rx.len();
        let mut left = max;
        while left >= max.min(CIPHERTEXT_BYTES_MIN) {
            let asked = scratch.len().min(left + CIPHERTEXT_BYTES_MIN);
            if self.filter.has_ended() {
                return Ok(match rx.len() - before {
                    0 => Filled::Eof,
                    count => Filled::More(count),
                });
            }
            match self.fill_once(rx, &mut scratch[..asked]) {
                Ok(Some(())) => {}
                Ok(None) => return Ok(Filled::Blocked(rx.len() - before)),
                Err(error) if rx.len() == before => return Err(error),
                Err(error) => {
                    self.failed = Some(error);
                    break;
                }
            }
            left = max.saturating_sub(rx.len() - before);
        }
        Ok(Filled::More(rx.len() - before))
    }

    /// One read; `None` when it would block.
    fn fill_once(&mut self, rx: &mut Buf, scratch: &mut [u8]) -> io::Result<Option<()>> {
        let Some(count) = read(&mut self.stream, scratch)? else {
            return Ok(None);
        };
        if count == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the peer closed the connection in the middle of the TLS session",
            ));
        }
        match self.filter.handle_ciphertext(&scratch[..count], rx) {
            Ok(_) => Ok(Some(())),
            Err(error) => {
                // The alert tells the peer's operator what we object to.
                let _ = self.write(Then::More);
                if self.filter.is_handshaking() && error == NO_TLS {
                    let text = "the peer does not speak TLS";
                    return Err(io::Error::new(io::ErrorKind::InvalidData, text));
                }
                Err(explain(error))
            }
        }
    }

    pub(super) fn flush(&mut self, tx: &mut Buf, then: Then) -> io::Result<Flushed> {
        // During the handshake the end does not follow, since `tx` has to wait.
        let then = if self.filter.is_handshaking() { Then::More } else { then };
        let mut total = 0;
        loop {
            match self.write(then)? {
                Flushed::All(count) => total += count,
                Flushed::Blocked(count) => return Ok(Flushed::Blocked(total + count)),
            }
            match self.filter.seal(&[IoSlice::new(tx.as_slice())]) {
                0 if self.filter.is_spent() && !tx.is_empty() => {
                    // The peer is well, and reading would not end by itself.
                    self.failed.get_or_insert_with(used_up);
                    return Err(used_up());
                }
                0 => return Ok(Flushed::All(total)),
                count => tx.consume(count),
            }
        }
    }

    /// Writes ciphertext until there is none left or the kernel says "would block". What leaves during
    /// the handshake does not count.
    pub(super) fn write(&mut self, then: Then) -> io::Result<Flushed> {
        let mut total = 0;
        while self.filter.has_outgoing() {
            let (filter, stream) = (&mut self.filter, &mut self.stream);
            let written = retry(|| match then {
                Then::More => filter.write_to(stream),
                Then::End => filter.write_to(&mut Last(stream)),
            })?;
            match written {
                Some(_) if self.filter.is_handshaking() => {}
                Some(count) => total += count,
                None => return Ok(Flushed::Blocked(total)),
            }
        }
        Ok(Flushed::All(total))
    }
}

/// The error in words that are the same as long as it is: rustls tells the time at which it looked.
fn explain(error: rustls::Error) -> io::Error {
    use CertificateError::{ExpiredContext, NotValidYetContext};
    use rustls::Error::InvalidCertificate;
    let state = if let InvalidCertificate(ExpiredContext { .. }) = error {
        "has expired"
    } else if let InvalidCertificate(NotValidYetContext { .. }) = error {
        "is not valid yet"
    } else {
        return io::Error::new(io::ErrorKind::InvalidData, error);
    };
    let text = format!("the certificate of the peer {state} by the clock of this machine");
    io::Error::new(io::ErrorKind::InvalidData, text)
}

fn used_up() -> io::Error {
    io::Error::other("the keys of the TLS session are used up")
}

#[cfg(test)]
mod tests;
