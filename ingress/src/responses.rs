//! From an agent's tunnel to the callers' connections.

use mesh_protocol::http1::{self, ResponseHead, Storage};
use mesh_protocol::mux::{Event, Flags, FrameKind, Head, ResetCode};
use mesh_protocol::{Buf, CloseReason, Closing, ConnId, Connection, Context, control, link};

use crate::downstream::{Downstream, State};
use crate::exchange::{Exchange, Phase, Reached};
use crate::ingress::{Conn, Ingress};
use crate::metrics::Observation;
use crate::replies::Reason;
use crate::requests::recycle;
use crate::tunnel::{Ejected, TunnelId};

/// The longest response head: the load balancer refuses longer ones, without saying so.
const RESPONSE_HEAD_MAX: usize = 32 * 1024;

/// Bytes that may wait for a caller when an interim response is added to them.
const INTERIM_QUEUE_MAX: usize = 16 * 1024;

impl Ingress {
    /// Acts on what arrived on a tunnel.
    pub(crate) fn advance_tunnel(&mut self, id: TunnelId, cx: &mut Context<'_>) {
        let Some(connection) = self.conns.get_mut(id.conn()) else { return };
        let is_over = connection.io.rx_eof;
        let mut rx = std::mem::take(&mut connection.io.rx);
        let outcome = self.handle_frames(id, &mut rx, cx);
        let Some(connection) = self.conns.get_mut(id.conn()) else { return };
        connection.io.rx = rx;
        if let Err(error) = outcome {
            self.end_tunnel(id, &error, cx);
        } else if is_over {
            self.end_tunnel(id, &link::Error::Closed(None), cx);
        }
    }

    fn handle_frames(
        &mut self,
        id: TunnelId,
        rx: &mut Buf,
        cx: &mut Context<'_>,
    ) -> Result<(), link::Error> {
        loop {
            let Some(tunnel) = self.tunnels.get_mut(id) else { return Ok(()) };
            let Some(event) = tunnel.link.poll_event(rx, cx.now)? else { return Ok(()) };
            match event {
                Event::Handled | Event::Opened { .. } => {}
                Event::Response { owner, head } => self.handle_response(owner, id, head, cx),
                Event::Data { owner, bytes, end } => self.handle_data(owner, bytes, end, cx),
                Event::Reset { owner, code, text } => self.handle_reset(owner, id, code, text, cx),
                Event::Connection { kind, payload } => self.handle_notice(id, kind, payload),
            }
        }
    }

    /// A frame about the agent itself.
    fn handle_notice(&mut self, id: TunnelId, kind: FrameKind, payload: &[u8]) {
        let Some(tunnel) = self.tunnels.get_mut(id) else { return };
        match kind {
            FrameKind::Health => {
                let Ok(health) = control::decode::<control::Health>(payload) else {
                    log::warn!("tunnel {}: unreadable HEALTH", tunnel.name);
                    return;
                };
                if tunnel.is_healthy != health.healthy {
                    let state = if health.healthy { "healthy" } else { "unhealthy" };
                    log::info!("tunnel {}: the service is {state}: {:?}", tunnel.name, health.reason);
                }
                tunnel.is_healthy = health.healthy;
                tunnel.health_reason = health.reason;
            }
            FrameKind::Drain => {
                log::info!("tunnel {}: the agent drains", tunnel.name);
                tunnel.is_draining = true;
            }
            other => log::warn!("tunnel {}: unexpected {other:?} frame", tunnel.name),
        }
    }

    /// A response head.
    fn handle_response(
        &mut self,
        owner: ConnId,
        id: TunnelId,
        head: Head<'_>,
        cx: &mut Context<'_>,
    ) {
        let written = self.write_head(owner, head, cx);
        match written {
            Ok(()) => {
                if let Some(tunnel) = self.tunnels.get_mut(id) {
                    tunnel.succeeded();
                }
                if head.flags.has(Flags::END) {
                    self.complete(owner, &[], cx);
                }
            }
            Err(error) => {
                log::warn!("a response that came through tunnel {}: {error}", self.tunnel_name(id));
                self.fail_upstream(owner, id, Reason::UpstreamProtocol, Reached::Certainly, cx);
            }
        }
    }

