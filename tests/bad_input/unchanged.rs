//! A server whose state is compared before and after each bad request.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::future::Future;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use credd::proto::v1;
use credd::proto::v1::watch_response::Message as Watched;
use prost::Message;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

use crate::support::raw;
use crate::support::{
    Client, Server, channel, list_request_of_all_states, soon, token_of, token_request,
};

/// One bad request: what is wrong with it, and the fields that are named.
pub(crate) type Case<T> = (String, T, Vec<String>);

/// A [`Case`].
pub(crate) fn case<T>(what: impl Into<String>, request: T, fields: &[&str]) -> Case<T> {
    (what.into(), request, texts(fields))
}

/// A server with a little of everything in it, and a Watch that sees whatever
/// changes.
pub(crate) struct Unchanged {
    pub(crate) server: Server,
    pub(crate) channel: Channel,
    pub(crate) before: Everything,
    watch: tonic::Streaming<v1::WatchResponse>,
    /// A token of `jo` of `acme` that is good.
    pub(crate) id: String,
    pub(crate) token: String,
    /// Another credential of `jo`'s, of the profile `robots`.
    pub(crate) robot: String,
    /// The token of a caller who may do everything.
    root: String,
}

/// All that can be listed, but for last use, which is written behind.
#[derive(Debug, PartialEq)]
pub(crate) struct Everything {
    pub(crate) credentials: Vec<v1::Credential>,
    pub(crate) tenants: Vec<v1::Tenant>,
    pub(crate) owners: Vec<v1::Owner>,
    pub(crate) roles: Vec<v1::Role>,
    pub(crate) bindings: Vec<v1::Binding>,
    pub(crate) profiles: Vec<v1::Profile>,
}

impl Unchanged {
    /// `acme` has the role `reader`, the owner `jo` with that role and the groups
    /// `red` and `blue`, and the profiles `robots` and `keys`.
    pub(crate) async fn start() -> Self {
        let server = Server::start().await;
        let admin = &server.admin;
        fill_directory(admin).await;
        let (id, token) = admin.issue_token("acme").await;
        let (suspended, _) = admin.issue_token("globex").await;
        admin.lock(&suspended).await.unwrap();
        let (revoked, _) = admin.issue_token("globex").await;
        admin.revoke(&revoked).await.unwrap();
        let unlisted = v1::IssueRequest {
            profile: "misp".to_owned(),
            ..token_request("acme")
        };
        admin.issue(unlisted).await.unwrap();
        let mechanical = v1::IssueRequest {
            profile: "robots".to_owned(),
            time_zone: "UTC".to_owned(),
            ..token_request("acme")
        };
        let machine = admin
            .issue(mechanical)
            .await
            .unwrap()
            .credential
            .unwrap()
            .id;
        admin.bind("credd:root", "root", "*").await;
        let almighty = v1::IssueRequest {
            owner: "root".to_owned(),
            roles: texts(&["root"]),
            ..token_request("credd")
        };
        let root = token_of(admin.issue(almighty).await.unwrap().secret);
        let mut watch = admin.watch(v1::WatchRequest::default()).await.unwrap();
        let first = watch.message().await.unwrap().unwrap();
        assert!(matches!(first.message, Some(Watched::Bookmark(_))));
        let before = everything(admin).await;
        assert_eq!(before.credentials.len(), 7);
        Self {
            channel: channel(server.address).await,
            server,
            before,
            watch,
            id,
            token,
            robot: machine,
            root,
        }
    }

    pub(crate) const fn admin(&self) -> &Client {
        &self.server.admin
    }

    /// A request with these bytes of a caller who may do everything.
    pub(crate) fn as_root(&self, message: impl Into<Bytes>) -> Request<Bytes> {
        let mut request = Request::new(message.into());
        let bearer = format!("Bearer {}", self.root).parse().unwrap();
        request.metadata_mut().insert("authorization", bearer);
        request
    }

    /// Calls an RPC as one who may do everything.
    pub(crate) async fn call<T: Message>(&self, rpc: &str, message: &T) -> Result<Bytes, Status> {
        let request = self.as_root(message.encode_to_vec());
        raw::call(self.channel.clone(), rpc, request).await
    }

    /// Each of these is refused by this RPC, naming its fields and no other, and
    /// leaves everything as it was.
    pub(crate) async fn refuses_all<T: Message>(&self, rpc: &str, cases: Vec<Case<T>>) {
        for (what, request, fields) in cases {
            let what = format!("{rpc}: {what}");
            let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
            self.refuses(&what, &fields, self.call(rpc, &request)).await;
        }
    }

