//! An end of a simulated link as a [`Transport`]: a non-blocking TCP socket in its manners.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use mesh_protocol::{Buf, Filled, Flushed, Rng, Transport, Unread};

use crate::draw;
use crate::link::EndId;
use crate::network::Network;
use crate::network::traffic::Got;

/// One end of a link. Dropping it closes it, as dropping a socket does.
#[derive(Debug)]
pub struct Endpoint {
    id: EndId,
    network: Rc<RefCell<Network>>,
    rng: Rng,
}

impl Endpoint {
    pub(crate) fn new(id: EndId, network: &Rc<RefCell<Network>>) -> Self {
        let rng = draw::fork(&mut network.borrow_mut().rng);
        Self { id, network: Rc::clone(network), rng }
    }

    pub(crate) fn read(&self, max: usize, take: impl FnMut(&[u8])) -> io::Result<Got> {
        self.network.borrow_mut().read(self.id, max, take)
    }

    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.network.borrow_mut().write(self.id, bytes)
    }

    pub(crate) fn shut_down(&self) -> io::Result<()> {
        self.network.borrow_mut().finish(self.id)
    }

    pub(crate) const fn id(&self) -> EndId {
        self.id
    }
}

impl Transport for Endpoint {
    fn fill(&mut self, rx: &mut Buf, max: usize, scratch: &mut [u8]) -> io::Result<Filled> {
        let max = max.min(scratch.len());
        // A TLS session hands out less than there is, too: a record at a time.
        let want =
            if draw::one_in(&mut self.rng, 16) { draw::size(&mut self.rng, max) } else { max };
        let got = self.read(want, |bytes| rx.extend(bytes))?;
        Ok(match got {
            Got::Bytes(count) if count == want => Filled::More(count),
            Got::Bytes(count) => {
                let tried_again = draw::one_in(&mut self.rng, 2);
                if tried_again && self.network.borrow().goes_on(self.id) {
                    Filled::Blocked(count)
                } else {
                    Filled::Short(count)
                }
            }
            Got::Nothing => Filled::Blocked(0),
            Got::Eof => Filled::Eof,
        })
    }

    fn flush(&mut self, tx: &mut Buf) -> io::Result<Flushed> {
        let count = self.write(tx.as_slice())?;
        tx.consume(count);
        Ok(if tx.is_empty() { Flushed::All(count) } else { Flushed::Blocked(count) })
    }

    fn has_pending(&self) -> bool {
        false
    }

    fn finish(&mut self) -> io::Result<Flushed> {
        // A TLS session says goodbye in a record of its own, for which there may be no room.
        if draw::one_in(&mut self.rng, 32) {
            self.network.borrow_mut().nudge(self.id);
            return Ok(Flushed::Blocked(0));
        }
        self.shut_down()?;
        Ok(Flushed::All(0))
    }

    fn peek(&mut self) -> Unread {
        self.network.borrow().peek(self.id)
    }

    fn take_error(&mut self) -> Option<io::Error> {
        self.network.borrow_mut().take_error(self.id)
    }

    fn reset(&mut self) {
        self.network.borrow_mut().make_abortive(self.id);
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        // A failed assertion within the network unwinds through its endpoints.
        if let Ok(mut network) = self.network.try_borrow_mut() {
            network.close(self.id);
        }
    }
}
