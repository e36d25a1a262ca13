use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use mesh_protocol::{Closing, ListenerId};

use crate::apps::{Echo, Relay};
use crate::peers::{
    HttpClient, HttpService, Outcome, RawClient, RawPeer, Reading, Received, Request, Then, Vanish,
    pattern,
};
use crate::{
    Answer, Death, Fault, FaultRates, Life, LinkConfig, LinkRules, NodeId, Step, World, seeds,
};

const LIMIT: Duration = Duration::from_secs(120);
const PATIENCE: Duration = Duration::from_secs(30);

/// Sends its bytes at once, finishes, and keeps what came back.
fn shouter(len: usize) -> RawPeer<(Vec<u8>, Option<Received>)> {
    let mut unsaid = pattern(len);
    RawPeer::dialling("echo:7", (Vec::new(), None), move |(heard, end), turn| {
        turn.tx.append(&mut unsaid);
        heard.append(turn.rx);
        *end = turn.end;
        turn.then = match end {
            Some(_) => Then::Close,
            None => Then::Finish,
        };
    })
}

fn echo_world(seed: u64, rules: LinkRules, bytes: usize) -> (World, NodeId, NodeId) {
    let mut world = World::new(seed);
    world.set_default_links(rules);
    let echo = Echo::new(PATIENCE);
    let echo = world.add_app("echo", echo, &[("echo:7", ListenerId(0))]);
    let peer = world.add_peer("peer", shouter(bytes), &[]);
    (world, echo, peer)
}

fn heard(world: &World, peer: NodeId) -> &(Vec<u8>, Option<Received>) {
    &world.peer::<RawPeer<(Vec<u8>, Option<Received>)>>(peer).state
}

#[test]
fn bytes_come_back_in_order_and_whole_and_so_does_the_end() {
    seeds(256, |seed| {
        let rules = LinkRules::drawn(FaultRates::mild());
        let (mut world, echo, peer) = echo_world(seed, rules, 200_000);
        let ended = |world: &World| heard(world, peer).1.is_some();
        world.expect("the echo ends", ended, LIMIT);
        let (bytes, end) = heard(&world, peer);
        assert_eq!(*end, Some(Received::Eof));
        assert!(*bytes == pattern(200_000));
        let gone = |world: &World| world.app::<Echo>(echo).conns.is_empty();
        world.expect("no connection is left", gone, LIMIT);
        assert_eq!(world.app::<Echo>(echo).finished, 1);
    });
}

#[test]
fn a_cut_is_an_error_at_both_ends() {
    seeds(128, |seed| {
        let rules = LinkRules::fixed(LinkConfig::uplink());
        let (mut world, echo, peer) = echo_world(seed, rules, 1_000_000);
        let begun = |world: &World| heard(world, peer).0.len() > 1_000;
        world.expect("the echo begins", begun, LIMIT);
        world.strike(peer, echo, Fault::Cut);
        world.run_for(Duration::from_secs(1));
        assert_eq!(world.app::<Echo>(echo).failed, 1);
        let (bytes, end) = heard(&world, peer);
        assert!(matches!(end, Some(Received::Failed(_))), "{end:?}");
        assert!(pattern(1_000_000).starts_with(bytes));
    });
}

#[test]
fn whatever_breaks_every_connection_ends_and_no_byte_is_wrong() {
    seeds(256, |seed| {
        let rules = LinkRules::drawn(FaultRates::rough());
        let (mut world, echo, peer) = echo_world(seed, rules, 100_000);
        world.on_step(move |world| assert!(world.conns_without_deadline(echo).is_empty()));
        world.run_for(LIMIT);
        assert!(world.app::<Echo>(echo).conns.is_empty());
        assert!(pattern(100_000).starts_with(&heard(&world, peer).0));
    });
}

#[test]
fn a_frozen_process_pushes_back_and_then_goes_on() {
    seeds(64, |seed| {
        let rules = LinkRules::drawn(FaultRates::none());
        let (mut world, echo, peer) = echo_world(seed, rules, 2_000_000);
        world.freeze(echo);
        world.run_for(PATIENCE * 2);
        assert_eq!(world.open_links(peer), 1, "the kernel accepts for the process");
        assert!(heard(&world, peer).0.is_empty());
        assert!(world.app::<Echo>(echo).conns.is_empty());
        world.thaw(echo);
        let whole = |world: &World| heard(world, peer).0.len() == 2_000_000;
        world.expect("everything comes back", whole, LIMIT * 20);
    });
}

