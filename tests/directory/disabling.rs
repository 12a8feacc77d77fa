//! One record denies ten thousand credentials, and its end brings back those that
//! were good.

use credd::proto::v1;
use credd::proto::v1::event::Subject;
use credd::proto::v1::issue_request::Expiry;
use credd::proto::v1::{DirectoryChangeType, Verdict};

use crate::calls::{
    self, Held, Watched, everything, imported, issue_request, number, reason, refused, verdict,
    verdicts,
};
use crate::support::{Client, Server, until};

const MANY: usize = 10_000;
const NATIVE: usize = 400;

/// What is asked of each credential, and what is answered while nothing is
/// disabled.
struct Crowd {
    questions: Vec<v1::VerifyRequest>,
    before: Vec<Verdict>,
}

impl Crowd {
    /// Ten thousand credentials of one owner, of which some are locked, revoked,
    /// leaked or expired.
    async fn of(admin: &Client, owner: &str) -> Self {
        let mut questions = import_many(admin, owner).await;
        let mut issued = Vec::new();
        for at in 0..NATIVE {
            let profile = ["api-token", "basic", "key-pair"][at % 3];
            let mut request = issue_request("acme", owner, profile);
            if at % 10 == 3 {
                request.expiry = Some(Expiry::Ttl(prost_types::Duration {
                    seconds: 1,
                    nanos: 0,
                }));
            }
            let client = admin.clone();
            issued.push(tokio::spawn(async move {
                let issued = client.issue(request).await.unwrap();
                Held::of(issued.credential.as_ref(), issued.secret)
            }));
        }
        let mut expiring = Vec::new();
        for (at, one) in issued.into_iter().enumerate() {
            let held = one.await.unwrap();
            questions.push(held.question());
            match at % 10 {
                0 => drop(admin.lock(&held.id).await.unwrap()),
                1 => drop(admin.revoke(&held.id).await.unwrap()),
                2 => drop(calls::reported(admin, &[held.secret()]).await),
                3 => expiring.push(held),
                _ => (),
            }
        }
        for held in &expiring {
            until("those with an expiry to expire", || async {
                verdict(admin, held).await == Verdict::Expired
            })
            .await;
        }
        assert_eq!(questions.len(), MANY);
        let before = verdicts(admin, questions.clone()).await;
        let count = |verdict| before.iter().filter(|one| **one == verdict).count();
        assert_eq!(count(Verdict::Locked), NATIVE / 10 * 2);
        assert_eq!(count(Verdict::Revoked), NATIVE / 10);
        assert_eq!(count(Verdict::Expired), NATIVE / 10);
        assert_eq!(count(Verdict::Active), MANY - NATIVE / 10 * 4);
        Self { questions, before }
    }

    async fn verdicts(&self, client: &Client) -> Vec<Verdict> {
        verdicts(client, self.questions.clone()).await
    }

    /// That each is told what comes first, and none that it is good.
    async fn assert_denied(&self, client: &Client, by: Verdict) {
        let now = self.verdicts(client).await;
        for (before, now) in self.before.iter().zip(now) {
            let expected = match before {
                Verdict::Active | Verdict::Expired => by,
                denied => *denied,
            };
            assert_eq!(now, expected);
        }
    }
}

async fn import_many(admin: &Client, owner: &str) -> Vec<v1::VerifyRequest> {
    let mut questions = Vec::new();
    for batch in 0..(MANY - NATIVE) / 100 {
        let secrets: Vec<_> = (0..100)
            .map(|at| format!("secret-of-{owner}-from-elsewhere-{batch}-{at}"))
            .collect();
        let credentials = secrets.iter().map(|secret| v1::ImportedCredential {
            owner: owner.to_owned(),
            ..imported("api-token", "", secret)
        });
        let request = v1::ImportCredentialsRequest {
            tenant: "acme".to_owned(),
            credentials: credentials.collect(),
            ..Default::default()
        };
        let mut client = admin.credentials.clone();
        client.import_credentials(request).await.unwrap();
        let asked = secrets
            .iter()
            .map(|secret| crate::support::verify_token_request(secret));
        questions.extend(asked);
    }
    questions
}

/// The records of all credentials, without what changes by itself.
async fn records(client: &Client) -> Vec<v1::Credential> {
    let all = everything(client, "acme").await;
    let mut all: Vec<_> = all
        .into_iter()
        .map(|one| v1::Credential {
            last_used_at: None,
            last_used_by: String::new(),
            secrets: Vec::new(),
            // The event of an expiry may come at any time.
            last_change: None,
            revision: (one.state() != v1::CredentialState::Expired)
                .then_some(one.revision)
                .flatten(),
            ..one
        })
        .collect();
    all.sort_by(|a, b| a.id.cmp(&b.id));
    all
}

