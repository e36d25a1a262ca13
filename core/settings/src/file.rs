//! The configuration file: one YAML mapping of setting names to values, lists, or lists of
//! mappings that are flat themselves.
//!
//! ```yaml
//! request-timeout: 30
//! host:
//!   - shop.example.com
//!   - "*.shop.example.com"    # YAML wants quotes around what begins with a star
//! ```

use std::collections::HashMap;
use std::io::Read;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput};

use crate::{Error, Record, reason};

/// A file that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// The name that the user gave.
    pub name: String,
    /// Its settings, in their order.
    pub entries: Vec<Entry>,
}

/// One key with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key as written.
    pub key: String,
    /// Its line, from 1.
    pub line: usize,
    /// What stands behind it.
    pub value: Value,
}

/// What a key can have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// One text.
    One(String),
    /// A list of texts.
    Many(Vec<String>),
    /// A list of mappings, which has at least one. Their fields have no such lists.
    Records(Vec<Record>),
}

impl Value {
    /// The one text, or those of the list.
    #[must_use]
    pub fn texts(&self) -> &[String] {
        match self {
            Self::One(text) => std::slice::from_ref(text),
            Self::Many(texts) => texts,
            Self::Records(_) => &[],
        }
    }
}

impl File {
    /// Reads the file at `path`; `asked_by` names the setting that gave the path.
    ///
    /// # Errors
    /// It cannot be read, is no text, or is not such a mapping.
    pub fn read(path: &str, asked_by: &str) -> Result<Self, Error> {
        Self::parse(path, &read_text(path, asked_by)?)
    }

    /// Takes `text` as the content of the file `name`.
    ///
    /// # Errors
    /// It is not such a mapping.
    pub fn parse(name: &str, text: &str) -> Result<Self, Error> {
        let mut reader =
            Reader { name, text, line: 1, start: (1, 0), events: Parser::new_from_str(text) };
        let entries = reader.document()?;
        Ok(Self { name: name.to_owned(), entries })
    }
}

/// The text of a small file; `asked_by` names the setting that gave the path.
///
/// # Errors
/// It cannot be read, is no text, or is too large.
pub fn read_text(path: &str, asked_by: &str) -> Result<String, Error> {
    String::from_utf8(read_bytes(path, asked_by)?).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + good.iter().filter(|&&byte| byte == b'\n').count();
        let complaint = format!("line {line} is not UTF-8; save it as UTF-8");
        Error::new(format!("{asked_by}: cannot read {path}: {complaint}"))
    })
}

/// What is in a small file, without the mark by which some editors begin a text.
pub(crate) fn read_bytes(path: &str, asked_by: &str) -> Result<Vec<u8>, Error> {
    if path.is_empty() {
        return Err(Error::new(format!("{asked_by}: the path is empty; give that of a file")));
    }
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes));
    let complaint = match read {
        Ok(length) if length as u64 <= FILE_BYTES_MAX => {
            if bytes.starts_with(BYTE_ORDER_MARK) {
                bytes.drain(..BYTE_ORDER_MARK.len());
            }
            return Ok(bytes);
        }
        Ok(_) => "it is larger than 1 MiB".to_owned(),
        Err(error) => reason(&error),
    };
    Err(Error::new(format!("{asked_by}: cannot read {path}: {complaint}")))
}

/// U+FEFF in UTF-8: it stands in front and belongs to nothing.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Far more than any sensible file needs; a device file never ends.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

struct Reader<'a> {
    name: &'a str,
    text: &'a str,
    /// The line of the last event.
    line: usize,
    /// Where it begins: line and column.
    start: (usize, usize),
    events: Parser<'a, StrInput<'a>>,
}

impl<'a> Reader<'a> {
    /// The whole file: nothing, or one mapping.
    fn document(&mut self) -> Result<Vec<Entry>, Error> {
        let entries = loop {
            match self.next()? {
                Event::StreamStart | Event::DocumentStart(_) | Event::Nothing => {}
                Event::StreamEnd => return Ok(Vec::new()),
                Event::DocumentEnd => break Vec::new(),
                Event::Scalar(text, style, ..) if is_null(&text, style) => break Vec::new(),
                Event::MappingStart(..) => break self.mapping(Self::value)?,
                Event::Scalar(..)
                | Event::Alias(_)
                | Event::SequenceStart(..)
                | Event::SequenceEnd
                | Event::MappingEnd => {
                    return Err(self.fault("lines such as `log-level: debug` are expected"));
                }
            }
        };
        // Also behind an empty one: what stands there is meant, and would count for nothing.
        loop {
            let event = self.next()?;
            if event == Event::StreamEnd {
                return Ok(entries);
            }
            if let Event::DocumentStart(_) = event {
                return Err(self.fault("a second document begins; only one is read"));
            }
        }
    }

    /// The keys of a mapping that has begun, with what `read` makes of what is behind them.
    fn mapping(
        &mut self,
        read: impl Fn(&mut Self, &str) -> Result<Value, Error>,
    ) -> Result<Vec<Entry>, Error> {
        let mut entries = Vec::new();
        let mut first_lines = HashMap::new();
        loop {
            let event = self.next()?;
            if event == Event::MappingEnd {
                return Ok(entries);
            }
            let Event::Scalar(key, ..) = event else {
                return Err(self.fault("a key must be the name of a setting"));
            };
            let (key, line) = (key.into_owned(), self.line);
            if let Some(first) = first_lines.insert(key.clone(), line) {
                let complaint = format!("{key} is given a second time, after line {first}");
                return Err(self.fault(&complaint));
            }
            let value = read(self, &key)?;
            entries.push(Entry { key, line, value });
        }
    }

