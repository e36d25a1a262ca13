//! The layers in their order: flag, environment, file. The first that names a setting decides.

use std::fmt;

use crate::file::Value;
use crate::{Entry, Environment, Error, File, Flags, Kind, Record, nearest};

/// The three layers above the defaults.
#[derive(Debug, Default)]
pub struct Layers {
    flags: Flags,
    environment: Environment,
    file: Option<File>,
}

/// What a layer says of a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// One text, or the items of a list.
    pub values: Vec<String>,
    /// Which layer says so.
    pub origin: Origin,
}

/// Where a value is from, as a user would point at it. The order is the precedence.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The command line: `--request-timeout`.
    Flag(&'static str),
    /// The environment: `MESH_REQUEST_TIMEOUT`.
    Variable(String),
    /// The file: `server.yaml line 3: request-timeout`.
    File {
        /// The file as the user named it.
        file: String,
        /// The line of the key, from 1.
        line: usize,
        /// The key.
        key: &'static str,
    },
    /// The code.
    Default,
}

impl Layers {
    /// These layers. `flags` also says which settings there are.
    #[must_use]
    pub const fn new(flags: Flags, environment: Environment) -> Self {
        Self { flags, environment, file: None }
    }

    /// The same layers with a file below them.
    ///
    /// # Errors
    /// The file has a key that is no setting, or a list where one value belongs, or the like.
    pub fn with_file(mut self, file: File) -> Result<Self, Error> {
        for entry in &file.entries {
            let place = format!("{} line {}: {}", file.name, entry.line, entry.key);
            let wrong = |what: &str| Err(Error::new(format!("{place} {what}")));
            if entry.key == CONFIG {
                return wrong("cannot name another file");
            }
            match (self.flags.kind(&entry.key), &entry.value) {
                (None, _) => return Err(self.unknown_key(&place, &entry.key)),
                (Some(Kind::Secret), _) => {
                    let variable = Environment::variable(&entry.key);
                    return wrong(&format!("is a secret; it can only be the variable {variable}"));
                }
                (Some(Kind::Records(members)), Value::Records(records)) => {
                    check_members(&entry.key, members, records)?;
                }
                (Some(Kind::Records(_)), Value::Many(values)) if values.is_empty() => {}
                (Some(Kind::Records(members)), Value::One(_) | Value::Many(_)) => {
                    let members = members.join(", ");
                    return wrong(&format!("must be a list of mappings with some of {members}"));
                }
                (Some(Kind::One | Kind::Switch | Kind::Many), Value::Records(_)) => {
                    return wrong("must be one value or a list of values, without anything nested");
                }
                (Some(Kind::One | Kind::Switch), Value::Many(_)) => {
                    return wrong("takes one value and has a list");
                }
                (Some(Kind::One | Kind::Switch), Value::One(_)) => {}
                (Some(Kind::Many), Value::One(_) | Value::Many(_)) => {}
            }
        }
        self.file = Some(file);
        Ok(self)
    }

    fn unknown_key(&self, place: &str, key: &str) -> Error {
        let by_variable = || self.file_keys().find(|name| Environment::variable(name) == key);
        let hint = if let Some(name) = nearest(key, self.file_keys()).or_else(by_variable) {
            format!("{name} may be meant")
        } else if let Some(name) = nearest(key, self.secrets()) {
            let variable = Environment::variable(name);
            format!("{name} may be meant, which can only be the variable {variable}")
        } else {
            "the keys are the names of the flags without their dashes".to_owned()
        };
        Error::new(format!("{place} is not a setting of this command; {hint}"))
    }

