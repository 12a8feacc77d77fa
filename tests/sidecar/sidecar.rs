//! The sidecar, in this process, in front of a real authority.

use std::path::PathBuf;

use credd::client::Config;
use credd::proto::v1;
use credd::proto::v1::Verdict;
use credd::proto::v1::verification_service_client::VerificationServiceClient;
use credd::server::config::{CellSettings, Settings, Sidecar as Reached, SidecarSettings};
use credd::server::health::STARTED;
use credd::server::supervise::Failure;
use credd::sidecar::{self, Listeners};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::Code;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::support::at_socket;
use crate::support::{soon, until, verify_token_request};
use crate::world::{LEASE, World, revoke_everywhere, with_staleness};

/// A sidecar at a Unix socket.
pub(crate) struct Sidecar {
    pub(crate) socket: PathBuf,
    directory: tempfile::TempDir,
    stop: oneshot::Sender<()>,
    running: JoinHandle<Result<(), Failure>>,
}

impl Sidecar {
    pub(crate) fn start(client: Config) -> Self {
        Self::of_cells(client, vec![])
    }

    /// One that follows further cells.
    pub(crate) fn of_cells(client: Config, cells: Vec<CellSettings>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("sidecar.sock");
        let reached = Reached {
            socket: Some(socket.clone()),
            ..Reached::default()
        };
        let settings = Settings {
            sidecar: Some(SidecarSettings {
                sidecar: reached.clone(),
                client,
                cells,
            }),
            ..Settings::default()
        };
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(async move {
            let listeners = Listeners::bind(&reached).await?;
            let stopped = async {
                let _ = stopped.await;
            };
            sidecar::run(&settings, listeners, stopped).await
        });
        Self {
            socket,
            directory,
            stop,
            running,
        }
    }

    /// One that can answer.
    pub(crate) async fn ready(client: Config) -> Self {
        let sidecar = Self::start(client);
        until("the sidecar to be ready", || async {
            sidecar.health("").await == Some(ServingStatus::Serving)
        })
        .await;
        sidecar
    }

    pub(crate) fn channel(&self) -> Channel {
        at_socket(&self.socket)
    }

    pub(crate) fn client(&self) -> VerificationServiceClient<Channel> {
        VerificationServiceClient::new(self.channel())
    }

    pub(crate) async fn health(&self, service: &str) -> Option<ServingStatus> {
        let request = HealthCheckRequest {
            service: service.to_owned(),
        };
        let answer = HealthClient::new(self.channel()).check(request).await;
        Some(answer.ok()?.into_inner().status())
    }

    /// What follows it.
    pub(crate) fn follower(&self) -> Config {
        let address = format!("unix:{}", self.socket.display());
        Config::new([address.parse().unwrap()])
    }

