//! What ends when, to the millisecond.

use std::collections::BTreeMap;
use std::time::Duration;

use mesh_agent::Agent;
use mesh_protocol::{App, Connection, Patience};
use mesh_sim::peers::{
    HttpClient, HttpService, Outcome, RawClient, RawPeer, RawTurn, Reading, Received, Request,
    Response, Then, Vanish, pattern,
};
use mesh_sim::{Fault, NodeId, World, seeds};

use crate::ask::Ask;
use crate::stage::{
    ADMIN_ADDRESS, HOST, Plan, Stage, TRAFFIC_ADDRESS, TUNNEL_ADDRESS, census, own_host,
};

const SEEDS: u64 = 8;
/// What fast links and a turn or two take.
const SLACK: Duration = Duration::from_millis(5);
/// How long bytes are under way on a fast link, at the most.
const UNDER_WAY: Duration = Duration::from_micros(60);

fn stage(seed: u64) -> Stage {
    let mut plan = Plan::calm();
    plan.ingress.timeouts.request = Duration::from_secs(30);
    let mut stage = Stage::new(seed, plan);
    stage.expect_ready(Duration::from_secs(5));
    stage
}

fn add(stage: &mut Stage, client: HttpClient) -> NodeId {
    let node = stage.world.add_peer("caller", client, &[]);
    stage.world.set_links(node, stage.ingress, stage.plan.caller_links);
    node
}

fn client(request: Request) -> HttpClient {
    HttpClient::new(TRAFFIC_ADDRESS, vec![request])
}

/// Runs until the caller is done; its only response.
fn only_response(stage: &mut Stage, caller: NodeId) -> Response {
    let done = move |world: &World| world.peer::<HttpClient>(caller).is_done();
    stage.world.expect("the request ends", done, Duration::from_secs(3_600));
    stage.responses(caller)[0].clone()
}

fn lasted(response: &Response) -> Duration {
    response.ended_at.expect("it is over") - response.asked_at
}

fn check_exact(took: Duration, due: Duration) {
    assert!(due <= took && took <= due + SLACK, "took {took:?}, due after {due:?}");
}

fn check_refused(response: &Response, status: u16, reason: &str) {
    assert!(response.is(status), "{response:?}");
    assert_eq!(response.header("x-mesh-error").as_deref(), Some(reason));
}

#[test]
fn a_service_that_does_not_answer_costs_the_request_timeout_and_no_more() {
    seeds(SEEDS, |seed| {
        let mut stage = stage(seed);
        let caller = add(&mut stage, client(Request::get(HOST, "/hang")));
        let response = only_response(&mut stage, caller);
        check_refused(&response, 504, "request_timeout");
        check_exact(lasted(&response), Duration::from_secs(30));
        let service = stage.services[0];
        let cancelled = move |world: &World| {
            let service = world.peer::<HttpService>(service);
            service.open_connections() == 0
        };
        stage.world.expect("the service learns of it", cancelled, Duration::from_millis(10));
        stage.expect_empty_after_drain();
    });
}

#[test]
fn an_answer_just_before_the_deadline_counts() {
    seeds(SEEDS, |seed| {
        let mut stage = stage(seed);
        let caller = add(&mut stage, client(Request::get(HOST, "/slow/29990")));
        assert!(only_response(&mut stage, caller).is(200));
    });
}

#[test]
fn answers_that_came_while_the_ingress_was_stopped_count() {
    seeds(SEEDS, |seed| {
        let mut plan = Plan::calm();
        plan.ingress.timeouts.request = Duration::from_secs(2);
        let mut stage = Stage::new(seed, plan);
        stage.expect_ready(Duration::from_secs(5));
        let ask = || client(Request::get(HOST, "/slow/500"));
        let callers: Vec<_> = (0..10).map(|_| add(&mut stage, ask())).collect();
        stage.world.run_for(Duration::from_millis(100));
        stage.world.freeze(stage.ingress);
        stage.world.run_for(Duration::from_millis(2_500));
        stage.world.thaw(stage.ingress);
        for caller in callers {
            let response = only_response(&mut stage, caller);
            assert!(response.is(200), "{response:?}");
        }
    });
}

