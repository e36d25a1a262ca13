//! A tunnel that only carries small messages: what the system calls alone cost.
//!
//! ```text
//! caller -> ingress: recv, [whose | length | bytes].. in one send a turn -> agent: recv, send -> service
//! ```
//!
//! What comes by one `recv` is taken for a whole request or a whole response, and no HTTP is read but
//! for `Connection: close`, which is kept from the service. There are no credits, no time limits, one
//! queue for the tunnel, and a connection that does not take a message at once ends the program. No
//! tunnel on non-blocking sockets can do with fewer calls, so what another one takes beyond this is
//! the cost of all that it does besides.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};

use argh::FromArgs;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

use crate::Outcome;

/// One end of a tunnel that only carries: the ingress prints its two ports, the agent dials.
#[derive(FromArgs)]
#[argh(subcommand, name = "bare")]
pub(crate) struct Arguments {
    /// agent: address and port of the ingress
    #[argh(option)]
    tunnel: Option<SocketAddr>,
    /// agent: address and port of the service
    #[argh(option)]
    service: Option<SocketAddr>,
}

const CALLERS: Token = Token(usize::MAX);
const TUNNEL: Token = Token(usize::MAX - 1);
const HEAD: usize = 12;
const PIECE: usize = 64 << 10;

/// A caller: its place, and which of those who had it, since an answer may come after it has left.
#[derive(Clone, Copy, Default, PartialEq)]
struct Whose {
    place: u32,
    turn: u32,
}

/// A caller's connection at the ingress, one to the service at the agent.
#[derive(Default)]
struct Lane {
    stream: Option<TcpStream>,
    /// At the agent the caller whose request is there, or was last.
    whose: Whose,
    /// It asked to be closed after its answer.
    is_last: bool,
}

struct Bare {
    poll: Poll,
    tunnel: TcpStream,
    /// Frames for the tunnel, sent at the end of each turn.
    tx: Vec<u8>,
    /// Frames from the tunnel, of which the last may be there in part.
    rx: Vec<u8>,
    piece: Vec<u8>,
    lanes: Vec<Lane>,
    /// Places of lanes without a connection; at the agent, of those without a request.
    free: Vec<usize>,
    /// The ingress has callers, the agent a service.
    callers: Option<TcpListener>,
    service: Option<SocketAddr>,
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    match (arguments.tunnel, arguments.service) {
        (None, None) => ingress(),
        (Some(tunnel), Some(service)) => agent(tunnel, service),
        (Some(_), None) | (None, Some(_)) => Err("--tunnel and --service go together".into()),
    }
}

/// Waits for its agent before it takes callers.
fn ingress() -> Outcome {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let callers = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    callers.bind(&any.into())?;
    callers.listen(4096)?;
    callers.set_nonblocking(true)?;
    let (callers, agents) =
        (std::net::TcpListener::from(callers), std::net::TcpListener::bind(any)?);
    println!("callers {}", callers.local_addr()?.port());
    println!("agents {}", agents.local_addr()?.port());
    let mut bare = Bare::over(agents.accept()?.0)?;
    let mut callers = TcpListener::from_std(callers);
    bare.poll.registry().register(&mut callers, CALLERS, Interest::READABLE)?;
    bare.callers = Some(callers);
    bare.turn()
}

fn agent(tunnel: SocketAddr, service: SocketAddr) -> Outcome {
    let mut bare = Bare::over(std::net::TcpStream::connect(tunnel)?)?;
    bare.service = Some(service);
    bare.turn()
}

impl Bare {
    fn over(tunnel: std::net::TcpStream) -> Outcome<Self> {
        let (poll, mut tunnel) = (Poll::new()?, usable(tunnel)?);
        poll.registry().register(&mut tunnel, TUNNEL, Interest::READABLE | Interest::WRITABLE)?;
        let (tx, rx, piece) = (Vec::new(), Vec::new(), vec![0; PIECE]);
        let (lanes, free) = (Vec::new(), Vec::new());
        Ok(Self { poll, tunnel, tx, rx, piece, lanes, free, callers: None, service: None })
    }

    fn turn(&mut self) -> Outcome {
        let mut events = Events::with_capacity(1024);
        loop {
            match self.poll.poll(&mut events, None) {
                // As when strace attaches.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                result => result?,
            }
            for event in &events {
                match event.token() {
                    CALLERS => self.accept()?,
                    TUNNEL => self.read_tunnel()?,
                    Token(place) => {
                        self.read_lane(place)?;
                    }
                }
            }
            self.flush()?;
        }
    }

    /// A caller whose request is there already may be gone before epoll has to know of it.
    fn accept(&mut self) -> Outcome {
        while let Some(callers) = &self.callers {
            let Some((stream, _)) = ready(callers.accept())? else { break };
            stream.set_nodelay(true)?;
            let place = self.take_place();
            self.lanes[place].stream = Some(stream);
            let is_waiting = !self.read_lane(place)? || !self.lanes[place].is_last;
            if is_waiting && let Some(stream) = &mut self.lanes[place].stream {
                self.poll.registry().register(stream, Token(place), Interest::READABLE)?;
            }
        }
        Ok(())
    }

