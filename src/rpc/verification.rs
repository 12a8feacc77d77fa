//! `VerificationService`.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use tokio_stream::Stream;
use tokio_stream::wrappers::WatchStream;
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::{Request, Response, Status, Streaming};

use super::answers::Answers;
use super::calls::Calls;
use super::limits::Limits;
use super::permit::admitted;
use super::status::{self, Violations, refined};
use super::watch::{self, Opening, parse_watch};
use super::{Shared, convert, noting};
use crate::authority::Authority;
use crate::authority::audit::Client;
use crate::authority::caller::{Call, Seen};
use crate::authority::verify::{Answer, Question};
use crate::domain::audit::{ADDRESS_BYTES, REQUEST_ID_BYTES};
use crate::domain::judge::{Audience, Verdict};
use crate::domain::names::{InvalidText, ProfileName};
use crate::domain::permission::Needed;
use crate::domain::revision::{Position, Revision};
use crate::domain::rights::Tenants;
use crate::domain::token::Presented;
use crate::proto::v1;
use crate::proto::v1::presented::Credential;
use crate::proto::v1::verification_service_server::VerificationService;
use crate::proto::v1::verify_response::End;
use crate::proto::v1::verify_stream_response::Outcome;
use crate::proto::v1::{
    VerifyRequest, VerifyResponse, VerifyStreamRequest, VerifyStreamResponse, WatchRequest,
    WatchResponse,
};

/// The service.
#[derive(Clone, Debug)]
pub struct Verification(Shared);

/// The most bytes of a question, however many the configuration allows other messages
/// to have: a stream holds as many in memory while one of its messages arrives.
pub const MESSAGE_BYTES: usize = 64 << 10;

impl Verification {
    /// The service on this authority.
    #[must_use]
    pub const fn new(shared: Shared) -> Self {
        Self(shared)
    }
}

#[tonic::async_trait]
impl VerificationService for Verification {
    type VerifyStreamStream = VerifyStream;
    type WatchStream = Answers<WatchResponse>;

    async fn verify(
        &self,
        request: Request<VerifyRequest>,
    ) -> Result<Response<VerifyResponse>, Status> {
        let (authority, call) = (self.0.authority()?, admitted(&request)?.0);
        let request = request.get_ref();
        if let Some(least) = read_min_revision(authority, request)?
            && least > authority.index().revision()
        {
            reached(authority, least, call.answer_before).await?;
        }
        Ok(Response::new(verify(
            authority,
            &self.0.calls,
            &call,
            request,
        )?))
    }

    async fn verify_stream(
        &self,
        request: Request<Streaming<VerifyStreamRequest>>,
    ) -> Result<Response<VerifyStream>, Status> {
        Ok(Response::new(VerifyStream {
            authority: Arc::clone(self.0.authority()?),
            limits: Arc::clone(&self.0.limits),
            calls: Arc::clone(&self.0.calls),
            call: admitted(&request)?.0,
            seen: Seen::default(),
            answered: 0,
            commits: WatchStream::from_changes(self.0.authority()?.reached()),
            stopping: Box::pin(self.0.stopping.clone().cancelled_owned()),
            requests: Some(request.into_inner()),
        }))
    }

    async fn watch(
        &self,
        request: Request<Streaming<WatchRequest>>,
    ) -> Result<Response<Answers<WatchResponse>>, Status> {
        let authority = Arc::clone(self.0.authority()?);
        let call = admitted(&request)?.0;
        let mut requests = request.into_inner();
        let first = tokio::select! {
            first = requests.message() => first.map_err(refined)?,
            () = self.0.stopping.cancelled() => return Err(status::stopping()),
            () = tokio::time::sleep(FIRST_MESSAGE) => None,
        };
        let first =
            first.ok_or_else(|| status::invalid("request", "is required within ten seconds"))?;
        let Opening {
            watch,
            session,
            renewal,
        } = parse_watch(first, &call.reach)?;
        let subscription = authority
            .watch(watch)
            .await
            .map_err(|error| status::of_log(&error))?;
        let stopping = self.0.stopping.clone();
        Ok(Response::new(watch::messages(
            authority,
            call,
            subscription,
            (session, renewal),
            requests,
            stopping,
        )))
    }
}

/// How long a Watch waits for its one message.
const FIRST_MESSAGE: Duration = Duration::from_secs(10);

/// How long an answer waits for a revision that the server has not reached.
const REACHED_WITHIN: Duration = Duration::from_secs(1);

/// Reads as of which revision an answer must be, at least.
fn read_min_revision(
    authority: &Authority,
    request: &VerifyRequest,
) -> Result<Option<Revision>, Status> {
    match &request.min_revision {
        None => Ok(None),
        Some(v1::Revision { store_id, number }) if *store_id == authority.store().to_string() => {
            Ok(Some(Revision::new(*number)))
        }
        Some(_) => Err(status::other_store()),
    }
}

