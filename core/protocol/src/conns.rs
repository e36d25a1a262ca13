//! Connection slots. Mutable access marks a connection for I/O: forgetting to wake the shell is
//! not something that can be written.

use crate::Duplex;
use crate::spare::Spare;

/// Names a connection. A name outlives its connection without ever meaning another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId {
    index: u32,
    generation: u32,
}

impl ConnId {
    /// The slot's number, for tables kept beside the slots.
    #[must_use]
    pub const fn index(self) -> usize {
        self.index as usize
    }
}

/// A connection: its bytes and what the application knows of it.
#[derive(Debug)]
pub struct Connection<C> {
    /// The bytes.
    pub io: Duplex,
    /// The application's state.
    pub state: C,
}

/// A connection in memory of its own, which goes along when the connection goes to another worker:
/// copying it twice into memory that other processors have would cost more than finding it here.
#[derive(Debug)]
pub(crate) struct Boxed<C>(Box<Option<Connection<C>>>);

impl<C> Boxed<C> {
    fn get(&self) -> Option<&Connection<C>> {
        self.0.as_ref().as_ref()
    }

    fn get_mut(&mut self) -> Option<&mut Connection<C>> {
        self.0.as_mut().as_mut()
    }
}

/// All connections of one application.
#[derive(Debug)]
pub struct Conns<C> {
    slots: Vec<Slot<C>>,
    /// Invariant: exactly the indices of the slots without a connection that are not lent.
    free: Vec<u32>,
    /// Slots whose connection another worker has for a while.
    lent: usize,
    /// Invariant: all connections whose slot says `touched`; what else is in it passes silently.
    touched: Vec<ConnId>,
    /// Memory of connections that ended, for the next ones: the allocator of a static musl binary gives
    /// what is free back to the system at once.
    vacant: Vec<Boxed<C>>,
    /// The same of their queues.
    spare: Spare,
}

/// Connections whose memory is kept at the most: more than come and go in a turn of the loop.
const VACANT_MAX: usize = 256;

#[derive(Debug)]
struct Slot<C> {
    generation: u32,
    touched: bool,
    /// The connection is to come back. Invariant: then there is none.
    is_lent: bool,
    connection: Option<Boxed<C>>,
}

