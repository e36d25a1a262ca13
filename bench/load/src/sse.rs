//! Many subscribers of one stream of events; each event says when it was sent.

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use argh::FromArgs;

use crate::Outcome;
use crate::chunked::Chunks;
use crate::clients::{self, Client, Talk};
use crate::http::{self, Body};
use crate::samples::{self, Samples};

/// Subscribe to /events.
#[derive(FromArgs)]
#[argh(subcommand, name = "sse")]
pub(crate) struct Arguments {
    /// address and port to connect to
    #[argh(option)]
    to: SocketAddr,
    /// how many subscribers
    #[argh(option)]
    connections: usize,
    /// how long
    #[argh(option)]
    seconds: u64,
}

#[derive(Default)]
struct Subscription {
    /// How the body comes, once the head has.
    body: Option<Option<Chunks>>,
    text: Vec<u8>,
    last_id: Option<u64>,
}

struct Subscriber {
    subscriptions: Vec<Subscription>,
    is_begun: bool,
    samples: Samples,
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let mut subscriber = Subscriber {
        subscriptions: (0..arguments.connections).map(|_| Subscription::default()).collect(),
        is_begun: false,
        samples: Samples::default(),
    };
    let took =
        clients::run(arguments.to, arguments.connections, arguments.seconds, &mut subscriber)?;
    samples::print(&subscriber.samples.figures(took))
}

/// Time since 1970, which both ends of a run on one machine agree on.
pub(crate) fn wall_clock() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

impl Talk for Subscriber {
    fn received(&mut self, id: usize, client: &mut Client, _now: Instant) -> Outcome {
        let one = &mut self.subscriptions[id];
        if one.body.is_none() {
            let Some(response) = http::response(&client.rx)? else { return Ok(()) };
            if response.status != 200 {
                return Err(format!("status {}", response.status).into());
            }
            one.body = Some((response.body == Body::Chunked).then(Chunks::default));
            client.rx.drain(..response.head_len);
        }
        match &mut one.body {
            Some(Some(chunks)) => chunks.feed(&client.rx, &mut one.text)?,
            Some(None) | None => one.text.extend_from_slice(&client.rx),
        }
        client.rx.clear();
        while let Some(end) = one.text.windows(2).position(|two| two == b"\n\n") {
            let event: Vec<_> = one.text.drain(..end + 2).collect();
            let (number, sent) = event_parts(std::str::from_utf8(&event)?)
                .ok_or_else(|| format!("no event: {:?}", String::from_utf8_lossy(&event)))?;
            if one.last_id.is_some_and(|last| number != last + 1) {
                return Err(format!("event {number} came after {:?}", one.last_id).into());
            }
            one.last_id = Some(number);
            self.samples.record(wall_clock().saturating_sub(sent));
        }
        Ok(())
    }

    fn turn(&mut self, clients: &mut [Client], _now: Instant) -> Outcome<Option<Instant>> {
        if !self.is_begun {
            self.is_begun = true;
            for client in clients {
                let fields = "Accept: text/event-stream\r\n";
                client.tx = http::request("GET", "/events", http::HOST, fields);
            }
        }
        Ok(None)
    }

    fn is_ready(&self) -> bool {
        self.subscriptions.iter().all(|one| one.last_id.is_some())
    }

    fn begin(&mut self) {
        self.samples = Samples::default();
    }
}

pub(crate) fn event(number: u64) -> String {
    let filling = "x".repeat(64);
    format!("id: {number}\ndata: {} {filling}\n\n", wall_clock().as_micros())
}

fn event_parts(event: &str) -> Option<(u64, Duration)> {
    let (id, data) = event.strip_prefix("id: ")?.split_once("\ndata: ")?;
    let micros = data.split_once(' ')?.0.parse().ok()?;
    Some((id.parse().ok()?, Duration::from_micros(micros)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_says_its_number_and_when_it_was_sent() {
        let (number, sent) = event_parts(&event(7)).unwrap();
        assert_eq!(number, 7);
        assert!(wall_clock().saturating_sub(sent) < Duration::from_secs(60));
    }
}
