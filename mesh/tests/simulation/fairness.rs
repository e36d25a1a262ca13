//! Small requests beside bulk, on an uplink that the bulk fills.

use std::time::Duration;

use mesh_sim::peers::{HttpClient, Reading, Request, pattern};
use mesh_sim::{Fault, LinkConfig, LinkRules, World, seeds};

use crate::ask::{Ask, Weather};
use crate::stage::{HOST, Plan, Stage};

const BULK: usize = 8;
const BULK_BYTES: usize = 4_000_000;

/// 50 Mbit/s and a round trip of 10 ms. The kernel holds little more than what is on the wire, as
/// it does with `TCP_NOTSENT_LOWAT`.
fn uplink() -> LinkConfig {
    let latency = Duration::from_millis(5);
    LinkConfig { latency, capacity: 64 * 1024, ..LinkConfig::uplink() }
}

/// Runs small requests one after the other beside `bulk`; how long they took, sorted, and how long
/// the bulk took.
fn race(seed: u64, bulk: impl Fn() -> Ask) -> (Vec<Duration>, Duration) {
    let mut plan = Plan::calm();
    plan.tunnel_links = LinkRules::fixed(uplink());
    let mut stage = Stage::new(seed, plan);
    stage.expect_ready(Duration::from_secs(5));
    let began = stage.world.now();
    for _ in 0..BULK {
        stage.add_caller(vec![bulk()], |client| client);
    }
    stage.world.run_for(Duration::from_millis(500));
    let small = (0..60).map(|_| Ask::new(Request::get(HOST, "/bytes/200"))).collect();
    let small = stage.add_caller(small, |client| client);
    let done = move |world: &World| world.peer::<HttpClient>(small).is_done();
    stage.world.expect("the small ones are answered", done, Duration::from_secs(10));
    let responses = stage.responses(small).iter();
    let mut times: Vec<_> =
        responses.map(|one| one.ended_at.expect("it is over") - one.asked_at).collect();
    times.sort_unstable();
    stage.expect_answers(Duration::from_secs(20));
    stage.judge(Weather::Fair);
    (times, stage.world.now() - began)
}

fn check((times, took): (Vec<Duration>, Duration)) {
    let (median, last) = (times[times.len() / 2], times[times.len() - 1]);

    assert!(median < Duration::from_millis(30), "median {median:?}");
    assert!(last < Duration::from_millis(60), "longest {last:?}");
    // The link is full all the time: 50 Mbit/s are 6.25 MB/s.
    let ideal = Duration::from_secs_f64((BULK * BULK_BYTES) as f64 / 6.25e6);
    assert!(took < ideal * 5 / 4, "bulk took {took:?} in place of {ideal:?}");
}

#[test]
fn small_answers_do_not_wait_behind_bulk_downloads() {
    let download = || Ask::new(Request::get(HOST, &format!("/bytes/{BULK_BYTES}")));
    seeds(4, |seed| check(race(seed, download)));
}

#[test]
fn small_requests_do_not_wait_behind_bulk_uploads() {
    let upload = || {
        let body = pattern(BULK_BYTES);
        Ask::sending(Request::post(HOST, "/upload", &body), body)
    };
    seeds(4, |seed| check(race(seed, upload)));
}

/// Answers that fill the uplink by themselves are each smaller than what a stream may send before others
/// go first.
#[test]
fn small_answers_leave_a_download_its_share() {
    seeds(4, |seed| {
        let mut plan = Plan::calm();
        let slow = LinkConfig { bytes_per_second: Some(1_000_000), ..uplink() };
        plan.tunnel_links = LinkRules::fixed(slow);
        let mut stage = Stage::new(seed, plan);
        stage.expect_ready(Duration::from_secs(5));
        let download = Ask::new(Request::get(HOST, "/bytes/400000"));
        let caller = stage.add_caller(vec![download], |client| client);
        for _ in 0..8 {
            let asks = (0..60).map(|_| Ask::new(Request::get(HOST, "/bytes/20000"))).collect();
            stage.add_caller(asks, |client| client);
        }
        let done = move |world: &World| world.peer::<HttpClient>(caller).is_done();
        // They alone take 9.6 s, and a fifth of the uplink is 200 kB/s.
        stage.world.expect("the download goes on", done, Duration::from_secs(3));
        stage.expect_answers(Duration::from_secs(20));
        stage.judge(Weather::Fair);
    });
}

/// A GET with so much in its head.
fn with_head_of(path: &str, bytes: usize) -> Ask {
    let mut ask = Ask::new(Request::get(HOST, path));
    ask.request = ask.request.header(&format!("X-Padding: {}", "y".repeat(bytes)));
    ask
}

