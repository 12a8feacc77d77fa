//! Reaching the cluster of etcd that the store is kept in.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use super::config::EtcdSettings;
use super::open::OpenError;
use crate::client::connect;
use crate::domain::random::SystemRandom;
use crate::domain::revision::StoreId;
use crate::store::etcd::{Credentials, EtcdStore, Member, Options};

/// How long a process may have been away before it can't come back as the same.
const FORGET_AFTER: Duration = Duration::from_hours(1);

/// How the store is reached.
fn options(settings: &EtcdSettings) -> Result<Options, OpenError> {
    let EtcdSettings {
        endpoints,
        prefix,
        user,
        tls,
        may_compact,
    } = settings;
    let members = endpoints.iter().map(|address| {
        let (to, tls) = (address.clone(), tls.clone());
        Member {
            name: address.to_string(),
            connect: Arc::new(move || connect::lazy(&to, &tls)),
        }
    });
    let credentials = match user {
        None => None,
        Some((user, path)) => {
            read_password(path).map_err(|source| OpenError::Password {
                path: path.clone(),
                source,
            })?;
            let path = path.clone();
            Some(Credentials {
                user: user.as_str().to_owned(),
                password: Arc::new(move || read_password(&path)),
            })
        }
    };
    Ok(Options {
        members: members.collect(),
        credentials,
        prefix: prefix.as_str().to_owned(),
        forget_after: FORGET_AFTER,
        may_compact: *may_compact,
    })
}

fn read_password(path: &Path) -> io::Result<Zeroizing<String>> {
    let password = std::fs::read_to_string(path).map(Zeroizing::new)?;
    Ok(Zeroizing::new(
        password.trim_end_matches(['\r', '\n']).to_owned(),
    ))
}

/// Whether there is a store. Blocks until etcd answers.
pub(super) fn exists(settings: &EtcdSettings) -> Result<bool, OpenError> {
    Ok(EtcdStore::exists(&options(settings)?)?)
}

/// Opens the store; creates it under an identity, if it is given one and there is none.
/// Blocks until etcd answers.
pub(super) fn open(
    settings: &EtcdSettings,
    random: &SystemRandom,
    new: Option<StoreId>,
) -> Result<EtcdStore, OpenError> {
    Ok(EtcdStore::open(options(settings)?, random, new)?)
}