/// Waits for a revision, but not until its caller has given up: one that is told that
/// the server is behind does not take it for gone.
async fn reached(
    authority: &Authority,
    least: Revision,
    answer_before: Option<Instant>,
) -> Result<(), Status> {
    let mut reached = authority.reached();
    let reached = reached.wait_for(|position| position.revision >= least);
    let until = Instant::now() + REACHED_WITHIN;
    let until = answer_before.map_or(until, |due| due.min(until));
    match timeout_at(until, reached).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(status::behind()),
    }
}

fn verify(
    authority: &Authority,
    calls: &Calls,
    call: &Call,
    request: &VerifyRequest,
) -> Result<VerifyResponse, Status> {
    let VerifyRequest {
        presented,
        tenant,
        any_tenant,
        profiles,
        permissions,
        client_address,
        request_id,
        min_revision: _,
    } = request;
    let presented = presented
        .as_ref()
        .and_then(|presented| presented.credential.as_ref())
        .ok_or_else(|| status::invalid("presented", "is required"))?;
    let audience = match (tenant.as_str(), any_tenant) {
        ("", false) => match &call.reach {
            // There is nothing to choose.
            Tenants::Of(tenants) if tenants.len() == 1 => Audience::AnyOf(&call.reach),
            _ => {
                return Err(status::invalid(
                    "tenant",
                    "is required, unless `any_tenant` is set or the caller may verify for one tenant only",
                ));
            }
        },
        ("", true) => Audience::AnyOf(&call.reach),
        (tenant, false) if call.reach.has(tenant) => Audience::Tenant(tenant),
        (_, false) => Audience::AnyOf(&Tenants::NONE),
        (_, true) => {
            return Err(status::invalid(
                "any_tenant",
                "must not be set together with `tenant`",
            ));
        }
    };
    if profiles.len() > MAX_PROFILES {
        return Err(status::invalid("profiles", "must be at most 16"));
    }
    for (at, profile) in profiles.iter().enumerate() {
        if let Err(InvalidText(rule)) = ProfileName::parse(profile) {
            return Err(status::invalid(&format!("profiles[{at}]"), rule));
        }
    }
    let needed = read_permissions(permissions)?;
    let client = read_client(client_address, request_id)?;
    let about = Question {
        profiles,
        permissions: &needed,
        ..Question::of(Presented::Token(""), audience)
    };
    // Before it is looked what is so: a server that had none then, and has one again, may
    // have looked at what was so before a change whose fence has returned.
    let may_say_yes = authority.sessions().may_say_yes();
    let answer = match presented {
        Credential::Header(header) => {
            let v1::RawHeader { name, value } = header;
            let value: &[u8] = match value {
                Some(v1::raw_header::Value::Text(text)) => text.as_bytes(),
                Some(v1::raw_header::Value::Raw(bytes)) => bytes,
                None => &[],
            };
            let rules = authority.index().directory().headers();
            let readings = rules.readings(name, value).into_iter().flatten().flatten();
            let mut answer = authority.unreadable();
            for reading in readings {
                let question = Question {
                    presented: reading.credential.presented(),
                    header: Some(reading.rule),
                    ..about
                };
                answer = authority.verify(&question, &call.caller);
                if !matches!(answer.verdict, Verdict::Invalid(_)) {
                    break;
                }
            }
            answer
        }
        presented => match convert::presented(presented) {
            Some(presented) => authority.verify(&Question { presented, ..about }, &call.caller),
            None => authority.unreadable(),
        },
    };
    if answer.verdict == Verdict::Active && !may_say_yes {
        return Err(status::lapsed());
    }
    calls.judged(answer.verdict);
    authority.note_use(call, &answer, client);
    Ok(response(authority, &answer))
}

/// Checks what is said of a client for the audit log.
///
/// # Errors
///
/// `INVALID_ARGUMENT`, naming the field.
pub fn check_client(address: &str, request_id: &str) -> Result<(), Status> {
    read_client(address, request_id).map(drop)
}

/// Reads what is said of the client for the audit log.
fn read_client<'a>(address: &'a str, request_id: &'a str) -> Result<Client<'a>, Status> {
    if address.len() > ADDRESS_BYTES || !address.bytes().all(|byte| byte.is_ascii_graphic()) {
        let rule = "must be at most 64 visible ASCII characters";
        return Err(status::invalid("client_address", rule));
    }
    let printable = |byte: u8| (b' '..=b'~').contains(&byte);
    if request_id.len() > REQUEST_ID_BYTES || !request_id.bytes().all(printable) {
        let rule = "must be at most 128 printable ASCII characters";
        return Err(status::invalid("request_id", rule));
    }
    Ok(Client {
        address,
        request_id,
    })
}

/// The most profiles that a question may name.
const MAX_PROFILES: usize = 16;
/// The most permissions that a question may name.
const MAX_PERMISSIONS: usize = 16;

fn read_permissions(permissions: &[String]) -> Result<Vec<Needed<'_>>, Status> {
    if permissions.len() > MAX_PERMISSIONS {
        return Err(status::invalid("permissions", "must be at most 16"));
    }
    let mut violations = Violations::default();
    let needed: Vec<_> = permissions
        .iter()
        .enumerate()
        .filter_map(|(at, text)| {
            violations.check(&format!("permissions[{at}]"), Needed::parse(text))
        })
        .collect();
    if needed.len() == permissions.len() {
        Ok(needed)
    } else {
        Err(violations.status())
    }
}

