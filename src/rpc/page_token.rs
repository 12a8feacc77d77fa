//! Where the next page of a list starts, sealed: good for the caller and the
//! filter that it was made for, and for nothing else.

use data_encoding::BASE64URL_NOPAD;

use crate::authority::list::{Filter, Whose};
use crate::domain::credential::ShownState;
use crate::domain::id::CredentialId;
use crate::domain::keyring::Keyring;
use crate::domain::names::Principal;
use crate::domain::random::{Random, RandomUnavailable};
use crate::domain::token::Kind;

/// A text that is no page token for this caller and filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAPageToken;

/// The token for the page after this id.
///
/// # Errors
///
/// [`RandomUnavailable`] if there is no nonce to be had.
pub fn seal(
    keyring: &Keyring,
    random: &dyn Random,
    caller: &Principal,
    filter: &Filter,
    after: CredentialId,
) -> Result<String, RandomUnavailable> {
    let sealed = keyring.seal(&context(caller, filter), after.as_bytes(), random)?;
    Ok(BASE64URL_NOPAD.encode(&sealed))
}

/// The id after which the page starts.
///
/// # Errors
///
/// [`NotAPageToken`] if it was made for another caller or filter, or by nobody.
pub fn open(
    keyring: &Keyring,
    caller: &Principal,
    filter: &Filter,
    token: &str,
) -> Result<CredentialId, NotAPageToken> {
    let sealed = BASE64URL_NOPAD
        .decode(token.as_bytes())
        .map_err(|_| NotAPageToken)?;
    let id = keyring
        .open(&context(caller, filter), &sealed)
        .map_err(|_| NotAPageToken)?;
    let id = id.try_into().map_err(|_| NotAPageToken)?;
    Ok(CredentialId::from_bytes(id))
}

/// What a token is bound to, in a form in which no two are alike: each part is
/// preceded by its length.
fn context(caller: &Principal, filter: &Filter) -> Vec<u8> {
    let Filter {
        whose,
        kind,
        states,
    } = filter;
    let mut context = b"credd page token of List".to_vec();
    let mut push = |part: &[u8]| {
        context.extend_from_slice(&(part.len() as u64).to_be_bytes());
        context.extend_from_slice(part);
    };
    push(caller.as_str().as_bytes());
    match whose {
        Whose::All => push(b"all"),
        Whose::Tenant(tenant) => {
            push(b"tenant");
            push(tenant.as_str().as_bytes());
        }
        Whose::Owner(tenant, owner) => {
            push(b"owner");
            push(tenant.as_str().as_bytes());
            push(owner.as_str().as_bytes());
        }
    }
    push(match kind {
        None => b"any",
        Some(Kind::ApiToken) => b"api-token",
        Some(Kind::Basic) => b"basic",
        Some(Kind::KeyPair) => b"key-pair",
    });
    for state in states {
        push(match state {
            ShownState::Active => b"active",
            ShownState::Locked => b"locked",
            ShownState::Revoked => b"revoked",
            ShownState::Expired => b"expired",
        });
    }
    context
}
