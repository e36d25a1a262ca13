//! Processes that are drained, killed, frozen and started again while callers go on asking.

use std::time::Duration;

use mesh_agent::Agent;
use mesh_ingress::Admission;
use mesh_protocol::App;
use mesh_sim::peers::{
    Health, HttpClient, HttpService, Outcome, RawClient, Request, Response, Vanish, pattern,
};
use mesh_sim::{Answer, Death, Fault, FaultRates, Life, LinkConfig, LinkRules, World, seeds};

use crate::answers::answer;
use crate::ask::{Ask, Weather};
use crate::stage::{ADMIN_ADDRESS, HOST, Plan, Stage, TRAFFIC_ADDRESS, TUNNEL_ADDRESS, census};

/// Two echo intervals, and the way there and back.
const NOTICED: Duration = Duration::from_secs(21);
/// The longest wait before an agent connects again, and registering.
const RECONNECTED: Duration = Duration::from_secs(32);

/// Callers that ask `count` small things each, over a few seconds.
fn traffic(stage: &mut Stage, callers: usize, count: usize, with_bodies: bool) {
    for _ in 0..callers {
        let mut asks = Vec::new();
        for _ in 0..count {
            let pause = Duration::from_millis(stage.below(400));
            let mut ask = small(stage, with_bodies);
            ask.request = ask.request.after(pause);
            asks.push(ask);
        }
        stage.add_caller(asks, |client| client);
    }
}

fn small(stage: &mut Stage, with_bodies: bool) -> Ask {
    let size = usize::try_from(stage.below(20_000)).expect("small");
    let body = pattern(size);
    match stage.below(if with_bodies { 5 } else { 3 }) {
        0 => Ask::new(Request::get(HOST, &format!("/bytes/{size}"))),
        1 => Ask::new(Request::get(HOST, &format!("/slow/{}", size % 300))),
        2 => Ask::new(Request::head(HOST, &format!("/bytes/{size}"))),
        3 => Ask::sending(Request::post(HOST, "/upload", &body), body),
        _ => Ask::sending(Request::post_chunked(HOST, "/echo", &body, 1_000), body),
    }
}

#[test]
fn agents_restart_one_after_the_other_without_a_failed_request() {
    seeds(64, |seed| {
        let mut stage = Stage::new(seed, Plan::drawn(FaultRates::mild()).with_agents(2));
        stage.expect_ready(Duration::from_secs(60));
        traffic(&mut stage, 4, 20, true);
        for number in 0..2 {
            let agent = stage.agents[number];
            let wait = stage.below(2_000);
            stage.world.run_for(Duration::from_millis(wait));
            stage.world.drain(agent);
            let gone = move |world: &World| world.life(agent) == Life::Exited;
            stage.world.expect("the agent leaves", gone, Duration::from_secs(31));
            stage.restart_agent(number);
            stage.expect_ready(RECONNECTED);
        }
        stage.expect_answers(Duration::from_secs(600));
        stage.judge(Weather::Fair);
        stage.expect_empty_after_drain();
    });
}

#[test]
fn an_agent_that_is_killed_costs_only_what_cannot_be_repeated() {
    for death in [Death::Reset, Death::Vanish] {
        seeds(48, |seed| {
            let mut stage = Stage::new(seed, Plan::drawn(FaultRates::none()).with_agents(2));
            stage.expect_ready(Duration::from_secs(60));
            traffic(&mut stage, 6, 12, true);
            let wait = stage.below(3_000);
            stage.world.run_for(Duration::from_millis(wait));
            stage.world.kill(stage.agents[0], death);
            let ingress = stage.ingress;
            let noticed = move |world: &World| census(world, ingress).tunnels == 1;
            stage.world.expect("the loss is noticed", noticed, NOTICED);
            stage.expect_answers(Duration::from_secs(600));
            for caller in &stage.callers {
                for (ask, response) in caller.asks.iter().zip(stage.responses(caller.node)) {
                    let is_repeatable = !ask.is_method("POST");
                    // A reset may take back what had already arrived of an answer.
                    let is_cut = response.outcome != Outcome::Complete
                        && (!response.head.is_empty()
                            || matches!(response.outcome, Outcome::Failed(_)));
                    let may_fail = !is_repeatable || is_cut;
                    ask.judge(response, if may_fail { Weather::Foul } else { Weather::Fair });
                    ask.judge_service(&stage.served(ask), response);
                }
            }
            stage.expect_empty_after_drain();
        });
    }
}

