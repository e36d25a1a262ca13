//! What stands before moto: it counts, delays, breaks, and may answer in moto's place.

use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::server::{Fake, Reply, Request};
use crate::peers::caller::read_response;
use crate::peers::wire::Wire;

/// A proxy before moto, for STS and ECS alike. Its requests are those of [`Fake`].
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) fake: Fake,
    controls: Arc<Mutex<Controls>>,
}

/// How AWS can be away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outage {
    /// Connections end without an answer.
    Close,
    /// Nothing comes.
    Silence,
    /// 503 `ServiceUnavailable`.
    Unavailable,
}

type Overrule = Box<dyn Fn(&Request) -> Option<Reply> + Send + Sync>;

#[derive(Default)]
struct Controls {
    delay: Duration,
    outage: Option<Outage>,
    overrule: Option<Arc<Overrule>>,
}

impl std::fmt::Debug for Controls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {:?}", self.delay, self.outage)
    }
}

impl Proxy {
    pub(crate) fn before(moto: SocketAddr) -> Self {
        let controls = Arc::new(Mutex::new(Controls::default()));
        let obeyed = Arc::clone(&controls);
        let fake = Fake::start(move |request| {
            let controls = obeyed.lock().unwrap();
            let (delay, outage) = (controls.delay, controls.outage);
            let overrule = controls.overrule.clone();
            drop(controls);
            std::thread::sleep(delay);
            match outage {
                Some(Outage::Close) => Reply::Close,
                Some(Outage::Silence) => Reply::Silence,
                Some(Outage::Unavailable) => unavailable(request),
                None => overrule
                    .and_then(|overrule| overrule(request))
                    .unwrap_or_else(|| forward(request, moto)),
            }
        });
        Self { fake, controls }
    }

    pub(crate) fn url(&self) -> String {
        self.fake.url()
    }

    /// Each answer takes so much longer from now on.
    pub(crate) fn delay(&self, delay: Duration) {
        self.controls.lock().unwrap().delay = delay;
    }

    /// AWS is away like this from now on, or back.
    pub(crate) fn outage(&self, outage: Option<Outage>) {
        self.controls.lock().unwrap().outage = outage;
    }

    /// What `overrule` answers from now on, moto is not asked.
    pub(crate) fn overrule(
        &self,
        overrule: impl Fn(&Request) -> Option<Reply> + Send + Sync + 'static,
    ) {
        self.controls.lock().unwrap().overrule = Some(Arc::new(Box::new(overrule)));
    }
}

fn unavailable(request: &Request) -> Reply {
    if request.field("x-amz-target").is_some() {
        let body = serde_json::json!({ "__type": "ServerException", "message": "try again" });
        return Reply::json(503, &body);
    }
    super::sts::refusal(503, "ServiceUnavailable", "try again")
}

/// Moto's own answer to the very bytes.
fn forward(request: &Request, moto: SocketAddr) -> Reply {
    let Ok(stream) = TcpStream::connect(moto) else { return Reply::Close };
    let mut wire = Wire::new(stream);
    wire.send(request.bytes());
    match read_response(&mut wire) {
        Ok(response) => {
            assert!(response.field("content-length").is_some(), "moto says how long it is");
            let bytes = [response.head.as_bytes(), &response.body].concat();
            if response.is_last() { Reply::Last(bytes) } else { Reply::Bytes(bytes) }
        }
        Err(_) => Reply::Close,
    }
}