    /// Each of these, which is a dry run or only asks, is answered, and leaves
    /// everything as it was.
    pub(crate) async fn accepts_all<T: Message>(&self, rpc: &str, cases: Vec<(&str, T)>) {
        for (what, request) in cases {
            let what = format!("{rpc}: {what}");
            if let Err(status) = soon(&what, self.call(rpc, &request)).await {
                panic!("{what} was refused: {status}");
            }
            self.assert_unchanged(&what).await;
        }
    }

    /// This call was refused, naming these fields, and left everything as it was.
    pub(crate) async fn refuses<T>(
        &self,
        what: &str,
        fields: &[&str],
        call: impl Future<Output = Result<T, Status>>,
    ) {
        let Err(status) = soon(what, call).await else {
            panic!("{what} was accepted");
        };
        assert_names(&status, what, fields);
        self.assert_unchanged(what).await;
    }

    /// Everything is as it was.
    pub(crate) async fn assert_unchanged(&self, what: &str) {
        assert_eq!(
            everything(self.admin()).await,
            self.before,
            "{what} changed something"
        );
    }

    /// The first change since the start is one that is made now.
    pub(crate) async fn end(mut self) {
        let issued = self.admin().issue(token_request("acme")).await.unwrap();
        let change = loop {
            let message = soon("a change", self.watch.message()).await;
            let message = message.unwrap().unwrap();
            if let Some(Watched::Commit(commit)) = message.message {
                break (message.revision, commit);
            }
        };
        assert_eq!(change.0, issued.revision);
        assert_eq!(change.1.events.len(), 1);
        let Self {
            server,
            watch,
            channel,
            ..
        } = self;
        drop((watch, channel));
        server.stop().await;
    }
}

async fn fill_directory(admin: &Client) {
    let mut directory = admin.directory.clone();
    let root = v1::PutRoleRequest {
        tenant: "credd".to_owned(),
        name: "root".to_owned(),
        permissions: texts(&["credd.*"]),
        ..Default::default()
    };
    directory.put_role(root).await.unwrap();
    let tenant = v1::PutTenantRequest {
        name: "acme".to_owned(),
        ..Default::default()
    };
    directory.put_tenant(tenant).await.unwrap();
    let role = v1::PutRoleRequest {
        tenant: "acme".to_owned(),
        name: "reader".to_owned(),
        permissions: texts(&["feeds:read"]),
        ..Default::default()
    };
    directory.put_role(role).await.unwrap();
    let owner = v1::PutOwnerRequest {
        tenant: "acme".to_owned(),
        name: "jo".to_owned(),
        groups: texts(&["red", "blue"]),
        roles: texts(&["reader"]),
        ..Default::default()
    };
    directory.put_owner(owner).await.unwrap();
    for profile in [robots(), keys()] {
        let profile = v1::PutProfileRequest {
            profile: Some(profile),
            ..Default::default()
        };
        directory.put_profile(profile).await.unwrap();
    }
}

