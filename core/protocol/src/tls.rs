//! A TLS session as a filter of bytes: no socket, no clock, either role.
//!
//! ```text
//!   socket --- handle_ciphertext ---> rx
//!   socket <--- write_to <--- seal --- tx
//! ```
//!
//! The session's own output (handshake, tickets, key updates, alerts) goes the same way, so whoever
//! reads also has to look whether there is something to write. Nothing is sealed before the
//! handshake is over: until then the bytes have not left in any sense.

use std::io::{self, BufRead, IoSlice, Write};

use rustls::{Connection, Error, SupportedCipherSuite};

use crate::Buf;
use crate::batch::Batch;
use crate::mux::frame::{DATA_BYTES_MAX, RUN_FRAMES};

/// One end of a TLS session.
#[derive(Debug)]
pub struct TlsFilter {
    session: Connection,
    ended: bool,
    /// Plaintext that is sealed at once: nothing can overtake it any more.
    batch: Batch,
    /// Records that were sealed, beside the few of the session itself.
    records: u64,
}

/// Plaintext bytes sealed at once at the most: a run of DATA with its headers, in full records and one
/// write.
const SEAL_BYTES_MAX: usize = RUN_FRAMES * DATA_BYTES_MAX;
/// Plaintext bytes sealed at once at first, and after the peer left something: one record.
const SEAL_BYTES_MIN: usize = RECORD_BYTES_MAX;
/// The most that one record holds (RFC 5246 6.2.1).
const RECORD_BYTES_MAX: usize = 16 * 1024;
/// Records of the session itself that may come on top of those that are counted.
const OWN_RECORDS_MAX: u64 = 16;

impl TlsFilter {
    /// A filter for a new client or server session.
    #[must_use]
    pub fn new(session: impl Into<Connection>) -> Self {
        let mut session = session.into();
        session.set_buffer_limit(Some(SEAL_BYTES_MIN));
        let batch = Batch::new(SEAL_BYTES_MIN, SEAL_BYTES_MAX);
        Self { session, ended: false, batch, records: 0 }
    }

    /// Takes what the peer sent and appends the plaintext in it to `rx`; how many bytes that were.
    ///
    /// The plaintext is never longer than `bytes` and the part of one record (16 KiB) kept from
    /// before. What follows the peer's `close_notify` is ignored.
    ///
    /// # Errors
    /// The session is over. An alert that tells the peer why may wait to be written, and what came
    /// before the mistake is in `rx`.
    pub fn handle_ciphertext(&mut self, mut bytes: &[u8], rx: &mut Buf) -> Result<usize, Error> {
        let before = rx.len();
        let mut outcome = Ok(());
        while !bytes.is_empty() && !self.ended && outcome.is_ok() {
            let fed = self.session.read_tls(&mut bytes);
            outcome = match fed {
                Ok(0) => break,
                Ok(_) => self.session.process_new_packets().map(|state| {
                    self.ended = state.peer_has_closed();
                }),
                Err(error) => Err(Error::General(error.to_string())),
            };
            self.drain(rx);
        }
        outcome.map(|()| rx.len() - before)
    }

    /// Encrypts bytes from the front of these slices; how many were taken: up to 16 KiB, and up to
    /// 128 KiB of a session whose peer takes what is sealed again and again.
    ///
    /// Nothing is taken during the handshake, nor while as much ciphertext is still waiting, nor with
    /// keys that are spent.
    pub fn seal(&mut self, slices: &[IoSlice<'_>]) -> usize {
        if self.session.is_handshaking() || self.is_spent() {
            return 0;
        }
        let count = self.session.writer().write_vectored(slices).unwrap_or(0);
        if count > 0 {
            self.batch.note_sent(count);
            self.records += count.div_ceil(RECORD_BYTES_MAX) as u64;
        }
        count
    }

    /// Whether half of what may be sealed with the keys has been. With TLS 1.2 they are never renewed,
    /// so the connection should be replaced as long as it can still carry what is under way.
    #[must_use]
    pub fn needs_replacing(&self) -> bool {
        self.records_max().is_some_and(|max| self.records >= max / 2)
    }

    /// Whether no more may be sealed with the keys. The session would close itself and go on to take
    /// bytes that nobody gets.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        let next = SEAL_BYTES_MAX.div_ceil(RECORD_BYTES_MAX) as u64 + OWN_RECORDS_MAX;
        self.records_max().is_some_and(|max| self.records >= max.saturating_sub(next))
    }

    /// How many records the keys are good for, where they are the only ones.
    fn records_max(&self) -> Option<u64> {
        match self.session.negotiated_cipher_suite()? {
            SupportedCipherSuite::Tls12(suite) => Some(suite.common.confidentiality_limit),
            SupportedCipherSuite::Tls13(_) => None,
        }
    }

    /// Tells the peer that nothing follows (`close_notify`). Repeating it changes nothing.
    pub fn finish(&mut self) {
        self.session.send_close_notify();
    }

    /// Whether there is ciphertext for the peer.
    #[must_use]
    pub fn has_outgoing(&self) -> bool {
        self.session.wants_write()
    }

    /// Writes ciphertext, by one call; how many bytes went.
    ///
    /// # Errors
    /// The writer's; nothing is lost by them.
    pub fn write_to(&mut self, peer: &mut dyn Write) -> io::Result<usize> {
        let written = self.session.write_tls(peer);
        match &written {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.batch.note_left(),
            Ok(_) if !self.session.wants_write() => self.batch.note_taken(),
            Ok(_) | Err(_) => return written,
        }
        self.session.set_buffer_limit(Some(self.batch.size()));
        written
    }

    /// Whether the peer said that nothing follows. An end of the connection without this is a
    /// truncation and may be an attacker's doing.
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        self.ended
    }

    /// Whether the peers are still agreeing on keys and identities.
    #[must_use]
    pub fn is_handshaking(&self) -> bool {
        self.session.is_handshaking()
    }

    /// The certificate of a client that had to prove whose it is, as DER; `None` before the
    /// handshake is over, when none was asked for, and on the client's end.
    #[must_use]
    pub fn client_certificate(&self) -> Option<&[u8]> {
        match &self.session {
            Connection::Server(session) if !session.is_handshaking() => {
                session.peer_certificates()?.first().map(AsRef::as_ref)
            }
            Connection::Server(_) | Connection::Client(_) => None,
        }
    }

    /// Moves decrypted bytes out, which makes room for the next record.
    fn drain(&mut self, rx: &mut Buf) {
        let mut reader = self.session.reader();
        while let Ok(chunk) = reader.fill_buf() {
            let count = chunk.len();
            if count == 0 {
                return;
            }
            rx.extend(chunk);
            reader.consume(count);
        }
    }
}

#[cfg(test)]
mod tests;
