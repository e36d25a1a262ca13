use super::harmless;

#[test]
fn names_and_addresses_are_shown_as_they_are() {
    for host in ["shop.example.com", "*.a_b.test:8080", "192.0.2.1", "[2001:db8::1]:80"] {
        assert_eq!(harmless(host), host);
    }
}

#[test]
fn what_a_page_or_a_terminal_would_act_on_is_not_shown() {
    let host = "<script>\"'&\\\x1b[2J\u{202e}\u{e9}%";
    assert_eq!(harmless(host), "?script??????[2J???");
}

#[test]
fn a_host_that_is_too_long_is_cut() {
    let longest = "a".repeat(253);
    assert_eq!(harmless(&longest), longest);
    assert_eq!(harmless(&"a".repeat(60_000)), format!("{longest}..."));
}
