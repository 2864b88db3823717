//! Points in time as text.

use std::time::{SystemTime, UNIX_EPOCH};

/// RFC 3339 in UTC with milliseconds: `2026-11-22T11:33:07.250Z`. Times before 1970 are shown as its first second:
/// only a broken clock has them.
pub(super) fn rfc3339(at: SystemTime) -> String {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (seconds, millis) = (since.as_secs(), since.subsec_millis());
    let (mut days, time) = (seconds / 86_400, seconds % 86_400);
    let mut year = 1970;
    while days >= days_of_year(year) {
        days -= days_of_year(year);
        year += 1;
    }
    let mut month = 1;
    while days >= days_of_month(year, month) {
        days -= days_of_month(year, month);
        month += 1;
    }
    let (hours, minutes, seconds) = (time / 3600, time / 60 % 60, time % 60);
    format!("{year:04}-{month:02}-{:02}T{hours:02}:{minutes:02}:{seconds:02}.{millis:03}Z", days + 1)
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_of_year(year: u64) -> u64 {
    if is_leap(year) { 366 } else { 365 }
}

fn days_of_month(year: u64, month: u64) -> u64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> String {
        rfc3339(UNIX_EPOCH + Duration::from_millis(1000 * seconds + 25))
    }

    #[test]
    fn known_moments_have_their_known_dates() {
        assert_eq!(at(0), "1970-01-01T00:00:00.025Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00.025Z");
        assert_eq!(at(1_709_251_199), "2024-02-29T23:59:59.025Z");
        assert_eq!(at(1_709_251_200), "2024-03-01T00:00:00.025Z");
        assert_eq!(at(1_767_225_599), "2025-12-31T23:59:59.025Z");
        assert_eq!(at(4_107_542_400), "2100-03-01T00:00:00.025Z");
    }

    #[test]
    fn a_clock_before_the_epoch_does_not_panic() {
        assert_eq!(rfc3339(UNIX_EPOCH - Duration::from_secs(1)), "1970-01-01T00:00:00.000Z");
    }
}
