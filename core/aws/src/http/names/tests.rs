use std::time::Duration;

use ureq::Agent;
use ureq::Timeout;
use ureq::unversioned::transport::time;

use super::*;

/// Threads of a size that no system has room for.
fn without_threads() -> Names {
    Names { stack_bytes: usize::MAX / 4, ..Names::new() }
}

fn ask(names: &Names, url: &str) -> Result<Vec<SocketAddr>, ureq::Error> {
    let after = time::Duration::from_secs(15);
    let timeout = NextTimeout { after, reason: Timeout::Resolve, ..NextTimeout::default() };
    let agent = Agent::new_with_defaults();
    names.resolve(&url.parse().unwrap(), agent.config(), timeout).map(|found| found.to_vec())
}

#[test]
fn an_address_needs_no_thread() {
    for (url, address) in [
        ("http://169.254.170.2/v2/credentials", "169.254.170.2:80"),
        ("http://127.0.0.1:51678/v1/metadata", "127.0.0.1:51678"),
        ("https://[fd00:ec2::254]/latest", "[fd00:ec2::254]:443"),
    ] {
        assert_eq!(ask(&without_threads(), url).unwrap(), [address.parse().unwrap()]);
    }
}

#[test]
fn a_name_is_looked_up() {
    let found = ask(&Names::new(), "http://localhost:8080/").unwrap();
    assert!(!found.is_empty() && found.iter().all(|found| found.ip().is_loopback()), "{found:?}");
    assert!(found.iter().all(|found| found.port() == 8080), "{found:?}");
}

#[test]
fn where_the_system_gives_no_thread_there_is_an_error() {
    let error = ask(&without_threads(), "http://localhost/").unwrap_err().to_string();
    assert!(error.contains("no thread to look its name up"), "{error}");
}

#[test]
fn lookups_that_hang_are_not_joined_by_ever_more() {
    let names = Names::new();
    let mut hanging: Vec<_> = (0..LOOKUPS_MAX).map(|_| names.turn("localhost:80")).collect();
    let error = ask(&names, "http://localhost/").unwrap_err().to_string();
    assert!(error.contains("looked up by many"), "{error}");
    assert!(ask(&names, "http://localhost:81/").is_ok(), "another name has its own");
    assert!(ask(&names, "http://127.0.0.1/").is_ok(), "an address waits for nobody");
    hanging.pop();
    for _ in 0..3 {
        assert!(ask(&names, "http://localhost/").is_ok());
    }
}

#[test]
fn whoever_asks_waits_no_longer_than_they_may() {
    let names = Names::new();
    let after = time::Duration::Exact(Duration::ZERO);
    let timeout = NextTimeout { after, reason: Timeout::Connect, ..NextTimeout::default() };
    let found = names.look_up("name.invalid:80".to_owned(), timeout);
    // A lookup may be quick, but finds nothing.
    let error = found.unwrap_err();
    assert!(matches!(error, ureq::Error::Timeout(Timeout::Connect) | ureq::Error::Io(_)));
}
