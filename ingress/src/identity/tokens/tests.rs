use super::{Separators, TOKENS_MAX, Tokens};
use mesh_protocol::control::TokenProof;
use mesh_protocol::proof::Binding;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// Made with Python's hashlib and hmac, for the token above and the binding below.
const ID: &str = "e64956a99c4dbb74";
const MAC: &str = "385338a791f7a03377117efc814b2d7b47e238c996bd1baf21cfa3b6c72dc20f";

const NONCE: &str = "0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a";
const HELLO: &str = "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd";
const BINDING: Binding<'_> = Binding { server_id: "mesh.example.com", nonce: NONCE, hello: HELLO };

fn parse(text: &str) -> Result<Tokens, String> {
    let mut tokens = Tokens::default();
    tokens.add("f", text, Separators::Lines)?;
    Ok(tokens)
}

fn proof(id: &str, mac: &str) -> TokenProof {
    TokenProof { id: id.to_owned(), mac: mac.to_owned() }
}

#[test]
fn a_file_is_read_line_by_line() {
    let text = format!(
        "# comment\n\n  \t\n{}\nedge-2\t{}x  A.Example.com.,*.b.example # why\r\nE.3_ {}y #none\n",
        format_args!("edge-1 {TOKEN}"),
        TOKEN,
        TOKEN
    );
    let tokens = parse(&text).unwrap();
    assert_eq!(tokens.len(), 3);
    let hosts = |name: &str| -> Vec<String> {
        tokens.hosts(name).iter().map(ToString::to_string).collect()
    };
    assert_eq!(hosts("edge-1"), [""; 0]);
    assert_eq!(hosts("edge-2"), ["a.example.com", "*.b.example"]);
    assert_eq!(hosts("nobody"), [""; 0]);
    assert!(parse("").unwrap().is_empty());
}

#[test]
fn a_variable_may_have_semicolons_too() {
    let mut tokens = Tokens::default();
    let text = format!("a {TOKEN} a.x,b.x; b {TOKEN}b;\n;c {TOKEN}c");
    tokens.add("MESH_TOKENS", &text, Separators::LinesAndSemicolons).unwrap();
    assert_eq!(tokens.len(), 3);
    assert_eq!(tokens.hosts("a").len(), 2);
    let tokens = parse(&format!("a {TOKEN};{TOKEN}")).unwrap();
    assert_eq!(tokens.len(), 1, "in a file a semicolon is part of the token");
}

#[test]
fn what_is_wrong_is_named_with_its_line_and_never_shown() {
    let long = "t".repeat(1025);
    let cases = [
        ("# x\nedge-1\n".to_owned(), "f line 2: a line needs a name and a token"),
        (format!("{TOKEN}\n"), "f line 1: a line needs a name and a token"),
        (format!("a {TOKEN} a.x b.x\n"), "f line 1: too many words"),
        (format!("a/b {TOKEN}\n"), "f line 1: the first word is not a name"),
        (format!("{} {TOKEN}\n", "n".repeat(65)), "f line 1: the first word is not a name"),
        (format!("n\u{e4}me {TOKEN}\n"), "f line 1: the first word is not a name"),
        ("a 0123456789abcde\n".to_owned(), "the second word is shorter than 16 characters"),
        ("a 0123456789abcde\u{e9}\n".to_owned(), "the second word has characters that are not"),
        (format!("a {TOKEN}\u{7f}\n"), "the second word has characters that are not"),
        (format!("a {long}\n"), "the second word is longer than 1024 characters"),
        (format!("a {TOKEN}\na {TOKEN}2\n"), "f line 2: there is already a token of this name"),
        (format!("a {TOKEN}\nb {TOKEN}\n"), "f line 2: this token is there already under"),
        (format!("a {TOKEN} not/a/host\n"), "the third word is not a list of hosts"),
        // In another order, or without the name.
        (format!("{TOKEN} edge-1\n"), "f line 1: the second word is shorter than 16 characters"),
        (format!("{TOKEN} edge-1 a.x\n"), "f line 1: the second word is shorter than 16"),
        (format!("{TOKEN} {long}\n"), "f line 1: the second word is longer than 1024"),
        (
            format!("{TOKEN} edge.example.com\n"),
            "the second word looks like a host, and another one",
        ),
        (format!("{TOKEN} *.a.example,b.example\n"), "the second word looks like a host"),
        (format!("edge-1 edge.example.com {TOKEN}\n"), "the second word looks like a host"),
        (format!("edge-1 edge.example.com {TOKEN}{TOKEN}\n"), "the second word looks like a host"),
        (format!("edge-1 edge.example.com {TOKEN}/+=\n"), "the third word is not a list of hosts"),
        (format!("{TOKEN} {TOKEN}2\n{TOKEN} {TOKEN}3\n"), "there is already a token of this name"),
        (format!("a {TOKEN} {{service}}.x\n"), "{service} cannot be used here"),
        (format!("a #{TOKEN}\n"), "f line 1: a line needs a name and a token"),
    ];
    for (text, expected) in cases {
        let error = parse(&text).unwrap_err();
        assert!(error.contains(expected), "{error}");
        assert!(!error.contains("0123456789abcde"), "{error}");
    }
    for text in ["a short\n", "a\n"] {
        assert!(parse(text).unwrap_err().contains("openssl rand -hex 32"));
    }
}

