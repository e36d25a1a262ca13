use mesh_ingress::identity::StsRequest;
use mesh_ingress::jobs::{Answer, Failure, Job};
use mesh_protocol::{Conns, Duplex};

use super::Aws;

/// Which is no sign that STS can be reached.
#[test]
fn sts_is_not_asked_about_an_old_proof() {
    let aws = Aws::new(Some("http://127.0.0.1:9".to_owned()), None).unwrap();
    let conn = Conns::new().insert(Duplex::new(0), ());
    let host = "sts.eu-central-1.amazonaws.com".to_owned();
    let request = StsRequest { host, headers: Vec::new(), body: "" };
    let answer = aws.do_job(Job::Identify { conn, request, date: "20200101T000000Z".to_owned() });
    let Answer::Identified { outcome, .. } = answer else { panic!("about STS: {answer:?}") };
    assert!(matches!(outcome, Err(Failure::StaleProof(_))), "{outcome:?}");
}