impl<C> Conns<C> {
    /// No connections.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            lent: 0,
            touched: Vec::new(),
            vacant: Vec::new(),
            spare: Spare::new(),
        }
    }

    /// Takes a connection in; it counts as touched.
    pub fn insert(&mut self, io: Duplex, state: C) -> ConnId {
        let mut boxed = self.vacant.pop().unwrap_or_else(|| Boxed(Box::new(None)));
        *boxed.0 = Some(Connection { io, state });
        self.insert_boxed(boxed)
    }

    /// Takes in a connection that another worker had; it counts as touched.
    pub(crate) fn insert_boxed(&mut self, connection: Boxed<C>) -> ConnId {
        let connection = Some(connection);
        let id = if let Some(index) = self.free.pop() {
            let slot = &mut self.slots[index as usize];
            slot.connection = connection;
            ConnId { index, generation: slot.generation }
        } else {
            let index = u32::try_from(self.slots.len()).expect("descriptors end long before 2^32");
            self.slots.push(Slot { generation: 0, touched: false, is_lent: false, connection });
            ConnId { index, generation: 0 }
        };
        self.touch(id);
        id
    }

    /// Removes a connection; its name is stale from now on. Its memory stays, and that of its empty queues.
    /// False when there is none of that name.
    pub fn remove(&mut self, id: ConnId) -> bool {
        let Some(mut boxed) = self.take(id) else { return false };
        *boxed.0 = None;
        if self.vacant.len() < VACANT_MAX {
            self.vacant.push(boxed);
        }
        true
    }

    /// Takes a connection out for good: its name is stale from now on. The memory of its empty queues stays.
    pub(crate) fn take(&mut self, id: ConnId) -> Option<Boxed<C>> {
        let slot = slot_of(&mut self.slots, id)?;
        let mut boxed = slot.connection.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        slot.touched = false;
        self.free.push(id.index);
        if let Some(connection) = boxed.get_mut() {
            self.spare.take_back_all(&mut connection.io);
        }
        Some(boxed)
    }

    /// Takes a connection out whose name stays reserved for it.
    pub(crate) fn lend(&mut self, id: ConnId) -> Option<Boxed<C>> {
        let slot = slot_of(&mut self.slots, id)?;
        let connection = slot.connection.take()?;
        slot.touched = false;
        slot.is_lent = true;
        self.lent += 1;
        Some(connection)
    }

    /// Takes back a connection that was lent; it counts as touched. False when it was not.
    pub(crate) fn give_back(&mut self, id: ConnId, connection: Boxed<C>) -> bool {
        let Some(slot) = self.lent_slot(id) else { return false };
        slot.is_lent = false;
        slot.connection = Some(connection);
        self.lent -= 1;
        self.touch(id);
        true
    }

    /// A connection that was lent does not come back. False when it was not lent.
    pub(crate) fn write_off(&mut self, id: ConnId) -> bool {
        let Some(slot) = self.lent_slot(id) else { return false };
        slot.is_lent = false;
        slot.generation = slot.generation.wrapping_add(1);
        self.lent -= 1;
        self.free.push(id.index);
        true
    }

    fn lent_slot(&mut self, id: ConnId) -> Option<&mut Slot<C>> {
        slot_of(&mut self.slots, id).filter(|slot| slot.is_lent)
    }

    /// The connection, to be looked at.
    #[must_use]
    pub fn get(&self, id: ConnId) -> Option<&Connection<C>> {
        let slot = self.slots.get(id.index())?;
        slot.connection.as_ref().filter(|_| slot.generation == id.generation)?.get()
    }

    /// The state of the connection, to be looked at.
    #[must_use]
    pub fn state(&self, id: ConnId) -> Option<&C> {
        self.get(id).map(|connection| &connection.state)
    }

    /// The connection, to be worked on: the shell will look at it again.
    pub fn get_mut(&mut self, id: ConnId) -> Option<&mut Connection<C>> {
        let slot = slot_of(&mut self.slots, id)?;
        let connection = slot.connection.as_mut()?.get_mut()?;
        if !slot.touched {
            slot.touched = true;
            self.touched.push(id);
        }
        self.spare.lend(&mut connection.io.tx);
        Some(connection)
    }

    /// The connection that the shell is just serving, for itself and from within
    /// [`crate::App::transmit`]: it looks at it anyway, so this is no touch.
    #[inline]
    pub fn get_served(&mut self, id: ConnId) -> Option<&mut Connection<C>> {
        boxed_of(&mut self.slots, id)?.get_mut()
    }

    /// Has the shell look at the connection again.
    pub fn touch(&mut self, id: ConnId) {
        self.get_mut(id);
    }

    /// Whether a connection was touched and the shell has not looked at it yet.
    #[must_use]
    pub fn has_touched(&self) -> bool {
        self.slots.iter().any(|slot| slot.touched)
    }

    /// How many connections there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.slots.len() - self.free.len() - self.lent
    }

    /// Whether there is no connection.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All connections, in slot order.
    pub fn iter(&self) -> impl Iterator<Item = (ConnId, &Connection<C>)> {
        self.slots.iter().enumerate().filter_map(|(index, slot)| {
            let id = ConnId { index: u32::try_from(index).ok()?, generation: slot.generation };
            Some((id, slot.connection.as_ref()?.get()?))
        })
    }

    /// The next connection that was touched since it was last polled.
    pub(crate) fn poll_touched(&mut self) -> Option<ConnId> {
        while let Some(id) = self.touched.pop() {
            if self.untouch(id) {
                return Some(id);
            }
        }
        None
    }

    /// Takes a touch back; whether there was one.
    pub(crate) fn untouch(&mut self, id: ConnId) -> bool {
        slot_of(&mut self.slots, id).is_some_and(|slot| std::mem::take(&mut slot.touched))
    }

    /// The connection for the shell, with memory to read into.
    pub(crate) fn serve_reading(&mut self, id: ConnId) -> Option<&mut Connection<C>> {
        let connection = boxed_of(&mut self.slots, id)?.get_mut()?;
        self.spare.lend(&mut connection.io.rx);
        Some(connection)
    }

    /// Sees to it that the connection has memory to write into.
    pub(crate) fn prepare(&mut self, id: ConnId) {
        if let Some(connection) = boxed_of(&mut self.slots, id).and_then(Boxed::get_mut) {
            self.spare.lend(&mut connection.io.tx);
        }
    }

    /// Takes back the memory of the connection's empty queues.
    pub(crate) fn reclaim(&mut self, id: ConnId) {
        if let Some(connection) = boxed_of(&mut self.slots, id).and_then(Boxed::get_mut) {
            self.spare.take_back_all(&mut connection.io);
        }
    }
}

/// The slot that is still this connection's.
fn slot_of<C>(slots: &mut [Slot<C>], id: ConnId) -> Option<&mut Slot<C>> {
    slots.get_mut(id.index()).filter(|slot| slot.generation == id.generation)
}

fn boxed_of<C>(slots: &mut [Slot<C>], id: ConnId) -> Option<&mut Boxed<C>> {
    slot_of(slots, id)?.connection.as_mut()
}

impl<C> Default for Conns<C> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
