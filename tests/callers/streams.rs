//! Streams of callers who lose what let them in: they end before another answer or
//! event is given.

use credd::proto::v1;
use credd::proto::v1::watch_response::Message as Wire;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::HealthCheckResponse;
use tonic_health::pb::health_client::HealthClient;

use crate::caller::Caller;
use crate::calls::{Held, number, put_role, rotate, rotate_request};
use crate::pki::{Authority, Wanted, uri};
use crate::signer::{Signer, now, principal};
use crate::support::{soon, until};
use crate::world::World;

/// The long calls of one caller.
struct Streams {
    caller: Caller,
    held: Held,
    /// One that is asked, and one that waits.
    asked: Asking,
    idle: Asking,
    watch: Streaming<v1::WatchResponse>,
    watch_requests: mpsc::Sender<v1::WatchRequest>,
    health: Streaming<HealthCheckResponse>,
}

struct Asking {
    questions: mpsc::Sender<v1::VerifyStreamRequest>,
    answers: Streaming<v1::VerifyStreamResponse>,
}

impl Asking {
    async fn start(caller: &Caller) -> Self {
        let (questions, asked) = mpsc::channel(4);
        let stream = ReceiverStream::new(asked);
        let answers = caller.verification().verify_stream(stream).await;
        Self {
            questions,
            answers: answers.unwrap().into_inner(),
        }
    }

    async fn ask(&mut self, held: &Held) -> Result<v1::Verdict, Status> {
        let question = v1::VerifyStreamRequest {
            correlation: 1,
            request: Some(held.question()),
        };
        // If it has ended, what it ended with comes next.
        let _ = self.questions.send(question).await;
        let answer = soon("an answer", self.answers.message()).await?.unwrap();
        let Some(v1::verify_stream_response::Outcome::Response(response)) = answer.outcome else {
            panic!("a question was refused");
        };
        Ok(response.verdict())
    }
}

impl Streams {
    /// The streams of a caller who may ask about acme and watch it.
    async fn start(world: &World, caller: Caller) -> Self {
        let (watch_requests, requests) = mpsc::channel(1);
        let request = v1::WatchRequest::default();
        watch_requests.send(request).await.unwrap();
        let requests = ReceiverStream::new(requests);
        let watch = caller.verification().watch(requests).await.unwrap();
        let mut health = HealthClient::new(caller.channel.clone());
        let health = health.watch(HealthCheckRequest::default()).await.unwrap();
        let mut streams = Self {
            held: world.issue("acme", "jo").await,
            asked: Asking::start(&caller).await,
            idle: Asking::start(&caller).await,
            watch: watch.into_inner(),
            watch_requests,
            health: health.into_inner(),
            caller,
        };
        streams.go_on().await;
        let first = soon("health", streams.health.message()).await.unwrap();
        assert_eq!(first.unwrap().status, 1);
        streams
    }

    /// They are answered.
    async fn go_on(&mut self) {
        for asking in [&mut self.asked, &mut self.idle] {
            let verdict = asking.ask(&self.held).await.unwrap();
            assert_eq!(verdict, v1::Verdict::Active, "{}", self.caller.name);
        }
        let message = soon("a message", self.watch.message()).await.unwrap();
        assert!(message.is_some(), "{}", self.caller.name);
    }

    /// They have ended, and nothing that was committed after this revision was told.
    async fn end(self, world: &World, lost_at: u64) {
        let Self {
            caller,
            held,
            mut asked,
            mut idle,
            mut watch,
            watch_requests,
            mut health,
        } = self;
        for _ in 0..3 {
            world.issue("acme", "jo").await;
        }
        let status = asked.ask(&held).await.expect_err(caller.name);
        assert_eq!(status.code(), Code::Unauthenticated, "{}", caller.name);
        let ended = soon("the end of a stream", idle.answers.message()).await;
        let status = ended.expect_err(caller.name);
        assert_eq!(status.code(), Code::Unauthenticated, "{}", caller.name);
        let status = loop {
            let message = match soon("the end of the Watch", watch.message()).await {
                Ok(message) => message.expect(caller.name),
                Err(status) => break status,
            };
            let revision = number(message.revision);
            assert!(revision <= lost_at, "{} got {revision}", caller.name);
            assert!(matches!(
                message.message,
                Some(Wire::Commit(_) | Wire::Bookmark(_))
            ));
        };
        assert_eq!(status.code(), Code::Unauthenticated, "{}", caller.name);
        drop(watch_requests);
        // Health is everybody's.
        let pending = tokio::time::timeout(std::time::Duration::ZERO, health.message()).await;
        assert!(pending.is_err(), "{}: {pending:?}", caller.name);
    }
}

/// The revision of the last commit.
async fn revision(world: &World) -> u64 {
    let request = v1::ListTenantsRequest::default();
    let mut directory = world.admin.directory.clone();
    let listed = directory.list_tenants(request).await.unwrap();
    number(listed.into_inner().revision)
}