#[test]
fn an_ingress_that_drains_answers_until_it_leaves() {
    seeds(64, |seed| {
        let mut stage = Stage::new(seed, Plan::drawn(FaultRates::mild()));
        stage.expect_ready(Duration::from_secs(60));
        // A load balancer that watches sends callers until it has noticed.
        if seed % 2 == 0 {
            let check = vec![Request::get("ingress", "/health")];
            stage.world.add_peer("balancer", HttpClient::new(ADMIN_ADDRESS, check), &[]);
        }
        traffic(&mut stage, 4, 8, true);
        let wait = stage.below(2_000);
        stage.world.run_for(Duration::from_millis(wait));
        stage.world.drain(stage.ingress);
        let ingress = stage.ingress;
        let gone = move |world: &World| world.life(ingress) == Life::Exited;
        stage.world.expect("the ingress leaves", gone, Duration::from_secs(27));
        let left_at = stage.world.now();
        stage.expect_answers(Duration::from_secs(60));
        for caller in &stage.callers {
            for (ask, response) in caller.asks.iter().zip(stage.responses(caller.node)) {
                // Who came too late found nobody, in the last second too; who was heard was answered.
                let is_heard = response.reused || !response.head.is_empty();
                let is_late =
                    !is_heard && response.ended_at >= Some(left_at - Duration::from_secs(1));
                ask.judge(response, if is_late { Weather::Foul } else { Weather::Fair });
            }
        }
        stage.restart_ingress();
        stage.expect_ready(2 * RECONNECTED);
        stage.probe();
        stage.expect_empty_after_drain();
    });
}

/// What is watched drains its whole time, in which the agents are told again and again that it leaves.
#[test]
fn an_ingress_that_is_restarted_in_order_has_its_agents_back_as_soon_as_one_that_was_lost() {
    seeds(16, |seed| {
        let mut stage = Stage::new(seed, Plan::calm().with_agents(4));
        stage.expect_ready(Duration::from_secs(5));
        stage.world.run_for(stage.plan.agent.timeouts.stable);
        // The second time soon after: the tunnels of the first one have not lived long.
        for time in 1..=2 {
            let check = vec![Request::get("ingress", "/health")];
            stage.world.add_peer("balancer", HttpClient::new(ADMIN_ADDRESS, check), &[]);
            stage.world.run_for(Duration::from_secs(1));
            let ingress = stage.ingress;
            stage.world.drain(ingress);
            let gone = move |world: &World| world.life(ingress) == Life::Exited;
            stage.world.expect("the ingress leaves", gone, Duration::from_secs(27));
            stage.restart_ingress();
            let connect = Duration::from_millis(100);
            stage.expect_ready(stage.plan.agent.timeouts.backoff_min * time + connect);
            stage.probe();
        }
    });
}

