use crate::identity::Principal;

use super::asked_for;

#[test]
fn few_hosts_are_named_of_those_that_a_stranger_asked_for() {
    let hosts: Vec<_> = (0..64).map(|number| format!("h{number}.{}", "x".repeat(240))).collect();
    let line = asked_for(&hosts, None);
    assert!(
        line.starts_with(", who asked for \"h0.xx") && line.ends_with("\" and 61 more"),
        "{line}"
    );
    assert!(line.contains("h2.") && !line.contains("h3.") && line.len() < 1000, "{line}");
    assert_eq!(asked_for(&hosts[..2], None).matches(".x").count(), 2);
    assert_eq!(asked_for(&[], None), "");
    let known = Principal::Token { name: "edge".to_owned() };
    assert!(asked_for(&hosts, Some(&known)).contains("h63."), "whom an operator may know");
}
