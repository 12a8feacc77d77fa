//! How credentials stand in HTTP headers.
//!
//! A profile says it for its credentials by [`HeaderRule`]s. Each rule is read
//! and written here:
//!
//! | format | kind | value |
//! | --- | --- | --- |
//! | [`HeaderFormat::Bare`] | API token | `TOKEN` |
//! | [`HeaderFormat::Scheme`] | API token | `SCHEME TOKEN` |
//! | [`HeaderFormat::Basic`] | Basic | `Basic BASE64(USERNAME:PASSWORD)` |
//! | [`HeaderFormat::Pair`] | key pair | `PUBLIC=ACCESS-KEY; SECRET=SECRET-KEY` |
//!
//! A value holds one credential or is malformed: a list of them (`Bearer a,
//! Bearer b`), as which repeated headers are joined, could mean one thing to
//! credd and another to the service that asks.
//!
//! A value is read by one rule, but for key pairs of another system where two
//! rules name the same parameters the other way round. The profiles of different
//! tenants can't disturb each other all the same: see [`HeaderRules::readings`].

use std::fmt;

use super::names::InvalidText;
use super::secret::SecretText;
use super::token::{Kind, Presented};

mod name;
mod value;

pub use name::{AuthScheme, HeaderName, ParameterName};

use name::compare;
use value::{Parameter, Shape, basic_value, concat, decode, is_basic, prefix};

/// Where a credential stands in a request, and how.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HeaderRule {
    /// The header.
    pub name: HeaderName,
    /// The form of its value.
    pub format: HeaderFormat,
}

/// The form of a header's value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HeaderFormat {
    /// `TOKEN`: nothing but an API token.
    Bare,
    /// `SCHEME TOKEN`: an API token after the name of a scheme (RFC 9110
    /// section 11.4).
    Scheme(AuthScheme),
    /// `Basic BASE64(USERNAME:PASSWORD)` (RFC 7617 section 2).
    Basic,
    /// `PUBLIC=ACCESS-KEY; SECRET=SECRET-KEY`: the two parts of a key pair as
    /// parameters (RFC 9110 section 5.6.6).
    Pair(PairNames),
}

/// The names under which the two parts of a key pair stand; they differ.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PairNames {
    public: ParameterName,
    secret: ParameterName,
}

/// The rules that are known, by header.
#[derive(Clone, Debug, Default)]
pub struct HeaderRules {
    /// Ascending, each once.
    rules: Vec<HeaderRule>,
}

/// A value that one of several rules has read.
#[derive(Debug)]
pub struct Reading<'r, 'v> {
    /// The rule: whether the credential's own profile lists it is for the
    /// caller to see.
    pub rule: &'r HeaderRule,
    /// What the value presents.
    pub credential: Presentable<'v>,
}

/// A credential in the value of a header, not yet looked at.
pub struct Presentable<'v>(Parts<'v>);

/// Why no credential can be read from a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unreadable {
    /// No rule names the header.
    UnknownHeader,
    /// The value has none of the forms that credentials can have in headers.
    Malformed,
    /// The value has the form of another rule than those asked.
    OtherFormat,
}

impl HeaderRule {
    /// The value of the header for a credential of the kind that the format is
    /// for. `name` is its username or access key, and no part of an API token's
    /// value. Both texts are as credd issues them: they hold no character that
    /// means something to a format.
    #[must_use]
    pub fn write(&self, name: &str, secret: &str) -> SecretText {
        let value = match &self.format {
            HeaderFormat::Bare => concat(&[secret]),
            HeaderFormat::Scheme(scheme) => concat(&[scheme.as_str(), " ", secret]),
            HeaderFormat::Basic => basic_value(name, secret),
            HeaderFormat::Pair(names) => concat(&[
                names.public.as_str(),
                "=",
                name,
                "; ",
                names.secret.as_str(),
                "=",
                secret,
            ]),
        };
        SecretText::new(value)
    }

    /// What a value of the header presents, if it has the form of this rule.
    ///
    /// Space around the value is no part of it (RFC 9110 section 5.5), and the
    /// names of schemes and parameters are read in any case. Between scheme and
    /// credential stand one or more spaces. A key pair's parameters stand in
    /// either order, each once and unquoted, none beside them, with or without
    /// space around `;` and one more `;` at the end; the access key and the
    /// secret key begin as credd's do. Base64 is canonical, with its padding.
    ///
    /// Allocates for [`HeaderFormat::Basic`] only; what it allocates is zeroized
    /// when dropped.
    ///
    /// # Errors
    ///
    /// [`Unreadable::Malformed`] and [`Unreadable::OtherFormat`].
    pub fn read<'v>(&self, value: &'v [u8]) -> Result<Presentable<'v>, Unreadable> {
        self.format.read(&Shape::of(value)?)
    }
}