    fn write_head(
        &mut self,
        owner: ConnId,
        head: Head<'_>,
        cx: &Context<'_>,
    ) -> Result<(), http1::Error> {
        if head.bytes.len() > RESPONSE_HEAD_MAX {
            return Err(http1::Error::HeadTooLarge);
        }
        let mut storage = Storage::new();
        let response = ResponseHead::parse(head.bytes, &mut storage)?;
        let Some((downstream, io)) = self.downstream(owner) else { return Ok(()) };
        let Downstream { http, state: State::Busy(exchange), .. } = downstream else {
            return Ok(());
        };
        exchange.moved = cx.now;
        exchange.replay.forget();
        if head.flags.has(Flags::INTERIM) {
            if !(100..200).contains(&response.status) || response.status == 101 {
                return Err(http1::Error::BadStatus);
            }
            // An interim response is a courtesy: a caller that does not read gets no more of them.
            if io.tx.len() < INTERIM_QUEUE_MAX {
                http.interim(&response, &mut io.tx);
            }
            return Ok(());
        }
        if head.flags.has(Flags::UPGRADE) {
            http.upgrade(&response, &mut io.tx)?;
            exchange.phase = Phase::Upgraded;
        } else {
            if response.status < 200 {
                return Err(http1::Error::BadStatus);
            }
            http.respond(&response, &mut io.tx)?;
            exchange.phase = Phase::Responding;
        }
        exchange.status = response.status;
        Ok(())
    }

    /// Body bytes, and perhaps the end.
    fn handle_data(
        &mut self,
        owner: ConnId,
        bytes: &[u8],
        end: Option<&[u8]>,
        cx: &mut Context<'_>,
    ) {
        let Some((downstream, io)) = self.downstream(owner) else { return };
        let Downstream { http, state: State::Busy(exchange), .. } = downstream else { return };
        exchange.moved = cx.now;
        exchange.response_bytes += bytes.len() as u64;
        exchange.unreleased += bytes.len();
        if exchange.phase == Phase::Upgraded {
            io.tx.extend(bytes);
            if end.is_some() {
                io.close(Closing::Write);
                self.finish_upgraded(owner, cx);
            }
            return;
        }
        if let Err(error) = http.write(bytes, &mut io.tx) {
            log::warn!("a response body: {error}");
            return self.fail(owner, Reason::UpstreamProtocol, Reached::Certainly, cx);
        }
        if let Some(trailers) = end {
            self.complete(owner, trailers, cx);
        }
    }

    /// The stream was reset by the agent.
    fn handle_reset(
        &mut self,
        owner: ConnId,
        id: TunnelId,
        code: ResetCode,
        text: &str,
        cx: &mut Context<'_>,
    ) {
        log::debug!("tunnel {}: stream reset: {code:?} {text:?}", self.tunnel_name(id));
        let (reason, reached) = match code {
            ResetCode::ConnectFailed => (Reason::UpstreamConnect, Reached::CertainlyNot),
            ResetCode::Refused => (Reason::Overloaded, Reached::CertainlyNot),
            ResetCode::Draining => (Reason::NoHealthyAgent, Reached::CertainlyNot),
            ResetCode::Protocol => (Reason::UpstreamProtocol, Reached::Certainly),
            ResetCode::Timeout => (Reason::RequestTimeout, Reached::Certainly),
            ResetCode::UpstreamReset | ResetCode::Cancel | ResetCode::Unknown(_) => {
                (Reason::UpstreamReset, Reached::Perhaps)
            }
        };
        if code == ResetCode::Draining
            && let Some(tunnel) = self.tunnels.get_mut(id)
        {
            tunnel.is_draining = true;
        }
        self.fail_upstream(owner, id, reason, reached, cx);
    }