/// A service that answers each request with these bytes, each so long after the request.
fn answering(answers: &'static [(Duration, &'static [u8])]) -> RawPeer<()> {
    let mut asked = BTreeMap::new();
    RawPeer::listening((), move |(), turn: &mut RawTurn<'_>| {
        if turn.end.is_some() {
            turn.then = Then::Close;
            return;
        }
        if turn.rx.ends_with(b"\r\n\r\n") {
            if turn.rx.starts_with(b"GET /health ") {
                turn.tx.extend(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            } else {
                asked.insert(turn.connection, (turn.now, 0));
            }
            turn.rx.clear();
        }
        let Some((since, count)) = asked.get_mut(&turn.connection) else { return };
        while let Some((wait, bytes)) = answers.get(*count) {
            let due = *since + *wait;
            if due > turn.now {
                turn.wake_in = Some(due - turn.now);
                return;
            }
            turn.tx.extend_from_slice(bytes);
            *count += 1;
        }
    })
}

const HINTS: &[u8] = b"HTTP/1.1 103 Early Hints\r\n\r\n";
const FINAL: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

#[test]
fn an_interim_response_gives_the_service_its_time_anew() {
    const AT_20: (Duration, &[u8]) = (Duration::from_secs(20), HINTS);
    const AT_40: (Duration, &[u8]) = (Duration::from_secs(40), FINAL);
    const SILENT: &[(Duration, &[u8])] = &[AT_20];
    for (answers, is_answered) in [(&[AT_20, AT_40][..], true), (SILENT, false)] {
        seeds(SEEDS, |seed| {
            // Parcels for other workers take their time.
            let mut plan = Plan::calm().with_workers(1);
            plan.ingress.timeouts.request = Duration::from_secs(30);
            let mut stage = Stage::new(seed, plan);
            let slow = stage.world.add_peer("slow", answering(answers), &["service0:3000"]);
            stage.world.set_links(stage.agents[0], slow, stage.plan.service_links);
            stage.expect_ready(Duration::from_secs(5));
            let caller = add(&mut stage, client(Request::get(HOST, "/")));
            let response = only_response(&mut stage, caller);
            if is_answered {
                assert!(response.is(200), "{response:?}");
            } else {
                check_refused(&response, 504, "request_timeout");
                check_exact(lasted(&response), Duration::from_secs(50));
            }
        });
    }
}

#[test]
fn a_second_agent_has_the_whole_request_timeout_too() {
    seeds(SEEDS, |seed| {
        let mut plan = Plan::calm().with_agents(2).with_workers(1);
        plan.ingress.timeouts.request = Duration::from_secs(30);
        let mut stage = Stage::new(seed, plan);
        stage.expect_ready(Duration::from_secs(5));
        let caller = add(&mut stage, client(Request::get(HOST, "/slow/20100")));
        stage.world.run_for(Duration::from_secs(20));
        let has_it = |number: &usize| {
            let service = stage.world.peer::<HttpService>(stage.services[*number]);
            service.served.iter().any(|one| one.line().contains("/slow/"))
        };
        let first = [0, 1].into_iter().find(has_it).expect("an agent has it");
        stage.world.strike(stage.agents[first], stage.ingress, Fault::Cut);
        let response = only_response(&mut stage, caller);
        assert!(response.is(200), "{response:?}");
        check_exact(lasted(&response), Duration::from_millis(40_100));
    });
}

#[test]
fn a_head_that_is_never_finished_is_refused_after_the_head_timeout() {
    seeds(SEEDS, |seed| {
        let mut stage = stage(seed);
        let stalling = client(Request::get(HOST, "/")).vanishing(Vanish::StallAfterSending(10));
        let caller = add(&mut stage, stalling);
        let response = only_response(&mut stage, caller);
        check_refused(&response, 408, "head_timeout");
        check_exact(lasted(&response), Duration::from_secs(10));
    });
}

