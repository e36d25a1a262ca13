use crate::file::Value;
use crate::{Entry, File, Record};

fn record(text: &str) -> Record {
    let file = File::parse("f.yaml", text).unwrap();
    match file.entries.into_iter().next() {
        Some(Entry { value: Value::Records(records), .. }) => records.into_iter().next().unwrap(),
        other => panic!("{other:?}"),
    }
}

const TEXT: &str = "rules:\n  - account: \" 1 \"\n    hosts: [a, 'b,c']\n    one: x, y\n";

fn as_is(text: &str) -> Result<String, String> {
    if text == "bad" { Err("it is bad".to_owned()) } else { Ok(text.to_owned()) }
}

#[test]
fn a_field_is_a_value_or_a_list() {
    let record = record(TEXT);
    assert_eq!(record.value("account", as_is).unwrap(), Some("1".to_owned()));
    assert_eq!(record.value("one", as_is).unwrap(), Some("x, y".to_owned()));
    assert_eq!(record.value("none", as_is).unwrap(), None);
    assert_eq!(record.list("hosts", as_is).unwrap(), ["a", "b", "c"]);
    assert_eq!(record.list("one", as_is).unwrap(), ["x", "y"]);
    assert_eq!(record.list("none", as_is).unwrap(), [""; 0]);
    assert!(record.has("hosts") && !record.has("none"));
}

#[test]
fn errors_name_file_line_and_field() {
    let record = record("rules:\n  - a: bad\n    b: [x, bad]\n");
    let cases = [
        (record.value("a", as_is).unwrap_err(), "f.yaml line 2: a: it is bad"),
        (
            record.value("b", as_is).unwrap_err(),
            "f.yaml line 3: b: it takes one value and has a list",
        ),
        (record.list("b", as_is).unwrap_err(), "f.yaml line 3: b: it is bad"),
        (record.blame("c", "it is missing"), "f.yaml line 2: c: it is missing"),
    ];
    for (error, expected) in cases {
        assert_eq!(error.to_string(), expected);
    }
}
