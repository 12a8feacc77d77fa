//! The administrator that credd makes by itself: at its first start, and where
//! nobody can administer it any more.

use std::path::PathBuf;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::data_dir::{DataDir, FileError};
use crate::authority::Authority;
use crate::authority::command::{DirectoryCommand, IdSequence, NewId, Texts, What};
use crate::authority::committer::How;
use crate::authority::directory::Directory;
use crate::authority::manage::{Asked, IssueError, NewCredential};
use crate::domain::expiry::Wish;
use crate::domain::names::{
    Label, Owner, Principal, PrincipalName, ProfileName, Reason, Role, Tenant,
};
use crate::domain::profile::built_in;
use crate::domain::random;
use crate::domain::rights::{Binding, Reach};
use crate::domain::secret::Secret;
use crate::domain::token::{Generation, Kind, secret_text};

/// No administrator could be made.
#[derive(Debug, thiserror::Error)]
pub enum AdministratorError {
    /// The file for the token can't be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The credential was not issued.
    #[error("the administrator's credential was not issued")]
    Issue(#[from] IssueError),
}

/// Makes the first administrator, where credd has no caller and no binding, stored or
/// configured, names an administrator that needs no credential. Returns where the
/// token is, if it did.
///
/// # Errors
///
/// [`AdministratorError`].
pub async fn first(
    directory: &DataDir,
    authority: &Authority,
) -> Result<Option<PathBuf>, AdministratorError> {
    let (_, is_administered) = authority.index().read(|index| {
        let directory = index.directory();
        let credd = directory.tenant(Tenant::CREDD, index.names());
        let has_callers =
            credd.is_some_and(|credd| index.listing(|listing| listing.has_tenant(credd)));
        has_callers || is_bound(directory)
    });
    if is_administered {
        return Ok(None);
    }
    let path = make(directory, authority, name(1), "first administrator").await?;
    Ok(Some(path))
}

/// Whether somebody can administer credd who is known by a token of another issuer or
/// by a certificate.
fn is_bound(directory: &Directory) -> bool {
    let bound = directory.bound_everywhere(Role::ADMINISTRATOR);
    let needs_credential = |binding: &Binding| {
        let scheme = binding.principal.as_str().split_once(':');
        scheme.is_some_and(|(scheme, _)| scheme == Tenant::CREDD)
    };
    !bound.iter().all(needs_credential)
}

/// Makes another administrator, whatever there is: of a name that nobody has
/// disabled or deleted. Returns the name, and where the token is.
///
/// # Errors
///
/// [`AdministratorError`].
pub async fn recover(
    directory: &DataDir,
    authority: &Authority,
) -> Result<(Owner, PathBuf), AdministratorError> {
    let is_able = |owner: &Owner| {
        let (_, record) = authority.index().read(|index| {
            let (directory, names) = (index.directory(), index.names());
            let credd = directory.tenant(Tenant::CREDD, names)?;
            directory.owner_record(directory.owner(credd, owner.as_str(), names)?)
        });
        record.is_none_or(|known| !known.record.disabled && !known.record.last_change.deleted())
    };
    let mut names = (1..).map(name);
    let Some(owner) = names.find(is_able) else {
        unreachable!("there are more names than owners");
    };
    let path = make(
        directory,
        authority,
        owner.clone(),
        "recovered administrator",
    )
    .await?;
    Ok((owner, path))
}

/// The owner of such a credential.
fn name(n: u32) -> Owner {
    Owner::trusted(match n {
        1 => "admin".into(),
        n => format!("admin-{n}").into(),
    })
}

/// The token is written before the credential is committed: a crash between the
/// two leaves a token that is good for nothing.
async fn make(
    directory: &DataDir,
    authority: &Authority,
    owner: Owner,
    label: &'static str,
) -> Result<PathBuf, AdministratorError> {
    let random = authority.random();
    let secret = Secret::new(random::bytes(random).map_err(IssueError::Random)?);
    let entropy = random::bytes(random).map_err(IssueError::Random)?;
    let (_, greatest) = authority.index().read(|index| index.greatest_id());
    let id = IdSequence::after(greatest).next(authority.now(), entropy);
    let text = secret_text(Kind::ApiToken, id, Generation::FIRST, &secret);
    let path = directory.admin_token();
    let line = Zeroizing::new(format!("{}\n", text.expose()));
    directory.write(&path, &line)?;

    let principal = Principal::credd(&owner);
    let bind = DirectoryCommand {
        what: What::PutBinding(Binding {
            reach: Reach::All,
            principal: PrincipalName::trusted(Arc::clone(principal.as_arc())),
            role: Role::trusted(Role::ADMINISTRATOR.into()),
        }),
        reason: Reason::trusted(label.into()),
        by: Principal::system(),
        expected: None,
    };
    let bound = authority.change_directory(bind, How::BY_CREDD).await;
    bound.map_err(IssueError::Command)?;
    let new = NewCredential {
        tenant: Tenant::credd(),
        owner,
        profile: ProfileName::trusted(built_in::API_TOKEN.into()),
        texts: Texts {
            label: Some(Label::trusted(label.into())),
            ..Texts::default()
        },
        expiry: Wish::Never,
    };
    let asked = Asked {
        reason: Reason::trusted(label.into()),
        ..Asked::by_credd()
    };
    authority
        .issue_as(new, asked, NewId::Given(id), secret)
        .await?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::authority::Parts;
    use crate::authority::command::Quotas;
    use crate::authority::directory::Configured;
    use crate::authority::feed::Feed;
    use crate::authority::hub::RingSize;
    use crate::authority::sessions::LeaseSettings;
    use crate::domain::keyring::{KeyVersion, Keyring};
    use crate::domain::random::SystemRandom;
    use crate::domain::revision::StoreId;
    use crate::domain::time::SystemClock;
    use crate::store::memory::MemoryStore;

    /// One of an administrator of everything.
    fn binding(principal: &str) -> Binding {
        Binding {
            reach: Reach::All,
            principal: PrincipalName::parse(principal).unwrap(),
            role: Role::trusted(Role::ADMINISTRATOR.into()),
        }
    }

    /// Whether a first administrator is made where these are bound, and these by the
    /// configuration.
    async fn is_made(bound: &[&str], configured: &[&str]) -> bool {
        let store = Arc::new(MemoryStore::new(StoreId::from_bytes([1; 16])));
        let key = [(KeyVersion(1), Zeroizing::new([7; 32]))];
        let loaded = Feed::load(Arc::clone(&store) as _, RingSize::default()).unwrap();
        let (authority, workers) = Authority::new(Parts {
            store,
            feed: Arc::new(loaded.feed),
            keyring: Arc::new(Keyring::new(&key, &key).unwrap()),
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom::new()),
            quotas: Quotas::default(),
            leases: LeaseSettings::default(),
        })
        .unwrap();
        thread::spawn(move || workers.committer.run());
        for principal in bound {
            let bind = DirectoryCommand {
                what: What::PutBinding(binding(principal)),
                reason: Reason::trusted("".into()),
                by: Principal::system(),
                expected: None,
            };
            let bound = authority.change_directory(bind, How::BY_CREDD).await;
            bound.unwrap();
        }
        let index = authority.index();
        let bindings = configured.iter().map(|principal| binding(principal));
        let configured = Configured {
            bindings: bindings.collect(),
            ..Configured::default()
        };
        index.directory().configure(configured, index.names());
        let directory = tempfile::tempdir().unwrap();
        let directory = DataDir::new(directory.path().to_owned());
        directory.create().unwrap();
        first(&directory, &authority).await.unwrap().is_some()
    }

    #[tokio::test]
    async fn none_is_made_where_somebody_administers_credd_without_a_credential() {
        assert!(is_made(&[], &[]).await);
        // A start that was interrupted before the credential was issued.
        assert!(is_made(&["credd:admin"], &[]).await);
        assert!(!is_made(&["dns:admin.example"], &[]).await);
        assert!(!is_made(&["credd:admin", "jwt:https://issuer.test#jo"], &[]).await);
        assert!(!is_made(&[], &["dns:admin.example"]).await);
        // It names somebody who has no credential yet.
        assert!(is_made(&[], &["credd:admin"]).await);
        assert!(is_made(&[], &["credd:jo"]).await);
    }
}
