//! What goes into a framing comes out of it, however it is cut; and whatever comes, nothing
//! panics and no two readers disagree.

use super::super::tests::{receive, serve};
use super::{BODY_PIECES_MAX, BodyLength, Decoder, Encoder, Eof, Error, GATHERED_BYTES_MAX};
use crate::{Buf, Rng};

const TRAILERS: &[u8] = b"X-Sum: 1\r\nz:\r\n";

fn size(rng: &mut Rng, below: u64) -> usize {
    usize::try_from(rng.below(below)).unwrap()
}

fn random_bytes(rng: &mut Rng, below: u64) -> Vec<u8> {
    (0..rng.below(below)).map(|_| rng.bits().to_le_bytes()[0]).collect()
}

/// Encodes a body in random parts.
fn encode(rng: &mut Rng, body: &[u8], length: BodyLength) -> Buf {
    let mut encoder = Encoder::new(length);
    let mut tx = Buf::new();
    let mut rest = body;
    while !rest.is_empty() {
        let (part, others) = rest.split_at(size(rng, 40).min(rest.len()));
        encoder.write(part, &mut tx).unwrap();
        rest = others;
    }
    encoder.finish(TRAILERS, &mut tx).unwrap();
    assert!(encoder.has_ended());
    tx
}

/// Decodes from random parts with random limits; returns the body, its trailers and what is left.
fn decode(rng: &mut Rng, wire: &[u8], length: BodyLength) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let mut decoder = Decoder::new(length);
    let (mut rx, mut body) = (Buf::new(), Vec::new());
    let mut fed = 0;
    loop {
        let part = size(rng, 30).min(wire.len() - fed);
        rx.extend(&wire[fed..fed + part]);
        fed += part;
        let eof = if fed == wire.len() { Eof::Reached } else { Eof::Open };
        let max = size(rng, 50);
        let decoded = match rng.below(2) {
            0 => decoder.decode(rx.as_slice(), max, eof),
            _ => decoder.gather(rx.as_mut_slice(), max, eof),
        };
        let decoded = decoded.unwrap();
        assert!(decoded.data.len() <= max && decoded.data.len() <= decoded.used);
        body.extend_from_slice(decoded.data);
        let (used, end) = (decoded.used, decoded.end.map(<[u8]>::to_vec));
        rx.consume(used);
        if let Some(trailers) = end {
            assert!(decoder.has_ended());
            let again = decoder.decode(b"more", 9, Eof::Open).unwrap();
            assert_eq!((again.used, again.data, again.end), (0, &b""[..], Some(&b""[..])));
            return (body, trailers, [rx.as_slice(), &wire[fed..]].concat());
        }
    }
}

#[test]
fn what_goes_in_comes_out() {
    let mut rng = Rng::from_seed(7);
    for _ in 0..2000 {
        let body = random_bytes(&mut rng, 300);
        for length in
            [BodyLength::Sized(body.len() as u64), BodyLength::Chunked, BodyLength::UntilClose]
        {
            let mut wire = encode(&mut rng, &body, length);
            let follower: &[u8] = match length {
                BodyLength::Empty | BodyLength::Sized(_) | BodyLength::Chunked => b"GET / HTTP",
                BodyLength::UntilClose => b"",
            };
            wire.extend(follower);
            let expected: &[u8] = if length == BodyLength::Chunked { TRAILERS } else { b"" };
            let got = decode(&mut rng, wire.as_slice(), length);
            assert_eq!(got, (body.clone(), expected.to_vec(), follower.to_vec()));
        }
    }
    let nothing = decode(&mut rng, b"GET", BodyLength::Empty);
    assert_eq!(nothing, (Vec::new(), Vec::new(), b"GET".to_vec()));
}

#[test]
fn small_chunks_are_gathered_as_far_as_they_are_there() {
    let wire = [b"3;x\r\nabc\r\n1\r\nd\r\n2\r\nef\r\n0\r\n", TRAILERS, b"\r\nGET"].concat();
    let gather = |wire: &[u8], max| {
        let (mut rx, mut decoder) = (wire.to_vec(), Decoder::new(BodyLength::Chunked));
        let decoded = decoder.gather(&mut rx, max, Eof::Open).unwrap();
        let data = decoded.data.to_vec();
        let end = decoded.end.map(<[u8]>::to_vec);
        let (begin, used) = (decoded.data_begin, decoded.used);
        assert_eq!(rx[begin..][..data.len()], data);
        (data, end, wire[used..].to_vec())
    };
    assert_eq!(gather(&wire, 99), (b"abcdef".to_vec(), Some(TRAILERS.to_vec()), b"GET".to_vec()));
    assert_eq!(gather(&wire, 5).0, b"abcde");
    assert_eq!(gather(&wire[..14], 99), (b"abcd".to_vec(), None, Vec::new()));
    let many = [&b"2\r\nxy\r\n".repeat(GATHERED_BYTES_MAX)[..], b"?"].concat();
    assert_eq!(gather(&many, 1 << 20).0, b"xy".repeat(GATHERED_BYTES_MAX / 2));
    let great = [&b"1\r\na\r\n8000\r\n"[..], &vec![b'b'; 0x8000]].concat();
    assert_eq!(gather(&great, 1 << 20).0.len(), GATHERED_BYTES_MAX);
    let wrong = b"1\r\na\r\n?\r\n";
    assert_eq!(gather(wrong, 99), (b"a".to_vec(), None, b"?\r\n".to_vec()));
    let mut decoder = Decoder::new(BodyLength::Chunked);
    decoder.gather(&mut wrong.to_vec(), 99, Eof::Open).unwrap();
    assert_eq!(decoder.gather(&mut b"?\r\n".to_vec(), 99, Eof::Open), Err(Error::BadChunk));
}

