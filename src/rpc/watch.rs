//! `Watch` on the wire.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

use super::answers::{Answers, Source, answers};
use super::status::{self, Violations, refined};
use super::{convert, noting, resume_token};
use crate::authority::Authority;
use crate::authority::caller::Call;
use crate::authority::sessions::SessionId;
use crate::authority::watch::{Subscription, WatchRequest};
use crate::domain::names::Tenant;
use crate::domain::permission::Permission;
use crate::domain::rights::Tenants;
use crate::proto::v1;
use crate::proto::v1::WatchResponse;
use crate::proto::v1::watch_response::Message as Wire;
use leases::Leases;
use wire::response;

mod leases;
mod wire;

pub(crate) use leases::later;

const HEARTBEAT: Duration = Duration::from_secs(10);
const LEAST_HEARTBEAT: Duration = Duration::from_millis(100);
const GREATEST_HEARTBEAT: Duration = Duration::from_hours(1);
const MAX_TENANTS: usize = 100;

/// What the first message of a subscriber asks for.
#[derive(Debug)]
pub struct Opening {
    /// What it follows, and from where.
    pub watch: WatchRequest,
    /// The session that it goes on with.
    pub session: Option<SessionId>,
    /// The lease that it asks for.
    pub renewal: Option<v1::Renewal>,
}

/// Reads what a subscriber asks for, who may watch these tenants. Of others there
/// is nothing to see.
///
/// # Errors
///
/// `INVALID_ARGUMENT`, naming every field that is not what it should be.
pub fn parse_watch(request: v1::WatchRequest, reach: &Tenants) -> Result<Opening, Status> {
    let v1::WatchRequest {
        resume_token,
        snapshot,
        tenants,
        heartbeat,
        session_id,
        renewal,
    } = request;
    let mut violations = Violations::default();
    let resume = if resume_token.is_empty() {
        Some(None)
    } else {
        let point = resume_token::decode(&resume_token);
        point
            .map_err(|_| violations.add("resume_token", "must be that of a message of a Watch"))
            .ok()
            .map(Some)
    };
    let tenants = read_tenants(&tenants, &mut violations);
    let heartbeat = match heartbeat {
        None => Some(HEARTBEAT),
        Some(heartbeat) => convert::duration(
            "heartbeat",
            heartbeat,
            LEAST_HEARTBEAT..=GREATEST_HEARTBEAT,
            "must be 100 ms to 1 h",
            &mut violations,
        ),
    };
    let wanted = SessionId::parse(&session_id);
    if wanted.is_none() && !session_id.is_empty() {
        violations.add("session_id", "must be that of a Grant");
    }
    let (Some(resume), Some(tenants), Some(heartbeat), true) =
        (resume, tenants, heartbeat, violations.is_empty())
    else {
        return Err(violations.status());
    };
    Ok(Opening {
        watch: WatchRequest {
            resume,
            snapshot,
            tenants: tenants.and(reach.clone()),
            heartbeat,
        },
        session: wanted,
        renewal,
    })
}

fn read_tenants(tenants: &[String], violations: &mut Violations) -> Option<Tenants> {
    if tenants.is_empty() {
        return Some(Tenants::All);
    }
    if tenants.len() > MAX_TENANTS {
        violations.add("tenants", "must be at most 100");
        return None;
    }
    let read: Vec<_> = tenants
        .iter()
        .enumerate()
        .filter_map(|(at, tenant)| {
            violations.check(&format!("tenants[{at}]"), Tenant::parse(tenant))
        })
        .collect();
    (read.len() == tenants.len()).then_some(Tenants::Of(read))
}

type Item = Result<WatchResponse, Status>;

/// A subscription with what ends it.
struct Session {
    authority: Arc<Authority>,
    call: Arc<Call>,
    subscription: Subscription,
    /// The tenants that its caller may ask about.
    asks: Tenants,
    /// What of that was said last; `None`: where the stream begins was not told yet.
    told_to_ask: Option<Tenants>,
    leases: Leases,
    /// What was not answered yet.
    renewal: Option<v1::Renewal>,
    /// `None`: the client has closed its side.
    requests: Option<Streaming<v1::WatchRequest>>,
    stopping: CancellationToken,
    reached: Option<(String, u64)>,
}

