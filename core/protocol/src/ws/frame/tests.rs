use super::{Kind, MESSAGE_BYTES_MAX, Message, Role, Writer, parse, write_control};
use crate::ws::Error;
use crate::{Buf, Rng};

fn binary(role: Role, payload: &[u8]) -> Vec<u8> {
    let mut tx = Buf::new();
    tx.extend(b"before");
    tx.consume(3);
    let writer = Writer::begin(role, &mut tx);
    tx.extend(payload);
    assert_eq!(writer.payload_len(&tx), payload.len());
    writer.finish(&mut tx, &mut Rng::from_seed(5));
    assert_eq!(&tx.as_slice()[..3], b"ore", "what stood before stays");
    tx.consume(3);
    tx.as_slice().to_vec()
}

const fn other(role: Role) -> Role {
    match role {
        Role::Client => Role::Server,
        Role::Server => Role::Client,
    }
}

#[test]
fn a_message_of_any_length_arrives_as_it_was_written() {
    for role in [Role::Client, Role::Server] {
        for length in [0, 1, 7, 8, 9, 125, 126, 127, 65_535, 65_536, 70_000, MESSAGE_BYTES_MAX] {
            let payload: Vec<u8> = (0..=250).cycle().take(length).collect();
            let mut bytes = binary(role, &payload);
            let message = parse(other(role), &mut bytes).unwrap().unwrap();
            assert_eq!(message.kind, Kind::Binary);
            assert_eq!(message.payload.end, bytes.len());
            assert_eq!(bytes[message.payload], payload[..], "{role:?} {length}");
        }
    }
}

#[test]
fn tungstenite_reads_what_we_write() {
    let payload = vec![7; 1000];
    let mut bytes = std::io::Cursor::new(binary(Role::Client, &payload));
    bytes.set_position(0);
    let mut socket =
        tungstenite::WebSocket::from_raw_socket(bytes, tungstenite::protocol::Role::Server, None);
    assert_eq!(socket.read().unwrap().into_data(), payload);
}

#[test]
fn a_part_of_a_message_is_no_message_and_stays_as_it_is() {
    let whole = binary(Role::Client, b"hello, tunnel");
    for end in 0..whole.len() {
        let mut part = whole[..end].to_vec();
        assert_eq!(parse(Role::Server, &mut part), Ok(None), "{end}");
        assert_eq!(part, whole[..end]);
    }
}

#[test]
fn control_messages_keep_their_payload() {
    let mut tx = Buf::new();
    write_control(Role::Server, Kind::Ping, b"are you there", &mut tx, &mut Rng::from_seed(1));
    let mut bytes = tx.as_slice().to_vec();
    let message = parse(Role::Client, &mut bytes).unwrap().unwrap();
    assert_eq!(message, Message { kind: Kind::Ping, payload: 2..15 });
}

#[test]
fn breaches_are_named() {
    let cases: &[(&[u8], Error)] = &[
        (&[0xc2, 0x80, 1, 2, 3, 4], Error::ReservedBits),
        (&[0x82, 0x00], Error::WrongMasking),
        (&[0x81, 0x80, 1, 2, 3, 4], Error::Text),
        (&[0x02, 0x80, 1, 2, 3, 4], Error::Fragmented),
        (&[0x80, 0x80, 1, 2, 3, 4], Error::Fragmented),
        (&[0x83, 0x80, 1, 2, 3, 4], Error::MalformedHeader),
        (&[0x8b, 0x80, 1, 2, 3, 4], Error::MalformedHeader),
        (&[0x09, 0x80, 1, 2, 3, 4], Error::BadControlFrame),
        (&[0x89, 0xfe, 0, 126, 1, 2, 3, 4], Error::BadControlFrame),
        (&[0x82, 0xfe, 0, 5, 1, 2, 3, 4], Error::LongLength),
        (&[0x82, 0xff, 0, 0, 0, 0, 0, 0, 1, 0, 1, 2, 3, 4], Error::LongLength),
        (&[0x82, 0xff, 0, 0, 0, 0, 0, 2, 0, 1, 1, 2, 3, 4], Error::TooBig),
        (&[0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4], Error::TooBig),
    ];
    for (bytes, error) in cases {
        assert_eq!(parse(Role::Server, &mut bytes.to_vec()), Err(*error), "{bytes:x?}");
    }
}

#[test]
fn no_bytes_make_the_parser_panic() {
    let mut rng = Rng::from_seed(9);
    for _ in 0..50_000 {
        let mut bytes: Vec<u8> = (0..rng.below(24)).map(|_| rng.mask()[0]).collect();
        let _ = parse(Role::Server, &mut bytes);
    }
}
