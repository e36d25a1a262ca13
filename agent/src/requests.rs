//! From a tunnel to the local service.

use mesh_protocol::http1::forward::RESPONSE_HEAD_BYTES_MAX;
use mesh_protocol::http1::{self, RequestHead, Storage};
use mesh_protocol::mux::{Flags, Head, ResetCode, StreamId};
use mesh_protocol::{Closing, ConnId, Context, Duplex, Patience, Traffic};

use crate::agent::{Agent, Conn, target};
use crate::exchange::{Exchange, Phase};
use crate::tunnel::TunnelId;
use crate::upstream::{GIVING_WAY, Grown, RX_MAX, State, Upstream};

/// How long a kept connection may have rested for a request that cannot be sent again.
const FRESH: std::time::Duration = std::time::Duration::from_secs(1);

impl Agent {
    /// The ingress opened a stream.
    pub(crate) fn handle_request(
        &mut self,
        tunnel: TunnelId,
        stream: StreamId,
        head: Head<'_>,
        cx: &mut Context<'_>,
    ) {
        if let Err(error) = self.serve(tunnel, stream, head, cx) {
            log::debug!("a request that came through the tunnel: {error}");
            self.reset(tunnel, stream, ResetCode::Protocol, "malformed request");
        }
    }

    fn serve(
        &mut self,
        tunnel: TunnelId,
        stream: StreamId,
        head: Head<'_>,
        cx: &mut Context<'_>,
    ) -> Result<(), http1::Error> {
        let mut storage = Storage::new();
        let request = RequestHead::parse_forwarded(head.bytes, &mut storage)?;
        let has_no_body = head.flags.has(Flags::END);
        let is_replayable = has_no_body && request.is_idempotent();
        let exchange = Exchange {
            tunnel,
            stream,
            since: cx.now,
            moved: cx.now,
            phase: Phase::Waiting,
            is_answered: false,
            make_room_at: None,
            was_placed: false,
            replay: None,
        };
        // An upgrade uses its connection up, and must not meet one that is about to be closed.
        let conn = match head.flags.has(Flags::UPGRADE) {
            true => self.connect_upstream(exchange, cx),
            false => self.upstream_for(exchange, is_replayable, head.bytes, cx),
        };
        if let Some(link) = self.link_mut(tunnel) {
            link.session.adopt(stream, conn);
        }
        let Some((upstream, io)) = self.upstream(conn) else { return Ok(()) };
        let sent = upstream.http.send(&request, &mut io.tx);
        let ended = sent.and_then(|()| match has_no_body {
            true => upstream.http.finish(&[], &mut io.tx),
            false => Ok(()),
        });
        if ended.is_err() {
            io.abandon();
            self.conclude(conn);
        }
        ended
    }

    /// A connection for a request: a kept one, or a new one.
    fn upstream_for(
        &mut self,
        mut exchange: Exchange,
        is_replayable: bool,
        head: &[u8],
        cx: &mut Context<'_>,
    ) -> ConnId {
        let age = if is_replayable { self.config.timeouts.upstream_idle } else { FRESH };
        while let Some(conn) = self.pool.take(age, cx.now) {
            // What cannot be sent again is worth asking the kernel.
            let has_unread =
                if is_replayable { cx.has_unread(conn) } else { cx.has_unread_by_now(conn) };
            if has_unread {
                // The service closed it or speaks out of turn, and that has not had its turn yet.
                self.let_go(conn);
                continue;
            }
            let spare = is_replayable.then(|| self.heads.take());
            let Some((upstream, io)) = self.upstream(conn) else { continue };
            // The service may have vanished without a word, and then there is another way.
            io.patience = if is_replayable { Patience::Short } else { Patience::Long };
            exchange.replay = spare.map(|mut replay| {
                replay.extend(head);
                replay
            });
            upstream.http.next();
            upstream.state = State::Busy(exchange);
            io.rx_limit = RX_MAX;
            return conn;
        }
        // They have rested too long; a service with few places may have none for one more.
        if let Some(oldest) = self.pool.take_oldest() {
            self.let_go(oldest);
        }
        self.connect_upstream(exchange, cx)
    }

    fn connect_upstream(&mut self, mut exchange: Exchange, cx: &mut Context<'_>) -> ConnId {
        exchange.since = cx.now;
        exchange.make_room_at = Some(cx.now + GIVING_WAY);
        let head_bytes = self.config.limits.head_bytes.min(RESPONSE_HEAD_BYTES_MAX);
        let upstream = Upstream::new(exchange, head_bytes);
        let io = Duplex::new(RX_MAX);
        let conn = self.conns.insert(io, Conn::Upstream(upstream));
        cx.connect(conn, target(&self.config.local, Traffic::Single));
        conn
    }

