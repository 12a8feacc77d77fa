//! What a record of the audit log says.

use super::chain::Head;
use crate::domain::id::CredentialId;
use crate::domain::time::Timestamp;
use crate::domain::token::Kind;

/// The outcome of what was done as it was asked.
pub const OK: &str = "OK";

/// The outcomes of the uses of credentials that were denied although the secret was
/// the right one, and of secrets that were retired.
pub const USES: [&str; 6] = [
    "REVOKED",
    "LOCKED",
    "TENANT_DISABLED",
    "OWNER_DISABLED",
    "EXPIRED",
    RETIRED_SECRET,
];

/// The outcome of the use of a secret that was retired.
pub const RETIRED_SECRET: &str = "RETIRED_SECRET";

/// The most credentials that one event names.
pub const MOST_CREDENTIALS: usize = 50;
/// The most records that one event tells were erased.
pub const MOST_ERASED: usize = 64;
/// The most bytes of the details of an event.
pub const DETAILS_BYTES: usize = 800;
/// The most bytes of the id that somebody gave a request.
pub const REQUEST_ID_BYTES: usize = 128;
/// The most bytes of an address.
pub const ADDRESS_BYTES: usize = 64;

const PRINCIPAL_BYTES: usize = 256;
const NAME_BYTES: usize = 128;
const REASON_BYTES: usize = 256;

/// Something that was done, refused or denied; or several alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The full name of the RPC, or what credd did of its own accord.
    pub action: String,
    /// Who called; empty: nobody knows.
    pub principal: String,
    /// In whose name, if that is another.
    pub on_behalf_of: String,
    /// How the caller is known.
    pub known_by: KnownBy,
    /// The address that the call came from.
    pub address: String,
    /// The id that the caller gave the request, in metadata.
    pub request_id: String,
    /// What it was about.
    pub subject: Subject,
    /// Why, as the caller said.
    pub reason: String,
    /// [`OK`], or the stable reason of the refusal, or the verdict on a use.
    pub outcome: String,
    /// Whether the caller only asked what would change.
    pub dry_run: bool,
    /// What else there is to say.
    pub details: String,
    /// Of a use: the address of the client, as the service said that asked.
    pub client_address: String,
    /// Of a use: the id of the client's request, likewise.
    pub client_request_id: String,
    /// How many of the same there were.
    pub count: u64,
    /// When the first of them was.
    pub first: Timestamp,
    /// When the last of them was.
    pub last: Timestamp,
    /// Of an erasure: the records that were erased, at most [`MOST_ERASED`].
    pub erased: Vec<u64>,
    /// Of a removal of the oldest records: the last of them.
    pub begins: Option<Head>,
}

/// What an event is about; what is empty has no part in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// The tenant; `*`: all of them.
    pub tenant: String,
    /// The owner.
    pub owner: String,
    /// The profile.
    pub profile: String,
    /// The role.
    pub role: String,
    /// The principal of a binding.
    pub principal: String,
    /// Credentials, at most [`MOST_CREDENTIALS`].
    pub credentials: Vec<CredentialId>,
}

/// How a caller is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum KnownBy {
    /// Not at all.
    #[default]
    Nobody,
    /// It is credd itself.
    System,
    /// By this credential of credd's own tenant.
    Credential(CredentialId),
    /// By a token that another issued.
    Token,
    /// By a certificate.
    Certificate,
}

impl Event {
    /// One event of now, without anything that may be empty.
    #[must_use]
    pub fn new(action: &str, outcome: &str, now: Timestamp) -> Self {
        Self {
            action: action.to_owned(),
            principal: String::new(),
            on_behalf_of: String::new(),
            known_by: KnownBy::Nobody,
            address: String::new(),
            request_id: String::new(),
            subject: Subject::default(),
            reason: String::new(),
            outcome: outcome.to_owned(),
            dry_run: false,
            details: String::new(),
            client_address: String::new(),
            client_request_id: String::new(),
            count: 1,
            first: now,
            last: now,
            erased: Vec::new(),
            begins: None,
        }
    }