/// What the ingress sends behind its WELCOME is under way when the agent is asked to leave.
#[test]
fn an_agent_that_is_asked_to_leave_before_it_knows_that_it_is_welcome_serves_what_it_gets() {
    for (workers, tunnels) in [(1, 1), (2, 2), (2, 3)] {
        seeds(8, |seed| {
            let mut plan = Plan::calm().with_agent_workers(workers, tunnels);
            let latency = Duration::from_millis(50);
            plan.tunnel_links = LinkRules::fixed(LinkConfig { latency, ..LinkConfig::fast() });
            let mut stage = Stage::new(seed, plan);
            let (ingress, agent) = (stage.ingress, stage.agents[0]);
            let welcome = move |world: &World| census(world, ingress).tunnels == tunnels;
            stage.world.expect("it is welcome", welcome, Duration::from_secs(5));
            for _ in 0..6 {
                let post = Ask::new(Request::post(HOST, "/slow/500", b""));
                stage.add_caller(vec![post], |client| client);
            }
            let sent = move |world: &World| census(world, ingress).in_flight == 6;
            stage.world.expect("the requests are sent", sent, Duration::from_millis(40));
            stage.world.drain(agent);
            stage.expect_answers(Duration::from_secs(5));
            stage.judge(Weather::Fair);
            let gone = move |world: &World| world.life(agent) == Life::Exited;
            stage.world.expect("the agent leaves", gone, Duration::from_secs(1));
        });
    }
}

/// The old tunnel serves on, and there is no other ingress to go to.
#[test]
fn an_agent_that_is_asked_for_another_tunnel_is_not_without_one() {
    seeds(8, |seed| {
        let mut stage = Stage::new(seed, Plan::calm());
        stage.expect_ready(Duration::from_secs(5));
        let status = |stage: &Stage| {
            let mut words = String::new();
            let written = stage.world.app::<Agent>(stage.agents[0]).status(&mut words);
            written.expect("a string takes everything");
            words
        };
        stage.add_caller(vec![Ask::new(Request::get(HOST, "/slow/5000"))], |client| client);
        stage.world.run_for(Duration::from_secs(1));
        assert_eq!(status(&stage), "registered, tunnels: 1 of 1, service: healthy");
        stage.world.drain(stage.ingress);
        stage.world.run_for(Duration::from_secs(1));
        assert_eq!(status(&stage), "moving, tunnels: 0 of 1, service: healthy");
        stage.expect_answers(Duration::from_secs(5));
        stage.judge(Weather::Fair);
    });
}

/// What nobody will ever take holds up no drain.
#[test]
fn an_agent_leaves_as_soon_as_its_last_caller_has_given_up() {
    seeds(16, |seed| {
        let mut stage = Stage::new(seed, Plan::calm().with_slow_services());
        stage.expect_ready(Duration::from_secs(5));
        let upload = Request::post(HOST, "/upload", &pattern(2_000_000));
        let caller = HttpClient::new(TRAFFIC_ADDRESS, vec![upload])
            .vanishing(Vanish::ResetAfterSending(1_200_000));
        stage.world.add_peer("caller", caller, &[]);
        stage.world.run_for(Duration::from_secs(1));
        let (ingress, agent) = (stage.ingress, stage.agents[0]);
        stage.world.drain(agent);
        let left = move |world: &World| census(world, ingress).in_flight == 0;
        stage.world.expect("the caller gives up", left, Duration::from_secs(60));
        let gone = move |world: &World| world.life(agent) == Life::Exited;
        stage.world.expect("the agent leaves", gone, Duration::from_secs(1));
    });
}

/// How long that takes is up to the ingress. An hour is the most that it can be told to take.
#[test]
fn an_agent_stays_with_an_ingress_that_drains_as_long_as_that_takes() {
    const HOUR: Duration = Duration::from_secs(3600);
    for (takes, weather) in [(HOUR / 2, Weather::Fair), (HOUR * 2, Weather::Foul)] {
        seeds(4, |seed| {
            let mut plan = Plan::calm();
            plan.ingress.timeouts.drain = HOUR * 3;
            plan.ingress.timeouts.request = HOUR * 3;
            plan.agent.timeouts.stream_idle = HOUR * 3;
            let mut stage = Stage::new(seed, plan);
            stage.expect_ready(Duration::from_secs(5));
            let ask = Ask::new(Request::get(HOST, &format!("/slow/{}", takes.as_millis())));
            stage.add_caller(vec![ask], |client| client);
            stage.world.run_for(Duration::from_secs(1));
            stage.world.drain(stage.ingress);
            let began = stage.world.now();
            stage.expect_answers(HOUR + Duration::from_secs(1));
            stage.judge(weather);
            if weather == Weather::Foul {
                assert!(stage.world.now() - began >= HOUR, "the agent left too early");
            }
        });
    }
}

