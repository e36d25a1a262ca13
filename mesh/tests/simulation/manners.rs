//! Callers with bad manners, and the good ones beside them who must not notice.

use std::time::Duration;

use mesh_sim::peers::{
    HttpClient, HttpService, RawClient, Reading, Received, Request, Vanish, pattern,
};
use mesh_sim::{LinkConfig, NodeId, World, seeds};

use crate::ask::{Ask, Weather};
use crate::stage::{HOST, Plan, Stage, TRAFFIC_ADDRESS, census};

/// How long a small request may take beside whatever else goes on.
const SOON: Duration = Duration::from_millis(100);

fn bulk(count: usize) -> Vec<Request> {
    (0..count).map(|_| Request::get(HOST, "/bytes/1000000")).collect()
}

fn upload(len: usize) -> Vec<Request> {
    vec![Request::post(HOST, "/upload", &pattern(len))]
}

/// A caller with bad manners.
fn rude(kind: u64, amount: u64) -> HttpClient {
    let client = |script| HttpClient::new(TRAFFIC_ADDRESS, script);
    match kind {
        0 => client(bulk(20)).pipelined().reading(Reading::Never),
        1 => client(bulk(1)).reading(Reading::Slow(100, Duration::from_millis(50))),
        2 => client(upload(500_000)).vanishing(Vanish::StallAfterSending(1 + amount)),
        3 => client(upload(500_000)).vanishing(Vanish::ResetAfterSending(1 + amount)),
        4 => client(upload(500_000)).vanishing(Vanish::CloseAfterSending(1 + amount)),
        5 => client(upload(500_000)).vanishing(Vanish::FinishAfterSending(1 + amount)),
        6 => client(bulk(3)).vanishing(Vanish::CloseAfterReceiving(1 + amount)),
        7 => client(bulk(3)).pipelined().vanishing(Vanish::ResetAfterReceiving(1 + amount)),
        8 => client(vec![Request::get(HOST, "/bytes/1").paced(1, Duration::from_secs(1))]),
        9 => client(vec![Request::post(HOST, "/sip", &pattern(400_000))]),
        10 => client(vec![Request::upgrade(HOST, "/upgrade", &pattern(900_000))])
            .reading(Reading::Never),
        _ => client(vec![Request::post_chunked(HOST, "/echo", &pattern(100_000), 1)])
            .reading(Reading::Slow(512, Duration::from_millis(20))),
    }
}

const KINDS: u64 = 12;

fn order(count: usize) -> Vec<Ask> {
    let mut asks = Vec::new();
    for turn in 0..count {
        let body = pattern(3_000);
        let mut ask = match turn % 3 {
            0 => Ask::new(Request::get(HOST, "/bytes/10000")),
            1 => Ask::sending(Request::post(HOST, "/echo", &body), body),
            _ => Ask::new(Request::get(HOST, "/trailers")),
        };
        ask.request = ask.request.after(Duration::from_millis(20));
        asks.push(ask);
    }
    asks
}

/// Three polite callers, each of whose requests is answered right and soon.
fn expect_undisturbed(stage: &mut Stage) {
    for _ in 0..3 {
        stage.add_caller(order(9), |client| client);
    }
    stage.expect_answers(Duration::from_secs(2));
    stage.judge(Weather::Fair);
    for caller in &stage.callers {
        for response in stage.responses(caller.node) {
            let took = response.ended_at.expect("it is over") - response.asked_at;
            assert!(took <= SOON, "{:?} took {took:?}", response.status());
        }
    }
}

