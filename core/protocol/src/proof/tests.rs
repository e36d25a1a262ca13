use ring::hmac;

use super::{Binding, digest_hello, token_id};
use crate::control::TokenProof;

const TOKEN: &str = "correct horse battery staple";
const BINDING: Binding<'_> = Binding { server_id: "mesh.example.com", nonce: "n", hello: "h" };

fn key(token: &str) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, token.as_bytes())
}

/// Computed with `printf 'mesh.v1 token\nmesh.example.com\nn\nh' | openssl dgst -sha256 -hmac ..`
/// and `printf .. | sha256sum`.
#[test]
fn proofs_are_what_other_programs_compute() {
    let proof = TokenProof::make(TOKEN, &BINDING);
    assert_eq!(proof.id, "4982721e774eb239");
    assert_eq!(proof.mac, "021e190489f72e21de7f91b9d2db46b86c817f971396d3572a27c25e765b100b");
    assert_eq!(
        digest_hello(b"{}"),
        "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    );
}

#[test]
fn a_proof_is_good_for_its_token_and_its_binding_only() {
    let proof = TokenProof::make(TOKEN, &BINDING);
    assert!(proof.is_by(&key(TOKEN), &BINDING));
    assert!(!proof.is_by(&key("another token"), &BINDING));
    let others = [
        Binding { server_id: "other.example.com", ..BINDING },
        Binding { nonce: "m", ..BINDING },
        Binding { hello: "g", ..BINDING },
    ];
    for other in others {
        assert!(!proof.is_by(&key(TOKEN), &other), "{other:?}");
    }
}

#[test]
fn a_mac_that_is_none_proves_nothing() {
    let good = TokenProof::make(TOKEN, &BINDING);
    let upper = good.mac.to_uppercase();
    for mac in ["", "00", "zz", &good.mac[1..], &good.mac[2..], &upper] {
        let proof = TokenProof { mac: mac.to_owned(), ..good.clone() };
        assert!(!proof.is_by(&key(TOKEN), &BINDING), "{mac:?}");
    }
}

#[test]
fn the_id_of_a_token_is_no_part_of_it() {
    assert_eq!(token_id(TOKEN).len(), 16);
    assert_ne!(token_id(TOKEN), token_id("another token"));
}
