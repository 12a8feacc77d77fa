//! What the settings of a store in etcd must have to do with each other.

use std::path::PathBuf;

use super::etcd_values::{Engine, KeyPrefix, User};
use super::problem::Problem;
use super::read::Given;
use super::settings::{EtcdRows, Store};
use crate::client::{Address, TlsFiles};

/// A store in etcd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EtcdSettings {
    /// Its members.
    pub endpoints: Vec<Address>,
    /// What all keys begin with.
    pub prefix: KeyPrefix,
    /// Who this is to it, and the file of the password.
    pub user: Option<(User, PathBuf)>,
    /// By what it is known, and by what this is.
    pub tls: TlsFiles,
    /// Whether it may be told to forget what was before a revision.
    pub may_compact: bool,
}

/// A store in etcd; `None`: the store is not there.
pub(super) fn etcd(
    rows: EtcdRows,
    store: &Store,
    given: &Given,
    problems: &mut Vec<Problem>,
) -> Option<EtcdSettings> {
    let EtcdRows {
        endpoints,
        prefix,
        user,
        password_file,
        ca_file,
        certificate_file,
        key_file,
        allow_plaintext,
        may_compact,
    } = rows;
    for (one, other) in [
        ("certificate_file", "key_file"),
        ("key_file", "certificate_file"),
        ("user", "password_file"),
        ("password_file", "user"),
    ] {
        if given.has(one) && !given.has(other) {
            problems.push(given.problem(one, format!("needs etcd.{other} too")));
        }
    }
    let endpoints = endpoints.map_or(Vec::new(), |it| it.list().to_vec());
    let may = allow_plaintext || given.is_bad("allow_plaintext");
    if !may && endpoints.iter().any(Address::is_exposed) {
        problems.push(given.problem(
            "endpoints",
            "has an address of another machine without TLS, and whoever sees or changes the traffic decides who is let in: \
             use https, or allow it with etcd.allow_plaintext (--etcd-allow-plaintext)",
        ));
    }
    match store.engine {
        Engine::Sled if given.has("endpoints") => {
            problems.push(given.problem("endpoints", "is given, but store.engine is `sled`"));
            None
        }
        Engine::Sled => None,
        Engine::Etcd => {
            if !given.has("endpoints") {
                problems
                    .push(given.problem("endpoints", "is not given, but store.engine is `etcd`"));
            }
            Some(EtcdSettings {
                endpoints,
                prefix,
                user: user.zip(password_file),
                tls: TlsFiles {
                    ca: ca_file,
                    identity: certificate_file.zip(key_file),
                },
                may_compact,
            })
        }
    }
}
