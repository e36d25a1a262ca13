//! Connections whose keys will not last: others take their places before they end.

use std::time::Duration;

use mesh_agent::Agent;
use mesh_agent::identity::Answer;
use mesh_ingress::Ingress;
use mesh_protocol::App;
use mesh_sim::peers::{HttpClient, Request};
use mesh_sim::{NodeId, World, seeds};

use crate::ask::{Ask, Weather};
use crate::stage::{HOST, Plan, Stage, census};

/// All connections of a process are worn from now on, as their transports would say.
pub(crate) fn wear<A: App + 'static>(world: &mut World, node: NodeId) {
    let conns = world.app_mut::<A>(node).conns();
    let all: Vec<_> = conns.iter().map(|(conn, _)| conn).collect();
    for conn in all {
        conns.get_mut(conn).expect("it is there").io.needs_replacing = true;
    }
}

fn slow() -> Ask {
    Ask::new(Request::get(HOST, "/slow/5000"))
}

/// A request under way keeps the tunnel, and the next one tells of its state.
fn replaced_by_another(seed: u64, wear: impl FnOnce(&mut Stage)) {
    let mut stage = Stage::new(seed, Plan::calm());
    stage.expect_ready(Duration::from_secs(5));
    let ingress = stage.ingress;
    let tunnels = |count| move |world: &World| census(world, ingress).tunnels == count;
    stage.add_caller(vec![slow()], |client| client);
    stage.world.run_for(Duration::from_secs(1));
    wear(&mut stage);
    stage.add_caller(vec![Ask::new(Request::get(HOST, "/bytes/1"))], |client| client);
    stage.world.expect("there is another tunnel", tunnels(2), Duration::from_secs(3));
    stage.expect_answers(Duration::from_secs(5));
    stage.world.expect("the worn one is gone", tunnels(1), Duration::from_secs(30));
    stage.judge(Weather::Fair);
    stage.probe();
}

#[test]
fn an_agent_replaces_a_tunnel_that_is_worn_at_its_end() {
    seeds(8, |seed| {
        replaced_by_another(seed, |stage| {
            let agent = stage.agents[0];
            wear::<Agent>(&mut stage.world, agent);
        });
    });
}

#[test]
fn an_agent_replaces_a_tunnel_when_its_token_is_another_one() {
    seeds(8, |seed| {
        replaced_by_another(seed, |stage| {
            let agent = stage.agents[0];
            stage.world.driver_mut::<Agent>(agent).handle_answer(Answer::NewToken);
        });
    });
}

#[test]
fn an_ingress_has_a_tunnel_replaced_that_is_worn_at_its_end() {
    seeds(8, |seed| {
        replaced_by_another(seed, |stage| {
            for worker in stage.workers.clone() {
                wear::<Ingress>(&mut stage.world, worker);
            }
        });
    });
}

#[test]
fn a_callers_connection_that_is_worn_ends_with_the_answer() {
    seeds(8, |seed| {
        let mut stage = Stage::new(seed, Plan::calm().with_workers(1));
        stage.expect_ready(Duration::from_secs(5));
        let page = || Ask::new(Request::get(HOST, "/bytes/1"));
        let caller = stage.add_caller(vec![slow(), page(), page()], |client| client);
        stage.world.run_for(Duration::from_secs(1));
        let ingress = stage.ingress;
        wear::<Ingress>(&mut stage.world, ingress);
        stage.expect_answers(Duration::from_secs(10));
        stage.judge(Weather::Fair);
        assert_eq!(stage.world.peer::<HttpClient>(caller).connections, 2);
        // The one that was under way then, for the next one may come much later.
        let first = stage.responses(caller)[0].header("connection");
        assert_eq!(first.as_deref(), Some("close"));
    });
}
