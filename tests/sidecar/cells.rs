//! A sidecar that follows several authorities, each with tenants of its own.

use credd::domain::names::{CellName, Tenant};
use credd::proto::v1;
use credd::proto::v1::Verdict;
use credd::proto::v1::directory_service_client::DirectoryServiceClient;
use credd::proto::v1::verification_service_client::VerificationServiceClient;
use credd::server::config::CellSettings;
use tonic::{Code, Status};
use tonic_health::pb::health_check_response::ServingStatus;

use crate::calls::{Held, fields, import, imported, issue_request};
use crate::checks::{check, of_tenant, put_profile_of};
use crate::real::{Authority, Sidecar as Process};
use crate::sidecar::Sidecar;
use crate::support::{soon, until, verify_token_request};
use crate::world::{World, revoke_everywhere};

/// A question about a token of one tenant.
fn of(tenant: &str, token: &str) -> v1::VerifyRequest {
    v1::VerifyRequest {
        tenant: tenant.to_owned(),
        any_tenant: false,
        ..verify_token_request(token)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_tenant_is_asked_about_in_its_own_cell() {
    let lease = ["--fence-lease-ms", "1000"];
    let mut near = Authority::start(&lease).await;
    let mut far = Authority::start(&lease).await;
    let (near_admin, far_admin) = (near.admin().await, far.admin().await);
    let (near_id, near_token) = near_admin.issue_token("acme").await;
    let (far_id, far_token) = far_admin.issue_token("globex").await;
    let (_, left_token) = near_admin.issue_token("globex").await;

    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("credd.toml");
    let text = format!(
        "[authority]\ntoken_file = {:?}\n[[cells]]\nname = \"far\"\ntenants = [\"globex\"]\naddress = {:?}\ntoken_file = {:?}\n",
        near.token_file(),
        far.url(),
        far.token_file(),
    );
    std::fs::write(&file, text).unwrap();
    let more = ["--config", file.to_str().unwrap()];
    let sidecar = Process::start(&near.url(), &more).await;
    sidecar.live().await;
    until("the other cell to be followed", || {
        sidecar.has("sidecar_state{state=\"live\",cell=\"far\"} 1")
    })
    .await;

    let ask = async |request: v1::VerifyRequest| {
        let answer = sidecar.client.clone().verify(request).await;
        answer.map(|answer| answer.into_inner().verdict())
    };
    for (question, verdict) in [
        (of("acme", &near_token), Verdict::Active),
        (of("globex", &far_token), Verdict::Active),
        (of("acme", &far_token), Verdict::Invalid),
        (of("globex", &near_token), Verdict::Invalid),
        // What is left of a tenant in another cell than its own.
        (of("globex", &left_token), Verdict::Invalid),
        (verify_token_request(&near_token), Verdict::Active),
        (verify_token_request(&far_token), Verdict::Active),
        (verify_token_request(&left_token), Verdict::Invalid),
        (verify_token_request("nothing"), Verdict::Invalid),
    ] {
        assert_eq!(ask(question).await.unwrap(), verdict);
    }
    let far_hits = || sidecar.count("sidecar_hits_total{cell=\"far\"}");
    for question in [of("globex", &far_token), verify_token_request(&far_token)] {
        let hits = far_hits().await;
        until("a yes from the cache", async || {
            assert_eq!(ask(question.clone()).await.unwrap(), Verdict::Active);
            far_hits().await > hits
        })
        .await;
    }

    // A fence of either cell waits for it, and it is as good as in one.
    for (admin, id, token, tenant) in [
        (&near_admin, &near_id, &near_token, "acme"),
        (&far_admin, &far_id, &far_token, "globex"),
    ] {
        let fence = revoke_everywhere(admin, id).await;
        assert_eq!((fence.acknowledged, fence.expired), (1, 0));
        let verdict = Verdict::Revoked;
        assert_eq!(ask(of(tenant, token)).await.unwrap(), verdict);
        assert_eq!(ask(verify_token_request(token)).await.unwrap(), verdict);
    }

    // One that is gone takes only its own tenants along, and what might be theirs.
    let (_, near_token) = near_admin.issue_token("acme").await;
    let (_, far_token) = far_admin.issue_token("globex").await;
    far.kill();
    let is_unavailable = async |question: v1::VerifyRequest| {
        ask(question)
            .await
            .is_err_and(|status| status.code() == Code::Unavailable)
    };
    until("the lease to run out", || {
        is_unavailable(of("globex", &far_token))
    })
    .await;
    for question in [
        verify_token_request(&far_token),
        verify_token_request("nothing"),
    ] {
        // A no that is kept is as good as the lease.
        until("nobody to answer", async || {
            match ask(question.clone()).await {
                Ok(verdict) => {
                    assert_ne!(verdict, Verdict::Active);
                    false
                }
                Err(status) => status.code() == Code::Unavailable,
            }
        })
        .await;
    }
    for question in [of("acme", &near_token), verify_token_request(&near_token)] {
        assert_eq!(ask(question).await.unwrap(), Verdict::Active);
    }
    assert_eq!(ask(of("acme", "nothing")).await.unwrap(), Verdict::Invalid);
    far.start_again(&lease);
    until("the cell to be back", async || {
        ask(verify_token_request(&far_token)).await.ok() == Some(Verdict::Active)
    })
    .await;
    sidecar.stop(&[&near_token, &far_token]);
    near.stop();
    far.stop();
}

/// Two authorities, of which the second has the tenant `globex`, and a sidecar that
/// follows both.
struct Cells {
    near: World,
    far: World,
    sidecar: Sidecar,
}

impl Cells {
    async fn start() -> Self {
        let (near, far) = (World::start().await, World::start().await);
        let cell = CellSettings {
            name: CellName::parse("far").unwrap(),
            tenants: vec![Tenant::parse("globex").unwrap()],
            client: far.config(),
        };
        let sidecar = Sidecar::of_cells(near.config(), vec![cell]);
        for service in ["", "cell:far"] {
            until("the sidecar to be ready", || async {
                sidecar.health(service).await == Some(ServingStatus::Serving)
            })
            .await;
        }
        Self { near, far, sidecar }
    }

    async fn ask(&self, question: v1::VerifyRequest) -> Result<v1::VerifyResponse, Status> {
        let answer = self.sidecar.client().verify(question).await?;
        Ok(answer.into_inner())
    }

    /// The verdict on a token of any tenant, which nobody is to keep.
    async fn verdict(&self, token: &str) -> Verdict {
        let answer = self.ask(verify_token_request(token)).await.unwrap();
        assert_eq!(answer.valid_for, Some(prost_types::Duration::default()));
        answer.verdict()
    }

    async fn stop(self) {
        self.sidecar.stop().await;
        self.near.server.stop().await;
        self.far.server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_cell_says_of_a_tenant_that_has_moved_counts_for_nothing() {
    let cells = Cells::start().await;
    let secret = "a-secret-from-elsewhere-0001";
    let brought = || imported("api-token", "", secret);
    let (near, far) = (&cells.near.server.admin, &cells.far.server.admin);
    import(near, "globex", brought()).await.unwrap();
    let moved = import(far, "globex", brought()).await.unwrap();
    until("a yes", async || {
        cells.verdict(secret).await == Verdict::Active
    })
    .await;

    revoke_everywhere(far, &moved.id).await;
    assert_eq!(cells.verdict(secret).await, Verdict::Revoked);
    assert_eq!(near.verdict(secret).await, Verdict::Active, "what was left");
    let answer = cells.ask(of("globex", secret)).await.unwrap();
    assert_eq!(answer.verdict(), Verdict::Revoked);

    // Where that is all that any cell knows, nobody knows it.
    let (_, left) = near.issue_token("globex").await;
    assert_eq!(near.verdict(&left).await, Verdict::Active);
    assert_eq!(cells.verdict(&left).await, Verdict::Invalid);

    // And what another tenant has goes on: each cell's word on its own.
    let other = import(
        near,
        "acme",
        imported("api-token", "", "another-secret-0002"),
    );
    let other = other.await.unwrap();
    import(
        far,
        "globex",
        imported("api-token", "", "another-secret-0002"),
    )
    .await
    .unwrap();
    revoke_everywhere(near, &other.id).await;
    assert_eq!(cells.verdict("another-secret-0002").await, Verdict::Active);
    cells.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_say_which_cell_it_is_for_is_refused() {
    let cells = Cells::start().await;
    let (_, token) = cells.far.server.admin.issue_token("globex").await;
    let nowhere = cells.ask(of("", &token)).await.unwrap_err();
    assert_eq!(nowhere.code(), Code::InvalidArgument);
    assert_eq!(fields(&nowhere), ["tenant"]);

    let mut client = VerificationServiceClient::new(cells.sidecar.channel());
    for tenants in [&[][..], &["acme", "globex"]] {
        let request = v1::WatchRequest {
            tenants: tenants.iter().map(ToString::to_string).collect(),
            ..Default::default()
        };
        let refused = client.watch(tokio_stream::once(request)).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{tenants:?}");
        assert_eq!(fields(&refused), ["tenants"]);
    }
    let mut directory = DirectoryServiceClient::new(cells.sidecar.channel());
    let refused = directory.list_profiles(v1::ListProfilesRequest::default());
    assert_eq!(fields(&refused.await.unwrap_err()), ["tenant"]);

    put_profile_of(&cells.far, "globex", "x-far").await;
    for (tenant, has_it) in [("globex", true), ("acme", false)] {
        let request = v1::ListProfilesRequest {
            tenant: tenant.to_owned(),
            ..Default::default()
        };
        let listed = directory.list_profiles(request).await.unwrap().into_inner();
        let mut names = listed.profiles.iter().map(|profile| &*profile.name);
        assert_eq!(names.any(|name| name == "partner-key"), has_it, "{tenant}");
    }

    // One that says so is told of the changes of that cell.
    let request = v1::WatchRequest {
        tenants: vec!["globex".to_owned()],
        ..Default::default()
    };
    let mut stream = client
        .watch(tokio_stream::once(request))
        .await
        .unwrap()
        .into_inner();
    let (id, _) = cells.far.server.admin.issue_token("globex").await;
    loop {
        let message = soon("a message", stream.message()).await.unwrap().unwrap();
        if let Some(v1::watch_response::Message::Commit(commit)) = message.message {
            let events = commit.events.iter().filter_map(|it| it.subject.as_ref());
            let mut of_it = events.filter(|it| {
                matches!(it, v1::event::Subject::Credential(event) if event.credential_id == id)
            });
            if of_it.next().is_some() {
                break;
            }
        }
    }
    cells.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_is_asked_for_of_the_store_that_has_it() {
    let cells = Cells::start().await;
    let (near, far) = (&cells.near.server.admin, &cells.far.server.admin);
    let (_, near_token) = near.issue_token("acme").await;
    let (_, far_token) = far.issue_token("globex").await;
    let as_of = |token: &str, revision: &v1::Revision| v1::VerifyRequest {
        min_revision: Some(revision.clone()),
        ..verify_token_request(token)
    };
    let revision = near.verify_token(&near_token).await.unwrap().revision;
    let revision = revision.unwrap();
    for token in [&near_token, &far_token] {
        let answer = cells.ask(as_of(token, &revision)).await.unwrap();
        assert_eq!(answer.verdict(), Verdict::Active);
    }
    let late = v1::Revision {
        number: revision.number + 1000,
        ..revision.clone()
    };
    let behind = cells.ask(as_of(&near_token, &late)).await.unwrap_err();
    assert_eq!(behind.code(), Code::Unavailable);
    let nowhere = v1::Revision {
        store_id: "00000000-0000-4000-8000-000000000000".to_owned(),
        ..revision
    };
    let refused = cells.ask(as_of(&near_token, &nowhere)).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    cells.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_stand_in_the_headers_of_the_cell_of_their_tenant() {
    let cells = Cells::start().await;
    put_profile_of(&cells.near, "acme", "x-near").await;
    put_profile_of(&cells.far, "globex", "x-far").await;
    let issue = async |world: &World, tenant| {
        let request = issue_request(tenant, "jo", "partner-key");
        let issued = world.server.admin.issue(request).await.unwrap();
        Held::of(issued.credential.as_ref(), issued.secret).secret()
    };
    let near = issue(&cells.near, "acme").await;
    let far = issue(&cells.far, "globex").await;
    let status = async |tenant: &str, header: &str, token: &str| {
        let request = of_tenant(tenant, &[(header, Some(token))], Some("none"));
        check(&cells.sidecar.channel(), request).await.unwrap()
    };
    for (tenant, header, token) in [
        ("acme", "x-near", &near),
        ("globex", "x-far", &far),
        ("*", "x-near", &near),
        ("*", "x-far", &far),
    ] {
        until("the header to be known", async || {
            status(tenant, header, token).await.is_none()
        })
        .await;
    }
    for (tenant, header, token) in [
        ("acme", "x-far", &far),
        ("globex", "x-near", &near),
        ("*", "x-far", &near),
    ] {
        assert_eq!(status(tenant, header, token).await, Some(401), "{tenant}");
    }
    // A change of either is seen.
    put_profile_of(&cells.far, "globex", "x-farther").await;
    let far = issue(&cells.far, "globex").await;
    until("the other header to be known", async || {
        status("*", "x-farther", &far).await.is_none()
    })
    .await;
    cells.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cell_that_was_never_there_keeps_no_other_out() {
    let near = World::start().await;
    let nobody = crate::support::metrics::free_address();
    let mut away = near.config();
    away.addresses = vec![format!("http://{nobody}").parse().unwrap()];
    let cell = CellSettings {
        name: CellName::parse("far").unwrap(),
        tenants: vec![Tenant::parse("globex").unwrap()],
        client: away,
    };
    let sidecar = Sidecar::of_cells(near.config(), vec![cell]);
    let (_, token) = near.server.admin.issue_token("acme").await;
    let bearer = format!("Bearer {token}");
    let status = async |tenant: &str, value: &str| {
        let request = of_tenant(tenant, &[("authorization", Some(value))], Some("none"));
        check(&sidecar.channel(), request).await.unwrap()
    };
    for tenant in ["acme", "*"] {
        until("the profiles to be known", async || {
            status(tenant, &bearer).await.is_none()
        })
        .await;
    }
    assert_eq!(status("globex", &bearer).await, Some(503));
    assert_eq!(status("*", "Bearer nothing").await, Some(503));
    assert_eq!(
        sidecar.health("cell:far").await,
        Some(ServingStatus::NotServing)
    );
    until("the sidecar to be ready", || async {
        sidecar.health("").await == Some(ServingStatus::Serving)
    })
    .await;
    sidecar.stop().await;
    near.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_questions_for_a_cell_that_hangs_end_no_connection() {
    use v1::verify_stream_response::Outcome;

    const MANY: u64 = 6000;

    let near = World::start().await;
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut hangs = near.config();
    let address = format!("http://{}", silent.local_addr().unwrap());
    hangs.addresses = vec![address.parse().unwrap()];
    hangs.patience = std::time::Duration::from_millis(300);
    let cell = CellSettings {
        name: CellName::parse("far").unwrap(),
        tenants: vec![Tenant::parse("globex").unwrap()],
        client: hangs,
    };
    let sidecar = Sidecar::of_cells(near.config(), vec![cell]);
    let (_, token) = near.server.admin.issue_token("acme").await;
    let mut client = sidecar.client();
    until("a yes", async || {
        let answer = client.clone().verify(of("acme", &token)).await;
        answer.is_ok_and(|answer| answer.get_ref().verdict() == Verdict::Active)
    })
    .await;
    let last = of("acme", &token);
    let questions = (0..=MANY).map(move |correlation| v1::VerifyStreamRequest {
        correlation,
        request: Some(match correlation {
            MANY => last.clone(),
            n => of("globex", &format!("nothing {n}")),
        }),
    });
    let stream = client.verify_stream(tokio_stream::iter(questions)).await;
    let mut stream = stream.unwrap().into_inner();
    let (mut refused, mut active) = (0, 0);
    while let Some(answer) = soon("an answer", stream.message()).await.unwrap() {
        match answer.outcome.unwrap() {
            Outcome::Error(error) => {
                assert_eq!(error.code, Code::Unavailable as i32, "{error:?}");
                refused += 1;
            }
            Outcome::Response(answer) => active += u64::from(answer.verdict() == Verdict::Active),
        }
    }
    assert_eq!((refused, active), (MANY, 1));
    sidecar.stop().await;
    near.server.stop().await;
}
