//! The reader of settings: looks each one up, parses it, and remembers what came of it.

mod telling;

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::layers::CONFIG;
use crate::logging::Rules;
use crate::report::{self, Effective, Shown, quoted};
use crate::{Environment, Error, File, Flags, Found, Layers, NamedFile, Origin, Record, value};

/// Layers that are being turned into a configuration.
#[derive(Debug)]
pub struct Settings {
    layers: Layers,
    effective: Vec<Effective>,
    warnings: Vec<String>,
}

impl Settings {
    /// Reads the file that a flag or `MESH_CONFIG` names, and puts all layers together.
    ///
    /// # Errors
    /// The file cannot be used.
    pub fn load(flags: Flags, environment: Environment) -> Result<Self, Error> {
        let takes_file = flags.kind(CONFIG).is_some();
        let mut layers = Layers::new(flags, environment);
        if takes_file && let Some(found) = layers.get(CONFIG) {
            let file = File::read(found.text(), &found.origin.to_string())?;
            layers = layers.with_file(file)?;
        }
        Ok(Self { warnings: layers.unknown_variables(), layers, effective: Vec::new() })
    }

    /// A duration within bounds, which are in milliseconds. Zero is none, unless it is the lower one.
    ///
    /// # Errors
    /// It is none, or out of bounds.
    pub fn seconds(
        &mut self,
        name: &'static str,
        default: Duration,
        bounds: RangeInclusive<u64>,
    ) -> Result<Duration, Error> {
        let (min, max) = bounds.into_inner();
        let [min, max] = [min, max].map(Duration::from_millis);
        let parse = |text: &str| {
            let read = if min.is_zero() { value::duration } else { value::seconds };
            let duration = read(text)?;
            if (min..=max).contains(&duration) {
                return Ok(duration);
            }
            let [min, max] = [min, max].map(|bound| value::show_seconds(&bound));
            Err(format!("{text:?} is out of bounds; give {min} to {max} seconds"))
        };
        self.value(name, default, parse, value::show_seconds)
    }

    /// A whole number within bounds.
    ///
    /// # Errors
    /// It is none, or out of bounds.
    pub fn number<T>(
        &mut self,
        name: &'static str,
        default: T,
        bounds: RangeInclusive<T>,
    ) -> Result<T, Error>
    where
        T: Display + PartialOrd + TryFrom<u64>,
    {
        let parse = |text: &str| {
            let (min, max) = (bounds.start(), bounds.end());
            let number = value::number(text)
                .map_err(|_| format!("{text:?} is not a whole number; give {min} to {max}"))?;
            within(number, text, &bounds, T::to_string)
        };
        self.value(name, default, parse, T::to_string)
    }

    /// A number of bytes within bounds.
    ///
    /// # Errors
    /// It is none, or out of bounds.
    pub fn size<T>(
        &mut self,
        name: &'static str,
        default: T,
        bounds: RangeInclusive<T>,
    ) -> Result<T, Error>
    where
        T: Copy + Display + PartialOrd + TryFrom<u64> + TryInto<u64>,
    {
        let show =
            |bytes: &T| (*bytes).try_into().map_or_else(|_| bytes.to_string(), value::show_size);
        let parse = |text: &str| within(value::size(text)?, text, &bounds, show);
        self.value(name, default, parse, show)
    }

    /// Something that is on or off; off by default.
    ///
    /// # Errors
    /// The environment or the file has neither `true` nor `false`.
    pub fn switch(&mut self, name: &'static str) -> Result<bool, Error> {
        self.value(name, false, value::switch, bool::to_string)
    }

    /// A value with a parser of its own.
    ///
    /// # Errors
    /// Those of the parser.
    pub fn parsed<T>(
        &mut self,
        name: &'static str,
        default: T,
        parse: impl Fn(&str) -> Result<T, String>,
        show: impl Fn(&T) -> String,
    ) -> Result<T, Error> {
        self.value(name, default, parse, |value| quoted(&show(value)))
    }

    /// A value with a parser of its own and without default.
    ///
    /// # Errors
    /// Those of the parser.
    pub fn optional<T>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<T>, Error> {
        let Some(found) = self.layers.get(name) else {
            self.note(name, None, Origin::Default);
            return Ok(None);
        };
        let value = parse(found.text()).map_err(|reason| complaint(&found.origin, &reason))?;
        self.note(name, Some(quoted(found.text())), found.origin);
        Ok(Some(value))
    }

    /// A file, which is not looked at yet; none by default.
    ///
    /// # Errors
    /// None: any text may be a path.
    pub fn file(&mut self, name: &'static str) -> Result<Option<NamedFile>, Error> {
        let path = self.optional(name, |path| Ok(path.to_owned()))?;
        Ok(path.map(|path| NamedFile::new(path, self.culprit(name))))
    }

