//! Durations: seconds, or a number with its unit.

use std::time::Duration;

/// The units that may stand behind a number, and their nanoseconds.
const UNITS: [(&str, u64); 4] = [
    ("ms", 1_000_000),
    ("s", NANOS_PER_SECOND),
    ("m", 60 * NANOS_PER_SECOND),
    ("h", 3600 * NANOS_PER_SECOND),
];
const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// A positive number of seconds such as `30` or `2.5`, or one with a unit such as `500ms` or `5m`.
///
/// # Errors
/// It is no number, or not positive.
pub fn seconds(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err(format!("{text:?} must be more than 0 seconds")),
        duration => Ok(duration),
    }
}

/// A time as [`seconds`] reads it, or 0. One that is longer than any clock runs is the longest there is, which no bounds
/// allow.
///
/// # Errors
/// It is no number, or negative.
pub fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = UNITS
        .iter()
        .find_map(|(unit, nanos)| Some((text.strip_suffix(unit)?, *nanos)))
        .unwrap_or((text, NANOS_PER_SECOND));
    let number = number.trim_end();
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let is_plain = !whole.is_empty() && [whole, fraction].iter().all(|part| is_digits(part));
    if !is_plain {
        return Err(format!(
            "{text:?} is not a number of seconds; give for example 30 or 2.5, or a unit as in \
             500ms, 5m or 1h"
        ));
    }
    Ok(Duration::from_nanos(nanos(whole, fraction, unit).unwrap_or(u64::MAX)))
}

/// Without floating point: what is said is what is meant, and a small program stays small. `None`
/// where there are too many of them.
fn nanos(whole: &str, fraction: &str, unit: u64) -> Option<u64> {
    let mut nanos = whole.parse::<u64>().ok()?.checked_mul(unit)?;
    let mut place = unit;
    for digit in fraction.bytes() {
        place /= 10;
        nanos = nanos.checked_add(u64::from(digit - b'0') * place)?;
    }
    Some(nanos)
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The duration as [`seconds`] reads it.
#[must_use]
pub fn show_seconds(duration: &Duration) -> String {
    let text = format!("{}.{:09}", duration.as_secs(), duration.subsec_nanos());
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
