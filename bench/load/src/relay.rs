//! A link of so many bytes per second and so much delay, between two ends on this machine.
//!
//! ```text
//! reader: takes a piece when the link has room and its turn comes  -> queue -> writer: when it is due
//! ```
//!
//! All connections share the rate of a direction, piece by piece. What is under way is limited to
//! what fits on such a link, so a reader that does not take holds the sender back. There is no
//! loss, and no congestion control but that of the loopback.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use argh::FromArgs;
use socket2::{Domain, Socket, Type};

use crate::Outcome;

/// Play a slow or long link.
#[derive(FromArgs)]
#[argh(subcommand, name = "relay")]
pub(crate) struct Arguments {
    /// address and port to listen on; port 0 lets the system choose
    #[argh(option)]
    listen: SocketAddr,
    /// address and port to connect to
    #[argh(option)]
    to: SocketAddr,
    /// bytes per second in each direction; 0 is without limit
    #[argh(option, default = "0")]
    rate: u32,
    /// milliseconds that each direction takes
    #[argh(option, default = "0.0")]
    delay_ms: f64,
}

/// What a short link takes at once: small, so that a short message need not wait long for a piece
/// of a long one.
const PIECE_SHORT: usize = 8 << 10;
const PIECE_LONG: usize = 64 << 10;
/// What the sockets of a short link may hold beside the link itself.
const SLACK: usize = 16 << 10;
/// How far behind its rate a direction may catch up, since sleeping is never exact.
const CATCH_UP_SHORT: Duration = Duration::from_millis(2);
/// A link that is long may have a queue, and a busy machine needs one to keep the rate.
const CATCH_UP_LONG: Duration = Duration::from_millis(20);

/// One direction of the link.
struct Direction {
    rate: u32,
    delay: Duration,
    in_flight_max: usize,
    piece: usize,
    catch_up: Duration,
    /// When the bytes that were taken so far have entered the link.
    clock: Mutex<Instant>,
}

/// What of one connection is on its way in one direction.
#[derive(Default)]
struct Queue {
    way: Mutex<Way>,
    changed: Condvar,
}

#[derive(Default)]
struct Way {
    /// With the time at which each comes out; an empty one is the end.
    pieces: VecDeque<(Instant, Vec<u8>)>,
    bytes: usize,
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let delay = Duration::from_secs_f64(arguments.delay_ms / 1e3);
    let is_short = delay.is_zero() && arguments.rate > 0;
    // A window that shrinks after the handshake would make the sender wait for its timers.
    let window = is_short.then_some(SLACK);
    let socket = socket(window)?;
    socket.set_reuse_address(true)?;
    socket.bind(&arguments.listen.into())?;
    socket.listen(1024)?;
    let listener = TcpListener::from(socket);
    println!("listening {}", listener.local_addr()?.port());
    let (there, back) = (direction(arguments, delay)?, direction(arguments, delay)?);
    for near in listener.incoming() {
        let near = near?;
        let far = self::socket(window)?;
        if far.connect(&arguments.to.into()).is_err() {
            continue;
        }
        let far = TcpStream::from(far);
        near.set_nodelay(true)?;
        far.set_nodelay(true)?;
        carry(near.try_clone()?, far.try_clone()?, Arc::clone(&there));
        carry(far, near, Arc::clone(&back));
    }
    Ok(())
}

/// A socket whose kernel buffer is not longer than the link.
fn socket(window: Option<usize>) -> Outcome<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    if let Some(size) = window {
        socket.set_recv_buffer_size(size)?;
    }
    Ok(socket)
}

fn direction(arguments: &Arguments, delay: Duration) -> Outcome<Arc<Direction>> {
    let is_long = !delay.is_zero();
    let (piece, catch_up) =
        if is_long { (PIECE_LONG, CATCH_UP_LONG) } else { (PIECE_SHORT, CATCH_UP_SHORT) };
    let room = u128::from(arguments.rate) * (delay + catch_up).as_micros() / 1_000_000;
    // Without a rate only the memory of this machine is a limit.
    let room = if arguments.rate == 0 { 64 << 20 } else { usize::try_from(room)? };
    let (in_flight_max, clock) = (room + SLACK + piece, Mutex::new(Instant::now()));
    let rate = arguments.rate;
    Ok(Arc::new(Direction { rate, delay, in_flight_max, piece, catch_up, clock }))
}

fn carry(source: TcpStream, sink: TcpStream, direction: Arc<Direction>) {
    let queue = Arc::new(Queue::default());
    let filled = Arc::clone(&queue);
    thread::spawn(move || fill(source, &filled, &direction));
    thread::spawn(move || empty(sink, &queue));
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Direction {
    /// Waits until the link has taken so many bytes, and says when they come out of it.
    fn enter(&self, count: usize) -> Instant {
        let now = Instant::now();
        if self.rate == 0 {
            return now + self.delay;
        }
        let taking = Duration::from_secs_f64(count as f64 / f64::from(self.rate));
        let entered = {
            let mut clock = lock(&self.clock);
            *clock = (*clock).max(now - self.catch_up) + taking;
            *clock
        };
        thread::sleep(entered.saturating_duration_since(now));
        // What catches up was late to enter, and is not on its way for a shorter time.
        entered.max(now) + self.delay
    }
}

fn fill(mut source: TcpStream, queue: &Queue, direction: &Direction) {
    let mut piece = vec![0; direction.piece];
    loop {
        let count = source.read(&mut piece).unwrap_or(0);
        let due = direction.enter(count);
        let mut way = lock(&queue.way);
        while way.bytes + count > direction.in_flight_max {
            way = queue.changed.wait(way).unwrap_or_else(PoisonError::into_inner);
        }
        way.pieces.push_back((due, piece[..count].to_vec()));
        way.bytes += count;
        queue.changed.notify_all();
        if count == 0 {
            return;
        }
    }
}

fn empty(mut sink: TcpStream, queue: &Queue) {
    let mut is_open = true;
    loop {
        let due = {
            let mut way = lock(&queue.way);
            while way.pieces.is_empty() {
                way = queue.changed.wait(way).unwrap_or_else(PoisonError::into_inner);
            }
            way.pieces.front().map_or_else(Instant::now, |piece| piece.0)
        };
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let Some((_, piece)) = lock(&queue.way).pieces.pop_front() else { continue };
        if piece.is_empty() {
            drop(sink.shutdown(Shutdown::Write));
            return;
        }
        if is_open && sink.write_all(&piece).is_err() {
            // The reader's side learns of it too, and what still comes is dropped.
            drop(sink.shutdown(Shutdown::Both));
            is_open = false;
        }
        lock(&queue.way).bytes -= piece.len();
        queue.changed.notify_all();
    }
}
