//! Two small applications to try the simulator with.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mesh_protocol::{
    App, CloseReason, Closing, ConnId, Conns, Context, Duplex, Event, ListenerId, Security, Target,
    Traffic,
};

const LIMIT: usize = 16 * 1024;

/// Sends back what it gets, ends when the caller ends, and gives up on callers that say nothing.
pub(crate) struct Echo {
    pub(crate) conns: Conns<Instant>,
    pub(crate) timeout: Duration,
    pub(crate) expired: usize,
    pub(crate) finished: usize,
    pub(crate) failed: usize,
    /// Connections of which the end was heard of before they failed.
    pub(crate) false_ends: usize,
    pub(crate) tick_at: Option<Instant>,
    draining: bool,
}

impl Echo {
    pub(crate) const fn new(timeout: Duration) -> Self {
        Self {
            conns: Conns::new(),
            timeout,
            expired: 0,
            finished: 0,
            failed: 0,
            false_ends: 0,
            tick_at: None,
            draining: false,
        }
    }

    /// Looks before it touches: a touch without need would be served without end.
    fn pump(&mut self, conn: ConnId) {
        let Some(connection) = self.conns.get(conn) else {
            return;
        };
        let io = &connection.io;
        let room = LIMIT.saturating_sub(io.tx.len()).min(io.rx.len());
        let ends = io.rx_eof && io.closing.is_none();
        if room == 0 && !ends {
            return;
        }
        let Some(connection) = self.conns.get_mut(conn) else {
            return;
        };
        let io = &mut connection.io;
        io.tx.extend(&io.rx.as_slice()[..room]);
        io.rx.consume(room);
        if io.rx_eof && io.rx.is_empty() {
            io.close(Closing::AfterFlush);
        }
    }
}

impl App for Echo {
    type Conn = Instant;
    type Job = Infallible;
    type Answer = Infallible;
    type Message = Infallible;

    fn conns(&mut self) -> &mut Conns<Instant> {
        &mut self.conns
    }

    fn accept(&mut self, _: ListenerId, _: SocketAddr, cx: &mut Context<'_>) -> Option<ConnId> {
        Some(self.conns.insert(Duplex::new(LIMIT), cx.now))
    }

    fn handle(&mut self, event: Event, cx: &mut Context<'_>) {
        match event {
            Event::Connected { .. } | Event::Tick => {}
            Event::Adopted { conn } => self.pump(conn),
            Event::Progress { conn } => {
                if let Some(connection) = self.conns.get_mut(conn) {
                    connection.state = cx.now;
                }
                self.pump(conn);
            }
            Event::Deadline { conn } => {
                self.expired += 1;
                if let Some(connection) = self.conns.get_mut(conn) {
                    connection.io.close(Closing::Abort);
                }
            }
            Event::Closed { conn, reason } => match reason {
                CloseReason::Finished => self.finished += 1,
                CloseReason::Aborted => {}
                CloseReason::ConnectFailed(_) | CloseReason::Failed(_) => {
                    self.failed += 1;
                    let ended = self.conns.get(conn).is_some_and(|conn| conn.io.rx_eof);
                    self.false_ends += usize::from(ended);
                }
            },
            Event::Drain if self.draining => cx.exit(),
            Event::Drain => self.draining = true,
        }
    }

    fn transmit(&mut self, conn: ConnId, _: &mut Context<'_>) {
        self.pump(conn);
    }

    fn conn_deadline(&self, conn: ConnId) -> Option<Instant> {
        Some(self.conns.get(conn)?.state + self.timeout)
    }

    fn deadline(&self) -> Option<Instant> {
        self.tick_at
    }
}

/// Carries each connection on to one address, both ways, half-close included.
pub(crate) struct Relay {
    pub(crate) conns: Conns<Option<ConnId>>,
    target: Target,
    pub(crate) most_buffered: usize,
}

impl Relay {
    pub(crate) fn to(host: &str, port: u16) -> Self {
        Self {
            conns: Conns::new(),
            target: Target {
                host: host.to_owned(),
                port,
                security: Security::Plain,
                traffic: Traffic::Single,
                via: None,
            },
            most_buffered: 0,
        }
    }

    fn other(&self, conn: ConnId) -> Option<ConnId> {
        self.conns.get(conn)?.state
    }

    /// Moves what has room from one connection to its other.
    fn pump(&mut self, from: ConnId) {
        let Some(to) = self.other(from) else { return };
        let (Some(source), Some(sink)) = (self.conns.get(from), self.conns.get(to)) else {
            return;
        };
        let room = LIMIT.saturating_sub(sink.io.tx.len());
        let count = room.min(source.io.rx.len());
        let ends = source.io.rx_eof && count == source.io.rx.len() && sink.io.closing.is_none();
        if count == 0 && !ends {
            return;
        }
        let bytes = source.io.rx.as_slice()[..count].to_vec();
        if let Some(source) = self.conns.get_mut(from) {
            source.io.rx.consume(count);
        }
        if let Some(sink) = self.conns.get_mut(to) {
            sink.io.tx.extend(&bytes);
            self.most_buffered = self.most_buffered.max(sink.io.tx.len());
            if ends {
                sink.io.close(Closing::Write);
            }
        }
    }
}

impl App for Relay {
    type Conn = Option<ConnId>;
    type Job = Infallible;
    type Answer = Infallible;
    type Message = Infallible;

    fn conns(&mut self) -> &mut Conns<Option<ConnId>> {
        &mut self.conns
    }

    fn accept(&mut self, _: ListenerId, _: SocketAddr, cx: &mut Context<'_>) -> Option<ConnId> {
        let upstream = self.conns.insert(Duplex::new(LIMIT), None);
        let downstream = self.conns.insert(Duplex::new(LIMIT), Some(upstream));
        self.conns.get_mut(upstream)?.state = Some(downstream);
        cx.connect(upstream, self.target.clone());
        Some(downstream)
    }

    fn handle(&mut self, event: Event, _: &mut Context<'_>) {
        match event {
            Event::Connected { conn } | Event::Progress { conn } => {
                self.pump(conn);
                if let Some(other) = self.other(conn) {
                    self.pump(other);
                }
            }
            Event::Closed { conn, reason } => {
                let closing = match reason {
                    CloseReason::Finished => Closing::AfterFlush,
                    CloseReason::Aborted
                    | CloseReason::ConnectFailed(_)
                    | CloseReason::Failed(_) => Closing::Abort,
                };
                if let Some(other) = self.other(conn)
                    && let Some(connection) = self.conns.get_mut(other)
                {
                    connection.io.close(closing);
                }
            }
            Event::Deadline { .. } | Event::Adopted { .. } | Event::Tick | Event::Drain => {}
        }
    }

    fn transmit(&mut self, conn: ConnId, _: &mut Context<'_>) {
        if let Some(other) = self.other(conn) {
            self.pump(other);
        }
    }

    fn conn_deadline(&self, _: ConnId) -> Option<Instant> {
        None
    }

    fn deadline(&self) -> Option<Instant> {
        None
    }
}
