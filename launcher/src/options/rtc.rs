//! `--rtc`: what the machine's clock shows when it is switched on.

use std::str::FromStr;
use std::time::SystemTime;

/// 2025-01-01 00:00:00 UTC: always the same, so that runs can be repeated.
const DEFAULT: i64 = 1_735_689_600;

/// Seconds since 1970, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rtc(pub i64);

impl FromStr for Rtc {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Rtc, Self::Err> {
        if text == "now" {
            let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
            return Ok(Rtc(since.map_or(DEFAULT, |d| d.as_secs() as i64)));
        }
        let seconds = text.parse().ok().or_else(|| civil(text));
        seconds
            .filter(|s| (0..=LAST).contains(s))
            .map(Rtc)
            .ok_or("expected `now`, seconds since 1970, or YYYY-MM-DD[Thh:mm:ss] from 1970 to 2099")
    }
}

/// 2099-12-31 23:59:59: the clock has two digits for the century.
const LAST: i64 = 4_102_444_799;

fn civil(text: &str) -> Option<i64> {
    let (date, time) = text.split_once('T').unwrap_or((text, "00:00:00"));
    let [year, month, day] = numbers(date, '-')?;
    let [hour, minute, second] = numbers(time.strip_suffix('Z').unwrap_or(time), ':')?;
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let lengths = [31, 28 + i64::from(leap), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let month_index = usize::try_from(month - 1).ok()?;
    let valid = (1..=*lengths.get(month_index)?).contains(&day)
        && (1970..2100).contains(&year)
        && (0..24).contains(&hour)
        && (0..60).contains(&minute)
        && (0..60).contains(&second);
    // No century between 1970 and 2099 lacks its leap year.
    let leap_days = (year - 1969) / 4;
    let days = (year - 1970) * 365 + leap_days + lengths[..month_index].iter().sum::<i64>() + day - 1;
    valid.then_some(days * 86_400 + hour * 3600 + minute * 60 + second)
}

fn numbers(text: &str, separator: char) -> Option<[i64; 3]> {
    let parts: Result<Vec<i64>, _> = text.split(separator).map(str::parse).collect();
    parts.ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (text, seconds) in [
            ("0", 0),
            ("2025-01-01", DEFAULT),
            ("2000-02-29T12:00:01", 951_825_601),
            ("2099-12-31T23:59:59Z", LAST),
        ] {
            assert_eq!(text.parse(), Ok(Rtc(seconds)), "{text}");
        }
        for text in ["", "yesterday", "2025-02-29", "2025-00-10", "-1", "2100-01-01", "2025-01-01T24:00:00"] {
            assert!(text.parse::<Rtc>().is_err(), "{text}");
        }
    }
}
