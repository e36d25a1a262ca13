//! Callers that ask without pause, as a load balancer's connections do.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::caller::{read_response, request};
use super::wire::{Wire, wait_until};

/// Concurrent callers. Each sends GET and POST in turn, keeps its connection as long as the
/// answers allow, and opens another one when told to.
#[derive(Debug)]
pub(crate) struct Load {
    callers: Vec<JoinHandle<Vec<String>>>,
    is_over: Arc<AtomicBool>,
    served: Arc<AtomicUsize>,
}

impl Load {
    pub(crate) fn start(address: SocketAddr, callers: usize) -> Self {
        let (is_over, served) = (Arc::default(), Arc::default());
        let callers = (0..callers)
            .map(|number| {
                let (is_over, served) = (Arc::clone(&is_over), Arc::clone(&served));
                std::thread::spawn(move || call(address, number, &is_over, &served))
            })
            .collect();
        Self { callers, is_over, served }
    }

    /// Waits until so many more requests were answered, so that the next step meets the load.
    pub(crate) fn wait_served(&self, more: usize) {
        let goal = self.served.load(Ordering::Relaxed) + more;
        wait_until("enough requests served", || self.served.load(Ordering::Relaxed) >= goal);
    }

    /// Ends the callers; what failed, in words.
    pub(crate) fn stop(self) -> Vec<String> {
        self.is_over.store(true, Ordering::Relaxed);
        self.callers.into_iter().flat_map(|caller| caller.join().unwrap()).collect()
    }
}

/// Between two requests of one caller: as much as the machine bears without starving the mesh.
const PAUSE: Duration = Duration::from_millis(1);

fn call(
    address: SocketAddr,
    number: usize,
    is_over: &AtomicBool,
    served: &AtomicUsize,
) -> Vec<String> {
    let mut failures = Vec::new();
    let mut kept: Option<Wire> = None;
    for turn in 0.. {
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        let (method, body) = match turn % 2 {
            0 => ("GET", String::new()),
            _ => ("POST", format!("body {number}/{turn} ").repeat(20)),
        };
        let mut wire = kept.take().unwrap_or_else(|| Wire::connect(address));
        wire.send(request(method, &format!("/{number}/{turn}"), &body));
        match read_response(&mut wire) {
            Ok(response) if response.status == 200 && response.text().ends_with(&body) => {
                served.fetch_add(1, Ordering::Relaxed);
                kept = (!response.is_last()).then_some(wire);
            }
            Ok(response) => failures.push(format!("{method} {:?}", response.verdict())),
            Err(cut) => failures.push(format!("{method} {cut:?}")),
        }
        std::thread::sleep(PAUSE);
    }
    failures
}
