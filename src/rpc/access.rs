//! Nobody in who should not be: a layer around every service that finds the
//! caller and looks up what the RPC needs, before the request is read.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use http::{HeaderMap, Request, Response};
use tokio::sync::OwnedSemaphorePermit;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};

use super::identify::{Identified, Identity, await_identity, identify};
use super::limits::{Load, Place};
use super::peer::Peer;
use super::permit::Admitted;
use super::policy::{Access, access, load};
use super::received::{Placed, once_received, received};
use super::stopping::EndsWhenStopping;
use super::{Shared, deadline, noting, status};
use crate::authority::Authority;
use crate::authority::caller::{Call, Caller, KnownBy, Party};
use crate::authority::entry::Entry;
use crate::authority::freshness::NotCaughtUp;
use crate::domain::names::{InvalidText, Principal, PrincipalName};
use crate::domain::permission::Permission;

/// The layer.
#[derive(Clone, Debug)]
pub struct AccessLayer(Arc<Shared>);

impl AccessLayer {
    /// A layer that asks this authority who calls.
    #[must_use]
    pub fn new(shared: Shared) -> Self {
        Self(Arc::new(shared))
    }
}

impl<S> Layer<S> for AccessLayer {
    type Service = AccessService<S>;

    fn layer(&self, inner: S) -> AccessService<S> {
        AccessService {
            shared: Arc::clone(&self.0),
            inner,
        }
    }
}

/// A service that is called only by those who may.
#[derive(Clone, Debug)]
pub struct AccessService<S> {
    /// Behind one pointer: the service is cloned for each request, and a clone
    /// of what it shares takes a lock (of the token for stopping).
    shared: Arc<Shared>,
    inner: S,
}

impl<S> Service<Request<Body>> for AccessService<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let began = Instant::now();
        match admit(&self.shared, &request, began) {
            // Without waiting for a turn, and without a clone of the service.
            Ok(Entrance::Admitted(admitted, place)) if place.load() == Load::Verdict => {
                let (shared, call) = (Arc::clone(&self.shared), Arc::clone(&admitted.0));
                request.extensions_mut().insert(admitted);
                let answer = self.inner.call(request);
                Box::pin(async move {
                    let _held_meanwhile = place;
                    let answer = match once_received(answer).await {
                        Ok((answer, false)) => refine(answer?),
                        // The caller was found when the headers came.
                        Ok((answer, true)) => match still_good(&shared, &call) {
                            Ok(()) => refine(answer?),
                            Err(status) => status.into_http(),
                        },
                        Err(status) => status.into_http(),
                    };
                    noting::answered(&shared, &call, &answer);
                    Ok(answer)
                })
            }
            Ok(Entrance::Admitted(admitted, place)) => {
                let (shared, mut inner) = (Arc::clone(&self.shared), self.take_inner());
                Box::pin(async move { run(&shared, &mut inner, request, admitted, place).await })
            }
            Ok(Entrance::Open(place)) => {
                let ending = self.shared.ending.clone();
                let answer = self.inner.call(request);
                Box::pin(async move {
                    let answer = refine(answer.await?);
                    Ok(answer.map(|body| {
                        let body = Body::new(EndsWhenStopping::new(body, &ending));
                        Body::new(Placed::new(body, place))
                    }))
                })
            }
            Ok(Entrance::Awaited(token, needs, waiting)) => {
                let (shared, mut inner) = (Arc::clone(&self.shared), self.take_inner());
                Box::pin(async move {
                    let known = await_identity(&shared, &token).await;
                    drop(waiting);
                    let admitted = known
                        .map_err(Refused::from)
                        .and_then(|known| let_in(&shared, known, needs, (&request, began)));
                    match admitted {
                        Ok((admitted, place)) => {
                            run(&shared, &mut inner, request, admitted, place).await
                        }
                        Err(refused) => Ok(refused.noted(&shared, &request, began).into_http()),
                    }
                })
            }
            Err(refused) => {
                let status = refused.noted(&self.shared, &request, began);
                Box::pin(std::future::ready(Ok(status.into_http())))
            }
        }
    }
}

impl<S: Clone> AccessService<S> {
    /// The inner service that is ready, and not its clone, which takes its place.
    fn take_inner(&mut self) -> S {
        let next = self.inner.clone();
        std::mem::replace(&mut self.inner, next)
    }
}

