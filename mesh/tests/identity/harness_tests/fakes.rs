//! The fake servers, asked by hand.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::aws::botocore::{STS_BODY, Unsigned};
use crate::aws::moto::Moto;
use crate::fakes::clock;
use crate::fakes::proxy::{Outage, Proxy};
use crate::fakes::server::{Fake, Reply};
use crate::fakes::sts;
use crate::peers::caller::{Cut, Response, try_ask};
use crate::peers::wire::{End, Wire};

const ARN: &str = "arn:aws:sts::123456789012:assumed-role/mesh-agent/0123456789abcdef";

fn post(address: SocketAddr) -> Result<Response, Cut> {
    let length = STS_BODY.len();
    let head = format!("POST / HTTP/1.1\r\nHost: sts.amazonaws.com\r\nContent-Length: {length}");
    try_ask(address, format!("{head}\r\n\r\n{STS_BODY}"))
}

#[test]
fn a_scripted_sts_says_one_thing_after_the_other() {
    let elsewhere = sts::scripted(vec![sts::identity(ARN)]);
    let sts = sts::scripted(vec![
        sts::identity(ARN),
        sts::refusal(403, "SignatureDoesNotMatch", "no"),
        sts::throttle(),
        sts::broken(),
        sts::page(ARN),
        sts::redirect(&elsewhere.url()),
    ]);
    let good = post(sts.address).unwrap();
    assert_eq!((good.status, good.text()), (200, sts::identity_xml(ARN)));
    let statuses = [403, 503, 500, 200, 307, 307];
    assert_eq!([(); 6].map(|()| post(sts.address).unwrap().status), statuses);
    assert_eq!(sts.count("GetCallerIdentity"), 7);
    let first = &sts.seen()[0];
    assert_eq!((first.method(), first.path()), ("POST", "/"));
    assert_eq!(first.field("HOST"), Some("sts.amazonaws.com"));
    assert!(first.bytes().ends_with(STS_BODY.as_bytes()));
    assert_eq!(elsewhere.seen().len(), 0);
}

#[test]
fn answers_can_be_too_large_torn_and_missing() {
    let large = sts::scripted(vec![sts::large(ARN, 1 << 20)]);
    assert!(post(large.address).unwrap().body.len() > 1 << 20);

    let torn = sts::scripted(vec![sts::torn(ARN)]);
    assert_eq!(post(torn.address).unwrap_err(), Cut::Short(End::Closed));

    let closing = sts::scripted(vec![Reply::Close]);
    assert!(matches!(post(closing.address), Err(Cut::Unanswered(_))));

    let endless = sts::scripted(vec![sts::endless(ARN)]);
    let mut wire = Wire::connect(endless.address);
    wire.send("GET / HTTP/1.1\r\n\r\n");
    wire.wait(|bytes| (bytes.len() > 1 << 20).then_some(())).unwrap();

    let silent = sts::scripted(vec![Reply::Silence]);
    let mut wire = Wire::connect(silent.address);
    wire.send("GET / HTTP/1.1\r\n\r\n");
    assert!(wire.is_quiet_for(Duration::from_millis(200)));
}

#[test]
fn a_slow_answer_comes_byte_by_byte() {
    let slow = sts::scripted(vec![sts::slow(ARN, Duration::from_millis(1))]);
    let begun = Instant::now();
    assert_eq!(post(slow.address).unwrap().text(), sts::identity_xml(ARN));
    assert!(begun.elapsed() > Duration::from_millis(sts::identity_xml(ARN).len() as u64));
}

#[test]
fn every_forgery_has_the_arn_in_it() {
    let forgeries = sts::forgeries(ARN);
    assert!(forgeries.len() > 8);
    for (name, reply) in forgeries {
        let forging = sts::scripted(vec![reply]);
        assert!(post(forging.address).unwrap().text().contains(ARN), "{name}");
    }
}

#[test]
fn a_proxy_before_moto_counts_delays_breaks_and_overrules() {
    let Some(moto) = Moto::shared() else { return };
    let proxy = Proxy::before(moto.address);
    assert_ne!(proxy.url(), moto.url());
    let region = &moto.seed.region;
    let signed = Unsigned::sts(region, &[]).sign(moto.user("agent")).unwrap();
    let send = || signed.send(proxy.fake.address);
    assert_eq!(send().status, 200);

    proxy.delay(Duration::from_millis(300));
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| assert_eq!(send().status, 200));
        }
    });
    assert!(begun.elapsed() >= Duration::from_millis(300));
    assert_eq!(proxy.fake.busiest(), 3);
    proxy.fake.wait_count("GetCallerIdentity", 4);

    proxy.delay(Duration::ZERO);
    proxy.outage(Some(Outage::Unavailable));
    assert_eq!(send().status, 503);
    proxy.outage(Some(Outage::Close));
    assert!(post(proxy.fake.address).is_err());
    proxy.outage(Some(Outage::Silence));
    let mut wire = Wire::connect(proxy.fake.address);
    wire.send("POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n");
    assert!(wire.is_quiet_for(Duration::from_millis(200)));

    proxy.outage(None);
    proxy.overrule(|request| {
        let body = json!({ "tasks": [], "failures": [] });
        (request.action() == "DescribeTasks").then(|| Reply::json(200, &body))
    });
    let ecs = Unsigned::ecs(region, "DescribeTasks", &json!({})).sign(moto.user("ingress"));
    assert_eq!(ecs.unwrap().send(proxy.fake.address).text(), r#"{"failures":[],"tasks":[]}"#);
    assert_eq!(send().status, 200, "everything else is moto's");
}

#[test]
fn times_are_written_as_aws_does() {
    assert_eq!(clock::iso(0), "1970-01-01T00:00:00Z");
    assert_eq!(clock::iso(951_782_399), "2000-02-28T23:59:59Z");
    assert_eq!(clock::iso(951_782_400), "2000-02-29T00:00:00Z");
    assert_eq!(clock::iso(1_798_761_599), "2026-12-31T23:59:59Z");
    assert!(clock::from_now(Duration::from_secs(3600)) > clock::from_now(Duration::ZERO));
}

#[test]
fn an_address_is_free_when_its_fake_is_gone() {
    let fake = sts::scripted(vec![sts::broken()]);
    let address = fake.address;
    drop(fake);
    drop(Fake::start_at(address, |_| sts::broken()));
}
