//! The texts that people give: names and descriptions, each with its rule.
//!
//! A value of one of these types has passed its rule; nothing behind the edge
//! checks it again.

use std::fmt;
use std::sync::Arc;

/// Why a text is not what it should be; reads as the end of "`FIELD` ...".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidText(pub &'static str);

macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The text, if it follows the rule.
            ///
            /// # Errors
            ///
            /// [`InvalidText`], which says the rule.
            pub fn parse(text: &str) -> Result<Self, InvalidText> {
                let check: fn(&str) -> Result<(), InvalidText> = $check;
                check(text)?;
                Ok(Self(text.into()))
            }

            /// A text that followed the rule when it was stored.
            #[must_use]
            pub const fn trusted(text: Arc<str>) -> Self {
                Self(text)
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The text, shared.
            #[must_use]
            pub const fn as_arc(&self) -> &Arc<str> {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

text! {
    /// An isolated customer or product area: a DNS label (RFC 1035 section
    /// 2.3.1, in lower case), so that it fits host names and metric labels.
    Tenant, tenant
}

text! {
    /// Whom a credential belongs to, in a tenant.
    Owner, owner
}

text! {
    /// A short name for people.
    Label, label
}

text! {
    /// A longer text for people; may be empty.
    Description, description
}

text! {
    /// Why somebody changed something, in their words; may be empty.
    Reason, reason
}

text! {
    /// The name of a role.
    Role, role
}

text! {
    /// The name of a caller, as it stands in records: `credd:OWNER` for a
    /// credential of credd's own tenant.
    Principal, |_| Ok(())
}

impl Tenant {
    /// The name of the tenant that holds credd's own callers.
    pub const CREDD: &'static str = "credd";

    /// Whether this is credd's own tenant.
    #[must_use]
    pub fn is_credd(&self) -> bool {
        self.as_str() == Self::CREDD
    }

    /// Credd's own tenant.
    #[must_use]
    pub fn credd() -> Self {
        Self::trusted(Self::CREDD.into())
    }
}

impl Role {
    /// May call every RPC; a role of the tenant `credd`.
    pub const ADMINISTRATOR: &'static str = "administrator";
    /// May call Verify, `VerifyStream` and Watch; a role of the tenant `credd`.
    pub const VERIFIER: &'static str = "verifier";
}

impl Principal {
    /// The name of the owner of a credential in credd's own tenant.
    #[must_use]
    pub fn credd(owner: &Owner) -> Self {
        Self::trusted(format!("{}:{owner}", Tenant::CREDD).into())
    }

    /// credd itself.
    #[must_use]
    pub fn system() -> Self {
        Self::trusted("system".into())
    }
}

/// The most roles that one credential may have.
pub const MAX_ROLES: usize = 16;

fn require(holds: bool, rule: &'static str) -> Result<(), InvalidText> {
    if holds {
        Ok(())
    } else {
        Err(InvalidText(rule))
    }
}

fn dns_label(text: &str, rule: &'static str) -> Result<(), InvalidText> {
    let bytes = text.as_bytes();
    require(
        (1..=63).contains(&bytes.len())
            && bytes[0].is_ascii_lowercase()
            && bytes[bytes.len() - 1] != b'-'
            && bytes
                .iter()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-'),
        rule,
    )
}

fn tenant(text: &str) -> Result<(), InvalidText> {
    dns_label(
        text,
        "must be 1 to 63 characters of a-z, 0-9 and `-`, beginning with a letter and not ending in `-`",
    )
}

fn role(text: &str) -> Result<(), InvalidText> {
    dns_label(
        text,
        "must be the name of a role: 1 to 63 characters of a-z, 0-9 and `-`, beginning with a letter and not ending in `-`",
    )
}

fn owner(text: &str) -> Result<(), InvalidText> {
    let bytes = text.as_bytes();
    require(
        (1..=128).contains(&bytes.len())
            && bytes[0].is_ascii_alphanumeric()
            && bytes
                .iter()
                .all(|b| b.is_ascii_alphanumeric() || b"._-@:/+".contains(b)),
        "must be 1 to 128 characters of a-z, A-Z, 0-9 and `. _ - @ : / +`, beginning with a letter or a digit",
    )
}

fn label(text: &str) -> Result<(), InvalidText> {
    require(
        !text.is_empty()
            && text.chars().count() <= 128
            && text.trim() == text
            && !text.chars().any(char::is_control),
        "must be 1 to 128 characters without control characters and without space at either end",
    )
}

fn description(text: &str) -> Result<(), InvalidText> {
    require(
        text.len() <= 1024 && !text.chars().any(|c| c.is_control() && c != '\n'),
        "must be at most 1,024 bytes of UTF-8 without control characters but line feeds",
    )
}

fn reason(text: &str) -> Result<(), InvalidText> {
    require(
        text.len() <= 256 && !text.chars().any(char::is_control),
        "must be at most 256 bytes of UTF-8 without control characters",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_is_a_dns_label() {
        for good in ["a", "acme", "a-1", &"x".repeat(63)] {
            assert!(Tenant::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "-a",
            "a-",
            "1a",
            "A",
            "a_b",
            "a.b",
            "ä",
            &"x".repeat(64),
        ] {
            assert!(Tenant::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_owner_is_a_plain_identifier() {
        for good in ["a", "jo@example.com", "system:serviceaccount/ns", "0"] {
            assert!(Owner::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "@a", "a b", "ä", "a\0", &"x".repeat(129)] {
            assert!(Owner::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_label_has_no_control_characters_and_no_space_around_it() {
        for good in ["x", "Früh am Morgen", &"é".repeat(128)] {
            assert!(Label::parse(good).is_ok(), "{good}");
        }
        for bad in ["", " a", "a ", "a\nb", "a\u{7f}", &"é".repeat(129)] {
            assert!(Label::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn descriptions_and_reasons_are_bounded() {
        assert!(Description::parse("").is_ok());
        assert!(Description::parse("two\nlines").is_ok());
        assert!(Description::parse("a\ttab").is_err());
        assert!(Description::parse(&"x".repeat(1025)).is_err());
        assert!(Reason::parse("").is_ok());
        assert!(Reason::parse("two\nlines").is_err());
        assert!(Reason::parse(&"x".repeat(257)).is_err());
    }
}
