//! An ingress, an agent, a service and callers, run by hand.

use std::cell::RefCell;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Instant;

use mesh_agent::{Agent, Endpoint, Identity};
use mesh_ingress::{Ingress, TRAFFIC, TUNNEL};
use mesh_protocol::{App, Command, ConnId, Driver, Readiness, Rng, Security};

use crate::{Far, Pipe};

/// Whom requests are for.
pub(crate) const HOST: &str = "demo.local";
const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 50000);
const INGRESS_PORT: u16 = 8082;
const HEAD_END: &[u8] = b"\r\n\r\n";
/// Something has arrived, and there is room to write.
const READY: Readiness = Readiness { readable: true, writable: true, closed: false, failed: false };

/// What is asked and answered.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Of the request.
    pub fields: Fields,
    /// Bytes of the request's body.
    pub up: usize,
    /// Bytes of the response's body.
    pub down: usize,
}

/// What a request's head is made of.
#[derive(Debug, Clone, Copy)]
pub enum Fields {
    /// A host, as load generators send it.
    Few,
    /// What browsers and load balancers send.
    Usual,
}

/// All of them.
pub struct Stage {
    ingress: Driver<Ingress, Pipe>,
    agent: Driver<Agent, Pipe>,
    /// Each with the way to it.
    tunnels: Vec<Tunnel>,
    services: Vec<(ConnId, Far)>,
    callers: Vec<(ConnId, Far)>,
    request: Vec<u8>,
    answer: Vec<u8>,
    shape: Shape,
}

/// Both ends of a tunnel.
#[derive(Debug)]
struct Tunnel {
    at_ingress: ConnId,
    to_ingress: Rc<RefCell<Vec<u8>>>,
    at_agent: ConnId,
    to_agent: Rc<RefCell<Vec<u8>>>,
}

impl Stage {
    /// An agent that is registered, and callers that are connected.
    ///
    /// # Panics
    /// When the agent does not register.
    #[must_use]
    pub fn new(callers: usize, shape: Shape) -> Self {
        let now = Instant::now();
        let ingress = Ingress::new(mesh_ingress::Config::default(), now);
        let agent = Agent::new(agent_config(), now, "agent".to_owned());
        let mut stage = Self {
            ingress: Driver::new(ingress, Rng::from_seed(1), now),
            agent: Driver::new(agent, Rng::from_seed(2), now),
            tunnels: Vec::new(),
            services: Vec::new(),
            callers: Vec::new(),
            request: request(shape),
            answer: answer(shape),
            shape,
        };
        stage.agent.begin_turn(now);
        stage.agent.fire();
        while stage.turn() {}
        assert_eq!(stage.ingress.app().census().healthy, 1, "the agent is not registered");
        for _ in 0..callers {
            let (near, far) = Pipe::with_far();
            let conn = stage.ingress.accepted(TRAFFIC, PEER, near).expect("there is room");
            stage.callers.push((conn, far));
        }
        stage
    }

    /// Each caller asks once, all at the same time, and gets its whole answer.
    ///
    /// # Panics
    /// When an answer is not the right one.
    pub fn round(&mut self) {
        self.round_of(self.callers.len());
    }

    /// The same of the first `asking` callers; the others are idle.
    ///
    /// # Panics
    /// As [`Self::round`], and when there are not so many.
    pub fn round_of(&mut self, asking: usize) {
        for (conn, far) in &self.callers[..asking] {
            far.to.borrow_mut().extend_from_slice(&self.request);
            self.ingress.latch(*conn, READY);
        }
        while self.turn() {}
        for (_, far) in &self.callers[..asking] {
            let mut from = far.from.borrow_mut();
            assert!(from.starts_with(b"HTTP/1.1 200 OK\r\n"), "{}", from.escape_ascii());
            assert!(from.len() > self.shape.down, "the answer is cut short");
            from.clear();
        }
    }

