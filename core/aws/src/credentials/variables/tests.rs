use super::credentials;
use crate::credentials::sources::Found;
use crate::tests::{SECRET, environment};

const ID: (&str, &str) = ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE");
const KEY: (&str, &str) = ("AWS_SECRET_ACCESS_KEY", SECRET);

#[test]
fn both_halves_of_the_key_are_needed() {
    let Ok(Found::Credentials(loaded)) = credentials(&environment([ID, KEY])) else {
        panic!("there are keys");
    };
    assert_eq!(loaded.credentials.access_key_id(), "AKIDEXAMPLE");
    assert_eq!(loaded.credentials.session_token, None);
    assert_eq!(loaded.credentials.expires(), None);
    assert!(matches!(credentials(&environment([])), Ok(Found::Absent(_))));
    let complaint = credentials(&environment([ID])).err().unwrap();
    assert_eq!(complaint, "AWS_ACCESS_KEY_ID is set and AWS_SECRET_ACCESS_KEY is not");
    let complaint = credentials(&environment([KEY, ("AWS_ACCESS_KEY_ID", "")])).err().unwrap();
    assert_eq!(complaint, "AWS_SECRET_ACCESS_KEY is set and AWS_ACCESS_KEY_ID is not");
}

#[test]
fn white_space_around_a_value_is_not_part_of_it() {
    let variables =
        environment([ID, ("AWS_SECRET_ACCESS_KEY", " secret\n"), ("AWS_SESSION_TOKEN", "t ")]);
    let Ok(Found::Credentials(loaded)) = credentials(&variables) else {
        panic!("there are keys");
    };
    assert_eq!(loaded.credentials.secret_access_key, "secret");
    assert_eq!(loaded.credentials.session_token.as_deref(), Some("t"));
}

#[test]
fn a_complaint_shows_no_key() {
    let variables = environment([ID, ("AWS_SECRET_ACCESS_KEY", "wJalr XUtn")]);
    let complaint = credentials(&variables).err().unwrap();
    assert!(complaint.contains("AWS_SECRET_ACCESS_KEY") && !complaint.contains("wJalr"));
}
