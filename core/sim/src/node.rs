//! What the world runs: an application under the driver that real shells use, or a scripted peer.

use std::any::Any;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use mesh_protocol::{App, Command, ConnId, Driver, Readiness, Rng};

use crate::desk::Desk;

use crate::endpoint::Endpoint;
use crate::link::Token;
use crate::network::{Arrival, Network, NodeId};

/// Something that lives in a world.
pub(crate) trait Node: Any {
    /// Runs what can run now. Called when something was handed to it, became ready, or is due.
    fn turn(&mut self) -> Outcome;

    /// Connections without a deadline.
    fn lingering(&mut self) -> Vec<ConnId>;

    /// The process is over: what was on its way between its workers is nowhere.
    fn abandon(&mut self) {}
}

/// How a turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// There is more to run at once.
    Busy,
    /// Nothing until then, unless something is handed to it.
    Idle(Option<Instant>),
    /// The process ended itself.
    Exit,
}

/// An application under the driver.
pub(crate) struct AppNode<A: App> {
    pub(crate) driver: Driver<A, Endpoint>,
    id: NodeId,
    network: Rc<RefCell<Network>>,
    edges: Vec<(Token, Readiness)>,
    do_job: Box<DoJob<A>>,
    /// What will come of the jobs under way, and when.
    answers: Vec<(Instant, A::Answer)>,
    /// With several workers: what is between this one and the others.
    desk: Option<Desk<A>>,
}

/// Says what comes of a job and how long that takes.
pub type DoJob<A> = dyn FnMut(<A as App>::Job, Instant) -> (Duration, <A as App>::Answer);

/// For an application without jobs.
pub(crate) fn nobody<J, A>(_: J, _: Instant) -> (Duration, A) {
    panic!("there is nobody for jobs")
}

/// Jobs that are done at once. Few, so that they queue.
const JOBS_AT_ONCE: usize = 4;

impl<A: App> AppNode<A> {
    pub(crate) fn new(
        app: A,
        rng: Rng,
        id: NodeId,
        network: &Rc<RefCell<Network>>,
        do_job: Box<DoJob<A>>,
    ) -> Self {
        let now = network.borrow().now;
        Self {
            driver: Driver::new(app, rng, now),
            id,
            network: Rc::clone(network),
            edges: Vec::new(),
            do_job,
            answers: Vec::new(),
            desk: None,
        }
    }

    /// Makes it one of several workers.
    pub(crate) fn at(self, desk: Desk<A>) -> Self {
        Self { desk: Some(desk), ..self }
    }

    /// Has jobs done as far as somebody is free.
    fn start_jobs(&mut self, now: Instant) {
        while self.answers.len() < JOBS_AT_ONCE
            && let Some(job) = self.driver.poll_job()
        {
            let (time, answer) = (self.do_job)(job, now);
            self.answers.push((now + time, answer));
        }
    }

    /// Hands over what came of jobs, in the order in which they are done.
    fn take_answers(&mut self, now: Instant) {
        loop {
            let done = self.answers.iter().enumerate().filter(|(_, (at, _))| *at <= now);
            let first = done.min_by_key(|(_, (at, _))| *at).map(|(index, _)| index);
            let Some(index) = first else { return };
            let (_, answer) = self.answers.remove(index);
            self.driver.handle_answer(answer);
        }
    }

    /// Has the network tell of the connections that are to be watched from now on.
    fn watch(&mut self) {
        let mut unwatched = Vec::new();
        self.driver.take_unwatched(&mut unwatched);
        for conn in unwatched {
            if let Some(endpoint) = self.driver.transport_mut(conn) {
                let end = endpoint.id();
                self.network.borrow_mut().hold(end, self.id, Token::Conn(conn));
            }
        }
    }

    fn receive(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Accepted { end, listener, peer } => {
                let endpoint = Endpoint::new(end, &self.network);
                self.driver.accepted(listener, peer, endpoint);
            }
            Arrival::Connected { end, token } => {
                let endpoint = Endpoint::new(end, &self.network);
                if let Token::Conn(conn) = token {
                    self.driver.connected(conn, endpoint);
                    self.network.borrow_mut().claim(end, token);
                }
            }
            Arrival::Failed { token, error } => {
                if let Token::Conn(conn) = token {
                    self.driver.connect_failed(conn, error.into());
                }
            }
            Arrival::Drain => self.driver.drain(),
        }
    }
}

impl<A: App + 'static> Node for AppNode<A> {
    /// The turn of a shell: latch everything, tell the time, hand over, settle, obey, watch.
    fn turn(&mut self) -> Outcome {
        let now = {
            let mut network = self.network.borrow_mut();
            network.take_edges(self.id, &mut self.edges);
            if self.driver.next_deadline().is_some_and(|due| due <= network.now) {
                // What came until then came in time, and a shell looks again.
                network.take_all_edges(self.id, &mut self.edges);
            }
            network.now
        };
        for (token, readiness) in self.edges.drain(..) {
            if let Token::Conn(conn) = token {
                self.driver.latch(conn, readiness);
            }
        }
        self.driver.begin_turn(now);
        self.take_answers(now);
        loop {
            let arrival = self.network.borrow_mut().poll_arrival(self.id);
            let Some(arrival) = arrival else { break };
            self.receive(arrival);
        }
        self.driver.fire();
        if let Some(desk) = &mut self.desk {
            desk.receive(&mut self.driver, now);
        }
        self.driver.settle();
        while let Some(command) = self.driver.poll_command() {
            match command {
                Command::Connect { conn, target } => {
                    let address = format!("{}:{}", target.host, target.port);
                    let token = Token::Conn(conn);
                    self.network.borrow_mut().connect(self.id, &address, token);
                }
                // The driver drops what comes of it.
                Command::Forget { .. } => {}
                Command::StopAccepting(listener) => {
                    self.network.borrow_mut().stop_accepting(self.id, listener);
                }
                Command::Exit => return Outcome::Exit,
            }
        }
        self.start_jobs(now);
        if let Some(desk) = &mut self.desk {
            desk.send(&mut self.driver, now);
        }
        self.watch();
        let due = self.answers.iter().map(|(at, _)| *at);
        let due = due.chain(self.desk.as_ref().and_then(Desk::due)).min();
        if self.driver.has_work() {
            Outcome::Busy
        } else {
            Outcome::Idle([due, self.driver.next_deadline()].into_iter().flatten().min())
        }
    }

    fn lingering(&mut self) -> Vec<ConnId> {
        let app = self.driver.app_mut();
        // How long a closing connection may take is the driver's business.
        let open = app.conns().iter().filter(|(_, connection)| !connection.io.is_closing());
        let ids: Vec<ConnId> = open.map(|(id, _)| id).collect();
        ids.into_iter().filter(|id| app.conn_deadline(*id).is_none()).collect()
    }

    fn abandon(&mut self) {
        if let Some(desk) = &mut self.desk {
            desk.abandon();
        }
    }
}
