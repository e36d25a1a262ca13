use super::nearest;

#[test]
fn a_slip_finds_its_name_and_another_word_does_not() {
    let known = ["request-timeout", "head-timeout", "host", "bind"];
    let cases = [
        ("request-timout", Some("request-timeout")),
        ("reqest-timeuot", Some("request-timeout")),
        ("hosts", Some("host")),
        ("hsot", None),
        ("binds", Some("bind")),
        ("colour", None),
        ("", None),
    ];
    for (name, expected) in cases {
        assert_eq!(nearest(name, known), expected, "{name}");
    }
}
