//! Which ciphers TLS may use, and which of them first.

use rustls::SupportedCipherSuite;
use rustls::crypto::{CryptoProvider, ring};

use ring::cipher_suite as suite;

/// What needs no help of the processor.
const CHACHA20: [SupportedCipherSuite; 3] = [
    suite::TLS13_CHACHA20_POLY1305_SHA256,
    suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
];

/// All ciphers that rustls has with ring, in its order; but `ChaCha20` first on machines whose
/// processor does not know AES, as that of a Raspberry Pi 4, where it is much the cheaper one. As a
/// server we follow the client's order.
pub(crate) fn provider() -> CryptoProvider {
    ordered(knows_aes())
}

fn ordered(knows_aes: bool) -> CryptoProvider {
    let mut provider = ring::default_provider();
    if !knows_aes {
        provider.cipher_suites.sort_by_key(|suite| !CHACHA20.contains(suite));
    }
    provider
}

/// Whether the processor has instructions for AES and for the multiplication that GCM needs.
fn knows_aes() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("aes") && is_x86_feature_detected!("pclmulqdq");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("aes");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    return false;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(provider: &CryptoProvider) -> Vec<String> {
        provider.cipher_suites.iter().map(|suite| format!("{:?}", suite.suite())).collect()
    }

    #[test]
    fn machines_that_know_aes_keep_the_usual_order() {
        assert_eq!(names(&ordered(true)), names(&ring::default_provider()));
    }

    #[test]
    fn without_aes_chacha20_comes_first_and_nothing_is_lost() {
        let found = names(&ordered(false));
        assert!(found[..3].iter().all(|name| name.contains("CHACHA20")), "{found:?}");
        assert_eq!(found[3], "TLS13_AES_256_GCM_SHA384");
        let [mut found, mut usual] = [found, names(&ring::default_provider())];
        found.sort();
        usual.sort();
        assert_eq!(found, usual);
    }
}
