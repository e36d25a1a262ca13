//! Whole numbers, and sizes in bytes.

/// The units that may stand behind a number of bytes, and their bytes.
const UNITS: [(&str, u64); 4] =
    [("GiB", 1024 * 1024 * 1024), ("MiB", 1024 * 1024), ("KiB", 1024), ("B", 1)];

/// A whole number. One that is too large for any machine is the largest there is, which no bounds
/// allow.
///
/// # Errors
/// It is none.
pub fn number(text: &str) -> Result<u64, String> {
    digits(text).ok_or_else(|| format!("{text:?} is not a whole number; give for example 8080"))
}

/// A number of bytes such as `65536`, or one with a unit such as `64KiB` or `1MiB`.
///
/// # Errors
/// It is none.
pub fn size(text: &str) -> Result<u64, String> {
    let (number, unit) = UNITS
        .iter()
        .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)))
        .unwrap_or((text, 1));
    digits(number.trim_end()).map(|number| number.saturating_mul(unit)).ok_or_else(|| {
        format!(
            "{text:?} is not a number of bytes; give for example 65536, or a unit as in 64KiB \
                 or 1MiB"
        )
    })
}

/// The size as [`size`] reads it.
#[must_use]
pub fn show_size(bytes: u64) -> String {
    UNITS
        .iter()
        .filter(|(_, factor)| *factor > 1 && bytes > 0)
        .find(|(_, factor)| bytes.is_multiple_of(*factor))
        .map_or_else(|| bytes.to_string(), |(unit, factor)| format!("{}{unit}", bytes / factor))
}

/// A number of nothing but digits; the standard parser takes a sign too.
fn digits(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}
