//! Which host names a rule gives away.

use std::fmt;
use std::net::IpAddr;

use crate::routes;

/// `name`, `*.suffix` or `*`, as agents register them; `{service}` in it is the name of the ECS
/// service that the agent's task is proved to be of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPattern {
    /// In lower case, without the dot at the end.
    text: Box<str>,
}

/// Stands for the service's name.
const SERVICE: &str = "{service}";

/// The longest label of a DNS name (RFC 1035 2.3.4).
const LABEL_BYTES_MAX: usize = 63;

impl HostPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// It is none; half a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let lower = text.to_ascii_lowercase();
        let lower = if lower == "." { "" } else { lower.strip_suffix('.').unwrap_or(&lower) };
        if lower.matches(SERVICE).count() > 1 {
            return Err(format!("{text:?} has {SERVICE} more than once"));
        }
        // Any label will do to see whether the rest of it is right.
        if routes::normalize(&lower.replace(SERVICE, "s")).is_none() {
            return Err(format!(
                "{text:?} is not a host name; give for example shop.example.com, \
                 \"*.example.com\", \"{SERVICE}.example.com\" or \"*\""
            ));
        }
        Ok(Self { text: lower.into() })
    }

    /// The pattern that is every host.
    #[must_use]
    pub fn any() -> Self {
        Self { text: "*".into() }
    }

    /// Whether the name of the service has to be known.
    #[must_use]
    pub fn needs_service(&self) -> bool {
        self.text.contains(SERVICE)
    }

    /// Whether every name that `claim` can match is matched by this pattern too, for an agent of
    /// this service. `claim` is a pattern as [`routes::normalize`] returns it.
    #[must_use]
    pub fn covers(&self, claim: &str, service: Option<&str>) -> bool {
        if !self.needs_service() {
            return covers(&self.text, claim);
        }
        let Some(label) = service.and_then(service_label) else {
            return false;
        };
        // A long service name may make a label or the whole name too long.
        routes::normalize(&self.text.replace(SERVICE, &label))
            .is_some_and(|pattern| covers(&pattern, claim))
    }

    /// Whether the claim would be covered for an agent of some service. It may say so of a few
    /// claims too many, but never of one too few: ECS is asked then, and [`covers`](Self::covers)
    /// decides.
    #[must_use]
    pub fn may_cover(&self, claim: &str) -> bool {
        let Some((before, behind)) = self.text.split_once(SERVICE) else {
            return covers(&self.text, claim);
        };
        if before.starts_with('*') {
            return claim.ends_with(behind);
        }
        claim
            .strip_prefix(before)
            .and_then(|claim| claim.strip_suffix(behind))
            .is_some_and(|label| service_label(label).is_some())
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The name of an ECS service as a DNS label, in lower case; `None` if it cannot be one, which is
/// so for names with underscores.
#[must_use]
pub fn service_label(service: &str) -> Option<String> {
    let is_label = (1..=LABEL_BYTES_MAX).contains(&service.len())
        && !service.starts_with('-')
        && !service.ends_with('-')
        && service.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    is_label.then(|| service.to_ascii_lowercase())
}

/// Both are normalised. Address literals are matched by no suffix, as in [`routes`].
fn covers(pattern: &str, claim: &str) -> bool {
    if pattern == "*" || pattern == claim {
        return true;
    }
    pattern.strip_prefix('*').is_some_and(|suffix| {
        claim.len() > suffix.len() && claim.ends_with(suffix) && claim.parse::<IpAddr>().is_err()
    })
}

#[cfg(test)]
mod tests;
