//! What the handlers share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::http::HeaderValue;
use bytes::Bytes;

use crate::config::Config;
use crate::page;
use crate::shutdown::Shutdown;

/// The state as handlers receive it.
pub(crate) type Shared = Arc<App>;

/// The state of one running service.
pub(crate) struct App {
    pub(crate) config: Config,
    pub(crate) hostname: String,
    pub(crate) page: Bytes,
    pub(crate) shutdown: Shutdown,
    name_header: HeaderValue,
    started: Instant,
    requests: AtomicU64,
    healthy: AtomicBool,
}

impl App {
    /// A healthy service that has answered nothing yet.
    pub(crate) fn new(config: Config, shutdown: Shutdown) -> Shared {
        let name_header = HeaderValue::from_bytes(config.name.as_bytes())
            .unwrap_or(HeaderValue::from_static("test-app"));
        Arc::new(Self {
            page: Bytes::from(page::render(&config)),
            hostname: hostname(&config),
            shutdown,
            name_header,
            config,
            started: Instant::now(),
            requests: AtomicU64::new(0),
            healthy: AtomicBool::new(true),
        })
    }

    pub(crate) fn name_header(&self) -> HeaderValue {
        self.name_header.clone()
    }

    pub(crate) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    pub(crate) fn count_request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// How many requests have arrived, the present one included.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    pub(crate) fn is_healthy(&self) -> bool {
        self.healthy.load(Ordering::Relaxed)
    }

    pub(crate) fn set_healthy(&self, healthy: bool) {
        self.healthy.store(healthy, Ordering::Relaxed);
    }
}

/// The machine's (or container's) name.
fn hostname(config: &Config) -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .or_else(|| config.environment.get("HOSTNAME").cloned())
        .unwrap_or_else(|| "unknown".to_owned())
}
