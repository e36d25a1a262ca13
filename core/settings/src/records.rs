//! Lists of mappings, which only the file can have.
//!
//! ```yaml
//! rules:
//!   - token: edge-1
//!     hosts: [edge.example.com]
//! ```

use crate::file::Value;
use crate::{Entry, Error};

/// One mapping of such a list. Each of its fields is one value or a list of values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The name of the file as the user gave it.
    pub file: String,
    /// The line where it begins, from 1.
    pub line: usize,
    /// Its fields, in their order.
    pub fields: Vec<Entry>,
}

impl Record {
    /// Whether the field is there.
    #[must_use]
    pub fn has(&self, field: &str) -> bool {
        self.find(field).is_some()
    }

    /// A field with one value and a parser of its own.
    ///
    /// # Errors
    /// It has a list, or the parser's.
    pub fn value<T>(
        &self,
        field: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<T>, Error> {
        let Some(entry) = self.find(field) else {
            return Ok(None);
        };
        match &entry.value {
            Value::One(text) => {
                parse(text.trim()).map(Some).map_err(|reason| self.blame(field, &reason))
            }
            Value::Many(_) | Value::Records(_) => {
                Err(self.blame(field, "it takes one value and has a list"))
            }
        }
    }

    /// A field with one value or a list of them, each of which may hold commas too; empty when the
    /// field is not there.
    ///
    /// # Errors
    /// Those of the parser.
    pub fn list<T>(
        &self,
        field: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Vec<T>, Error> {
        let texts = self.find(field).map_or(&[][..], |entry| entry.value.texts());
        texts
            .iter()
            .flat_map(|text| text.split(','))
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .map(|item| parse(item).map_err(|reason| self.blame(field, &reason)))
            .collect()
    }

    /// An error that blames this field, or the whole record if the field is not there.
    #[must_use]
    pub fn blame(&self, field: &str, reason: &str) -> Error {
        let line = self.find(field).map_or(self.line, |entry| entry.line);
        Error::new(format!("{} line {line}: {field}: {reason}", self.file))
    }

    fn find(&self, field: &str) -> Option<&Entry> {
        self.fields.iter().find(|entry| entry.key == field)
    }
}

#[cfg(test)]
mod tests;