    fn secrets(&self) -> impl Iterator<Item = &'static str> {
        self.flags.names().filter(|name| self.flags.kind(name) == Some(Kind::Secret))
    }

    fn file_keys(&self) -> impl Iterator<Item = &'static str> {
        self.flags
            .names()
            .filter(|name| *name != CONFIG && self.flags.kind(name) != Some(Kind::Secret))
    }

    /// What the first layer that names the setting says of it.
    ///
    /// # Panics
    /// When the command has no such setting, which is a mistake in this program.
    #[must_use]
    pub fn get(&self, name: &'static str) -> Option<Found> {
        assert!(self.flags.kind(name).is_some(), "{name} is among the command's flags");
        self.typed(name).or_else(|| self.in_environment(name)).or_else(|| self.in_file(name))
    }

    /// Variables that look like settings and are none, with what may be meant.
    pub(crate) fn unknown_variables(&self) -> Vec<String> {
        let is_records = |name: &&str| matches!(self.flags.kind(name), Some(Kind::Records(_)));
        let in_file: Vec<&str> = self.flags.names().filter(is_records).collect();
        let known: Vec<String> = self
            .flags
            .names()
            .filter(|name| !in_file.contains(name))
            .map(Environment::variable)
            .collect();
        self.environment
            .own()
            .filter(|name| known.iter().all(|known| known != name))
            .map(|name| {
                let records = in_file.iter().find(|key| Environment::variable(key) == name);
                if let Some(key) = records {
                    return format!("{name} is ignored: {key} can only be in a file");
                }
                let hint = nearest(name, known.iter().map(String::as_str))
                    .map_or_else(String::new, |near| format!("; {near} may be meant"));
                format!("{name} is not a setting of this command and is ignored{hint}")
            })
            .collect()
    }

    pub(crate) const fn environment(&self) -> &Environment {
        &self.environment
    }

    pub(crate) fn typed(&self, name: &'static str) -> Option<Found> {
        self.flags
            .typed(name)
            .map(|typed| Found { values: typed.to_vec(), origin: Origin::Flag(name) })
    }

    pub(crate) fn in_environment(&self, name: &'static str) -> Option<Found> {
        let variable = Environment::variable(name);
        let value = self.environment.get(&variable)?.to_owned();
        Some(Found { values: vec![value], origin: Origin::Variable(variable) })
    }

    pub(crate) fn in_file(&self, name: &'static str) -> Option<Found> {
        let (entry, origin) = self.entry(name)?;
        Some(Found { values: entry.value.texts().to_vec(), origin })
    }

    /// The mappings that the file has for the setting.
    ///
    /// # Panics
    /// When the command has no such setting, which is a mistake in this program.
    pub(crate) fn records(&self, name: &'static str) -> Option<(&[Record], Origin)> {
        let is_records = matches!(self.flags.kind(name), Some(Kind::Records(_)));
        assert!(is_records, "{name} is among the command's lists of mappings");
        let (entry, origin) = self.entry(name)?;
        match &entry.value {
            Value::Records(records) => Some((records, origin)),
            Value::One(_) | Value::Many(_) => Some((&[], origin)),
        }
    }

    fn entry(&self, name: &'static str) -> Option<(&Entry, Origin)> {
        let file = self.file.as_ref()?;
        let entry = file.entries.iter().find(|entry| entry.key == name)?;
        let origin = Origin::File { file: file.name.clone(), line: entry.line, key: name };
        Some((entry, origin))
    }
}

fn check_members(list: &str, members: &[&str], records: &[Record]) -> Result<(), Error> {
    for record in records {
        for Entry { key, line, .. } in &record.fields {
            if members.contains(&key.as_str()) {
                continue;
            }
            let hint = nearest(key, members.iter().copied()).map_or_else(
                || format!("these are {}", members.join(", ")),
                |name| format!("{name} may be meant"),
            );
            let file = &record.file;
            return Err(Error::new(format!(
                "{file} line {line}: {key} is not a member of {list}; {hint}"
            )));
        }
    }
    Ok(())
}

/// The setting that names the file, and so cannot be in it.
pub(crate) const CONFIG: &str = "config";

impl Found {
    /// The one value.
    #[must_use]
    pub fn text(&self) -> &str {
        self.values.first().map_or("", |value| value.trim())
    }

    /// The items of a list: those of a sequence, each of which may hold commas too.
    pub fn items(&self) -> impl Iterator<Item = &str> {
        self.values
            .iter()
            .flat_map(|value| value.split(','))
            .map(str::trim)
            .filter(|item| !item.is_empty())
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => write!(f, "--{name}"),
            Self::Variable(variable) => f.write_str(variable),
            Self::File { file, line, key } => write!(f, "{file} line {line}: {key}"),
            Self::Default => f.write_str("default"),
        }
    }
}

#[cfg(test)]
mod tests;
