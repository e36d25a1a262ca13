//! One loop for many connections of a load; what they say is up to a `Talk`.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::Outcome;

/// A load waits no longer than this for anything; what takes longer has failed.
const STALL: Duration = Duration::from_secs(20);

pub(crate) struct Client {
    stream: TcpStream,
    /// What came and was not taken yet.
    pub(crate) rx: Vec<u8>,
    /// What is to be sent.
    pub(crate) tx: Vec<u8>,
}

/// What the connections of a load say, and what they make of the answers.
pub(crate) trait Talk {
    /// Something came on this connection.
    fn received(&mut self, id: usize, client: &mut Client, now: Instant) -> Outcome;

    /// A look at all of them in every turn; returns when to look again at the latest.
    fn turn(&mut self, clients: &mut [Client], now: Instant) -> Outcome<Option<Instant>>;

    /// Whether all connections are as far as they have to be for the time to begin.
    fn is_ready(&self) -> bool;

    /// The time begins: what was measured so far does not count.
    fn begin(&mut self);
}

/// Connects so many times, lets them talk for so long once all are ready, and says how long that
/// took. `ready` on standard output is for somebody who measures the chain meanwhile.
pub(crate) fn run(
    to: SocketAddr,
    count: usize,
    seconds: u64,
    talk: &mut impl Talk,
) -> Outcome<Duration> {
    let mut poll = Poll::new()?;
    let mut clients = Vec::with_capacity(count);
    for id in 0..count {
        let stream = std::net::TcpStream::connect(to)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        poll.registry().register(
            &mut stream,
            Token(id),
            Interest::READABLE | Interest::WRITABLE,
        )?;
        clients.push(Client { stream, rx: Vec::new(), tx: Vec::new() });
    }
    let mut events = Events::with_capacity(1024);
    let mut begun: Option<Instant> = None;
    let mut now = Instant::now();
    // Until all are ready, this is when they have taken too long for it.
    let mut deadline = now + STALL;
    let mut heard = now;
    while now < deadline {
        if begun.is_none() && talk.is_ready() {
            talk.begin();
            println!("ready");
            begun = Some(now);
            deadline = now + Duration::from_secs(seconds);
        }
        let next = talk.turn(&mut clients, now)?.map_or(deadline, |at| at.min(deadline));
        for client in &mut clients {
            client.flush()?;
        }
        poll.poll(&mut events, Some(next.saturating_duration_since(Instant::now())))?;
        now = Instant::now();
        if !events.is_empty() {
            heard = now;
        } else if now > heard + STALL {
            return Err(format!("nothing came for {} s", STALL.as_secs()).into());
        }
        for event in &events {
            let id = event.token().0;
            let client = &mut clients[id];
            if event.is_readable() && client.fill()? {
                talk.received(id, client, now)?;
            }
            client.flush()?;
        }
    }
    begun.map(|at| at.elapsed()).ok_or_else(|| "not every connection got an answer".into())
}

impl Client {
    /// Reads all there is; says whether something came.
    fn fill(&mut self) -> Outcome<bool> {
        let (mut piece, before) = ([0; 16 << 10], self.rx.len());
        loop {
            match self.stream.read(&mut piece) {
                Ok(0) => return Err("a connection was closed by the other end".into()),
                Ok(count) => self.rx.extend_from_slice(&piece[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(self.rx.len() > before)
    }

    fn flush(&mut self) -> Outcome {
        while !self.tx.is_empty() {
            match self.stream.write(&self.tx) {
                Ok(count) => drop(self.tx.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}