#[test]
fn callers_with_bad_manners_disturb_nobody() {
    seeds(128, |seed| {
        let mut stage = Stage::new(seed, Plan::calm().with_agents(1 + (seed % 2) as usize));
        stage.expect_ready(Duration::from_secs(5));
        for _ in 0..4 {
            let amount = stage.below(200_000);
            let caller = rude(stage.below(KINDS), amount);
            let node = stage.world.add_peer("rude", caller, &[]);
            stage.world.set_links(node, stage.ingress, stage.plan.caller_links);
        }
        stage.world.run_for(Duration::from_millis(100));
        expect_undisturbed(&mut stage);
        expect_deserted(&mut stage);
        stage.expect_empty_after_drain();
    });
}

/// Whatever callers do or do not, their connections end in time.
fn expect_deserted(stage: &mut Stage) {
    let ingress = stage.ingress;
    let deserted = move |world: &World| census(world, ingress).callers == 0;
    stage.world.expect("all callers are given up", deserted, Duration::from_secs(1_200));
}

#[test]
fn a_caller_that_pipelines_and_never_reads_holds_one_answer() {
    seeds(16, |seed| {
        let mut stage = Stage::new(seed, Plan::calm());
        stage.expect_ready(Duration::from_secs(5));
        let length = 20_000 + 100_000 * usize::try_from(seed % 4).expect("small");
        let script = vec![Request::get(HOST, &format!("/bytes/{length}")); 100];
        let rude = HttpClient::new(TRAFFIC_ADDRESS, script).pipelined().reading(Reading::Never);
        let rude = stage.world.add_peer("rude", rude, &[]);
        stage.world.set_links(rude, stage.ingress, stage.plan.caller_links);
        stage.world.run_for(Duration::from_secs(30));
        let service = stage.world.peer::<HttpService>(stage.services[0]);
        let asked = service.served.iter().filter(|one| one.line().contains("/bytes/")).count();
        // The next request waits until the answer before it has left for the caller's kernel.
        let taken = LinkConfig::fast().capacity / length;
        assert!((1..=taken + 1).contains(&asked), "{asked} answers of {length} bytes");
        expect_deserted(&mut stage);
    });
}

/// It asked for so much that not all of it was read.
#[test]
fn nothing_is_done_for_a_caller_that_has_reset() {
    seeds(32, |seed| {
        let mut stage = Stage::new(seed, Plan::calm());
        stage.expect_ready(Duration::from_secs(5));
        let padding = format!("X-Padding: {}", "x".repeat(8_000));
        let behind = Request::post(HOST, "/slow/100", b"").header(&padding);
        let script = [bulk(1), vec![behind; 60]].concat();
        let rude = HttpClient::new(TRAFFIC_ADDRESS, script)
            .pipelined()
            .reading(Reading::Slow(1_000, Duration::from_millis(5)))
            .vanishing(Vanish::ResetAfterReceiving(20_000 + stage.below(50_000)));
        let rude = stage.world.add_peer("rude", rude, &[]);
        stage.world.set_links(rude, stage.ingress, stage.plan.caller_links);
        let ingress = stage.ingress;
        let left = move |world: &World| {
            world.peer::<HttpClient>(rude).is_done() && census(world, ingress).callers == 0
        };
        stage.world.expect("the caller is given up", left, Duration::from_secs(1));
        stage.world.run_for(Duration::from_secs(5));
        let service = stage.world.peer::<HttpService>(stage.services[0]);
        let asked = service.served.iter().filter(|one| one.line().contains("/slow/")).count();
        assert_eq!(asked, 0, "asked for behind an answer that it did not take");
        stage.expect_empty_after_drain();
    });
}

/// What a smuggler sends; the service must not see a request for `/smuggled` of it.
const SMUGGLED: [&str; 14] = [
    "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 4\r\nContent-Length: 50\r\n\r\nabcdGET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: +4\r\n\r\nabcdGET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n4;\n\r\nabcd\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000004\r\nabcd\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a.example\r\nX: y\nGET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a.example\r\n X: y\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a.example\r\nHost: b.example\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n",
    "GET / HTTP/1.1\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a.example\rX: y\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n",
];