/// Whether a caller is turned away.
async fn is_refused(caller: &Caller, held: &Held) -> bool {
    let answer = caller.verification().verify(held.question()).await;
    answer.is_err()
}

/// How somebody who has what is needed loses it.
#[derive(Clone, Copy, Debug)]
enum Loss {
    Revoked,
    Locked,
    RotatedAway,
    Unbound,
    RoleHasLess,
    RoleNarrowed,
    ReachNarrowed,
    OwnerDisabled,
    ReplacedByAnotherRole,
}

const LOSSES: [Loss; 9] = [
    Loss::Revoked,
    Loss::Locked,
    Loss::RotatedAway,
    Loss::Unbound,
    Loss::RoleHasLess,
    Loss::RoleNarrowed,
    Loss::ReachNarrowed,
    Loss::OwnerDisabled,
    Loss::ReplacedByAnotherRole,
];

impl Loss {
    const fn name(self) -> &'static str {
        match self {
            Self::Revoked => "revoked",
            Self::Locked => "locked",
            Self::RotatedAway => "rotated away",
            Self::Unbound => "unbound",
            Self::RoleHasLess => "whose role has less",
            Self::RoleNarrowed => "whose credential has another role",
            Self::ReachNarrowed => "whose reach is narrower",
            Self::OwnerDisabled => "disabled",
            Self::ReplacedByAnotherRole => "bound by another role",
        }
    }

    async fn happen(self, world: &World, owner: &str, id: &str) {
        let bound = format!("credd:{owner}");
        let role = format!("role-of-{owner}");
        match self {
            Self::Revoked => {
                world.admin.revoke(id).await.unwrap();
            }
            Self::Locked => {
                world.admin.lock(id).await.unwrap();
            }
            Self::RotatedAway => {
                rotate(&world.admin, rotate_request(id, 0)).await.unwrap();
            }
            Self::Unbound => world.unbind(&bound, &role, "*").await,
            Self::RoleHasLess => {
                put_role(&world.admin, "credd", &role, &["credd.audit.read"]).await;
            }
            Self::RoleNarrowed => {
                world.admin.bind(&bound, "auditor", "*").await;
                let request = v1::UpdateRequest {
                    credential_id: id.to_owned(),
                    update_mask: Some(prost_types::FieldMask {
                        paths: vec!["roles".to_owned()],
                    }),
                    roles: vec!["auditor".to_owned()],
                    ..Default::default()
                };
                world
                    .admin
                    .credentials
                    .clone()
                    .update(request)
                    .await
                    .unwrap();
            }
            Self::ReachNarrowed => {
                world.admin.bind(&bound, &role, "acme").await;
                world.unbind(&bound, &role, "*").await;
            }
            Self::OwnerDisabled => {
                let request = v1::DisableOwnerRequest {
                    tenant: "credd".to_owned(),
                    name: owner.to_owned(),
                    ..Default::default()
                };
                let mut directory = world.admin.directory.clone();
                directory.disable_owner(request).await.unwrap();
            }
            Self::ReplacedByAnotherRole => {
                world.admin.bind(&bound, "verifier", "globex").await;
                world.unbind(&bound, &role, "*").await;
            }
        }
    }
}

const FOLLOWER: [&str; 2] = ["credd.verify", "credd.watch"];

