//! `OperationsService`.

use data_encoding::HEXLOWER;
use tonic::{Request, Response, Status};

use super::fence::Fencing;
use super::permit::admitted;
use super::status::{self, Violations};
use super::{Shared, convert};
use crate::authority::Authority;
use crate::authority::keys::{AskedOfKeys, KeyStatus, KeyringStatus};
use crate::authority::sessions::Standing;
use crate::domain::keyring::{KeyKind, KeyVersion};
use crate::domain::rights::Reach;
use crate::proto::v1;
use crate::proto::v1::operations_service_server::OperationsService;

mod backup;

pub use backup::BackupStream;

/// The service.
#[derive(Clone, Debug)]
pub struct Operations(Shared);

impl Operations {
    /// The service on this authority.
    #[must_use]
    pub const fn new(shared: Shared) -> Self {
        Self(shared)
    }
}

/// What every request that changes a key says.
struct KeyRequest {
    version: u32,
    reason: String,
    dry_run: bool,
    expected_revision: Option<v1::Revision>,
}

impl KeyRequest {
    fn read<T>(self, authority: &Authority, request: &Request<T>) -> Result<AskedOfKeys, Status> {
        let Self {
            version,
            reason,
            dry_run,
            expected_revision,
        } = self;
        let mut violations = Violations::default();
        if version == 0 {
            violations.add("version", "is required: the number of a key");
        }
        let reason = convert::reason(&reason, &mut violations);
        let store = authority.store();
        let expected = convert::expected_revision(expected_revision, store, &mut violations);
        let (Some(reason), Some(expected), true) = (reason, expected, version != 0) else {
            return Err(violations.status());
        };
        let permit = admitted(request)?.on(&Reach::All)?;
        Ok(AskedOfKeys {
            version: KeyVersion(version),
            how: permit.how(dry_run),
            reason,
            expected,
        })
    }
}

#[tonic::async_trait]
impl OperationsService for Operations {
    async fn get_status(
        &self,
        request: Request<v1::GetStatusRequest>,
    ) -> Result<Response<v1::GetStatusResponse>, Status> {
        let authority = self.0.authority()?;
        admitted(&request)?.on(&Reach::All)?;
        let v1::GetStatusRequest {} = request.into_inner();
        let (revision, credentials) = authority.index().read(|index| index.len());
        Ok(Response::new(v1::GetStatusResponse {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            store_id: authority.store().to_string(),
            revision: Some(convert::revision(authority.store(), revision)),
            started_at: Some(convert::timestamp(authority.started_at())),
            credentials: credentials as u64,
            keyring: Some(keyring(authority)),
            sessions: Some(sessions(authority)),
            servers: servers(authority),
            format: u32::from(authority.index().format()),
        }))
    }

    type BackupStream = BackupStream;

    async fn backup(
        &self,
        request: Request<v1::BackupRequest>,
    ) -> Result<Response<BackupStream>, Status> {
        backup::begin(&self.0, &request).await
    }

    async fn rotate_pepper(
        &self,
        request: Request<v1::RotatePepperRequest>,
    ) -> Result<Response<v1::RotatePepperResponse>, Status> {
        let v1::RotatePepperRequest {
            version,
            reason,
            dry_run,
            expected_revision,
        } = request.get_ref().clone();
        let ask = KeyRequest {
            version,
            reason,
            dry_run,
            expected_revision,
        };
        let (keyring, revision) = self.rotate(KeyKind::Pepper, ask, &request).await?;
        Ok(Response::new(v1::RotatePepperResponse {
            keyring: Some(keyring),
            revision: Some(revision),
        }))
    }

    async fn retire_pepper(
        &self,
        request: Request<v1::RetirePepperRequest>,
    ) -> Result<Response<v1::RetirePepperResponse>, Status> {
        let authority = self.0.authority()?;
        let v1::RetirePepperRequest {
            version,
            force,
            reason,
            dry_run,
            expected_revision,
            fence,
        } = request.get_ref().clone();
        let ask = KeyRequest {
            version,
            reason,
            dry_run,
            expected_revision,
        };
        let fencing = Fencing::asked(fence, ask.dry_run);
        let mut asked = ask.read(authority, &request)?;
        asked.how = fencing.of(asked.how);
        let told = Told::of(KeyKind::Pepper, "retire", &asked);
        let retired = authority.retire_pepper(asked, force).await;
        let retired = retired.map_err(|error| status::of_command(&error))?;
        told.done(force, retired.impact.changed);
        let fence = fencing.wait(&self.0, &admitted(&request)?.0).await?;
        Ok(Response::new(v1::RetirePepperResponse {
            keyring: Some(keyring(authority)),
            revision: Some(convert::revision(authority.store(), retired.revision)),
            impact: Some(convert::credential::impact(&retired.impact)),
            fence,
        }))
    }