#[test]
fn a_timeout_takes_no_time() {
    let mut world = World::new(0);
    let echo = world.add_app("echo", Echo::new(PATIENCE), &[("echo:7", ListenerId(0))]);
    let peer = world.add_peer("peer", RawClient::new("echo:7", b""), &[]);
    let mut steps = 0;
    while world.app::<Echo>(echo).expired == 0 {
        assert_ne!(world.step(), Step::Nothing);
        steps += 1;
    }
    assert!(steps < 30, "{steps} steps");
    assert!(world.elapsed() >= PATIENCE && world.elapsed() < PATIENCE + Duration::from_secs(1));
    assert!(world.run_until_quiet(LIMIT));
    let end = world.peer::<RawClient>(peer).end;
    assert!(matches!(end, Some(Received::Failed(_))), "{end:?}");
}

/// Client, relay and origin server.
fn relay_world(seed: u64, faults: FaultRates, client: HttpClient) -> (World, [NodeId; 3]) {
    let mut world = World::new(seed);
    world.set_default_links(LinkRules::drawn(faults));
    let service = HttpService::new().closing_idle(Duration::from_secs(2));
    let service = world.add_peer("service", service, &["service:80"]);
    let relay = Relay::to("service", 80);
    let relay = world.add_app("relay", relay, &[("relay:80", ListenerId(0))]);
    let client = world.add_peer("client", client, &[]);
    (world, [client, relay, service])
}

fn script() -> Vec<Request> {
    let upload = pattern(50_000);
    vec![
        Request::get("a", "/bytes/100000"),
        Request::post("a", "/echo", &upload),
        Request::get("a", "/slow/3000"),
        Request::get("a", "/chunked/70000").after(Duration::from_millis(500)),
        Request::expecting("a", "/upload", &upload),
        Request::upgrade("a", "/upgrade", &upload),
        Request::get("a", "/close/1234"),
        Request::post_chunked("a", "/sip", &upload, 500).paced(999, Duration::from_millis(2)),
    ]
}

#[test]
fn a_relay_changes_nothing() {
    seeds(256, |seed| {
        let client = HttpClient::new("relay:80", script());
        let (mut world, [client, relay, service]) = relay_world(seed, FaultRates::mild(), client);
        world.on_step(move |world| {
            for (_, connection) in world.app::<Relay>(relay).conns.iter() {
                assert!(connection.io.rx.len() <= connection.io.rx_limit);
            }
        });
        let done = |world: &World| world.peer::<HttpClient>(client).is_done();
        world.expect("all is answered", done, LIMIT);
        let responses = world.peer::<HttpClient>(client).responses();
        for response in responses {
            let whole = response.outcome == Outcome::Complete;
            // The service closes idle connections, and that may meet a request.
            assert!(whole || response.reused, "{response:?}");
        }
        assert!(world.peer::<HttpService>(service).malformed.is_empty());
        world.run_for(Duration::from_secs(10));
        assert!(world.app::<Relay>(relay).conns.is_empty());
        assert_eq!(world.open_links(client) + world.open_links(service), 0);
    });
}

#[test]
fn the_same_seed_is_the_same_history() {
    let run = |seed| {
        let client = HttpClient::new("relay:80", script());
        let (mut world, [client, relay, _]) = relay_world(seed, FaultRates::rough(), client);
        world.run_for(Duration::from_secs(3));
        world.strike(client, relay, Fault::Cut);
        world.run_for(LIMIT);
        world.trace_hash()
    };
    let mut hashes = Vec::new();
    for seed in 0..64 {
        let hash = run(seed);
        assert_eq!(hash, run(seed), "seed {seed}");
        hashes.push(hash);
    }
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), 64);
}

#[test]
fn a_slow_reader_slows_the_service_and_not_the_relay_down() {
    seeds(32, |seed| {
        let requests = vec![Request::get("a", "/bytes/1000000")];
        let client = HttpClient::new("relay:80", requests);
        let client = client.reading(Reading::Slow(2_000, Duration::from_millis(5)));
        let (mut world, [client, relay, _]) = relay_world(seed, FaultRates::none(), client);
        let done = |world: &World| world.peer::<HttpClient>(client).is_done();
        world.expect("it is served at last", done, LIMIT);
        let response = &world.peer::<HttpClient>(client).responses()[0];
        assert!(response.is(200) && response.body == pattern(1_000_000));
        assert!(world.elapsed() > Duration::from_secs(2));
        assert!(world.app::<Relay>(relay).most_buffered <= 16 * 1024);
    });
}