    /// Everybody runs once; whether anybody had something to do.
    fn turn(&mut self) -> bool {
        self.ingress.settle();
        let mut has_moved = self.ingress.has_work();
        for (conn, far) in &self.callers {
            if !far.to.borrow().is_empty() {
                self.ingress.latch(*conn, READY);
                has_moved = true;
            }
        }
        for tunnel in &self.tunnels {
            if !tunnel.to_agent.borrow().is_empty() {
                self.agent.latch(tunnel.at_agent, READY);
                has_moved = true;
            }
        }
        self.agent.settle();
        has_moved |= self.agent.has_work();
        has_moved |= self.obey();
        for (conn, far) in &self.services {
            has_moved |= self.serve(far) && {
                self.agent.latch(*conn, READY);
                true
            };
        }
        self.agent.settle();
        for tunnel in &self.tunnels {
            if !tunnel.to_ingress.borrow().is_empty() {
                self.ingress.latch(tunnel.at_ingress, READY);
                has_moved = true;
            }
        }
        has_moved
    }

    /// Makes the connections that the agent asks for.
    fn obey(&mut self) -> bool {
        let mut has_moved = false;
        while let Some(command) = self.agent.poll_command() {
            let Command::Connect { conn, target } = command else { continue };
            has_moved = true;
            if target.port == INGRESS_PORT {
                let (near, far) = Pipe::pair();
                let (to_agent, to_ingress) = (near.inbound(), far.inbound());
                let at_ingress = self.ingress.accepted(TUNNEL, PEER, far).expect("there is room");
                self.ingress.latch(at_ingress, READY);
                self.tunnels.push(Tunnel { at_ingress, to_ingress, at_agent: conn, to_agent });
                self.agent.connected(conn, near);
            } else {
                let (near, far) = Pipe::with_far();
                self.services.push((conn, far));
                self.agent.connected(conn, near);
            }
            self.agent.latch(conn, READY);
        }
        let agent = &mut self.agent;
        self.services.retain(|(conn, _)| agent.app_mut().conns().get(*conn).is_some());
        has_moved
    }

    /// The service answers a whole request; whether it did, or has more to say.
    fn serve(&self, far: &Far) -> bool {
        let mut from = far.from.borrow_mut();
        let head = from.windows(HEAD_END.len()).position(|bytes| bytes == HEAD_END);
        if head.is_some_and(|head| from.len() >= head + HEAD_END.len() + self.body_of(&from)) {
            from.clear();
            far.to.borrow_mut().extend_from_slice(&self.answer);
        }
        !far.to.borrow().is_empty()
    }

    /// Bytes of the body that follow a head; the agent's own probes have none.
    fn body_of(&self, request: &[u8]) -> usize {
        if request.starts_with(b"POST") { self.shape.up } else { 0 }
    }
}

fn agent_config() -> mesh_agent::Config {
    let endpoint = |port| Endpoint {
        host: "127.0.0.1".to_owned(),
        port,
        security: Security::Plain,
        path: "/".to_owned(),
    };
    mesh_agent::Config {
        proxy: None,
        ingress: endpoint(INGRESS_PORT),
        local: endpoint(3000),
        hosts: vec![HOST.to_owned()],
        service: "service".to_owned(),
        cluster: "cluster".to_owned(),
        task: String::new(),
        container_instance: String::new(),
        identity: Identity::Skip,
        server_id: "127.0.0.1".to_owned(),
        health: mesh_agent::HealthCheck::default(),
        timeouts: mesh_agent::Timeouts::default(),
        limits: mesh_agent::Limits::default(),
    }
}

/// A request as a caller sends it.
pub(crate) fn request(shape: Shape) -> Vec<u8> {
    let mut request = match shape.up {
        0 => "GET /api/items?page=2 HTTP/1.1\r\nHost: demo.local\r\n".to_owned(),
        up => format!("POST /api/items HTTP/1.1\r\nHost: demo.local\r\nContent-Length: {up}\r\n"),
    };
    request.push_str(match shape.fields {
        Fields::Few => "",
        Fields::Usual => {
            "X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Port: 443\r\n\
             X-Amzn-Trace-Id: Root=1-67891233-abcdef012345678912345678\r\n\
             User-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\nAccept: text/html,application/json\r\n\
             Accept-Encoding: gzip, br\r\nCookie: session=0123456789abcdef\r\n"
        }
    });
    request.push_str("\r\n");
    let mut request = request.into_bytes();
    request.resize(request.len() + shape.up, b'u');
    request
}

/// A response as the service sends it.
pub(crate) fn answer(shape: Shape) -> Vec<u8> {
    let mut answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Date: Fri, 20 Nov 2026 12:00:00 GMT\r\nCache-Control: no-store\r\n\r\n",
        shape.down
    )
    .into_bytes();
    answer.resize(answer.len() + shape.down, b'd');
    answer
}
