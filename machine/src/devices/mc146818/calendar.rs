//! The Gregorian calendar of the clock registers, in integer arithmetic on days since 1970-01-01.

const DAY: i64 = 86_400;

/// A point in time as the clock registers hold it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DateTime {
    pub year: u32,
    pub month: u32,
    pub day: u32,
    pub hour: u32,
    pub minute: u32,
    pub second: u32,
}

impl DateTime {
    /// Dates outside the years 0 to 9999 wrap: the registers hold no others.
    pub fn from_unix(seconds: i64) -> DateTime {
        let of_day = seconds.rem_euclid(DAY) as u32;
        // Years that begin in March make the leap day the last of its year; 400 years are 146,097 days.
        let days = seconds.div_euclid(DAY) + 719_468;
        let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * day_of_year + 2) / 153;
        let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
        let year = era * 400 + year_of_era + i64::from(month <= 2);
        DateTime {
            year: year.rem_euclid(10_000) as u32,
            month: month as u32,
            day: (day_of_year - (153 * march_month + 2) / 5 + 1) as u32,
            hour: of_day / 3600,
            minute: of_day / 60 % 60,
            second: of_day % 60,
        }
    }

    /// Fields out of their range carry over, so that whatever a guest wrote is some point in time.
    pub fn to_unix(self) -> i64 {
        let months = i64::from(self.year) * 12 + i64::from(self.month) - 1;
        let (month, year) = (months.rem_euclid(12) + 1, months.div_euclid(12));
        let year = year - i64::from(month <= 2);
        let march_month = (month + 9) % 12;
        let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
        let day_of_year = (153 * march_month + 2) / 5 + i64::from(self.day) - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        let days = era * 146_097 + day_of_era - 719_468;
        days * DAY + i64::from(self.hour) * 3600 + i64::from(self.minute) * 60 + i64::from(self.second)
    }
}

/// Day of the week as the clock counts it: Sunday is 1.
pub(super) fn weekday(seconds: i64) -> u32 {
    (seconds.div_euclid(DAY) + 4).rem_euclid(7) as u32 + 1
}

/// Seconds from `from` (itself included) to the first second whose fields match; `None` if there is none.
pub(super) fn seconds_until(
    from: i64,
    hour: Option<u32>,
    minute: Option<u32>,
    second: Option<u32>,
) -> Option<u64> {
    let now = DateTime::from_unix(from);
    let start = now.hour * 3600 + now.minute * 60 + now.second;
    let matching = |want: Option<u32>, range: std::ops::Range<u32>| {
        range.filter(move |&value| want.is_none_or(|want| want == value))
    };
    // Hours run into the next day, so that a time earlier in the day is found there.
    for day_hour in now.hour..now.hour + 25 {
        if hour.is_some_and(|want| want != day_hour % 24) {
            continue;
        }
        for m in matching(minute, 0..60) {
            let at_minute = day_hour * 3600 + m * 60;
            if at_minute + 60 <= start {
                continue;
            }
            let first = start.saturating_sub(at_minute);
            if let Some(s) = matching(second, first..60).next() {
                return Some(u64::from(at_minute + s - start));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_dates() {
        let date = |seconds| {
            let d = DateTime::from_unix(seconds);
            (d.year, d.month, d.day, d.hour, d.minute, d.second)
        };
        assert_eq!(date(0), (1970, 1, 1, 0, 0, 0));
        assert_eq!(date(951_782_400), (2000, 2, 29, 0, 0, 0));
        assert_eq!(date(1_700_000_000), (2023, 11, 14, 22, 13, 20));
        assert_eq!(weekday(0), 5, "a Thursday");
        assert_eq!(weekday(1_700_000_000), 3, "a Tuesday");
    }

    proptest! {
        #[test]
        fn there_and_back(seconds in -62_000_000_000i64..250_000_000_000) {
            prop_assert_eq!(DateTime::from_unix(seconds).to_unix(), seconds);
        }

        #[test]
        fn alarm_is_the_first_match(
            from in 0i64..10_000_000, hour in prop::option::of(0u32..25),
            minute in prop::option::of(0u32..61), second in prop::option::of(0u32..61),
        ) {
            let matches = |at: i64| {
                let t = DateTime::from_unix(at);
                hour.is_none_or(|h| h == t.hour) && minute.is_none_or(|m| m == t.minute)
                    && second.is_none_or(|s| s == t.second)
            };
            let slow = (0..DAY).find(|wait| matches(from + wait)).map(|w| w as u64);
            prop_assert_eq!(seconds_until(from, hour, minute, second), slow);
        }
    }
}
