//! What stands in the store: the keys, and the records as values.
//!
//! | key | value |
//! | --- | --- |
//! | `a` + chain (8 bytes) | an `AuditAnchorRecord` |
//! | `a` + chain (8 bytes) + number (8 bytes) | an `AuditRecord` |
//! | `c` + id (16 bytes) | a `CredentialRecord` |
//! | `u` + id (16 bytes) | a `UsesRecord` |
//! | `t` + name | a `TenantRecord` |
//! | `o` + tenant + 0 + name | an `OwnerRecord` |
//! | `r` + tenant + 0 + name | a `RoleRecord` |
//! | `p` + tenant + 0 + name + 0 + version (4 bytes) | a `ProfileRecord` |
//! | `b` + tenant (empty: all) + 0 + principal + 0 + role | a `BindingRecord` |
//! | `q` + MAC (32 bytes) | a `RequestRecord` |
//! | `k` | a `KeyringRecord` |
//! | `m` + id (16 bytes) | a `RekeyedRecord` |
//! | `n` + name (16 bytes) | a `NodeRecord` |
//! | `f` | a `FenceRecord` |
//! | `s` | a `RestoredRecord` |
//! | `v` | a `FormatRecord` |
//! | `x` | a `ClosedRecord` |
//!
//! A value is one byte, the format of the record, and the message in it. A
//! record of a newer format is refused, never guessed at. What an earlier version of
//! credd can't read is written only once the store says so (`v`), which all servers that
//! work on it must be able to read: until then they can be set back to that version.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;

use super::names::Interner;
use crate::domain::closed::Closed;
use crate::domain::credential::{Credential, Uses};
use crate::domain::directory::{
    OwnerRecord, OwnerRef, ProfileRecord, RoleRecord, RoleRef, TenantRecord,
};
use crate::domain::id::CredentialId;
use crate::domain::keyring::{KeyChecks, KeyringState};
use crate::domain::names::{Owner, PrincipalName, ProfileName, Role, Tenant};
use crate::domain::profile::{ProfileFamily, ProfileRef, Scope};
use crate::domain::rekeyed::Rekeyed;
use crate::domain::restored::Restored;
use crate::domain::revision::Revision;
use crate::domain::rights::{Binding, BindingRecord, Reach};
use crate::domain::time::Timestamp;
use crate::proto::store as stored;

pub mod audit;
mod closed;
mod credential;
mod directory;
pub(super) mod keyring;
mod node;
mod profile;
mod request;
mod restored;

use audit::{AUDIT, AuditKey};
pub use profile::{header_message, to_message as profile_message};
pub use request::{RequestName, RequestRecord, without_answer};

/// The first format of records, in which they are written while the store does not say
/// otherwise.
pub const FORMAT: u8 = 1;
/// The newest format that is read.
pub const NEWEST_FORMAT: u8 = FORMAT;

const CREDENTIAL: u8 = b'c';
const USES: u8 = b'u';
const TENANT: u8 = b't';
const OWNER: u8 = b'o';
const ROLE: u8 = b'r';
const PROFILE: u8 = b'p';
const BINDING: u8 = b'b';
const REQUEST: u8 = b'q';
const KEYRING: u8 = b'k';
/// After that of the credential, so that a scan shows it after it.
const REKEYED: u8 = b'm';
const NODE: u8 = b'n';
const FENCE: u8 = b'f';
const RESTORED: u8 = b's';
const CLOSED: u8 = b'x';
const VERSION: u8 = b'v';
/// Between the parts of a key: no name has it.
const END: u8 = 0;

