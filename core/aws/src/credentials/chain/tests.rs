use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use super::Chain;
use crate::credentials::sources::tests::sources;
use crate::tests::{Folder, Reply, SECRET, Server, environment, now};
use crate::{CredentialsError, Environment};

fn chain(environment: &Environment) -> Chain {
    Chain::with_sources(sources(environment))
}

fn at(minutes: u64) -> SystemTime {
    now() + Duration::from_secs(60 * minutes)
}

fn id(chain: &Chain, now: SystemTime) -> Result<String, CredentialsError> {
    chain.get(now).map(|credentials| credentials.access_key_id().to_owned())
}

/// Keys that end at that hour and minute of the day.
fn keys(id: &str, end: &str) -> Reply {
    Reply::ok(format!(
        "{{\"AccessKeyId\":\"{id}\",\"SecretAccessKey\":\"{SECRET}\",\"Token\":\"t\",\
         \"Expiration\":\"2026-01-01T{end}:00Z\"}}"
    ))
}

fn endpoint(replies: Vec<Reply>) -> (Server, Chain) {
    let server = Server::script(replies);
    let url = server.url();
    let chain = chain(&environment([("AWS_CONTAINER_CREDENTIALS_FULL_URI", &url)]));
    (server, chain)
}

fn refusal() -> Reply {
    Reply::Answer(400, String::new())
}

#[test]
fn credentials_are_kept_until_five_minutes_before_their_end() {
    let (server, chain) = endpoint(vec![keys("ONE", "01:00"), keys("TWO", "02:00")]);
    for minute in [0, 1, 54] {
        assert_eq!(id(&chain, at(minute)).unwrap(), "ONE", "{minute}");
    }
    assert_eq!(server.asked().len(), 1);
    assert_eq!(id(&chain, at(55)).unwrap(), "TWO");
    assert_eq!(id(&chain, at(114)).unwrap(), "TWO");
    assert_eq!(server.asked().len(), 2);
}

#[test]
fn older_credentials_bridge_a_failing_refresh() {
    let replies = vec![keys("ONE", "01:00"), refusal(), refusal(), keys("TWO", "02:00")];
    let (server, chain) = endpoint(replies);
    assert_eq!(id(&chain, at(0)).unwrap(), "ONE");
    assert_eq!(id(&chain, at(55)).unwrap(), "ONE");
    // Quiet for half a minute, then the source is asked again.
    assert_eq!(id(&chain, at(55) + Duration::from_secs(29)).unwrap(), "ONE");
    assert_eq!(server.asked().len(), 2);
    assert_eq!(id(&chain, at(56)).unwrap(), "ONE");
    assert_eq!(server.asked().len(), 3);
    assert_eq!(id(&chain, at(57)).unwrap(), "TWO");
}

#[test]
fn credentials_that_have_ended_bridge_nothing() {
    let (_server, chain) = endpoint(vec![keys("ONE", "01:00"), refusal()]);
    assert_eq!(id(&chain, at(0)).unwrap(), "ONE");
    assert_eq!(id(&chain, at(59)).unwrap(), "ONE");
    // The quiet after the failure does not outlast them.
    assert!(matches!(id(&chain, at(60)), Err(CredentialsError::Broken { .. })));
    assert!(id(&chain, at(61)).is_err());
}

#[test]
fn a_source_that_has_nothing_newer_is_left_in_peace() {
    let (server, chain) = endpoint(vec![keys("ONE", "00:03")]);
    for second in 0..29 {
        assert_eq!(id(&chain, now() + Duration::from_secs(second)).unwrap(), "ONE");
    }
    assert_eq!(server.asked().len(), 1);
    id(&chain, now() + Duration::from_secs(30)).unwrap();
    assert_eq!(server.asked().len(), 2);
    // The clock is set back by an hour: the quiet is over too.
    id(&chain, now() - Duration::from_secs(3600)).unwrap();
    assert_eq!(server.asked().len(), 2, "valid and not due, as seen from there");
}

