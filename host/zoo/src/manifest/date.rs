//! The dates that manifests write.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::Offset;

/// Reads a date such as `2020-12-11`, `2020-12-11 13:45:51` or `2020-12-11T13:45:51.5+01:00`;
/// months, days and hours may have one digit. With an offset, the answer is in UTC.
pub(super) fn parse(text: &str) -> Option<DateTime> {
    let text = text.trim();
    let (date, time) = match text.find(['T', 't', ' ']) {
        Some(at) => (text.get(..at)?, text.get(at + 1..)?.trim()),
        None => (text, ""),
    };
    let mut parts = date.split(if date.contains('/') { '/' } else { '-' });
    let year = number(parts.next()?, 4..=4)?;
    let month = number(parts.next()?, 1..=2)?;
    let day = number(parts.next()?, 1..=2)?;
    if parts.next().is_some() {
        return None;
    }
    let date = Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()?;
    let (time, offset) = split_offset(time)?;
    let moment = DateTime::from_parts(date, parse_time(time)?);
    match offset {
        0 => Some(moment),
        seconds => {
            let offset = Offset::from_seconds(seconds).ok()?;
            Some(Offset::UTC.to_datetime(offset.to_timestamp(moment).ok()?))
        }
    }
}

/// `h:m[:s[.fraction]]`; nothing is midnight.
fn parse_time(text: &str) -> Option<Time> {
    if text.is_empty() {
        return Some(Time::midnight());
    }
    let text = text.split('.').next()?;
    let mut parts = text.split(':');
    let mut next = || match parts.next() {
        Some(part) => i8::try_from(number(part, 1..=2)?).ok(),
        None => Some(0),
    };
    let (hour, minute, second) = (next()?, next()?, next()?);
    let time = Time::new(hour, minute, second, 0).ok()?;
    (text.contains(':') && parts.next().is_none()).then_some(time)
}

/// Takes `Z` or `±hh[:]mm` off the end of a time: the offset in seconds.
fn split_offset(time: &str) -> Option<(&str, i32)> {
    if let Some(time) = time.strip_suffix(['Z', 'z']) {
        return Some((time, 0));
    }
    let Some(at) = time.rfind(['+', '-']) else {
        return Some((time, 0));
    };
    let (time, offset) = time.split_at(at);
    let digits: String = offset.chars().filter(char::is_ascii_digit).collect();
    let (hours, minutes) = digits.split_at_checked(2)?;
    let minutes = if minutes.is_empty() {
        0
    } else {
        number(minutes, 2..=2)?
    };
    let seconds = i32::from(number(hours, 2..=2)?) * 3600 + i32::from(minutes) * 60;
    Some((
        time.trim_end(),
        if offset.starts_with('-') {
            -seconds
        } else {
            seconds
        },
    ))
}

fn number(text: &str, length: std::ops::RangeInclusive<usize>) -> Option<i16> {
    let digits = length.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn written_dates_are_read() {
        for (text, date) in [
            ("2020-12-11", "2020-12-11T00:00:00"),
            ("2020-12-11 13:45:51", "2020-12-11T13:45:51"),
            ("2021-01-6 11:01:34", "2021-01-06T11:01:34"),
            ("2021/1/6 9:05", "2021-01-06T09:05:00"),
            ("2020-12-11T13:45:51.123456Z", "2020-12-11T13:45:51"),
            ("2020-12-11T00:45:51+01:00", "2020-12-10T23:45:51"),
            ("2020-12-11 13:45:51 -0530", "2020-12-11T19:15:51"),
        ] {
            assert_eq!(
                parse(text).map(|d| d.to_string()).as_deref(),
                Some(date),
                "{text}"
            );
        }
    }

    #[test]
    fn bad_dates_are_refused() {
        for text in [
            "",
            "soon",
            "2020",
            "2020-12",
            "2020-13-01",
            "2020-02-30",
            "20-1-1",
            "2020-12-11-1",
            "2020-12-11 25:00",
            "2020-12-11 1",
            "2020-12-11 1:2:3:4",
            "2020-12-11 +1:00",
            "11.12.2020",
            "２０２０-12-11",
            "-2020-12-11",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
