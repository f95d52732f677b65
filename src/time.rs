//! The two times: a monotonic one for deadlines, the wall clock for certificates and people (H18).
//!
//! The cores never read a clock; the shell hands both in.

use std::fmt;
use std::ops::{Add, Range, Sub};
use std::str::FromStr;
use std::time::Duration;

use crate::code::Code;
use crate::error::Error;
use crate::text_form::text_form;

/// A point on the node's monotonic clock, in microseconds since an origin that the shell chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(crate) struct Instant(u64);

impl Instant {
    /// Microseconds since the origin.
    pub(crate) fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since the origin.
    pub(crate) fn as_micros(self) -> u64 {
        self.0
    }

    /// How long ago `earlier` was; zero if it is not in the past.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, rest: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(rest.as_micros()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;

    fn sub(self, rest: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(rest.as_micros()).unwrap_or(u64::MAX)))
    }
}

/// A wall-clock time: milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Of milliseconds since 1970.
    pub fn from_unix_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// The time before it by so much.
    #[cfg(feature = "management-server")]
    pub(crate) fn earlier_by(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
    }

    /// Of seconds since 1970.
    pub fn from_unix_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// Milliseconds since 1970.
    pub fn unix_millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since 1970, rounded down.
    pub fn unix_seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }
}

impl FromStr for Timestamp {
    type Err = Error;

    /// Reads an RFC 3339 time (`2026-11-22T12:04:11Z`, with milliseconds or an offset where there are some), a date alone
    /// (its midnight in UTC), or whole seconds since 1970.
    ///
    /// # Errors
    ///
    /// [`Code::ArgumentInvalid`].
    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = || {
            Error::new(Code::ArgumentInvalid)
                .subject("time")
                .found(format!("{text:?}"))
                .expected("RFC 3339 such as 2026-11-22T12:04:11Z, a date, or seconds since 1970")
        };
        if let Ok(seconds) = text.parse::<i64>() {
            return Ok(Self::from_unix_seconds(seconds));
        }
        parse_rfc_3339(text).map(Self).ok_or_else(wrong)
    }
}

text_form!(Timestamp);

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with milliseconds: `2026-11-22T12:04:11.020Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil_from_days(self.unix_seconds().div_euclid(86_400));
        let second_of_day = self.unix_seconds().rem_euclid(86_400);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
            second_of_day / 3600,
            second_of_day / 60 % 60,
            second_of_day % 60,
            self.0.rem_euclid(1000)
        )
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The date of a day number, day 0 being 1970-01-01, in the proleptic Gregorian calendar: years counted
/// from March, in eras of 400 years (146,097 days).
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// The day number of a date, the inverse of [`civil_from_days`].
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let (year, month_from_march) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year - 719_468
}

/// Milliseconds since 1970. A year may have more than four digits and a sign, as [`Timestamp`]'s own text may.
fn parse_rfc_3339(text: &str) -> Option<i64> {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (digits, _) = unsigned.split_once('-')?;
    let (year, rest) = text.split_at_checked(text.len() - unsigned.len() + digits.len())?;
    let is_year = digits.bytes().all(|byte| byte.is_ascii_digit()) && year.len() >= 4 && digits.len() <= 9;
    let year = year.parse::<i64>().ok().filter(|_| is_year)?;
    let number = |range: Range<usize>, most: i64| {
        let digits = rest.get(range).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
        digits.parse::<i64>().ok().filter(|number| *number <= most)
    };
    let mark = |at: usize, marks: &[u8]| rest.as_bytes().get(at).is_some_and(|byte| marks.contains(byte));
    let (month, day) = (number(1..3, 12)?, number(4..6, 31)?);
    let days = days_from_civil(year, month, day);
    if !mark(0, b"-") || !mark(3, b"-") || civil_from_days(days) != (year, month, day) {
        return None;
    }
    if rest.len() == 6 {
        return days.checked_mul(86_400_000);
    }
    let (hour, minute, second) = (number(7..9, 23)?, number(10..12, 59)?, number(13..15, 60)?);
    if !mark(6, b"Tt ") || !mark(9, b":") || !mark(12, b":") {
        return None;
    }
    let (millis, offset) = fraction_and_zone(rest.get(15..)?)?;
    let minutes = i128::from((days * 24 + hour) * 60 + minute - offset);
    i64::try_from(minutes * 60_000 + i128::from(second * 1000 + millis)).ok()
}

/// What follows the seconds: milliseconds where there are some, and the zone's offset from UTC in minutes.
fn fraction_and_zone(text: &str) -> Option<(i64, i64)> {
    let end = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, zone) = match text.strip_prefix('.') {
        Some(fraction) => fraction.split_at_checked(end(fraction))?,
        None => ("", text),
    };
    let millis = digits.bytes().chain(*b"000").take(3).fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
    let two = |tens: u8, ones: u8, most: i64| {
        let both = tens.is_ascii_digit() && ones.is_ascii_digit();
        both.then(|| i64::from(tens - b'0') * 10 + i64::from(ones - b'0')).filter(|number| *number <= most)
    };
    match *zone.as_bytes() {
        [b'Z' | b'z'] => Some((millis, 0)),
        [sign @ (b'+' | b'-'), h, hh, b':', m, mm] => {
            let minutes = two(h, hh, 23)? * 60 + two(m, mm, 59)?;
            Some((millis, if sign == b'+' { minutes } else { -minutes }))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_print_as_rfc_3339() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_795_349_051_020, "2026-11-22T12:04:11.020Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(Timestamp::from_unix_millis(millis).to_string(), text);
        }
    }

    #[test]
    fn times_are_read_as_they_are_printed_and_everything_else_is_refused() {
        let year_1 = -62_135_596_800_000;
        for millis in [0, 951_782_399_999, 951_782_400_000, 1_795_349_051_020, -1, year_1, year_1 - 200_000_000_000_001]
            .into_iter()
            .chain([i64::MIN, i64::MIN + 1, i64::MAX, 253_402_300_799_999, 253_402_300_800_000])
        {
            let time = Timestamp::from_unix_millis(millis);
            assert_eq!(time.to_string().parse(), Ok(time));
        }
        for (text, seconds) in [
            ("2026-11-22T12:04:11Z", 1_795_349_051),
            ("2026-11-22T13:04:11+01:00", 1_795_349_051),
            ("2026-11-22T12:04:11.5-00:00", 1_795_349_051),
            ("2026-11-22", 1_795_305_600),
            ("1795349051", 1_795_349_051),
        ] {
            assert_eq!(text.parse::<Timestamp>().unwrap().unix_seconds(), seconds, "{text}");
        }
        for text in [
            "",
            "now",
            "2026-02-30",
            "2026-13-01",
            "2026-11-22T12:04:11",
            "2026-11-22T24:00:00Z",
            "2026-11-2",
            "é026-11-22",
            "202-11-22",
            "-20-11-22",
            "+2026-11-22",
            "--2026-11-22",
            "2026-11-22T12:04:11.5",
            "2026-11-22T12:04:11+0é:00",
            "-292275055-05-16T16:47:04.191Z",
            "292278994-08-17T07:12:55.808Z",
            "9999999999-11-22",
        ] {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
        }
    }
}
