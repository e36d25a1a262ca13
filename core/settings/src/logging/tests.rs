use std::time::{Duration, UNIX_EPOCH};

use log::{Level, Metadata, Record};

use super::line::line;
use super::{Reader, Rules, chosen};

fn at(seconds: u64, millis: u64) -> String {
    let now = UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_millis(millis);
    let record =
        Record::builder().level(Level::Info).target("mesh").args(format_args!("hello")).build();
    line(&record, now, Reader::Other)
}

#[test]
fn times_are_utc_by_the_gregorian_calendar() {
    let cases = [
        (0, 0, "1970-01-01T00:00:00.000Z"),
        (951_782_399, 999, "2000-02-28T23:59:59.999Z"),
        (951_782_400, 0, "2000-02-29T00:00:00.000Z"),
        (951_868_800, 1, "2000-03-01T00:00:00.001Z"),
        (1_704_067_199, 0, "2023-12-31T23:59:59.000Z"),
        (1_709_164_800, 0, "2024-02-29T00:00:00.000Z"),
        (4_107_542_400, 0, "2100-03-01T00:00:00.000Z"),
    ];
    for (seconds, millis, expected) in cases {
        assert_eq!(at(seconds, millis), format!("{expected} INFO  [mesh] hello"));
    }
}

#[test]
fn a_message_stays_on_its_line() {
    let record = Record::builder()
        .level(Level::Warn)
        .target("mesh")
        .args(format_args!("a\r\nb \x1b[31m é"))
        .build();
    let plain = line(&record, UNIX_EPOCH, Reader::Other);
    assert!(plain.ends_with("WARN  [mesh] a\\r\\nb \\u{1b}[31m é"), "{plain}");
    let coloured = line(&record, UNIX_EPOCH, Reader::Terminal);
    assert!(coloured.contains("\x1b[33mWARN \x1b[0m [mesh]"), "{coloured}");
}

#[test]
fn the_journal_gets_a_priority_and_no_time() {
    let cases = [
        (Level::Error, "<3>ERROR"),
        (Level::Warn, "<4>WARN "),
        (Level::Info, "<6>INFO "),
        (Level::Debug, "<7>DEBUG"),
        (Level::Trace, "<7>TRACE"),
    ];
    for (level, head) in cases {
        let record =
            Record::builder().level(level).target("mesh").args(format_args!("a\nb")).build();
        assert_eq!(line(&record, UNIX_EPOCH, Reader::Journal), format!("{head} [mesh] a\\nb"));
    }
}

#[test]
fn what_a_peer_does_wrong_in_tls_is_for_those_who_ask_for_it() {
    let is_logged = |rules: &str, target: &str, level| {
        let metadata = Metadata::builder().target(target).level(level).build();
        log::Log::enabled(&chosen(&Rules::strict(rules).unwrap()), &metadata)
    };
    for rules in ["info", "warn", "info,mesh=debug", "info,rustls=error"] {
        assert!(!is_logged(rules, "rustls::check", Level::Warn), "{rules}");
        assert!(is_logged(rules, "rustls::check", Level::Error), "{rules}");
        assert!(is_logged(rules, "mesh_ingress", Level::Warn), "{rules}");
    }
    for rules in ["debug", "trace", "info,rustls=warn", "error,rustls::check=info"] {
        assert!(is_logged(rules, "rustls::check", Level::Warn), "{rules}");
    }
    assert!(!is_logged("off", "rustls::check", Level::Error));
}