    /// Whether it was done as it was asked.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.outcome == OK
    }

    /// Whether it tells of the use of one credential.
    #[must_use]
    pub fn is_use(&self) -> bool {
        USES.contains(&self.outcome.as_str())
    }

    /// Whether the chain is checked by what it tells, so that it is not erased: it is
    /// how an erasure and a removal are told from what somebody else has done.
    #[must_use]
    pub fn is_of_upkeep(&self) -> bool {
        !self.erased.is_empty() || self.begins.is_some()
    }

    /// The same event as it may be written: within the bounds of a record, and
    /// without texts that look like secrets.
    #[must_use]
    pub fn fit(self) -> Self {
        let principal = |text: String| redacted(bounded(text, PRINCIPAL_BYTES));
        let name = |text: String| redacted(bounded(text, NAME_BYTES));
        let Subject {
            tenant,
            owner,
            profile,
            role,
            principal: bound,
            mut credentials,
        } = self.subject;
        credentials.truncate(MOST_CREDENTIALS);
        let mut erased = self.erased;
        if !erased.is_empty() || self.begins.is_some() {
            // They take the place of credentials, of which an erasure names none.
            credentials.clear();
            erased.truncate(MOST_ERASED);
        }
        Self {
            action: bounded(self.action, NAME_BYTES),
            principal: principal(self.principal),
            on_behalf_of: principal(self.on_behalf_of),
            address: bounded(self.address, ADDRESS_BYTES),
            request_id: redacted(bounded(self.request_id, REQUEST_ID_BYTES)),
            subject: Subject {
                tenant: name(tenant),
                owner: name(owner),
                profile: name(profile),
                role: name(role),
                principal: principal(bound),
                credentials,
            },
            reason: redacted(bounded(self.reason, REASON_BYTES)),
            outcome: bounded(self.outcome, ADDRESS_BYTES),
            details: redacted(bounded(self.details, DETAILS_BYTES)),
            client_address: redacted(bounded(self.client_address, ADDRESS_BYTES)),
            client_request_id: redacted(bounded(self.client_request_id, REQUEST_ID_BYTES)),
            erased,
            ..self
        }
    }
}

/// A text of at most so many bytes; what is longer ends in `...`.
#[must_use]
pub fn bounded(text: String, bytes: usize) -> String {
    const CUT: &str = "...";

    if text.len() <= bytes {
        return text;
    }
    let mut end = bytes.saturating_sub(CUT.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let mut text = text;
    text.truncate(end);
    text.push_str(CUT);
    text
}

/// Whether something looks like a secret that credd made, in a text.
#[must_use]
pub fn holds_secret(text: &str) -> bool {
    // Few texts have the mark of one at all.
    text.contains('_') && redacted(text.to_owned()) != text
}

/// A text in which `[redacted]` stands for whatever looks like a secret that credd
/// made, or like the beginning of one: what people type into the wrong field must
/// not stay in a log that nobody can change.
#[must_use]
pub fn redacted(text: String) -> String {
    /// More than stands in what is listed of a token.
    const SHOWN: usize = 30;

    let starts = |from: usize| {
        let prefixes = Kind::ALL.map(Kind::secret_prefix).into_iter();
        let found = prefixes.filter_map(|prefix| {
            let at = text[from..].find(prefix)? + from;
            let is_whole = text[at + prefix.len()..].starts_with('_');
            is_whole.then_some((at, prefix.len() + 1))
        });
        found.min()
    };
    let mut clean = String::new();
    let mut from = 0;
    while let Some((at, prefix)) = starts(from) {
        let body = &text[at + prefix..];
        let body = body
            .find(|c: char| !c.is_ascii_alphanumeric())
            .unwrap_or(body.len());
        clean.push_str(&text[from..at]);
        from = at + prefix + body;
        if body > SHOWN {
            clean.push_str("[redacted]");
        } else {
            clean.push_str(&text[at..from]);
        }
    }
    if from == 0 {
        return text;
    }
    clean.push_str(&text[from..]);
    clean
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::secret::Secret;
    use crate::domain::token::{Generation, secret_text};

    #[test]
    fn what_looks_like_a_secret_is_left_out_wherever_it_stands() {
        let id = CredentialId::from_bytes([7; 16]);
        for kind in Kind::ALL {
            let secret = secret_text(kind, id, Generation::FIRST, &Secret::new([9; 32]));
            let secret = secret.expose();
            for (text, clean) in [
                (secret.to_owned(), "[redacted]".to_owned()),
                (format!("in {secret}, and"), "in [redacted], and".to_owned()),
                (
                    format!("{secret} {secret}"),
                    "[redacted] [redacted]".to_owned(),
                ),
                (
                    format!("Bearer {}", &secret[..60]),
                    "Bearer [redacted]".to_owned(),
                ),
                (format!("x{secret}"), "x[redacted]".to_owned()),
            ] {
                assert_eq!(redacted(text), clean);
            }
            let shown = format!("{} is listed", &secret[..30]);
            assert_eq!(redacted(shown.clone()), shown);
        }
        for plain in ["", "creddt", "creddt_", "a creddt_x", "creddtx_ creddt é"] {
            assert_eq!(redacted(plain.to_owned()), plain);
        }
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(bounded("short".to_owned(), 5), "short");
        assert_eq!(bounded("longer".to_owned(), 5), "lo...");
        assert_eq!(bounded("éééé".to_owned(), 6), "é...");
    }
}
