//! WebSocket frames of up to 64 KiB: as much as a load of messages needs.

use crate::Outcome;

const BINARY: u8 = 0x82;
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A frame from a client has to be masked.
pub(crate) fn masked(payload: &[u8]) -> Outcome<Vec<u8>> {
    let mut frame = head(payload.len(), 0x80)?;
    frame.extend(MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    Ok(frame)
}

/// A frame from a server must not be.
pub(crate) fn plain(payload: &[u8]) -> Outcome<Vec<u8>> {
    let mut frame = head(payload.len(), 0)?;
    frame.extend_from_slice(payload);
    Ok(frame)
}

fn head(length: usize, mask_bit: u8) -> Outcome<Vec<u8>> {
    let short = u16::try_from(length)?;
    Ok(match u8::try_from(short) {
        Ok(tiny) if tiny < 126 => vec![BINARY, mask_bit | tiny],
        Ok(_) | Err(_) => {
            let [high, low] = short.to_be_bytes();
            vec![BINARY, mask_bit | 126, high, low]
        }
    })
}

/// The payload of the first frame in `bytes`, which is taken out of them, if it is whole.
pub(crate) fn take(bytes: &mut Vec<u8>) -> Outcome<Option<Vec<u8>>> {
    let [first, second, ..] = bytes[..] else { return Ok(None) };
    if first != BINARY {
        return Err(format!("a frame begins with {first:#x}").into());
    }
    let (length, mut head_len) = match (second & 0x7f, bytes.get(2..4)) {
        (127, _) => return Err("a frame is longer than 64 KiB".into()),
        (126, None) => return Ok(None),
        (126, Some(long)) => (usize::from(long[0]) << 8 | usize::from(long[1]), 4),
        (tiny, _) => (usize::from(tiny), 2),
    };
    let mut mask = [0; 4];
    if second & 0x80 != 0 {
        let Some(found) = bytes.get(head_len..head_len + 4) else { return Ok(None) };
        mask.copy_from_slice(found);
        head_len += 4;
    }
    if bytes.len() < head_len + length {
        return Ok(None);
    }
    let frame: Vec<_> = bytes.drain(..head_len + length).skip(head_len).collect();
    Ok(Some(frame.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back_whole_whatever_their_length() {
        for length in [0, 1, 125, 126, 127, 128, 255, 256, 1024, 65535] {
            let payload = vec![7; length];
            for frame in [masked(&payload).unwrap(), plain(&payload).unwrap()] {
                let mut part = frame[..frame.len() - 1].to_vec();
                assert_eq!(take(&mut part).unwrap(), None);
                part.push(frame[frame.len() - 1]);
                assert_eq!(take(&mut part).unwrap().as_deref(), Some(&payload[..]));
                assert!(part.is_empty());
            }
        }
    }
}
