//! What an agent proves its identity with, as far as both sides have to agree on it.
//!
//! A proof is good for one registration on one connection to one ingress: everything signed names
//! the ingress ([`Binding::server_id`]), the connection ([`Binding::nonce`], used once) and the
//! very HELLO it stands behind ([`Binding::hello`]). A proof that somebody overhears or is sent by
//! mistake proves nothing anywhere else.
//!
//! **IAM.** The agent signs an STS `GetCallerIdentity` request with its credentials (Signature
//! Version 4) and tells no more of it than the ingress cannot know. The ingress builds the request
//! itself and sends it to STS:
//!
//! ```text
//! POST / HTTP/1.1
//! content-type: application/x-www-form-urlencoded; charset=utf-8
//! host: sts.REGION.amazonaws.com
//! x-amz-date: 20261120T161426Z
//! x-amz-security-token: (with temporary credentials)
//! x-mesh-hello: (the digest of HELLO)
//! x-mesh-nonce: (the nonce of CHALLENGE)
//! x-mesh-server-id: (the server id of CHALLENGE)
//!
//! Action=GetCallerIdentity&Version=2011-06-15
//! ```
//!
//! All of these fields are signed, and there are no others. STS verifies the signature; the
//! agent's secret key never leaves its host.
//!
//! **Token.** The agent shows that it knows the token without saying it: an HMAC over the binding.

use data_encoding::HEXLOWER;
use ring::{digest, hmac};

use crate::control::TokenProof;

/// The body of the STS request.
pub const STS_BODY: &str = "Action=GetCallerIdentity&Version=2011-06-15";
/// Its content type.
pub const STS_CONTENT_TYPE: &str = "application/x-www-form-urlencoded; charset=utf-8";
/// The signed field that names the ingress.
pub const SERVER_ID_HEADER: &str = "x-mesh-server-id";
/// The signed field with the nonce.
pub const NONCE_HEADER: &str = "x-mesh-nonce";
/// The signed field with the digest of HELLO.
pub const HELLO_HEADER: &str = "x-mesh-hello";
/// The method of CHALLENGE and PROOF for IAM.
pub const IAM: &str = "iam";
/// The method of CHALLENGE and PROOF for tokens.
pub const TOKEN: &str = "token";

/// Tokens with fewer characters can be guessed; `openssl rand -hex 32` gives 64.
pub const TOKEN_BYTES_MIN: usize = 16;
/// Nobody needs longer ones, and a file that is no token file is noticed.
pub const TOKEN_BYTES_MAX: usize = 1024;

/// What a proof is bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binding<'a> {
    /// The ingress's name, as agents dial it.
    pub server_id: &'a str,
    /// The connection's nonce.
    pub nonce: &'a str,
    /// The digest of HELLO's payload, by [`digest_hello`].
    pub hello: &'a str,
}

/// The digest of HELLO's payload: SHA-256 in lower-case hexadecimal.
#[must_use]
pub fn digest_hello(payload: &[u8]) -> String {
    HEXLOWER.encode(digest::digest(&digest::SHA256, payload).as_ref())
}

/// What a token is looked up by. It tells nothing of a token that cannot be guessed.
#[must_use]
pub fn token_id(token: &str) -> String {
    let digest = digest::digest(&digest::SHA256, format!("mesh.v1 token id\n{token}").as_bytes());
    HEXLOWER.encode(&digest.as_ref()[..8])
}

impl TokenProof {
    /// Shows knowledge of `token`.
    #[must_use]
    pub fn make(token: &str, binding: &Binding<'_>) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, token.as_bytes());
        let mac = hmac::sign(&key, message(binding).as_bytes());
        Self { id: token_id(token), mac: HEXLOWER.encode(mac.as_ref()) }
    }

    /// Whether whoever made this knows the token that `key` is of. Takes the same time whatever
    /// is wrong with the code.
    #[must_use]
    pub fn is_by(&self, key: &hmac::Key, binding: &Binding<'_>) -> bool {
        let Ok(mac) = HEXLOWER.decode(self.mac.as_bytes()) else { return false };
        hmac::verify(key, message(binding).as_bytes(), &mac).is_ok()
    }
}

fn message(Binding { server_id, nonce, hello }: &Binding<'_>) -> String {
    format!("mesh.v1 token\n{server_id}\n{nonce}\n{hello}")
}

#[cfg(test)]
mod tests;
