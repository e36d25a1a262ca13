//! Durations: seconds, or a number with its unit.

use std::time::Duration;

/// The units that may stand behind a number, and their seconds.
const UNITS: [(&str, f64); 4] = [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];

/// A positive number of seconds such as `30` or `2.5`, or one with a unit such as `500ms` or `5m`.
///
/// # Errors
/// It is no number, not positive, or longer than any clock runs.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let wrong = || {
        format!(
            "{text:?} is not a number of seconds; give for example 30 or 2.5, or a unit as in \
             500ms, 5m or 1h"
        )
    };
    let (number, unit) = UNITS
        .iter()
        .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)))
        .unwrap_or((text, 1.0));
    let number = number.trim_end();
    let plain = number.bytes().all(|b| b.is_ascii_digit() || b == b'.')
        && number.starts_with(|c: char| c.is_ascii_digit());
    if !plain {
        return Err(wrong());
    }
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let duration = Duration::try_from_secs_f64(number * unit).map_err(|_| wrong())?;
    if duration.is_zero() {
        return Err(format!("{text:?} must be more than 0 seconds"));
    }
    Ok(duration)
}

/// The duration as [`seconds`] reads it.
#[must_use]
pub fn show_seconds(duration: &Duration) -> String {
    duration.as_secs_f64().to_string()
}
