//! Those who change things, and those who ask.

use std::sync::Arc;
use std::time::Duration;

use credd::client::Client as Sidecar;
use credd::proto::v1;
use credd::proto::v1::verification_service_client::VerificationServiceClient;
use parking_lot::Mutex;
use rand::RngExt as _;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom as _;
use tokio::time::{sleep, timeout};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Status};

use crate::calls::{issue_request, rotate_request};
use crate::clocks::now;
use crate::ending::Ending;
use crate::record::{Held, Record, SecretNumber, Told, Why};
use crate::support::{
    Bearer, Client, lock_request, revoke_request, token_of, verify_token_request,
};
use crate::world::LONGEST;

/// The tenant of all that is asked about.
const TENANT: &str = "acme";
/// How many credentials a writer issues.
const CREDENTIALS: usize = 6;
/// How long one waits for an answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How much longer than two leases, of a relay and of one that follows it, a fence may
/// take: for drift, and until the end is looked at.
const SLACK: Duration = Duration::from_millis(150);

/// One who issues, denies and allows again. What it has issued outlives it.
pub(crate) struct Writer {
    pub(crate) name: &'static str,
    pub(crate) client: Client,
    pub(crate) record: Record,
    pub(crate) random: SmallRng,
    pub(crate) issued: Arc<Mutex<Vec<Held>>>,
    /// Whether nothing can come between it and the authority: then a fence has a bound.
    pub(crate) is_near: bool,
    pub(crate) ending: Arc<Ending>,
}

impl Writer {
    /// Works until the world is about to end.
    pub(crate) async fn work(mut self) {
        loop {
            sleep(Duration::from_millis(self.random.random_range(20..300))).await;
            let Some(_at_work) = self.ending.work() else {
                return;
            };
            let name = self.name;
            match timeout(PATIENCE, self.turn()).await {
                Ok(Ok(())) => (),
                Ok(Err(status)) => {
                    let (code, message) = (status.code(), status.message());
                    let what = format!("{name} gets {code:?}: {message}");
                    self.record.note(now(), &what);
                }
                // What it asks may be lost on the way.
                Err(_) if !self.is_near => self.record.note(now(), &format!("{name} waits")),
                Err(_) => self.record.wrong(now(), &format!("{name} gets no answer")),
            }
        }
    }

    /// Does one thing.
    async fn turn(&mut self) -> Result<(), Status> {
        let turn = self.random.random_range(0..100);
        let issued = self.issued.lock().clone();
        match issued.choose(&mut self.random) {
            Some(held) if issued.len() >= CREDENTIALS || turn < 70 => {
                self.change(held, turn % 10).await
            }
            _ => self.issue().await,
        }
    }

    async fn issue(&mut self) -> Result<(), Status> {
        let owner = format!("{}-{}", self.name, self.random.random_range(0..2));
        let request = issue_request(TENANT, &owner, "api-token");
        let answer = self.client.issue(request).await?;
        let credential = answer.credential.unwrap().id;
        let held = Held { credential, owner };
        self.issued.lock().push(held.clone());
        self.record.issued(held, token_of(answer.secret));
        Ok(())
    }