#[test]
fn a_head_that_dribbles_is_refused_after_the_head_timeout() {
    seeds(SEEDS, |seed| {
        let mut stage = stage(seed);
        let slow = Request::get(HOST, "/").paced(1, Duration::from_millis(900));
        let caller = add(&mut stage, client(slow));
        let response = only_response(&mut stage, caller);
        check_refused(&response, 408, "head_timeout");
        check_exact(lasted(&response), Duration::from_secs(10));
    });
}

#[test]
fn a_head_that_dribbles_on_the_health_port_is_given_up_after_the_head_timeout() {
    seeds(SEEDS, |seed| {
        let mut stage = stage(seed);
        let slow = Request::get("ingress", "/health").paced(1, Duration::from_millis(900));
        let caller = add(&mut stage, HttpClient::new(ADMIN_ADDRESS, vec![slow]));
        let response = only_response(&mut stage, caller);
        assert_eq!(response.outcome, Outcome::NoAnswer);
        check_exact(lasted(&response), Duration::from_secs(10));
    });
}

#[test]
fn a_body_that_stops_is_refused_a_request_timeout_later() {
    seeds(SEEDS, |seed| {
        let mut stage = stage(seed);
        let request = Request::post(HOST, "/upload", &pattern(100_000));
        let stalling = client(request).vanishing(Vanish::StallAfterSending(50_000));
        let caller = add(&mut stage, stalling);
        let response = only_response(&mut stage, caller);
        check_refused(&response, 408, "body_timeout");
        check_exact(lasted(&response), Duration::from_secs(30));
    });
}

/// Wherever that is: here within the size of a chunk.
#[test]
fn a_body_that_stops_within_its_framing_is_its_callers_fault_too() {
    seeds(SEEDS, |seed| {
        let mut stage = stage(seed);
        let request = Request::post_chunked(HOST, "/upload", &pattern(100_000), 0x1000);
        // Behind three chunks, and a byte of the size of the fourth.
        let head = request.head.len();
        let sent = (head + 3 * (0x1000 + "1000\r\n\r\n".len()) + 1) as u64;
        let stalling = client(request).vanishing(Vanish::StallAfterSending(sent));
        let caller = add(&mut stage, stalling);
        let response = only_response(&mut stage, caller);
        check_refused(&response, 408, "body_timeout");
        check_exact(lasted(&response), Duration::from_secs(30));
    });
}

#[test]
fn a_body_that_comes_slowly_is_taken_however_long_it_takes() {
    seeds(SEEDS, |seed| {
        let mut stage = stage(seed);
        let mut slow = Request::post(HOST, "/upload", &pattern(500));
        // In pieces as long as the head, which so comes in one.
        slow.pace = Some((slow.head.len(), Duration::from_secs(29)));
        let caller = add(&mut stage, client(slow));
        assert!(only_response(&mut stage, caller).is(200));
    });
}

/// A new connection is not registered with the kernel before somebody waits for something on it. One
/// for which nobody said so would be heard 20 ms later.
#[test]
fn a_new_caller_is_heard_as_soon_as_it_goes_on() {
    const PAUSE: Duration = Duration::from_millis(3);
    let mut upload = Request::post(HOST, "/upload", &pattern(500));
    upload.pace = Some((upload.head.len(), PAUSE));
    let pieces = u32::try_from(500 / upload.head.len() + 1).unwrap();
    let upgrade = Request::raw(
        b"GET /upgrade HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n",
    );
    let upgrade = Request { held: pattern(10), ..upgrade };
    for (request, pauses) in [(upload, pieces), (upgrade, 0)] {
        seeds(SEEDS, |seed| {
            // Parcels for other workers take their time.
            let mut stage = Stage::new(seed, Plan::calm().with_workers(1));
            stage.expect_ready(Duration::from_secs(5));
            let caller = add(&mut stage, client(request.clone()));
            let response = only_response(&mut stage, caller);
            assert!(response.is(200) || response.is(101), "{response:?}");
            let took = lasted(&response);
            assert!(took < pauses * PAUSE + SLACK, "{took:?} for {pauses} pauses");
        });
    }
}