/// A key and what it holds; `None`: it was deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A credential.
    Credential(CredentialId, Option<Arc<Credential>>),
    /// The last uses of a credential.
    Uses(CredentialId, Option<Uses>),
    /// A tenant.
    Tenant(Tenant, Option<Arc<TenantRecord>>),
    /// An owner.
    Owner(OwnerRef, Option<Arc<OwnerRecord>>),
    /// A role.
    Role(RoleRef, Option<Arc<RoleRecord>>),
    /// A version of a profile.
    Profile(ProfileRef, Option<Arc<ProfileRecord>>),
    /// A binding.
    Binding(Binding, Option<Arc<BindingRecord>>),
    /// A request that was carried out.
    Request(RequestName, Option<Arc<RequestRecord>>),
    /// The keys that the store was used with.
    Keyring(Option<Arc<KeyringState>>),
    /// What was made anew of a credential's secrets.
    Rekeyed(CredentialId, Option<Arc<Rekeyed>>),
    /// That the store was restored.
    Restored(Option<Arc<Restored>>),
    /// That the store is not to be served.
    Closed(Option<Closed>),
    /// In which format records are written.
    Format(u8),
    /// A part of the audit log, as bytes: see [`audit`].
    Audit(AuditKey, Option<Bytes>),
    /// A process that works on the store.
    Node(Incarnation, Option<Arc<Node>>),
    /// That the commit is fenced: who has a lease is waited for.
    Fence,
}

/// What a process that works on a store says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// How long its own lease is, and at most those that it grants.
    pub lease: Duration,
    /// Up to where nobody answers as of before a fenced change: not the process, nor
    /// anybody with a lease from it.
    pub settled: Revision,
    /// When it started.
    pub started_at: Timestamp,
    /// The newest format of records that it reads.
    pub format: u8,
    /// The keys that it has loaded.
    pub keys: KeyChecks,
}

/// The name of one run of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(pub [u8; 16]);

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

/// A key or a value that this version of credd can't have written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the record at key {key} can't be read: {what}")]
pub struct UnreadableRecord {
    /// The key, in hexadecimal.
    pub key: String,
    /// What is wrong with it.
    pub what: String,
}

impl UnreadableRecord {
    fn at(key: &[u8], what: String) -> Self {
        let key = data_encoding::HEXLOWER.encode(key);
        Self { key, what }
    }
}

/// The key of a credential.
#[must_use]
pub fn credential_key(id: CredentialId) -> Bytes {
    key_of(CREDENTIAL, &[id.as_bytes()])
}

/// The key of a credential's last uses.
#[must_use]
pub fn uses_key(id: CredentialId) -> Bytes {
    key_of(USES, &[id.as_bytes()])
}

/// The key of a tenant.
#[must_use]
pub fn tenant_key(tenant: &Tenant) -> Bytes {
    key_of(TENANT, &[tenant.as_str().as_bytes()])
}

/// The key of an owner.
#[must_use]
pub fn owner_key(owner: &OwnerRef) -> Bytes {
    let OwnerRef { tenant, name } = owner;
    key_of(
        OWNER,
        &[tenant.as_str().as_bytes(), &[END], name.as_str().as_bytes()],
    )
}

/// The key of a role.
#[must_use]
pub fn role_key(role: &RoleRef) -> Bytes {
    let RoleRef { tenant, name } = role;
    key_of(
        ROLE,
        &[tenant.as_str().as_bytes(), &[END], name.as_str().as_bytes()],
    )
}

/// The key of a version of a profile.
#[must_use]
pub fn profile_key(profile: &ProfileRef) -> Bytes {
    let ProfileRef { family, version } = profile;
    key_of(
        PROFILE,
        &[
            family.scope.as_str().as_bytes(),
            &[END],
            family.name.as_str().as_bytes(),
            &[END],
            &version.to_be_bytes(),
        ],
    )
}

/// The key of a binding.
#[must_use]
pub fn binding_key(binding: &Binding) -> Bytes {
    let Binding {
        reach,
        principal,
        role,
    } = binding;
    let tenant = match reach {
        Reach::All => "",
        Reach::Tenant(tenant) => tenant.as_str(),
    };
    let (principal, role) = (principal.as_str().as_bytes(), role.as_str().as_bytes());
    key_of(
        BINDING,
        &[tenant.as_bytes(), &[END], principal, &[END], role],
    )
}

/// The key of a request.
#[must_use]
pub fn request_key(name: &RequestName) -> Bytes {
    key_of(REQUEST, &[name])
}