    /// Takes one away, or gives it back.
    async fn change(&mut self, held: &Held, turn: u32) -> Result<(), Status> {
        let Held { credential, owner } = held;
        let is_credential = |it: &Held| it.credential == *credential;
        let is_owner = |it: &Held| it.owner == *owner;
        let reason = "simulated".to_owned();
        match turn {
            0..2 => {
                let request = v1::LockRequest {
                    fence: true,
                    ..lock_request(credential)
                };
                let request = self.request(request);
                let begun = now();
                let answer = self.client.credentials.clone().lock(request).await?;
                self.fenced(begun, answer.into_inner().fence);
                self.record.denied(now(), Why::Locked, is_credential);
            }
            2..4 => {
                self.record.undone(Why::Locked, is_credential);
                self.client.unlock(credential).await?;
            }
            4 => {
                let request = v1::RevokeRequest {
                    fence: true,
                    ..revoke_request(credential)
                };
                let request = self.request(request);
                let begun = now();
                let answer = self.client.credentials.clone().revoke(request).await?;
                self.fenced(begun, answer.into_inner().fence);
                self.record.denied(now(), Why::Revoked, is_credential);
                self.issued.lock().retain(|it| !is_credential(it));
            }
            5 => {
                let request = v1::RotateRequest {
                    fence: true,
                    ..rotate_request(credential, 0)
                };
                let request = self.request(request);
                let begun = now();
                let answer = self.client.credentials.clone().rotate(request).await?;
                let answer = answer.into_inner();
                self.fenced(begun, answer.fence);
                self.record.denied(now(), Why::Rotated, is_credential);
                self.record.issued(held.clone(), token_of(answer.secret));
            }
            6 => {
                let request = v1::DisableOwnerRequest {
                    tenant: TENANT.to_owned(),
                    name: owner.clone(),
                    reason,
                    fence: true,
                    ..v1::DisableOwnerRequest::default()
                };
                let request = self.request(request);
                let begun = now();
                let answer = self.client.directory.clone().disable_owner(request).await?;
                self.fenced(begun, answer.into_inner().fence);
                self.record.denied(now(), Why::OwnerDisabled, is_owner);
            }
            _ => {
                self.record.undone(Why::OwnerDisabled, is_owner);
                let request = v1::EnableOwnerRequest {
                    tenant: TENANT.to_owned(),
                    name: owner.clone(),
                    reason,
                };
                self.client.directory.clone().enable_owner(request).await?;
            }
        }
        Ok(())
    }

    /// A request that is given up after a while, by one who is far away.
    fn request<T>(&mut self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if !self.is_near {
            let patience = self.random.random_range(300..4000);
            request.set_timeout(Duration::from_millis(patience));
        }
        request
    }

    /// A fence has closed, which was asked for at `begun`.
    fn fenced(&self, begun: Duration, fence: Option<v1::Fence>) {
        let Some(fence) = fence else {
            self.record
                .wrong(now(), "a fence was asked for and is not told of");
            return;
        };
        let took = now().saturating_sub(begun);
        if self.is_near && took > LONGEST * 2 + SLACK {
            let what = format!("{} waited {took:?} for {fence:?}", self.name);
            self.record.wrong(now(), &what);
        }
        let v1::Fence {
            acknowledged,
            expired,
            ..
        } = fence;
        self.record.count("acknowledged", acknowledged.into());
        self.record.count("expired", expired.into());
    }
}

/// Asks in the process of a sidecar: a question arrives when it is asked.
pub(crate) async fn ask_within(
    name: &'static str,
    sidecar: Sidecar,
    record: Record,
    ending: Arc<Ending>,
    mut random: SmallRng,
) {
    while !ending.has_begun() {
        sleep(Duration::from_millis(random.random_range(5..100))).await;
        let Some((number, token)) = choose(&record, &mut random) else {
            continue;
        };
        let arrived = now();
        let told = match sidecar.verify(&verify_token_request(&token)).await {
            Ok(verified) => Told {
                verdict: Some(verified.response.verdict()),
                served: Some(verified.served),
            },
            Err(_) => NO_ANSWER,
        };
        record.answered(name, number, arrived, now(), told);
    }
}

/// Asks over the network: a question arrives after it was asked.
pub(crate) async fn ask_from_afar(
    name: &'static str,
    mut client: VerificationServiceClient<InterceptedService<Channel, Bearer>>,
    record: Record,
    ending: Arc<Ending>,
    mut random: SmallRng,
) {
    while !ending.has_begun() {
        sleep(Duration::from_millis(random.random_range(50..400))).await;
        let Some((number, token)) = choose(&record, &mut random) else {
            continue;
        };
        let asked = now();
        let answer = client.verify(verify_token_request(&token));
        let told = match timeout(Duration::from_secs(2), answer).await {
            Ok(Ok(answer)) => Told {
                verdict: Some(answer.into_inner().verdict()),
                served: None,
            },
            _ => NO_ANSWER,
        };
        record.answered(name, number, asked, now(), told);
    }
}

const NO_ANSWER: Told = Told {
    verdict: None,
    served: None,
};

/// A secret to ask about: more often one of the latest.
fn choose(record: &Record, random: &mut SmallRng) -> Option<(SecretNumber, String)> {
    let count = record.len();
    let least = if random.random_bool(0.5) {
        count.saturating_sub(6)
    } else {
        0
    };
    (count > 0).then(|| record.secret(random.random_range(least..count)))
}