/// As a balancer without health checks has it: there are callers at every moment of the leaving, the
/// goodbye to an agent far away included. Who finds nobody goes elsewhere; who is told 503 does not.
#[test]
fn an_ingress_that_leaves_serves_all_whom_it_takes_in() {
    seeds(64, |seed| {
        let mut plan = Plan::calm();
        let latency = Duration::from_millis(100);
        plan.tunnel_links = LinkRules::fixed(LinkConfig { latency, ..LinkConfig::fast() });
        let mut stage = Stage::new(seed, plan);
        stage.expect_ready(Duration::from_secs(5));
        stage.world.drain(stage.ingress);
        for _ in 0..60 {
            let pause = stage.below(10_000);
            stage.world.run_for(Duration::from_micros(pause));
            stage.add_caller(vec![Ask::new(Request::get(HOST, "/bytes/100"))], |client| client);
        }
        stage.expect_answers(Duration::from_secs(30));
        judge_whoever_was_taken_in(&stage);
    });
}

/// The same where some of them are there at each moment, up to the end of its time.
#[test]
fn an_ingress_whose_time_is_over_has_served_all_whom_it_took_in() {
    seeds(4, |seed| {
        let mut plan = Plan::calm();
        plan.ingress.timeouts.drain = Duration::from_secs(8);
        let latency = Duration::from_millis(100);
        plan.tunnel_links = LinkRules::fixed(LinkConfig { latency, ..LinkConfig::fast() });
        let mut stage = Stage::new(seed, plan);
        stage.expect_ready(Duration::from_secs(5));
        let began = stage.world.now();
        while stage.world.life(stage.ingress) == Life::Running {
            stage.add_caller(vec![Ask::new(Request::get(HOST, "/bytes/100"))], |client| client);
            let pause = 1 + stage.below(100);
            stage.world.run_for(Duration::from_millis(pause));
            if stage.callers.len() == 1 {
                stage.world.drain(stage.ingress);
            }
        }
        // In the last second it takes in nobody.
        assert!(stage.world.now() - began >= Duration::from_secs(7), "callers were there");
        stage.expect_answers(Duration::from_secs(30));
        judge_whoever_was_taken_in(&stage);
    });
}

fn judge_whoever_was_taken_in(stage: &Stage) {
    for caller in &stage.callers {
        let response = &stage.responses(caller.node)[0];
        let weather = if response.head.is_empty() { Weather::Foul } else { Weather::Fair };
        caller.asks[0].judge(response, weather);
    }
}

#[test]
fn an_ingress_that_is_lost_is_found_again() {
    for death in [Death::Reset, Death::Vanish] {
        seeds(32, |seed| {
            let mut stage = Stage::new(seed, Plan::calm().with_agents(2));
            stage.expect_ready(Duration::from_secs(5));
            traffic(&mut stage, 2, 4, true);
            let wait = stage.below(1_000);
            stage.world.run_for(Duration::from_millis(wait));
            stage.world.kill(stage.ingress, death);
            let away = stage.below(60);
            stage.world.run_for(Duration::from_secs(away));
            stage.restart_ingress();
            stage.expect_ready(NOTICED + RECONNECTED + stage.plan.agent.timeouts.connect);
            stage.expect_endings();
            stage.judge(Weather::Foul);
            stage.probe();
            stage.expect_empty_after_drain();
        });
    }
}

