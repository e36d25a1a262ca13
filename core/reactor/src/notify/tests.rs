use std::collections::BTreeMap;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::{Phase, RETRY, RETRY_MAX, STATUS_PAUSE, ServiceManager};

/// A manager's end of the socket, in a file that is gone at the end of the test.
struct Ear {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Ear {
    fn new(test: &str) -> Self {
        let name = format!("mesh-notify-{}-{test}", std::process::id());
        let path = std::env::temp_dir().join(name);
        Self { socket: ear(UnixDatagram::bind(&path).unwrap()), path }
    }

    fn variables<'a>(&'a self, others: &[(&'a str, &'a str)]) -> BTreeMap<&'a str, &'a str> {
        let own = ("NOTIFY_SOCKET", self.path.to_str().unwrap());
        others.iter().copied().chain([own]).collect()
    }

    /// Everything that was sent and not heard yet.
    fn heard(&self) -> Vec<String> {
        heard(&self.socket)
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn ear(socket: UnixDatagram) -> UnixDatagram {
    socket.set_nonblocking(true).unwrap();
    socket
}

fn heard(socket: &UnixDatagram) -> Vec<String> {
    let mut messages = Vec::new();
    let mut bytes = [0; 4096];
    while let Ok(count) = socket.recv(&mut bytes) {
        messages.push(String::from_utf8(bytes[..count].to_vec()).unwrap());
    }
    messages
}

fn find(variables: &BTreeMap<&str, &str>) -> ServiceManager {
    ServiceManager::find(|name| variables.get(name).copied()).unwrap()
}

fn tell(manager: &mut ServiceManager, phase: Phase, status: &str, now: Instant) {
    manager.tell(phase, |words| words.push_str(status), || true, now);
}

#[test]
fn without_a_socket_there_is_nobody_to_tell() {
    assert!(ServiceManager::find(|_| None).is_none());
}

#[test]
fn a_socket_of_another_kind_is_nobody_to_tell() {
    let long = format!("/{}", "x".repeat(200));
    for address in ["vsock:2:1234", "notify", "./notify", &long] {
        let find = |name: &str| (name == "NOTIFY_SOCKET").then_some(address);
        assert!(ServiceManager::find(find).is_none(), "{address}");
    }
}

#[test]
fn a_name_behind_an_at_is_in_no_file_system() {
    let name = format!("mesh-notify-abstract-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let socket = ear(UnixDatagram::bind_addr(&address).unwrap());
    let (now, name) = (Instant::now(), format!("@{name}"));
    let mut manager = find(&BTreeMap::from([("NOTIFY_SOCKET", name.as_str())]));
    tell(&mut manager, Phase::Ready, "", now);
    assert_eq!(heard(&socket), ["READY=1\n"]);
}

#[test]
fn each_phase_is_told_once_and_nothing_is_due_without_a_watchdog() {
    let ear = Ear::new("phases");
    let now = Instant::now();
    let mut manager = find(&ear.variables(&[]));
    for phase in [Phase::Ready, Phase::Ready, Phase::Stopping, Phase::Stopping] {
        tell(&mut manager, phase, "", now);
        assert_eq!(manager.deadline(), None);
    }
    assert_eq!(ear.heard(), ["READY=1\n", "STOPPING=1\n"]);
}

#[test]
fn words_are_told_when_they_change_and_not_too_often() {
    let ear = Ear::new("words");
    let now = Instant::now();
    let mut manager = find(&ear.variables(&[]));
    tell(&mut manager, Phase::Ready, "0 of 1", now);
    tell(&mut manager, Phase::Ready, "1 of 1", now);
    assert_eq!(ear.heard(), ["READY=1\nSTATUS=0 of 1\n"]);
    assert_eq!(manager.deadline(), Some(now + STATUS_PAUSE));
    let later = now + STATUS_PAUSE;
    tell(&mut manager, Phase::Ready, "2 of 2", later);
    assert_eq!(manager.deadline(), None);
    tell(&mut manager, Phase::Ready, "2 of 2", later + STATUS_PAUSE);
    assert_eq!(ear.heard(), ["STATUS=2 of 2\n"]);
}

#[test]
fn words_that_come_with_a_phase_do_not_wait() {
    let ear = Ear::new("together");
    let now = Instant::now();
    let mut manager = find(&ear.variables(&[]));
    tell(&mut manager, Phase::Ready, "serving", now);
    tell(&mut manager, Phase::Stopping, "draining", now);
    assert_eq!(ear.heard(), ["READY=1\nSTATUS=serving\n", "STOPPING=1\nSTATUS=draining\n"]);
}

#[test]
fn signs_of_life_come_twice_within_the_limit() {
    let ear = Ear::new("watchdog");
    let mut now = Instant::now();
    let pid = std::process::id().to_string();
    let variables = [("WATCHDOG_USEC", "3000000"), ("WATCHDOG_PID", pid.as_str())];
    let mut manager = find(&ear.variables(&variables));
    tell(&mut manager, Phase::Ready, "", now);
    assert_eq!(ear.heard(), ["READY=1\nWATCHDOG=1\n"]);
    for _ in 0..3 {
        assert_eq!(manager.deadline(), Some(now + Duration::from_millis(1500)));
        tell(&mut manager, Phase::Ready, "", now + Duration::from_millis(1499));
        assert!(ear.heard().is_empty());
        now += Duration::from_millis(1500);
        tell(&mut manager, Phase::Ready, "", now);
        assert_eq!(ear.heard(), ["WATCHDOG=1\n"]);
    }
}

#[test]
fn a_watchdog_of_somebody_else_or_without_limit_is_none() {
    let ear = Ear::new("foreign");
    let now = Instant::now();
    let foreign = [
        [("WATCHDOG_USEC", "3000000"), ("WATCHDOG_PID", "1")],
        [("WATCHDOG_USEC", "3000000"), ("WATCHDOG_PID", "init")],
        [("WATCHDOG_USEC", "0"), ("OTHER", "")],
        [("WATCHDOG_USEC", "soon"), ("OTHER", "")],
    ];
    for variables in foreign {
        let mut manager = find(&ear.variables(&variables));
        tell(&mut manager, Phase::Ready, "", now);
        assert_eq!(manager.deadline(), None, "{variables:?}");
        assert_eq!(ear.heard(), ["READY=1\n"], "{variables:?}");
    }
}

#[test]
fn what_could_not_be_sent_is_sent_again() {
    let mut now = Instant::now();
    let ear = Ear::new("deaf");
    let mut manager = find(&ear.variables(&[("WATCHDOG_USEC", "2000000")]));
    std::fs::remove_file(&ear.path).unwrap();
    tell(&mut manager, Phase::Ready, "serving", now);
    assert_eq!(manager.deadline(), Some(now + RETRY));
    let back = Ear::new("deaf");
    tell(&mut manager, Phase::Ready, "serving", now);
    assert!(back.heard().is_empty(), "not before its time");
    now += RETRY;
    tell(&mut manager, Phase::Ready, "serving", now);
    assert_eq!(back.heard(), ["READY=1\nSTATUS=serving\nWATCHDOG=1\n"]);
    assert_eq!(manager.deadline(), Some(now + Duration::from_secs(1)));
}

#[test]
fn a_manager_that_is_busy_does_not_stop_the_loop() {
    let ear = Ear::new("busy");
    let mut now = Instant::now();
    let mut manager = find(&ear.variables(&[("WATCHDOG_USEC", "2")]));
    let mut told = 0;
    while manager.retry.is_none() {
        now += Duration::from_micros(1);
        tell(&mut manager, Phase::Ready, "", now);
        told += 1;
        assert!(told < 1_000_000, "its socket is never full");
    }
    assert!(!manager.has_complained, "that is no news");
    ear.heard();
    now += RETRY;
    tell(&mut manager, Phase::Ready, "", now);
    assert_eq!(ear.heard(), ["WATCHDOG=1\n"]);
}

#[test]
fn what_need_not_be_sent_again_keeps_nobody_awake() {
    let mut now = Instant::now();
    let ear = Ear::new("changed back");
    let mut manager = find(&ear.variables(&[]));
    tell(&mut manager, Phase::Ready, "1 of 1", now);
    std::fs::remove_file(&ear.path).unwrap();
    now += STATUS_PAUSE;
    tell(&mut manager, Phase::Ready, "0 of 1", now);
    assert_eq!(manager.deadline(), Some(now + RETRY));
    now += RETRY;
    tell(&mut manager, Phase::Ready, "1 of 1", now);
    assert_eq!(manager.deadline(), None);
}

#[test]
fn a_manager_that_is_gone_is_tried_less_and_less_often() {
    for (limit, pause_max) in [("0", RETRY_MAX), ("6000000", Duration::from_secs(3))] {
        let mut now = Instant::now();
        let ear = Ear::new("gone");
        let mut manager = find(&ear.variables(&[("WATCHDOG_USEC", limit)]));
        std::fs::remove_file(&ear.path).unwrap();
        let mut tries = 0;
        let end = now + Duration::from_secs(60);
        let mut pause = RETRY;
        while now < end {
            tell(&mut manager, Phase::Ready, "", now);
            let retry = manager.deadline().unwrap();
            assert_eq!(retry - now, pause, "{tries} tries");
            (now, tries, pause) = (retry, tries + 1, (pause * 2).min(pause_max));
        }
        assert!(tries < 30, "{tries}");
        let back = Ear::new("gone");
        tell(&mut manager, Phase::Ready, "", now);
        assert!(back.heard()[0].starts_with("READY=1\n"), "whoever comes back is told");
        std::fs::remove_file(&back.path).unwrap();
        tell(&mut manager, Phase::Stopping, "", now);
        assert_eq!(manager.deadline(), Some(now + RETRY), "and missed as the first time");
    }
}