    /// What a setting has: a value, or a list of values or of mappings.
    fn value(&mut self, key: &str) -> Result<Value, Error> {
        let line = self.line;
        let event = self.next()?;
        if let Event::Scalar(text, style, ..) = event {
            return Ok(Value::One(self.scalar(key, &text, style)?));
        }
        let Event::SequenceStart(..) = event else {
            self.line = line;
            if matches!(event, Event::MappingStart(..)) && self.sign() != Some('{') {
                let complaint =
                    format!("{key} has lines within it; all settings begin at the left");
                return Err(self.fault(&complaint));
            }
            return Err(self.not_flat(key));
        };
        let mut records = Vec::new();
        let mut event = self.next()?;
        while let Event::MappingStart(..) = event {
            let line = self.line;
            let fields = self.mapping(Self::field)?;
            records.push(Record { file: self.name.to_owned(), line, fields });
            event = self.next()?;
        }
        if records.is_empty() {
            return Ok(Value::Many(self.texts(key, event)?));
        }
        if event != Event::SequenceEnd {
            return Err(self.fault(&format!("{key} has a value among its mappings")));
        }
        Ok(Value::Records(records))
    }

    /// What a field of such a mapping has: a value or a list of values.
    fn field(&mut self, key: &str) -> Result<Value, Error> {
        let line = self.line;
        let event = self.next()?;
        if let Event::Scalar(text, style, ..) = event {
            return Ok(Value::One(self.scalar(key, &text, style)?));
        }
        let Event::SequenceStart(..) = event else {
            self.line = line;
            return Err(self.not_flat(key));
        };
        let first = self.next()?;
        Ok(Value::Many(self.texts(key, first)?))
    }

    /// The rest of a list of values, from `event` on.
    fn texts(&mut self, key: &str, mut event: Event<'a>) -> Result<Vec<String>, Error> {
        let mut texts = Vec::new();
        while event != Event::SequenceEnd {
            let Event::Scalar(text, style, ..) = event else {
                return Err(self.not_flat(key));
            };
            texts.push(self.scalar(key, &text, style)?);
            event = self.next()?;
        }
        Ok(texts)
    }

    fn scalar(&self, key: &str, text: &str, style: ScalarStyle) -> Result<String, Error> {
        if is_null(text, style) {
            let complaint = format!("{key} has no value; give one, or remove the line");
            return Err(self.fault(&complaint));
        }
        Ok(text.to_owned())
    }

    fn next(&mut self) -> Result<Event<'a>, Error> {
        match self.events.next_event() {
            None => Ok(Event::StreamEnd),
            Some(Ok((event, Span { start, .. }))) => {
                self.line = start.line();
                self.start = (start.line(), start.col());
                Ok(event)
            }
            Some(Err(error)) => {
                self.line = error.marker().line();
                Err(self.not_yaml(error.info()))
            }
        }
    }

    /// What the scanner said, or what is usually wrong then: it looks at places behind the mistake.
    fn not_yaml(&mut self, said: &str) -> Error {
        let line = |number: usize| self.text.lines().nth(number.saturating_sub(1)).unwrap_or("");
        let near = [self.line, self.line + 1];
        if let Some(tab) = near.into_iter().find(|&number| line(number).contains('\t')) {
            self.line = tab;
            return self.fault("this is not YAML: it has a tab; write spaces");
        }
        if said.contains("simple key") {
            let before = (1..=self.line).rev().find(|&number| !line(number).trim().is_empty());
            if let Some(bare) = before.filter(|&number| !line(number).contains(':')) {
                self.line = bare;
                return self.fault(
                    "this is not YAML: a colon is missing; lines such as `log-level: debug` are \
                     expected",
                );
            }
        }
        // All addresses, as --bind has them.
        if line(self.line).split_whitespace().nth(1) == Some("::") {
            return self.fault("this is not YAML: the value :: needs quotes");
        }
        let hint = if said.contains("anchor") {
            "; a value that begins with * or & needs quotes"
        } else {
            ""
        };
        self.fault(&format!("this is not YAML: {said}{hint}"))
    }

    /// The character with which the last event began.
    fn sign(&self) -> Option<char> {
        let (line, column) = self.start;
        self.text.lines().nth(line.saturating_sub(1))?.chars().nth(column)
    }

    /// What is found in place of a value may be one that YAML understands otherwise.
    fn not_flat(&self, key: &str) -> Error {
        let hint = match self.sign() {
            Some(sign @ ('*' | '[' | '{')) => {
                format!("; a value that begins with {sign} needs quotes")
            }
            Some(_) | None => String::new(),
        };
        self.fault(&format!(
            "{key} must be one value or a list of values, without anything nested{hint}"
        ))
    }

    fn fault(&self, complaint: &str) -> Error {
        Error::new(format!("{} line {}: {complaint}", self.name, self.line))
    }
}

/// Whether YAML understands the text as "nothing".
fn is_null(text: &str, style: ScalarStyle) -> bool {
    style == ScalarStyle::Plain && matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

#[cfg(test)]
mod tests;