#[test]
fn what_is_forgotten_is_asked_for() {
    let (server, chain) = endpoint(vec![keys("ONE", "01:00"), keys("TWO", "02:00"), refusal()]);
    assert_eq!(id(&chain, at(0)).unwrap(), "ONE");
    chain.forget();
    assert_eq!(id(&chain, at(0)).unwrap(), "TWO");
    chain.forget();
    assert!(id(&chain, at(0)).is_err());
    assert_eq!(server.asked().len(), 3);
}

#[test]
fn a_file_that_is_rotated_is_read_again() {
    let folder = Folder::new();
    let rotate = |id: &str| {
        let text = format!("[default]\naws_access_key_id = {id}\naws_secret_access_key = s\n");
        // Beside it first, as careful programs do.
        let path = folder.path(".aws/credentials");
        fs::rename(folder.file(".aws/new", &text), path).unwrap();
    };
    let text = "[default]\naws_access_key_id = ONE\naws_secret_access_key = s\n";
    let path = folder.file(".aws/credentials", text);
    let chain = chain(&environment([("HOME", folder.name())]));
    assert_eq!(id(&chain, at(0)).unwrap(), "ONE");
    rotate("TWO");
    assert_eq!(id(&chain, at(0)).unwrap(), "TWO");
    rotate("SIX");
    assert_eq!(id(&chain, at(0)).unwrap(), "SIX");
    // Caught in the middle of being written: the older ones are used, and it is read again.
    fs::write(&path, "[default]\naws_access_key_id").unwrap();
    assert_eq!(id(&chain, at(1)).unwrap(), "SIX");
    rotate("NEW");
    assert_eq!(id(&chain, at(2)).unwrap(), "NEW");
}

#[test]
fn a_file_that_comes_later_in_time_comes_first_all_the_same() {
    let folder = Folder::new();
    let server = Server::script(vec![keys("TASK", "01:00"), keys("TASK", "02:00")]);
    let url = server.url();
    let variables = [("HOME", folder.name()), ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &*url)];
    let chain = chain(&environment(variables));
    let text = "[default]\naws_access_key_id = FILE\naws_secret_access_key = s\n";
    assert_eq!(id(&chain, at(0)).unwrap(), "TASK");
    let path = folder.file(".aws/credentials", text);
    assert_eq!(id(&chain, at(1)).unwrap(), "FILE");
    // Caught between being emptied and being written.
    fs::write(&path, "").unwrap();
    assert_eq!(id(&chain, at(2)).unwrap(), "TASK");
    fs::write(&path, text).unwrap();
    assert_eq!(id(&chain, at(3)).unwrap(), "FILE");
    assert_eq!(server.asked().len(), 2);
}

#[test]
fn keys_in_the_environment_stay() {
    let chain = chain(&crate::tests::keys());
    assert_eq!(id(&chain, at(0)).unwrap(), "AKIDEXAMPLE");
    assert_eq!(id(&chain, at(1_000_000)).unwrap(), "AKIDEXAMPLE");
}

#[test]
fn threads_share_one_answer() {
    let asked = AtomicUsize::new(0);
    let (server, chain) = endpoint(vec![keys("ONE", "01:00")]);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                assert_eq!(id(&chain, at(0)).unwrap(), "ONE");
                asked.fetch_add(1, Ordering::Relaxed);
            });
        }
    });
    assert_eq!(asked.into_inner(), 8);
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn nothing_secret_is_shown() {
    let variables = crate::tests::keys();
    let chain = chain(&variables);
    chain.get(now()).unwrap();
    for shown in [format!("{chain:?}"), format!("{variables:?}")] {
        assert!(!shown.contains(SECRET), "{shown}");
        assert!(shown.contains("AWS_SECRET_ACCESS_KEY"), "{shown}");
    }
}