/// Runs a call that was let in, when it is its turn.
async fn run<S>(
    shared: &Shared,
    inner: &mut S,
    mut request: Request<Body>,
    admitted: Admitted,
    place: Place,
) -> Result<Response<Body>, S::Error>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    let call = Arc::clone(&admitted.0);
    let noting = noting::Unanswered::new(shared, &call);
    request.extensions_mut().insert(admitted);
    let arrived = match arrival(shared, place.load(), request).await {
        Ok(request) => caught_up(shared, place.load()).await.map(|()| request),
        Err(status) => Err(status),
    };
    let answer = match arrived {
        Ok(request) => {
            let run = async {
                // The caller was found when the headers came.
                match still_good(shared, &call) {
                    Ok(()) => Ok(refine(inner.call(request).await?)),
                    Err(status) => Ok(status.into_http()),
                }
            };
            shared.limits.run(place.load(), run).await?
        }
        Err(status) => status.into_http(),
    };
    noting.answered(&answer);
    let answer = noting::until_end(call, answer);
    Ok(answer.map(|body| Body::new(Placed::new(body, place))))
}

/// How many bytes stand before a message.
const GRPC_PREFIX_BYTES: usize = 5;

/// Refuses a caller who is no longer good, or has no longer what it was let in for.
fn still_good(shared: &Shared, call: &Call) -> Result<(), Status> {
    let authority = shared.authority()?;
    if authority.is_still_good(call) {
        Ok(())
    } else if authority.is_known_yet(&call.caller.party) {
        Err(status::permission_denied(call.permission.name()))
    } else {
        Err(status::unauthenticated())
    }
}

/// The request, once it has arrived.
async fn arrival(
    shared: &Shared,
    load: Load,
    request: Request<Body>,
) -> Result<Request<Body>, Status> {
    if load == Load::Stream {
        return Ok(request);
    }
    let (head, body) = request.into_parts();
    let most = shared.limits.message_bytes() + GRPC_PREFIX_BYTES;
    let body = received(body, most).await?;
    Ok(Request::from_parts(head, body))
}

/// Waits until the index has what was acknowledged at any server before the request had
/// arrived, where it is read or changed. Verdicts and streams say as of which revision
/// they are.
async fn caught_up(shared: &Shared, load: Load) -> Result<(), Status> {
    match load {
        Load::Verdict | Load::Stream => Ok(()),
        Load::Managing | Load::Reading => {
            let freshness = shared.authority()?.freshness();
            freshness
                .caught_up()
                .await
                .map_err(|NotCaughtUp| status::no_store())
        }
    }
}

/// The name of the metadata by which a caller calls in the name of another
/// principal.
pub const ON_BEHALF_OF: &str = "credd-on-behalf-of";

/// How a request gets in.
enum Entrance {
    /// Its RPC needs no caller.
    Open(Option<OwnedSemaphorePermit>),
    /// Its caller may call the RPC somewhere.
    Admitted(Admitted, Place),
    /// Who the caller is shows once the keys for this token have been fetched.
    Awaited(String, Needs, OwnedSemaphorePermit),
}

/// What an RPC needs of its caller.
#[derive(Clone, Copy)]
struct Needs {
    permission: Permission,
    /// Whether owners may call it who do not have the permission.
    owners_may: bool,
}

/// A call that is not let in.
struct Refused {
    status: Status,
    /// Who calls, if that is known.
    caller: Option<Box<Caller>>,
}

impl From<Status> for Refused {
    fn from(status: Status) -> Self {
        Self {
            status,
            caller: None,
        }
    }
}

impl Refused {
    fn of(caller: &Caller, status: Status) -> Self {
        Self {
            status,
            caller: Some(Box::new(caller.clone())),
        }
    }

    /// The answer, once the audit log was told of it, to a call that began at a moment.
    fn noted(self, shared: &Shared, request: &Request<Body>, began: Instant) -> Status {
        let Self { status, caller } = self;
        if status.code() == Code::Unauthenticated
            && let Some(peer) = request.extensions().get::<Peer>()
        {
            peer.let_in.refuse();
        }
        noting::refused(shared, (request, began), caller.as_deref(), &status);
        status
    }
}

