//! The files that AWS's tools share: `~/.aws/credentials` and `~/.aws/config`.
//!
//! ```text
//! [default]                      # in both files
//! aws_access_key_id = AKIA...
//!
//! [profile ingress]              # in config; in credentials it is [ingress]
//! region = eu-central-1
//! ```
//!
//! A setting that both files have counts as the credentials file says. Lines that are indented more
//! than the setting before them belong to nested settings, none of which matter here; a profile that
//! is indented as a whole is read as the AWS CLI reads it. A complaint names the line and never
//! quotes it: it may hold a key.

use std::collections::BTreeMap;

use crate::Environment;
use crate::file::{Content, Look, read_watched};

/// Both files as they were when they were read.
pub(crate) struct Profiles {
    by_name: BTreeMap<String, Profile>,
    /// Which profile is meant.
    pub(crate) choice: Choice,
    /// The files' looks, to see when they change.
    pub(crate) looks: Vec<Look>,
    /// The files that nobody named and that this user may not read: parts of a sentence.
    withheld: Vec<String>,
}

/// The settings of one profile; names in lower case.
#[derive(Default)]
pub(crate) struct Profile(BTreeMap<String, String>);

/// The profile's name, and whether somebody asked for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) name: String,
    pub(crate) origin: Origin,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// `AWS_PROFILE` names it.
    Variable,
    /// It is the one called `default`.
    Default,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Config,
    Credentials,
}

impl Profiles {
    /// Reads both files, as far as they exist. In a container or under a service manager, `HOME` is often
    /// the folder of another user: files there that this one may not read are as good as none, unless a
    /// variable names them.
    ///
    /// # Errors
    /// A sentence: a file cannot be read or is malformed, or a variable names one that is not there.
    pub(crate) fn read(environment: &Environment) -> Result<Self, String> {
        let name = environment.get("AWS_PROFILE");
        let choice = Choice {
            name: name.unwrap_or("default").to_owned(),
            origin: if name.is_some() { Origin::Variable } else { Origin::Default },
        };
        let (looks, withheld) = (Vec::new(), Vec::new());
        let mut profiles = Self { by_name: BTreeMap::new(), choice, looks, withheld };
        // The later file counts.
        profiles.add(environment, Kind::Config)?;
        profiles.add(environment, Kind::Credentials)?;
        Ok(profiles)
    }

    fn add(&mut self, environment: &Environment, kind: Kind) -> Result<(), String> {
        let named = environment.get(kind.variable());
        let path = match named {
            Some(path) => Some(environment.expand(path)),
            None => environment.below_home(kind.path()),
        };
        let Some(path) = path else {
            return Ok(());
        };
        let unreadable = |reason: String| format!("cannot read {}: {reason}", path.display());
        let (content, look) = read_watched(&path).map_err(unreadable)?;
        self.looks.push(look);
        match (content, named) {
            (Content::Text(text), _) => self
                .take(&text, kind)
                .map_err(|complaint| format!("{}: {complaint}", path.display())),
            (Content::Missing, None) => Ok(()),
            (Content::Missing, Some(path)) => {
                Err(format!("{} names {path}, which does not exist", kind.variable()))
            }
            (Content::Withheld(reason), None) => {
                let withheld = unreadable(reason);
                log::debug!("{withheld}; it is taken as missing");
                self.withheld.push(withheld);
                Ok(())
            }
            (Content::Withheld(reason), Some(_)) => Err(unreadable(reason)),
        }
    }

    fn take(&mut self, text: &str, kind: Kind) -> Result<(), String> {
        let mut section = Section::None;
        // How far the last setting of this section is indented.
        let mut indent = None;
        for (number, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
            let number = number + 1;
            let content = line.trim();
            if content.is_empty() || content.starts_with(['#', ';']) {
                continue;
            }
            let blanks = line.len() - line.trim_start().len();
            if indent.is_some_and(|indent| blanks > indent) {
                continue;
            }
            if let Some(rest) = content.strip_prefix('[') {
                section = kind.section(rest).ok_or_else(|| {
                    format!("line {number} begins with [ and is not the head of a profile")
                })?;
                indent = None;
                if let Section::Profile(name) = &section {
                    self.by_name.entry(name.clone()).or_default();
                }
                continue;
            }
            let (name, value) = content.split_once('=').ok_or_else(|| {
                format!("line {number} is neither a [profile] nor a setting with =")
            })?;
            indent = Some(blanks);
            match &section {
                Section::Other => {}
                Section::None => {
                    return Err(format!("line {number} is a setting before any [profile]"));
                }
                Section::Profile(profile) => {
                    let profile = self.by_name.entry(profile.clone()).or_default();
                    profile.0.insert(name.trim().to_ascii_lowercase(), without_comment(value));
                }
            }
        }
        Ok(())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Profile> {
        self.by_name.get(name)
    }

    /// The part of a sentence that says why nothing was found, with the files that could not be read.
    pub(crate) fn explain(&self, why: &str) -> String {
        if self.withheld.is_empty() {
            return why.to_owned();
        }
        format!("{why} ({})", self.withheld.join(", "))
    }

    /// The profile that is meant, if it exists.
    pub(crate) fn chosen(&self) -> Option<&Profile> {
        self.get(&self.choice.name)
    }
}

impl Profile {
    /// A setting's value; an empty one counts as absent.
    pub(crate) fn get(&self, setting: &str) -> Option<&str> {
        self.0.get(setting).map(String::as_str).filter(|value| !value.is_empty())
    }
}

enum Section {
    /// Before the first head.
    None,
    Profile(String),
    /// `[sso-session x]`, `[services x]` and what may still be invented.
    Other,
}

impl Kind {
    const fn variable(self) -> &'static str {
        match self {
            Self::Config => "AWS_CONFIG_FILE",
            Self::Credentials => "AWS_SHARED_CREDENTIALS_FILE",
        }
    }

    const fn path(self) -> &'static str {
        match self {
            Self::Config => ".aws/config",
            Self::Credentials => ".aws/credentials",
        }
    }

    /// What the head `[rest` begins, or `None` where it is none.
    fn section(self, rest: &str) -> Option<Section> {
        let (head, after) = rest.split_once(']')?;
        let after = after.trim_start();
        if !after.is_empty() && !after.starts_with(['#', ';']) {
            return None;
        }
        let head = head.trim();
        if head.is_empty() {
            return None;
        }
        let profile = |name: &str| Section::Profile(name.to_owned());
        Some(match self {
            Self::Credentials => profile(head),
            Self::Config if head == "default" => profile(head),
            Self::Config => match head.split_once([' ', '\t']) {
                Some(("profile", name)) => profile(name.trim().trim_matches('"')),
                Some(_) | None => Section::Other,
            },
        })
    }
}

/// The value without a comment behind it, which begins with white space and `#` or `;`.
fn without_comment(value: &str) -> String {
    let end = value
        .char_indices()
        .zip(value.chars().skip(1))
        .find(|((_, blank), mark)| matches!(blank, ' ' | '\t') && matches!(mark, '#' | ';'))
        .map_or(value.len(), |((at, _), _)| at);
    value.get(..end).unwrap_or(value).trim().to_owned()
}

#[cfg(test)]
mod tests;
