use super::Pattern;

#[test]
fn a_star_is_any_run_and_all_else_itself() {
    let cases = [
        ("", "", true),
        ("", "a", false),
        ("abc", "abc", true),
        ("abc", "abcd", false),
        ("abc", "ABC", false),
        ("*", "", true),
        ("*", "anything at all", true),
        ("**", "", true),
        ("**", "x", true),
        ("***", "xyz", true),
        ("a*", "a", true),
        ("a*", "ba", false),
        ("*a", "ba", true),
        ("*a", "ab", false),
        ("a*b", "ab", true),
        ("a*b", "axbxb", true),
        ("a*b", "axbxbc", false),
        ("a**b", "axbxb", true),
        ("a*a", "a", false),
        ("ab*ba", "aba", false),
        ("ab*ba", "abba", true),
        ("*a*b*", "xxbxaxxb", true),
        ("*a*b*", "xxbxa", false),
        ("*ab*ab*", "xabx", false),
        ("*ab*ab*", "xaabb-ab", true),
        ("mesh-*-agent", "mesh-a-b-agent", true),
        ("mesh-*-agent", "mesh-agent", false),
        ("a?c", "abc", false),
        ("a?c", "a?c", true),
        ("[a-z]", "b", false),
        ("*\u{fc}*", "gr\u{fc}n", true),
        ("*\u{fc}", "\u{fc}\u{fc}", true),
    ];
    for (pattern, text, expected) in cases {
        assert_eq!(Pattern::new(pattern).matches(text), expected, "{pattern:?} on {text:?}");
    }
}

/// Every pattern of a small alphabet on every text, against the definition.
#[test]
fn it_means_what_the_definition_says() {
    fn by_definition(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), _) => {
                (0..=text.len()).any(|skip| by_definition(rest, &text[skip..]))
            }
            (Some((p, pattern)), Some((t, text))) => p == t && by_definition(pattern, text),
            (None, Some(_)) | (Some(_), None) => false,
        }
    }
    fn words(alphabet: &[u8], length_max: usize) -> Vec<String> {
        let mut all = vec![String::new()];
        let mut from = 0;
        for _ in 0..length_max {
            let to = all.len();
            for index in from..to {
                for letter in alphabet {
                    all.push(format!("{}{}", all[index], char::from(*letter)));
                }
            }
            from = to;
        }
        all
    }
    let texts = words(b"ab", 6);
    for pattern in words(b"ab*", 5) {
        for text in &texts {
            let expected = by_definition(pattern.as_bytes(), text.as_bytes());
            assert_eq!(Pattern::new(&pattern).matches(text), expected, "{pattern} on {text}");
        }
    }
}

#[test]
fn long_adversarial_input_takes_no_time() {
    let text = "a".repeat(1_000_000);
    let pattern = format!("{}b", "a*".repeat(2000));
    assert!(!Pattern::new(&pattern).matches(&text));
    let pattern = format!("*{}b*", "a".repeat(2000));
    assert!(!Pattern::new(&pattern).matches(&text));
    assert!(Pattern::new(&"*a".repeat(2000)).matches(&text));
}

#[test]
fn a_pattern_of_names_has_their_letters() {
    for text in ["edge-1", "*", "orders_*.v2"] {
        assert_eq!(Pattern::of_names(text).unwrap().as_str(), text);
    }
    let long = "a".repeat(256);
    for text in ["", "a b", "a/b", "a?", "\u{e4}", "{service}", "a\n", &long] {
        assert!(Pattern::of_names(text).unwrap_err().contains("is not a name"), "{text:?}");
    }
}

#[test]
fn it_knows_whether_it_chooses_at_all() {
    assert!(Pattern::new("**").is_anything());
    assert!(!Pattern::new("*a").is_anything());
    assert!(!Pattern::new("").is_anything());
}
