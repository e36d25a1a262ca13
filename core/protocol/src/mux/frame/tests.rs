use super::{Flags, Frame, FrameKind, HEADER_BYTES, StreamId, full_frames, parse, write};
use crate::mux::Error;
use crate::{Buf, Rng};

/// All that there are.
fn kinds() -> impl Iterator<Item = FrameKind> {
    (0..=u8::MAX).filter_map(FrameKind::from_number)
}

#[test]
fn a_frame_has_one_number_both_ways() {
    let numbers: Vec<_> =
        (0..=u8::MAX).filter(|one| FrameKind::from_number(*one).is_some()).collect();
    assert_eq!(kinds().map(FrameKind::number).collect::<Vec<_>>(), numbers);
    assert_eq!(numbers.len(), 15);
}

#[test]
fn frames_arrive_as_they_were_written() {
    let mut out = Buf::new();
    for (index, kind) in (0_u32..).zip(kinds()) {
        let flags = Flags::END.with_if(Flags::UPGRADE, index % 2 == 0);
        let stream = StreamId(0x0102_0304 + index);
        write(kind, flags, stream, &mut out, |out| out.extend(&vec![7; index as usize * 10]));
    }
    let mut rest = out.as_slice();
    for (index, kind) in (0_u32..).zip(kinds()) {
        let (used, frame) = parse(rest).unwrap();
        let expected = Frame {
            kind,
            flags: Flags::END.with_if(Flags::UPGRADE, index % 2 == 0),
            stream: StreamId(0x0102_0304 + index),
            payload: &vec![7; index as usize * 10],
        };
        assert_eq!(frame, Some(expected));
        rest = &rest[used..];
    }
    assert!(rest.is_empty());
}

#[test]
fn a_frame_must_lie_within_its_message() {
    let mut out = Buf::new();
    write(FrameKind::Data, Flags::NONE, StreamId(1), &mut out, |out| out.extend(b"12345"));
    for end in 0..out.len() {
        assert_eq!(parse(&out.as_slice()[..end]), Err(Error::MalformedFrame), "{end}");
    }
}

#[test]
fn unknown_types_are_refused_below_0x80_and_ignored_above() {
    assert_eq!(parse(&[0, 0, 0, 0x7f, 0, 0, 0, 0, 1]), Err(Error::UnknownType(0x7f)));
    assert_eq!(parse(&[0, 0, 1, 0x80, 0, 0, 0, 0, 1, 9]), Ok((10, None)));
}

/// Random bytes whose length field mostly fits, and whose type mostly is one.
#[test]
fn what_the_parser_uses_lies_within_its_bytes() {
    let mut rng = Rng::from_seed(2);
    let kinds: Vec<_> = kinds().collect();
    let mut parsed = 0;
    for _ in 0..50_000 {
        let mut bytes: Vec<u8> = (0..rng.below(30)).map(|_| rng.mask()[0]).collect();
        if let Some([length @ .., kind]) = bytes.first_chunk_mut::<4>() {
            *length = [0, 0, rng.mask()[0] % 24];
            if rng.index(4) > 0 {
                *kind = kinds[rng.index(kinds.len())].number();
            }
        }
        if let Ok((used, frame)) = parse(&bytes) {
            parsed += 1;
            assert!(used <= bytes.len(), "{bytes:?}");
            let payload = frame.map_or(&bytes[HEADER_BYTES..used], |frame| frame.payload);
            assert_eq!(payload, &bytes[HEADER_BYTES..used]);
        }
    }
    assert!(parsed > 5_000, "{parsed}");
}

#[test]
fn full_frames_are_counted_where_there_is_one() {
    let cases = [
        (0, 0),
        (16_319, 16_319),
        (16_320, 16_320),
        (32_639, 16_320),
        (65_536, 65_280),
        (262_144, 261_120),
    ];
    for (bytes, full) in cases {
        assert_eq!(full_frames(bytes), full);
    }
}
