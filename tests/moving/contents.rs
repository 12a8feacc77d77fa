//! Something of everything that a store holds.

use std::net::SocketAddr;

use credd::proto::v1;
use credd::proto::v1::operations_service_client::OperationsServiceClient;
use tonic::Code;

use crate::calls::{
    Held, import, imported, issue, issue_request, reason, refused, request_id, rotate,
    rotate_request, verdict,
};
use crate::support::{
    Authorized, Bearer, Client, channel, list_request_of_all_states, revoke_request,
};

/// What was in a store.
pub(crate) struct Contents {
    /// Credentials, and what is said of them.
    held: Vec<(Held, v1::Verdict)>,
    /// One whose secret may be shown again.
    shown: Held,
    /// A request that made one.
    asked: v1::IssueRequest,
    made: String,
    /// All, in the order of their making.
    listed: Vec<v1::Credential>,
    events: Vec<v1::AuditEvent>,
    pub(crate) resume_token: String,
}

/// Makes it all.
pub(crate) async fn make(admin: &Client) -> Contents {
    let mut held = Vec::new();
    for profile in ["eset-api-token", "eset-taxii", "tenable-io", "misp"] {
        let one = issue(admin, "acme", profile, profile).await;
        held.push((one, v1::Verdict::Active));
    }
    let secret = "a-secret-from-elsewhere";
    let brought = import(admin, "acme", imported("api-token", "", secret)).await;
    let brought = Held {
        id: brought.unwrap().id,
        presented: v1::Presented {
            credential: Some(v1::presented::Credential::Token(secret.to_owned())),
        },
        headers: Vec::new(),
    };
    held.push((brought, v1::Verdict::Active));

    let rotated = issue(admin, "acme", "rotated", "tenable-io").await;
    let answer = rotate(admin, rotate_request(&rotated.id, 0)).await.unwrap();
    let fresh = Held::of(answer.credential.as_ref(), answer.secret);
    held.push((rotated, v1::Verdict::Invalid));
    held.push((fresh, v1::Verdict::Active));

    let revoked = issue(admin, "acme", "revoked", "eset-taxii").await;
    admin.revoke(&revoked.id).await.unwrap();
    held.push((revoked, v1::Verdict::Revoked));
    let locked = issue(admin, "acme", "locked", "eset-api-token").await;
    admin.lock(&locked.id).await.unwrap();
    held.push((locked, v1::Verdict::Locked));

    let shown = issue(admin, "acme", "shown", "kaspersky-tip").await;
    let asked = v1::IssueRequest {
        request_id: request_id(),
        ..issue_request("acme", "retried", "eset-api-token")
    };
    let made = admin.issue(asked.clone()).await.unwrap();
    Contents {
        held,
        shown,
        asked,
        made: made.credential.unwrap().id,
        listed: list(admin).await,
        events: events(admin).await,
        resume_token: resume_token(admin).await,
    }
}

impl Contents {
    /// Sees that it is all there, where a store was imported, and that it goes on.
    pub(crate) async fn assert_moved(&self, admin: &Client) {
        self.assert_there(admin).await;
        // The request is remembered, and what was answered is not.
        let status = refused(admin.issue(self.asked.clone()).await);
        assert_eq!(status.code(), Code::AlreadyExists, "{status:?}");
        assert_eq!(reason(&status), "REQUEST_DONE", "{status:?}");
        assert!(format!("{status:?}").contains(&self.made), "{status:?}");
    }

    /// Sees that it is all there.
    pub(crate) async fn assert_there(&self, admin: &Client) {
        for (held, expected) in &self.held {
            assert_eq!(verdict(admin, held).await, *expected, "{}", held.id);
        }
        let request = v1::RevealRequest {
            credential_id: self.shown.id.clone(),
            reason: "moved".to_owned(),
        };
        let shown = admin.credentials.clone().reveal(request).await.unwrap();
        let shown = shown.into_inner();
        let shown = Held::of(shown.credential.as_ref(), shown.secret);
        assert_eq!(shown.secret(), self.shown.secret());
        let listed = list(admin).await.into_iter();
        let is_known = |one: &v1::Credential| self.listed.iter().any(|known| known.id == one.id);
        assert_eq!(listed.filter(is_known).collect::<Vec<_>>(), self.listed);

        let events = events(admin).await;
        assert_eq!(events[..self.events.len()], self.events);
        let chain = v1::VerifyChainRequest::default();
        let checked = admin.audit.clone().verify_chain(chain).await.unwrap();
        let checked = checked.into_inner();
        assert!(checked.broken.is_none(), "{checked:?}");

        let fresh = issue(admin, "acme", "fresh", "eset-api-token").await;
        assert_eq!(verdict(admin, &fresh).await, v1::Verdict::Active);
        let request = v1::RevokeRequest {
            fence: true,
            ..revoke_request(&fresh.id)
        };
        let revoked = admin.credentials.clone().revoke(request).await.unwrap();
        assert!(revoked.into_inner().fence.is_some());
        assert_eq!(verdict(admin, &fresh).await, v1::Verdict::Revoked);
    }
}

/// All credentials of the tenant, but for when they were used and by what commit they were
/// written.
async fn list(admin: &Client) -> Vec<v1::Credential> {
    let request = v1::ListRequest {
        page_size: 1000,
        ..list_request_of_all_states("acme")
    };
    let listed = admin.list(request).await.unwrap().credentials.into_iter();
    listed
        .map(|credential| v1::Credential {
            last_used_at: None,
            last_used_by: String::new(),
            state_revision: None,
            revision: None,
            secrets: credential.secrets.into_iter().map(unused).collect(),
            ..credential
        })
        .collect()
}

fn unused(secret: v1::SecretInfo) -> v1::SecretInfo {
    v1::SecretInfo {
        last_used_at: None,
        ..secret
    }
}

/// What the audit log says, but for where the store has it.
async fn events(admin: &Client) -> Vec<v1::AuditEvent> {
    let request = v1::ListEventsRequest {
        order: v1::AuditOrder::OldestFirst.into(),
        page_size: 1000,
        ..Default::default()
    };
    let mut stream = admin.audit.clone().list_events(request).await.unwrap();
    let mut events = Vec::new();
    while let Some(page) = stream.get_mut().message().await.unwrap() {
        events.extend(page.events);
    }
    for event in &mut events {
        event.revision = None;
    }
    events
}

/// The token with which a Watch goes on from now.
async fn resume_token(admin: &Client) -> String {
    let mut stream = admin.watch(v1::WatchRequest::default()).await.unwrap();
    stream.message().await.unwrap().unwrap().resume_token
}

/// What operators ask of a server.
pub(crate) async fn operations(
    address: SocketAddr,
    token: &str,
) -> OperationsServiceClient<Authorized> {
    OperationsServiceClient::with_interceptor(channel(address).await, Bearer::new(token))
}

/// What a server says of itself.
pub(crate) async fn status(address: SocketAddr, token: &str) -> v1::GetStatusResponse {
    let mut operations = operations(address, token).await;
    let status = operations.get_status(v1::GetStatusRequest {}).await;
    status.unwrap().into_inner()
}

/// A backup of what a server has.
pub(crate) async fn backup(address: SocketAddr, token: &str) -> Vec<u8> {
    let mut operations = operations(address, token).await;
    let request = v1::BackupRequest {
        reason: "test".to_owned(),
    };
    let mut stream = operations.backup(request).await.unwrap().into_inner();
    let mut bytes = Vec::new();
    while let Some(part) = stream.message().await.unwrap() {
        bytes.extend(part.chunk);
    }
    bytes
}
