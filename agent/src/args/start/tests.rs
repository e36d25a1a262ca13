use std::sync::{Arc, mpsc};

use mesh_protocol::{Conns, Duplex, proof};

use super::prove_and_ask;
use crate::args::prover::{Prover, TokenSource};
use crate::identity::{Answer, Job, Place, Question};

#[test]
fn a_proof_does_not_wait_for_whoever_is_to_know_where_the_agent_is() {
    let token = Some(TokenSource::Variable("edge-1-".repeat(5)));
    let (aws, given) = (Err("there is none".to_owned()), Place::default());
    // Nobody takes from it: who should is held up by a question.
    let (asks, asked) = mpsc::sync_channel(1);
    let work = prove_and_ask(Arc::new(Prover { token, aws, given }), asks);
    let conn = Conns::new().insert(Duplex::new(1), ());
    for _ in 0..3 {
        let (server_id, nonce, digest) = Default::default();
        let methods = vec![proof::TOKEN.to_owned()];
        let question = Question { server_id, nonce, digest, methods };
        let answer = work(Job::Prove { conn, question, anew: false });
        assert!(matches!(answer, Answer::Proved { outcome: Ok(_), .. }), "{answer:?}");
    }
    assert_eq!(asked.try_iter().count(), 1, "one question is enough for all");
}
