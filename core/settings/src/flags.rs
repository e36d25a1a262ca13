//! What the user typed, and by it the list of all settings that a command knows.

/// Every setting of one command, with what was typed for it.
#[derive(Debug, Clone, Default)]
pub struct Flags(Vec<Flag>);

#[derive(Debug, Clone)]
struct Flag {
    name: &'static str,
    kind: Kind,
    typed: Vec<String>,
}

/// How many values a setting takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// None on the command line; `true` or `false` elsewhere.
    Switch,
    /// One.
    One,
    /// A list.
    Many,
    /// A list of mappings with these members, in the file only.
    Records(&'static [&'static str]),
    /// One that nobody else may see, in the environment only: command lines are seen by everyone
    /// on the machine, and files of settings are copied and checked in.
    Secret,
}

impl Flags {
    /// No settings yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// A setting with one value.
    #[must_use]
    pub fn one(self, name: &'static str, typed: Option<String>) -> Self {
        self.with(name, Kind::One, typed.into_iter().collect())
    }

    /// A setting with a list of values.
    #[must_use]
    pub fn many(self, name: &'static str, typed: Vec<String>) -> Self {
        self.with(name, Kind::Many, typed)
    }

    /// A setting that is on or off; the command line can only turn it on.
    #[must_use]
    pub fn switch(self, name: &'static str, typed: bool) -> Self {
        let typed = typed.then(|| "true".to_owned());
        self.with(name, Kind::Switch, typed.into_iter().collect())
    }

    /// A list of mappings with these members, in the file only.
    #[must_use]
    pub fn records(self, name: &'static str, members: &'static [&'static str]) -> Self {
        self.with(name, Kind::Records(members), Vec::new())
    }

    /// A setting with a value that is never shown, in the environment only.
    #[must_use]
    pub fn secret(self, name: &'static str) -> Self {
        self.with(name, Kind::Secret, Vec::new())
    }

    fn with(mut self, name: &'static str, kind: Kind, typed: Vec<String>) -> Self {
        self.0.push(Flag { name, kind, typed });
        self
    }

    /// The names of all settings, in the order of the help text.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().map(|flag| flag.name)
    }

    /// How many values the setting takes; `None` when there is no such setting.
    #[must_use]
    pub fn kind(&self, name: &str) -> Option<Kind> {
        self.find(name).map(|flag| flag.kind)
    }

    /// What was typed for a setting, if anything was.
    #[must_use]
    pub fn typed(&self, name: &str) -> Option<&[String]> {
        self.find(name).map(|flag| flag.typed.as_slice()).filter(|typed| !typed.is_empty())
    }

    fn find(&self, name: &str) -> Option<&Flag> {
        self.0.iter().find(|flag| flag.name == name)
    }
}