    pub(crate) async fn stop(self) {
        self.stop.send(()).unwrap();
        soon("the sidecar's end", self.running)
            .await
            .unwrap()
            .unwrap();
        assert!(!self.socket.exists());
        drop(self.directory);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_answers_by_the_contract_of_the_authority() {
    let world = World::start().await;
    let sidecar = Sidecar::ready(world.config()).await;
    let (id, token) = world.server.admin.issue_token("acme").await;
    let mut client = sidecar.client();
    let request = verify_token_request(&token);
    let theirs = world.server.admin.verify_token(&token).await.unwrap();
    for _ in 0..3 {
        let ours = client.verify(request.clone()).await.unwrap();
        assert!(!ours.metadata().contains_key("credd-served"));
        let ours = ours.into_inner();
        assert_eq!(ours.verdict(), Verdict::Active);
        assert_eq!(ours.identity, theirs.identity);
        let revision = |response: &v1::VerifyResponse| response.revision.clone().unwrap();
        assert!(revision(&ours).number >= revision(&theirs).number);
        assert_eq!(revision(&ours).store_id, revision(&theirs).store_id);
        assert!(ours.valid_for.unwrap().seconds <= 60);
    }
    for (bad, field) in [
        (v1::VerifyRequest::default(), "presented"),
        (
            v1::VerifyRequest {
                client_address: "ä".to_owned(),
                ..request.clone()
            },
            "client_address",
        ),
        (
            v1::VerifyRequest {
                tenant: "acme".to_owned(),
                ..request.clone()
            },
            "any_tenant",
        ),
    ] {
        let status = client.verify(bad).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{field}");
        assert!(status.message().contains(field), "{status:?}");
    }
    let elsewhere = v1::VerifyRequest {
        min_revision: Some(v1::Revision {
            store_id: "00000000-0000-4000-8000-000000000000".to_owned(),
            number: 1,
        }),
        ..request.clone()
    };
    let status = client.verify(elsewhere).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);

    let fence = revoke_everywhere(&world.server.admin, &id).await;
    assert_eq!(fence.acknowledged, 1);
    let verdict = client.verify(request).await.unwrap().into_inner();
    assert_eq!(verdict.verdict(), Verdict::Revoked);
    sidecar.stop().await;
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_questions_is_answered_each_one_once_and_one_bad_one_alone() {
    use v1::verify_stream_response::Outcome;

    let world = World::start().await;
    let sidecar = Sidecar::ready(world.config()).await;
    let (_, token) = world.server.admin.issue_token("acme").await;
    let questions = (0..500_u64).map(move |correlation| v1::VerifyStreamRequest {
        correlation,
        request: match correlation % 5 {
            0 => None,
            1 => Some(verify_token_request(&format!("nothing {correlation}"))),
            _ => Some(verify_token_request(&token)),
        },
    });
    let questions = tokio_stream::iter(questions);
    let answers = sidecar.client().verify_stream(questions).await.unwrap();
    let mut answers = answers.into_inner();
    let mut seen = vec![0; 500];
    while let Some(answer) = soon("an answer", answers.message()).await.unwrap() {
        seen[usize::try_from(answer.correlation).unwrap()] += 1;
        match (answer.correlation % 5, answer.outcome.unwrap()) {
            (0, Outcome::Error(error)) => assert_eq!(error.code, Code::InvalidArgument as i32),
            (1, Outcome::Response(it)) => assert_eq!(it.verdict(), Verdict::Invalid),
            (_, Outcome::Response(it)) => assert_eq!(it.verdict(), Verdict::Active),
            (_, Outcome::Error(error)) => panic!("{error:?}"),
        }
    }
    assert_eq!(seen, vec![1; 500]);
    sidecar.stop().await;
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_started_when_it_is_up_and_ready_while_its_policy_lets_it_answer() {
    let world = World::start().await;
    let nobody = crate::support::metrics::free_address();
    let mut alone = world.config();
    alone.addresses = vec![format!("http://{nobody}").parse().unwrap()];
    let alone = Sidecar::start(alone);
    until("the sidecar to be started", || async {
        alone.health(STARTED).await == Some(ServingStatus::Serving)
    })
    .await;
    assert_eq!(alone.health("").await, Some(ServingStatus::NotServing));
    alone.stop().await;

    let strict = Sidecar::ready(world.config()).await;
    let lax = Sidecar::ready(with_staleness(world.config(), LEASE * 600)).await;
    let (_, token) = world.server.admin.issue_token("acme").await;
    for sidecar in [&strict, &lax] {
        let answer = sidecar.client().verify(verify_token_request(&token)).await;
        assert_eq!(answer.unwrap().into_inner().verdict(), Verdict::Active);
    }
    let address = world.server.address;
    let directory = world.server.stop().await;
    until("the strict one to be ready no longer", || async {
        strict.health("").await == Some(ServingStatus::NotServing)
    })
    .await;
    let refused = strict.client().verify(verify_token_request(&token)).await;
    assert_eq!(refused.unwrap_err().code(), Code::Unavailable);
    until("what may be out of date", || async {
        let answer = lax.client().verify(verify_token_request(&token)).await;
        let answer = answer.unwrap();
        let mark = answer.metadata().get("credd-served").cloned();
        assert_eq!(answer.get_ref().verdict(), Verdict::Active);
        mark.is_some_and(|mark| mark == "stale")
    })
    .await;
    assert_eq!(lax.health("").await, Some(ServingStatus::Serving));

    let world = World::start_again(directory, address).await;
    until("the strict one to be ready again", || async {
        strict.health("").await == Some(ServingStatus::Serving)
    })
    .await;
    for sidecar in [strict, lax] {
        sidecar.stop().await;
    }
    world.server.stop().await;
}