#[tokio::test(flavor = "multi_thread")]
async fn the_streams_of_who_loses_a_credential_or_a_right_end() {
    let world = World::start().await;
    for (n, loss) in LOSSES.into_iter().enumerate() {
        let owner = format!("loser-{n}");
        let role = format!("role-of-{owner}");
        put_role(&world.admin, "credd", &role, &FOLLOWER).await;
        world
            .admin
            .bind(&format!("credd:{owner}"), &role, "*")
            .await;
        let (id, token) = world.credential(&owner, &[]).await;
        let caller = world.nobody(loss.name()).bearing(&token);
        let mut streams = Streams::start(&world, caller).await;
        // More is no less.
        world
            .admin
            .bind(&format!("credd:{owner}"), "auditor", "acme")
            .await;
        streams.go_on().await;
        loss.happen(&world, &owner, &id).await;
        let lost_at = revision(&world).await;
        streams.end(&world, lost_at).await;
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_streams_of_who_is_known_otherwise_end_with_the_binding() {
    let world = World::start().await;
    let id = "spiffe://credd.test/follower";
    let john = principal("john");
    for bound in [id, &john] {
        world.admin.bind(bound, "verifier", "acme").await;
    }
    let callers = [
        (world.certificate("a certificate", id).await, id),
        (world.jwt("a token", "john"), john.as_str()),
    ];
    for (caller, bound) in callers {
        let streams = Streams::start(&world, caller).await;
        world.unbind(bound, "verifier", "acme").await;
        let lost_at = revision(&world).await;
        streams.end(&world, lost_at).await;
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_streams_of_two_end_when_either_loses_it() {
    let world = World::start().await;
    put_role(&world.admin, "credd", "proxy", &["credd.on-behalf-of"]).await;
    let user = "dns:user.example";
    for (n, (bound, role)) in [
        ("credd:proxy-0", "proxy"),
        ("credd:proxy-1", "verifier"),
        (user, "verifier"),
    ]
    .into_iter()
    .enumerate()
    {
        let portal = format!("proxy-{n}");
        for (bound, role) in [
            (format!("credd:{portal}"), "proxy"),
            (format!("credd:{portal}"), "verifier"),
            (user.to_owned(), "verifier"),
        ] {
            world.admin.bind(&bound, role, "acme").await;
        }
        let caller = world.bearer(bound, &portal).await.on_behalf_of(user);
        let streams = Streams::start(&world, caller).await;
        world.unbind(bound, role, "acme").await;
        let lost_at = revision(&world).await;
        streams.end(&world, lost_at).await;
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_streams_of_who_is_known_for_a_time_end_with_it() {
    /// So that a slow machine begins in time.
    const SECONDS: i64 = 4;

    let world = World::start().await;
    let id = "spiffe://credd.test/brief";
    let jane = principal("jane");
    for bound in [id, &jane] {
        world.admin.bind(bound, "verifier", "acme").await;
    }
    let end = u64::try_from(now() + SECONDS).unwrap();
    let brief = Wanted {
        last_second: Some(end),
        ..Wanted::client([uri(id)])
    };
    let between = world.pki.clients.vouched_for("between", end);
    let mut lasting = between.client(id);
    lasting.certificate.push_str(&between.pem());
    let knocker = world.pki.knocker(Some(lasting));
    let channel = knocker.channel(world.server.address).await.unwrap();
    let callers = [
        world.with_certificate("a certificate", brief).await,
        Caller::over("a certificate of one that expires", channel),
        world
            .nobody("a token")
            .bearing(&world.signer.token("jane", SECONDS)),
    ];
    let mut all = Vec::new();
    for caller in callers {
        all.push(Streams::start(&world, caller).await);
    }
    for streams in all {
        let (caller, held) = (streams.caller.clone(), streams.held.clone());
        until("the end of what the caller is known by", || {
            is_refused(&caller, &held)
        })
        .await;
        // Of what was committed before, it was told or not.
        let lost_at = revision(&world).await;
        streams.end(&world, lost_at).await;
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_streams_of_a_token_end_with_the_key_that_it_was_signed_with() {
    let world = World::start().await;
    world
        .admin
        .bind(&principal("jane"), "verifier", "acme")
        .await;
    let jane = world.nobody("a token");
    let jane = jane.bearing(&world.signer.token("jane", 3600));
    let streams = Streams::start(&world, jane).await;
    // Its issuer shows another from now on.
    Signer::new().publish(&world.keys());
    let (caller, held) = (streams.caller.clone(), streams.held.clone());
    until("the key to be dropped", || is_refused(&caller, &held)).await;
    let lost_at = revision(&world).await;
    streams.end(&world, lost_at).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_names_somebody_while_an_authority_that_is_trusted_vouches_for_it() {
    let world = World::start().await;
    let id = "spiffe://credd.test/left";
    world.admin.bind(id, "verifier", "acme").await;
    let caller = world.certificate("a certificate", id).await;
    let mut streams = Streams::start(&world, caller.clone()).await;
    let held = streams.held.clone();
    let code = async |caller: &Caller| {
        let answer = caller.verification().verify(held.question()).await;
        answer.map_or_else(|status| status.code(), |_| Code::Ok)
    };
    let (old, next) = (world.pki.clients.pem(), Authority::new("the next clients"));
    let both = format!("{old}{}", next.pem());

    world.pki.volume.write("ca.crt", &both);
    let newcomer = world.pki.knocker(Some(next.client(id)));
    until("the next authority to be trusted", async || {
        newcomer.connect(world.server.address).await.is_ok()
    })
    .await;
    streams.go_on().await;
    assert_eq!(code(&caller).await, Code::Ok);

    world.pki.volume.write("ca.crt", &next.pem());
    until("the certificate to name nobody", async || {
        code(&caller).await == Code::Unauthenticated
    })
    .await;
    let lost_at = revision(&world).await;
    streams.end(&world, lost_at).await;
    // The connection stands, for whoever is known otherwise.
    let bearer = caller.clone().bearing(&world.server.token);
    assert_eq!(code(&bearer).await, Code::Ok);

    world.pki.volume.write("ca.crt", &both);
    until("the certificate to name its holder again", async || {
        code(&caller).await == Code::Ok
    })
    .await;
    world.stop().await;
}
