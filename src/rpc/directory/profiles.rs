//! Profiles.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::{DirectoryRpc, How, page, read_tenant};
use crate::authority::command::{Answer, PutProfile, Thing, What};
use crate::authority::directory::{Directory, KnownProfile};
use crate::authority::names::Interner;
use crate::domain::names::{ProfileName, Tenant};
use crate::domain::profile::{ProfileFamily, Scope};
use crate::domain::rights::Reach;
use crate::proto::v1::{
    DeleteProfileRequest, DeleteProfileResponse, GetProfileRequest, GetProfileResponse,
    ListProfilesRequest, ListProfilesResponse, PutProfileRequest, PutProfileResponse,
};
use crate::rpc::convert::{self, directory as wire};
use crate::rpc::page_token::Binding;
use crate::rpc::permit::admitted;
use crate::rpc::status::{self, Violations};

pub(super) async fn put(
    service: &DirectoryRpc,
    request: Request<PutProfileRequest>,
) -> Result<Response<PutProfileResponse>, Status> {
    let authority = service.0.authority()?;
    let admitted = admitted(&request)?;
    let PutProfileRequest {
        profile,
        reason,
        dry_run,
        expected_revision,
    } = request.into_inner();
    let mut violations = Violations::default();
    let put = if let Some(profile) = profile {
        convert::profile::profile(profile, &mut violations)
    } else {
        violations.add("profile", "is required");
        None
    };
    let how = How {
        reason: &reason,
        dry_run,
        expected_revision,
        fence: false,
    };
    let what = put.map(|profile| What::PutProfile(PutProfile(profile)));
    let (done, _) = service.change(&admitted, what, how, violations).await?;
    let Answer::Profile(reference, known) = &done.answer else {
        return Err(status::internal(&"an answer without the profile"));
    };
    let revision = known.revision.unwrap_or(done.revision);
    let shown = KnownProfile {
        reference: reference.clone(),
        profile: known.record.profile.clone(),
        stored: Some((known.record.last_change.clone(), revision)),
    };
    let (directory, names) = (authority.index().directory(), authority.index().names());
    let shown = wire::known_profile(&shown, directory, names, authority.store());
    Ok(Response::new(PutProfileResponse {
        profile: Some(shown),
        revision: Some(convert::revision(authority.store(), revision)),
    }))
}

pub(super) fn get(
    service: &DirectoryRpc,
    request: Request<GetProfileRequest>,
) -> Result<Response<GetProfileResponse>, Status> {
    let authority = service.0.authority()?;
    let admitted = admitted(&request)?;
    let GetProfileRequest { tenant, name } = request.into_inner();
    let mut violations = Violations::default();
    let family = read_family(&tenant, &name, &mut violations);
    let family = family.ok_or_else(|| violations.status())?;
    if let Scope::Tenant(tenant) = &family.scope {
        admitted.to_see(&Reach::Tenant(tenant.clone()), Thing::Profile)?;
    }
    let (revision, profile) = authority.index().read(|index| {
        let (directory, names) = (index.directory(), index.names());
        let found = directory.family(family.scope.as_str(), family.name.as_str(), names)?;
        let known = directory.latest(found).filter(|known| !known.deleted())?;
        Some(wire::known_profile(
            &known,
            directory,
            names,
            authority.store(),
        ))
    });
    let profile = profile.ok_or_else(|| status::unknown(Thing::Profile))?;
    Ok(Response::new(GetProfileResponse {
        profile: Some(profile),
        revision: Some(convert::revision(authority.store(), revision)),
    }))
}

pub(super) fn list(
    service: &DirectoryRpc,
    request: Request<ListProfilesRequest>,
) -> Result<Response<ListProfilesResponse>, Status> {
    let authority = service.0.authority()?;
    let admitted = admitted(&request)?;
    let ListProfilesRequest {
        tenant,
        page_size,
        page_token,
    } = request.into_inner();
    let tenant = match tenant.as_str() {
        "" => None,
        tenant => Some(read_tenant(tenant)?),
    };
    if let Some(tenant) = &tenant {
        admitted.on_tenant(tenant)?;
    }
    let binding = Binding::new("profiles", admitted.principal());
    let binding = binding.with(tenant.as_ref().map_or("", Tenant::as_str));
    let page = page(
        authority,
        &binding,
        page_size,
        &page_token,
        |index, after, limit| {
            let (directory, names) = (index.directory(), index.names());
            let all = listed_profiles(directory, names, tenant.as_ref());
            all.into_iter()
                .filter(|(name, _)| name.as_str() > after)
                .filter(|(_, known)| match &known.reference.family.scope {
                    Scope::All => true,
                    Scope::Tenant(tenant) => admitted.reach().has(tenant.as_str()),
                })
                .take(limit)
                .map(|(name, known)| {
                    let store = authority.store();
                    (name, wire::known_profile(&known, directory, names, store))
                })
                .collect()
        },
    )?;
    Ok(Response::new(ListProfilesResponse {
        profiles: page.items,
        next_page_token: page.next_page_token,
        revision: Some(page.revision),
    }))
}

pub(super) async fn delete(
    service: &DirectoryRpc,
    request: Request<DeleteProfileRequest>,
) -> Result<Response<DeleteProfileResponse>, Status> {
    let admitted = admitted(&request)?;
    let DeleteProfileRequest {
        tenant,
        name,
        reason,
        dry_run,
        expected_revision,
    } = request.into_inner();
    let mut violations = Violations::default();
    let what = read_family(&tenant, &name, &mut violations).map(What::DeleteProfile);
    let how = How {
        reason: &reason,
        dry_run,
        expected_revision,
        fence: false,
    };
    let (done, _) = service.change(&admitted, what, how, violations).await?;
    Ok(Response::new(DeleteProfileResponse {
        revision: service.deleted(&done)?,
    }))
}

/// Every profile by the name under which it is listed, those of all tenants first.
fn listed_profiles(
    directory: &Directory,
    names: &Interner,
    tenant: Option<&Tenant>,
) -> Vec<(String, Arc<KnownProfile>)> {
    let families = directory.all_families(names).into_iter();
    families
        .filter(|((scope, _), _)| {
            tenant.is_none_or(|tenant| scope.is_empty() || **scope == *tenant.as_str())
        })
        .filter_map(|((scope, name), family)| {
            let known = directory.latest(family).filter(|known| !known.deleted())?;
            Some((format!("{scope}\0{name}"), known))
        })
        .collect()
}

fn read_family(tenant: &str, name: &str, violations: &mut Violations) -> Option<ProfileFamily> {
    let scope = match tenant {
        "" => Some(Scope::All),
        tenant => violations
            .check("tenant", Tenant::parse(tenant))
            .map(Scope::Tenant),
    };
    let name = violations.check("name", ProfileName::parse(name));
    let (scope, name) = scope.zip(name)?;
    Some(ProfileFamily { scope, name })
}
