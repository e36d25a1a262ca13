use std::net::SocketAddr;

use super::known_without_asking;

fn check(host: &str, expected: &[&str]) {
    let expected: Vec<SocketAddr> =
        expected.iter().map(|address| address.parse().unwrap()).collect();
    let known = known_without_asking(host, 80).unwrap_or_default();
    assert_eq!(known, expected, "{host}");
}

#[test]
fn addresses_and_localhost_need_no_name_server() {
    check("192.0.2.7", &["192.0.2.7:80"]);
    check("2001:db8::7", &["[2001:db8::7]:80"]);
    check("localhost", &["127.0.0.1:80", "[::1]:80"]);
    check("LocalHost", &["127.0.0.1:80", "[::1]:80"]);
}

#[test]
fn names_need_one() {
    check("localhost.example.com", &[]);
    check("mesh.test", &[]);
    check("", &[]);
}
