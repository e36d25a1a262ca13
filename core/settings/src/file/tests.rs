use super::{Entry, File, Value, read_bytes, read_text};
use crate::Record;

fn entry(key: &str, line: usize, values: &[&str], list: bool) -> Entry {
    let values = values.iter().map(|&value| value.to_owned());
    let value = if list { Value::Many(values.collect()) } else { Value::One(values.collect()) };
    Entry { key: key.to_owned(), line, value }
}

#[test]
fn a_mapping_is_read_with_its_lines() {
    let text = "# a comment\n\
                request-timeout: 30\n\
                host:\n  - a.example\n  - \"*.a.example\"\n\
                other: [x, 'y']\n\
                empty: []\n\
                quoted: \"\"\n\
                skip-iam-validation: true\n";
    let file = File::parse("server.yaml", text).unwrap();
    let expected = [
        entry("request-timeout", 2, &["30"], false),
        entry("host", 3, &["a.example", "*.a.example"], true),
        entry("other", 6, &["x", "y"], true),
        entry("empty", 7, &[], true),
        entry("quoted", 8, &[""], false),
        entry("skip-iam-validation", 9, &["true"], false),
    ];
    assert_eq!(file.entries, expected);
}

#[test]
fn a_list_of_mappings_is_read_with_all_its_lines() {
    let text = "rules:\n\
                \x20 - principal: a\n\
                \x20   hosts: [x, \"{service}.y\"]\n\
                \n\
                \x20 # the other one\n\
                \x20 - {token: b, hosts: []}\n\
                bind: 1\n";
    let file = File::parse("f", text).unwrap();
    let record = |line, fields| Record { file: "f".to_owned(), line, fields };
    let first =
        [entry("principal", 2, &["a"], false), entry("hosts", 3, &["x", "{service}.y"], true)];
    let second = [entry("token", 6, &["b"], false), entry("hosts", 6, &[], true)];
    let records = Value::Records(vec![record(2, first.to_vec()), record(6, second.to_vec())]);
    let rules = Entry { key: "rules".to_owned(), line: 1, value: records };
    assert_eq!(file.entries, [rules, entry("bind", 7, &["1"], false)]);
}

#[test]
fn a_file_without_settings_is_fine() {
    for text in ["", "\n", "# nothing yet\n", "---\n", "---\n...\n", "~\n", "{}\n"] {
        assert_eq!(File::parse("f", text).unwrap().entries, [], "{text:?}");
    }
}

