//! The stated typical credential: an API token with a label of 20 characters,
//! no description, no roles and no expiry; owners with ten credentials each, in
//! a hundred tenants.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use credd::authority::command::Quotas;
use credd::authority::feed::Feed;
use credd::authority::hub::RingSize;
use credd::authority::record::{Record, uses_key};
use credd::authority::sessions::LeaseSettings;
use credd::authority::{Authority, Parts, Workers};
use credd::domain::credential::{Action, Change, Credential, HeldSecret, Origin, State, Uses};
use credd::domain::id::CredentialId;
use credd::domain::keyring::{KeyVersion, Keyring, SecretOf};
use credd::domain::names::{Description, Label, Owner, Principal, ProfileName, Reason, Tenant};
use credd::domain::profile::{ProfileFamily, ProfileRef, Scope};
use credd::domain::random::SystemRandom;
use credd::domain::revision::{ChainHash, Position, Revision, StoreId};
use credd::domain::secret::{Secret, SecretText};
use credd::domain::time::{SystemClock, Timestamp};
use credd::domain::token::{Generation, Kind, secret_text};
use credd::store::{Batch, Changes, Entry, KeyRange, PageLimit, Store, StoreError, Write};
use zeroize::Zeroizing;

use super::mix;

pub const TENANTS: u64 = 100;
pub const PER_OWNER: u64 = 10;
pub const STORE: StoreId = StoreId::from_bytes([7; 16]);

/// When the first of them was issued; four follow in each millisecond.
const EPOCH: i64 = 1_700_000_000_000;
const PER_MILLI: u64 = 4;

/// The credentials 0 to `count`, in the order of their ids, under a keyring.
#[derive(Clone, Debug)]
pub struct Population {
    pub count: u64,
    pub keyring: Arc<Keyring>,
}

impl Population {
    pub fn new(count: u64) -> Self {
        let key = [(KeyVersion(1), Zeroizing::new([1; 32]))];
        let keyring = Arc::new(Keyring::new(&key, &key).unwrap());
        Self { count, keyring }
    }

    /// The number of different owners.
    pub fn owners(&self) -> u64 {
        self.count.div_ceil(PER_OWNER).max(1)
    }

    pub fn owner(&self, number: u64) -> Owner {
        Owner::trusted(format!("user-{:07}@acme.io", number % self.owners()).into())
    }

    pub fn tenant(&self, number: u64) -> Tenant {
        Tenant::trusted(format!("tenant-{:02}", number % self.owners() % TENANTS).into())
    }

    /// What its holder presents.
    pub fn token(number: u64) -> SecretText {
        let secret = secret(number);
        secret_text(Kind::ApiToken, id(number), Generation::FIRST, &secret)
    }

    pub fn credential(&self, number: u64) -> Credential {
        let created_at = issued_at(number);
        let created_by = Principal::trusted("credd:portal".into());
        let secret = secret(number);
        Credential {
            id: id(number),
            tenant: self.tenant(number),
            owner: self.owner(number),
            profile: profile("api-token"),
            kind: Kind::ApiToken,
            label: Label::trusted(format!("integration {number:08}").into()),
            description: Description::trusted("".into()),
            roles: Vec::new(),
            attributes: Vec::new(),
            language: None,
            time_zone: None,
            state: State::Active,
            leaked_at: None,
            state_set: None,
            created_at,
            created_by: created_by.clone(),
            expires_at: None,
            expiry_told: false,
            secret: HeldSecret {
                generation: Generation::FIRST,
                mac: self.keyring.mac(&SecretOf {
                    kind: Kind::ApiToken,
                    id: id(number),
                    generation: Generation::FIRST,
                    secret: &secret,
                }),
                origin: Origin::Native,
            },
            overlap: None,
            retired: Vec::new(),
            sealed: None,
            last_change: Change {
                action: Action::Issue,
                at: created_at,
                by: created_by,
                reason: Reason::trusted("".into()),
            },
        }
    }

    pub fn record(&self, number: u64) -> Record {
        record_of(self.credential(number))
    }

    /// Puts all of them into a store, `batch` in a commit. With a `tail`, leaves
    /// of the log what is left of it when a retention has run: so many commits
    /// of one credential each.
    pub fn fill(&self, store: &dyn Store, batch: u64, tail: u64) {
        let bulk = self.count - tail.min(self.count);
        let mut number = 0;
        while number < self.count {
            let size = if number < bulk {
                batch.min(bulk - number)
            } else {
                1
            };
            store
                .commit(Batch {
                    at: issued_at(number),
                    writes: (number..number + size)
                        .map(|n| write(&self.record(n)))
                        .collect(),
                    ..Batch::default()
                })
                .unwrap();
            number += size;
            if tail > 0 && number == bulk {
                let head = store.snapshot().unwrap();
                store.compact(head.revision).unwrap();
            }
        }
    }

    /// An authority over all of them, with nothing on a disk.
    pub fn authority(&self) -> (Authority, Workers) {
        authority_over(self.clone(), Arc::clone(&self.keyring))
    }
}

