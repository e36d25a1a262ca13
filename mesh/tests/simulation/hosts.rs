//! Hosts that come and go: how many there may be, and what is told of them.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use mesh_ingress::Ingress;
use mesh_sim::peers::{HttpClient, RawPeer, Request, Response};
use mesh_sim::{Fault, NodeId, World, seeds};

use crate::puppet::{
    Act, DATA, DRAIN, ECHO, END, Frame, HEALTH, Puppet, REFUSED, REQUEST, RESPONSE, WELCOME, frame,
    puppet, puppet_of,
};
use crate::stage::{HOST, Plan, Stage, TRAFFIC_ADDRESS};

const SEEDS: u64 = 48;
const SOON: Duration = Duration::from_secs(5);
const PREVIEWS: [&str; 8] = [
    "pr-1.example",
    "pr-2.example",
    "pr-3.example",
    "pr-4.example",
    "pr-5.example",
    "pr-6.example",
    "pr-7.example",
    "pr-8.example",
];

/// Runs until a puppet has got such a frame.
fn expect_frame(stage: &mut Stage, puppet: NodeId, kind: u8) {
    let came =
        move |world: &World| world.peer::<RawPeer<Puppet>>(puppet).state.seen.contains(&(kind, 0));
    stage.world.expect("the ingress has decided", came, SOON);
}

/// Answers with the name of its host.
fn says(host: &'static str) -> impl FnMut(&Frame, &mut Act) {
    move |frame, act| {
        act.be_polite(frame);
        if frame.kind == REQUEST {
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", host.len());
            let head = self::frame(RESPONSE, 0, frame.stream, head.as_bytes());
            let body = self::frame(DATA, END, frame.stream, host.as_bytes());
            act.send(&[head, body].concat());
        }
    }
}

fn add(stage: &mut Stage, host: &'static str) -> NodeId {
    let node = stage.world.add_peer(host, puppet(host, says(host)), &[]);
    stage.world.set_links(node, stage.ingress, stage.plan.tunnel_links);
    node
}

fn ask(stage: &mut Stage, host: &str) -> Response {
    let client = HttpClient::new(TRAFFIC_ADDRESS, vec![Request::get(host, "/")]);
    let caller = stage.world.add_peer("caller", client, &[]);
    let done = move |world: &World| world.peer::<HttpClient>(caller).is_done();
    stage.world.expect("it is answered", done, SOON);
    stage.responses(caller)[0].clone()
}

/// An ingress that knows no more hosts than these.
fn few_hosts(seed: u64, hosts: usize) -> Stage {
    let workers = if seed.is_multiple_of(2) { 1 } else { 3 };
    let mut plan = Plan::calm().with_agents(0).with_workers(workers);
    plan.ingress.limits.hosts = hosts;
    Stage::new(seed, plan)
}

fn one_after_the_other(seed: u64, hosts: usize) -> Stage {
    let mut stage = few_hosts(seed, hosts);
    add(&mut stage, "first.example");
    stage.expect_healthy(1, SOON);
    for host in PREVIEWS {
        let node = add(&mut stage, host);
        expect_frame(&mut stage, node, WELCOME);
        stage.expect_healthy(2, SOON);
        assert_eq!(ask(&mut stage, host).body, host.as_bytes());
        assert_eq!(ask(&mut stage, "first.example").body, b"first.example");
        stage.world.strike(node, stage.ingress, Fault::Cut);
        // The first worker knows, which decides. Others may not.
        let ingress = stage.ingress;
        let known = move |world: &World| world.app::<Ingress>(ingress).all_tunnels() == 1;
        stage.world.expect("the end of the tunnel is known", known, SOON);
    }
    let last = add(&mut stage, "last.example");
    expect_frame(&mut stage, last, WELCOME);
    stage.expect_healthy(2, SOON);
    assert_eq!(ask(&mut stage, "last.example").body, b"last.example");
    stage
}

#[test]
fn hosts_that_were_used_once_leave_room_for_others() {
    seeds(SEEDS, |seed| {
        let mut stage = one_after_the_other(seed, 3);
        let statuses = PREVIEWS.map(|host| ask(&mut stage, host).status());
        let wanted = [404, 404, 404, 404, 404, 404, 404, 503];
        assert_eq!(statuses, wanted, "there was room for the one that left last");
    });
}

/// Whatever comes first at another worker: the end of the old one, or that its place is another one's.
#[test]
fn a_host_is_forgotten_while_the_end_of_its_tunnel_is_under_way() {
    seeds(SEEDS, |seed| {
        let mut stage = one_after_the_other(seed, 2);
        for host in PREVIEWS {
            assert!(ask(&mut stage, host).is(404));
        }
    });
}

#[test]
fn an_agent_for_whose_hosts_there_is_no_room_is_told_so() {
    seeds(SEEDS, |seed| {
        let mut stage = few_hosts(seed, 3);
        for host in &PREVIEWS[..3] {
            add(&mut stage, host);
        }
        stage.expect_healthy(3, SOON);
        let refused = stage.world.add_peer("refused", puppet("new.example", |_, _| {}), &[]);
        expect_frame(&mut stage, refused, REFUSED);
        let name = "mesh_registrations_refused_total{reason=\"overloaded\"}";
        assert_eq!(stage.metric(name), Some(1));
        // One more for a host that is known is welcome.
        add(&mut stage, PREVIEWS[0]);
        stage.expect_healthy(4, SOON);
        assert!(ask(&mut stage, "new.example").is(404));
        for host in &PREVIEWS[..3] {
            assert_eq!(ask(&mut stage, host).body, host.as_bytes());
        }
    });
}

