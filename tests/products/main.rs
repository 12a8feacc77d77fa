//! What the users of existing products do by hand, step by step, against a real
//! server: one test a product, and one for a profile of one's own.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

mod eclecticiq;
mod eset;
mod kaspersky;
mod own;
mod tenable;
mod trend_micro;

use std::collections::BTreeSet;

use credd::proto::v1;
use support::{Client, Server, token_of, token_request};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// A product on its own tenant, with users of it.
struct Product {
    server: Server,
    admin: Client,
    tenant: &'static str,
}

impl Product {
    async fn new(tenant: &'static str) -> Self {
        let server = Server::start().await;
        Self {
            admin: server.admin.clone(),
            server,
            tenant,
        }
    }

    /// Puts an owner, and returns a client that calls as this owner: the way in
    /// which a user who is signed in comes to credd.
    async fn user(&self, name: &str, roles: &[&str], groups: &[&str]) -> Client {
        self.put_owner(name, roles, groups).await;
        self.caller(&format!("{name}-login")).await
    }

    /// A client of an owner of credd's own tenant.
    async fn caller(&self, name: &str) -> Client {
        let request = v1::IssueRequest {
            owner: name.to_owned(),
            ..token_request("credd")
        };
        let issued = self.admin.issue(request).await.unwrap();
        self.server.client(&token_of(issued.secret)).await
    }

    async fn put_owner(&self, name: &str, roles: &[&str], groups: &[&str]) -> v1::Owner {
        let texts = |texts: &[&str]| texts.iter().map(ToString::to_string).collect();
        let request = v1::PutOwnerRequest {
            tenant: self.tenant.to_owned(),
            name: name.to_owned(),
            principals: vec![format!("credd:{name}-login")],
            groups: texts(groups),
            roles: texts(roles),
            ..Default::default()
        };
        let put = self.admin.directory.clone().put_owner(request).await;
        put.unwrap().into_inner().owner.unwrap()
    }

    /// What there is to say to issue a credential of this profile.
    fn ask(&self, owner: &str, profile: &str) -> v1::IssueRequest {
        v1::IssueRequest {
            tenant: self.tenant.to_owned(),
            owner: owner.to_owned(),
            profile: profile.to_owned(),
            ..Default::default()
        }
    }

    /// What is on the list that a product shows an owner.
    async fn list(&self, client: &Client, owner: &str) -> Vec<v1::Credential> {
        self.list_of(client, owner, v1::CredentialFilter::default())
            .await
    }

    async fn list_of(
        &self,
        client: &Client,
        owner: &str,
        filter: v1::CredentialFilter,
    ) -> Vec<v1::Credential> {
        let request = v1::ListRequest {
            filter: Some(v1::CredentialFilter {
                tenant: self.tenant.to_owned(),
                owner: owner.to_owned(),
                ..filter
            }),
            ..Default::default()
        };
        client.list(request).await.unwrap().credentials
    }

    /// The answer to a service of the product that got this header.
    async fn verify(&self, name: &str, value: &str) -> v1::VerifyResponse {
        self.verify_for(name, value, &[]).await
    }

    /// The same, when the client is about to do something.
    async fn verify_for(
        &self,
        name: &str,
        value: &str,
        permissions: &[&str],
    ) -> v1::VerifyResponse {
        let request = v1::VerifyRequest {
            presented: Some(v1::Presented {
                credential: Some(v1::presented::Credential::Header(v1::RawHeader {
                    name: name.to_owned(),
                    value: Some(v1::raw_header::Value::Text(value.to_owned())),
                })),
            }),
            tenant: self.tenant.to_owned(),
            permissions: permissions.iter().map(ToString::to_string).collect(),
            ..Default::default()
        };
        let response = self.admin.verification.clone().verify(request).await;
        response.unwrap().into_inner()
    }

    async fn verdict(&self, header: &v1::HttpHeader) -> v1::Verdict {
        self.verify(&header.name, &header.value).await.verdict()
    }

    async fn rotate(&self, client: &Client, id: &str) -> Result<v1::RotateResponse, Status> {
        let request = v1::RotateRequest {
            credential_id: id.to_owned(),
            ..Default::default()
        };
        let response = client.credentials.clone().rotate(request).await?;
        Ok(response.into_inner())
    }
}

async fn reveal(client: &Client, id: &str) -> Result<v1::IssuedSecret, Status> {
    let request = v1::RevealRequest {
        credential_id: id.to_owned(),
        ..Default::default()
    };
    let response = client.credentials.clone().reveal(request).await?;
    Ok(response.into_inner().secret.unwrap())
}

/// The one header in which a secret is used, and the secret part of it.
fn header_of(secret: &v1::IssuedSecret) -> (v1::HttpHeader, String) {
    use v1::issued_secret::Secret;

    let [header] = secret.headers.as_slice() else {
        panic!("{} headers", secret.headers.len());
    };
    let bare = match secret.secret.as_ref().unwrap() {
        Secret::Token(token) => token.clone(),
        Secret::UsernamePassword(pair) => pair.password.clone(),
        Secret::KeyPair(pair) => pair.secret_key.clone(),
    };
    (header.clone(), bare)
}

/// Fails if a secret is anywhere in a message.
fn assert_without(message: &impl prost::Message, secret: &str) {
    let bytes = message.encode_to_vec();
    let found = bytes
        .windows(secret.len())
        .any(|window| window == secret.as_bytes());
    assert!(!found, "the secret is shown");
}

/// The fields at fault.
fn fields(status: &Status) -> BTreeSet<String> {
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let details = status.get_error_details();
    let request = details.bad_request().expect("a BadRequest");
    let fields = request.field_violations.iter();
    fields.map(|violation| violation.field.clone()).collect()
}

fn reason(status: &Status) -> String {
    let details = status.get_error_details();
    details.error_info().expect("an ErrorInfo").reason.clone()
}

fn one(field: &str) -> BTreeSet<String> {
    BTreeSet::from([field.to_owned()])
}

fn seconds(timestamp: Option<prost_types::Timestamp>) -> i64 {
    timestamp.expect("a time").seconds
}
