//! Calls that fail, each with a secret somewhere in it.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use credd::proto::v1;
use credd::proto::v1::issue_request::Expiry;
use prost::Message as _;
use tonic::Status;

use crate::Remembering;
use crate::calls::{self, issue_request, refused, report, rotate, rotate_request};
use crate::support::Client;

type Statuses = Vec<(&'static str, Status)>;

/// What is answered to every wrong call, with what was wrong.
pub(crate) async fn statuses(
    caller: &Remembering,
    address: SocketAddr,
    revealer: &str,
) -> Statuses {
    let mut all = Vec::new();
    for (at, held) in caller.held.iter().enumerate() {
        let secret = held.secret();
        issuing(&caller.client, &secret, &mut all).await;
        managing(&caller.client, &secret, &mut all).await;
        // What the server does not read of a message that is too large may cost
        // the connection.
        let alone = Client::connect(address, revealer).await;
        reporting(&alone, &secret, &mut all).await;
        verifying(&caller.client, held, &mut all).await;
        in_the_directory(&caller.client, &secret, &mut all).await;
        if at % 4 == 0 {
            let stranger = Client::connect(address, &secret).await;
            all.push(("bearer", refused(stranger.get(&held.id).await)));
            let watched = stranger.watch(v1::WatchRequest::default()).await;
            all.push(("bearer of a Watch", refused(watched)));
        }
    }
    all
}

async fn issuing(client: &Client, secret: &str, all: &mut Statuses) {
    let s = || secret.to_owned();
    let good = || issue_request("acme", "jo", "api-token");
    let broken = |change: &dyn Fn(&mut v1::IssueRequest)| {
        let mut request = good();
        change(&mut request);
        request
    };
    let requests = [
        ("tenant", broken(&|r| r.tenant = s())),
        ("owner", broken(&|r| r.owner = format!("!{secret}"))),
        ("profile", broken(&|r| r.profile = s())),
        ("label", broken(&|r| r.label = format!("\n{secret}"))),
        (
            "description",
            broken(&|r| r.description = secret.repeat(20)),
        ),
        ("roles", broken(&|r| r.roles = vec![s()])),
        (
            "attribute",
            broken(&|r| r.attributes = BTreeMap::from([(s(), s())])),
        ),
        (
            "attribute's value",
            broken(&|r| r.attributes = BTreeMap::from([("a".to_owned(), secret.repeat(4))])),
        ),
        ("language", broken(&|r| r.language = s())),
        ("time zone", broken(&|r| r.time_zone = s())),
        ("period", broken(&|r| r.expiry = Some(Expiry::Period(s())))),
        (
            "expires_on",
            broken(&|r| r.expiry = Some(Expiry::ExpiresOn(s()))),
        ),
        ("request_id", broken(&|r| r.request_id = s())),
        ("reason", broken(&|r| r.reason = secret.repeat(4))),
        (
            "a secret in the reason",
            broken(&|r| r.reason = format!("of {secret}")),
        ),
        ("label", broken(&|r| r.label = format!("for {secret}"))),
        (
            "store id",
            broken(&|r| {
                r.expected_revision = Some(v1::Revision {
                    store_id: s(),
                    number: 1,
                });
            }),
        ),
    ];
    for (what, request) in requests {
        all.push((what, refused(client.issue(request).await)));
    }
    for text in [
        format!("$2b${secret}"),
        format!("{secret} "),
        secret[..12].to_owned(),
        secret.repeat(7),
    ] {
        let brought = calls::imported("api-token", "", &text);
        all.push((
            "import",
            refused(calls::import(client, "acme", brought).await),
        ));
    }
    let hash = v1::ImportedCredential {
        secret: Some(v1::imported_credential::Secret::Sha256(secret.into())),
        ..calls::imported("api-token", "", "")
    };
    all.push(("hash", refused(calls::import(client, "acme", hash).await)));
    let weak = v1::ImportedCredential {
        entropy_bits: 64,
        public_name: format!("{secret}:"),
        ..calls::imported("key-pair", "", &secret.replace('_', "-"))
    };
    all.push((
        "entropy",
        refused(calls::import(client, "acme", weak).await),
    ));
}

async fn managing(client: &Client, secret: &str, all: &mut Statuses) {
    let mut credentials = client.credentials.clone();
    all.push(("Get", refused(client.get(secret).await)));
    all.push(("Lock", refused(client.lock(secret).await)));
    all.push(("Unlock", refused(client.unlock(secret).await)));
    all.push(("Revoke", refused(client.revoke(secret).await)));
    all.push((
        "Rotate",
        refused(rotate(client, rotate_request(secret, 0)).await),
    ));
    let reveal = v1::RevealRequest {
        credential_id: secret.to_owned(),
        ..Default::default()
    };
    all.push(("Reveal", refused(credentials.reveal(reveal).await)));
    let update = v1::UpdateRequest {
        credential_id: secret.to_owned(),
        update_mask: Some(prost_types::FieldMask {
            paths: vec![secret.to_owned()],
        }),
        ..Default::default()
    };
    all.push(("Update", refused(credentials.update(update).await)));
    let list = v1::ListRequest {
        page_token: secret.to_owned(),
        ..Default::default()
    };
    all.push(("page_token", refused(client.list(list).await)));
    let filter = v1::CredentialFilter {
        tenant: secret.to_owned(),
        profile: secret.to_owned(),
        role: secret.to_owned(),
        ..Default::default()
    };
    let list = v1::ListRequest {
        filter: Some(filter),
        ..Default::default()
    };
    all.push(("filter", refused(client.list(list).await)));
    let watch = v1::WatchRequest {
        resume_token: secret.to_owned(),
        ..Default::default()
    };
    all.push(("resume_token", refused(client.watch(watch).await)));
    let watch = v1::WatchRequest {
        tenants: vec![secret.to_owned()],
        ..Default::default()
    };
    all.push(("tenants", refused(client.watch(watch).await)));
}

async fn reporting(client: &Client, secret: &str, all: &mut Statuses) {
    for (what, secrets, reason) in [
        (
            "too long",
            vec![secret.to_owned(), secret.repeat(20)],
            String::new(),
        ),
        ("too many", vec![secret.to_owned(); 1001], String::new()),
        ("reason", vec![secret.to_owned()], secret.repeat(4)),
        ("too large", vec![secret.repeat(20_000)], String::new()),
    ] {
        let request = v1::ReportLeakRequest {
            secrets,
            reason,
            dry_run: false,
            fence: false,
        };
        all.push((what, refused(report(client, request).await)));
    }
}

async fn verifying(client: &Client, held: &calls::Held, all: &mut Statuses) {
    let secret = held.secret();
    let question = held.question();
    let wrong = [
        (
            "no audience",
            v1::VerifyRequest {
                any_tenant: false,
                ..question.clone()
            },
        ),
        (
            "two audiences",
            v1::VerifyRequest {
                tenant: secret.clone(),
                ..question.clone()
            },
        ),
        (
            "permission",
            v1::VerifyRequest {
                permissions: vec![secret.clone()],
                ..question.clone()
            },
        ),
        (
            "profiles",
            v1::VerifyRequest {
                profiles: vec![secret; 17],
                ..question.clone()
            },
        ),
    ];
    for (what, question) in wrong {
        all.push((
            what,
            refused(client.verification.clone().verify(question.clone()).await),
        ));
        let request = v1::VerifyStreamRequest {
            correlation: 1,
            request: Some(question),
        };
        let mut verification = client.verification.clone();
        let stream = verification
            .verify_stream(tokio_stream::once(request))
            .await;
        let answer = stream.unwrap().into_inner().message().await.unwrap();
        let Some(v1::verify_stream_response::Outcome::Error(status)) = answer.unwrap().outcome
        else {
            panic!("it was answered");
        };
        let details = status.encode_to_vec().into();
        let status = Status::with_details(status.code.into(), status.message, details);
        all.push((what, status));
    }
}

async fn in_the_directory(client: &Client, secret: &str, all: &mut Statuses) {
    let mut directory = client.directory.clone();
    let owner = v1::PutOwnerRequest {
        tenant: "acme".to_owned(),
        name: "jo".to_owned(),
        principals: vec![secret.to_owned()],
        roles: vec![secret.to_owned()],
        groups: vec![format!(" {secret}")],
        ..Default::default()
    };
    all.push(("owner put", refused(directory.put_owner(owner).await)));
    let get = v1::GetOwnerRequest {
        tenant: secret.to_owned(),
        name: secret.to_owned(),
    };
    all.push(("owner asked for", refused(directory.get_owner(get).await)));
    let choose = v1::SetDefaultSourceRequest {
        tenant: "acme".to_owned(),
        name: "jo".to_owned(),
        source: secret.to_owned(),
        ..Default::default()
    };
    all.push((
        "source",
        refused(directory.set_default_source(choose).await),
    ));
}