#[test]
fn what_passes_is_framed_like_what_is_written() {
    let mut pieces: [&[u8]; BODY_PIECES_MAX] = [&[]; _];
    pieces[0] = b"one ";
    pieces[2] = b"two";
    let encoders = [
        Encoder::new(BodyLength::Sized(30)),
        Encoder::new(BodyLength::Chunked),
        Encoder::new(BodyLength::UntilClose),
        Encoder::withheld(),
    ];
    for encoder in encoders {
        let (mut written, mut passed) = ((encoder, Buf::new()), (encoder, Buf::new()));
        for count in [0, 1, 2, 3, BODY_PIECES_MAX] {
            let pieces = &pieces[..count];
            written.0.write(&pieces.concat(), &mut written.1).unwrap();
            let mut calls = 0;
            let pass = |framed: &[&[u8]]| {
                calls += 1;
                framed.iter().for_each(|piece| passed.1.extend(piece));
            };
            passed.0.pass(pieces, pass).unwrap();
            assert!(calls <= 1);
        }
        assert_eq!(passed.0, written.0);
        assert_eq!(passed.1.as_slice(), written.1.as_slice());
    }
    let mut full = Encoder::new(BodyLength::Sized(6));
    assert_eq!(full.pass(&pieces, |_| panic!("too much")), Err(Error::BodyOverflow));
    full.pass(&pieces[..2], |_| {}).unwrap();
    assert_eq!(full.write(b"abc", &mut Buf::new()), Err(Error::BodyOverflow), "two are left");
    let mut ended = Encoder::new(BodyLength::Chunked);
    ended.finish(&[], &mut Buf::new()).unwrap();
    assert_eq!(ended.pass(&pieces, |_| panic!("after the end")), Err(Error::BodyOverflow));
}

#[test]
fn great_chunks_have_the_right_size() {
    let body = vec![b'x'; 0x12345];
    let mut tx = Buf::new();
    Encoder::new(BodyLength::Chunked).write(&body, &mut tx).unwrap();
    assert!(tx.as_slice().starts_with(b"12345\r\nx"));
    let mut decoder = Decoder::new(BodyLength::Chunked);
    let decoded = decoder.decode(b"ffffffffffffffff\r\nab", 9, Eof::Open).unwrap();
    assert_eq!((decoded.used, decoded.data), (20, &b"ab"[..]));
}

/// Changes, doubles, removes or swaps a few bytes, often for ones that mean something.
fn mutate(rng: &mut Rng, input: &mut Vec<u8>) {
    const SPICE: &[u8] = b"\r\n\t\0 :;,0159afAFxX-+\x0b\x7f\xff";
    for _ in 0..=rng.below(4) {
        let at = size(rng, input.len() as u64);
        match rng.below(4) {
            0 => input[at] = SPICE[size(rng, SPICE.len() as u64)],
            1 => input.insert(at, SPICE[size(rng, SPICE.len() as u64)]),
            2 => drop(input.remove(at)),
            _ => input.swap(at, at.saturating_sub(1)),
        }
    }
}

/// Cuts an input into random parts.
fn cut<'i>(rng: &mut Rng, mut input: &'i [u8]) -> Vec<&'i [u8]> {
    let mut parts = Vec::new();
    while !input.is_empty() {
        let (part, rest) = input.split_at((1 + size(rng, 12)).min(input.len()));
        parts.push(part);
        input = rest;
    }
    parts
}

#[test]
fn mutated_messages_are_read_alike_in_all_parts() {
    const SEEDS: [&str; 4] = [
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
         5;x\r\nhello\r\n1A\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\nX: y\r\n\r\nGET / HTTP/1.1\r\nHost: b\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\nConnection: x\r\n\r\n\
         hello, worldGET / HTTP/1.0\r\nHost: b\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
         5\r\nhello\r\n10\r\n0123456789abcdef\r\n0\r\nX: y\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nhello, world",
    ];
    let mut rng = Rng::from_seed(11);
    for round in 0..20_000 {
        let seed = SEEDS[round % SEEDS.len()];
        let mut input = seed.as_bytes().to_vec();
        mutate(&mut rng, &mut input);
        let parts = cut(&mut rng, &input);
        let (whole, split) = if seed.starts_with("POST") {
            (serve(&[&input], usize::MAX), serve(&parts, 3))
        } else {
            (receive("GET", &[&input], usize::MAX), receive("GET", &parts, 3))
        };
        assert_eq!(whole.messages, split.messages, "{}", input.escape_ascii());
        // Which of several mistakes in a head is noticed first, and when, does depend on the parts.
        let of_body = |error: &Error| {
            matches!(error, Error::BadChunk | Error::BadTrailers | Error::Truncated)
        };
        let errors = (whole.error.filter(of_body), split.error.filter(of_body));
        assert_eq!(errors.0, errors.1, "{}", input.escape_ascii());
    }
}

#[test]
fn noise_never_panics() {
    let mut rng = Rng::from_seed(13);
    for _ in 0..20_000 {
        let noise = random_bytes(&mut rng, 60);
        for length in [BodyLength::Chunked, BodyLength::Sized(rng.bits()), BodyLength::UntilClose] {
            let mut decoder = Decoder::new(length);
            let first = decoder.decode(&noise, 7, Eof::Open);
            if first.is_err() {
                assert_eq!(decoder.decode(b"0\r\n\r\n", 7, Eof::Open), first);
            }
        }
        let mut tx = Buf::new();
        let mut encoder = Encoder::new(BodyLength::Chunked);
        assert_eq!(encoder.finish(&noise, &mut tx).is_err(), tx.is_empty());
    }
}