#[test]
fn a_new_caller_that_leaves_is_missed_soon() {
    seeds(SEEDS, |seed| {
        let mut stage = Stage::new(seed, Plan::calm().with_workers(1));
        stage.expect_ready(Duration::from_secs(5));
        let request = Request::get(HOST, "/hang");
        let sent = request.head.len() as u64;
        add(&mut stage, client(request).vanishing(Vanish::CloseAfterSending(sent)));
        let (ingress, service) = (stage.ingress, stage.services[0]);
        let began = move |world: &World| !world.peer::<HttpService>(service).served.is_empty();
        stage.world.expect("the service is asked", began, Duration::from_millis(5));
        let gone = move |world: &World| {
            let service = world.peer::<HttpService>(service);
            census(world, ingress).callers == 0 && service.open_connections() == 0
        };
        stage.world.expect("it learns that the caller left", gone, Duration::from_millis(30));
    });
}

#[test]
fn an_idle_connection_is_closed_after_the_idle_timeout_and_not_before() {
    seeds(SEEDS, |seed| {
        let mut stage = stage(seed);
        let script = vec![
            Request::get(HOST, "/bytes/1"),
            Request::get(HOST, "/bytes/2").after(Duration::from_secs(74)),
        ];
        let caller = HttpClient::new(TRAFFIC_ADDRESS, script).staying();
        let caller = add(&mut stage, caller);
        let done = move |world: &World| world.peer::<HttpClient>(caller).is_done();
        stage.world.expect("both are answered", done, Duration::from_secs(80));
        assert_eq!(stage.world.peer::<HttpClient>(caller).connections, 1);
        let answered = stage.world.now();
        let ingress = stage.ingress;
        let closed = move |world: &World| census(world, ingress).callers == 0;
        stage.world.expect("the connection is closed", closed, Duration::from_secs(80));
        // The time begins when the answer leaves.
        check_exact(stage.world.now() - answered + UNDER_WAY, Duration::from_secs(75));
    });
}

#[test]
fn a_caller_that_takes_nothing_of_its_answer_is_cut_off() {
    seeds(SEEDS, |seed| {
        let mut stage = stage(seed);
        let deaf = client(Request::get(HOST, "/bytes/3000000")).reading(Reading::Never);
        let began = stage.world.now();
        add(&mut stage, deaf);
        stage.world.run_for(Duration::from_secs(1));
        let ingress = stage.ingress;
        let closed = move |world: &World| census(world, ingress).callers == 0;
        stage.world.expect("the caller is given up", closed, Duration::from_secs(80));
        let took = stage.world.now() - began;
        assert!((60..62).contains(&took.as_secs()), "{took:?}");
        stage.expect_empty_after_drain();
    });
}

/// A caller that goes on with another request, one byte now and then.
fn dribbling(path: &str, every: Duration) -> HttpClient {
    let next = Request::get(HOST, "/bytes/1").paced(1, every);
    HttpClient::new(TRAFFIC_ADDRESS, vec![Request::get(HOST, path), next]).pipelined()
}

#[test]
fn what_follows_on_a_request_gives_its_service_no_more_time() {
    seeds(SEEDS, |seed| {
        let mut stage = stage(seed);
        let caller = add(&mut stage, dribbling("/hang", Duration::from_secs(7)));
        stage.world.run_for(Duration::from_secs(31));
        let response = stage.responses(caller)[0].clone();
        check_refused(&response, 504, "request_timeout");
        check_exact(lasted(&response), Duration::from_secs(30));
    });
}

#[test]
fn what_follows_on_a_request_gives_its_caller_no_more_time_to_take_the_answer() {
    seeds(SEEDS, |seed| {
        // Of the first one there is more to come; the other one is complete at the ingress.
        for path in ["/bytes/3000000", "/bytes/400000"] {
            let mut stage = stage(seed);
            let deaf = dribbling(path, Duration::from_secs(7)).reading(Reading::Never);
            add(&mut stage, deaf);
            stage.world.run_for(Duration::from_secs(1));
            let ingress = stage.ingress;
            let closed = move |world: &World| census(world, ingress).callers == 0;
            // With one of those bytes, once, the kernel may take what there was room for all along.
            stage.world.expect(path, closed, Duration::from_secs(121));
            stage.expect_empty_after_drain();
        }
    });
}