#[test]
fn unusual_names_and_tokens_are_not_taken_for_each_other() {
    let machine = "8d9f4b7c2e6a4f1f9a3b5c7d9e1f2a3b";
    for line in [
        format!("{machine} {TOKEN} edge.example.com"),
        format!("{machine} not-the-name-of-a-host"),
        "edge-in-frankfurt correct.horse.battery edge.example.com".to_owned(),
    ] {
        assert_eq!(parse(&line).map(|tokens| tokens.len()), Ok(1), "{line}");
    }
}

#[test]
fn two_sources_may_not_have_the_same_token_either() {
    let mut tokens = parse(&format!("a {TOKEN}")).unwrap();
    let error = tokens.add("MESH_TOKENS", &format!("b {TOKEN}"), Separators::Lines).unwrap_err();
    assert_eq!(error, "MESH_TOKENS line 1: this token is there already under another name");
    let error = tokens.add("MESH_TOKENS", &format!("a {TOKEN}2"), Separators::Lines).unwrap_err();
    assert_eq!(error, "MESH_TOKENS line 1: there is already a token of this name");
}

#[test]
fn there_may_be_ten_thousand_and_no_more() {
    let mut text: String = (0..TOKENS_MAX).map(|i| format!("n{i} {TOKEN}{i}\n")).collect();
    assert_eq!(parse(&text).unwrap().len(), TOKENS_MAX);
    text.push_str("more 0123456789abcdefmore\n");
    assert_eq!(parse(&text).unwrap_err(), "f line 10001: there are more than 10000 tokens");
}

#[test]
fn a_proof_is_good_for_its_token_and_its_binding_only() {
    let tokens = parse(&format!("edge-1 {TOKEN}\nedge-2 {TOKEN}2")).unwrap();
    assert_eq!(tokens.verify(&proof(ID, MAC), &BINDING), Some("edge-1"));
    let others = [
        Binding { server_id: "mesh.example.org", ..BINDING },
        Binding { nonce: HELLO, ..BINDING },
        Binding { hello: NONCE, ..BINDING },
        Binding { nonce: "", ..BINDING },
    ];
    for binding in others {
        assert_eq!(tokens.verify(&proof(ID, MAC), &binding), None, "{binding:?}");
    }
    let upper = MAC.to_uppercase();
    let spaced = format!(" {MAC}");
    let full_width = MAC.replace('3', "\u{ff13}");
    let strange = ["", "00", &MAC[..63], &MAC[..62], &upper, &spaced, &full_width];
    for mac in strange {
        assert_eq!(tokens.verify(&proof(ID, mac), &BINDING), None, "{mac:?}");
    }
    let zeros = "0".repeat(64);
    for (id, mac) in [("0000000000000000", MAC), ("", MAC), (ID, zeros.as_str()), ("", "")] {
        assert_eq!(tokens.verify(&proof(id, mac), &BINDING), None, "{id:?}");
    }
    assert_eq!(Tokens::default().verify(&proof(ID, MAC), &BINDING), None);
}

/// The stand-in's key is no secret, and must open nothing.
#[test]
fn a_mac_with_the_key_of_nobody_is_nobody() {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"nobody's");
    let message = format!("mesh.v1 token\nmesh.example.com\n{NONCE}\n{HELLO}");
    let mac = data_encoding::HEXLOWER.encode(ring::hmac::sign(&key, message.as_bytes()).as_ref());
    let tokens = parse(&format!("edge-1 {TOKEN}")).unwrap();
    for id in [ID, "", "0000000000000000"] {
        assert_eq!(tokens.verify(&proof(id, &mac), &BINDING), None);
    }
}

#[test]
fn tokens_stay_out_of_debug_output() {
    let tokens = parse(&format!("b {TOKEN}\na {TOKEN}2 a.x")).unwrap();
    assert_eq!(format!("{tokens:?}"), "Tokens([\"a\", \"b\"])");
}