#[test]
fn what_is_no_flat_mapping_is_refused_with_its_line() {
    let cases = [
        ("just text\n", "f line 1: lines such as"),
        ("- a\n- b\n", "f line 1: lines such as"),
        (
            "a: 1\nserver:\n\n  c: 2\n",
            "f line 2: server has lines within it; all settings begin at the left",
        ),
        (
            "a:\n  {b: 1}\n",
            "f line 1: a must be one value or a list of values, without anything nested; a value that begins with { needs quotes",
        ),
        (
            "r:\n  - p:\n      x: 1\n",
            "f line 2: p must be one value or a list of values, without anything nested",
        ),
        ("a: [[1]]\n", "f line 1: a must be one value or a list"),
        ("a: [{b: {c: 1}}]\n", "f line 1: b must be one value or a list"),
        ("a: [{b: [[1]]}]\n", "f line 1: b must be one value or a list"),
        ("a: [{b: [{c: 1}]}]\n", "f line 1: b must be one value or a list"),
        ("a:\n  - b: 1\n  - c\n", "f line 3: a has a value among its mappings"),
        ("a:\n  - c\n  - b: 1\n", "f line 3: a must be one value or a list"),
        ("a:\n  - b: 1\n    b: 2\n", "f line 3: b is given a second time, after line 2"),
        ("a:\n  - b:\n", "b has no value; give one"),
        ("a: {service}\n", "without anything nested; a value that begins with { needs quotes"),
        ("a: [[1]]\n", "without anything nested; a value that begins with [ needs quotes"),
        ("a: 1\na: 2\n", "f line 2: a is given a second time, after line 1"),
        ("a:\n", "a has no value; give one, or remove the line"),
        ("a: ~\n", "f line 1: a has no value"),
        ("a: [null]\n", "f line 1: a has no value"),
        ("[a]: 1\n", "f line 1: a key must be the name of a setting"),
        (
            "a: &x 1\nb: *x\n",
            "f line 2: b must be one value or a list of values, without anything nested; a value that begins with * needs quotes",
        ),
        ("host: *.example.com\n", "needs quotes"),
        ("a: \"unfinished\n", "this is not YAML"),
        ("a: 1\n  b: 2\n", "f line 2: this is not YAML"),
        ("bind: ::\n", "f line 1: this is not YAML: the value :: needs quotes"),
        ("a: 1\nbind: :: # all\n", "f line 2: this is not YAML: the value :: needs quotes"),
        ("a: 1\n\tb: 2\n", "f line 2: this is not YAML: it has a tab; write spaces"),
        ("a: 1\nb:\t2\n", "f line 2: this is not YAML: it has a tab"),
        ("a:\n\t- b\n", "f line 2: this is not YAML: it has a tab"),
        ("a: 1\nb 2\n", "f line 2: this is not YAML: a colon is missing"),
        ("a: 1\n---\nb: 2\n", "f line 2: a second document begins"),
        ("---\n---\nalb-port: 1\n", "f line 2: a second document begins"),
        ("~\n---\nx\n", "f line 2: a second document begins"),
        ("# a\n---\n# b\n---\nc: 1\n", "f line 4: a second document begins"),
    ];
    for (text, expected) in cases {
        let error = File::parse("f", text).unwrap_err().to_string();
        assert!(error.contains(expected), "{text:?}: {error}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named_with_the_reason() {
    let cases = [
        ("/nowhere/at/all.yaml", "--config: cannot read /nowhere/at/all.yaml: no such file"),
        ("/", "--config: cannot read /: is a directory"),
        ("/dev/zero", "--config: cannot read /dev/zero: it is larger than 1 MiB"),
        ("", "--config: the path is empty; give that of a file"),
    ];
    for (path, expected) in cases {
        let error = File::read(path, "--config").unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn a_file_may_have_one_mebibyte() {
    let path = std::env::temp_dir().join(format!("mesh-large-{}.yaml", std::process::id()));
    for (length, is_fine) in [(1 << 20, true), ((1 << 20) + 1, false)] {
        std::fs::write(&path, vec![b'#'; length]).unwrap();
        assert_eq!(File::read(path.to_str().unwrap(), "--config").is_ok(), is_fine, "{length}");
    }
    std::fs::remove_file(path).unwrap();
}

#[test]
fn what_is_no_text_is_named_with_its_line() {
    let path = std::env::temp_dir().join(format!("mesh-latin1-{}.yaml", std::process::id()));
    std::fs::write(&path, b"a: 1\nb: caf\xe9\n").unwrap();
    let error = File::read(path.to_str().unwrap(), "--config").unwrap_err().to_string();
    std::fs::remove_file(&path).unwrap();
    assert!(error.ends_with("line 2 is not UTF-8; save it as UTF-8"), "{error}");
}

#[test]
fn no_cut_of_a_file_makes_the_reader_panic() {
    let text = "a: &x [1, \"\\u0041\", 'y']\n? k\n: |\n  v\nb: *x\nr:\n - {s: [t]}\n - u: 1\n--- !t {a: b}\n...\n";
    for end in 0..=text.len() {
        for start in 0..end {
            let _ = File::parse("f", &text[start..end]);
        }
    }
}

#[test]
fn a_mark_in_front_is_no_part_of_a_file() {
    let path = std::env::temp_dir().join(format!("mesh-mark-{}", std::process::id()));
    let name = path.to_str().unwrap();
    let read = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        (
            read_text(name, "--it").map_err(|error| error.to_string()),
            read_bytes(name, "--it").unwrap(),
        )
    };
    let cases: [(&[u8], &str); 4] = [
        (b"\xef\xbb\xbfa: 1\n", "a: 1\n"),
        (b"\xef\xbb\xbf", ""),
        (b"\xef\xbb", "--it: cannot read"),
        (b"a\xef\xbb\xbf", "a\u{feff}"),
    ];
    for (bytes, expected) in cases {
        let (text, raw) = read(bytes);
        let text = text.unwrap_or_else(|complaint| complaint);
        assert!(text.starts_with(expected), "{text}");
        let length = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).len();
        assert_eq!(raw.len(), length);
    }
    std::fs::remove_file(&path).unwrap();
}
