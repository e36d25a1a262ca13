use std::time::Duration;

use crate::peers::{Health, HttpClient, HttpService, Outcome, Reading, Request, checksum, pattern};
use crate::{FaultRates, LinkRules, NodeId, World, seeds};

const LIMIT: Duration = Duration::from_secs(120);

fn world(seed: u64, client: HttpClient, service: HttpService) -> (World, NodeId, NodeId) {
    let mut world = World::new(seed);
    world.set_default_links(LinkRules::drawn(FaultRates::mild()));
    let service = world.add_peer("service", service, &["service:80"]);
    let client = world.add_peer("client", client, &[]);
    (world, client, service)
}

fn run(seed: u64, requests: Vec<Request>) -> (World, NodeId, NodeId) {
    let client = HttpClient::new("service:80", requests);
    let (mut world, client, service) = world(seed, client, HttpService::new());
    world.expect("all is answered", |world| world.peer::<HttpClient>(client).is_done(), LIMIT);
    (world, client, service)
}

/// Requests for everything that is answered in full, each with the status it has to get.
fn everything(upload: &[u8]) -> Vec<(u16, Request)> {
    let host = "a.example";
    let get = |path| Request::get(host, path);
    vec![
        (200, get("/bytes/30000")),
        (200, get("/bytes/0")),
        (200, get("/chunked/12345")),
        (200, Request::head(host, "/bytes/77")),
        (200, get("/trailers")),
        (200, get("/close/9999")),
        (200, Request::post(host, "/echo", upload)),
        (200, Request::post_chunked(host, "/echo", upload, 777)),
        (200, Request::post(host, "/upload", upload)),
        (200, Request::post(host, "/sip", upload)),
        (200, get("/slow/1500")),
        (200, get("/drip/5")),
        (200, Request::expecting(host, "/continue", upload)),
        (200, get("/hints")),
        (426, get("/upgrade")),
        (403, Request::upgrade(host, "/upgrade/no", b"never sent")),
        (200, get("/health")),
        (204, get("/status/204")),
        (500, get("/status/500")),
        (404, get("/nowhere")),
        (101, Request::upgrade(host, "/upgrade", upload)),
    ]
}

#[test]
fn every_whole_answer_arrives_whole_over_any_link() {
    let upload = pattern(20_000);
    let summary = format!("{} {:016x}", upload.len(), checksum(&upload));
    seeds(256, |seed| {
        let (statuses, requests): (Vec<u16>, Vec<Request>) =
            everything(&upload).into_iter().unzip();
        let (mut world, client, service) = run(seed, requests);
        assert!(world.run_until_quiet(LIMIT));
        world.check_settled();
        let client = world.peer::<HttpClient>(client);
        let responses = client.responses();
        for (response, status) in responses.iter().zip(&statuses) {
            assert!(response.is(*status), "{status}: {response:?}");
        }
        let lengths = [30_000, 0, 12_345, 0, 1_000, 9_999, 20_000, 20_000];
        for (response, len) in responses.iter().zip(lengths) {
            assert_eq!(response.body, pattern(len));
        }
        for index in [8, 9, 12] {
            assert_eq!(responses[index].body, summary.as_bytes());
        }
        assert_eq!(responses[3].header("content-length").as_deref(), Some("77"));
        assert_eq!(responses[4].trailers, b"X-Checksum: 42\r\n");
        assert_eq!((responses[12].interim.len(), responses[13].interim.len()), (1, 1));
        assert_eq!(responses[20].body, upload);
        assert!(client.excess.is_empty());
        assert_eq!(client.connections, 2, "only /close ends a connection");
        let service = world.peer::<HttpService>(service);
        assert_eq!(service.served.len(), statuses.len());
        assert_eq!(service.served[7].trailers, b"X-Sent: all\r\n");
        assert!(service.malformed.is_empty());
        assert_eq!(service.open_connections(), 0);
    });
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    seeds(64, |seed| {
        let paths = [10, 20_000, 0, 300].map(|len| format!("/bytes/{len}"));
        let requests = paths.iter().map(|path| Request::get("a", path)).collect();
        let client = HttpClient::new("service:80", requests).pipelined();
        let (mut world, client, _) = world(seed, client, HttpService::new());
        let done = |world: &World| world.peer::<HttpClient>(client).is_done();
        world.expect("all is answered", done, LIMIT);
        let lengths = world.peer::<HttpClient>(client).responses().iter();
        let lengths: Vec<usize> = lengths.map(|response| response.body.len()).collect();
        assert_eq!(lengths, [10, 20_000, 0, 300]);
    });
}

#[test]
fn a_deaf_pipeliner_gets_nothing_and_costs_the_service_its_buffer_only() {
    let requests = vec![Request::get("a", "/bytes/1000000"); 20];
    let client = HttpClient::new("service:80", requests).pipelined();
    let (mut world, client, service) = world(1, client.reading(Reading::Never), HttpService::new());
    world.run_for(LIMIT);
    assert_eq!(world.peer::<HttpClient>(client).received_total(), 0);
    assert!(world.peer::<HttpService>(service).served.len() < 20);
}

#[test]
fn a_dribbled_head_is_a_head_in_the_end() {
    let request = Request::get("a", "/bytes/3").paced(1, Duration::from_millis(100));
    let (world, client, _) = run(2, vec![request]);
    assert!(world.peer::<HttpClient>(client).responses()[0].is(200));
    assert!(world.elapsed() > Duration::from_secs(3));
}

#[test]
fn the_health_check_says_what_it_is_told() {
    for (health, status) in [(Health::Up, 200), (Health::Down, 503), (Health::Silent, 0)] {
        let client = HttpClient::new("service:80", vec![Request::get("a", "/health")]);
        let (mut world, client, service) = world(3, client, HttpService::new());
        world.peer_mut::<HttpService>(service).health = health;
        world.run_for(LIMIT);
        let response = &world.peer::<HttpClient>(client).responses()[0];
        assert_eq!(response.status(), status);
    }
}

#[test]
fn a_broken_answer_is_told_from_a_whole_one() {
    seeds(64, |seed| {
        let host = "a.example";
        let requests = vec![
            Request::get(host, "/reset"),
            Request::get(host, "/refuse"),
            Request::post(host, "/early", &pattern(300_000)),
            Request::get(host, "/bytes/10"),
        ];
        let (world, client, _) = run(seed, requests);
        let responses = world.peer::<HttpClient>(client).responses();
        let reset = &responses[0];
        assert!(matches!(reset.outcome, Outcome::Failed(_)), "{reset:?}");
        assert!(pattern(10_000).starts_with(&reset.body));
        assert_eq!(responses[1].outcome, Outcome::NoAnswer);
        // The reset that follows the early answer may destroy it.
        let early = &responses[2];
        assert!(early.is(413) || matches!(early.outcome, Outcome::Failed(_)));
        assert!(responses[3].is(200));
    });
}

#[test]
fn a_caller_that_rests_after_an_upgrade_keeps_its_next_connection() {
    seeds(16, |seed| {
        let host = "a.example";
        let pause = Duration::from_secs(1);
        let requests = vec![
            Request::upgrade(host, "/upgrade", &pattern(100)),
            Request::get(host, "/bytes/10").after(pause),
        ];
        let (world, client, _) = run(seed, requests);
        let client = world.peer::<HttpClient>(client);
        assert!(client.responses()[1].is(200), "{:?}", client.responses()[1]);
        assert_eq!(client.connections, 2);
    });
}
