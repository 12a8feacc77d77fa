//! Where the next page of a list starts, sealed: good for the caller and the
//! list that it was made for, and for nothing else.

use data_encoding::BASE64URL_NOPAD;

use crate::authority::list::{Filter, Order, Place, Whose};
use crate::domain::credential::ShownState;
use crate::domain::id::CredentialId;
use crate::domain::keyring::Keyring;
use crate::domain::names::{Principal, ProfileName, Role};
use crate::domain::random::{Random, RandomUnavailable};
use crate::domain::time::Timestamp;
use crate::domain::token::Kind;

/// A text that is no page token for this caller and list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAPageToken;

/// What a page token is bound to, in a form in which no two are alike: each part
/// is preceded by its length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding(Vec<u8>);

impl Binding {
    /// A list of this name, for this caller.
    #[must_use]
    pub fn new(list: &str, caller: &Principal) -> Self {
        let mut binding = Self(b"credd page token".to_vec());
        binding.push(list.as_bytes());
        binding.push(caller.as_str().as_bytes());
        binding
    }

    /// The same, for this part of the list.
    #[must_use]
    pub fn with(mut self, part: &str) -> Self {
        self.push(part.as_bytes());
        self
    }

    /// The same, for what a filter lets through, in an order.
    #[must_use]
    pub fn with_filter(mut self, filter: &Filter, order: Order) -> Self {
        let Filter {
            whose,
            profile,
            kind,
            states,
            label_prefix,
            role,
            expiring_before,
            unused_since,
            unlisted,
        } = filter;
        let (tenant, owner) = match whose {
            Whose::All => ("", ""),
            Whose::Tenant(tenant) => (tenant.as_str(), ""),
            Whose::Owner(tenant, owner) => (tenant.as_str(), owner.as_str()),
        };
        let time = |at: &Option<Timestamp>| {
            at.map_or_else(Vec::new, |at| at.as_millis().to_be_bytes().to_vec())
        };
        self.push(tenant.as_bytes());
        self.push(owner.as_bytes());
        self.push(profile.as_ref().map_or("", ProfileName::as_str).as_bytes());
        self.push(match kind {
            None => b"",
            Some(Kind::ApiToken) => b"api-token",
            Some(Kind::Basic) => b"basic",
            Some(Kind::KeyPair) => b"key-pair",
        });
        let states: Vec<u8> = states
            .iter()
            .map(|state| match state {
                ShownState::Active => b'a',
                ShownState::Locked => b'l',
                ShownState::Revoked => b'r',
                ShownState::Expired => b'e',
            })
            .collect();
        self.push(&states);
        self.push(label_prefix.as_bytes());
        self.push(role.as_ref().map_or("", Role::as_str).as_bytes());
        self.push(&time(expiring_before));
        self.push(&time(unused_since));
        self.push(&[u8::from(*unlisted)]);
        self.push(match order {
            Order::Created => b"created",
            Order::Expiry => b"expiry",
            Order::LastUsed => b"last used",
        });
        self
    }

    fn push(&mut self, part: &[u8]) {
        self.0.extend_from_slice(&(part.len() as u64).to_be_bytes());
        self.0.extend_from_slice(part);
    }

    /// The token for the page after this text.
    ///
    /// # Errors
    ///
    /// [`RandomUnavailable`] if there is no nonce to be had.
    pub fn seal(
        &self,
        keyring: &Keyring,
        random: &dyn Random,
        after: &[u8],
    ) -> Result<String, RandomUnavailable> {
        let sealed = keyring.seal(&self.0, after, random)?;
        Ok(BASE64URL_NOPAD.encode(&sealed))
    }

    /// The text after which the page starts.
    ///
    /// # Errors
    ///
    /// [`NotAPageToken`] if it was made for another caller or list, or by nobody.
    pub fn open(&self, keyring: &Keyring, token: &str) -> Result<Vec<u8>, NotAPageToken> {
        let sealed = BASE64URL_NOPAD
            .decode(token.as_bytes())
            .map_err(|_| NotAPageToken)?;
        let opened = keyring.open(&self.0, &sealed).map_err(|_| NotAPageToken)?;
        Ok(opened.to_vec())
    }
}

/// A place as the text of a token.
#[must_use]
pub fn write_place(place: Place) -> Vec<u8> {
    let Place { class, at, id } = place;
    let mut text = vec![class];
    text.extend_from_slice(&at.as_millis().to_be_bytes());
    text.extend_from_slice(id.as_bytes());
    text
}

/// The place that a text of a token stands for.
///
/// # Errors
///
/// [`NotAPageToken`] for a text that [`write_place`] does not write.
pub fn read_place(text: &[u8]) -> Result<Place, NotAPageToken> {
    let (class, rest) = text.split_first().ok_or(NotAPageToken)?;
    let (at, id) = rest.split_first_chunk().ok_or(NotAPageToken)?;
    Ok(Place {
        class: *class,
        at: Timestamp::from_millis(i64::from_be_bytes(*at)),
        id: CredentialId::from_bytes(id.try_into().map_err(|_| NotAPageToken)?),
    })
}
