//! A load balancer of a few lines: it checks the health of its targets now and then, and gives
//! each new connection to the first one that is healthy.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

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

impl Balancer {
    pub(crate) fn start(targets: &[Target]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let targets = Arc::new(Mutex::new(targets.to_vec()));
        let chosen = Arc::new(AtomicUsize::new(0));
        let balancer = Self { address, targets, chosen };
        let (targets, chosen) = (Arc::clone(&balancer.targets), Arc::clone(&balancer.chosen));
        std::thread::spawn(move || {
            loop {
                let known = targets.lock().unwrap().clone();
                if let Some(first) = known.iter().position(|target| is_healthy(target.health)) {
                    chosen.store(first, Ordering::Relaxed);
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

fn is_healthy(address: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect(address) else { return false };
    let _ = stream.set_read_timeout(Some(INTERVAL * 4));
    let request = format!("GET /health HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    let mut status = [0; 12];
    stream.write_all(request.as_bytes()).is_ok()
        && stream.read_exact(&mut status).is_ok()
        && status == *b"HTTP/1.1 200"
}

/// Carries one direction of a connection, and its end.
fn pipe(from: &TcpStream, to: &TcpStream) {
    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
    let _ = to.set_nodelay(true);
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
}