    /// A list, each item with a parser of its own; items that come twice count once.
    ///
    /// # Errors
    /// Those of the parser.
    pub fn list<T: PartialEq>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
        show: impl Fn(&T) -> String,
    ) -> Result<Vec<T>, Error> {
        let found =
            self.layers.get(name).unwrap_or(Found { values: Vec::new(), origin: Origin::Default });
        let mut items = Vec::new();
        for item in found.items() {
            let item = parse(item).map_err(|reason| complaint(&found.origin, &reason))?;
            if !items.contains(&item) {
                items.push(item);
            }
        }
        let shown = items.iter().map(|item| quoted(&show(item)));
        let shown = (!items.is_empty()).then(|| report::list(shown));
        self.note(name, shown, found.origin);
        Ok(items)
    }

    /// A list of mappings.
    pub fn records(&mut self, name: &'static str) -> Vec<Record> {
        let found = self.layers.records(name);
        let (records, origin) = found.unwrap_or((&[], Origin::Default));
        let records = records.to_vec();
        let is_there = origin != Origin::Default;
        let shown = if is_there { Shown::Records(records.clone()) } else { Shown::Nothing };
        self.note(name, shown, origin);
        records
    }

    /// A value that is never shown.
    pub fn secret(&mut self, name: &'static str) -> Option<String> {
        let found = self.layers.get(name);
        let shown = found.as_ref().map_or(Shown::Nothing, |_| Shown::Secret);
        let origin = found.as_ref().map_or(Origin::Default, |found| found.origin.clone());
        self.note(name, shown, origin);
        found.map(|found| found.text().to_owned())
    }

    /// What is logged: `--log-level`, `--verbose`, their variables, `RUST_LOG`, the file, else
    /// `default`.
    ///
    /// # Errors
    /// `log-level` or `verbose` cannot be understood. `RUST_LOG` belongs to others too: what is
    /// strange in it is a warning.
    pub fn log_rules(&mut self, default: Rules) -> Result<Rules, Error> {
        let rust_log = self.layers.environment().get(RUST_LOG).map(str::to_owned);
        let mut is_quiet = false;
        if let Some(rules) = self.rules(Layers::typed, &mut is_quiet)? {
            return Ok(rules);
        }
        if let Some(rules) = self.rules(Layers::in_environment, &mut is_quiet)? {
            return Ok(rules);
        }
        match rust_log.as_deref().map(Rules::lenient) {
            Some(Ok(rules)) => {
                let origin = Origin::Variable(RUST_LOG.to_owned());
                self.note(LOG_LEVEL, Some(quoted(&rules.to_string())), origin);
                return Ok(rules);
            }
            Some(Err(reason)) => self.warn(format!("{RUST_LOG} is ignored: {reason}")),
            None => {}
        }
        if let Some(rules) = self.rules(Layers::in_file, &mut is_quiet)? {
            return Ok(rules);
        }
        self.note(LOG_LEVEL, Some(default.to_string()), Origin::Default);
        Ok(default)
    }

    /// What one layer says of logging: the level, else whether to be verbose, unless a layer before it
    /// said not to be.
    fn rules(
        &mut self,
        layer: impl Fn(&Layers, &'static str) -> Option<Found>,
        is_quiet: &mut bool,
    ) -> Result<Option<Rules>, Error> {
        let wrong = |found: &Found, reason: String| complaint(&found.origin, &reason);
        if let Some(found) = layer(&self.layers, LOG_LEVEL) {
            let rules = Rules::strict(found.text()).map_err(|reason| wrong(&found, reason))?;
            self.note(LOG_LEVEL, Some(quoted(&rules.to_string())), found.origin);
            return Ok(Some(rules));
        }
        let Some(found) = layer(&self.layers, VERBOSE) else {
            return Ok(None);
        };
        *is_quiet |= !value::switch(found.text()).map_err(|reason| wrong(&found, reason))?;
        if *is_quiet {
            return Ok(None);
        }
        let rules = Rules::verbose();
        self.note(LOG_LEVEL, Some(rules.to_string()), found.origin);
        Ok(Some(rules))
    }

    /// The file that a setting names, whether the setting was read or not.
    #[must_use]
    pub fn peek_file(&self, name: &'static str) -> Option<NamedFile> {
        let found = self.layers.get(name)?;
        Some(NamedFile::new(found.text(), found.origin.to_string()))
    }

    /// Whether somebody set this, of the settings that were read.
    #[must_use]
    pub fn is_set(&self, name: &str) -> bool {
        *self.origin(name) != Origin::Default
    }

    /// Whether somebody set this to anything, of the settings that were read: an empty list is none.
    #[must_use]
    pub fn has_value(&self, name: &str) -> bool {
        let found = self.effective.iter().find(|effective| effective.name == name);
        found.is_some_and(|Effective { shown, origin, .. }| {
            let is_empty = match shown {
                Shown::Nothing => true,
                Shown::Records(records) => records.is_empty(),
                Shown::Value(_) | Shown::Secret => false,
            };
            *origin != Origin::Default && !is_empty
        })
    }

    fn origin(&self, name: &str) -> &Origin {
        self.effective
            .iter()
            .find(|effective| effective.name == name)
            .map_or(&Origin::Default, |effective| &effective.origin)
    }

    fn value<T>(
        &mut self,
        name: &'static str,
        default: T,
        parse: impl Fn(&str) -> Result<T, String>,
        show: impl Fn(&T) -> String,
    ) -> Result<T, Error> {
        let (value, origin) = match self.layers.get(name) {
            None => (default, Origin::Default),
            Some(found) => {
                let value =
                    parse(found.text()).map_err(|reason| complaint(&found.origin, &reason))?;
                (value, found.origin)
            }
        };
        self.note(name, Some(show(&value)), origin);
        Ok(value)
    }

    fn note(&mut self, name: &'static str, shown: impl Into<Shown>, origin: Origin) {
        self.effective.push(Effective { name, shown: shown.into(), origin });
    }
}

const LOG_LEVEL: &str = "log-level";
const VERBOSE: &str = "verbose";
const RUST_LOG: &str = "RUST_LOG";

fn complaint(origin: &Origin, reason: &str) -> Error {
    Error::new(format!("{origin}: {reason}"))
}

fn within<T: PartialOrd + TryFrom<u64>>(
    number: u64,
    text: &str,
    bounds: &RangeInclusive<T>,
    show: impl Fn(&T) -> String,
) -> Result<T, String> {
    T::try_from(number).ok().filter(|number| bounds.contains(number)).ok_or_else(|| {
        let (min, max) = (show(bounds.start()), show(bounds.end()));
        format!("{text:?} is out of bounds; give {min} to {max}")
    })
}

#[cfg(test)]
mod tests;
