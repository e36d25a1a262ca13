//! One connection as an application sees it: a queue each way, and how it is to end.

use crate::Buf;

/// Both directions of a connection. The shell fills `rx` and flushes `tx`.
#[derive(Debug)]
pub struct Duplex {
    /// Bytes that arrived and are not yet consumed.
    pub rx: Buf,
    /// Bytes that are to be sent.
    pub tx: Buf,
    /// The shell stops reading while `rx` holds this many bytes; TCP then pushes back on the peer.
    pub rx_limit: usize,
    /// The peer has sent its last byte, and all of them are or were in `rx`.
    pub rx_eof: bool,
    /// Whether what it carries is none of our business: then the peer's end is an end even where that of
    /// TLS does not come first, which might else cut a message short.
    pub is_opaque: bool,
    /// Whether the application left some of `rx` for its next turn, so that others have theirs: it hears
    /// [`Event::Progress`](crate::Event::Progress) once more, and until then nothing is read.
    pub is_behind: bool,
    /// How the connection is to end; `None` while it goes on.
    pub closing: Option<Closing>,
    /// How long the peer may leave unacknowledged what it was sent.
    pub patience: Patience,
    /// Whether the peers still agree on keys and identities; always false without TLS. Nothing is
    /// in `rx` and nothing has left `tx` before that is over.
    pub is_handshaking: bool,
    /// Whether the keys of its TLS session will not last: another connection should take its place as
    /// long as this one can still carry what is under way.
    pub needs_replacing: bool,
    /// What a connection that we make still waits for before it is there; nothing for others.
    pub awaits: Option<Awaited>,
    /// The DNS names in the verified certificate of whoever connected to us, in lower case and
    /// patterns (`*.example.com`) among them; `None` without a certificate. Known before the first
    /// byte is in `rx`.
    pub peer_names: Option<Box<[String]>>,
}

/// How long a peer's kernel may be silent about what it was sent until the connection counts as
/// broken. How long the peer itself takes to answer is not meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// As long as TCP likes, which is many minutes: a peer that has no room for more is alive.
    Long,
    /// About two seconds: for a few bytes, for which a peer that is there has room.
    Short,
}

/// What a connection that is being made waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Awaited {
    /// The name servers, who are asked where the name leads.
    Address,
    /// Whoever is at the address.
    Peer,
    /// The proxy there, which is asked to lead on.
    Proxy,
}

/// How a connection is to end, in the order in which one may follow another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Closing {
    /// Send FIN once `tx` has left; reading goes on. One direction of an upgraded connection has
    /// ended, and the other goes on.
    Write,
    /// Send FIN once `tx` has left, then discard what still arrives until the peer closes or a
    /// short time is over. Closing with unread bytes would reset the connection and could destroy
    /// the answer on its way (RFC 9112 9.6).
    AfterFlush,
    /// Close once `tx` has left, without listening any longer: the peer said that what it sent was
    /// its last message. If it has sent something all the same by then, as [`Self::AfterFlush`].
    Agreed,
    /// Close once `tx` has left, whatever the peer still sends: what it was sent is of no use to it
    /// any more, and may be destroyed.
    Discard,
    /// Reset at once, behind what of `tx` can leave at once. The peer must not take what it got for
    /// the whole.
    Abort,
}

impl Awaited {
    /// What has not come, for the log.
    #[must_use]
    pub const fn missing(self) -> &'static str {
        match self {
            Self::Address => "no address for the name",
            Self::Peer => "no connection",
            Self::Proxy => "no answer from the proxy",
        }
    }
}

impl Duplex {
    /// An open connection that holds at most `rx_limit` unread bytes.
    #[must_use]
    pub const fn new(rx_limit: usize) -> Self {
        Self {
            rx: Buf::new(),
            tx: Buf::new(),
            rx_limit,
            rx_eof: false,
            is_opaque: false,
            is_behind: false,
            closing: None,
            patience: Patience::Long,
            is_handshaking: false,
            needs_replacing: false,
            awaits: None,
            peer_names: None,
        }
    }

    /// Ends the connection that way, or in the harsher way already chosen.
    pub fn close(&mut self, closing: Closing) {
        self.closing = self.closing.max(Some(closing));
    }

    /// Whether the connection is to end whatever its peer still sends: all of that is discarded.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.closing >= Some(Closing::AfterFlush)
    }

    /// Resets the connection and takes back what of `tx` has not left: nobody wants any more that the
    /// peer acts on it.
    pub fn abandon(&mut self) {
        self.tx.discard();
        self.close(Closing::Abort);
    }

    /// How many more bytes the shell may read now.
    #[must_use]
    pub const fn rx_room(&self) -> usize {
        self.rx_limit.saturating_sub(self.rx.len())
    }
}
