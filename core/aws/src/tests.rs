//! What the tests of several modules share.

mod folder;
mod server;
mod sts;
mod tls;

use std::time::{Duration, SystemTime};

pub(crate) use folder::Folder;
pub(crate) use server::{Reply, Server, refused};
pub(crate) use sts::{error_xml, explained_xml, identity_xml, session_xml};
pub(crate) use tls::TlsServer;

use crate::http::Limits;
use crate::{Credentials, Environment, Source};

/// Short waits: whoever answers is on loopback.
pub(crate) const IMPATIENT: Limits = Limits {
    connect: Duration::from_millis(300),
    total: Duration::from_millis(300),
    answer_bytes_max: 4096,
};

/// For answers that do come, however busy the machine.
pub(crate) const PATIENT: Limits = Limits {
    connect: Duration::from_secs(20),
    total: Duration::from_secs(20),
    answer_bytes_max: 4096,
};

pub(crate) const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

/// 2026-01-01T00:00:00Z.
pub(crate) fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600)
}

pub(crate) fn environment<const N: usize>(variables: [(&str, &str); N]) -> Environment {
    variables.into_iter().collect()
}

/// Keys in the environment, and no other source.
pub(crate) fn keys() -> Environment {
    environment([("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"), ("AWS_SECRET_ACCESS_KEY", SECRET)])
}

pub(crate) fn session() -> Credentials {
    Credentials::new("AKIDEXAMPLE", SECRET, Some("tok/en+1=="), None, Source::Environment).unwrap()
}
