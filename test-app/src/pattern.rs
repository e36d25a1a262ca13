//! Any number of predictable bytes.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::Path;
use axum::http::{HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body::{Frame, SizeHint};

use crate::query::Query;
use crate::reply::Refusal;

/// The most bytes of one answer: 1 TiB.
const MOST: u64 = 1 << 40;

/// The pattern's period: prime, so that it never falls in step with buffer sizes.
const PERIOD: u8 = 251;

/// Close to 64 KiB and a multiple of the period, so that every block begins the pattern anew.
const BLOCK_SIZE: usize = 261 * PERIOD as usize;

static BLOCK: [u8; BLOCK_SIZE] = block();

const fn block() -> [u8; BLOCK_SIZE] {
    let mut block = [0; BLOCK_SIZE];
    let (mut index, mut value) = (0, 0);
    while index < BLOCK_SIZE {
        block[index] = value;
        value = if value + 1 == PERIOD { 0 } else { value + 1 };
        index += 1;
    }
    block
}

/// `count` bytes, of which the one at offset `i` is `i % 251`. They come with `Content-Length`,
/// or without it if `?chunked=1` is asked for.
pub(crate) async fn bytes(Path(count): Path<String>, uri: Uri) -> Result<Response, Refusal> {
    let Some(remaining) = count.parse().ok().filter(|count| *count <= MOST) else {
        let message = format!("the count must be a whole number from 0 to {MOST}");
        return Err(Refusal::bad_request(message));
    };
    let pattern = Pattern { remaining, sized: !Query::of(&uri).flag("chunked")? };
    let binary = HeaderValue::from_static("application/octet-stream");
    Ok(([(header::CONTENT_TYPE, binary)], Body::new(pattern)).into_response())
}

/// The body: references to the one static block, whatever the count.
struct Pattern {
    remaining: u64,
    sized: bool,
}

impl http_body::Body for Pattern {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let size = usize::try_from(self.remaining).unwrap_or(usize::MAX).min(BLOCK_SIZE);
        if size == 0 {
            return Poll::Ready(None);
        }
        self.remaining -= size as u64;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&BLOCK[..size])))))
    }

    fn is_end_stream(&self) -> bool {
        self.sized && self.remaining == 0
    }

    fn size_hint(&self) -> SizeHint {
        if self.sized { SizeHint::with_exact(self.remaining) } else { SizeHint::default() }
    }
}