#[test]
fn an_agent_without_an_ingress_tries_again_and_again_but_ever_more_rarely() {
    seeds(16, |seed| {
        let mut stage = Stage::new(seed, Plan::calm());
        stage.expect_ready(Duration::from_secs(5));
        stage.world.kill(stage.ingress, Death::Reset);
        let (agent, mut attempts) = (stage.agents[0], 0);
        let end = stage.world.elapsed() + Duration::from_secs(600);
        let mut was_dialling = false;
        while stage.world.elapsed() < end {
            stage.world.run_for(Duration::from_micros(50));
            let dialling = stage.world.app::<Agent>(agent).census().tunnels > 0;
            attempts += usize::from(dialling && !was_dialling);
            was_dialling = dialling;
        }
        assert!((20..80).contains(&attempts), "{attempts} attempts in ten minutes");
    });
}

#[test]
fn an_agent_that_may_give_up_leaves_when_it_was_without_a_tunnel_for_so_long() {
    for workers in [1, 2] {
        seeds(4, |seed| {
            let mut plan = Plan::calm().with_agent_workers(workers, 2);
            plan.agent.timeouts.give_up = Some(Duration::from_secs(120));
            let mut stage = Stage::new(seed, plan);
            let agent = stage.agents[0];
            stage.expect_ready(Duration::from_secs(5));
            stage.world.run_for(Duration::from_secs(300));
            // One that comes back in time is not left.
            stage.world.kill(stage.ingress, Death::Reset);
            stage.world.run_for(Duration::from_secs(80));
            stage.restart_ingress();
            stage.expect_ready(RECONNECTED);
            stage.world.kill(stage.ingress, Death::Reset);
            stage.world.run_for(Duration::from_secs(119));
            assert_eq!(stage.world.life(agent), Life::Running, "too early");
            stage.world.run_for(Duration::from_secs(3));
            assert_eq!(stage.world.life(agent), Life::Exited);
        });
    }
}

/// As when something on the way forgets the connection and says so to one end alone.
#[test]
fn what_was_under_way_on_a_tunnel_that_its_agent_lost_is_over_as_soon_as_the_agent_is_back() {
    seeds(32, |seed| {
        let mut stage = Stage::new(seed, Plan::calm());
        stage.expect_ready(Duration::from_secs(5));
        let slow = "/slow/2000";
        let get = stage.add_caller(vec![Ask::new(Request::get(HOST, slow))], |client| client);
        let post = Ask::new(Request::post(HOST, slow, b"once"));
        let post = stage.add_caller(vec![post], |client| client);
        stage.world.run_for(Duration::from_millis(500));
        let (ingress, agent) = (stage.ingress, stage.agents[0]);
        stage.world.strike(agent, ingress, Fault::HalfCut);
        let lost_at = stage.world.now();
        stage.expect_answers(Duration::from_secs(10));
        let (get, post) = (&stage.responses(get)[0], &stage.responses(post)[0]);
        assert!(get.is(200), "{get:?}");
        assert_eq!(post.header("x-mesh-error").as_deref(), Some("agent_lost"));
        let back = stage.plan.agent.timeouts.backoff_min + Duration::from_millis(100);
        let took = |response: &Response| response.ended_at.expect("it is over") - lost_at;
        assert!(took(post) <= back, "{:?}", took(post));
        assert!(took(get) <= back + Duration::from_secs(2), "{:?}", took(get));
        stage.expect_ready(Duration::from_secs(1));
        stage.expect_empty_after_drain();
    });
}

#[test]
fn a_process_that_sleeps_a_little_loses_nothing() {
    seeds(32, |seed| {
        let mut stage = Stage::new(seed, Plan::calm().with_agents(2));
        stage.expect_ready(Duration::from_secs(5));
        traffic(&mut stage, 3, 8, true);
        let sleeper = match stage.below(3) {
            0 => stage.ingress,
            1 => stage.agents[0],
            _ => stage.services[0],
        };
        let (wait, sleep) = (stage.below(1_000), stage.below(4_500));
        stage.world.run_for(Duration::from_millis(wait));
        stage.world.freeze(sleeper);
        stage.world.run_for(Duration::from_millis(sleep));
        stage.world.thaw(sleeper);
        stage.expect_answers(Duration::from_secs(60));
        stage.judge(Weather::Fair);
        stage.expect_empty_after_drain();
    });
}