/// The key of the keys that the store was used with.
#[must_use]
pub const fn keyring_key() -> Bytes {
    Bytes::from_static(&[KEYRING])
}

/// Whether a key is that of a request.
#[must_use]
pub fn is_request(key: &[u8]) -> bool {
    key.first() == Some(&REQUEST)
}

/// The key of that the store was restored.
#[must_use]
pub const fn restored_key() -> Bytes {
    Bytes::from_static(&[RESTORED])
}

/// The key of that the store is not to be served.
#[must_use]
pub const fn closed_key() -> Bytes {
    Bytes::from_static(&[CLOSED])
}

/// The key of the format in which records are written.
#[must_use]
pub const fn format_key() -> Bytes {
    Bytes::from_static(&[VERSION])
}

/// The key of what was made anew of a credential's secrets.
#[must_use]
pub fn rekeyed_key(id: CredentialId) -> Bytes {
    key_of(REKEYED, &[id.as_bytes()])
}

/// The key of a process that works on the store.
#[must_use]
pub fn node_key(name: Incarnation) -> Bytes {
    key_of(NODE, &[&name.0])
}

/// The key that fenced commits write.
#[must_use]
pub const fn fence_key() -> Bytes {
    Bytes::from_static(&[FENCE])
}

impl Record {
    /// The key of this record.
    #[must_use]
    pub fn key(&self) -> Bytes {
        match self {
            Self::Credential(id, _) => credential_key(*id),
            Self::Uses(id, _) => uses_key(*id),
            Self::Tenant(tenant, _) => tenant_key(tenant),
            Self::Owner(owner, _) => owner_key(owner),
            Self::Role(role, _) => role_key(role),
            Self::Profile(profile, _) => profile_key(profile),
            Self::Binding(binding, _) => binding_key(binding),
            Self::Request(name, _) => request_key(name),
            Self::Keyring(_) => keyring_key(),
            Self::Restored(_) => restored_key(),
            Self::Closed(_) => closed_key(),
            Self::Format(_) => format_key(),
            Self::Audit(key, _) => key.to_bytes(),
            Self::Rekeyed(id, _) => rekeyed_key(*id),
            Self::Node(name, _) => node_key(*name),
            Self::Fence => fence_key(),
        }
    }

    /// The value to store under its key.
    #[must_use]
    pub fn encode(&self) -> Option<Bytes> {
        match self {
            Self::Credential(_, record) => record
                .as_deref()
                .map(|record| envelope(&credential::write(record))),
            Self::Uses(_, record) => record
                .as_ref()
                .map(|record| envelope(&credential::write_uses(record))),
            Self::Tenant(_, record) => record
                .as_deref()
                .map(|record| envelope(&directory::write_tenant(record))),
            Self::Owner(_, record) => record
                .as_deref()
                .map(|record| envelope(&directory::write_owner(record))),
            Self::Role(_, record) => record
                .as_deref()
                .map(|record| envelope(&directory::write_role(record))),
            Self::Profile(_, record) => record
                .as_deref()
                .map(|record| envelope(&profile::write(record))),
            Self::Binding(_, record) => record
                .as_deref()
                .map(|record| envelope(&directory::write_binding(record))),
            Self::Request(_, record) => record
                .as_deref()
                .map(|record| envelope(&request::write(record))),
            Self::Keyring(record) => record
                .as_deref()
                .map(|record| envelope(&keyring::write(record))),
            Self::Rekeyed(_, record) => record
                .as_deref()
                .map(|record| envelope(&keyring::write_rekeyed(record))),
            Self::Restored(record) => record
                .as_deref()
                .map(|record| envelope(&restored::write(record))),
            Self::Closed(record) => record
                .as_ref()
                .map(|record| envelope(&closed::write(record))),
            Self::Audit(_, value) => value.clone(),
            Self::Node(_, record) => record
                .as_deref()
                .map(|record| envelope(&node::write(record))),
            Self::Fence => Some(envelope(&stored::FenceRecord {})),
            Self::Format(format) => Some(envelope(&stored::FormatRecord {
                format: u32::from(*format),
            })),
        }
    }

