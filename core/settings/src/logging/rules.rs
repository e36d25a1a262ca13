//! Which records are logged: a level, and levels for single targets.

use std::fmt;

use log::LevelFilter;

use crate::value;

/// `level`, or `level,target=level,...`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// For everything that no target names.
    pub level: LevelFilter,
    /// For targets that begin like this.
    pub targets: Vec<(String, LevelFilter)>,
}

impl Rules {
    /// What `--verbose` asks for.
    #[must_use]
    pub const fn verbose() -> Self {
        Self { level: LevelFilter::Debug, targets: Vec::new() }
    }

    /// The rules in a setting of ours, where a word that is no level is a slip.
    ///
    /// # Errors
    /// A level does not exist, or a target cannot.
    pub fn strict(text: &str) -> Result<Self, String> {
        let mut rules = Self::default();
        if parts(text).next().is_none() {
            value::level(text)?;
        }
        for part in parts(text) {
            match part.split_once('=') {
                Some((target, level)) => {
                    check_target(target.trim())?;
                    rules.target(target, value::level(level.trim())?);
                }
                None => rules.level = value::level(part)?,
            }
        }
        Ok(rules)
    }

    /// The rules in `RUST_LOG`, where a word that is no level is a target to log in full.
    ///
    /// # Errors
    /// A level does not exist.
    pub fn lenient(text: &str) -> Result<Self, String> {
        let mut rules = Self::default();
        for part in parts(text) {
            match (part.split_once('='), value::level(part)) {
                (Some((target, level)), _) => rules.target(target, value::level(level.trim())?),
                (None, Ok(level)) => rules.level = level,
                (None, Err(_)) => rules.target(part, LevelFilter::Trace),
            }
        }
        Ok(rules)
    }

    fn target(&mut self, target: &str, level: LevelFilter) {
        self.targets.push((target.trim().to_owned(), level));
    }
}

/// Targets are paths of modules, or begin like one: a rule for anything else would do nothing, or with
/// nothing in its place count for all of them.
fn check_target(target: &str) -> Result<(), String> {
    if is_target(target) {
        return Ok(());
    }
    let meant = target.replace('-', "_");
    let hint = match is_target(&meant) {
        true => format!("{meant} may be meant"),
        false => "give for example info,mesh_agent=debug".to_owned(),
    };
    Err(format!("{target:?} is no part of the log; {hint}"))
}

fn is_target(text: &str) -> bool {
    let is_name = |name: &str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    text.split("::").all(is_name)
}

fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty())
}

impl Default for Rules {
    fn default() -> Self {
        Self { level: LevelFilter::Info, targets: Vec::new() }
    }
}

impl fmt::Display for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.level.as_str().to_ascii_lowercase())?;
        for (target, level) in &self.targets {
            write!(f, ",{target}={}", level.as_str().to_ascii_lowercase())?;
        }
        Ok(())
    }
}