    /// The exchange failed behind the agent: that counts against the agent.
    fn fail_upstream(
        &mut self,
        owner: ConnId,
        id: TunnelId,
        reason: Reason,
        reached: Reached,
        cx: &mut Context<'_>,
    ) {
        let counts = matches!(
            reason,
            Reason::UpstreamConnect | Reason::UpstreamReset | Reason::UpstreamProtocol
        );
        if counts
            && let Some(tunnel) = self.tunnels.get_mut(id)
            && let Ejected::For(duration) = tunnel.failed(cx.now)
        {
            log::warn!("tunnel {}: ejected for {duration:?}: {}", tunnel.name, reason.name());
            self.metrics.ejections += 1;
        }
        self.fail(owner, reason, reached, cx);
    }

    /// The response is complete.
    fn complete(&mut self, owner: ConnId, trailers: &[u8], cx: &mut Context<'_>) {
        let Some((downstream, io)) = self.downstream(owner) else { return };
        if let Err(error) = downstream.http.finish(trailers, &mut io.tx) {
            log::warn!("the end of a response: {error}");
            return self.fail(owner, Reason::UpstreamProtocol, Reached::Certainly, cx);
        }
        let Some(exchange) = self.take_exchange(owner) else { return };
        // A request that is still under way is of no use to anybody now.
        self.cancel_stream(&exchange);
        self.deliver(owner);
        self.finish(&exchange, cx);
        self.spare(exchange);
    }

    /// One direction of an upgraded connection ended; when both have, the exchange is over.
    fn finish_upgraded(&mut self, owner: ConnId, cx: &mut Context<'_>) {
        let Some((Downstream { state: State::Busy(exchange), .. }, _)) = self.downstream(owner)
        else {
            return;
        };
        let (tunnel, stream) = (exchange.tunnel, exchange.stream);
        let session = self.tunnels.get_mut(tunnel).map(|tunnel| &mut tunnel.link.session);
        if session.is_some_and(|session| session.sender(stream).is_none()) {
            let Some(exchange) = self.take_exchange(owner) else { return };
            self.finish(&exchange, cx);
            self.spare(exchange);
        }
    }

    /// The caller is gone: nobody wants the rest of its exchange.
    pub(crate) fn abandon(&mut self, conn: ConnId, cx: &mut Context<'_>) {
        let Some(exchange) = self.take_exchange(conn) else { return };
        self.cancel_stream(&exchange);
        if exchange.phase != Phase::Upgraded {
            self.metrics.caller_aborts += 1;
        }
        self.finish(&exchange, cx);
        self.spare(exchange);
    }

    /// A caller's connection is over.
    pub(crate) fn downstream_closed(&mut self, conn: ConnId, cx: &mut Context<'_>) {
        self.abandon(conn, cx);
        if let Some((downstream, _)) = self.downstream(conn) {
            let address = downstream.peer.ip();
            self.callers.left(address);
        }
    }

    /// Ends a tunnel that cannot go on, saying goodbye as far as that is possible.
    pub(crate) fn end_tunnel(&mut self, id: TunnelId, error: &link::Error, cx: &mut Context<'_>) {
        if let Some(tunnel) = self.tunnels.get_mut(id) {
            tunnel.link.close(match error {
                link::Error::Closed(_) => 1000,
                link::Error::WebSocket(_) | link::Error::Session(_) => 1002,
            });
        }
        self.transmit_tunnel(id, cx);
        if let Some(connection) = self.conns.get_mut(id.conn()) {
            connection.io.close(Closing::AfterFlush);
        }
        self.lose_tunnel(id, &error.to_string(), cx);
    }

    /// A tunnel's connection is over.
    pub(crate) fn tunnel_closed(
        &mut self,
        id: TunnelId,
        reason: &CloseReason,
        cx: &mut Context<'_>,
    ) {
        self.lose_tunnel(id, &reason.to_string(), cx);
    }

