use std::time::Duration;

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustls::pki_types::UnixTime;

use super::{IdentityError, IdentityPart, TlsIdentity, Validity, dns_names};

/// A certificate for these names, good throughout January 2030, and its key.
fn certificate(names: &[&str]) -> (rcgen::Certificate, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.not_before = date_time_ymd(2030, 1, 1);
    params.not_after = date_time_ymd(2030, 2, 1);
    (params.self_signed(&key).unwrap(), key)
}

fn refused(certificates: &str, key: &str) -> (IdentityPart, String) {
    let error = TlsIdentity::from_pem(certificates.as_bytes(), key.as_bytes()).unwrap_err();
    (error.part(), error.to_string())
}

/// Keys of the same certificate in the forms in which programs write them.
const FORMS: [(&str, &str); 4] = [
    ("PKCS #8", include_str!("tests/pkcs8.pem")),
    ("PKCS #1", include_str!("tests/pkcs1.pem")),
    ("PKCS #8 locked", include_str!("tests/pkcs8-locked.pem")),
    ("PKCS #1 locked", include_str!("tests/pkcs1-locked.pem")),
];
const RSA: &str = include_str!("tests/rsa.pem");
const SEC1: &str = include_str!("tests/sec1.pem");
const EC: &str = include_str!("tests/ec.pem");

#[test]
fn keys_are_read_in_each_form() {
    for (form, key) in FORMS {
        let outcome = TlsIdentity::from_pem(RSA.as_bytes(), key.as_bytes());
        if form.ends_with("locked") {
            assert!(matches!(outcome, Err(IdentityError::EncryptedKey)), "{form}: {outcome:?}");
        } else {
            outcome.unwrap_or_else(|error| panic!("{form}: {error}"));
        }
    }
    TlsIdentity::from_pem(EC.as_bytes(), SEC1.as_bytes()).unwrap();
    let (certificate, key) = certificate(&["mesh.test"]);
    let both = certificate.pem() + &key.serialize_pem();
    TlsIdentity::from_pem(both.as_bytes(), both.as_bytes()).expect("one file for both");
}

#[test]
fn what_is_of_no_use_is_refused_in_words_that_name_the_file() {
    let (certificate, key) = certificate(&["mesh.test"]);
    let (certificate, key) = (certificate.pem(), key.serialize_pem());
    let other = KeyPair::generate().unwrap().serialize_pem();
    let cut = |pem: &str| pem[..pem.len() / 2].to_owned();
    let rubbish = |label: &str| format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n");
    let (by_certificate, by_key) = (IdentityPart::Certificates, IdentityPart::Key);
    let cases = [
        ("", &*key, by_certificate, "the file holds no certificate"),
        (&key, &key, by_certificate, "the file holds no certificate"),
        (
            &cut(&certificate),
            &key,
            by_certificate,
            "not a PEM file: its section CERTIFICATE has no end",
        ),
        (&rubbish("CERTIFICATE"), &key, by_certificate, "the certificate cannot be used"),
        (&certificate, "", by_key, "the file holds no private key"),
        (&certificate, &certificate, by_key, "the file holds no private key"),
        (&certificate, &cut(&key), by_key, "not a PEM file: its section PRIVATE KEY has no end"),
        (
            "-----BEGIN \u{7}\n",
            &key,
            by_certificate,
            "not a PEM file: no section begins like -----BEGIN \\u{7}",
        ),
        (&certificate, &rubbish("PRIVATE KEY"), by_key, "the private key cannot be used"),
        (&certificate, &other, by_key, "the private key belongs to another certificate"),
    ];
    for (certificate, key, part, expected) in cases {
        let (blamed, words) = refused(certificate, key);
        assert_eq!(blamed, part, "{words}");
        assert!(words.starts_with(expected), "{words} instead of {expected}");
    }
    let (_, words) = refused(RSA, FORMS[2].1);
    assert!(words.contains("locked with a password"), "{words}");
}

#[test]
fn the_end_of_a_certificate_is_seen_coming() {
    let (certificate, key) = certificate(&["mesh.test"]);
    let identity =
        TlsIdentity::from_pem(certificate.pem().as_bytes(), key.serialize_pem().as_bytes());
    let identity = identity.unwrap();
    let at = |year, month, day| {
        let seconds = date_time_ymd(year, month, day).unix_timestamp();
        let since = Duration::from_secs(u64::try_from(seconds).unwrap());
        identity.validity_at(UnixTime::since_unix_epoch(since))
    };
    assert_eq!(at(2029, 12, 31), Validity::NotYetValid);
    assert_eq!(at(2030, 1, 2), Validity::Good);
    assert_eq!(at(2030, 1, 22), Validity::Ending(Duration::from_secs(10 * 24 * 3600)));
    assert_eq!(at(2030, 2, 2), Validity::Expired);
    assert_eq!(identity.validity(), Validity::NotYetValid);
}

#[test]
fn names_are_those_of_dns_in_lower_case() {
    let (certificate, _) = certificate(&["Edge.Example.com", "*.edge.example.com", "127.0.0.1"]);
    assert_eq!(*dns_names(certificate.der()), ["edge.example.com", "*.edge.example.com"]);
    let (nameless, _) = self::certificate(&[]);
    assert!(dns_names(nameless.der()).is_empty());
    assert!(dns_names(b"rubbish").is_empty());
}
