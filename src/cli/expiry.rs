//! When a credential is to expire, as one flag says it.

use std::str::FromStr;

use jiff::Timestamp;

use super::time;
use crate::proto::v1;

/// When a credential is to expire.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expiry {
    /// Never.
    Never,
    /// At this moment.
    At(prost_types::Timestamp),
    /// With the end of this day, in its time zone.
    On(String),
    /// After this period: an ISO 8601 duration.
    After(String),
}

impl FromStr for Expiry {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "never" {
            return Ok(Self::Never);
        }
        if let Ok(at) = text.parse::<Timestamp>() {
            return Ok(Self::At(prost_types::Timestamp {
                seconds: at.as_second(),
                nanos: at.subsec_nanosecond(),
            }));
        }
        if let Some(date) = time::date(text)? {
            return Ok(Self::On(date.to_string()));
        }
        // As it is: what it means is for the server to say.
        if text.starts_with('P') {
            return Ok(Self::After(text.to_owned()));
        }
        let span = time::period(text).ok_or_else(|| {
            "must be `never`, a period such as `90d` or `P1Y`, a date such as `2026-12-31`, or a \
             time such as `2026-12-31T12:00:00Z`"
                .to_owned()
        })?;
        Ok(Self::After(span.to_string()))
    }
}

/// Makes the field of a message of it.
macro_rules! into_oneof {
    ($oneof:path) => {
        impl From<Expiry> for $oneof {
            fn from(expiry: Expiry) -> Self {
                match expiry {
                    Expiry::Never => Self::Never(true),
                    Expiry::At(time) => Self::ExpiresAt(time),
                    Expiry::On(date) => Self::ExpiresOn(date),
                    Expiry::After(period) => Self::Period(period),
                }
            }
        }
    };
}

into_oneof!(v1::issue_request::Expiry);
into_oneof!(v1::update_request::Expiry);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expiry_is_read_in_every_form() {
        for (text, read) in [
            ("never", Expiry::Never),
            ("P1Y", Expiry::After("P1Y".to_owned())),
            ("90d", Expiry::After("P90D".to_owned())),
            ("1y 6mo", Expiry::After("P1Y6M".to_owned())),
            ("12h", Expiry::After("PT12H".to_owned())),
            ("2026-12-31", Expiry::On("2026-12-31".to_owned())),
            ("20261231", Expiry::On("2026-12-31".to_owned())),
        ] {
            assert_eq!(text.parse(), Ok(read), "{text}");
        }
        let at = "1970-01-01T00:00:09Z".parse();
        assert!(matches!(at, Ok(Expiry::At(time)) if time.seconds == 9));
        let wrong_texts = [
            "",
            "soon",
            "Never",
            "90",
            "-90d",
            "90d ago",
            "2026-12-31T12:00:00",
        ];
        for wrong in wrong_texts {
            assert!(wrong.parse::<Expiry>().is_err(), "{wrong}");
        }
    }
}