#[test]
fn a_process_that_slept_long_finds_its_way_back() {
    seeds(32, |seed| {
        let mut stage = Stage::new(seed, Plan::calm().with_agents(1));
        stage.expect_ready(Duration::from_secs(5));
        traffic(&mut stage, 2, 4, true);
        let sleeper = if stage.below(2) == 0 { stage.ingress } else { stage.agents[0] };
        let (wait, sleep) = (stage.below(1_000), 30 + stage.below(300));
        stage.world.run_for(Duration::from_millis(wait));
        stage.world.freeze(sleeper);
        stage.world.run_for(Duration::from_secs(sleep));
        stage.world.thaw(sleeper);
        stage.world.run_for(Duration::from_secs(1));
        stage.expect_ready(NOTICED + RECONNECTED);
        stage.expect_endings();
        stage.judge(Weather::Foul);
        stage.probe();
        stage.expect_empty_after_drain();
    });
}

#[test]
fn a_process_that_wakes_gets_nothing_that_was_sent_elsewhere_meanwhile() {
    seeds(8, |seed| {
        let mut plan = Plan::calm().with_agents(2);
        plan.tunnel_links = LinkRules::fixed(LinkConfig::uplink());
        let mut stage = Stage::new(seed, plan);
        stage.expect_ready(Duration::from_secs(5));
        let sleeper = stage.agents[0];
        stage.world.run_for(Duration::from_millis(100));
        stage.world.freeze(sleeper);
        // More than the sleeper's kernel holds, and as much to do for the other one; behind it what
        // waits in the ingress.
        let post = |len| Ask::sending(Request::post(HOST, "/upload", &pattern(len)), pattern(len));
        for number in 0..48 {
            let ask = match number / 16 {
                0 => post(1_000_000),
                1 => Ask::new(Request::get(HOST, "/slow/20000")),
                _ => post(1_000),
            };
            stage.add_caller(vec![ask], |client| client);
            if number % 16 == 15 {
                stage.world.run_for(Duration::from_millis(20));
            }
        }
        let ingress = stage.ingress;
        let noticed = move |world: &World| census(world, ingress).tunnels == 1;
        stage.world.expect("the silence is noticed", noticed, NOTICED);
        let noticed_at = Some(stage.world.now());
        let wait = stage.below(5_000);
        stage.world.run_for(Duration::from_millis(wait));
        stage.world.thaw(sleeper);
        stage.expect_ready(RECONNECTED);
        stage.expect_answers(Duration::from_secs(60));
        stage.judge(Weather::Foul);
        let mut posts = stage.callers[32..].iter().flat_map(|caller| stage.responses(caller.node));
        let is_late = |one: &Response| one.is(200) && one.ended_at >= noticed_at;
        assert!(posts.any(is_late), "nothing waited");
        stage.expect_empty_after_drain();
    });
}

#[test]
fn an_unhealthy_service_gets_no_requests_and_a_healthy_one_gets_them_again() {
    seeds(32, |seed| {
        let mut stage = Stage::new(seed, Plan::calm().with_agents(2));
        stage.expect_ready(Duration::from_secs(5));
        let ingress = stage.ingress;
        let healthy = |count| move |world: &World| census(world, ingress).healthy == count;
        // The interval, a second look, and for silence two timeouts.
        let found_out = Duration::from_secs(22);
        let down = if seed % 2 == 0 { Health::Down } else { Health::Silent };
        stage.world.peer_mut::<HttpService>(stage.services[0]).health = down;
        stage.world.expect("one is unhealthy", healthy(1), found_out);
        let before = stage.world.peer::<HttpService>(stage.services[0]).served.len();
        traffic(&mut stage, 2, 5, true);
        stage.expect_answers(Duration::from_secs(5));
        stage.judge(Weather::Fair);
        let served = &stage.world.peer::<HttpService>(stage.services[0]).served[before..];
        assert!(served.iter().all(|one| one.line().contains("/health")), "{served:?}");

        stage.world.peer_mut::<HttpService>(stage.services[1]).health = down;
        stage.world.expect("none is healthy", healthy(0), found_out);
        let ask = Ask::new(Request::get(HOST, "/bytes/1"));
        let caller = stage.add_caller(vec![ask], |client| client);
        stage.expect_answers(Duration::from_secs(1));
        let response = stage.responses(caller)[0].clone();
        assert!(response.is(503) && response.header("retry-after").is_some(), "{response:?}");
        assert_eq!(response.header("x-mesh-error").as_deref(), Some("no_healthy_agent"));
        for service in stage.services.clone() {
            stage.world.peer_mut::<HttpService>(service).health = Health::Up;
        }
        stage.world.expect("both are healthy", healthy(2), found_out);
        stage.probe();
        stage.expect_empty_after_drain();
    });
}

