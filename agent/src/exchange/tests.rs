use std::time::Instant;

use mesh_protocol::http1::{ClientConn, RequestHead, Storage};
use mesh_protocol::mux::{Flags, Frame, FrameKind, Limits, Outbound, Session, Side};
use mesh_protocol::ws::Role;
use mesh_protocol::{Buf, Conns, Duplex, Rng};

use super::{Exchange, INTERIM_BYTES_MAX, Phase};
use crate::tunnel::TunnelId;
use crate::upstream::{FAST_RX_MAX, FAST_STREAMS_MAX, RX_MAX};

fn origin() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "an origin for made-up time")]
    Instant::now()
}

/// What may be read of a service that has so many bytes ready, beside so many other streams, after its turn.
fn rx_limit(ready: usize, streams: usize) -> usize {
    let mut answer = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n".to_vec();
    answer.resize(ready, 0);
    let io = after_a_turn(&answer, streams);
    assert!(io.rx.len() < ready, "nothing was sent");
    io.rx_limit
}

/// The connection to a service that sent these bytes, one of so many streams, after its turn.
fn after_a_turn(answer: &[u8], streams: usize) -> Duplex {
    let conn = Conns::new().insert(Duplex::new(1), ());
    let window = 1 << 20;
    let limits = Limits {
        streams: 100,
        send_window: window,
        recv_window: window,
        pending_bytes: 1 << 20,
        growth: 0,
    };
    let session = |side| Session::new(side, limits);
    let (mut ingress, mut session) = (session(Side::Opener), session(Side::Acceptor));
    let opened: Vec<_> =
        (0..streams).map(|_| ingress.open(conn, Flags::END, |_| {}).unwrap()).collect();
    for &stream in &opened {
        let (kind, flags, payload) = (FrameKind::Request, Flags::END, &b""[..]);
        session.handle(Frame { kind, flags, stream, payload }).unwrap();
        session.adopt(stream, conn);
    }
    let mut http = ClientConn::new(1024);
    let (mut io, mut storage) = (Duplex::new(RX_MAX), Storage::new());
    let request = RequestHead::parse_forwarded(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", &mut storage);
    http.send(&request.unwrap(), &mut io.tx).unwrap();
    http.finish(&[], &mut io.tx).unwrap();
    io.rx.extend(answer);
    let mut exchange = Exchange {
        tunnel: TunnelId(conn),
        stream: opened[0],
        since: origin(),
        moved: origin(),
        phase: Phase::Waiting,
        is_answered: false,
        make_room_at: None,
        was_placed: false,
        replay: None,
    };
    let (mut tx, mut rng) = (Buf::new(), Rng::from_seed(1));
    let mut out = Outbound::new(Role::Client, &mut tx, &mut rng);
    exchange.pump(&mut http, &mut io, &mut session, &mut out, origin()).unwrap();
    out.finish();
    io
}

#[test]
fn small_chunks_leave_together() {
    let head = &b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"[..];
    let io = after_a_turn(&[head, &b"1\r\nx\r\n".repeat(1000)].concat(), 1);
    assert_eq!(io.rx.len(), 0);
}

#[test]
fn interim_heads_leave_by_turns_as_data_does() {
    const HEAD: &[u8] = b"HTTP/1.1 102 Processing\r\n\r\n";
    let heads = HEAD.repeat(2 * INTERIM_BYTES_MAX / HEAD.len());
    let left = after_a_turn(&heads, 1).rx.len();
    assert!((1..HEAD.len()).contains(&(heads.len() - left - INTERIM_BYTES_MAX)), "{left} are left");
}

#[test]
fn more_is_read_ahead_of_few_fast_services() {
    assert_eq!(rx_limit(RX_MAX, 1), FAST_RX_MAX);
    assert_eq!(rx_limit(RX_MAX, FAST_STREAMS_MAX), FAST_RX_MAX);
    assert_eq!(rx_limit(RX_MAX, FAST_STREAMS_MAX + 1), RX_MAX);
    assert_eq!(rx_limit(RX_MAX - 1, 1), RX_MAX);
}
