//! The types of the settings of traces.

use super::values::{Form, Scalar};
use crate::client::{Address, NotAnAddress};

/// Where a collector of traces is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collector(Address);

/// The port of OTLP over gRPC.
const PORT: u16 = 4317;

impl Collector {
    /// Its address.
    #[must_use]
    pub const fn address(&self) -> &Address {
        &self.0
    }
}

impl Scalar for Collector {
    const WHAT: &'static str = "an address";
    const PLACEHOLDER: &'static str = "ADDRESS";

    fn parse(text: &str) -> Result<Self, String> {
        let address = text
            .parse()
            .map_err(|error: NotAnAddress| error.to_string());
        let mut address = address?;
        if let Address::Tcp { port, .. } = &mut address {
            let given = text.parse().ok().and_then(|uri: http::Uri| uri.port_u16());
            *port = given.unwrap_or(PORT);
        }
        Ok(Self(address))
    }

    fn text(&self) -> String {
        self.0.to_string()
    }
}

/// A part of something: in millionths, up to all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ratio(u32);

impl Ratio {
    const WHOLE: u32 = 1_000_000;
    /// Nothing of it.
    pub const NONE: Self = Self(0);
    /// All of it.
    pub const ALL: Self = Self(Self::WHOLE);

    /// The same as a fraction.
    #[must_use]
    pub fn fraction(self) -> f64 {
        f64::from(self.0) / f64::from(Self::WHOLE)
    }
}

impl Scalar for Ratio {
    const FORM: Form = Form::Number;
    const WHAT: &'static str = "a number from 0 to 1, with six decimals at most";
    const PLACEHOLDER: &'static str = "RATIO";

    fn parse(text: &str) -> Result<Self, String> {
        let rule = || format!("must be {}", Self::WHAT);
        let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !is_number(whole) || !is_number(decimals) || decimals.len() > 6 {
            return Err(rule());
        }
        let parts: u32 = format!("{decimals:0<6}").parse().map_err(|_| rule())?;
        let whole: u32 = whole.parse().map_err(|_| rule())?;
        let all = whole.checked_mul(Self::WHOLE);
        let all = all.and_then(|all| all.checked_add(parts));
        let all = all.filter(|all| *all <= Self::WHOLE);
        all.map(Self).ok_or_else(rule)
    }

    fn text(&self) -> String {
        let text = format!("{}.{:06}", self.0 / Self::WHOLE, self.0 % Self::WHOLE);
        let short = text.trim_end_matches('0');
        // TOML wants a digit after the point.
        if short.ends_with('.') {
            format!("{short}0")
        } else {
            short.to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_without_a_port_has_that_of_otlp() {
        for (text, shown) in [
            ("http://collector", "http://collector:4317"),
            ("https://collector:7420", "https://collector:7420"),
            ("unix:/run/otlp.sock", "unix:/run/otlp.sock"),
        ] {
            assert_eq!(Collector::parse(text).unwrap().text(), shown);
        }
        Collector::parse("collector:4317").unwrap_err();
    }

    #[test]
    fn a_ratio_is_between_nothing_and_all() {
        for (text, millionths, shown) in [
            ("0", 0, "0.0"),
            ("0.0", 0, "0.0"),
            ("0.05", 50_000, "0.05"),
            ("0.000001", 1, "0.000001"),
            ("1", 1_000_000, "1.0"),
            ("1.000000", 1_000_000, "1.0"),
        ] {
            let read = Ratio::parse(text).unwrap();
            assert_eq!(read, Ratio(millionths));
            assert_eq!(read.text(), shown);
            assert_eq!(Ratio::parse(shown), Ok(read));
        }
        for text in [
            "",
            ".",
            "1.",
            ".5",
            "1.1",
            "2",
            "-0.1",
            "+1",
            "1e-3",
            "0.0000001",
            "nan",
        ] {
            Ratio::parse(text).unwrap_err();
        }
    }
}
