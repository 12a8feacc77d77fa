//! Ids for new credentials.

use crate::domain::id::CredentialId;
use crate::domain::time::Timestamp;

/// The id of a credential to issue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewId {
    /// The next one, with these random bits.
    Next([u8; 8]),
    /// This one.
    Given(CredentialId),
}

/// Gives out ids, each greater than the one before, whatever the clock does:
/// who pages through credentials in the order of their ids then misses none
/// that is issued meanwhile.
///
/// Ids of the same millisecond are told apart by a counter in the 12 bits after
/// the time (RFC 9562 section 6.2, method 1).
#[derive(Clone, Copy, Debug)]
pub struct IdSequence {
    millis: i64,
    counter: u16,
}

impl IdSequence {
    const COUNTER_END: u16 = 1 << 12;

    /// Ids greater than `greatest`.
    #[must_use]
    pub fn after(greatest: Option<CredentialId>) -> Self {
        let mut sequence = Self {
            millis: 0,
            counter: 0,
        };
        if let Some(greatest) = greatest {
            sequence.skip_to(greatest);
        }
        sequence
    }

    /// Makes all that follow greater than this one.
    pub fn skip_to(&mut self, id: CredentialId) {
        let bytes = id.as_bytes();
        let millis = bytes[..6]
            .iter()
            .fold(0, |millis, &byte| millis << 8 | i64::from(byte));
        let counter = u16::from(bytes[6] & 0x0f) << 8 | u16::from(bytes[7]);
        if (millis, counter) > (self.millis, self.counter) {
            (self.millis, self.counter) = (millis, counter);
        }
    }

    /// The next id, of a credential issued `now`.
    pub fn next(&mut self, now: Timestamp, entropy: [u8; 8]) -> CredentialId {
        if now.as_millis() > self.millis {
            self.millis = now.as_millis();
            self.counter = 0;
        } else {
            self.counter += 1;
            if self.counter == Self::COUNTER_END {
                self.millis += 1;
                self.counter = 0;
            }
        }
        let mut random = [0; 10];
        random[..2].copy_from_slice(&self.counter.to_be_bytes());
        random[2..].copy_from_slice(&entropy);
        let millis = u64::try_from(self.millis).unwrap_or_default();
        let uuid = uuid::Builder::from_unix_timestamp_millis(millis, &random);
        CredentialId::from_bytes(uuid.into_uuid().into_bytes())
    }
}