/// What the first agent's `/health` says.
pub(crate) fn agent_health(stage: &mut Stage, name: &str) -> String {
    let request = b"GET /health HTTP/1.1\r\nHost: agent\r\n\r\n";
    let visitor = stage.world.add_peer(name, RawClient::new("agent0:8081", request), &[]);
    let answered = move |world: &World| world.peer::<RawClient>(visitor).end.is_some();
    stage.world.expect("a page", answered, Duration::from_secs(5));
    String::from_utf8_lossy(&stage.world.peer::<RawClient>(visitor).answer).into_owned()
}

#[test]
fn an_agent_that_is_asked_to_move_does_not_blame_what_failed_before() {
    seeds(16, |seed| {
        let mut plan = Plan::calm();
        plan.agent.limits.tunnels = 2;
        let mut stage = Stage::new(seed, plan);
        let ingress = stage.ingress;
        let registered = move |world: &World| census(world, ingress).tunnels == 1;
        stage.world.expect("it is registered", registered, Duration::from_secs(5));
        stage.world.set_answer(TUNNEL_ADDRESS, Answer::Refuse);
        // The second tunnel is refused, and then nothing fails for a while.
        stage.world.run_for(Duration::from_secs(90));
        stage.world.set_answer(TUNNEL_ADDRESS, Answer::Ignore);
        stage.world.run_for(Duration::from_secs(1));
        stage.world.drain(ingress);
        stage.world.run_for(Duration::from_millis(5));
        let page = agent_health(&mut stage, "visitor");
        assert!(page.contains("503") && page.contains("asks this agent to move"), "{page}");
    });
}

#[test]
fn those_who_ask_an_agent_nothing_keep_nobody_from_asking() {
    seeds(8, |seed| {
        let mut stage = Stage::new(seed, Plan::calm());
        stage.expect_ready(Duration::from_secs(5));
        let silent = |_| RawClient::new("agent0:8081", b"");
        for client in (0..16).map(silent) {
            stage.world.add_peer("silent", client, &[]);
        }
        stage.world.run_for(Duration::from_secs(1));
        let request = "GET /health HTTP/1.1\r\nHost: agent\r\n\r\n";
        let page = answer(&mut stage, "agent0:8081", request);
        assert!(page.text.starts_with("HTTP/1.1 200 OK\r\n"), "{}", page.text);
    });
}

#[test]
fn an_agent_that_was_refused_says_so_no_longer_than_that_is_why() {
    seeds(8, |seed| {
        let mut plan = Plan::calm();
        plan.ingress.admission = Admission::Loopback;
        let mut stage = Stage::new(seed, plan);
        stage.world.run_for(Duration::from_secs(10));
        let page = agent_health(&mut stage, "first");
        assert!(page.contains("the ingress refused this agent"), "{page}");
        stage.world.kill(stage.ingress, Death::Reset);
        stage.world.run_for(Duration::from_secs(31));
        let page = agent_health(&mut stage, "second");
        assert!(page.contains("no tunnel to ingress:8082: "), "{page}");
        assert!(!page.contains("refused this agent"), "{page}");
    });
}
