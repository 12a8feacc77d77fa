//! Whom a client asks, and as whom.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::address::Address;
use crate::domain::cache::Limits;

/// What a client is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where the authority is; several where it has several nodes, or another may take
    /// its place. The first that answers is followed.
    pub addresses: Vec<Address>,
    /// How to know the authority, and to be known by it.
    pub tls: TlsFiles,
    /// The file of a bearer token to be known by. It is read again when it has
    /// changed. `None`: none is sent.
    pub token_file: Option<PathBuf>,
    /// Whether secrets may be sent in plaintext to another machine.
    pub allow_plaintext: bool,
    /// Over how many connections questions are sent, 1 to 16: one alone is slower than
    /// four. Following has one of its own.
    pub connections: usize,
    /// How long a question may take, all attempts together.
    pub patience: Duration,
    /// How many questions may be under way at once; more are refused.
    pub most_questions: usize,
    /// What is kept. `None`: nothing, and every question is asked.
    pub cache: Option<CacheConfig>,
}

/// Files by which the two ends of a connection know each other, in PEM. They are read
/// for each connection that is made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificates that sign the authority's. `None`: those that the system
    /// trusts.
    pub ca: Option<PathBuf>,
    /// The client's certificate, then those that lead to its authority, and the file
    /// of its key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// What is kept, and when it is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheConfig {
    /// How much.
    pub limits: Limits,
    /// For how long answers are given without a lease.
    pub stale: StalePolicy,
}

/// For how long after the lease ran out answers are given that may be out of date,
/// where nobody can be asked. Where nothing is said: not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StalePolicy {
    /// In tenants that are not named.
    pub others: Option<Duration>,
    /// In these tenants; zero is not at all.
    pub tenants: BTreeMap<String, Duration>,
}

impl StalePolicy {
    /// For how long in a tenant.
    #[must_use]
    pub fn bound(&self, tenant: &str) -> Option<Duration> {
        let bound = self.tenants.get(tenant).copied().or(self.others);
        bound.filter(|bound| !bound.is_zero())
    }

    /// The longest for any tenant.
    #[must_use]
    pub fn longest(&self) -> Option<Duration> {
        let bounds = self.tenants.values().copied().chain(self.others);
        bounds.filter(|bound| !bound.is_zero()).max()
    }
}

impl Default for CacheConfig {
    /// 64 MiB of answers, none without a lease.
    fn default() -> Self {
        Self {
            limits: Limits {
                weight: 64 << 20,
                changes: 65_536,
                invalid: Duration::from_secs(1),
                uses: 16_384,
            },
            stale: StalePolicy::default(),
        }
    }
}

impl Config {
    /// Of an authority at these addresses, with a cache.
    #[must_use]
    pub fn new(addresses: impl IntoIterator<Item = Address>) -> Self {
        Self {
            addresses: addresses.into_iter().collect(),
            tls: TlsFiles::default(),
            token_file: None,
            allow_plaintext: false,
            connections: 4,
            patience: Duration::from_secs(5),
            most_questions: 4096,
            cache: Some(CacheConfig::default()),
        }
    }

    /// What is wrong with it, if anything is.
    ///
    /// # Errors
    ///
    /// The first thing.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if self.addresses.is_empty() {
            return Err(ConfigError::NoAddress);
        }
        let exposed = self.addresses.iter().find(|address| address.is_exposed());
        match exposed {
            Some(address) if !self.allow_plaintext => Err(ConfigError::Exposed(address.clone())),
            _ => Ok(()),
        }
    }
}

/// Why there can be no such client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// There is nobody to ask.
    #[error("no address of an authority is given")]
    NoAddress,
    /// Secrets would be sent in plaintext.
    #[error("secrets would be sent to {0} in plaintext: use `https`, or allow it")]
    Exposed(Address),
    /// There is no random key.
    #[error(transparent)]
    Random(#[from] crate::domain::random::RandomUnavailable),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn staleness_is_allowed_by_tenant() {
        let second = Duration::from_secs(1);
        let policy = StalePolicy {
            others: Some(second),
            tenants: [
                ("strict".to_owned(), Duration::ZERO),
                ("lax".to_owned(), second * 9),
            ]
            .into(),
        };
        assert_eq!(policy.bound("strict"), None);
        assert_eq!(policy.bound("lax"), Some(second * 9));
        assert_eq!(policy.bound("other"), Some(second));
        assert_eq!(policy.longest(), Some(second * 9));
        assert_eq!(StalePolicy::default().bound("other"), None);
        assert_eq!(StalePolicy::default().longest(), None);
    }

    #[test]
    fn secrets_are_sent_to_other_machines_in_plaintext_only_where_that_is_allowed() {
        let exposed: Address = "http://credd".parse().unwrap();
        let mut config = Config::new([exposed.clone()]);
        assert_eq!(config.check(), Err(ConfigError::Exposed(exposed)));
        config.allow_plaintext = true;
        assert_eq!(config.check(), Ok(()));
        assert_eq!(Config::new([]).check(), Err(ConfigError::NoAddress));
    }
}
