//! The configuration file: one flat YAML mapping of setting names to values or lists.
//!
//! ```yaml
//! request-timeout: 30
//! host:
//!   - shop.example.com
//!   - "*.shop.example.com"    # YAML wants quotes around what begins with a star
//! ```

use std::io::Read;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput};

use crate::{Error, reason};

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
    /// The value, or the items of the list.
    pub values: Vec<String>,
    /// Whether the value is a list.
    pub list: bool,
}

impl File {
    /// Reads the file at `path`; `asked_by` names the setting that gave the path.
    ///
    /// # Errors
    /// It cannot be read, is no text, or is not a flat mapping.
    pub fn read(path: &str, asked_by: &str) -> Result<Self, Error> {
        Self::parse(path, &read_text(path, asked_by)?)
    }

    /// Takes `text` as the content of the file `name`.
    ///
    /// # Errors
    /// It is not a flat mapping.
    pub fn parse(name: &str, text: &str) -> Result<Self, Error> {
        let mut reader = Reader { name, line: 1, events: Parser::new_from_str(text) };
        let entries = reader.document()?;
        Ok(Self { name: name.to_owned(), entries })
    }
}

/// The text of a small file; `asked_by` names the setting that gave the path.
///
/// # Errors
/// It cannot be read, is no text, or is too large.
pub fn read_text(path: &str, asked_by: &str) -> Result<String, Error> {
    let mut text = String::new();
    let read = std::fs::File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX).read_to_string(&mut text));
    let complaint = match read {
        Ok(length) if (length as u64) < FILE_BYTES_MAX => return Ok(text),
        Ok(_) => "it is larger than 1 MiB".to_owned(),
        Err(error) => reason(&error),
    };
    Err(Error::new(format!("{asked_by}: cannot read {path}: {complaint}")))
}

/// Far more than any sensible file needs; a device file never ends.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

struct Reader<'a> {
    name: &'a str,
    /// The line of the last event.
    line: usize,
    events: Parser<'a, StrInput<'a>>,
}

impl<'a> Reader<'a> {
    /// The whole file: nothing, or one mapping.
    fn document(&mut self) -> Result<Vec<Entry>, Error> {
        loop {
            match self.next()? {
                Event::StreamStart | Event::DocumentStart(_) | Event::Nothing => {}
                Event::StreamEnd | Event::DocumentEnd => return Ok(Vec::new()),
                Event::Scalar(text, style, ..) if is_null(&text, style) => return Ok(Vec::new()),
                Event::MappingStart(..) => break,
                Event::Scalar(..)
                | Event::Alias(_)
                | Event::SequenceStart(..)
                | Event::SequenceEnd
                | Event::MappingEnd => {
                    return Err(self.fault("lines such as `log-level: debug` are expected"));
                }
            }
        }
        let entries = self.mapping()?;
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

    fn mapping(&mut self) -> Result<Vec<Entry>, Error> {
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            let event = self.next()?;
            if event == Event::MappingEnd {
                return Ok(entries);
            }
            let Event::Scalar(key, ..) = event else {
                return Err(self.fault("a key must be the name of a setting"));
            };
            let (key, line) = (key.into_owned(), self.line);
            if let Some(first) = entries.iter().find(|entry| entry.key == key) {
                let complaint = format!("{key} is given a second time, after line {}", first.line);
                return Err(self.fault(&complaint));
            }
            entries.push(self.entry(key, line)?);
        }
    }

    fn entry(&mut self, key: String, line: usize) -> Result<Entry, Error> {
        let event = self.next()?;
        let (values, list) = if let Event::Scalar(text, style, ..) = event {
            (vec![self.scalar(&key, &text, style)?], false)
        } else if let Event::SequenceStart(..) = event {
            (self.sequence(&key)?, true)
        } else {
            return Err(self.not_flat(&key));
        };
        Ok(Entry { key, line, values, list })
    }

    fn sequence(&mut self, key: &str) -> Result<Vec<String>, Error> {
        let mut values = Vec::new();
        loop {
            let event = self.next()?;
            if event == Event::SequenceEnd {
                return Ok(values);
            }
            let Event::Scalar(text, style, ..) = event else {
                return Err(self.not_flat(key));
            };
            values.push(self.scalar(key, &text, style)?);
        }
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
                Ok(event)
            }
            Some(Err(error)) => {
                self.line = error.marker().line();
                let hint = if error.info().contains("anchor") {
                    "; a value that begins with * or & needs quotes"
                } else {
                    ""
                };
                Err(self.fault(&format!("this is not YAML: {}{hint}", error.info())))
            }
        }
    }

    fn not_flat(&self, key: &str) -> Error {
        self.fault(&format!("{key} must be one value or a list of values, without anything nested"))
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
