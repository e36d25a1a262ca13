//! From the name in a URL to addresses, within the time that a request has.
//!
//! The system's lookup cannot be given up, so each is done on a thread that may outlast whoever
//! asked. ureq has such a resolver, which panics where the system gives no thread, and begins one
//! more lookup each time however many hang.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// Looks names up.
#[derive(Debug)]
pub(super) struct Names {
    /// By name, what each lookup that goes on holds. Names are those of AWS and of settings, so they are
    /// few.
    under_way: Mutex<HashMap<String, Arc<()>>>,
    /// Of each thread.
    stack_bytes: usize,
}

/// Lookups of one name at once. Those of a name server that does not answer take half a minute and more,
/// and as many as there are jobs may begin every few seconds; other names may have servers that do.
const LOOKUPS_MAX: usize = 8;
/// Only what is used of it takes memory.
const STACK_BYTES: usize = 2 * 1024 * 1024;
/// As many as [`ResolvedSocketAddrs`] holds.
const ADDRESSES_MAX: usize = 16;

impl Names {
    pub(super) fn new() -> Self {
        Self { under_way: Mutex::default(), stack_bytes: STACK_BYTES }
    }

    fn look_up(&self, name: String, timeout: NextTimeout) -> Result<Vec<SocketAddr>, ureq::Error> {
        // Taken before they are counted: two that come at once do not both become the last one.
        let turn = self.turn(&name);
        if Arc::strong_count(&turn) > 1 + LOOKUPS_MAX {
            let busy = "its name is being looked up by many, and no name server answers";
            return Err(io::Error::other(busy).into());
        }
        let (sender, found) = mpsc::sync_channel(1);
        let look = move || {
            let addresses = name.to_socket_addrs().map(Iterator::collect);
            // Before the answer: whoever has that may ask again.
            drop(turn);
            // Perhaps nobody waits any more.
            let _ = sender.send(addresses);
        };
        let thread = thread::Builder::new().name("name".to_owned()).stack_size(self.stack_bytes);
        if let Err(error) = thread.spawn(look) {
            let error = format!("no thread to look its name up: {error}");
            return Err(io::Error::other(error).into());
        }
        match found.recv_timeout(*timeout.after) {
            Ok(addresses) => Ok(addresses?),
            Err(RecvTimeoutError::Timeout) => Err(ureq::Error::Timeout(timeout.reason)),
            Err(RecvTimeoutError::Disconnected) => Err(ureq::Error::HostNotFound),
        }
    }

    fn turn(&self, name: &str) -> Arc<()> {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(under_way.entry(name.to_owned()).or_default())
    }
}

impl Resolver for Names {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let name = uri
            .scheme()
            .zip(uri.authority())
            .and_then(|(scheme, authority)| DefaultResolver::host_and_port(scheme, authority))
            .ok_or_else(|| ureq::Error::BadUri("no host, or no port that belongs to it".into()))?;
        let addresses = match name.parse() {
            Ok(address) => vec![address],
            Err(_) => self.look_up(name, timeout)?,
        };
        let mut resolved = self.empty();
        let family = config.ip_family();
        let wanted = family.keep_wanted(addresses.into_iter());
        wanted.take(ADDRESSES_MAX).for_each(|address| resolved.push(address));
        if resolved.is_empty() { Err(ureq::Error::HostNotFound) } else { Ok(resolved) }
    }
}

#[cfg(test)]
mod tests;
