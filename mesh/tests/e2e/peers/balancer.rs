//! A load balancer of a few lines: it checks the health of its targets now and then, and gives
//! each new connection to the first one that is healthy, or to the healthy ones in turn.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::place::own_address;

/// One target: where connections go, and where `/health` is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) health: SocketAddr,
}

/// A port in front of targets that change.
#[derive(Debug)]
pub(crate) struct Balancer {
    pub(crate) address: SocketAddr,
    targets: Arc<Mutex<Vec<Target>>>,
    /// The place in the list of the target that gets new connections.
    chosen: Arc<AtomicUsize>,
}

/// Between two rounds of health checks. A real one takes seconds; what matters is that the targets
/// have to serve on until it notices.
const INTERVAL: Duration = Duration::from_millis(150);

/// Which healthy target gets a new connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    First,
    InTurn,
}

impl Balancer {
    /// New connections go to the first target whose `/health` is good.
    pub(crate) fn start(targets: &[Target]) -> Self {
        Self::start_by(Choice::First, "/health", targets)
    }

    /// New connections go to the targets of which that page is good.
    pub(crate) fn start_by(choice: Choice, page: &'static str, targets: &[Target]) -> Self {
        let listener = TcpListener::bind(own_address()).unwrap();
        let address = listener.local_addr().unwrap();
        let targets = Arc::new(Mutex::new(targets.to_vec()));
        let chosen = Arc::new(AtomicUsize::new(0));
        let balancer = Self { address, targets, chosen };
        let (targets, chosen) = (Arc::clone(&balancer.targets), Arc::clone(&balancer.chosen));
        std::thread::spawn(move || {
            loop {
                let known = targets.lock().unwrap().clone();
                let last = chosen.load(Ordering::Relaxed);
                let mut order: Vec<_> = (0..known.len()).collect();
                if choice == Choice::InTurn {
                    order.rotate_left((last + 1) % known.len());
                }
                let healthy = |at: &usize| is_healthy(known[*at].health, page);
                if let Some(next) = order.into_iter().find(healthy) {
                    chosen.store(next, Ordering::Relaxed);
                }
                std::thread::sleep(INTERVAL);
            }
        });
        let (targets, chosen) = (Arc::clone(&balancer.targets), Arc::clone(&balancer.chosen));
        std::thread::spawn(move || {
            for caller in listener.incoming().flatten() {
                let target = targets.lock().unwrap()[chosen.load(Ordering::Relaxed)];
                // A target that refuses costs the caller its connection, as a 502 would.
                if let Ok(served) = TcpStream::connect(target.address) {
                    pipe(&caller, &served);
                    pipe(&served, &caller);
                }
            }
        });
        balancer
    }

    /// The place in the list of the target that gets new connections.
    pub(crate) fn chosen(&self) -> usize {
        self.chosen.load(Ordering::Relaxed)
    }
}

fn is_healthy(address: SocketAddr, page: &str) -> bool {
    let Ok(mut stream) = TcpStream::connect(address) else { return false };
    let _ = stream.set_read_timeout(Some(INTERVAL * 4));
    let request = format!("GET {page} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    let mut status = [0; 12];
    stream.write_all(request.as_bytes()).is_ok()
        && stream.read_exact(&mut status).is_ok()
        && status == *b"HTTP/1.1 200"
}

/// Carries one direction of a connection, and its end.
pub(crate) fn pipe(from: &TcpStream, to: &TcpStream) {
    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
    let _ = to.set_nodelay(true);
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
}
