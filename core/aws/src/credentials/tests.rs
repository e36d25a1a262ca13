use std::time::Duration;

use super::{Credentials, Source};
use crate::tests::{SECRET, now};

fn new(id: &str, secret: &str, token: Option<&str>) -> Option<Credentials> {
    Credentials::new(id, secret, token, None, Source::Environment)
}

#[test]
fn parts_that_cannot_stand_in_a_request_are_refused() {
    assert!(new("AKIDEXAMPLE", SECRET, None).is_some());
    assert!(new("test", "test", Some("tok/en+1==")).is_some());
    for id in ["", "AKID/1", "AKID,x", "AKID 1", "AKID\n", "ÄKID", &"A".repeat(129)] {
        assert!(new(id, SECRET, None).is_none(), "{id}");
    }
    for secret in ["", "a b", "a\n", "ä", &"a".repeat(257)] {
        assert!(new("AKIDEXAMPLE", secret, None).is_none(), "{secret}");
    }
    for token in ["", "a\r\nb: c", " a", &"a".repeat(12 * 1024 + 1)] {
        assert!(new("AKIDEXAMPLE", SECRET, Some(token)).is_none(), "{token}");
    }
}

#[test]
fn what_is_secret_is_not_shown() {
    let shown = format!("{:#?}", new("AKIDEXAMPLE", SECRET, Some("to/ken")).unwrap());
    assert!(shown.contains("AKIDEXAMPLE"));
    assert!(!shown.contains(SECRET) && !shown.contains("to/ken"), "{shown}");
}

#[test]
fn credentials_are_due_five_minutes_before_they_end() {
    let minutes = |minutes: u64| now() + Duration::from_secs(60 * minutes);
    let ending = |end| Credentials::new("A", SECRET, None, Some(end), Source::Container).unwrap();
    let credentials = ending(minutes(10));
    assert!(!credentials.is_due(minutes(4)) && credentials.is_valid(minutes(4)));
    assert!(credentials.is_due(minutes(5)) && credentials.is_valid(minutes(5)));
    assert!(credentials.is_due(minutes(10)) && !credentials.is_valid(minutes(10)));
    let endless = new("A", SECRET, None).unwrap();
    assert!(!endless.is_due(minutes(1_000_000)));
}
