//! A stream of a tunnel: through both of its sessions, between two queues.
//!
//! Nobody masks here; that is counted by [`crate::masks`].

use std::hint::black_box;
use std::time::Instant;

use mesh_protocol::mux::frame::{self, DATA_BYTES_FULL};
use mesh_protocol::mux::{Event, Flags, Limits, Outbound, Sender, Session, Side, StreamId, Turns};
use mesh_protocol::ws::{self, Role};
use mesh_protocol::{Buf, Conns, Duplex, Rng};

const STREAMS: u32 = 16;
/// Two DATA frames, so that each of them returns its credit.
const WINDOW: u32 = 2 * (16 * 1024 - 64);
const _: () = assert!(WINDOW as usize == 2 * DATA_BYTES_FULL);
const PENDING_BYTES_MAX: usize = 64 * 1024;
const REQUEST: &[u8] = b"POST /api/items HTTP/1.1\r\nHost: demo.local\r\n\r\n";
const RESPONSE: &[u8] = b"HTTP/1.1 204 No Content\r\nCache-Control: no-store\r\n\r\n";

/// One end of a tunnel, with what it sends.
struct End {
    session: Session,
    tx: Buf,
    rng: Rng,
}

/// Opens a stream, sends a head and a full frame, returns their credit, answers and ends, `count`
/// times.
///
/// # Panics
/// When something does not arrive, or a stream is left over.
pub fn exchanges(count: usize) {
    let owner = Conns::new().insert(Duplex::new(0), ());
    let (mut ingress, mut agent) = (End::new(Side::Opener), End::new(Side::Acceptor));
    let (body, now) = (vec![b'x'; DATA_BYTES_FULL], Instant::now());
    for _ in 0..count {
        let opened = ingress.session.open(owner, Flags::NONE, |out| out.extend(REQUEST));
        let stream = opened.expect("there is room");
        ingress.send(stream, |sender, out| sender.data(black_box(&body), Flags::NONE, out));

        let mut arrived = 0;
        agent.receive(&mut ingress.tx, |session, event| {
            if let Event::Opened { stream, head } = event {
                assert_eq!(head.bytes, REQUEST);
                session.adopt(stream, owner);
                return;
            }
            let Event::Data { bytes, end: None, .. } = event else {
                panic!("unexpected: {event:?}");
            };
            arrived += black_box(bytes).len();
        });
        assert_eq!(arrived, body.len());
        agent.session.release_all_but(0, stream, now);
        assert!(agent.session.has_pending(), "no credit returns");
        agent.send(stream, |sender, out| sender.head(Flags::END, out, |tx| tx.extend(RESPONSE)));

        let mut has_answer = false;
        ingress.receive(&mut agent.tx, |_, event| {
            if let Event::Response { head, .. } = event {
                has_answer = head.bytes == RESPONSE;
            } else {
                assert_eq!(event, Event::Handled, "the credit");
            }
        });
        assert!(has_answer);
        ingress.send(stream, |sender, out| sender.end(b"", out));

        agent.receive(&mut ingress.tx, |_, event| {
            assert_eq!(event, Event::Data { owner, bytes: b"", end: Some(b"") });
        });
        assert!(ingress.session.is_empty() && agent.session.is_empty());
    }
}

impl End {
    fn new(side: Side) -> Self {
        let limits = Limits {
            streams: STREAMS,
            send_window: WINDOW,
            recv_window: WINDOW,
            pending_bytes: PENDING_BYTES_MAX,
            growth: 0,
        };
        let session = Session::new(side, limits);
        Self { session, tx: Buf::new(), rng: Rng::from_seed(1) }
    }

    /// Gives the stream a turn, after what waits.
    fn send(&mut self, stream: StreamId, turn: impl FnOnce(&mut Sender<'_>, &mut Outbound<'_>)) {
        self.session.mark_ready(stream);
        let mut out = Outbound::new(Role::Server, &mut self.tx, &mut self.rng);
        self.session.transmit(usize::MAX, &mut out);
        let next = self.session.poll_ready(Turns::All).map(|(stream, _)| stream);
        assert_eq!(next, Some(stream));
        turn(&mut self.session.sender(stream).expect("it is open"), &mut out);
        out.finish();
        self.session.forget_if_over(stream);
    }

    /// Understands all that the other end sent.
    fn receive(&mut self, rx: &mut Buf, mut act: impl FnMut(&mut Session, Event<'_>)) {
        while let Some(message) =
            ws::frame::parse(Role::Client, rx.as_mut_slice()).expect("we wrote it")
        {
            let mut rest = &rx.as_slice()[message.payload.clone()];
            while !rest.is_empty() {
                let (used, frame) = frame::parse(rest).expect("we wrote it");
                let event = self.session.handle(frame.expect("it has a known type"));
                act(&mut self.session, event.expect("we keep to the protocol"));
                rest = &rest[used..];
            }
            rx.consume(message.payload.end);
        }
    }
}