    /// The service closed a kept connection just as the request came, or had vanished: sends it once
    /// more, on a connection of its own.
    pub(crate) fn replay(&mut self, mut exchange: Exchange, cx: &mut Context<'_>) {
        let (tunnel, stream) = (exchange.tunnel, exchange.stream);
        let Some(head) = exchange.replay.take() else { return };
        exchange.moved = cx.now;
        let conn = self.connect_upstream(exchange, cx);
        if let Some(link) = self.link_mut(tunnel) {
            link.session.adopt(stream, conn);
        }
        let mut storage = Storage::new();
        if let Some((upstream, io)) = self.upstream(conn)
            && let Ok(request) = RequestHead::parse_forwarded(head.as_slice(), &mut storage)
        {
            let sent = upstream.http.send(&request, &mut io.tx);
            debug_assert!(sent.is_ok(), "it was sent before");
            let ended = upstream.http.finish(&[], &mut io.tx);
            debug_assert!(ended.is_ok(), "it has no body");
        }
        self.heads.keep(head);
    }

    /// Body bytes of a request, and perhaps its end.
    pub(crate) fn handle_data(
        &mut self,
        owner: ConnId,
        pieces: &[&[u8]],
        end: Option<&[u8]>,
        cx: &mut Context<'_>,
    ) {
        let Some((upstream, io)) = self.upstream(owner) else { return };
        let State::Busy(exchange) = &mut upstream.state else { return };
        exchange.moved = cx.now;
        if exchange.phase == Phase::Upgraded {
            let (tunnel, stream) = (exchange.tunnel, exchange.stream);
            cx.send(owner, &mut io.tx, pieces);
            if end.is_some() {
                io.close(Closing::Write);
                self.keep_grown(owner, tunnel, stream);
            }
            return;
        }
        let http = &mut upstream.http;
        let ended = match end {
            None => http.pass(pieces, |pieces| cx.send(owner, &mut io.tx, pieces)),
            Some(trailers) => pieces
                .iter()
                .try_for_each(|piece| http.write(piece, &mut io.tx))
                .and_then(|()| http.finish(trailers, &mut io.tx)),
        };
        if let Err(error) = ended {
            log::debug!("a request body that came through the tunnel: {error}");
            self.fail(owner, ResetCode::Protocol, "malformed request body");
        }
    }

    /// What is left of an upgraded connection's last bytes takes of the tunnel's window growth until the
    /// connection is over.
    fn keep_grown(&mut self, owner: ConnId, tunnel: TunnelId, stream: StreamId) {
        if let Some(link) = self.link_mut(tunnel)
            && let Some(bytes) = link.session.claim_growth(stream)
            && let Some((upstream, _)) = self.upstream(owner)
        {
            upstream.grown = Some(Grown { tunnel, bytes });
        }
    }

    /// What waited for the service has left or is lost.
    pub(crate) fn give_back_grown(&mut self, conn: ConnId) {
        if let Some((upstream, _)) = self.upstream(conn)
            && let Some(Grown { tunnel, bytes }) = upstream.grown.take()
            && let Some(link) = self.link_mut(tunnel)
        {
            link.session.give_back(bytes);
        }
    }

    /// The ingress wants no more of a stream: whatever the service still says is of no use, and what it has
    /// not been sent is none of its business. The end may come together with the request, where this process
    /// or its network was late. Only what a caller said on an upgraded connection was no request that it takes
    /// back: the service gets what its kernel takes of it, and then the reset.
    pub(crate) fn handle_reset(&mut self, owner: ConnId, code: ResetCode, text: &str) {
        let Some(Exchange { stream, phase, .. }) = self.conclude(owner) else { return };
        log::debug!("stream {} reset: {code:?} {text:?}", stream.number());
        if let Some((_, io)) = self.upstream(owner) {
            if phase == Phase::Upgraded { io.close(Closing::Abort) } else { io.abandon() }
        }
    }

    /// Ends a stream that this side cannot serve.
    pub(crate) fn reset(
        &mut self,
        tunnel: TunnelId,
        stream: StreamId,
        code: ResetCode,
        text: &str,
    ) {
        if let Some(link) = self.link_mut(tunnel) {
            link.session.reset(stream, code, text);
            self.conns.touch(tunnel.conn());
        }
    }
}
