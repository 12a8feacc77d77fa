//! The forms that values of headers have.

use data_encoding::BASE64;
use zeroize::{Zeroize as _, Zeroizing};

use super::{Parts, Unreadable};
use crate::domain::secret::SecretText;

/// The forms that values have. No value has two.
#[derive(Clone, Copy)]
pub(super) enum Shape<'v> {
    One(&'v str),
    Scheme(&'v str, &'v str),
    Parameters([Parameter<'v>; 2]),
}

#[derive(Clone, Copy)]
pub(super) struct Parameter<'v> {
    pub(super) name: &'v str,
    pub(super) value: &'v str,
}

/// Space that may stand around values and `;` (RFC 9110 section 5.6.3, OWS).
pub(super) const SPACE: [char; 2] = [' ', '\t'];

impl<'v> Shape<'v> {
    pub(super) fn of(value: &'v [u8]) -> Result<Self, Unreadable> {
        let value = str::from_utf8(value).map_err(|_| Unreadable::Malformed)?;
        let value = value.trim_matches(SPACE);
        if is_token68(value) {
            return Ok(Self::One(value));
        }
        if value.contains(';') {
            return parameters(value)
                .map(Self::Parameters)
                .ok_or(Unreadable::Malformed);
        }
        match value.split_once(' ') {
            Some((scheme, rest)) if is_token(scheme) => {
                let rest = rest.trim_start_matches(' ');
                is_token68(rest).then_some(Self::Scheme(scheme, rest))
            }
            _ => None,
        }
        .ok_or(Unreadable::Malformed)
    }
}

pub(super) fn parameters(value: &str) -> Option<[Parameter<'_>; 2]> {
    let value = value
        .strip_suffix(';')
        .map_or(value, |value| value.trim_end_matches(SPACE));
    let (one, other) = value.split_once(';')?;
    Some([
        parameter(one.trim_end_matches(SPACE))?,
        parameter(other.trim_start_matches(SPACE))?,
    ])
}

pub(super) fn parameter(text: &str) -> Option<Parameter<'_>> {
    let (name, value) = text.split_once('=')?;
    (is_token(name) && is_token(value)).then_some(Parameter { name, value })
}

/// The part of a key before `_`, which names its kind.
pub(super) fn prefix(key: &str) -> &str {
    key.split_once('_').map_or("", |(prefix, _)| prefix)
}

pub(super) const BASIC: &str = "Basic";

pub(super) fn is_basic(scheme: &str) -> bool {
    scheme.eq_ignore_ascii_case(BASIC)
}

pub(super) fn basic_value(username: &str, password: &str) -> String {
    let pair = Zeroizing::new(concat(&[username, ":", password]));
    let mut value = String::with_capacity(BASIC.len() + 1 + BASE64.encode_len(pair.len()));
    value.push_str(BASIC);
    value.push(' ');
    BASE64.encode_append(pair.as_bytes(), &mut value);
    value
}

/// Reads what stands after `Basic`: UTF-8 without control characters, with a
/// colon (RFC 7617 section 2).
pub(super) fn decode<'v>(encoded: &str) -> Result<Parts<'v>, Unreadable> {
    let encoded = encoded.as_bytes();
    let length = BASE64
        .decode_len(encoded.len())
        .map_err(|_| Unreadable::Malformed)?;
    let mut bytes = Zeroizing::new(vec![0; length]);
    let length = BASE64
        .decode_mut(encoded, &mut bytes)
        .map_err(|_| Unreadable::Malformed)?;
    bytes.truncate(length);
    let pair = String::from_utf8(std::mem::take(&mut *bytes)).map_err(|error| {
        error.into_bytes().zeroize();
        Unreadable::Malformed
    })?;
    let pair = SecretText::new(pair);
    if pair.expose().contains(char::is_control) {
        return Err(Unreadable::Malformed);
    }
    let colon = pair.expose().find(':').ok_or(Unreadable::Malformed)?;
    Ok(Parts::UsernamePassword { pair, colon })
}

/// The texts joined, allocated once: growth would leave copies of a secret.
pub(super) fn concat(texts: &[&str]) -> String {
    let mut joined = String::with_capacity(texts.iter().map(|text| text.len()).sum());
    for text in texts {
        joined.push_str(text);
    }
    joined
}

/// Whether it is a `token` (RFC 9110 section 5.6.2).
pub(super) fn is_token(text: &str) -> bool {
    let special = |b| b"!#$%&'*+-.^_`|~".contains(&b);
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || special(b))
}

/// Whether it is a `token68` (RFC 9110 section 11.2).
pub(super) fn is_token68(text: &str) -> bool {
    let text = text.trim_end_matches('=');
    let special = |b| b"-._~+/".contains(&b);
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || special(b))
}
