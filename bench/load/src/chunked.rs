//! Takes the chunks off a body that comes in pieces.

use crate::Outcome;

#[derive(Default)]
enum State {
    #[default]
    Size,
    Data(usize),
    /// The line end after the data, of which so many bytes are still to come.
    After(usize),
}

#[derive(Default)]
pub(crate) struct Chunks {
    state: State,
    size: Vec<u8>,
}

impl Chunks {
    /// Appends what is in the chunks to `out`.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) -> Outcome {
        while let Some(first) = bytes.first() {
            match self.state {
                State::Size => {
                    bytes = &bytes[1..];
                    self.size.push(*first);
                    if *first == b'\n' {
                        let text = std::str::from_utf8(&self.size)?.trim();
                        let size = text.split(';').next().unwrap_or("").trim();
                        self.state = State::Data(usize::from_str_radix(size, 16)?);
                        self.size.clear();
                    }
                }
                State::Data(0) => return Err("the stream of events ended".into()),
                State::Data(left) => {
                    let (data, rest) = bytes.split_at(left.min(bytes.len()));
                    out.extend_from_slice(data);
                    bytes = rest;
                    let left = left - data.len();
                    self.state = if left == 0 { State::After(2) } else { State::Data(left) };
                }
                State::After(left) => {
                    bytes = &bytes[1..];
                    self.state = if left == 1 { State::Size } else { State::After(left - 1) };
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_split_gives_the_same_bytes() {
        let whole = b"5\r\nhello\r\n1;x=y\r\n \r\nA\r\n0123456789\r\n";
        for at in 0..whole.len() {
            let (mut chunks, mut out) = (Chunks::default(), Vec::new());
            chunks.feed(&whole[..at], &mut out).unwrap();
            chunks.feed(&whole[at..], &mut out).unwrap();
            assert_eq!(out, b"hello 0123456789");
        }
    }
}
