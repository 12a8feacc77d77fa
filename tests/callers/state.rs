//! All that can be listed, as the platform's administrator sees it.

use credd::proto::v1;

use crate::support::{ALL_STATES, Client};

/// What there is, but for last use, which is written behind.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Everything {
    pub(crate) credentials: Vec<v1::Credential>,
    pub(crate) tenants: Vec<v1::Tenant>,
    pub(crate) owners: Vec<v1::Owner>,
    pub(crate) roles: Vec<v1::Role>,
    pub(crate) profiles: Vec<v1::Profile>,
    pub(crate) bindings: Vec<v1::Binding>,
}

/// Every page of a list.
macro_rules! pages {
    ($client:expr, $method:ident, $request:expr, $items:ident) => {{
        let (mut client, mut request) = ($client, $request);
        let mut all = Vec::new();
        loop {
            let page = client.$method(request.clone()).await.unwrap().into_inner();
            all.extend(page.$items);
            request.page_token = page.next_page_token;
            if request.page_token.is_empty() {
                break all;
            }
        }
    }};
}
pub(crate) use pages;

const PAGE: i32 = 1000;

impl Everything {
    pub(crate) async fn of(admin: &Client) -> Self {
        let directory = || admin.directory.clone();
        let request = v1::ListTenantsRequest {
            page_size: PAGE,
            ..Default::default()
        };
        let tenants = pages!(directory(), list_tenants, request, tenants);
        let (mut owners, mut roles) = (Vec::new(), Vec::new());
        for tenant in tenants.iter().map(|tenant| &tenant.name) {
            let request = v1::ListOwnersRequest {
                tenant: tenant.clone(),
                page_size: PAGE,
                ..Default::default()
            };
            owners.extend(pages!(directory(), list_owners, request, owners));
            let request = v1::ListRolesRequest {
                tenant: tenant.clone(),
                page_size: PAGE,
                ..Default::default()
            };
            roles.extend(pages!(directory(), list_roles, request, roles));
        }
        let profiles = v1::ListProfilesRequest {
            page_size: PAGE,
            ..Default::default()
        };
        let bindings = v1::ListBindingsRequest {
            page_size: PAGE,
            ..Default::default()
        };
        Self {
            credentials: credentials(admin).await,
            tenants,
            owners,
            roles,
            profiles: pages!(directory(), list_profiles, profiles, profiles),
            bindings: pages!(directory(), list_bindings, bindings, bindings),
        }
    }
}

async fn credentials(admin: &Client) -> Vec<v1::Credential> {
    let request = v1::ListRequest {
        filter: Some(v1::CredentialFilter {
            states: ALL_STATES.map(i32::from).to_vec(),
            ..Default::default()
        }),
        page_size: PAGE,
        include_unlisted: true,
        ..Default::default()
    };
    let mut all = pages!(admin.credentials.clone(), list, request, credentials);
    for credential in &mut all {
        credential.last_used_at = None;
        credential.last_used_by.clear();
        for secret in &mut credential.secrets {
            secret.last_used_at = None;
        }
    }
    all
}
