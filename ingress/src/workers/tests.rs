use std::sync::Arc;

use mesh_protocol::WorkerId;

use super::Remote;
use crate::admission::Standing;
use crate::config::Config;
use crate::gauge::Gauge;
use crate::identity::{AwsPrincipal, Principal};
use crate::ingress::Ingress;
use crate::tunnel::tests::{origin, tunnel, tunnel_id};
use crate::tunnel::{AgentId, Serial, Successor};

fn session(role: &str, session: &str) -> Option<Principal> {
    let arn = format!("arn:aws:sts::123456789012:assumed-role/{role}/{session}");
    Some(Principal::Aws(AwsPrincipal::parse(&arn, "123456789012").unwrap()))
}

fn token(name: &str) -> Option<Principal> {
    Some(Principal::Token { name: name.to_owned() })
}

fn certificate(name: &str) -> Option<Principal> {
    Some(Principal::Certificate { names: vec![name.to_owned()] })
}

/// The first of two workers, with an agent here and one at the other, which call their processes so.
fn ingress(here: Option<Principal>, there: Option<Principal>) -> Ingress {
    let now = origin();
    let mut ingress = Ingress::workers(&Config::default(), now, 2).remove(0);
    let mut own = tunnel(1, now);
    own.hello.process = "here".to_owned();
    own.standing = Standing { principal: here, ..Standing::default() };
    let gauge = Arc::new(Gauge::new(Serial(2), now, &own.reading()));
    ingress.tunnels.insert(tunnel_id(0), own);
    let remote = Remote {
        serial: Serial(2),
        agent: AgentId(Serial(2)),
        process: "there".to_owned(),
        principal: there,
        lane: 0,
        introduced: now,
        worker: WorkerId(1),
        service: "".into(),
        hosts: Vec::new(),
        gauge,
    };
    ingress.workers.remotes.insert(Serial(2), remote);
    ingress
}

#[test]
fn there_is_one_worker_at_least() {
    let workers = Ingress::workers(&Config::default(), origin(), 0);
    let counts: Vec<_> = workers.iter().map(|one| one.workers.count).collect();
    assert_eq!(counts, [1]);
}

#[test]
fn an_agent_is_known_by_its_process_and_what_it_proved() {
    let pairs = [
        (None, None),
        (token("edge-1"), token("edge-1")),
        (certificate("a.example"), certificate("a.example")),
        (session("agents", "0123"), session("agents", "0123")),
        // Whoever assumes a role anew may call the session anew.
        (session("agents", "0123"), session("agents", "4567")),
    ];
    for (before, now) in pairs {
        let ingress = ingress(before.clone(), before);
        assert_eq!(ingress.agent_of("here", now.as_ref()), Some(AgentId(Serial(1))));
        assert_eq!(ingress.agent_of("there", now.as_ref()), Some(AgentId(Serial(2))));
        assert_eq!(ingress.agent_of("elsewhere", now.as_ref()), None);
    }
}

/// Else whoever knows the process of an agent could take its place.
#[test]
fn somebody_else_with_the_name_of_a_process_is_another_agent() {
    let pairs = [
        (token("edge-1"), token("edge-2")),
        (token("edge-1"), certificate("edge-1")),
        (token("edge-1"), None),
        (None, token("edge-1")),
        (certificate("a.example"), certificate("b.example")),
        (session("agents", "0123"), session("others", "0123")),
        (session("agents", "0123"), token("agents")),
    ];
    for (before, now) in pairs {
        let ingress = ingress(before.clone(), before);
        assert_eq!(ingress.agent_of("here", now.as_ref()), None, "{now:?}");
        assert_eq!(ingress.agent_of("there", now.as_ref()), None, "{now:?}");
    }
}

#[test]
fn what_an_agent_says_it_has_another_tunnel_for_has_it_by_any_identity() {
    let mut ingress = ingress(token("edge-1"), token("edge-2"));
    let id = tunnel_id(0);
    let tunnel = ingress.tunnels.get_mut(id).unwrap();
    tunnel.hello.process = "there".to_owned();
    tunnel.successor = Successor::Found;
    assert!(!ingress.has_successor(id), "that may be anybody");
    ingress.tunnels.get_mut(id).unwrap().note_successor(Successor::Announced);
    assert!(ingress.has_successor(id));
    ingress.workers.remotes.clear();
    assert!(!ingress.has_successor(id), "the other one is lost");
}

/// Its worker says so in the gauge at once, and with a message that may still be on its way.
#[test]
fn a_tunnel_that_has_ended_is_in_nobodys_place() {
    let mut ingress = ingress(None, None);
    let id = tunnel_id(0);
    for remote in ingress.workers.remotes.values_mut() {
        remote.agent = AgentId(Serial(1));
    }
    ingress.tunnels.get_mut(id).unwrap().note_successor(Successor::Found);
    assert!(ingress.has_successor(id));
    ingress.workers.remotes.values().for_each(|remote| remote.gauge.leave());
    assert!(!ingress.has_successor(id));
}

#[test]
fn an_agent_without_a_process_has_nobody_elses_tunnel_in_the_place_of_its_own() {
    let mut ingress = ingress(None, None);
    let id = tunnel_id(0);
    let tunnel = ingress.tunnels.get_mut(id).unwrap();
    tunnel.hello.process.clear();
    tunnel.note_successor(Successor::Announced);
    for remote in ingress.workers.remotes.values_mut() {
        remote.process.clear();
    }
    assert!(!ingress.has_successor(id));
}

#[test]
fn a_tunnel_that_its_agent_has_left_keeps_nobody_out() {
    let mut ingress = ingress(None, None);
    ingress.config.limits.tunnels = 2;
    assert!(!ingress.has_room_for_agent());
    ingress.tunnels.get_mut(tunnel_id(0)).unwrap().note_successor(Successor::Announced);
    assert!(ingress.has_room_for_agent());
}
