//! What is between the workers of one process: parcels that take their time, and keep their order
//! from one worker to another, but not across several.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use mesh_protocol::{App, ConnId, Driver, Parcel, ParcelOf, Rng, Terms, WorkerId};

use crate::draw;
use crate::endpoint::Endpoint;
use crate::link::{EndId, Token};
use crate::network::{Network, NodeId};

/// A worker's place at the office.
pub(crate) struct Desk<A: App> {
    pub(crate) own: WorkerId,
    /// By worker.
    pub(crate) nodes: Vec<NodeId>,
    pub(crate) office: Rc<RefCell<Office<A>>>,
    pub(crate) network: Rc<RefCell<Network>>,
    pub(crate) rng: Rng,
}

/// All parcels on their way, in the order in which they were sent.
pub(crate) struct Office<A: App> {
    letters: Vec<Letter<A>>,
}

struct Letter<A: App> {
    from: WorkerId,
    to: WorkerId,
    due: Instant,
    parcel: ParcelOf<A, Endpoint>,
}

/// How long a parcel takes as a rule, and now and then, when its worker is busy.
const QUICK_MAX: Duration = Duration::from_micros(50);
const SLOW_MAX: Duration = Duration::from_millis(20);

impl<A: App> Office<A> {
    pub(crate) const fn new() -> Self {
        Self { letters: Vec::new() }
    }
}

impl<A: App> Desk<A> {
    /// Hands over what is due, in its order.
    pub(crate) fn receive(&mut self, driver: &mut Driver<A, Endpoint>, now: Instant) {
        loop {
            let letter = {
                let mut office = self.office.borrow_mut();
                let due = |one: &Letter<A>| one.to == self.own && one.due <= now;
                let first = office.letters.iter().position(due);
                first.map(|index| office.letters.remove(index))
            };
            let Some(Letter { from, parcel, .. }) = letter else { return };
            self.network.borrow_mut().posted(1);
            match parcel {
                Parcel::Message(message) => driver.handle_message(from, message),
                Parcel::Connection(moved) => {
                    let conn = driver.adopt(from, moved);
                    driver.adopted(conn);
                }
                Parcel::Ready(name) => {
                    if let Some(conn) = driver.keep(from, name)
                        && let Some(endpoint) = driver.transport_mut(conn)
                    {
                        let end = endpoint.id();
                        self.network.borrow_mut().release(end);
                        self.hold(end, conn);
                    }
                }
                Parcel::Released(name) => driver.released(name),
            }
        }
    }

    /// The network tells this worker of the end from now on.
    fn hold(&self, end: EndId, conn: ConnId) {
        let node = self.nodes[self.own.index()];
        self.network.borrow_mut().hold(end, node, Token::Conn(conn));
    }

    /// Sends what there is for others.
    pub(crate) fn send(&mut self, driver: &mut Driver<A, Endpoint>, now: Instant) {
        while let Some((to, mut parcel)) = driver.poll_parcel() {
            let from = self.own;
            let longest = if draw::one_in(&mut self.rng, 16) { SLOW_MAX } else { QUICK_MAX };
            let mut due = now + draw::up_to(&mut self.rng, longest);
            let mut office = self.office.borrow_mut();
            let earlier = office.letters.iter().filter(|one| (one.from, one.to) == (from, to));
            due = due.max(earlier.map(|one| one.due).max().unwrap_or(due));
            let mut network = self.network.borrow_mut();
            if let Parcel::Connection(moved) = &mut parcel
                && moved.is_watched()
            {
                match moved.terms() {
                    Terms::Transferred | Terms::TransferredFrom(_) => {
                        network.release(moved.transport_mut().id())
                    }
                    Terms::Lent(_) | Terms::Returned(_) => {}
                }
            }
            network.post(self.nodes[to.index()], due);
            office.letters.push(Letter { from, to, due, parcel });
        }
    }

    /// When the next parcel arrives.
    pub(crate) fn due(&self) -> Option<Instant> {
        let office = self.office.borrow();
        office.letters.iter().filter(|one| one.to == self.own).map(|one| one.due).min()
    }

    /// Drops everything that is on its way.
    pub(crate) fn abandon(&mut self) {
        let letters = std::mem::take(&mut self.office.borrow_mut().letters);
        self.network.borrow_mut().posted(letters.len());
    }
}