    /// Takes a tunnel out of the routes and fails its exchanges at once.
    fn lose_tunnel(&mut self, id: TunnelId, why: &str, cx: &mut Context<'_>) {
        let Some(tunnel) = self.tunnels.remove(id) else { return };
        self.metrics.tunnels_lost += 1;
        for host in &tunnel.hello.hosts {
            self.routes.remove(host, id);
        }
        log::info!(
            "tunnel {}: ended after {:?}, {} requests: {why}",
            tunnel.name,
            cx.now.saturating_duration_since(tunnel.since),
            tunnel.requests,
        );
        let mut owners: Vec<_> = tunnel.link.session.owners().collect();
        owners.sort_unstable();
        for (stream, owner) in owners {
            let tx = self.conns.get(id.conn()).map(|connection| &connection.io.tx);
            let is_unsent = tx.is_some_and(|tx| tunnel.link.is_unsent(stream, tx));
            let reached = if is_unsent { Reached::CertainlyNot } else { Reached::Perhaps };
            self.fail(owner, Reason::AgentLost, reached, cx);
        }
    }

    /// Ends a caller's connection in a way that cannot be taken for a whole response.
    pub(crate) fn cut(&mut self, conn: ConnId) {
        if let Some((_, io)) = self.downstream(conn) {
            io.close(Closing::Abort);
        }
    }

    /// Takes the exchange off its connection.
    pub(crate) fn take_exchange(&mut self, conn: ConnId) -> Option<Exchange> {
        let since = self.now;
        let (downstream, _) = self.downstream(conn)?;
        if !matches!(downstream.state, State::Busy(_)) {
            return None;
        }
        let state = std::mem::replace(&mut downstream.state, State::Delivered { since });
        let State::Busy(exchange) = state else { return None };
        self.in_flight -= 1;
        Some(exchange)
    }

    /// Tells the agent that nobody wants the exchange any more, unless it is over there too.
    fn cancel_stream(&mut self, exchange: &Exchange) {
        self.reset_with(exchange, ResetCode::Cancel, "");
    }

    /// Tells the agent that the exchange failed here.
    pub(crate) fn reset_stream(&mut self, exchange: &Exchange, reason: Reason) {
        let code = match reason {
            Reason::RequestTimeout | Reason::BodyTimeout => ResetCode::Timeout,
            _ => ResetCode::Cancel,
        };
        self.reset_with(exchange, code, reason.name());
    }

    fn reset_with(&mut self, exchange: &Exchange, code: ResetCode, text: &str) {
        if let Some(tunnel) = self.tunnels.get_mut(exchange.tunnel) {
            tunnel.link.session.reset(exchange.stream, code, text);
            self.conns.touch(exchange.tunnel.conn());
        }
    }

    /// The one place where an exchange is counted and logged.
    pub(crate) fn finish(&mut self, exchange: &Exchange, cx: &Context<'_>) {
        let duration = cx.now.saturating_duration_since(exchange.since);
        self.metrics.observe(&Observation {
            route: Some(exchange.route),
            status: exchange.status,
            duration,
            request_bytes: exchange.request_bytes,
            response_bytes: exchange.response_bytes,
        });
        log::debug!(
            "exchange on stream {}: status {} after {duration:?}, {} bytes up, {} bytes down",
            exchange.stream.number(),
            exchange.status,
            exchange.request_bytes,
            exchange.response_bytes,
        );
    }

    fn spare(&mut self, exchange: Exchange) {
        recycle(exchange.replay.head, &mut self.spare_heads);
    }

    fn tunnel_name(&self, id: TunnelId) -> &str {
        self.tunnels.get(id).map_or("?", |tunnel| &tunnel.name)
    }

    /// A caller's connection and its bytes, touched.
    pub(crate) fn downstream(
        &mut self,
        conn: ConnId,
    ) -> Option<(&mut Downstream, &mut mesh_protocol::Duplex)> {
        match self.conns.get_mut(conn)? {
            Connection { io, state: Conn::Downstream(downstream) } => Some((downstream, io)),
            Connection { state: Conn::Admin(_) | Conn::Registration(_) | Conn::Tunnel, .. } => None,
        }
    }
}
