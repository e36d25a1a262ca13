//! The settings as they came out, written as a file that would set the same.

use std::fmt::Write;

use crate::Origin;
use crate::file::Value;
use crate::records::Record;

/// A setting as it came out.
#[derive(Debug)]
pub(crate) struct Effective {
    pub(crate) name: &'static str,
    pub(crate) shown: Shown,
    pub(crate) origin: Origin,
}

/// How a setting is shown.
#[derive(Debug)]
pub(crate) enum Shown {
    /// It has no value.
    Nothing,
    /// As in the file.
    Value(String),
    /// As in the file, on lines of their own.
    Records(Vec<Record>),
    /// That it has a value, which is nobody's business.
    Secret,
}

impl From<Option<String>> for Shown {
    fn from(value: Option<String>) -> Self {
        value.map_or(Self::Nothing, Self::Value)
    }
}

/// One setting after the other, origins as comments.
pub(crate) fn report(settings: &[Effective]) -> String {
    let mut report = String::new();
    for Effective { name, shown, origin } in settings {
        let line = match shown {
            Shown::Nothing => format!("# {name}: none"),
            Shown::Value(value) => format!("{name}: {value}"),
            Shown::Records(records) if records.is_empty() => format!("{name}: []"),
            Shown::Records(_) => format!("{name}:"),
            Shown::Secret => format!("# {name}: set"),
        };
        let _ = writeln!(report, "{line:<40} # {origin}");
        if let Shown::Records(records) = shown {
            records.iter().for_each(|record| write_record(&mut report, record));
        }
    }
    report
}

fn write_record(report: &mut String, record: &Record) {
    let mut lead = "  - ";
    for field in &record.fields {
        let value = match &field.value {
            Value::One(text) => quoted(text),
            Value::Many(items) => list(items.iter().map(|item| quoted(item))),
            Value::Records(_) => continue,
        };
        let _ = writeln!(report, "{lead}{}: {value}", field.key);
        lead = "    ";
    }
}

/// Values, quoted where needed, as a list.
pub(crate) fn list(values: impl Iterator<Item = String>) -> String {
    format!("[{}]", values.collect::<Vec<_>>().join(", "))
}

/// The text as a YAML value, in quotes unless it is certain to be read back as it is.
pub(crate) fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_./:-=".contains(c);
    let safe = text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '/')
        && !text.ends_with(':')
        && text.chars().all(plain)
        && !text.eq_ignore_ascii_case("null");
    if safe {
        return text.to_owned();
    }
    let mut value = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => value.extend(['\\', letter]),
            // Of Rust's own escapes, YAML does not know those for these.
            letter if letter.is_control() => {
                let _ = write!(value, "\\u{:04x}", u32::from(letter));
            }
            letter => value.push(letter),
        }
    }
    value.push('"');
    value
}