    fn take_place(&mut self) -> usize {
        self.free.pop().unwrap_or_else(|| {
            self.lanes.push(Lane::default());
            self.lanes.len() - 1
        })
    }

    /// Whether there was a message.
    fn read_lane(&mut self, place: usize) -> Outcome<bool> {
        let Lane { stream: Some(stream), whose, is_last } = &mut self.lanes[place] else {
            return Ok(false);
        };
        // One that was reset is over, too.
        let Some(count) = ready(stream.read(&mut self.piece)).unwrap_or(Some(0)) else {
            return Ok(false);
        };
        if count == 0 {
            self.close(place);
            return Ok(false);
        }
        let message = &mut self.piece[..count];
        if self.callers.is_some() {
            whose.place = u32::try_from(place)?;
            *is_last = replace(message, b"Connection: close", b"Connection: alive");
        }
        for word in [whose.place, whose.turn, u32::try_from(count)?] {
            self.tx.extend_from_slice(&word.to_be_bytes());
        }
        self.tx.extend_from_slice(message);
        if self.service.is_some() {
            self.free.push(place);
        }
        Ok(true)
    }

    fn close(&mut self, place: usize) {
        let lane = &mut self.lanes[place];
        (lane.stream, lane.whose.turn) = (None, lane.whose.turn.wrapping_add(1));
        if self.callers.is_some() {
            self.free.push(place);
        }
    }

    fn read_tunnel(&mut self) -> Outcome {
        while let Some(count) = ready(self.tunnel.read(&mut self.piece))? {
            if count == 0 {
                return Err("the other end of the tunnel is gone".into());
            }
            self.rx.extend_from_slice(&self.piece[..count]);
            let mut rx = std::mem::take(&mut self.rx);
            let mut done = 0;
            while let Some((whose, length)) = first(&rx[done..])? {
                let message = &mut rx[done + HEAD..done + HEAD + length];
                match self.service {
                    Some(service) => self.ask(service, whose, message)?,
                    None => self.answer(whose, message)?,
                }
                done += HEAD + length;
            }
            rx.drain(..done);
            self.rx = rx;
            if count < PIECE {
                break;
            }
        }
        Ok(())
    }

    /// Sends a request to the service, on a connection without one.
    fn ask(&mut self, service: SocketAddr, whose: Whose, message: &[u8]) -> Outcome {
        let place = self.take_place();
        let lane = &mut self.lanes[place];
        lane.whose = whose;
        if lane.stream.is_none() {
            let mut stream = usable(std::net::TcpStream::connect(service)?)?;
            self.poll.registry().register(&mut stream, Token(place), Interest::READABLE)?;
            lane.stream = Some(stream);
        }
        write(&mut lane.stream, message)
    }

    fn answer(&mut self, whose: Whose, message: &mut [u8]) -> Outcome {
        let place = whose.place as usize;
        let Some(lane) = self.lanes.get_mut(place) else { return Ok(()) };
        if lane.whose != whose {
            return Ok(());
        }
        let is_last = lane.is_last;
        if is_last {
            replace(message, b"Connection: keep-alive", b"Connection: close     ");
        }
        write(&mut lane.stream, message)?;
        if is_last {
            self.close(place);
        }
        Ok(())
    }

    fn flush(&mut self) -> Outcome {
        while !self.tx.is_empty() {
            let Some(count) = ready(self.tunnel.write(&self.tx))? else { break };
            self.tx.drain(..count);
        }
        Ok(())
    }
}

fn usable(stream: std::net::TcpStream) -> Outcome<TcpStream> {
    stream.set_nonblocking(true)?;
    stream.set_nodelay(true)?;
    Ok(TcpStream::from_std(stream))
}

/// None where the call would have to wait.
fn ready<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

/// The whole message or an error; one that is gone will tell when it is read.
fn write(stream: &mut Option<TcpStream>, message: &[u8]) -> Outcome {
    let Some(stream) = stream else { return Ok(()) };
    match ready(stream.write(message)) {
        Ok(Some(count)) if count == message.len() => Ok(()),
        Ok(Some(_) | None) => Err("a connection did not take a message at once".into()),
        Err(_) => Ok(()),
    }
}

/// Puts words of the same length in the place of others; whether these were there.
fn replace(message: &mut [u8], words: &[u8], others: &[u8]) -> bool {
    let found = message.windows(words.len()).position(|window| window == words);
    if let Some(at) = found {
        message[at..at + words.len()].copy_from_slice(others);
    }
    found.is_some()
}

/// Whose the first frame is and how long, if it is there whole.
fn first(rx: &[u8]) -> Outcome<Option<(Whose, usize)>> {
    let Some((head, rest)) = rx.split_at_checked(HEAD) else { return Ok(None) };
    let mut words = head
        .chunks_exact(4)
        .map(|word| word.iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte)));
    let (Some(place), Some(turn), Some(length)) = (words.next(), words.next(), words.next()) else {
        return Ok(None);
    };
    let length = usize::try_from(length)?;
    Ok((rest.len() >= length).then_some((Whose { place, turn }, length)))
}
