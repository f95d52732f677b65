//! Times as people say them.

use farpost::Timestamp;

/// How long before `at` a time was, or after it: `2 s`, `3 min 20 s`, `4 h 5 min`, `3 d 4 h`.
pub(crate) fn age(time: Timestamp, at: Timestamp) -> String {
    let seconds = (at.unix_millis() - time.unix_millis()).unsigned_abs() / 1000;
    let two = |large: u64, unit: &str, small: u64, small_unit: &str| {
        if small == 0 { format!("{large} {unit}") } else { format!("{large} {unit} {small} {small_unit}") }
    };
    match seconds {
        0..60 => format!("{seconds} s"),
        60..600 => two(seconds / 60, "min", seconds % 60, "s"),
        600..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 => two(seconds / 3_600, "h", seconds % 3_600 / 60, "min"),
        86_400..864_000 => two(seconds / 86_400, "d", seconds % 86_400 / 3_600, "h"),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// The same in one unit: `3 min`, `4 h`, `3 d`.
pub(crate) fn short_age(time: Timestamp, at: Timestamp) -> String {
    age(time, at).split(' ').take(2).collect::<Vec<_>>().join(" ")
}

/// `hh:mm:ss`, with the date where it is another day than that of `at`.
pub(crate) fn clock(time: Timestamp, at: Timestamp) -> String {
    let (time, at) = (time.to_string(), at.to_string());
    let day = |text: &str| text.get(..10).map(str::to_owned);
    let seconds = time.get(11..19).unwrap_or_default();
    if day(&time) == day(&at) { seconds.to_owned() } else { format!("{} {seconds}", day(&time).unwrap_or_default()) }
}

/// `1 agent`, `412 agents`.
pub(crate) fn count(number: u64, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_said_in_at_most_two_units() {
        let at = Timestamp::from_unix_seconds(1_795_349_051);
        for (seconds, expected) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (200, "3 min 20 s"),
            (3_599, "59 min"),
            (14_700, "4 h 5 min"),
            (7_200, "2 h"),
            (273_600, "3 d 4 h"),
            (9_000_000, "104 d"),
        ] {
            let before = Timestamp::from_unix_seconds(at.unix_seconds() - seconds);
            assert_eq!(age(before, at), expected);
            assert_eq!(age(at, before), expected);
            assert!(expected.starts_with(&short_age(before, at)) && short_age(before, at).len() <= 6, "{expected}");
        }
        assert_eq!(clock(at, at), "12:04:11");
        assert_eq!(clock(at, Timestamp::from_unix_seconds(0)), "2026-11-22 12:04:11");
    }
}
