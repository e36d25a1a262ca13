//! Much of it: whole, with little memory, and fair to everybody else.

use std::net::{Shutdown, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::answer::{Answer, Body, take_head};
use crate::harness::mesh::Mesh;
use crate::peers::caller::HOST;
use crate::peers::frames::{HELLO, WELCOME};
use crate::peers::process::{Server, agent};
use crate::peers::raw_agent::{RawAgent, hello};
use crate::peers::raw_ingress::RawIngress;
use crate::peers::service::Service;
use crate::peers::wire::Wire;

const GIB: usize = 1 << 30;
const MIB: usize = 1 << 20;
/// What neither the ingress nor the agent may ever occupy.
const MEMORY_MAX_KIB: usize = 64 * 1024;
/// What may be on its way when one end stops taking it: windows, and the buffers of the kernel.
const ON_ITS_WAY_MAX: usize = 24 * MIB;

/// Byte `i` of the sample service's downloads is `i % PERIOD`.
const PERIOD: usize = 251;

/// A part of the pattern long enough for any piece that is read at once.
fn pattern() -> Vec<u8> {
    (0..=250).cycle().take(PERIOD * 1024).collect()
}

fn assert_little_memory(mesh: &Mesh) {
    for (name, process) in [("ingress", &mesh.server.process), ("agent", &mesh.client)] {
        let peak = process.peak_memory_kib();
        assert!(peak < MEMORY_MAX_KIB, "the {name} occupied {peak} KiB");
    }
}

/// Downloads from the sample service, and examines every byte.
fn download(traffic: SocketAddr, path: &str, size: usize) {
    let pattern = pattern();
    let mut wire = Wire::connect(traffic);
    wire.send(format!("GET {path} HTTP/1.1\r\nHost: demo.local\r\n\r\n"));
    let mut body = Body::of(&take_head(&mut wire).unwrap());
    let mut count = 0;
    while let Some(piece) = body.next(&mut wire).unwrap() {
        let start = count % PERIOD;
        assert!(piece == pattern[start..start + piece.len()], "other bytes after {count}");
        count += piece.len();
    }
    assert_eq!(count, size);
}

#[test]
fn a_gibibyte_comes_down_whole_and_needs_little_memory() {
    let (mesh, _app) = Mesh::start();
    download(mesh.server.traffic, &format!("/api/bytes/{GIB}"), GIB);
    assert_little_memory(&mesh);
    let size = 64 * MIB + 1;
    download(mesh.server.traffic, &format!("/api/bytes/{size}?chunked=1"), size);
}

#[test]
fn a_gibibyte_goes_up_whole_and_needs_little_memory() {
    const SHA256: &str = "9cc5601236c455c6af19a76e64d2d95953a93b10eeb8b8b756a57090e1499b3e";
    let (mesh, _app) = Mesh::start();
    let pattern = pattern();
    let mut caller = mesh.call();
    caller.send(format!(
        "POST /api/upload HTTP/1.1\r\nHost: demo.local\r\nContent-Length: {GIB}\r\n\r\n"
    ));
    for start in (0..GIB).step_by(pattern.len()) {
        caller.try_send(&pattern[..pattern.len().min(GIB - start)]).unwrap();
    }
    let answer = Answer::read(&mut caller);
    assert!(
        answer.text().contains(&format!("\"size\":{GIB},\"sha256\":\"{SHA256}\"")),
        "{answer:?}"
    );
    assert_little_memory(&mesh);
}

/// Writes without pause until the other side is gone; counts what was taken.
fn pour(wire: &Wire, taken: &AtomicUsize) {
    let mut wire = Wire::new(wire.stream().try_clone().unwrap());
    let piece = [b'x'; 16 * 1024];
    while wire.try_send(piece).is_ok() {
        taken.fetch_add(piece.len(), Ordering::Relaxed);
    }
}

/// Reads some, but slowly, and says how much.
fn sip(wire: &mut Wire) -> usize {
    let mut count = 0;
    for _ in 0..200 {
        let arrived = wire.wait(|bytes| (!bytes.is_empty()).then_some(bytes.len())).unwrap();
        count += wire.take(arrived).len();
        thread::sleep(Duration::from_millis(3));
    }
    count
}

#[test]
fn a_caller_that_reads_slowly_holds_back_its_service_and_nobody_else() {
    let (mesh, origin) = Mesh::start_by_hand();
    let mut slow = Wire::connect_slowly(mesh.server.traffic);
    slow.send("GET / HTTP/1.1\r\nHost: demo.local\r\n\r\n");
    let mut pouring = origin.next();
    pouring.wire.send("HTTP/1.1 200 OK\r\n\r\n");
    let taken = AtomicUsize::new(0);
    thread::scope(|scope| {
        scope.spawn(|| pour(&pouring.wire, &taken));
        let sipped = sip(&mut slow);
        assert!(taken.load(Ordering::Relaxed) < sipped + ON_ITS_WAY_MAX);
        assert_others_are_served(&mesh, || origin.next().approve());
        slow.abort();
    });
    assert_little_memory(&mesh);
}

#[test]
fn a_service_that_reads_slowly_holds_back_its_caller_and_nobody_else() {
    let (mesh, origin) = Mesh::start_by_hand();
    let mut pouring = mesh.call();
    pouring.send(format!("PUT / HTTP/1.1\r\nHost: demo.local\r\nContent-Length: {GIB}\r\n\r\n"));
    let mut slow = origin.next().wire;
    let taken = AtomicUsize::new(0);
    thread::scope(|scope| {
        scope.spawn(|| pour(&pouring, &taken));
        let sipped = sip(&mut slow);
        assert!(taken.load(Ordering::Relaxed) < sipped + ON_ITS_WAY_MAX);
        assert_others_are_served(&mesh, || origin.next().approve());
        slow.abort();
        // It would pour on for as long as it is heard out.
        pouring.stream().shutdown(Shutdown::Both).unwrap();
    });
    assert_little_memory(&mesh);
}

fn assert_others_are_served(mesh: &Mesh, mut serve: impl FnMut()) {
    for _ in 0..20 {
        let mut other = mesh.call();
        other.send("GET / HTTP/1.1\r\nHost: demo.local\r\n\r\n");
        serve();
        assert_eq!(Answer::read(&mut other).status, 200);
    }
}

#[test]
fn small_requests_do_not_wait_for_large_downloads() {
    const LARGE: usize = 48 * MIB;
    let (mesh, _app) = Mesh::start();
    let traffic = mesh.server.traffic;
    let start = Instant::now();
    let mut small = Vec::new();
    let path = format!("/api/bytes/{LARGE}");
    thread::scope(|scope| {
        let large = [(); 8].map(|()| scope.spawn(|| download(traffic, &path, LARGE)));
        let mut caller = mesh.call();
        while large.iter().any(|download| !download.is_finished()) {
            let asked = Instant::now();
            caller.send("GET /api/bytes/100 HTTP/1.1\r\nHost: demo.local\r\n\r\n");
            assert_eq!(Answer::read(&mut caller).body.len(), 100);
            small.push(asked.elapsed());
        }
    });
    let all = start.elapsed();
    small.sort();
    let (median, longest) = (small[small.len() / 2], small[small.len() - 1]);
    assert!(median < all / 20 && longest < all / 2, "{median:?} and {longest:?} of {all:?}");
    assert_little_memory(&mesh);
}

#[test]
fn both_ends_announce_windows_that_full_frames_fill() {
    let window =
        |message: &[u8]| serde_json::from_slice::<Value>(message).unwrap()["window"].clone();
    let server = Server::start(&["--stream-window", "64KiB"]);
    let mut raw = RawAgent::connect(server.tunnels);
    raw.send(HELLO, 0, 0, hello(HOST).as_bytes());
    assert_eq!(window(&raw.expect(WELCOME).payload), 4 * 16_320);
    let (ingress, service) = (RawIngress::start(), Service::start("a"));
    let _agent = agent(ingress.address, &service, &[]);
    assert_eq!(window(&ingress.accept_greeting().1), 16 * 16_320);
}