fn admit(shared: &Shared, request: &Request<Body>, began: Instant) -> Result<Entrance, Refused> {
    let access = access(request.uri().path()).ok_or_else(status::unimplemented)?;
    check_metadata(request.headers())?;
    let (permission, owners_may) = match access {
        Access::Open => {
            let place = shared.limits.open_place(load(request.uri().path()))?;
            return Ok(Entrance::Open(place));
        }
        Access::Needs(permission) => (permission, false),
        Access::OwnerOr(permission) => (permission, true),
    };
    let needs = Needs {
        permission,
        owners_may,
    };
    let authority = shared.authority()?;
    match identify(shared, authority, request)? {
        Identity::Known(known) => {
            let (admitted, place) = let_in(shared, known, needs, (request, began))?;
            Ok(Entrance::Admitted(admitted, place))
        }
        Identity::Awaited(token) => {
            let waiting = shared.limits.unknown_place()?;
            Ok(Entrance::Awaited(token, needs, waiting))
        }
    }
}

/// Lets a caller in who may call the RPC somewhere, if there is a place.
fn let_in(
    shared: &Shared,
    (party, entry): Identified,
    needs: Needs,
    (request, began): (&Request<Body>, Instant),
) -> Result<(Admitted, Place), Refused> {
    let authority = shared.authority()?;
    let Needs {
        permission,
        owners_may,
    } = needs;
    let entry = entry.as_deref();
    let caller = Caller {
        party,
        on_behalf_of: None,
    };
    let counted = shared.limits.count(caller.party.symbol);
    counted.map_err(|status| Refused::of(&caller, status))?;
    let user = on_behalf_of(authority, &caller, entry, request.headers());
    let caller = Caller {
        on_behalf_of: user.map_err(|status| Refused::of(&caller, status))?,
        ..caller
    };
    let call = Call {
        reach: authority.reach_with(&caller, entry, permission),
        caller,
        permission,
        trace: noting::trace(request, began),
        answer_before: deadline::answer_before(request.headers()),
    };
    let is_some_owner = || {
        let directory = authority.index().directory();
        let owners = directory.owners_of_principal(call.caller.principal().as_str());
        !owners.is_empty()
    };
    if !call.reach.is_empty() || owners_may && is_some_owner() {
        let load = load(request.uri().path());
        let place = shared.limits.place(load, call.caller.party.symbol);
        let place = place.map_err(|status| Refused::of(&call.caller, status))?;
        if let Some(peer) = request.extensions().get::<Peer>() {
            peer.let_in.set(Some(call.caller.party.symbol));
        }
        Ok((Admitted(Arc::new(call)), place))
    } else {
        let denied = status::permission_denied(permission.name());
        Err(Refused::of(&call.caller, denied))
    }
}

/// In whose name somebody calls, if that is another, and if they may.
fn on_behalf_of(
    authority: &Authority,
    caller: &Caller,
    entry: Option<&Entry>,
    headers: &HeaderMap,
) -> Result<Option<Party>, Status> {
    let mut values = headers.get_all(ON_BEHALF_OF).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let field = format!("metadata.{ON_BEHALF_OF}");
    if values.next().is_some() {
        return Err(status::invalid(&field, "must stand once"));
    }
    let needed = Permission::OnBehalfOf;
    if authority.reach_with(caller, entry, needed).is_empty() {
        return Err(status::permission_denied(needed.name()));
    }
    let name = PrincipalName::parse(value.to_str().unwrap_or_default())
        .map_err(|InvalidText(rule)| status::invalid(&field, rule))?;
    let principal = Principal::trusted(Arc::clone(name.as_arc()));
    Ok(Some(authority.party(principal, KnownBy::Name)))
}

/// The values of metadata are printable ASCII, unless their name ends in `-bin`
/// (the gRPC protocol over HTTP/2, "Custom-Metadata").
fn check_metadata(headers: &HeaderMap) -> Result<(), Status> {
    // Without an early end, so that many bytes are looked at at once.
    let printable = |good, byte: &u8| good & (0x20..=0x7e).contains(byte);
    for (name, value) in headers {
        if !value.as_bytes().iter().fold(true, printable) && !name.as_str().ends_with("-bin") {
            return Err(status::invalid(
                &format!("metadata.{name}"),
                "must be printable ASCII: the names of binary metadata end in `-bin`",
            ));
        }
    }
    Ok(())
}

/// Replaces what tonic answered by itself, before any service saw the request.
fn refine(response: Response<Body>) -> Response<Body> {
    let Some(status) = Status::from_header_map(response.headers()) else {
        return response;
    };
    match status.code() {
        Code::OutOfRange | Code::Internal => status::refined(status).into_http(),
        _ => response,
    }
}
