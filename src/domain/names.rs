//! The texts that people give: names and descriptions, each with its rule.
//!
//! A value of one of these types has passed its rule; nothing behind the edge
//! checks it again.

/// Why a text is not what it should be; reads as the end of "`FIELD` ...".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidText(pub &'static str);

/// A type for shared texts that have passed a rule, without the rule.
macro_rules! shared_text {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(std::sync::Arc<str>);

        impl $name {
            /// A text that followed the rule when it was stored.
            #[must_use]
            pub const fn trusted(text: std::sync::Arc<str>) -> Self {
                Self(text)
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The text, shared.
            #[must_use]
            pub const fn as_arc(&self) -> &std::sync::Arc<str> {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

/// A type for texts that `$check` lets pass, kept as they were given.
macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $crate::domain::names::shared_text! { $(#[$doc])* $name }

        impl $name {
            /// The text, if it follows the rule.
            ///
            /// # Errors
            ///
            /// [`InvalidText`](crate::domain::names::InvalidText), which says the rule.
            pub fn parse(text: &str) -> Result<Self, $crate::domain::names::InvalidText> {
                let check: fn(&str) -> Result<(), $crate::domain::names::InvalidText> = $check;
                check(text)?;
                Ok(Self(text.into()))
            }
        }
    };
}

pub(super) use {shared_text, text};

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
    /// The name of a profile: a DNS label, as that of a tenant.
    ProfileName, profile_name
}

text! {
    /// The name of a cell, an authority beside others: a DNS label, as that of a tenant.
    CellName, tenant
}

text! {
    /// A name for people; may be empty.
    DisplayName, display_name
}

text! {
    /// A group that an owner belongs to.
    Group, group
}

text! {
    /// The name that a caller of credd has in records: of whom something is to hold.
    PrincipalName, principal_name
}

text! {
    /// The name of something that is noted with a credential.
    AttributeKey, attribute_key
}

text! {
    /// What is noted with a credential under an [`AttributeKey`].
    AttributeValue, attribute_value
}

text! {
    /// The username or access key of a credential that was made elsewhere.
    PublicName, public_name
}

text! {
    /// The name of a caller, as it stands in records: `credd:OWNER` for a
    /// credential of credd's own tenant.
    Principal, |_| Ok(())
}

impl Default for DisplayName {
    fn default() -> Self {
        Self::trusted("".into())
    }
}

impl Default for Description {
    fn default() -> Self {
        Self::trusted("".into())
    }
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
    /// May manage credd; a role of the tenant `credd`.
    pub const ADMINISTRATOR: &'static str = "administrator";
    /// May see everything but secrets; a role of the tenant `credd`.
    pub const AUDITOR: &'static str = "auditor";
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

/// The most roles that one credential or owner may have.
pub const MAX_ROLES: usize = 16;
/// The most attributes that one credential may have.
pub const MAX_ATTRIBUTES: usize = 16;
/// The most bytes that the texts of one credential may have together, so that its
/// record stays within a value of the store.
pub const MAX_CREDENTIAL_TEXTS: usize = 2048;
/// The same for the texts of an owner, a role or a profile.
pub const MAX_DIRECTORY_TEXTS: usize = 3072;
/// The most principals that an owner may have.
pub const MAX_PRINCIPALS: usize = 8;
/// The most groups that an owner may have.
pub const MAX_GROUPS: usize = 32;
/// The most permissions that a role may have.
pub const MAX_PERMISSIONS: usize = 64;

/// What is noted with a credential, sorted by key, none twice.
pub type Attributes = Vec<(AttributeKey, AttributeValue)>;

/// That a rule holds, or what it says.
pub(super) fn require(holds: bool, rule: &'static str) -> Result<(), InvalidText> {
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

fn profile_name(text: &str) -> Result<(), InvalidText> {
    dns_label(
        text,
        "must be the name of a profile: 1 to 63 characters of a-z, 0-9 and `-`, beginning with a letter and not ending in `-`",
    )
}

fn display_name(text: &str) -> Result<(), InvalidText> {
    no_secret(text)?;
    require(
        text.is_empty() || is_plain(text, 128),
        "must be at most 128 characters without control characters and without space at either end",
    )
}

fn group(text: &str) -> Result<(), InvalidText> {
    no_secret(text)?;
    require(
        is_plain(text, 64),
        "must be 1 to 64 characters without control characters and without space at either end",
    )
}

/// One line of at most `most` characters, with nothing around it.
fn is_plain(text: &str, most: usize) -> bool {
    !text.is_empty()
        && text.chars().count() <= most
        && text.trim() == text
        && !text.chars().any(char::is_control)
}

fn principal_name(text: &str) -> Result<(), InvalidText> {
    no_secret(text)?;
    let forms = ["credd:", "jwt:", "spiffe://", "dns:"];
    let has_form = forms
        .iter()
        .any(|form| text.len() > form.len() && text.starts_with(form));
    let names_subject = !text.starts_with("jwt:")
        || text
            .split_once('#')
            .is_some_and(|(issuer, subject)| issuer.len() > "jwt:".len() && !subject.is_empty());
    // As certificates name it: it would be nobody's otherwise.
    let is_lower = !text.starts_with("dns:") || !text.bytes().any(|byte| byte.is_ascii_uppercase());
    require(
        has_form
            && names_subject
            && is_lower
            && text.len() <= 256
            && text.bytes().all(|byte| byte.is_ascii_graphic()),
        "must be `credd:OWNER`, `jwt:ISSUER#SUBJECT`, `spiffe://...` or, in lower case, `dns:name` of at most 256 visible ASCII characters",
    )
}

fn attribute_key(text: &str) -> Result<(), InvalidText> {
    let bytes = text.as_bytes();
    require(
        (1..=64).contains(&bytes.len())
            && bytes[0].is_ascii_lowercase()
            && bytes
                .iter()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(b)),
        "must have keys of 1 to 64 characters of a-z, 0-9, `.`, `_` and `-` that begin with a letter",
    )
}

fn attribute_value(text: &str) -> Result<(), InvalidText> {
    no_secret(text)?;
    require(
        text.len() <= 256 && !text.chars().any(char::is_control),
        "must be at most 256 bytes of UTF-8 without control characters",
    )
}

fn public_name(text: &str) -> Result<(), InvalidText> {
    no_secret(text)?;
    require(
        (1..=128).contains(&text.len())
            && text
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && !b":;=,".contains(&byte)),
        "must be 1 to 128 visible ASCII characters but `:`, `;`, `=` and `,`",
    )
}

fn owner(text: &str) -> Result<(), InvalidText> {
    no_secret(text)?;
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
    no_secret(text)?;
    require(
        is_plain(text, 128),
        "must be 1 to 128 characters without control characters and without space at either end",
    )
}

fn description(text: &str) -> Result<(), InvalidText> {
    no_secret(text)?;
    require(
        text.len() <= 1024 && !text.chars().any(|c| c.is_control() && c != '\n'),
        "must be at most 1,024 bytes of UTF-8 without control characters but line feeds",
    )
}

/// What people write stands in the store, in logs and in answers, where no secret may.
fn no_secret(text: &str) -> Result<(), InvalidText> {
    require(
        !super::audit::holds_secret(text),
        "must not hold a secret of credd's",
    )
}

fn reason(text: &str) -> Result<(), InvalidText> {
    no_secret(text)?;
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

    #[test]
    fn no_text_of_people_holds_a_secret() {
        let secret = format!("creddt_{}", "x".repeat(40));
        let text = format!("found {secret} in a wiki");
        assert!(Reason::parse(&text).is_err() && Description::parse(&text).is_err());
        assert!(Label::parse(&text).is_err() && DisplayName::parse(&text).is_err());
        assert!(Group::parse(&text).is_err() && AttributeValue::parse(&text).is_err());
        assert!(Owner::parse(&secret).is_err() && PublicName::parse(&secret).is_err());
        assert!(PrincipalName::parse(&format!("credd:{secret}")).is_err());
        assert!(Reason::parse("found creddt_x in a wiki").is_ok());
    }
}
