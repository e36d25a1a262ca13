//! Requests that reach an agent together with their end: nobody waits for them any more, and the service is
//! not to act on them.

use std::time::Duration;

use mesh_sim::peers::{HttpClient, HttpService, Request, pattern};
use mesh_sim::{Death, Fault, NodeId, World, seeds};

use crate::stage::{HOST, Plan, Stage, TRAFFIC_ADDRESS};

const SEEDS: u64 = 16;
/// Callers who ask at once, and connections to the service that are kept for them.
const COUNT: usize = 4;

/// Calls that change something, with a body and without.
fn calls() -> Vec<Request> {
    let delete = format!("DELETE /bytes/1 HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    vec![
        Request::raw(delete.as_bytes()),
        Request::post(HOST, "/upload", b""),
        Request::post(HOST, "/upload", &pattern(1_000)),
        Request::post_chunked(HOST, "/upload", &pattern(1_000), 300),
    ]
}

/// An agent that keeps connections to its service, and whose process has just been stopped.
fn frozen(seed: u64) -> Stage {
    let mut stage = Stage::new(seed, Plan::calm());
    stage.expect_ready(Duration::from_secs(5));
    let ask = || HttpClient::new(TRAFFIC_ADDRESS, vec![Request::get(HOST, "/slow/50")]);
    for caller in [(); COUNT].map(|()| stage.world.add_peer("before", ask(), &[])) {
        let done = move |world: &World| world.peer::<HttpClient>(caller).is_done();
        stage.world.expect("it is answered", done, Duration::from_secs(5));
    }
    stage.world.freeze(stage.agents[0]);
    stage
}

/// Callers who make this call, which reaches the kernel of the agent.
fn call(stage: &mut Stage, request: &Request) -> [NodeId; COUNT] {
    let callers = [(); COUNT].map(|()| {
        let client = HttpClient::new(TRAFFIC_ADDRESS, vec![request.clone()]);
        stage.world.add_peer("late", client, &[])
    });
    stage.world.run_for(Duration::from_millis(300));
    callers
}

/// The end of the kept connections may be heard a turn after a request that came behind it.
#[test]
fn what_may_not_be_repeated_does_not_go_to_a_connection_that_has_ended() {
    for request in calls() {
        seeds(4 * SEEDS, |seed| {
            let mut stage = frozen(seed);
            stage.world.strike(stage.services[0], stage.agents[0], Fault::Truncate);
            let callers = call(&mut stage, &request);
            stage.world.thaw(stage.agents[0]);
            stage.world.run_for(Duration::from_secs(2));
            for caller in callers {
                assert_eq!(stage.responses(caller)[0].status(), 200);
            }
        });
    }
}

/// Lets the agent go on: its service has all of none of these calls.
fn check_that_none_is_served(stage: &mut Stage) {
    stage.world.thaw(stage.agents[0]);
    stage.world.run_for(Duration::from_secs(2));
    let service = stage.world.peer::<HttpService>(stage.services[0]);
    let served = service.served.iter().filter(|served| served.whole_at.is_some());
    let served: Vec<_> = served.map(|served| served.line()).collect();
    let late = served.iter().find(|line| !line.starts_with("GET "));
    assert_eq!(late, None, "of {served:?}");
    stage.probe();
    stage.expect_empty_after_drain();
}

#[test]
fn what_its_caller_gave_up_before_the_agent_saw_it_is_not_served() {
    for request in calls() {
        seeds(SEEDS, |seed| {
            let mut stage = frozen(seed);
            for caller in call(&mut stage, &request) {
                stage.world.kill(caller, Death::Reset);
            }
            stage.world.run_for(Duration::from_millis(100));
            check_that_none_is_served(&mut stage);
        });
    }
}

#[test]
fn what_was_under_way_on_a_tunnel_that_ended_before_the_agent_saw_it_is_not_served() {
    for request in calls() {
        seeds(SEEDS, |seed| {
            let mut stage = frozen(seed);
            let callers = call(&mut stage, &request);
            stage.world.strike(stage.ingress, stage.agents[0], Fault::Truncate);
            stage.world.run_for(Duration::from_millis(100));
            check_that_none_is_served(&mut stage);
            for caller in callers {
                assert_eq!(stage.responses(caller)[0].status(), 502);
            }
        });
    }
}