#[test]
fn a_smuggler_gets_one_refusal_and_reaches_nobody() {
    for bytes in SMUGGLED {
        seeds(4, |seed| {
            let mut stage = Stage::new(seed, Plan::calm());
            stage.expect_ready(Duration::from_secs(5));
            let smuggler = RawClient::new(TRAFFIC_ADDRESS, bytes.as_bytes());
            let smuggler = stage.world.add_peer("smuggler", smuggler, &[]);
            expect_undisturbed(&mut stage);
            expect_refused(&mut stage, smuggler, bytes);
        });
    }
}

fn expect_refused(stage: &mut Stage, smuggler: NodeId, bytes: &str) {
    let ended = move |world: &World| world.peer::<RawClient>(smuggler).end.is_some();
    stage.world.expect("the smuggler is thrown out", ended, Duration::from_secs(20));
    let client = stage.world.peer::<RawClient>(smuggler);
    assert_eq!(client.end, Some(Received::Eof), "{bytes:?}");
    let lines = client.status_lines();
    assert!(lines.len() == 1 && lines[0].starts_with("HTTP/1.1 400 "), "{bytes:?}: {lines:?}");
    let service = stage.world.peer::<HttpService>(stage.services[0]);
    assert!(service.served.iter().all(|one| !one.line().contains("smuggled")), "{bytes:?}");
    assert!(service.malformed.is_empty(), "{bytes:?}: {:?}", service.malformed);
}

#[test]
fn a_caller_that_leaves_behind_its_request_head_harms_nobody() {
    seeds(16, |seed| {
        let mut stage = Stage::new(seed, Plan::calm());
        stage.expect_ready(Duration::from_secs(5));
        let request = Request::post(HOST, "/upload", b"12345");
        let length = request.head.len() as u64;
        let hasty = HttpClient::new(TRAFFIC_ADDRESS, vec![request])
            .vanishing(Vanish::FinishAfterSending(length));
        stage.world.add_peer("hasty", hasty, &[]);
        expect_undisturbed(&mut stage);
        stage.expect_empty_after_drain();
    });
}

#[test]
fn half_a_chunk_size_waits_for_its_other_half() {
    seeds(16, |seed| {
        let mut stage = Stage::new(seed, Plan::calm());
        stage.expect_ready(Duration::from_secs(5));
        let body = pattern(2_000);
        let piece = 1 + usize::try_from(seed % 3).expect("small");
        let split = Request::post_chunked(HOST, "/echo", &body, 1_000)
            .paced(piece, Duration::from_micros(500));
        stage.add_caller(vec![Ask::sending(split, body)], |client| client);
        stage.expect_answers(Duration::from_secs(10));
        stage.judge(Weather::Fair);
        stage.expect_empty_after_drain();
    });
}

#[test]
fn a_caller_that_leaves_anywhere_in_its_body_is_given_up_at_once() {
    seeds(256, |seed| {
        let mut stage = Stage::new(seed, Plan::calm());
        stage.expect_ready(Duration::from_secs(5));
        // The answer begins before the body has ended, or not.
        let path = ["/echo", "/upload"][(seed % 2) as usize];
        let request = Request::post_chunked(HOST, path, &pattern(40), 15);
        let sent = stage.below(request.body.len() as u64);
        let hasty = HttpClient::new(TRAFFIC_ADDRESS, vec![request.clone()])
            .vanishing(Vanish::FinishAfterSending(request.head.len() as u64 + sent));
        let hasty = stage.world.add_peer("hasty", hasty, &[]);
        stage.world.set_links(hasty, stage.ingress, stage.plan.caller_links);
        let ingress = stage.ingress;
        let came = move |world: &World| census(world, ingress).callers == 1;
        stage.world.expect("the caller comes", came, SOON);
        let left = move |world: &World| census(world, ingress).callers == 0;
        stage.world.expect("the caller is given up", left, Duration::from_secs(1));
        stage.expect_empty_after_drain();
    });
}