/// Credentials that can be made up, each from its number.
pub trait Source: std::fmt::Debug + Send + Sync + 'static {
    /// How many there are.
    fn count(&self) -> u64;
    /// One of them, with the [`id`] of its number.
    fn credential(&self, number: u64) -> Credential;
    /// When it was used, if it was.
    fn uses(&self, number: u64) -> Option<Uses>;
}

impl Source for Population {
    fn count(&self) -> u64 {
        self.count
    }

    fn credential(&self, number: u64) -> Credential {
        Self::credential(self, number)
    }

    fn uses(&self, _: u64) -> Option<Uses> {
        None
    }
}

/// An authority over what is made up, with nothing on a disk.
pub fn authority_over(source: impl Source, keyring: Arc<Keyring>) -> (Authority, Workers) {
    let count = source.count();
    let store: Arc<dyn Store> = Arc::new(Generated(source));
    let loaded = Feed::load(Arc::clone(&store), RingSize::default()).unwrap();
    let (_, loaded_count) = loaded.feed.index().read(|index| index.len());
    assert_eq!(loaded_count as u64, count);
    Authority::new(Parts {
        store,
        feed: Arc::new(loaded.feed),
        keyring,
        clock: Arc::new(SystemClock),
        random: Arc::new(SystemRandom::new()),
        quotas: Quotas::default(),
        leases: LeaseSettings::default(),
    })
    .unwrap()
}

fn record_of(credential: Credential) -> Record {
    Record::Credential(credential.id, Some(Arc::new(credential)))
}

fn write(record: &Record) -> Write {
    Write {
        key: record.key(),
        value: record.encode(),
    }
}

/// The first version of a built-in profile.
pub fn profile(name: &str) -> ProfileRef {
    ProfileRef {
        family: ProfileFamily {
            scope: Scope::All,
            name: ProfileName::trusted(name.into()),
        },
        version: 1,
    }
}

fn issued_at(number: u64) -> Timestamp {
    Timestamp::from_millis(EPOCH + i64::try_from(number / PER_MILLI).unwrap())
}

/// A UUID of version 7, as the authority gives them out.
pub fn id(number: u64) -> CredentialId {
    let millis = u64::try_from(issued_at(number).as_millis()).unwrap();
    let mut random = [0; 10];
    random[..2].copy_from_slice(&u16::try_from(number % PER_MILLI).unwrap().to_be_bytes());
    random[2..].copy_from_slice(&mix(!number).to_be_bytes());
    let uuid = uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid();
    CredentialId::from_bytes(uuid.into_bytes())
}

/// The number of a credential, from its id.
fn number_of(id: &[u8]) -> u64 {
    let millis = id[..6].iter().fold(0, |n, &byte| n << 8 | i64::from(byte));
    let since = u64::try_from(millis - EPOCH).unwrap();
    since * PER_MILLI + u64::from(id[7])
}

/// The secret of a credential.
pub fn secret(number: u64) -> Secret {
    let mut bytes = [0; 32];
    for (at, word) in bytes.chunks_exact_mut(8).enumerate() {
        word.copy_from_slice(&mix(number * 4 + at as u64).to_be_bytes());
    }
    Secret::new(bytes)
}

/// A store that makes up what it is asked for: it takes no memory, so what is
/// allocated while it is loaded is the index.
#[derive(Debug)]
struct Generated<S>(S);

const HEAD: Position = Position {
    revision: Revision::new(1),
    chain: ChainHash([0; 32]),
};

impl<S: Source> Store for Generated<S> {
    fn id(&self) -> StoreId {
        STORE
    }

    fn commit(&self, _: Batch) -> Result<Revision, StoreError> {
        Err(StoreError::Invalid("it is made up".to_owned()))
    }

    fn changes(&self, _: Revision, _: PageLimit, _: Duration) -> Result<Changes, StoreError> {
        Ok(Changes {
            from: HEAD,
            commits: Vec::new(),
        })
    }

    /// `range` is all, or all after a key.
    fn scan(&self, range: &KeyRange, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let first = match range.start.get(1..17) {
            None => 0,
            Some(id) => number_of(id) + 1,
        };
        // Uses come after all credentials, as their keys do.
        let in_uses = range.start.first() == uses_key(CredentialId::MIN).first();
        let credentials = if in_uses { 0..0 } else { first..self.0.count() };
        let uses = if in_uses { first } else { 0 }..self.0.count();
        let credentials = credentials.map(|number| record_of(self.0.credential(number)));
        let uses = uses.filter_map(|number| {
            let uses = self.0.uses(number)?;
            Some(Record::Uses(id(number), Some(uses)))
        });
        let records = credentials.chain(uses).take(limit);
        Ok(records
            .map(|record| {
                let Write { key, value } = write(&record);
                Entry {
                    key,
                    revision: HEAD.revision,
                    value: value.unwrap_or_else(Bytes::new),
                }
            })
            .collect())
    }

    fn snapshot(&self) -> Result<Position, StoreError> {
        Ok(HEAD)
    }

    fn compact(&self, _: Revision) -> Result<(), StoreError> {
        Ok(())
    }
}