    /// Reads a key and its value. Names that `names` knows are shared with it.
    ///
    /// # Errors
    ///
    /// [`UnreadableRecord`] for what this version of credd can't have written.
    pub fn decode(
        key: &[u8],
        value: Option<&Bytes>,
        names: &Interner,
    ) -> Result<Self, UnreadableRecord> {
        Self::parse(key, value, names).map_err(|what| UnreadableRecord::at(key, what))
    }

    fn parse(key: &[u8], value: Option<&Bytes>, names: &Interner) -> Result<Self, String> {
        let (&kind, rest) = key.split_first().ok_or("the key is empty")?;
        match kind {
            CREDENTIAL => {
                let id = id_of(rest)?;
                let read = |value: &Bytes| credential::read(id, open_envelope(value)?, names);
                Ok(Self::Credential(id, read_value(value, read)?))
            }
            USES => {
                let read = |value| credential::read_uses(open_envelope(value)?, names);
                Ok(Self::Uses(id_of(rest)?, value.map(read).transpose()?))
            }
            TENANT => {
                let tenant = Tenant::trusted(shared(rest, names)?);
                let read = |value: &Bytes| directory::read_tenant(open_envelope(value)?, names);
                Ok(Self::Tenant(tenant, read_value(value, read)?))
            }
            OWNER => {
                let (tenant, name) = two_parts(rest)?;
                let owner = OwnerRef {
                    tenant: Tenant::trusted(shared(tenant, names)?),
                    name: Owner::trusted(shared(name, names)?),
                };
                let read = |value: &Bytes| directory::read_owner(open_envelope(value)?, names);
                Ok(Self::Owner(owner, read_value(value, read)?))
            }
            ROLE => {
                let (tenant, name) = two_parts(rest)?;
                let tenant = Tenant::trusted(shared(tenant, names)?);
                let is_credd = tenant.is_credd();
                let read =
                    |value: &Bytes| directory::read_role(open_envelope(value)?, is_credd, names);
                let name = Role::trusted(shared(name, names)?);
                Ok(Self::Role(
                    RoleRef { tenant, name },
                    read_value(value, read)?,
                ))
            }
            PROFILE => {
                let reference = profile_ref(rest, names)?;
                let read =
                    |value: &Bytes| profile::read(&reference.family, open_envelope(value)?, names);
                let record = read_value(value, read)?;
                Ok(Self::Profile(reference, record))
            }
            BINDING => {
                let binding = binding_of(rest, names)?;
                let read = |value: &Bytes| directory::read_binding(open_envelope(value)?, names);
                Ok(Self::Binding(binding, read_value(value, read)?))
            }
            REQUEST => {
                let name = rest.try_into().map_err(|_| OTHER_LENGTH)?;
                let read = |value: &Bytes| request::read(open_envelope(value)?);
                Ok(Self::Request(name, read_value(value, read)?))
            }
            KEYRING if rest.is_empty() => {
                let read = |value: &Bytes| keyring::read(open_envelope(value)?);
                Ok(Self::Keyring(read_value(value, read)?))
            }
            REKEYED => {
                let read = |value: &Bytes| keyring::read_rekeyed(open_envelope(value)?);
                Ok(Self::Rekeyed(id_of(rest)?, read_value(value, read)?))
            }
            NODE => {
                let name = rest.try_into().map_err(|_| OTHER_LENGTH)?;
                let read = |value: &Bytes| node::read(open_envelope(value)?);
                Ok(Self::Node(Incarnation(name), read_value(value, read)?))
            }
            FENCE if rest.is_empty() => match value {
                Some(value) => {
                    let stored::FenceRecord {} = open_envelope(value)?;
                    Ok(Self::Fence)
                }
                None => Err("it is never deleted".to_owned()),
            },
            VERSION if rest.is_empty() => {
                let value = value.ok_or("it is never deleted")?;
                let stored::FormatRecord { format } = open_envelope(value)?;
                let format = u8::try_from(format).map_err(|_| "no format")?;
                Ok(Self::Format(format.max(FORMAT)))
            }
            RESTORED if rest.is_empty() => {
                let read = |value: &Bytes| restored::read(&open_envelope(value)?);
                Ok(Self::Restored(read_value(value, read)?))
            }
            CLOSED if rest.is_empty() => {
                let read = |value| Ok::<_, String>(closed::read(&open_envelope(value)?));
                Ok(Self::Closed(value.map(read).transpose()?))
            }
            AUDIT => Ok(Self::Audit(AuditKey::parse(rest)?, value.cloned())),
            _ => Err("a key of a kind that this version of credd does not know".to_owned()),
        }
    }
}

