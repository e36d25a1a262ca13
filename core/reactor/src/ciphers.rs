//! Which ciphers TLS may use, and which of them first.

use rustls::SupportedCipherSuite;
use rustls::crypto::{CryptoProvider, ring};

use ring::cipher_suite as suite;

/// What is the cheapest with a processor that knows AES: ten rounds for each block, not fourteen.
const AES_128: [SupportedCipherSuite; 3] = [
    suite::TLS13_AES_128_GCM_SHA256,
    suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
];

/// What needs no help of the processor.
const CHACHA20: [SupportedCipherSuite; 3] = [
    suite::TLS13_CHACHA20_POLY1305_SHA256,
    suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
];

/// All ciphers that rustls has with ring, the cheapest first: AES with 128 bits, as browsers and Go
/// prefer it too (decision 0056); or `ChaCha20` on machines whose processor does not know AES, as that
/// of a Raspberry Pi 4. As a server we follow the client's order.
pub(crate) fn provider() -> CryptoProvider {
    ordered(knows_aes())
}

fn ordered(knows_aes: bool) -> CryptoProvider {
    let mut provider = ring::default_provider();
    let first = if knows_aes { AES_128 } else { CHACHA20 };
    provider.cipher_suites.sort_by_key(|suite| !first.contains(suite));
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

    /// What `found` consists of: all that rustls has, each once.
    fn assert_complete(mut found: Vec<String>) {
        let mut usual = names(&ring::default_provider());
        found.sort();
        usual.sort();
        assert_eq!(found, usual);
    }

    #[test]
    fn machines_that_know_aes_ask_for_128_bits_first_and_nothing_is_lost() {
        let found = names(&ordered(true));
        assert!(found[..3].iter().all(|name| name.contains("AES_128_GCM")), "{found:?}");
        assert_eq!(found[0], "TLS13_AES_128_GCM_SHA256");
        assert_complete(found);
    }

    #[test]
    fn without_aes_chacha20_comes_first_and_nothing_is_lost() {
        let found = names(&ordered(false));
        assert!(found[..3].iter().all(|name| name.contains("CHACHA20")), "{found:?}");
        assert_eq!(found[3], "TLS13_AES_256_GCM_SHA384");
        assert_complete(found);
    }
}
