use mesh_protocol::proxy;

use super::*;

#[expect(clippy::disallowed_methods, reason = "any instant does; these tests compare")]
fn origin() -> Instant {
    Instant::now()
}

#[test]
fn each_loss_is_news_once_in_a_while_and_after_a_welcome() {
    let (mut losses, now) = (Losses::default(), origin());
    let mut note = |loss: &str, after| losses.note(loss.to_owned(), now + after);
    assert!(note("refused", Duration::ZERO));
    assert!(note("silent", Duration::from_secs(1)), "another one");
    assert!(!note("refused", Duration::from_secs(2)), "in turns");
    assert!(!note("refused", PAUSE - Duration::from_millis(1)));
    assert!(note("refused", PAUSE));
    assert!(!note("refused", PAUSE), "once");
    assert_eq!(losses.last(), "refused");
    losses.clear();
    assert_eq!(losses.last(), "");
    assert!(losses.note("refused".to_owned(), now + PAUSE));
}

#[test]
fn an_ingress_that_is_inventive_fills_no_log() {
    let (mut losses, now) = (Losses::default(), origin());
    let word = |length| "x".repeat(length);
    let said = (0..1000).filter(|length| losses.note(word(*length), now)).count();
    assert_eq!(said, LOGGED_MAX);
    assert_eq!(losses.last(), word(999));
}

#[test]
fn another_number_is_no_news() {
    let (mut losses, now) = (Losses::default(), origin());
    assert!(losses.note("expired 9 seconds ago".to_owned(), now));
    assert!(!losses.note("expired 10 seconds ago".to_owned(), now));
    assert_eq!(losses.last(), "expired 10 seconds ago", "but whoever asks is told");
    assert!(losses.note("refused".to_owned(), now));
    assert!(losses.note("answered with status 503 (draining)".to_owned(), now));
    assert!(losses.note("answered with status 403 (draining)".to_owned(), now));
    assert!(!losses.note("answered with status 503 (draining)".to_owned(), now));
    for status in [403, 407, 502, 503] {
        let loss = format!("the proxy p:8443: {}", proxy::Refusal::Status(status));
        assert!(losses.note(loss.clone(), now), "{loss}");
        assert!(!losses.note(loss.clone(), now), "{loss}");
    }
}

#[test]
fn an_explanation_is_of_one_loss_and_not_of_the_next() {
    let (mut losses, now) = (Losses::default(), origin());
    losses.explain("the ingress refused this agent");
    losses.note("refused".to_owned(), now);
    assert_eq!(losses.last(), "the ingress refused this agent");
    losses.note("nobody there".to_owned(), now);
    assert_eq!(losses.last(), "nobody there");
    losses.note_old();
    assert_eq!(losses.last(), "nobody there");
    losses.explain("the ingress refused this agent");
    losses.note_old();
    assert_eq!(losses.last(), "the ingress refused this agent");
}

#[test]
fn a_complaint_that_tells_another_time_is_no_news() {
    let mut losses = Losses::default();
    assert!(losses.complain("the agent's clock is 3600 s behind"));
    assert!(!losses.complain("the agent's clock is 3601 s behind"));
    assert!(losses.complain("STS at https://sts.test answers 503"));
    assert!(losses.complain("STS at https://sts.test answers 504"), "another status");
    losses.note("it is over".to_owned(), origin());
    assert_eq!(losses.last(), "STS at https://sts.test answers 504", "whoever asks is told");
    losses.clear();
    assert!(losses.complain("STS at https://sts.test answers 504"), "it was registered meanwhile");
}
