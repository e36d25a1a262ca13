//! The query part of a request's target.

use axum::http::Uri;

use crate::reply::Refusal;

/// The decoded `name=value` pairs of a query, in order.
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    pub(crate) fn of(uri: &Uri) -> Self {
        let raw = uri.query().unwrap_or_default();
        Self(form_urlencoded::parse(raw.as_bytes()).into_owned().collect())
    }

    pub(crate) fn into_pairs(self) -> Vec<(String, String)> {
        self.0
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The whole number called `name`, at most `max`, or `default` if it is not there.
    pub(crate) fn number(&self, name: &str, default: u64, max: u64) -> Result<u64, Refusal> {
        let Some(value) = self.get(name) else {
            return Ok(default);
        };
        value.parse().ok().filter(|number| *number <= max).ok_or_else(|| {
            Refusal::bad_request(format!("{name} must be a whole number from 0 to {max}"))
        })
    }

    /// Whether `name` is switched on: `?name`, `?name=1` or `?name=true`.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, Refusal> {
        match self.get(name) {
            None | Some("0" | "false") => Ok(false),
            Some("" | "1" | "true") => Ok(true),
            Some(_) => Err(Refusal::bad_request(format!("{name} must be 0 or 1"))),
        }
    }
}
