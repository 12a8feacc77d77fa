//! Requests that several suites send, and what they read in answers.

#![allow(dead_code, reason = "each suite uses a part of it")]

use credd::proto::v1;
use credd::proto::v1::issued_secret::Secret;
use credd::proto::v1::presented::Credential as Presented;
use credd::proto::v1::watch_response::Message;
use tonic::Status;
use tonic_types::StatusExt as _;

use crate::support::{Client, soon};

/// The stable reason of a refusal.
pub(crate) fn reason(status: &Status) -> String {
    let details = status.get_error_details();
    details.error_info().unwrap().reason.clone()
}

/// The fields that a refusal names.
pub(crate) fn fields(status: &Status) -> Vec<String> {
    let details = status.get_error_details();
    let violations = &details.bad_request().unwrap().field_violations;
    violations.iter().map(|one| one.field.clone()).collect()
}

/// The refusal of a request. Answers with secrets have no `Debug`, which
/// `unwrap_err` wants.
pub(crate) fn refused<T>(answer: Result<T, Status>) -> Status {
    match answer {
        Ok(_) => panic!("it was not refused"),
        Err(status) => status,
    }
}

/// A random UUID of version 4.
pub(crate) fn request_id() -> String {
    let mut bytes: [u8; 16] = rand::random();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    uuid::Uuid::from_bytes(bytes).to_string()
}

/// A request for a credential, by a profile that needs a label at most.
pub(crate) fn issue_request(tenant: &str, owner: &str, profile: &str) -> v1::IssueRequest {
    v1::IssueRequest {
        tenant: tenant.to_owned(),
        owner: owner.to_owned(),
        profile: profile.to_owned(),
        label: "test".to_owned(),
        ..Default::default()
    }
}

/// An issued credential: its id, and its secret as it is presented.
#[derive(Clone)]
pub(crate) struct Held {
    pub(crate) id: String,
    pub(crate) presented: v1::Presented,
    pub(crate) headers: Vec<v1::HttpHeader>,
}

impl Held {
    pub(crate) fn of(
        credential: Option<&v1::Credential>,
        secret: Option<v1::IssuedSecret>,
    ) -> Self {
        let secret = secret.unwrap();
        let presented = match secret.secret.unwrap() {
            Secret::Token(token) => Presented::Token(token),
            Secret::UsernamePassword(pair) => Presented::UsernamePassword(pair),
            Secret::KeyPair(pair) => Presented::KeyPair(pair),
        };
        Self {
            id: credential.unwrap().id.clone(),
            presented: v1::Presented {
                credential: Some(presented),
            },
            headers: secret.headers,
        }
    }

    /// The secret alone, without the name that goes with it.
    pub(crate) fn secret(&self) -> String {
        match self.presented.credential.clone().unwrap() {
            Presented::Token(token) => token,
            Presented::UsernamePassword(pair) => pair.password,
            Presented::KeyPair(pair) => pair.secret_key,
            Presented::Header(_) => panic!("a header is no secret"),
        }
    }

    /// A question about it, whatever its tenant.
    pub(crate) fn question(&self) -> v1::VerifyRequest {
        v1::VerifyRequest {
            presented: Some(self.presented.clone()),
            any_tenant: true,
            ..Default::default()
        }
    }
}

/// Issues a credential.
pub(crate) async fn issue(client: &Client, tenant: &str, owner: &str, profile: &str) -> Held {
    let issued = client.issue(issue_request(tenant, owner, profile)).await;
    let issued = issued.unwrap();
    Held::of(issued.credential.as_ref(), issued.secret)
}

/// Issues a credential of credd's own tenant whose owner has these roles on all
/// tenants; returns its token.
pub(crate) async fn issue_caller(client: &Client, owner: &str, roles: &[&str]) -> String {
    for role in roles {
        client.bind(&format!("credd:{owner}"), role, "*").await;
    }
    let request = v1::IssueRequest {
        roles: roles.iter().map(ToString::to_string).collect(),
        ..issue_request("credd", owner, "api-token")
    };
    let issued = client.issue(request).await.unwrap();
    Held::of(issued.credential.as_ref(), issued.secret).secret()
}

