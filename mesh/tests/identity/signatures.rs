//! Our signatures are botocore's, to the digit: for the vectors in the tests of `core/aws`, and for
//! keys, regions and times of now.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mesh_aws::{Credentials, Source, Statement, prove};
use mesh_protocol::proof;

use crate::aws::botocore::Unsigned;
use crate::aws::moto::Moto;
use crate::aws::python;
use crate::aws::seed::Identity;
use crate::raw::proof_of;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn the_vectors_of_the_crate_for_aws_are_what_botocore_makes() {
    let Some(known) = python::script("sign.py") else { return };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../core/aws/tests/with_botocore.py");
    let made = python::ask(Command::new(known.get_program()).args(["-I", script]), "");
    let made: BTreeMap<_, _> = made.lines().filter_map(|line| line.split_once(' ')).collect();
    let tests = [
        ("sts-proof", "core/aws/src/sts/proof/tests.rs"),
        ("ecs-describe-tasks", "core/aws/src/ecs/tests.rs"),
    ];
    for (name, test) in tests {
        assert_eq!(made[name].len(), 64);
        assert!(read(test).contains(made[name]), "{test} does not expect {}", made[name]);
    }
}

#[test]
fn an_agent_signs_as_botocore_does() {
    let Some(moto) = Moto::shared() else { return };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let odd = Identity { session_token: Some("tok/en+1==".to_owned()), ..Identity::unknown() };
    let identities = [moto.user("agent"), moto.session("operator"), &odd];
    let regions = ["eu-central-1", "us-gov-west-1", "ap-southeast-7"];
    for (index, identity) in identities.into_iter().enumerate() {
        let (region, time) = (regions[index], now - index as u64);
        let binding = [
            (proof::SERVER_ID_HEADER, "mesh.example.com"),
            (proof::NONCE_HEADER, "0123456789abcdef0123456789abcdef"),
            (proof::HELLO_HEADER, "ab"),
        ];
        let mut unsigned = Unsigned::sts(region, &binding);
        unsigned.time = Some(time);
        let host = unsigned.host.clone();
        let expected = proof_of(unsigned, identity);
        let Identity { access_key_id, secret_access_key, session_token, .. } = identity;
        let (token, source) = (session_token.as_deref(), Source::Environment);
        let credentials =
            Credentials::new(access_key_id, secret_access_key, token, None, source).unwrap();
        let (content_type, body) = (proof::STS_CONTENT_TYPE, proof::STS_BODY);
        let statement = Statement { host: &host, region, content_type, body, binding: &binding };
        let made = prove(&credentials, statement, UNIX_EPOCH + Duration::from_secs(time)).unwrap();
        assert_eq!(made.signature, expected["signature"], "{region}");
        assert_eq!(made.date, expected["date"]);
    }
}