const OTHER_LENGTH: &str = "the key has another length";

fn id_of(bytes: &[u8]) -> Result<CredentialId, String> {
    let bytes = bytes.try_into().map_err(|_| OTHER_LENGTH)?;
    Ok(CredentialId::from_bytes(bytes))
}

/// What stands before and after the separator.
fn two_parts(bytes: &[u8]) -> Result<(&[u8], &[u8]), String> {
    let end = bytes.iter().position(|&byte| byte == END);
    let end = end.ok_or("the key has no separator")?;
    Ok((&bytes[..end], &bytes[end + 1..]))
}

fn binding_of(key: &[u8], names: &Interner) -> Result<Binding, String> {
    let (tenant, rest) = two_parts(key)?;
    let (principal, role) = two_parts(rest)?;
    Ok(Binding {
        reach: match tenant {
            [] => Reach::All,
            tenant => Reach::Tenant(Tenant::trusted(shared(tenant, names)?)),
        },
        principal: PrincipalName::trusted(shared(principal, names)?),
        role: Role::trusted(shared(role, names)?),
    })
}

fn profile_ref(key: &[u8], names: &Interner) -> Result<ProfileRef, String> {
    let (scope, rest) = two_parts(key)?;
    let (name, version) = two_parts(rest)?;
    let version = version.try_into().map_err(|_| OTHER_LENGTH)?;
    Ok(ProfileRef {
        family: family(scope, name, names)?,
        version: u32::from_be_bytes(version),
    })
}

fn family(scope: &[u8], name: &[u8], names: &Interner) -> Result<ProfileFamily, String> {
    Ok(ProfileFamily {
        scope: match scope {
            [] => Scope::All,
            tenant => Scope::Tenant(Tenant::trusted(shared(tenant, names)?)),
        },
        name: ProfileName::trusted(shared(name, names)?),
    })
}

fn read_value<T>(
    value: Option<&Bytes>,
    read: impl FnOnce(&Bytes) -> Result<T, String>,
) -> Result<Option<Arc<T>>, String> {
    Ok(value.map(read).transpose()?.map(Arc::new))
}

fn key_of(kind: u8, parts: &[&[u8]]) -> Bytes {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut key = BytesMut::with_capacity(1 + length);
    key.put_u8(kind);
    for part in parts {
        key.put_slice(part);
    }
    key.freeze()
}

fn envelope(message: &impl Message) -> Bytes {
    let mut value = BytesMut::with_capacity(1 + message.encoded_len());
    value.put_u8(FORMAT);
    let Ok(()) = message.encode(&mut value) else {
        unreachable!("the buffer grows");
    };
    value.freeze()
}

fn open_envelope<M: Message + Default>(value: &Bytes) -> Result<M, String> {
    match value.first() {
        Some(&FORMAT) => M::decode(value.slice(1..)).map_err(|error| error.to_string()),
        Some(format) => Err(format!(
            "it has format {format}, and this version of credd reads format {FORMAT}"
        )),
        None => Err("it is empty".to_owned()),
    }
}

fn text(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn utf8(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes).map_err(|_| "a text that is not UTF-8".to_owned())
}

/// A text that other records are likely to have as well.
fn shared(bytes: &[u8], names: &Interner) -> Result<Arc<str>, String> {
    let text = utf8(bytes)?;
    let known = names.find(text).map(|symbol| names.resolve(symbol).clone());
    Ok(known.unwrap_or_else(|| text.into()))
}

#[cfg(test)]
pub(super) mod tests;