#[test]
fn a_tunnel_that_is_asked_for_and_not_used_is_closed_after_the_registration_timeout() {
    const UPGRADE: &[u8] = b"GET / HTTP/1.1\r\nHost: ingress:8082\r\nConnection: Upgrade\r\n\
        Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: mesh.v1\r\n\r\n";
    seeds(SEEDS, |seed| {
        for said in [UPGRADE, &UPGRADE[..40]] {
            let mut stage = stage(seed);
            let began = stage.world.now();
            let silent = RawClient::new(TUNNEL_ADDRESS, said);
            let silent = stage.world.add_peer("silent", silent, &[]);
            stage.world.set_links(silent, stage.ingress, stage.plan.tunnel_links);
            let ended = move |world: &World| world.peer::<RawClient>(silent).end.is_some();
            stage.world.expect("it is closed", ended, Duration::from_secs(20));
            check_exact(stage.world.now() - began, Duration::from_secs(10));
            assert_eq!(stage.world.peer::<RawClient>(silent).end, Some(Received::Eof));
        }
    });
}

#[test]
fn an_upgraded_connection_on_which_nothing_moves_is_closed() {
    seeds(SEEDS, |seed| {
        let mut stage = stage(seed);
        let quiet = Request::raw(
            b"GET /upgrade HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\n\
              Upgrade: echo\r\n\r\n",
        );
        // It waits for an echo of bytes that it never sends.
        let quiet = Request { held: pattern(10), ..quiet };
        let sent = quiet.head.len() as u64 + 5;
        let caller = client(quiet).vanishing(Vanish::StallAfterSending(sent));
        let caller = add(&mut stage, caller);
        let response = only_response(&mut stage, caller);
        assert!(matches!(response.outcome, Outcome::Failed(_) | Outcome::Complete));
        check_exact(lasted(&response), stage.plan.ingress.timeouts.stream_idle);
        stage.expect_empty_after_drain();
    });
}

#[test]
fn a_drain_ends_in_time_however_busy_the_callers_are() {
    seeds(SEEDS, |seed| {
        let mut plan = Plan::calm();
        plan.ingress.timeouts.request = Duration::from_secs(120);
        let mut stage = Stage::new(seed, plan);
        stage.expect_ready(Duration::from_secs(5));
        let asks = vec![Ask::new(Request::get(HOST, "/slow/100000"))];
        stage.add_caller(asks, |client| client);
        stage.world.run_for(Duration::from_secs(1));
        let (ingress, agent) = (stage.ingress, stage.agents[0]);
        let drained = if seed % 2 == 0 { ingress } else { agent };
        let limit = if drained == ingress {
            stage.plan.ingress.timeouts.drain
        } else {
            stage.plan.agent.timeouts.drain
        };
        let began = stage.world.now();
        stage.world.drain(drained);
        let gone = move |world: &World| world.life(drained) == mesh_sim::Life::Exited;
        stage.world.expect("it leaves", gone, Duration::from_secs(60));
        check_exact(stage.world.now() - began, limit);
    });
}

