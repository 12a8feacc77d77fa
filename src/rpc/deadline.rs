//! How long a client waits for its answer.

use std::time::Duration;

use http::HeaderMap;
use tokio::time::Instant;

/// The header by which a client says so (the gRPC protocol over HTTP/2, "Timeout").
const TIMEOUT: &str = "grpc-timeout";

/// The most and the least of the time that is left for the answer to travel.
const TRAVEL: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(250));
/// Which part of the client's time that is.
const TRAVEL_PART: u32 = 10;

/// When a request that has just come must be answered, so that its client sees the
/// answer; `None`: it waits for as long as it takes.
#[must_use]
pub fn answer_before(headers: &HeaderMap) -> Option<Instant> {
    let timeout = parse(headers.get(TIMEOUT)?.to_str().ok()?)?;
    let travel = (timeout / TRAVEL_PART).clamp(TRAVEL.0, TRAVEL.1);
    Instant::now().checked_add(timeout.saturating_sub(travel))
}

/// One to eight digits and a unit.
fn parse(text: &str) -> Option<Duration> {
    let (unit, digits) = (
        text.chars().last()?,
        text.get(..text.len().checked_sub(1)?)?,
    );
    if !(1..=8).contains(&digits.len()) || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let number: u32 = digits.parse().ok()?;
    let of = |unit: Duration| Some(unit * number);
    match unit {
        'H' => of(Duration::from_hours(1)),
        'M' => of(Duration::from_mins(1)),
        'S' => of(Duration::from_secs(1)),
        'm' => of(Duration::from_millis(1)),
        'u' => of(Duration::from_micros(1)),
        'n' => of(Duration::from_nanos(1)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_read_as_the_protocol_writes_it() {
        for (text, read) in [
            ("1S", Some(Duration::from_secs(1))),
            ("250m", Some(Duration::from_millis(250))),
            ("99999999H", Some(Duration::from_hours(99_999_999))),
            ("7M", Some(Duration::from_mins(7))),
            ("8u", Some(Duration::from_micros(8))),
            ("9n", Some(Duration::from_nanos(9))),
            ("", None),
            ("S", None),
            ("1", None),
            ("1s", None),
            ("-1S", None),
            ("+1S", None),
            ("1 S", None),
            ("123456789S", None),
            ("1\u{e9}", None),
        ] {
            assert_eq!(parse(text), read, "{text:?}");
        }
    }

    #[test]
    fn an_answer_is_due_before_its_client_gives_up() {
        let mut headers = HeaderMap::new();
        assert_eq!(answer_before(&headers), None);
        headers.insert(TIMEOUT, "2S".parse().unwrap());
        let before = Instant::now();
        let due = answer_before(&headers).unwrap();
        assert!(due < Instant::now() + Duration::from_secs(2));
        assert!(due >= before + Duration::from_millis(1750));
        headers.insert(TIMEOUT, "1n".parse().unwrap());
        assert!(answer_before(&headers).unwrap() <= Instant::now());
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_left_out(text in "\\PC{0,12}|[0-9]{0,10}[HMSmuns]") {
            if let Some(timeout) = parse(&text) {
                let digits = text.trim_end_matches(char::is_alphabetic);
                let number: u32 = digits.parse().unwrap();
                proptest::prop_assert_eq!(timeout.is_zero(), number == 0);
            }
        }
    }
}
