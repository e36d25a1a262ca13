//! All agents come back at once while STS is slow: all are decided about, AWS is asked no faster
//! than it should be, and callers do not notice.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use mesh_aws::{Credentials, Source, Statement, prove};
use mesh_protocol::proof;
use serde_json::{Value, json};

use crate::aws::moto::Moto;
use crate::aws::seed::Identity;
use crate::fakes::proxy::Proxy;
use crate::peers::process::Server;
use crate::peers::service::Service;
use crate::raw::{Challenged, PROOF, outcome};
use crate::stage::{REGION, client, get, strict};

const AGENTS: usize = 200;
const STS_TAKES: Duration = Duration::from_millis(300);
/// Threads on which the ingress asks.
const QUESTIONS_AT_ONCE_MAX: usize = 16;

#[test]
fn many_agents_at_once_do_not_slow_callers_down() {
    let Some(moto) = Moto::shared() else { return };
    let proxy = Proxy::before(moto.address);
    let rules = format!("rules:\n- account: '{}'\n  hosts: ['*']\n", moto.seed.account);
    let words = ["--registration-timeout", "60"];
    let server = strict(moto.user("ingress"), &proxy.url(), &rules, &words);
    let service = Service::start("a");
    let session = moto.session("operator");
    let host = ["--host", "shop.example.com"];
    let _agent = client(&proxy.url(), &server, &service, &session.variables(), &host);
    server.wait_available(1);
    let (calm, _) = ask_until(&server, &AtomicBool::new(true));

    let identity = moto.user("agent");
    let mut agents: Vec<Challenged> = (0..AGENTS)
        .map(|number| Challenged::at(server.tunnels, &format!("a{number}.example.org")))
        .collect();
    let proofs: Vec<Value> = agents.iter().map(|agent| sign(agent, identity)).collect();
    proxy.delay(STS_TAKES);
    let is_over = AtomicBool::new(false);
    let ((busy, meanwhile), took) = std::thread::scope(|scope| {
        let caller = scope.spawn(|| ask_until(&server, &is_over));
        let begun = Instant::now();
        for (agent, proof) in agents.iter_mut().zip(&proofs) {
            agent.agent.send(PROOF, 0, 0, proof.to_string().as_bytes());
        }
        let decided: Vec<_> = agents.into_iter().map(|agent| outcome(agent.agent)).collect();
        let took = begun.elapsed();
        is_over.store(true, Ordering::SeqCst);
        let refused: Vec<_> = decided.iter().filter_map(|outcome| outcome.as_ref().err()).collect();
        assert!(refused.is_empty(), "{refused:?}");
        (caller.join().unwrap(), took)
    });
    let busiest = proxy.fake.busiest();
    assert!((2..=QUESTIONS_AT_ONCE_MAX).contains(&busiest), "{busiest} questions at once");
    assert_eq!(server.metric("mesh_registrations_total", "iam"), 1 + AGENTS as u64);
    assert_eq!(server.metric("mesh_identity_jobs", ""), 0);
    // STS alone took so long; callers were served meanwhile, and none of them waited for it.
    assert!(took >= STS_TAKES * u32::try_from(AGENTS / QUESTIONS_AT_ONCE_MAX).unwrap());
    assert!(meanwhile >= 20, "{meanwhile} requests within {took:?}");
    let [median_calm, median_busy] = [&calm, &busy].map(|times| times[times.len() / 2]);
    let last_busy = busy[busy.len() * 99 / 100];
    assert!(median_busy < median_calm * 20 + Duration::from_millis(100), "{median_busy:?}");
    assert!(last_busy < Duration::from_secs(2), "{last_busy:?}");
}

/// How long requests take, shortest first, until told that it is over; some at least. And how many of
/// them were answered before.
fn ask_until(server: &Server, is_over: &AtomicBool) -> (Vec<Duration>, usize) {
    let (mut times, mut before) = (Vec::new(), 0);
    while times.len() < 50 || !is_over.load(Ordering::SeqCst) {
        let begun = Instant::now();
        assert_eq!(get(server, "shop.example.com").status, 200);
        times.push(begun.elapsed());
        before += usize::from(!is_over.load(Ordering::SeqCst));
        std::thread::sleep(Duration::from_millis(5));
    }
    times.sort_unstable();
    (times, before)
}

/// As an agent does it: botocore would take a process for each.
fn sign(agent: &Challenged, identity: &Identity) -> Value {
    let Identity { access_key_id, secret_access_key, .. } = identity;
    let source = Source::Environment;
    let credentials =
        Credentials::new(access_key_id, secret_access_key, None, None, source).unwrap();
    let statement = Statement {
        host: &format!("sts.{REGION}.amazonaws.com"),
        region: REGION,
        content_type: proof::STS_CONTENT_TYPE,
        body: proof::STS_BODY,
        binding: &[
            (proof::HELLO_HEADER, &agent.hello),
            (proof::NONCE_HEADER, &agent.nonce),
            (proof::SERVER_ID_HEADER, &agent.server_id),
        ],
    };
    let proof = prove(&credentials, statement, SystemTime::now()).unwrap();
    json!({
        "method": "iam",
        "host": proof.host,
        "region": proof.region,
        "access_key_id": proof.access_key_id,
        "date": proof.date,
        "signature": proof.signature,
    })
}
