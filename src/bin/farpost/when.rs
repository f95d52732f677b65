//! Times as people give them.

use std::time::Duration;

use farpost::Timestamp;

use crate::clock;

/// A time: how long ago (`2h`), or itself (`2026-11-22T12:00:00Z`).
pub(crate) fn since(text: &str) -> Result<Timestamp, String> {
    if let Ok(ago) = duration(text) {
        let ago = i64::try_from(ago.as_millis()).unwrap_or(i64::MAX);
        return Ok(Timestamp::from_unix_millis(clock::now().unix_millis().saturating_sub(ago)));
    }
    let expected = || "how long ago, such as 2h or 7d, or a time such as 2026-11-22T12:00:00Z".to_owned();
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        // Seconds since 1970 for a program; of a person it is a unit that was forgotten.
        return Err(expected());
    }
    text.parse().map_err(|_| expected())
}

/// `30s`, `15m`, `1h` or `7d`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let seconds: u64 = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err("a duration with its unit (s, m, h, d), such as 1h".to_owned()),
    };
    let count: Option<u64> = number.parse().ok();
    count.and_then(|count| count.checked_mul(seconds)).map(Duration::from_secs).ok_or_else(|| "a number".to_owned())
}
