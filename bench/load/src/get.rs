//! Small requests on kept connections, at a fixed rate or one after the other.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use argh::{FromArgValue, FromArgs};

use crate::Outcome;
use crate::clients::{self, Client, Talk};
use crate::http::{self, Body};
use crate::samples::{self, Samples};

/// Send small requests on kept connections.
#[derive(FromArgs)]
#[argh(subcommand, name = "get")]
pub(crate) struct Arguments {
    /// address and port to connect to
    #[argh(option)]
    to: SocketAddr,
    /// what to ask for
    #[argh(option, default = "String::from(\"/small\")")]
    path: String,
    /// how many connections
    #[argh(option)]
    connections: usize,
    /// requests per second over all connections; 0 is each as soon as the last was answered
    #[argh(option, default = "0")]
    rate: u32,
    /// how long
    #[argh(option)]
    seconds: u64,
    /// ask for so many hosts in turn, h0.bench.localhost and on; 0 is bench.localhost alone
    #[argh(option, default = "0")]
    hosts: usize,
    /// whose turn it is: of all connections together, or of each for itself, so that no connection
    /// asks for the same host twice in a row; or each connection keeps to one host; or it asks for
    /// that once, and then for the next two by turns
    #[argh(option, default = "Turns::Together")]
    turns: Turns,
}

/// By what the hosts take turns.
#[derive(Clone, Copy)]
enum Turns {
    Together,
    Each,
    Never,
    Away,
}

impl FromArgValue for Turns {
    fn from_arg_value(value: &str) -> Result<Self, String> {
        match value {
            "together" => Ok(Self::Together),
            "each" => Ok(Self::Each),
            "never" => Ok(Self::Never),
            "away" => Ok(Self::Away),
            other => Err(format!("\"{other}\" is none of together, each, never and away")),
        }
    }
}

struct Getter<'a> {
    arguments: &'a Arguments,
    begun: Instant,
    /// Requests that the fixed rate asked for so far.
    scheduled: u32,
    /// When requests became due for which no connection was free.
    overdue: VecDeque<Instant>,
    /// When the request under way was due, by connection.
    waiting: Vec<Option<Instant>>,
    /// Requests sent so far, and by each connection.
    sent: usize,
    sent_by: Vec<usize>,
    samples: Samples,
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let mut getter = Getter {
        arguments,
        begun: Instant::now(),
        scheduled: 0,
        overdue: VecDeque::new(),
        waiting: vec![None; arguments.connections],
        sent: 0,
        sent_by: vec![0; arguments.connections],
        samples: Samples::default(),
    };
    let took = clients::run(arguments.to, arguments.connections, arguments.seconds, &mut getter)?;
    samples::print(&getter.samples.figures(took))
}

impl Talk for Getter<'_> {
    fn received(&mut self, id: usize, client: &mut Client, now: Instant) -> Outcome {
        let Some(response) = http::response(&client.rx)? else { return Ok(()) };
        let Body::Length(length) = response.body else {
            return Err("an answer has no length".into());
        };
        let whole = response.head_len + usize::try_from(length)?;
        if client.rx.len() < whole {
            return Ok(());
        }
        if response.status != 200 {
            return Err(format!("status {}", response.status).into());
        }
        if client.rx.len() > whole {
            return Err("more came than one answer".into());
        }
        client.rx.clear();
        let due = self.waiting[id].take().ok_or("an answer came without a request")?;
        self.samples.record(now - due);
        if self.arguments.rate == 0 {
            self.send(id, client, now);
        } else if let Some(due) = self.overdue.pop_front() {
            self.send(id, client, due);
        }
        Ok(())
    }

    fn turn(&mut self, clients: &mut [Client], now: Instant) -> Outcome<Option<Instant>> {
        if self.arguments.rate == 0 {
            if self.sent == 0 {
                for (id, client) in clients.iter_mut().enumerate() {
                    self.send(id, client, now);
                }
            }
            return Ok(None);
        }
        if self.scheduled == 0 {
            self.begun = now;
        }
        while self.due_at(self.scheduled) <= now {
            let due = self.due_at(self.scheduled);
            self.scheduled += 1;
            match self.waiting.iter().position(Option::is_none) {
                // Late only because this program slept too long, which is not the chain's fault.
                Some(id) => self.send(id, &mut clients[id], now),
                None => self.overdue.push_back(due),
            }
        }
        Ok(Some(self.due_at(self.scheduled)))
    }

    fn is_ready(&self) -> bool {
        true
    }

    fn begin(&mut self) {}
}

impl Getter<'_> {
    fn due_at(&self, number: u32) -> Instant {
        let micros = u64::from(number) * 1_000_000 / u64::from(self.arguments.rate);
        self.begun + Duration::from_micros(micros)
    }

    fn send(&mut self, id: usize, client: &mut Client, due: Instant) {
        let host = match self.arguments.hosts {
            0 => http::HOST.to_owned(),
            hosts => format!("h{}.{}", self.turn_of(id) % hosts, http::HOST),
        };
        client.tx.extend(http::request("GET", &self.arguments.path, &host, ""));
        self.waiting[id] = Some(due);
        self.sent += 1;
        self.sent_by[id] += 1;
    }

    fn turn_of(&self, id: usize) -> usize {
        match self.arguments.turns {
            // A step that has no divisor in common with round numbers visits all in no order.
            Turns::Together => self.sent * 7919,
            Turns::Each => id + self.sent_by[id],
            Turns::Never => id,
            Turns::Away if self.sent_by[id] == 0 => id,
            Turns::Away => id + 1 + self.sent_by[id] % 2,
        }
    }
}