fn response(authority: &Authority, answer: &Answer) -> VerifyResponse {
    let Answer {
        verdict,
        found,
        valid_for,
        ends_in,
        revision,
        aside: _,
    } = answer;
    let (names, directory) = (authority.index().names(), authority.index().directory());
    VerifyResponse {
        verdict: wire_verdict(*verdict).into(),
        identity: found
            .as_ref()
            .map(|found| convert::credential::identity(found, names, directory)),
        valid_for: found.as_ref().map(|_| convert::short_duration(*valid_for)),
        revision: Some(convert::revision(authority.store(), *revision)),
        end: found.as_ref().map(|_| match ends_in {
            Some(ends_in) => End::EndsIn(convert::short_duration(*ends_in)),
            None => End::NeverEnds(true),
        }),
    }
}

/// The causes of INVALID are one to the caller.
const fn wire_verdict(verdict: Verdict) -> v1::Verdict {
    match verdict {
        Verdict::Active => v1::Verdict::Active,
        Verdict::Invalid(_) => v1::Verdict::Invalid,
        Verdict::Locked => v1::Verdict::Locked,
        Verdict::Revoked => v1::Verdict::Revoked,
        Verdict::Expired => v1::Verdict::Expired,
        Verdict::TenantDisabled => v1::Verdict::TenantDisabled,
        Verdict::OwnerDisabled => v1::Verdict::OwnerDisabled,
        Verdict::Forbidden => v1::Verdict::Forbidden,
    }
}

/// The answers of one `VerifyStream`. A question is judged when its answer is
/// asked for: the client's reading sets the pace, and nothing is queued here.
pub struct VerifyStream {
    authority: Arc<Authority>,
    limits: Arc<Limits>,
    calls: Arc<Calls>,
    call: Arc<Call>,
    seen: Seen,
    answered: u64,
    /// Wakes a stream that waits for a question: its caller may be denied now.
    commits: WatchStream<Position>,
    stopping: Pin<Box<WaitForCancellationFutureOwned>>,
    /// `None`: the stream has ended.
    requests: Option<Streaming<VerifyStreamRequest>>,
}

/// After how many answers a stream that never waits looks whether the server is
/// stopping.
const LOOK_UP: u64 = 64;

impl VerifyStream {
    /// What ends a stream that waits for a question.
    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<Status> {
        if self.stopping.as_mut().poll(context).is_ready() {
            return Poll::Ready(status::stopping());
        }
        while let Poll::Ready(Some(_)) = Pin::new(&mut self.commits).poll_next(context) {
            if !self.authority.is_good_yet(&self.call, &mut self.seen) {
                return Poll::Ready(noting::cut_off(&self.authority, &self.call));
            }
        }
        Poll::Pending
    }

    fn answer(&mut self, question: VerifyStreamRequest) -> Result<VerifyStreamResponse, Status> {
        // The caller may have been denied since the stream began.
        if !self.authority.is_good_yet(&self.call, &mut self.seen) {
            return Err(noting::cut_off(&self.authority, &self.call));
        }
        let VerifyStreamRequest {
            correlation,
            request,
        } = question;
        let counted = self.limits.count(self.call.caller.party.symbol);
        let answer = counted
            .and_then(|()| request.ok_or_else(|| status::invalid("request", "is required")))
            .and_then(|request| {
                let least = read_min_revision(&self.authority, &request)?;
                if least.is_some_and(|least| least > self.authority.index().revision()) {
                    return Err(status::behind());
                }
                verify(&self.authority, &self.calls, &self.call, &request)
            })
            .inspect_err(|status| {
                self.authority
                    .note_call(&self.call, &noting::outcome(status));
            });
        Ok(VerifyStreamResponse {
            correlation,
            outcome: Some(match answer {
                Ok(response) => Outcome::Response(response),
                Err(status) => Outcome::Error(status::wire(&status)),
            }),
        })
    }
}

impl Stream for VerifyStream {
    type Item = Result<VerifyStreamResponse, Status>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let Some(requests) = &mut this.requests else {
            return Poll::Ready(None);
        };
        this.answered += 1;
        let is_stopping = this.answered.is_multiple_of(LOOK_UP)
            && this.stopping.as_mut().poll(context).is_ready();
        let item = match Pin::new(requests).poll_next(context) {
            _ if is_stopping => Some(Err(status::stopping())),
            Poll::Ready(Some(Ok(question))) => Some(this.answer(question)),
            Poll::Ready(Some(Err(status))) => Some(Err(refined(status))),
            Poll::Ready(None) => None,
            Poll::Pending => Some(Err(std::task::ready!(this.poll_end(context)))),
        };
        if !matches!(item, Some(Ok(_))) {
            this.requests = None;
        }
        Poll::Ready(item)
    }
}
