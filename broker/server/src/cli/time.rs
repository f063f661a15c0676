//! Times as people write and read them.

use std::time::Duration;
use thiserror::Error;

/// Not a span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("write a number and its unit: 45s, 15m, 12h, 30d or 2w")]
pub(super) struct SpanError;

/// Parses `30d`.
pub(super) fn span(text: &str) -> Result<Duration, SpanError> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).ok_or(SpanError)?);
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 7 * 86_400,
        _ => return Err(SpanError),
    };
    let number: u64 = number.parse().map_err(|_| SpanError)?;
    number.checked_mul(seconds).filter(|&seconds| seconds > 0).map(Duration::from_secs).ok_or(SpanError)
}

/// Unix milliseconds as `2026-02-03 04:05:06` UTC.
pub(super) fn utc(unix_ms: u64) -> String {
    let seconds = unix_ms / 1000;
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    // Days to a date of the Gregorian calendar, by eras of 400 years that begin on a first of March, so that the
    // leap day is the last of its year.
    let day = days + 719_468;
    let (era, of_era) = (day / 146_097, day % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day_of_month = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day_of_month:02} {hour:02}:{minute:02}:{second:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans() {
        for (text, seconds) in
            [("45s", 45), ("15m", 900), ("12h", 43_200), ("30d", 2_592_000), ("2w", 1_209_600)]
        {
            assert_eq!(span(text), Ok(Duration::from_secs(seconds)));
        }
        for text in [
            "",
            "30",
            "d",
            "0s",
            "-1d",
            "1.5h",
            "30 d",
            "30days",
            "99999999999999999999s",
            "18446744073709551615w",
        ] {
            assert_eq!(span(text), Err(SpanError), "{text}");
        }
    }

    #[test]
    fn dates() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00:00"),
            (951_782_399, "2000-02-28 23:59:59"),
            (951_782_400, "2000-02-29 00:00:00"),
            (1_709_251_199, "2024-02-29 23:59:59"),
            (1_735_689_599, "2024-12-31 23:59:59"),
            (4_107_542_400, "2100-03-01 00:00:00"),
        ] {
            assert_eq!(utc(seconds * 1000), text);
        }
    }
}