#[test]
fn whoever_vanishes_leaves_nothing_behind() {
    let ways = [
        Vanish::CloseAfterSending(20),
        Vanish::ResetAfterSending(2_000),
        Vanish::FinishAfterSending(2_000),
        Vanish::CloseAfterReceiving(300),
        Vanish::ResetAfterReceiving(3_000),
    ];
    seeds(64, |seed| {
        for way in ways {
            let requests = vec![Request::post("a", "/echo", &pattern(30_000))];
            let client = HttpClient::new("relay:80", requests).vanishing(way);
            let (mut world, [client, relay, service]) =
                relay_world(seed, FaultRates::mild(), client);
            world.run_for(LIMIT);
            assert!(world.peer::<HttpClient>(client).is_done());
            assert!(world.app::<Relay>(relay).conns.is_empty(), "{way:?}");
            assert_eq!(world.open_links(service), 0);
        }
    });
}

#[test]
fn an_address_accepts_refuses_or_says_nothing() {
    let requests = || vec![Request::get("a", "/bytes/10")];
    let client = HttpClient::new("relay:80", requests());
    let (mut world, [client, _, _]) = relay_world(1, FaultRates::none(), client);
    world.set_answer("service:80", Answer::Refuse);
    world.run_for(LIMIT);
    let first = &world.peer::<HttpClient>(client).responses()[0];
    assert!(matches!(first.outcome, Outcome::Failed(_)), "{first:?}");
    world.set_answer("service:80", Answer::Ignore);
    let ask = |world: &mut World| {
        let client = world.peer_mut::<HttpClient>(client);
        client.ask(Request::get("a", "/bytes/10"));
    };
    ask(&mut world);
    world.run_for(LIMIT);
    assert!(!world.peer::<HttpClient>(client).is_done());
    let nowhere = HttpClient::new("nowhere:1", requests());
    let nowhere = world.add_peer("lost", nowhere, &[]);
    world.run_for(LIMIT);
    let first = &world.peer::<HttpClient>(nowhere).responses()[0];
    assert!(matches!(first.outcome, Outcome::Refused(_)));
}

#[test]
fn a_process_dies_and_comes_back() {
    seeds(32, |seed| {
        for death in [Death::Reset, Death::Vanish] {
            let rules = LinkRules::drawn(FaultRates::none());
            let (mut world, echo, peer) = echo_world(seed, rules, 1_000_000);
            let begun = |world: &World| heard(world, peer).0.len() > 1_000;
            world.expect("the echo begins", begun, LIMIT);
            world.kill(echo, death);
            world.run_for(Duration::from_secs(5));
            match death {
                Death::Reset => assert_eq!(world.life(echo), Life::Exited),
                Death::Vanish => assert_eq!(heard(&world, peer).1, None, "half open"),
            }
            world.restart(echo, Echo::new(PATIENCE));
            world.run_for(Duration::from_secs(5));
            let end = heard(&world, peer).1;
            assert!(matches!(end, Some(Received::Failed(_))), "{death:?}: {end:?}");
            let late = world.add_peer("late", shouter(10_000), &[]);
            let served = |world: &World| heard(world, late).0.len() == 10_000;
            world.expect("the new process serves", served, LIMIT);
        }
    });
}

#[test]
fn whoever_exits_closes_what_it_held() {
    let rules = LinkRules::fixed(LinkConfig::fast());
    let (mut world, echo, peer) = echo_world(3, rules, 0);
    let idle = world.add_peer("idle", RawClient::new("echo:7", b"hello"), &[]);
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.peer::<RawClient>(idle).answer, b"hello");
    world.drain(echo);
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.life(echo), Life::Running);
    world.drain(echo);
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.life(echo), Life::Exited);
    assert_eq!(world.peer::<RawClient>(idle).end, Some(Received::Eof));
    assert_eq!(world.open_links(echo) + world.open_links(peer), 0);
}

