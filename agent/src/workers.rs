//! Several workers in one process: who has which tunnel, and what they tell each other.
//!
//! ```text
//!                  worker 0                                  worker n
//!   ingress <-- dials, registers, WELCOME --- Conn::Moving --> its tunnel for life
//!               probes the service --- Health, MakeRoom ----> | upstream connections of its own
//!               request waits <------------ GiveWay ---------> | request waits, at any worker
//!               dials anew <--------------- Moves, Ended ------'
//!               names old tunnels ------- Replaced ----------> has no more sent through them
//!                                 ---------- Leave ----------> ends them
//!               leaves <-------------------- Drained --------- has nothing left
//! ```
//!
//! The first worker gets all tunnels, proves who the agent is, and looks after the service. Once a
//! tunnel is welcome, and before its first stream opens, it goes to the worker with the fewest. From
//! then on a request is that worker's alone, from the tunnel to the service and back. What is sent is
//! bounded: some messages for each tunnel, one for each request that cannot reach the service, one for
//! each change of its health or of why it is down, one a second for each probe that it lets wait, one a
//! second for requests that it lets wait, and one when the worker has nothing left.

use std::collections::VecDeque;
use std::time::Instant;

use mesh_protocol::control::Health;
use mesh_protocol::{ConnId, Context, Outgoing, WorkerId};

use crate::agent::{Agent, Conn};
use crate::config::Config;
use crate::ledger::Serial;
use crate::pool::Pool;
use crate::tunnel::TunnelId;

/// What one worker tells another.
#[derive(Debug)]
pub enum Message {
    /// To the first one: another tunnel is to take the place of this one, and why.
    Moves(Serial, &'static str),
    /// To the first one: this tunnel has ended; why is half a sentence.
    Ended(Serial, String),
    /// To the first one: a request could not reach the service.
    Suspect,
    /// From the first one: how the service is from now on.
    Health(Health),
    /// From the first one: a probe waits for a place at the service.
    MakeRoom,
    /// To all others: a request waits for a place at the service, and none of the kept connections is here.
    GiveWay,
    /// From the first one: another tunnel has come in place of this one.
    Replaced(Serial),
    /// From the first one: this tunnel was moved from and has not been closed.
    Leave(Serial),
    /// From the first one: SIGTERM came.
    Drain,
    /// From the first one: end what is unfinished, since all leave.
    Cut,
    /// To the first one: this worker has neither tunnels nor anything for the service left.
    Drained,
}

/// This worker among the others.
#[derive(Debug)]
pub(crate) struct Workers {
    pub(crate) own: WorkerId,
    /// How many there are, this one included.
    ///
    /// Invariant: at least one.
    count: u8,
}

/// What waits for the shell to be sent.
pub(crate) type Outbox = VecDeque<(WorkerId, Outgoing<Message>)>;

impl Workers {
    pub(crate) const fn alone() -> Self {
        Self { own: WorkerId::FIRST, count: 1 }
    }

    pub(crate) fn is_first(&self) -> bool {
        self.own == WorkerId::FIRST
    }

    /// How many there are besides this one.
    pub(crate) const fn others_count(&self) -> u8 {
        self.count - 1
    }

    /// Which one this is, for the log, where there are others.
    pub(crate) fn name(&self) -> String {
        match self.count {
            0 | 1 => String::new(),
            2.. => format!(" (worker {})", self.own.0),
        }
    }
}

impl Agent {
    /// The workers of one process. Unused connections to the service are shared out among them.
    #[must_use]
    pub fn workers(config: &Config, now: Instant, instance: &str, count: u8) -> Vec<Self> {
        let count = count.max(1);
        let idle = config.limits.idle_upstreams;
        let worker = |number: u8| {
            let agent = Self::new(config.clone(), now, instance.to_owned());
            let more = usize::from(usize::from(number) < idle % usize::from(count));
            Self {
                workers: Workers { own: WorkerId(number), count },
                pool: Pool::new(idle / usize::from(count) + more),
                slots: if number == 0 { agent.slots } else { Vec::new() },
                ..agent
            }
        };
        (0..count).map(worker).collect()
    }

    /// Says something to all other workers.
    pub(crate) fn tell_others(&mut self, message: impl Fn() -> Message) {
        for number in (0..self.workers.count).filter(|number| *number != self.workers.own.0) {
            self.outgoing.push_back((WorkerId(number), Outgoing::Message(message())));
        }
    }

    /// Says something to one worker, which may be this one.
    pub(crate) fn tell(&mut self, to: WorkerId, message: Message, cx: &mut Context<'_>) {
        if to == self.workers.own {
            self.take_message(message, cx);
        } else {
            self.outgoing.push_back((to, Outgoing::Message(message)));
        }
    }

    /// Another worker has something to say.
    pub(crate) fn take_message(&mut self, message: Message, cx: &mut Context<'_>) {
        match message {
            Message::Moves(serial, why) => self.tunnel_moves(serial, why, cx),
            Message::Ended(serial, why) => self.tunnel_ended(serial, &why, cx),
            Message::Suspect => self.health.suspect(cx.now),
            Message::Health(health) => self.report_health(&health),
            Message::MakeRoom => self.make_room_for_probe(),
            Message::GiveWay => self.make_room_elsewhere(),
            Message::Replaced(serial) => self.tell_replaced(serial),
            Message::Leave(serial) => self.leave_tunnel(serial, cx),
            Message::Drain => self.begin_drain(cx),
            Message::Cut => self.cut_unfinished(cx),
            Message::Drained => self.other_drained(),
        }
    }

    /// A tunnel that is welcome goes to its worker.
    pub(crate) fn assign_tunnel(&mut self, id: TunnelId, serial: Serial, cx: &mut Context<'_>) {
        // Other workers may have said already that they have nothing left.
        let workers = if self.drain.is_draining() { 1 } else { self.workers.count };
        let to = self.ledger.welcome(serial, workers, cx.now);
        for (old, worker) in self.ledger.replaced_by(serial, self.slots.len()) {
            self.tell(worker, Message::Replaced(old), cx);
        }
        if to == self.workers.own {
            return;
        }
        let Some(tunnel) = self.tunnels.remove(&id) else { return };
        if let Some(connection) = self.conns.get_mut(id.conn()) {
            connection.state = Conn::Moving(tunnel);
            self.outgoing.push_back((to, Outgoing::Connection(id.conn())));
        }
    }

    /// A tunnel came from the worker that got it.
    pub(crate) fn adopt_tunnel(&mut self, conn: ConnId, cx: &mut Context<'_>) {
        let Some(connection) = self.conns.get_mut(conn) else { return };
        let state = std::mem::replace(&mut connection.state, Conn::Tunnel);
        let Conn::Moving(tunnel) = state else {
            connection.state = state;
            return;
        };
        self.tunnels.insert(TunnelId(conn), tunnel);
        self.conns.touch(conn);
        // Frames may have followed at once.
        self.advance_tunnel(TunnelId(conn), cx);
    }
}
