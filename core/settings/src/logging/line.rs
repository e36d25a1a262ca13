//! One line of the log: `2026-03-01T12:00:00.000Z INFO  [mesh_ingress] message`, or for the journal
//! `<6>INFO  [mesh_ingress] message`.

use std::time::{SystemTime, UNIX_EPOCH};

use log::{Level, Record};

use super::Reader;

/// The line for a record, without its end.
pub(super) fn line(record: &Record<'_>, now: SystemTime, reader: Reader) -> String {
    let level = record.level();
    let head = match reader {
        Reader::Terminal => {
            format!("{} {}{level:<5}\x1b[0m", timestamp(now), colour_of(level))
        }
        Reader::Journal => format!("<{}>{level:<5}", priority_of(level)),
        Reader::Other => format!("{} {level:<5}", timestamp(now)),
    };
    let message = printable(&record.args().to_string());
    format!("{head} [{}] {message}", record.target())
}

/// As syslog counts them, which `sd-daemon(3)` writes before a line.
const fn priority_of(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

const fn colour_of(level: Level) -> &'static str {
    match level {
        Level::Error => "\x1b[31m",
        Level::Warn => "\x1b[33m",
        Level::Info => "\x1b[36m",
        Level::Debug => "\x1b[35m",
        Level::Trace => "",
    }
}

/// The message on one line: what a peer sent must not look like another line, or steer a terminal, and
/// neither must what stands in a file.
pub(crate) fn printable(message: &str) -> String {
    let mut text = String::with_capacity(message.len());
    for c in message.chars() {
        if c.is_control() {
            text.extend(c.escape_default());
        } else {
            text.push(c);
        }
    }
    text
}

/// The time as RFC 3339 writes it, in UTC.
pub(super) fn timestamp(time: SystemTime) -> String {
    let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = since_epoch.as_secs();
    let (year, month, day) = date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let millis = since_epoch.subsec_millis();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// Year, month and day of the Gregorian calendar.
///
/// The count is moved to begin on 1 March of the year 0, so that leap days end a year and a month's
/// first day is a straight line through the months (Hinnant, "chrono-compatible low-level date
/// algorithms").
const fn date(days_since_1970: u64) -> (u64, u64, u64) {
    let days = days_since_1970 + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let (month, next_year) =
        if month_from_march < 10 { (month_from_march + 3, 0) } else { (month_from_march - 9, 1) };
    (era * 400 + year_of_era + next_year, month, day)
}