#[test]
fn an_application_can_be_changed_from_outside() {
    let mut world = World::new(5);
    let echo = world.add_app("echo", Echo::new(PATIENCE), &[("echo:7", ListenerId(0))]);
    let idle = world.add_peer("idle", RawClient::new("echo:7", b"hello"), &[]);
    world.run_for(Duration::from_secs(1));
    let conns = &mut world.app_mut::<Echo>(echo).conns;
    let id = conns.iter().next().map(|(id, _)| id).expect("one is there");
    let connection = conns.get_mut(id).expect("it is still there");
    connection.io.tx.extend(b", world");
    connection.io.close(Closing::AfterFlush);
    world.run_for(Duration::from_secs(1));
    let idle = world.peer::<RawClient>(idle);
    assert_eq!(idle.answer, b"hello, world");
    assert_eq!(idle.end, Some(Received::Eof));
}

#[test]
fn an_application_that_spins_is_found_out() {
    let (mut world, echo, _) = echo_world(0, LinkRules::fixed(LinkConfig::fast()), 10);
    world.app_mut::<Echo>(echo).tick_at = Some(world.now());
    let outcome = catch_unwind(AssertUnwindSafe(|| world.run_for(PATIENCE)));
    assert!(outcome.is_err());
}

#[test]
fn a_broken_connection_is_no_finished_one() {
    seeds(32, |seed| {
        let rules = LinkRules::fixed(LinkConfig::uplink());
        let mut world = World::new(seed);
        world.set_default_links(rules);
        let echo = world.add_app("echo", Echo::new(PATIENCE), &[("echo:7", ListenerId(0))]);
        let mut unsaid = pattern(1_000_000);
        let deaf = RawPeer::dialling("echo:7", (), move |(), turn| {
            turn.tx.append(&mut unsaid);
            turn.then = Then::StopReading;
        });
        let peer = world.add_peer("deaf", deaf, &[]);
        world.run_for(Duration::from_secs(10));
        world.strike(peer, echo, Fault::Cut);
        world.run_for(PATIENCE * 2);
        let echo = world.app::<Echo>(echo);
        assert!(echo.conns.is_empty());
        assert_eq!((echo.finished, echo.false_ends), (0, 0));
    });
}

#[test]
fn an_uplink_is_as_fast_as_it_says() {
    let mut world = World::new(0);
    world.set_default_links(LinkRules::fixed(LinkConfig::uplink()));
    world.add_peer("service", HttpService::new(), &["service:80"]);
    let requests = vec![Request::get("a", "/bytes/5000000")];
    let client = world.add_peer("client", HttpClient::new("service:80", requests), &[]);
    let done = |world: &World| world.peer::<HttpClient>(client).is_done();
    world.expect("the body arrives", done, LIMIT);
    let response = &world.peer::<HttpClient>(client).responses()[0];
    assert!(response.is(200));
    let took = world.elapsed().as_millis();
    assert!((800..900).contains(&took), "{took} ms for 40 Mbit at 50 Mbit/s");
}

#[test]
fn only_timers_are_left_when_the_world_is_quiet() {
    let (mut world, echo, _) = echo_world(0, LinkRules::drawn(FaultRates::none()), 100_000);
    assert!(!world.is_quiet(), "nobody has begun");
    assert!(world.run_until_quiet(LIMIT));
    world.check_settled();
    assert_eq!(world.app::<Echo>(echo).finished, 1);
    assert!(world.elapsed() < PATIENCE);
}

#[test]
fn an_address_that_stands_for_several_leads_to_any_of_them() {
    let mut world = World::new(1);
    let echo = |world: &mut World, name: &str, address: &str| {
        world.add_app(name, Echo::new(PATIENCE), &[(address, ListenerId(0))])
    };
    let echoes = [echo(&mut world, "a", "a:7"), echo(&mut world, "b", "b:7")];
    let visit = |world: &mut World, members: &[&str]| {
        world.set_pool("echo:7", members);
        for _ in 0..20 {
            world.add_peer("peer", shouter(10), &[]);
        }
        world.run_for(LIMIT);
        echoes.map(|id| world.app::<Echo>(id).finished)
    };
    let [first, second] = visit(&mut world, &["a:7", "b:7"]);
    assert_eq!(first + second, 20);
    assert!(first > 0 && second > 0, "{first} and {second}");
    assert_eq!(visit(&mut world, &["b:7"]), [first, second + 20]);
    assert_eq!(visit(&mut world, &[]), [first, second + 20], "nobody is there");
}