impl HeaderFormat {
    /// The kind of credentials that it is for.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Bare | Self::Scheme(_) => Kind::ApiToken,
            Self::Basic => Kind::Basic,
            Self::Pair(_) => Kind::KeyPair,
        }
    }

    fn read<'v>(&self, shape: &Shape<'v>) -> Result<Presentable<'v>, Unreadable> {
        let parts = match (self, *shape) {
            (Self::Bare, Shape::One(token)) => Parts::Token(token),
            (Self::Scheme(named), Shape::Scheme(scheme, token)) if named.matches(scheme) => {
                Parts::Token(token)
            }
            (Self::Basic, Shape::Scheme(scheme, encoded)) if is_basic(scheme) => decode(encoded)?,
            (Self::Pair(names), Shape::Parameters(parameters)) => {
                let (access_key, secret_key) =
                    names.take(parameters).ok_or(Unreadable::OtherFormat)?;
                Parts::KeyPair(access_key, secret_key)
            }
            _ => return Err(Unreadable::OtherFormat),
        };
        Ok(Presentable(parts))
    }
}

impl PairNames {
    /// The names of the access key's and the secret key's parameter.
    ///
    /// # Errors
    ///
    /// [`InvalidText`] if the names are the same in any case.
    pub fn new(public: ParameterName, secret: ParameterName) -> Result<Self, InvalidText> {
        if public == secret {
            Err(InvalidText(
                "must be another name than that of the access key, whatever the case",
            ))
        } else {
            Ok(Self { public, secret })
        }
    }

    /// The name of the access key's parameter.
    #[must_use]
    pub const fn public(&self) -> &ParameterName {
        &self.public
    }

    /// The name of the secret key's parameter.
    #[must_use]
    pub const fn secret(&self) -> &ParameterName {
        &self.secret
    }

    /// The access key and the secret key among two parameters.
    ///
    /// Looks at how the keys begin, so that of two rules with the same names
    /// the other way round only one reads a pair that credd has made.
    fn take<'v>(&self, [one, other]: [Parameter<'v>; 2]) -> Option<(&'v str, &'v str)> {
        let (public, secret) = if self.public.matches(one.name) {
            (one, other)
        } else {
            (other, one)
        };
        let holds = self.public.matches(public.name)
            && self.secret.matches(secret.name)
            && Some(prefix(secret.value)) != Kind::KeyPair.name_prefix()
            && prefix(public.value) != Kind::KeyPair.secret_prefix();
        holds.then_some((public.value, secret.value))
    }
}

impl FromIterator<HeaderRule> for HeaderRules {
    /// The rules, of which those that differ in case alone are one.
    fn from_iter<I: IntoIterator<Item = HeaderRule>>(rules: I) -> Self {
        let mut rules: Vec<_> = rules.into_iter().collect();
        rules.sort();
        rules.dedup();
        rules.shrink_to_fit();
        Self { rules }
    }
}

impl HeaderRules {
    /// All of them, those of one header together.
    pub fn iter(&self) -> impl Iterator<Item = &HeaderRule> {
        self.rules.iter()
    }

    /// The different rules for the header of this name, in any case; takes time
    /// logarithmic in the number of all rules.
    #[must_use]
    pub fn candidates(&self, name: &str) -> &[HeaderRule] {
        let compare = |rule: &HeaderRule| compare(rule.name.as_str(), name);
        let from = self.rules.partition_point(|rule| compare(rule).is_lt());
        let rest = &self.rules[from..];
        &rest[..rest.partition_point(|rule| compare(rule).is_eq())]
    }

    /// What this header presents, and the rule that reads it so; as
    /// [`HeaderRule::read`] does. Of several rules that read it, the first.
    ///
    /// # Errors
    ///
    /// [`Unreadable`].
    pub fn read<'r, 'v>(
        &'r self,
        name: &str,
        value: &'v [u8],
    ) -> Result<Reading<'r, 'v>, Unreadable> {
        let mut readings = self.readings(name, value)?;
        readings.next().unwrap_or(Err(Unreadable::OtherFormat))
    }

    /// What each rule that reads this header reads in it. There is more than one
    /// only where two rules name the same parameters the other way round and the
    /// keys are not credd's own: whose they are shows in the verdict.
    ///
    /// # Errors
    ///
    /// [`Unreadable`].
    pub fn readings<'r, 'v>(
        &'r self,
        name: &str,
        value: &'v [u8],
    ) -> Result<impl Iterator<Item = Result<Reading<'r, 'v>, Unreadable>>, Unreadable> {
        let rules = self.candidates(name);
        if rules.is_empty() {
            return Err(Unreadable::UnknownHeader);
        }
        let shape = Shape::of(value)?;
        Ok(rules
            .iter()
            .filter_map(move |rule| match rule.format.read(&shape) {
                Err(Unreadable::OtherFormat) => None,
                read => Some(read.map(|credential| Reading { rule, credential })),
            }))
    }
}

impl Presentable<'_> {
    /// What is presented.
    #[must_use]
    pub fn presented(&self) -> Presented<'_> {
        match &self.0 {
            Parts::Token(token) => Presented::Token(token),
            Parts::UsernamePassword { pair, colon } => {
                let (username, password) = pair.expose().split_at(*colon);
                Presented::UsernamePassword(username, &password[1..])
            }
            Parts::KeyPair(access_key, secret_key) => Presented::KeyPair(access_key, secret_key),
        }
    }
}

impl fmt::Debug for Presentable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Presentable(..)")
    }
}

enum Parts<'v> {
    Token(&'v str),
    /// Username and password, with a colon at byte `colon`, the first.
    UsernamePassword {
        pair: SecretText,
        colon: usize,
    },
    KeyPair(&'v str, &'v str),
}

#[cfg(test)]
mod tests;
