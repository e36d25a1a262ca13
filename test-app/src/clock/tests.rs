use std::time::Duration;

use super::{Moment, millis, rfc3339, seconds};

#[test]
fn moments_are_written_as_rfc_3339() {
    // Compared with `date -u -d @SECONDS`.
    let known = [
        (0, "1970-01-01T00:00:00.000Z"),
        (68_169_599_999, "1972-02-28T23:59:59.999Z"),
        (68_169_600_000, "1972-02-29T00:00:00.000Z"),
        (951_782_400_000, "2000-02-29T00:00:00.000Z"),
        (951_868_800_001, "2000-03-01T00:00:00.001Z"),
        (1_767_225_599_500, "2025-12-31T23:59:59.500Z"),
        (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
    ];
    for (unix_ms, text) in known {
        assert_eq!(rfc3339(unix_ms), text);
    }
}

#[test]
fn now_is_the_same_in_both_notations() {
    let now = Moment::now();
    assert_eq!(now.time, rfc3339(now.unix_ms));
    assert!(now.unix_ms > 1_700_000_000_000);
}

#[test]
fn durations_are_rounded() {
    let duration = Duration::from_nanos(1_234_567_890);
    assert_eq!(seconds(duration), 1.235);
    assert_eq!(millis(duration), 1234.568);
}
