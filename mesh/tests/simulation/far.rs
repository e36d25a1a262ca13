//! One stream on a path with a long round trip, where its window decides how fast it is.

use std::time::{Duration, Instant};

use mesh_sim::peers::{
    HttpClient, HttpService, Outcome, RawPeer, RawTurn, Reading, Request, Then, pattern,
};
use mesh_sim::{Fault, LinkConfig, LinkRules, World, seeds};

use crate::ask::{Ask, Weather};
use crate::cuts::{CHUNKED, breaking_off};
use crate::stage::{HOST, Plan, Stage, agent_census, census};

const BYTES: usize = 20_000_000;
/// 200 Mbit/s.
const BYTES_PER_SECOND: u64 = 25_000_000;
const ROUND_TRIP: Duration = Duration::from_millis(100);
/// Round trips until the window is as large as the path is long: two for the request and its answer,
/// and up to two for each of two steps.
const GROWING: u32 = 6;

/// An agent that is so far away, of which the first echo is answered.
fn far_stage(seed: u64, round_trip: Duration, window_growth: u32) -> Stage {
    let mut plan = Plan::calm();
    plan.ingress.limits.window_growth = window_growth;
    plan.agent.limits.window_growth = window_growth;
    plan.tunnel_links = LinkRules::fixed(LinkConfig {
        latency: round_trip / 2,
        bytes_per_second: Some(BYTES_PER_SECOND),
        capacity: 8 * 1024 * 1024,
        ..LinkConfig::fast()
    });
    let mut stage = Stage::new(seed, plan);
    stage.expect_ready(Duration::from_secs(5));
    stage.world.run_for(Duration::from_secs(1));
    stage
}

/// How long one exchange takes.
fn time(seed: u64, round_trip: Duration, window_growth: u32, ask: Ask) -> Duration {
    time_on(&mut far_stage(seed, round_trip, window_growth), ask)
}

fn time_on(stage: &mut Stage, ask: Ask) -> Duration {
    let caller = stage.add_caller(vec![ask], |client| client);
    let done = move |world: &World| world.peer::<HttpClient>(caller).is_done();
    stage.world.expect("it is over", done, Duration::from_secs(60));
    let response = &stage.responses(caller)[0];
    let took = response.ended_at.expect("it is over") - response.asked_at;
    stage.judge(Weather::Fair);
    took
}

fn ideal(bytes: usize) -> Duration {
    Duration::from_secs_f64(bytes as f64 / BYTES_PER_SECOND as f64)
}

fn check(seed: u64, ask: impl Fn() -> Ask) {
    let ideal = ideal(BYTES);
    let grown = time(seed, ROUND_TRIP, 8 << 20, ask());
    let fixed = time(seed, ROUND_TRIP, 0, ask());
    assert!(grown < ideal + GROWING * ROUND_TRIP, "{grown:?} in place of {ideal:?}");
    assert!(fixed > ideal * 5, "a window that cannot grow is no limit here: {fixed:?}");
}

#[test]
fn a_download_over_a_long_path_gets_the_window_that_it_needs() {
    seeds(2, |seed| check(seed, || Ask::new(Request::get(HOST, &format!("/bytes/{BYTES}")))));
}

#[test]
fn an_upload_over_a_long_path_gets_the_window_that_it_needs() {
    let upload = || {
        let body = pattern(BYTES);
        Ask::sending(Request::post(HOST, "/upload", &body), body)
    };
    seeds(2, |seed| check(seed, upload));
}

/// A window of 8 MiB is a little more than is under way there: half of it idle would take 1.8 times
/// the ideal time and more.
#[test]
fn all_of_a_window_that_has_grown_is_under_way() {
    seeds(2, |seed| {
        let took = |bytes| {
            let ask = Ask::new(Request::get(HOST, &format!("/bytes/{bytes}")));
            time(seed, 3 * ROUND_TRIP, 8 << 20, ask)
        };
        let (more, ideal) = (took(3 * BYTES) - took(2 * BYTES), ideal(BYTES));
        assert!(more < ideal * 7 / 4, "{more:?} in place of {ideal:?}");
    });
}

const GROWTH: u32 = 4 << 20;

/// Callers that read fast at first, so that their windows grow, and then no more. The service has sent
/// all of their answers, which wait.
fn check_that_little_waits(stage: &mut Stage) {
    const CALLERS: usize = 4;
    let window = stage.plan.ingress.limits.stream_window;
    for _ in 0..CALLERS {
        let ask = Ask::new(Request::get(HOST, "/bytes/8000000"));
        stage.add_caller(vec![ask], |client| client.reading(Reading::UpTo(4_500_000)));
        stage.world.run_for(Duration::from_secs(3));
    }
    let waiting = census(&stage.world, stage.ingress).callers_tx;
    let most = CALLERS * (window as usize + 1024) + GROWTH as usize;
    assert!(waiting > GROWTH as usize / 2, "{waiting} bytes: no window has grown");
    assert!(waiting <= most, "{waiting} bytes wait, and not {most}");
    stage.callers.clear();
}

#[test]
fn callers_that_stop_reading_leave_no_more_waiting_than_windows_may_grow_by() {
    seeds(2, |seed| check_that_little_waits(&mut far_stage(seed, ROUND_TRIP, GROWTH)));
}