/// The messages of a subscription, to this caller, until the client goes,
/// the caller is no longer good, or the server stops.
#[must_use]
pub fn messages(
    authority: Arc<Authority>,
    call: Arc<Call>,
    subscription: Subscription,
    (session, renewal): (Option<SessionId>, Option<v1::Renewal>),
    requests: Streaming<v1::WatchRequest>,
    stopping: CancellationToken,
) -> Answers<WatchResponse> {
    let asks = authority.reach(&call.caller, Permission::Verify);
    answers(Session {
        asks,
        authority,
        call,
        subscription,
        told_to_ask: None,
        leases: Leases::new(session),
        renewal,
        requests: Some(requests),
        stopping,
        reached: None,
    })
}

impl Source for Session {
    type Item = WatchResponse;

    async fn next(&mut self) -> Option<Item> {
        Some(self.message().await)
    }
}

impl Session {
    async fn message(&mut self) -> Item {
        let message = loop {
            if self.told_to_ask.is_some()
                && let Some(renewal) = self.renewal.take()
                && let Some(earlier) = self.renew(renewal)?
            {
                return Ok(self.granted(earlier));
            }
            if let Some(grant) = self.leases.due() {
                return Ok(self.granted(grant));
            }
            tokio::select! {
                biased;
                () = self.stopping.cancelled() => return Err(self.stopped()),
                request = next_request(&mut self.requests), if self.renewal.is_none() => {
                    match request {
                        Ok(Some(request)) => self.renewal = Some(leases::later(request)?),
                        Ok(None) => self.requests = None,
                        Err(status) => return Err(refined(status)),
                    }
                }
                message = self.subscription.next() => break message,
                () = at(self.leases.due_at()) => (),
            }
        };
        let message = message.map_err(|error| status::of_log(&error))?;
        self.check()?;
        let mut response = response(&message, self.authority.store(), self.authority.index());
        // Whoever keeps an answer about a tenant must see that it may ask no more,
        // by what the next stream says: it must know that it could.
        if self.told_to_ask.as_ref() != Some(&self.asks) {
            let told = self.subscription.tenants();
            response.coverage = Some(convert::coverage(told, &self.asks));
            self.told_to_ask = Some(self.asks.clone());
        }
        if message.resumable {
            let revision = message.position.revision.number();
            self.reached = Some((response.resume_token.clone(), revision));
        }
        Ok(response)
    }

    /// The caller may have been denied since the stream began. Or it may ask about
    /// more tenants, of whose changes the stream has told nothing: it must begin anew,
    /// and before it is told that a later revision was reached.
    fn check(&mut self) -> Result<(), Status> {
        if !self.authority.is_still_good(&self.call) {
            return Err(noting::cut_off(&self.authority, &self.call));
        }
        if self.authority.reaches_further(&self.call) {
            return Err(status::reach_changed());
        }
        // Nothing that it keeps may be given where it may ask no more.
        let asks = self.authority.reach(&self.call.caller, Permission::Verify);
        if !asks.include_all(&self.asks) {
            return Err(noting::cut_off(&self.authority, &self.call));
        }
        self.asks = asks;
        Ok(())
    }

    /// Takes a renewal. Returns an answer to one before it that must go first.
    fn renew(&mut self, renewal: v1::Renewal) -> Result<Option<v1::Grant>, Status> {
        self.check()?;
        // It keeps answers to all that it may ask: it must be told of all of that.
        if !self.call.reach.include_all(&self.asks) {
            return Err(status::permission_denied(Permission::Watch.name()));
        }
        self.leases.renew(&self.authority, &self.call, renewal)
    }

    fn granted(&self, grant: v1::Grant) -> WatchResponse {
        let store = self.authority.store();
        let reached = self.subscription.position().revision;
        WatchResponse {
            revision: Some(convert::revision(store, reached)),
            resume_token: String::new(),
            fenced: false,
            coverage: None,
            message: Some(Wire::Grant(grant)),
        }
    }

    fn stopped(&mut self) -> Status {
        match self.reached.take() {
            Some((resume_token, revision)) => status::stopping_at(resume_token, revision),
            None => status::stopping(),
        }
    }
}

/// At a moment; never, if there is none.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// The client's next message; never, once it has closed its side.
pub(crate) async fn next_request(
    requests: &mut Option<Streaming<v1::WatchRequest>>,
) -> Result<Option<v1::WatchRequest>, Status> {
    match requests {
        Some(requests) => requests.message().await,
        None => std::future::pending().await,
    }
}