/// The next event about something else than a credential, which is alone in its
/// commit.
async fn directory_event(watched: &mut Watched) -> (u64, Subject) {
    loop {
        let (revision, mut events) = watched.commit().await;
        let of_expiries = events.iter().all(|event| match event {
            Subject::Credential(event) => event.r#type() == v1::ChangeType::Expired,
            _ => false,
        });
        if !of_expiries {
            assert_eq!(events.len(), 1);
            return (revision, events.remove(0));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn disabling_an_owner_of_ten_thousand_is_one_commit() {
    let server = Server::start().await;
    let admin = &server.admin;
    let crowd = Crowd::of(admin, "jo").await;
    let other = calls::issue(admin, "acme", "ann", "api-token").await;
    let before = records(admin).await;
    let mut watched = Watched::start(admin).await;
    let request = v1::DisableOwnerRequest {
        tenant: "acme".to_owned(),
        name: "jo".to_owned(),
        reason: "left".to_owned(),
        ..Default::default()
    };
    let dry = v1::DisableOwnerRequest {
        dry_run: true,
        ..request.clone()
    };
    let mut directory = admin.directory.clone();
    let told = directory.disable_owner(dry).await.unwrap().into_inner();
    assert!(told.owner.unwrap().disabled);
    assert!(crowd.verdicts(admin).await == crowd.before);

    let answer = directory
        .disable_owner(request.clone())
        .await
        .unwrap()
        .into_inner();
    crowd.assert_denied(admin, Verdict::OwnerDisabled).await;
    assert_eq!(verdict(admin, &other).await, Verdict::Active);
    let (revision, event) = directory_event(&mut watched).await;
    assert_eq!(revision, number(answer.revision.clone()));
    let Subject::Owner(event) = event else {
        panic!("not about the owner");
    };
    assert_eq!(
        (event.tenant.as_str(), event.owner.as_str()),
        ("acme", "jo")
    );
    assert_eq!(event.r#type(), DirectoryChangeType::Disabled);
    assert!(event.disabled);
    assert!(records(admin).await == before);
    // Nothing is issued meanwhile, and repeating it changes nothing.
    let issued = admin.issue(issue_request("acme", "jo", "api-token")).await;
    assert_eq!(reason(&refused(issued)), "OWNER_DISABLED");
    let again = directory.disable_owner(request).await.unwrap().into_inner();
    assert_eq!(again.revision, answer.revision);

    let enable = v1::EnableOwnerRequest {
        tenant: "acme".to_owned(),
        name: "jo".to_owned(),
        ..Default::default()
    };
    let enabled = directory.enable_owner(enable).await.unwrap().into_inner();
    assert!(crowd.verdicts(admin).await == crowd.before);
    let (revision, event) = directory_event(&mut watched).await;
    assert_eq!(revision, number(enabled.revision));
    let Subject::Owner(event) = event else {
        panic!("not about the owner");
    };
    assert_eq!(event.r#type(), DirectoryChangeType::Enabled);
    assert!(!event.disabled);
    assert!(records(admin).await == before);
    drop(directory);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn disabling_a_tenant_of_ten_thousand_is_one_commit() {
    let server = Server::start().await;
    let admin = &server.admin;
    let crowd = Crowd::of(admin, "jo").await;
    let other = calls::issue(admin, "other", "jo", "api-token").await;
    let before = records(admin).await;
    let mut watched = Watched::start(admin).await;
    let request = v1::DisableTenantRequest {
        name: "acme".to_owned(),
        ..Default::default()
    };
    let mut directory = admin.directory.clone();
    let answer = directory
        .disable_tenant(request.clone())
        .await
        .unwrap()
        .into_inner();
    crowd.assert_denied(admin, Verdict::TenantDisabled).await;
    assert_eq!(verdict(admin, &other).await, Verdict::Active);
    let (revision, event) = directory_event(&mut watched).await;
    assert_eq!(revision, number(answer.revision.clone()));
    let Subject::Tenant(event) = event else {
        panic!("not about the tenant");
    };
    assert_eq!(event.r#type(), DirectoryChangeType::Disabled);
    assert!(event.disabled);
    assert!(records(admin).await == before);
    let issued = admin.issue(issue_request("acme", "ann", "api-token")).await;
    assert_eq!(reason(&refused(issued)), "TENANT_DISABLED");
    let again = directory
        .disable_tenant(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(again.revision, answer.revision);
    drop(directory);

    // Also for a server that has only just loaded it.
    drop(watched);
    let server = Server::start_in(server.stop().await).await;
    let admin = &server.admin;
    crowd.assert_denied(admin, Verdict::TenantDisabled).await;
    let enable = v1::EnableTenantRequest {
        name: "acme".to_owned(),
        ..Default::default()
    };
    admin.directory.clone().enable_tenant(enable).await.unwrap();
    assert!(crowd.verdicts(admin).await == crowd.before);
    assert!(records(admin).await == before);
    server.stop().await;
}