/// Who asked for `/health` within a minute is believed to watch, and to send callers until it has
/// noticed. The drain is over before the minute is.
#[test]
fn an_ingress_stays_open_for_a_balancer_that_asked_within_a_minute() {
    const DRAIN: Duration = Duration::from_millis(800);
    let hosts = [0, 1].map(own_host);
    let check = |path| Request::get("ingress", path);
    // Behind such a request the connection is at the worker whose agent serves that host.
    let behind = |host: &String| vec![Request::get(host, "/bytes/1"), check("/health")];
    let scripts = [
        (ADMIN_ADDRESS, vec![check("/health")]),
        (ADMIN_ADDRESS, vec![check("/ready")]),
        (TRAFFIC_ADDRESS, behind(&hosts[0])),
        (TRAFFIC_ADDRESS, behind(&hosts[1])),
    ];
    let each = scripts.iter().flat_map(|script| [(script, 59, true), (script, 61, false)]);
    for ((address, script), ago, is_watched) in each {
        seeds(SEEDS, |seed| {
            let mut plan = Plan::calm().with_workers(2).with_agents(2);
            plan.own_hosts = true;
            plan.ingress.timeouts.drain = DRAIN;
            let mut stage = Stage::new(seed, plan);
            stage.expect_ready(Duration::from_secs(5));
            let balancer = add(&mut stage, HttpClient::new(address, script.clone()));
            only_response(&mut stage, balancer);
            stage.world.run_for(Duration::from_secs(ago));
            let (ingress, began) = (stage.ingress, stage.world.now());
            stage.world.drain(ingress);
            let gone = move |world: &World| world.life(ingress) == mesh_sim::Life::Exited;
            stage.world.expect("it leaves", gone, DRAIN);
            // In the last part of it nobody is taken in any more.
            let was_open = stage.world.now() - began >= DRAIN * 7 / 8;
            assert_eq!(was_open, is_watched, "asked {ago} s ago at {address}");
        });
    }
}

/// The ingress would wait longer.
#[test]
fn an_agent_gives_a_service_up_on_which_nothing_moves() {
    const IDLE: Duration = Duration::from_secs(10);
    seeds(SEEDS, |seed| {
        let mut plan = Plan::calm();
        plan.agent.timeouts.stream_idle = IDLE;
        let mut stage = Stage::new(seed, plan);
        stage.expect_ready(Duration::from_secs(5));
        let caller = add(&mut stage, client(Request::get(HOST, "/hang")));
        let response = only_response(&mut stage, caller);
        check_refused(&response, 504, "request_timeout");
        check_exact(lasted(&response), IDLE);
        stage.expect_empty_after_drain();
    });
}

/// `/metrics` is of all workers.
#[test]
fn a_page_is_given_up_when_a_worker_says_nothing() {
    seeds(SEEDS, |seed| {
        let mut stage = Stage::new(seed, Plan::calm().with_workers(2));
        stage.expect_ready(Duration::from_secs(5));
        stage.world.hang(stage.workers[1]);
        let page = HttpClient::new(ADMIN_ADDRESS, vec![Request::get("ingress", "/metrics")]);
        let asker = add(&mut stage, page);
        let response = only_response(&mut stage, asker);
        assert!(response.is(503), "{response:?}");
        check_exact(lasted(&response), Duration::from_secs(2));
        stage.world.unhang(stage.workers[1]);
        stage.probe();
    });
}

/// A kept connection is first waited on as one that may lead nowhere: a service that is slow is not that.
#[test]
fn an_answer_may_take_long_on_a_kept_connection() {
    seeds(SEEDS, |seed| {
        let mut stage = stage(seed);
        let script = ["/bytes/1", "/slow/15000"].map(|path| Request::get(HOST, path));
        let caller = add(&mut stage, HttpClient::new(TRAFFIC_ADDRESS, script.to_vec()));
        stage.world.run_for(Duration::from_secs(12));
        let agent = stage.world.app_mut::<Agent>(stage.agents[0]);
        let is_patient = |(_, one): (_, &Connection<_>)| one.io.patience == Patience::Long;
        assert!(agent.conns().iter().all(is_patient), "no lost packet makes an end of it");
        only_response(&mut stage, caller);
        for response in stage.responses(caller) {
            assert!(response.is(200), "{response:?}");
        }
        let served = &stage.world.peer::<HttpService>(stage.services[0]).served;
        let asked: Vec<_> = served.iter().filter(|one| !one.line().contains("/health")).collect();
        assert_eq!(asked.len(), 2, "none of them is asked twice");
        assert_eq!(asked[0].connection, asked[1].connection, "it was kept");
    });
}
