//! Where a Watch can be taken up, as a text: store, revision and the log's hash
//! there. No secret, and nothing that a subscriber could gain by changing it: a
//! position that is not in the store's history is a Reset.

use data_encoding::BASE64URL_NOPAD;

use crate::authority::watch::ResumePoint;
use crate::domain::revision::{ChainHash, Position, Revision, StoreId};

/// A text that is no resume token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAResumeToken;

/// Version, store id, revision, hash.
const LENGTH: usize = 1 + 16 + 8 + 32;
const VERSION: u8 = 1;

/// The token of a position.
#[must_use]
pub fn encode(point: &ResumePoint) -> String {
    let ResumePoint {
        store,
        position: Position { revision, chain },
    } = point;
    let mut bytes = [0; LENGTH];
    bytes[0] = VERSION;
    bytes[1..17].copy_from_slice(store.as_bytes());
    bytes[17..25].copy_from_slice(&revision.number().to_be_bytes());
    bytes[25..].copy_from_slice(&chain.0);
    BASE64URL_NOPAD.encode(&bytes)
}

/// The position of a token.
///
/// # Errors
///
/// [`NotAResumeToken`] for what `encode` can't have made.
pub fn decode(token: &str) -> Result<ResumePoint, NotAResumeToken> {
    let bytes = BASE64URL_NOPAD
        .decode(token.as_bytes())
        .map_err(|_| NotAResumeToken)?;
    let rest = bytes.strip_prefix(&[VERSION]).ok_or(NotAResumeToken)?;
    let (store, rest) = rest.split_first_chunk().ok_or(NotAResumeToken)?;
    let (revision, rest) = rest.split_first_chunk().ok_or(NotAResumeToken)?;
    let chain = rest.try_into().map_err(|_| NotAResumeToken)?;
    Ok(ResumePoint {
        store: StoreId::from_bytes(*store),
        position: Position {
            revision: Revision::new(u64::from_be_bytes(*revision)),
            chain: ChainHash(chain),
        },
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_token_is_read_back(store: [u8; 16], revision: u64, chain: [u8; 32]) {
            let point = ResumePoint {
                store: StoreId::from_bytes(store),
                position: Position { revision: Revision::new(revision), chain: ChainHash(chain) },
            };
            prop_assert_eq!(decode(&encode(&point)), Ok(point));
        }

        #[test]
        fn arbitrary_bytes_are_read_or_refused(text: String, bytes: Vec<u8>) {
            let _ = decode(&text);
            let _ = decode(&BASE64URL_NOPAD.encode(&bytes));
        }
    }
}