pub(crate) async fn verify(client: &Client, question: v1::VerifyRequest) -> v1::VerifyResponse {
    let mut verification = client.verification.clone();
    verification.verify(question).await.unwrap().into_inner()
}

pub(crate) async fn verdict(client: &Client, held: &Held) -> v1::Verdict {
    verify(client, held.question()).await.verdict()
}

pub(crate) fn rotate_request(id: &str, overlap_seconds: i64) -> v1::RotateRequest {
    v1::RotateRequest {
        credential_id: id.to_owned(),
        overlap: (overlap_seconds > 0).then_some(prost_types::Duration {
            seconds: overlap_seconds,
            nanos: 0,
        }),
        ..Default::default()
    }
}

pub(crate) async fn rotate(
    client: &Client,
    request: v1::RotateRequest,
) -> Result<v1::RotateResponse, Status> {
    let mut credentials = client.credentials.clone();
    Ok(credentials.rotate(request).await?.into_inner())
}

/// Gives a credential a new secret, and returns it.
pub(crate) async fn rotated(client: &Client, id: &str, overlap_seconds: i64) -> Held {
    let rotated = rotate(client, rotate_request(id, overlap_seconds)).await;
    let rotated = rotated.unwrap();
    Held::of(rotated.credential.as_ref(), rotated.secret)
}

pub(crate) async fn report(
    client: &Client,
    request: v1::ReportLeakRequest,
) -> Result<v1::ReportLeakResponse, Status> {
    let mut credentials = client.credentials.clone();
    Ok(credentials.report_leak(request).await?.into_inner())
}

/// Reports texts; returns what became of each.
pub(crate) async fn reported(client: &Client, secrets: &[String]) -> Vec<v1::LeakOutcome> {
    let request = v1::ReportLeakRequest {
        secrets: secrets.to_vec(),
        ..Default::default()
    };
    let results = report(client, request).await.unwrap().results;
    assert_eq!(results.len(), secrets.len());
    results.iter().map(v1::LeakResult::outcome).collect()
}

/// Brings a credential from elsewhere, and returns its id.
pub(crate) async fn import(
    client: &Client,
    tenant: &str,
    credential: v1::ImportedCredential,
) -> Result<v1::Credential, Status> {
    let request = v1::ImportCredentialsRequest {
        tenant: tenant.to_owned(),
        credentials: vec![credential],
        ..Default::default()
    };
    let mut credentials = client.credentials.clone();
    let imported = credentials.import_credentials(request).await?.into_inner();
    Ok(imported.credentials.into_iter().next().unwrap())
}

/// A credential from elsewhere, with this secret.
pub(crate) fn imported(profile: &str, public_name: &str, secret: &str) -> v1::ImportedCredential {
    v1::ImportedCredential {
        owner: "jo".to_owned(),
        profile: profile.to_owned(),
        label: "from elsewhere".to_owned(),
        public_name: public_name.to_owned(),
        secret: Some(v1::imported_credential::Secret::Plain(secret.to_owned())),
        entropy_bits: 128,
        ..Default::default()
    }
}

/// Puts a role.
pub(crate) async fn put_role(client: &Client, tenant: &str, name: &str, permissions: &[&str]) {
    let request = v1::PutRoleRequest {
        tenant: tenant.to_owned(),
        name: name.to_owned(),
        permissions: permissions.iter().map(ToString::to_string).collect(),
        ..Default::default()
    };
    client.directory.clone().put_role(request).await.unwrap();
}

/// Puts an owner.
pub(crate) async fn put_owner(client: &Client, owner: v1::PutOwnerRequest) -> v1::PutOwnerResponse {
    let mut directory = client.directory.clone();
    directory.put_owner(owner).await.unwrap().into_inner()
}

/// An owner of `acme` who calls as `credd:jo-login`.
pub(crate) fn jo() -> v1::PutOwnerRequest {
    v1::PutOwnerRequest {
        tenant: "acme".to_owned(),
        name: "jo".to_owned(),
        principals: vec!["credd:jo-login".to_owned()],
        ..Default::default()
    }
}

