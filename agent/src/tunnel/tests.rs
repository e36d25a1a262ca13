use super::{read_refusal, read_welcome};

#[test]
fn little_is_kept_of_what_an_ingress_says() {
    let long = "x".repeat(8000);
    let welcome =
        format!(r#"{{"version":"{long}","session":"{long}","window":65536,"streams":100}}"#);
    let welcome = read_welcome(welcome.as_bytes()).unwrap();
    assert_eq!((welcome.version.len(), welcome.session.len()), (64, 64));
    assert_eq!((welcome.window, welcome.streams), (65_536, 100));
    let bad = format!(r#"{{"version":"1","session":"1","window":"{long}","streams":1}}"#);
    let why = read_welcome(bad.as_bytes()).unwrap_err();
    assert!(why.starts_with("bad WELCOME: ") && why.len() == 1000, "{why}");
    let refused = read_refusal(format!(r#"{{"code":"invalid","reason":"{long}"}}"#).as_bytes());
    assert!(refused.starts_with("refused (Invalid): xx") && refused.len() == 1000, "{refused}");
    let refused = read_refusal(format!(r#"{{"code":1,"{long}":[]}}"#).as_bytes());
    assert!(refused.starts_with("refused, unreadably: ") && refused.len() <= 1000, "{refused}");
}