/// What the loop takes of all callers before it comes to the tunnel is a little more than may wait for
/// that. (Once in a while the simulated kernel takes but a part, and then little more would not fit.)
#[test]
fn a_burst_of_requests_goes_on_to_a_tunnel_that_takes_them() {
    seeds(2, |seed| {
        let mut plan = Plan::calm().with_workers(1);
        let roomy = LinkConfig { capacity: 4 * 1024 * 1024, ..LinkConfig::fast() };
        plan.tunnel_links = LinkRules::fixed(roomy);
        let mut stage = Stage::new(seed, plan);
        stage.expect_ready(Duration::from_secs(5));
        stage.world.freeze(stage.ingress);
        for number in 0..300 {
            let mut ask = with_head_of("/bytes/100", 1_900);
            if number % 2 == 0 {
                let post = Request::post(HOST, "/echo", b"a little");
                ask = Ask::sending(post, b"a little".to_vec());
                ask.request = ask.request.header(&format!("X-Padding: {}", "y".repeat(1_900)));
            }
            stage.add_caller(vec![ask], |client| client);
        }
        stage.world.run_for(Duration::from_millis(50));
        stage.world.thaw(stage.ingress);
        stage.expect_answers(Duration::from_secs(5));
        stage.judge(Weather::Fair);
    });
}

/// The same: a little more than may wait.
#[test]
fn all_requests_of_a_lost_tunnel_go_on_to_another() {
    seeds(2, |seed| {
        let mut plan = Plan::calm().with_agents(2).with_workers(1);
        let roomy = LinkConfig { capacity: 4 * 1024 * 1024, ..LinkConfig::fast() };
        plan.tunnel_links = LinkRules::fixed(roomy);
        let mut stage = Stage::new(seed, plan);
        stage.expect_ready(Duration::from_secs(5));
        for _ in 0..400 {
            stage.add_caller(vec![with_head_of("/slow/2000", 2_700)], |client| client);
        }
        stage.world.run_for(Duration::from_secs(1));
        stage.world.strike(stage.agents[0], stage.ingress, Fault::Cut);
        stage.expect_answers(Duration::from_secs(10));
        stage.judge(Weather::Fair);
    });
}

/// Bulk downloads of callers that do not read leave the tunnel to the others.
#[test]
fn callers_that_do_not_read_leave_the_tunnel_to_the_others() {
    seeds(4, |seed| {
        let mut stage = Stage::new(seed, Plan::calm());
        stage.expect_ready(Duration::from_secs(5));
        for _ in 0..40 {
            let bulk = vec![Ask::new(Request::get(HOST, "/bytes/3000000"))];
            stage.add_caller(bulk, |client| client.reading(Reading::Never));
        }
        stage.world.run_for(Duration::from_secs(1));
        stage.callers.clear();
        for _ in 0..5 {
            let asks = (0..10).map(|_| Ask::new(Request::get(HOST, "/bytes/100000"))).collect();
            stage.add_caller(asks, |client| client);
        }
        stage.expect_answers(Duration::from_secs(1));
        stage.judge(Weather::Fair);
    });
}

/// Request heads are no DATA and need no credit: what waits for a slow tunnel is bounded all the
/// same, and whoever finds no room is told so.
#[test]
fn a_flood_of_large_heads_fills_no_more_than_the_limit_of_a_slow_tunnel() {
    seeds(4, |seed| {
        let mut plan = Plan::calm();
        let latency = Duration::from_millis(30);
        let slow = LinkConfig { latency, capacity: 16 * 1024, ..LinkConfig::fast() };
        plan.tunnel_links = LinkRules::fixed(slow);
        let mut stage = Stage::new(seed, plan);
        stage.expect_ready(Duration::from_secs(5));
        for turn in 0..60 {
            let padding = "y".repeat(15_000);
            let mut ask = Ask::new(Request::get(HOST, "/bytes/1"));
            for name in ["A", "B", "C", "D"] {
                ask.request = ask.request.header(&format!("X-{name}: {padding}"));
            }
            ask.request = ask.request.after(Duration::from_millis(20 * turn));
            stage.add_caller(vec![ask], |client| client);
        }
        stage.expect_answers(Duration::from_secs(100));
        stage.judge(Weather::Foul);
        let answered =
            stage.callers.iter().filter(|caller| stage.responses(caller.node)[0].is(200));
        assert!(answered.count() >= 4, "those for whom there was room are answered");
        stage.expect_empty_after_drain();
    });
}