#[test]
fn two_services_of_one_host_are_counted_each_for_itself() {
    seeds(8, |seed| {
        let mut stage = Stage::new(seed, Plan::calm().with_agents(0));
        let blue = puppet_of(r#","service":"blue""#, HOST, says("blue"));
        stage.world.add_peer("blue", blue, &[]);
        stage.expect_healthy(1, SOON);
        for _ in 0..3 {
            assert_eq!(ask(&mut stage, HOST).body, b"blue");
        }
        let green = puppet_of(r#","service":"green""#, HOST, says("green"));
        stage.world.add_peer("green", green, &[]);
        stage.expect_healthy(2, SOON);
        let answers: Vec<_> = (0..20).map(|_| ask(&mut stage, HOST).body).collect();
        let blues = answers.iter().filter(|body| **body == b"blue").count() as u64;
        assert!((1..20).contains(&blues), "both are asked");
        let count = |service: &str| {
            format!("mesh_requests_total{{host=\"{HOST}\",service=\"{service}\",class=\"2xx\"}}")
        };
        assert_eq!(stage.metric(&count("blue")), Some(3 + blues));
        assert_eq!(stage.metric(&count("green")), Some(20 - blues));
    });
}

#[test]
fn a_host_without_agents_is_seen_in_its_metrics() {
    seeds(8, |seed| {
        let mut stage = Stage::new(seed, Plan::calm().with_agents(0));
        let available = format!("mesh_host_agents_available{{host=\"{HOST}\"}}");
        assert_eq!(stage.metric(&available), None);
        let agent = puppet_of(r#","service":"shop""#, HOST, says("shop"));
        let agent = stage.world.add_peer("agent", agent, &[]);
        stage.expect_healthy(1, SOON);
        assert_eq!(stage.metric(&available), Some(1));
        stage.world.strike(agent, stage.ingress, Fault::Cut);
        stage.expect_healthy(0, SOON);
        stage.world.run_for(Duration::from_secs(1));
        assert_eq!(stage.metric(&available), Some(0));
        for _ in 0..2 {
            assert!(ask(&mut stage, HOST).is(503));
        }
        let labels = format!("host=\"{HOST}\",service=\"shop\"");
        let refused = format!("mesh_requests_total{{{labels},class=\"5xx\"}}");
        assert_eq!(stage.metric(&refused), Some(2));
        let timed = format!("mesh_request_duration_seconds_count{{{labels}}}");
        assert_eq!(stage.metric(&timed), Some(0), "they took no time that tells anything");
    });
}

/// How a service is, or its agent, as it says at each echo; without it, nothing.
#[derive(Debug, Clone, Copy)]
enum Says {
    Nothing,
    Healthy,
    Sick,
    Leaves,
}

/// An agent for `shop.example` whose service has not been healthy yet.
fn starting(lane: &'static str, says_now: &Rc<Cell<Says>>) -> RawPeer<Puppet> {
    let says_now = Rc::clone(says_now);
    let mut answer = says("shop");
    puppet_of(lane, "shop.example", move |frame, act| {
        answer(frame, act);
        let health = |healthy: bool| format!(r#"{{"healthy":{healthy},"reason":""}}"#);
        let (kind, payload) = match says_now.get() {
            Says::Nothing => return,
            Says::Healthy => (HEALTH, health(true)),
            Says::Sick => (HEALTH, health(false)),
            Says::Leaves => (DRAIN, String::new()),
        };
        if frame.kind == ECHO {
            act.send(&self::frame(kind, 0, 0, payload.as_bytes()));
        }
    })
}

/// Only a service that has been healthy, and whose agent stays, has its host for itself.
#[test]
fn a_host_is_for_others_before_its_service_is_healthy_and_while_its_agent_leaves() {
    seeds(8, |seed| {
        let mut stage = few_hosts(seed, 100);
        let any = add(&mut stage, "*.example");
        stage.expect_healthy(1, SOON);
        let says_now = Rc::new(Cell::new(Says::Nothing));
        let now = |stage: &mut Stage, says: Says, wanted: &[u8]| {
            says_now.set(says);
            stage.world.run_for(Duration::from_secs(20));
            let answer = ask(stage, "shop.example");
            assert_eq!(answer.status(), if wanted.is_empty() { 503 } else { 200 }, "{says:?}");
            assert!(wanted.is_empty() || answer.body == wanted, "{says:?}");
        };
        let first = starting(r#","process":"p","healthy":false"#, &says_now);
        let first = stage.world.add_peer("first", first, &[]);
        now(&mut stage, Says::Nothing, b"*.example");
        now(&mut stage, Says::Healthy, b"shop");
        now(&mut stage, Says::Sick, b"");
        // One that comes beside it, or in its place, is of the same service.
        let second = starting(r#","process":"p","healthy":false,"lane":1"#, &says_now);
        stage.world.add_peer("second", second, &[]);
        now(&mut stage, Says::Nothing, b"");
        stage.world.strike(first, stage.ingress, Fault::Cut);
        now(&mut stage, Says::Nothing, b"");
        now(&mut stage, Says::Healthy, b"shop");
        now(&mut stage, Says::Leaves, b"*.example");
        stage.world.strike(any, stage.ingress, Fault::Cut);
        now(&mut stage, Says::Nothing, b"");
        let unserved = "mesh_requests_total{host=\"shop.example\",service=\"\",class=\"5xx\"}";
        assert_eq!(stage.metric(unserved), Some(4), "it counts as the host's own");
    });
}