/// A Watch of everything from now on.
pub(crate) struct Watched {
    stream: tonic::Streaming<v1::WatchResponse>,
}

impl Watched {
    pub(crate) async fn start(client: &Client) -> Self {
        Self::asking(client, v1::WatchRequest::default()).await
    }

    /// A Watch of what is asked for, from now on.
    pub(crate) async fn asking(client: &Client, request: v1::WatchRequest) -> Self {
        let stream = client.watch(request).await.unwrap();
        let mut watched = Self { stream };
        assert!(matches!(watched.message().await.1, Message::Bookmark(_)));
        watched
    }

    async fn message(&mut self) -> (u64, Message) {
        let message = soon("a message of the Watch", self.stream.message()).await;
        let message = message.unwrap().unwrap();
        (message.revision.unwrap().number, message.message.unwrap())
    }

    /// The next commit: its revision and its events.
    pub(crate) async fn commit(&mut self) -> (u64, Vec<v1::event::Subject>) {
        // Bookmarks come without end.
        soon("a commit", self.next_commit()).await
    }

    async fn next_commit(&mut self) -> (u64, Vec<v1::event::Subject>) {
        loop {
            if let (revision, Message::Commit(commit)) = self.message().await {
                let events = commit.events.into_iter();
                return (
                    revision,
                    events.map(|event| event.subject.unwrap()).collect(),
                );
            }
        }
    }

    /// The commits up to a revision.
    pub(crate) async fn until(&mut self, last: u64) -> Vec<(u64, Vec<v1::event::Subject>)> {
        let mut commits = Vec::new();
        loop {
            let commit = self.commit().await;
            assert!(commit.0 <= last, "the Watch has left out {last}");
            let is_last = commit.0 == last;
            commits.push(commit);
            if is_last {
                return commits;
            }
        }
    }

    /// The next commit, which is about credentials alone.
    pub(crate) async fn credentials(&mut self) -> (u64, Vec<v1::CredentialEvent>) {
        let (revision, events) = self.commit().await;
        let events = events.into_iter().map(|event| match event {
            v1::event::Subject::Credential(event) => event,
            _ => panic!("a commit about something else"),
        });
        (revision, events.collect())
    }
}

/// The revision of an answer.
pub(crate) fn number(revision: Option<v1::Revision>) -> u64 {
    revision.unwrap().number
}

/// Everything that List shows of a tenant.
pub(crate) async fn everything(client: &Client, tenant: &str) -> Vec<v1::Credential> {
    use v1::CredentialState::{Active, Expired, Locked, Revoked};

    let mut all = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = v1::ListRequest {
            filter: Some(v1::CredentialFilter {
                tenant: tenant.to_owned(),
                states: [Active, Locked, Expired, Revoked].map(Into::into).to_vec(),
                ..Default::default()
            }),
            page_size: 1000,
            page_token,
            include_unlisted: true,
            ..Default::default()
        };
        let page = client.list(request).await.unwrap();
        all.extend(page.credentials);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return all;
        }
    }
}

/// The verdicts on many, over one `VerifyStream`, in the order of the questions.
pub(crate) async fn verdicts(
    client: &Client,
    questions: Vec<v1::VerifyRequest>,
) -> Vec<v1::Verdict> {
    let count = questions.len();
    let requests = (0..)
        .zip(questions)
        .map(|(correlation, request)| v1::VerifyStreamRequest {
            correlation,
            request: Some(request),
        });
    let requests: Vec<_> = requests.collect();
    let mut verification = client.verification.clone();
    let stream = verification
        .verify_stream(tokio_stream::iter(requests))
        .await;
    let mut stream = stream.unwrap().into_inner();
    let mut verdicts = vec![v1::Verdict::Unspecified; count];
    while let Some(answer) = soon("an answer", stream.message()).await.unwrap() {
        let v1::verify_stream_response::Outcome::Response(response) = answer.outcome.unwrap()
        else {
            panic!("a question was refused");
        };
        verdicts[usize::try_from(answer.correlation).unwrap()] = response.verdict();
    }
    verdicts
}