    async fn rotate_sealing_key(
        &self,
        request: Request<v1::RotateSealingKeyRequest>,
    ) -> Result<Response<v1::RotateSealingKeyResponse>, Status> {
        let v1::RotateSealingKeyRequest {
            version,
            reason,
            dry_run,
            expected_revision,
        } = request.get_ref().clone();
        let ask = KeyRequest {
            version,
            reason,
            dry_run,
            expected_revision,
        };
        let (keyring, revision) = self.rotate(KeyKind::Sealing, ask, &request).await?;
        Ok(Response::new(v1::RotateSealingKeyResponse {
            keyring: Some(keyring),
            revision: Some(revision),
        }))
    }

    async fn retire_sealing_key(
        &self,
        request: Request<v1::RetireSealingKeyRequest>,
    ) -> Result<Response<v1::RetireSealingKeyResponse>, Status> {
        let authority = self.0.authority()?;
        let v1::RetireSealingKeyRequest {
            version,
            force,
            reason,
            dry_run,
            expected_revision,
        } = request.get_ref().clone();
        let ask = KeyRequest {
            version,
            reason,
            dry_run,
            expected_revision,
        };
        let asked = ask.read(authority, &request)?;
        let told = Told::of(KeyKind::Sealing, "retire", &asked);
        let retired = authority.retire_sealing_key(asked, force).await;
        let retired = retired.map_err(|error| status::of_command(&error))?;
        told.done(force, retired.requests);
        Ok(Response::new(v1::RetireSealingKeyResponse {
            keyring: Some(keyring(authority)),
            revision: Some(convert::revision(authority.store(), retired.revision)),
            forgotten_requests: retired.requests,
        }))
    }
}

impl Operations {
    async fn rotate<T>(
        &self,
        kind: KeyKind,
        ask: KeyRequest,
        request: &Request<T>,
    ) -> Result<(v1::KeyringStatus, v1::Revision), Status> {
        let authority = self.0.authority()?;
        let asked = ask.read(authority, request)?;
        let told = Told::of(kind, "activate", &asked);
        let changed = authority.rotate_key(kind, asked).await;
        let changed = changed.map_err(|error| status::of_command(&error))?;
        told.done(false, 0);
        let revision = convert::revision(authority.store(), changed.revision);
        Ok((keyring(authority), revision))
    }
}

/// What the log tells of a change of a key.
struct Told {
    kind: KeyKind,
    action: &'static str,
    asked: AskedOfKeys,
}

impl Told {
    fn of(kind: KeyKind, action: &'static str, asked: &AskedOfKeys) -> Self {
        let asked = asked.clone();
        Self {
            kind,
            action,
            asked,
        }
    }

    fn done(self, force: bool, ended: u64) {
        let Self {
            kind,
            action,
            asked,
        } = self;
        tracing::info!(
            caller = %asked.how.origin.principal(),
            %kind,
            version = asked.version.0,
            reason = %asked.reason,
            dry = asked.how.dry,
            force,
            ended,
            "{action} a key"
        );
    }
}

fn sessions(authority: &Authority) -> v1::SessionsStatus {
    let Standing {
        length,
        leases,
        behind,
        behind_callers,
        peers: _,
    } = authority.sessions().standing();
    let number = |count| u32::try_from(count).unwrap_or(u32::MAX);
    v1::SessionsStatus {
        lease: Some(convert::short_duration(length)),
        leases: number(leases),
        behind: number(behind),
        behind_callers: behind_callers.iter().map(ToString::to_string).collect(),
    }
}

fn servers(authority: &Authority) -> Vec<v1::ServerStatus> {
    let own = authority.sessions().incarnation();
    let (_, nodes) = authority.index().read(|index| index.nodes());
    let mut nodes: Vec<_> = nodes.into_iter().collect();
    nodes.sort_by_key(|(name, _)| *name != own);
    let nodes = nodes.into_iter().map(|(name, (node, _))| v1::ServerStatus {
        id: name.to_string(),
        started_at: Some(convert::timestamp(node.started_at)),
        lease: Some(convert::short_duration(node.lease)),
        settled: Some(convert::revision(authority.store(), node.settled)),
        format: u32::from(node.format),
    });
    nodes.collect()
}

fn keyring(authority: &Authority) -> v1::KeyringStatus {
    let KeyringStatus {
        revision,
        peppers,
        sealing,
    } = authority.keyring_status();
    v1::KeyringStatus {
        peppers: peppers.iter().map(pepper).collect(),
        sealing_keys: sealing.iter().map(sealing_key).collect(),
        revision: Some(convert::revision(authority.store(), revision)),
    }
}

fn pepper(key: &KeyStatus) -> v1::PepperStatus {
    let KeyStatus {
        version,
        check,
        state,
        loaded,
        remaining,
    } = key;
    v1::PepperStatus {
        version: version.0,
        state: v1::KeyState::from(*state).into(),
        loaded: *loaded,
        check: HEXLOWER.encode(check),
        remaining: remaining.secrets,
    }
}

fn sealing_key(key: &KeyStatus) -> v1::SealingKeyStatus {
    let KeyStatus {
        version,
        check,
        state,
        loaded,
        remaining,
    } = key;
    v1::SealingKeyStatus {
        version: version.0,
        state: v1::KeyState::from(*state).into(),
        loaded: *loaded,
        check: HEXLOWER.encode(check),
        remaining: remaining.secrets,
        remaining_requests: remaining.requests,
    }
}