#[test]
fn answers_that_broke_off_leave_no_more_waiting_than_windows_may_grow_by() {
    seeds(2, |seed| {
        let mut stage = far_stage(seed, ROUND_TRIP, GROWTH);
        let service = breaking_off(CHUNKED, 8_000_000, Then::Finish);
        let service = stage.world.add_peer("breaking", service, &["service0:3000"]);
        stage.world.set_links(stage.agents[0], service, stage.plan.service_links);
        check_that_little_waits(&mut stage);
    });
}

/// No tunnel has the rest in its budget any more.
#[test]
fn of_an_answer_whose_tunnel_is_lost_a_window_waits_and_is_delivered() {
    const READ: usize = 4_500_000;
    seeds(2, |seed| {
        let mut stage = far_stage(seed, ROUND_TRIP, GROWTH);
        let ask = Ask::new(Request::get(HOST, "/bytes/20000000"));
        let reading = Reading::UpTo(READ as u64);
        let caller = stage.add_caller(vec![ask], |client| client.reading(reading));
        stage.world.run_for(Duration::from_secs(3));
        let (ingress, window) = (stage.ingress, stage.plan.ingress.limits.stream_window as usize);
        let waiting = |stage: &Stage| census(&stage.world, ingress).callers_tx;
        assert!(waiting(&stage) > GROWTH as usize / 2, "no window has grown");
        stage.world.strike(stage.agents[0], ingress, Fault::Cut);
        stage.world.run_for(Duration::from_secs(1));
        let waits = waiting(&stage);
        assert!((window..=window + 32 * 1024).contains(&waits), "{waits} bytes");
        stage.world.peer_mut::<HttpClient>(caller).read_on();
        let done = move |world: &World| world.peer::<HttpClient>(caller).is_done();
        stage.world.expect("it is over", done, Duration::from_secs(60));
        let part = &stage.responses(caller)[0];
        assert_eq!(part.outcome, Outcome::Truncated);
        assert!(part.body.len() >= READ + window, "{} bytes", part.body.len());
        assert!(pattern(20_000_000).starts_with(&part.body));
        stage.callers.clear();
    });
}

/// What windows grew by is there for others when those callers are given up.
#[test]
fn a_download_gets_the_window_that_lost_callers_had() {
    seeds(2, |seed| {
        let mut stage = far_stage(seed, ROUND_TRIP, GROWTH);
        check_that_little_waits(&mut stage);
        let (ingress, limit) = (stage.ingress, stage.plan.ingress.timeouts.send);
        let given_up = move |world: &World| census(world, ingress).callers == 0;
        stage.world.expect("they are given up", given_up, limit * 2);
        let took = time_on(&mut stage, Ask::new(Request::get(HOST, &format!("/bytes/{BYTES}"))));
        assert!(took < ideal(BYTES) + GROWING * ROUND_TRIP, "{took:?}");
    });
}

/// A service that takes an upload fast at first, so that its window grows, then no more, and answers.
fn stuck_service() -> RawPeer<Option<Instant>> {
    RawPeer::listening(None, |due, turn: &mut RawTurn<'_>| {
        if turn.rx.starts_with(b"GET ") && turn.rx.ends_with(b"\r\n\r\n") {
            turn.rx.clear();
            turn.tx.extend(b"HTTP/1.1 204 Fine\r\n\r\n");
        } else if turn.rx.len() > 4_500_000 {
            let due = *due.get_or_insert(turn.now + Duration::from_secs(1));
            turn.then = Then::StopReading;
            if due <= turn.now {
                turn.rx.clear();
                turn.tx.extend(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            } else {
                turn.wake_in = Some(due - turn.now);
            }
        }
    })
}

/// The same of an upload whose rest its service does not take.
#[test]
fn an_upload_gets_the_window_that_one_had_whose_service_had_enough() {
    seeds(2, |seed| {
        let mut stage = far_stage(seed, ROUND_TRIP, GROWTH);
        let (agent, address) = (stage.agents[0], "service0:3000");
        let stuck = stage.world.add_peer("stuck", stuck_service(), &[address]);
        stage.world.set_links(agent, stuck, stage.plan.service_links);
        let upload = || {
            let body = pattern(BYTES);
            Ask::sending(Request::post(HOST, "/upload", &body), body)
        };
        stage.add_caller(vec![upload()], |client| client);
        stage.callers.clear();
        let grown =
            move |world: &World| agent_census(world, agent).upstream_tx > GROWTH as usize / 2;
        stage.world.expect("a window has grown", grown, Duration::from_secs(5));
        let answered = move |world: &World| agent_census(world, agent).streams == 0;
        stage.world.expect("it is answered", answered, Duration::from_secs(5));
        stage.services[0] = stage.world.add_peer("service", HttpService::new(), &[address]);
        stage.world.set_links(agent, stage.services[0], stage.plan.service_links);
        stage.world.run_for(Duration::from_secs(1));
        let took = time_on(&mut stage, upload());
        assert!(took < ideal(BYTES) + GROWING * ROUND_TRIP, "{took:?}");
    });
}
