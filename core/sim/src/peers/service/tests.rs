use std::time::Duration;

use crate::peers::{HttpClient, HttpService, Outcome, Request, checksum, pattern};
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
    world.expect(
        "all is answered",
        |world| world.peer::<HttpClient>(client).is_done(),
        LIMIT,
    );
    (world, client, service)
}

#[test]
fn every_whole_answer_arrives_whole_over_any_link() {
    let upload = pattern(20_000);
    seeds(256, |seed| {
        let host = "a.example";
        let requests = vec![
            Request::get(host, "/bytes/30000"),
            Request::get(host, "/bytes/0"),
            Request::get(host, "/chunked/12345"),
            Request::head(host, "/bytes/77"),
            Request::get(host, "/trailers"),
            Request::get(host, "/close/9999"),
            Request::post(host, "/echo", &upload),
            Request::post_chunked(host, "/echo", &upload, 777),
            Request::post(host, "/upload", &upload),
            Request::post(host, "/sip", &upload),
            Request::get(host, "/slow/1500"),
            Request::get(host, "/drip/5"),
            Request::expecting(host, "/continue", &upload),
            Request::get(host, "/hints"),
            Request::get(host, "/upgrade"),
            Request::upgrade(host, "/upgrade/no", b"never sent"),
            Request::get(host, "/health"),
            Request::get(host, "/status/204"),
            Request::get(host, "/status/500"),
            Request::get(host, "/nowhere"),
            Request::upgrade(host, "/upgrade", &upload),
        ];
        let count = requests.len();
        let (mut world, client, service) = run(seed, requests);
        assert!(world.run_until_quiet(LIMIT));
        world.check_settled();
        let client = world.peer::<HttpClient>(client);
        let statuses = [
            200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 426, 403, 200,
            204, 500, 404, 101,
        ];
        for (response, status) in client.responses().iter().zip(statuses) {
            assert!(response.is(status), "{status}: {response:?}");
        }
        let summary = format!("{} {:016x}", upload.len(), checksum(&upload));
        let bodies = [30_000, 0, 12_345, 0, 1_000, 9_999, 20_000, 20_000];
        for (response, len) in client.responses().iter().zip(bodies) {
            assert_eq!(response.body, pattern(len));
        }
        for index in [8, 9, 12] {
            assert_eq!(client.responses()[index].body, summary.as_bytes());
        }
        assert_eq!(client.responses()[4].trailers, b"X-Checksum: 42\r\n");
        assert_eq!(
            client.responses()[3].header("content-length").as_deref(),
            Some("77")
        );
        assert_eq!(client.responses()[12].interim.len(), 1);
        assert_eq!(client.responses()[13].interim.len(), 1);
        assert_eq!(client.responses()[20].body, upload);
        assert!(client.excess.is_empty());
        assert_eq!(client.connections, 2, "only /close ends a connection");
        let service = world.peer::<HttpService>(service);
        assert_eq!(service.served.len(), count);
        assert_eq!(service.served[7].trailers, b"X-Sent: all\r\n");
        assert!(service.malformed.is_empty());
        assert_eq!(service.open_connections(), 0);
    });
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
