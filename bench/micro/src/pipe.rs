//! A connection in memory.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use mesh_protocol::{Buf, Filled, Flushed, Transport, Unread};

/// What is on its way in one direction.
type Way = Rc<RefCell<Vec<u8>>>;

/// The near end of a connection, as a driver has it.
#[derive(Debug)]
pub struct Pipe {
    inbound: Way,
    outbound: Way,
}

/// The far end of a connection, for whoever plays the peer.
#[derive(Debug)]
pub struct Far {
    /// What the near end reads.
    pub to: Way,
    /// What the near end wrote.
    pub from: Way,
}

impl Pipe {
    /// A connection of which both ends are pipes.
    #[must_use]
    pub fn pair() -> (Self, Self) {
        let (there, back) = (Way::default(), Way::default());
        let near = Self { inbound: Rc::clone(&back), outbound: Rc::clone(&there) };
        (near, Self { inbound: there, outbound: back })
    }

    /// A connection whose far end is a script.
    #[must_use]
    pub fn with_far() -> (Self, Far) {
        let (near, far) = Self::pair();
        (near, Far { to: far.outbound, from: far.inbound })
    }

    /// The way to this end, to see whether something is on it.
    #[must_use]
    pub fn inbound(&self) -> Way {
        Rc::clone(&self.inbound)
    }
}

impl Transport for Pipe {
    fn fill(&mut self, rx: &mut Buf, max: usize, _scratch: &mut [u8]) -> io::Result<Filled> {
        let mut way = self.inbound.borrow_mut();
        let count = way.len().min(max);
        rx.extend(&way[..count]);
        way.drain(..count);
        Ok(if count == max { Filled::More(count) } else { Filled::Short(count) })
    }

    fn flush(&mut self, tx: &mut Buf) -> io::Result<Flushed> {
        let count = tx.len();
        self.outbound.borrow_mut().extend_from_slice(tx.as_slice());
        tx.consume(count);
        Ok(Flushed::All(count))
    }

    fn flush_with(&mut self, tx: &mut Buf, pieces: &[&[u8]]) -> io::Result<Flushed> {
        let Flushed::All(queued) = self.flush(tx)? else { return Ok(Flushed::Blocked(0)) };
        let mut way = self.outbound.borrow_mut();
        let before = way.len();
        pieces.iter().for_each(|piece| way.extend_from_slice(piece));
        let passed = way.len() - before;
        tx.pass(passed);
        Ok(Flushed::All(queued + passed))
    }

    fn has_pending(&self) -> bool {
        false
    }

    fn finish(&mut self) -> io::Result<Flushed> {
        Ok(Flushed::All(0))
    }

    fn peek(&mut self) -> Unread {
        if self.inbound.borrow().is_empty() { Unread::Nothing } else { Unread::Bytes }
    }

    fn reset(&mut self) {}

    fn take_error(&mut self) -> Option<io::Error> {
        None
    }
}
