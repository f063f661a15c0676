//! Numbers as people read them.

/// With as many digits as a measurement of this kind has: at most three that matter below 1,000, thousands parted above.
pub(crate) fn figure(value: f64) -> String {
    let size = value.abs();
    let digits = match size {
        _ if size == 0.0 => return "0".to_owned(),
        _ if size < 0.01 => 4,
        _ if size < 0.1 => 3,
        _ if size < 10.0 => 2,
        _ if size < 100.0 => 1,
        _ => 0,
    };
    if digits > 0 {
        return format!("{value:.digits$}");
    }
    // Beyond 10,000 the last digits say nothing.
    let step = if size >= 1_000_000.0 {
        10_000.0
    } else if size >= 100_000.0 {
        1_000.0
    } else if size >= 10_000.0 {
        100.0
    } else {
        1.0
    };
    thousands((value / step).round() * step)
}

/// On an axis: a round number, as short as it can be.
pub(crate) fn tick(value: f64) -> String {
    if value >= 1.0 && value.fract() == 0.0 {
        thousands(value)
    } else {
        format!("{}", (value * 1e6).round() / 1e6)
    }
}

/// A whole number with thousands parted.
pub(crate) fn thousands(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut parted = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            parted.push(',');
        }
        parted.push(digit);
    }
    if value < 0.0 && parted != "0" { format!("-{parted}") } else { parted }
}

/// Bytes, in the unit that fits (1 kB is 1,000 bytes).
pub(crate) fn bytes(value: f64) -> String {
    match value.abs() {
        size if size >= 1e9 => format!("{} GB", figure(value / 1e9)),
        size if size >= 1e6 => format!("{} MB", figure(value / 1e6)),
        size if size >= 1e4 => format!("{} kB", figure(value / 1e3)),
        _ => format!("{} B", thousands(value)),
    }
}

/// How often the one goes into the other.
pub(crate) fn ratio(value: f64) -> String {
    match value {
        _ if value >= 100.0 => format!("{} ×", thousands(value)),
        _ if value >= 10.0 => format!("{value:.1} ×"),
        _ if value >= 0.01 => format!("{value:.2} ×"),
        _ => format!("{value:.4} ×"),
    }
}

/// A day and an hour, UTC, of seconds since 1970.
pub(crate) fn moment(unix_s: u64) -> String {
    let (days, seconds) = (unix_s / 86_400, unix_s % 86_400);
    let (year, month, day) = civil(days);
    format!("{year}-{month:02}-{day:02} {:02}:{:02} UTC", seconds / 3_600, seconds / 60 % 60)
}

/// Year, month and day of a day since 1970: counted in years that begin in March, so that the odd day comes last.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_keep_the_digits_that_matter() {
        for (value, text) in [
            (0.0, "0"),
            (0.0042, "0.0042"),
            (0.0521, "0.052"),
            (0.804, "0.80"),
            (2.1, "2.10"),
            (15.66, "15.7"),
            (129.4, "129"),
            (1_012.4, "1,012"),
            (54_321.0, "54,300"),
            (210_499.0, "210,000"),
            (1_043_000.0, "1,040,000"),
            (-3_200.0, "-3,200"),
        ] {
            assert_eq!(figure(value), text);
        }
    }

    #[test]
    fn ticks_are_short() {
        for (value, text) in
            [(0.0, "0"), (0.1 + 0.2, "0.3"), (0.001, "0.001"), (2.5, "2.5"), (10.0, "10"), (1e6, "1,000,000")]
        {
            assert_eq!(tick(value), text);
        }
    }

    #[test]
    fn bytes_have_a_unit() {
        for (value, text) in [
            (0.0, "0 B"),
            (1_012.0, "1,012 B"),
            (52_000.0, "52.0 kB"),
            (2.47e9, "2.47 GB"),
            (98.4e6, "98.4 MB"),
        ] {
            assert_eq!(bytes(value), text);
        }
    }

    #[test]
    fn ratios_show_what_they_are() {
        for (value, text) in
            [(3.104, "3.10 ×"), (25.04, "25.0 ×"), (1_340.0, "1,340 ×"), (0.0042, "0.0042 ×")]
        {
            assert_eq!(ratio(value), text);
        }
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        for (unix_s, text) in [
            (0, "1970-01-01 00:00 UTC"),
            (951_782_399, "2000-02-28 23:59 UTC"),
            (951_782_400, "2000-02-29 00:00 UTC"),
            (1_709_251_200, "2024-03-01 00:00 UTC"),
            (1_798_761_599, "2026-12-31 23:59 UTC"),
        ] {
            assert_eq!(moment(unix_s), text);
        }
    }
}
