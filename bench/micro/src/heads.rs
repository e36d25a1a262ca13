//! Heads: read, judged and written anew.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};

use mesh_protocol::Buf;
use mesh_protocol::http1::forward::{self, BodyKind, Forwarded, Proto, Upgrade};
use mesh_protocol::http1::{
    BodyLength, ClientConn, Received, RequestHead, ResponseHead, ServerConn, Storage,
};

use crate::stage::{HOST, answer, request};
use crate::{Fields, Shape};

const HEAD_BYTES_MAX: usize = 64 * 1024;
const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7));

/// What the ingress does with each request head: finds its end, reads it, judges it, and writes it
/// for the service.
///
/// # Panics
/// When a head is refused, or written without what the service must know.
pub fn requests(fields: Fields, count: usize) {
    let bytes = request(Shape { fields, up: 0, down: 0 });
    let via = Forwarded::new(PEER, Proto::Http, 8080);
    let mut out = Buf::new();
    for _ in 0..count {
        let rx = black_box(&bytes[..]);
        let mut conn = ServerConn::new(HEAD_BYTES_MAX);
        let mut storage = Storage::new();
        let head = conn.read_head(rx, &mut storage).expect("it is a head");
        let (head, _) = head.expect("it is complete");
        let request = conn.begin(&head).expect("nothing is ambiguous");
        assert_eq!((request.host, request.body), (HOST, BodyLength::Empty));
        forward::request(&head, BodyKind::Empty, Upgrade::No, &via, &mut out);
        assert!(out.len() > bytes.len(), "the service is not told who asks");
        black_box(out.as_slice());
        out.clear();
    }
}

/// What the agent does with each response head: finds its end, reads it, and writes it for the
/// tunnel. The request that it answers is sent, but was read before.
///
/// # Panics
/// When a head is refused.
pub fn responses_at_agent(count: usize) {
    let shape = Shape { fields: Fields::Few, up: 0, down: 60 };
    let (asked, answered) = (request(shape), answer(shape));
    let mut storage = Storage::new();
    let asked = RequestHead::parse(&asked, &mut storage).expect("it is a head");
    let mut conn = ClientConn::new(HEAD_BYTES_MAX);
    let mut out = Buf::new();
    for _ in 0..count {
        conn.send(black_box(&asked), &mut out).expect("nothing is ambiguous");
        out.clear();
        let rx = black_box(&answered[..]);
        let mut storage = Storage::new();
        let head = conn.read_head(rx, &mut storage).expect("it is a head");
        let head = head.expect("it is complete");
        let length = head.bytes.len();
        let received = conn.receive(&head).expect("nothing is ambiguous");
        assert_eq!(received, Received::Final(BodyLength::Sized(60)));
        forward::response(&head, &mut out);
        assert_eq!(out.len(), length, "nothing in it is of the hop alone");
        black_box(out.as_slice());
        out.clear();
        let body = conn.decode(&rx[length..], usize::MAX, mesh_protocol::http1::Eof::Open);
        assert_eq!(body.expect("there is no framing").data.len(), 60);
        conn.next();
    }
}

/// What the ingress does with each response head out of a tunnel: reads it, and writes it with a
/// framing of its own. The request that it answers was read before.
///
/// # Panics
/// When a head is refused.
pub fn responses_at_ingress(count: usize) {
    let shape = Shape { fields: Fields::Few, up: 0, down: 60 };
    let (asked, answered) = (request(shape), answer(shape));
    let (answered, body) = answered.split_at(answered.len() - shape.down);
    let mut storage = Storage::new();
    let asked = RequestHead::parse(&asked, &mut storage).expect("it is a head");
    let mut conn = ServerConn::new(HEAD_BYTES_MAX);
    let mut tx = Buf::new();
    for _ in 0..count {
        conn.begin(black_box(&asked)).expect("nothing is ambiguous");
        let mut storage = Storage::new();
        let head = ResponseHead::parse(black_box(answered), &mut storage).expect("it is a head");
        let length = conn.respond(&head, &mut tx).expect("nothing is ambiguous");
        assert_eq!(length, BodyLength::Sized(60));
        conn.write(body, &mut tx).expect("it is as long as announced");
        conn.finish(b"", &mut tx).expect("it is as long as announced");
        assert_eq!(tx.len(), answered.len() + body.len());
        black_box(tx.as_slice());
        tx.clear();
        conn.next();
    }
}