/// A profile of `acme`: tokens that need a label and a time zone, last at most 90
/// days, and have at most one role.
pub(crate) fn robots() -> v1::Profile {
    v1::Profile {
        tenant: "acme".to_owned(),
        name: "robots".to_owned(),
        display_name: "Robots".to_owned(),
        kind: v1::CredentialKind::ApiToken.into(),
        headers: vec![header(
            "X-Robot",
            v1::header_rule::Format::Scheme("Robot".to_owned()),
        )],
        visibility: v1::SecretVisibility::Once.into(),
        expiry: Some(v1::ExpiryRule {
            default_period: "P30D".to_owned(),
            max_period: "P90D".to_owned(),
            fixed: true,
            ..Default::default()
        }),
        multiplicity: v1::Multiplicity::Many.into(),
        required_fields: vec![
            v1::RequiredField::Label.into(),
            v1::RequiredField::TimeZone.into(),
        ],
        roles: Some(v1::RoleRule {
            most: Some(1),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// A profile of `acme`: access keys of a few periods, that need a description and
/// a language.
pub(crate) fn keys() -> v1::Profile {
    v1::Profile {
        name: "keys".to_owned(),
        display_name: "Keys".to_owned(),
        kind: v1::CredentialKind::KeyPair.into(),
        headers: vec![header("X-Keys", pair("a", "b"))],
        expiry: Some(v1::ExpiryRule {
            allowed_periods: texts(&["P30D", "P1Y"]),
            never: v1::NeverRule::Forbidden.into(),
            default_period: "P1Y".to_owned(),
            ..Default::default()
        }),
        required_fields: vec![
            v1::RequiredField::Description.into(),
            v1::RequiredField::Language.into(),
        ],
        default_label: "Keys".to_owned(),
        roles: None,
        ..robots()
    }
}

/// How a credential stands in a header.
pub(crate) fn header(name: &str, format: v1::header_rule::Format) -> v1::HeaderRule {
    v1::HeaderRule {
        name: name.to_owned(),
        format: Some(format),
    }
}

/// Two parameters.
pub(crate) fn pair(public: &str, secret: &str) -> v1::header_rule::Format {
    v1::header_rule::Format::Pair(v1::PairFormat {
        public_parameter: public.to_owned(),
        secret_parameter: secret.to_owned(),
    })
}

/// All that can be listed.
pub(crate) async fn everything(admin: &Client) -> Everything {
    let mut directory = admin.directory.clone();
    let request = v1::ListRequest {
        page_size: 1000,
        include_unlisted: true,
        ..list_request_of_all_states("")
    };
    let mut page = admin.list(request).await.unwrap();
    assert_eq!(page.next_page_token, "");
    for credential in &mut page.credentials {
        credential.last_used_at = None;
        credential.last_used_by.clear();
        for secret in &mut credential.secrets {
            secret.last_used_at = None;
        }
    }
    let tenants = v1::ListTenantsRequest {
        page_size: 1000,
        ..Default::default()
    };
    let tenants = directory.list_tenants(tenants).await.unwrap().into_inner();
    let (mut owners, mut roles) = (Vec::new(), Vec::new());
    for tenant in tenants.tenants.iter().map(|tenant| &tenant.name) {
        let request = v1::ListOwnersRequest {
            tenant: tenant.clone(),
            page_size: 1000,
            ..Default::default()
        };
        let page = directory.list_owners(request).await.unwrap().into_inner();
        owners.extend(page.owners);
        let request = v1::ListRolesRequest {
            tenant: tenant.clone(),
            page_size: 1000,
            ..Default::default()
        };
        let page = directory.list_roles(request).await.unwrap().into_inner();
        roles.extend(page.roles);
    }
    let profiles = v1::ListProfilesRequest {
        page_size: 1000,
        ..Default::default()
    };
    let profiles = directory.list_profiles(profiles).await.unwrap();
    let bindings = v1::ListBindingsRequest {
        page_size: 1000,
        ..Default::default()
    };
    let bindings = directory.list_bindings(bindings).await.unwrap();
    Everything {
        bindings: bindings.into_inner().bindings,
        credentials: page.credentials,
        tenants: tenants.tenants,
        owners,
        roles,
        profiles: profiles.into_inner().profiles,
    }
}

pub(crate) fn assert_names(status: &Status, what: &str, fields: &[&str]) {
    assert_eq!(status.code(), Code::InvalidArgument, "{what}: {status}");
    assert_eq!(reason_of(status), "INVALID_FIELDS", "{what}");
    let expected: BTreeSet<_> = fields.iter().map(ToString::to_string).collect();
    assert_eq!(fields_of(status), expected, "{what}: {}", status.message());
    for field in expected {
        assert!(
            status.message().contains(&field),
            "{what}: {}",
            status.message()
        );
    }
}

pub(crate) fn fields_of(status: &Status) -> BTreeSet<String> {
    let details = status.get_error_details();
    let request = details.bad_request().expect("a BadRequest");
    let violations = request.field_violations.iter();
    violations
        .inspect(|violation| assert!(!violation.description.is_empty()))
        .map(|violation| violation.field.clone())
        .collect()
}

pub(crate) fn reason_of(status: &Status) -> String {
    let details = status.get_error_details();
    let info = details.error_info().expect("an ErrorInfo");
    assert_eq!(info.domain, "credd");
    info.reason.clone()
}

pub(crate) fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(ToString::to_string).collect()
}

/// Texts that are all different, of at least two characters.
pub(crate) fn different(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("r{n}")).collect()
}

pub(crate) const fn seconds(seconds: i64) -> prost_types::Duration {
    prost_types::Duration { seconds, nanos: 0 }
}

pub(crate) const fn at(seconds: i64, nanos: i32) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds, nanos }
}

pub(crate) fn now() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since_epoch.as_secs()).unwrap()
}

/// The revision of another store.
pub(crate) fn foreign_revision() -> v1::Revision {
    v1::Revision {
        store_id: "018f0000-0000-7000-8000-000000000000".to_owned(),
        number: 1,
    }
}

/// Reasons that are none.
pub(crate) fn bad_reasons() -> [String; 2] {
    ["x".repeat(257), "two\nlines".to_owned()]
}

/// A message with some fields set.
macro_rules! with {
    ($message:expr, $($field:ident = $value:expr),+ $(,)?) => {{
        let mut message = $message;
        $(message.$field = $value.into();)+
        message
    }};
}
pub(crate) use with;
