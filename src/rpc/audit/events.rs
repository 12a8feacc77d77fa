//! Pages of events, and those that follow.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use crate::authority::Authority;
use crate::authority::audit::Order;
use crate::authority::caller::Call;
use crate::domain::audit::{Filter, Head};
use crate::proto::v1::{ListEventsRequest, ListEventsResponse};
use crate::rpc::answers::{Answers, Source, answers};
use crate::rpc::convert::audit as wire;
use crate::rpc::page_token::Binding;
use crate::rpc::permit::{Admitted, admitted};
use crate::rpc::status::{self, Violations};
use crate::rpc::{Shared, convert, noting};

/// How often the caller of a stream is judged while nothing happens.
const JUDGED_EVERY: Duration = Duration::from_secs(10);

pub(super) async fn list(
    shared: &Shared,
    request: Request<ListEventsRequest>,
) -> Result<Response<Answers<ListEventsResponse>>, Status> {
    let authority = shared.authority()?;
    let admitted = admitted(&request)?;
    let ListEventsRequest {
        filter,
        order,
        page_size,
        page_token,
        follow,
    } = request.into_inner();
    let mut violations = Violations::default();
    let limit = convert::page_size(page_size, &mut violations);
    let order = wire::order(order, &mut violations);
    let reach = admitted.reach().clone();
    let filter = wire::filter(filter.unwrap_or_default(), reach, &mut violations);
    if follow && order == Some(Order::NewestFirst) {
        violations.add("follow", "must not be set with the newest first");
        return Err(violations.status());
    }
    let (Some(limit), Some(order), Some(filter)) = (limit, order, filter) else {
        return Err(violations.status());
    };
    if let Some(tenant) = &filter.tenant {
        admitted.on_tenant(tenant)?;
    }
    let binding = binding(&admitted, &filter, order);
    let from = match page_token.as_str() {
        "" => {
            // So that what was just refused is not looked for in vain.
            authority.audit().flush().await;
            None
        }
        token => {
            let opened = binding.open(&authority.keys().current(), token);
            let text: Option<[u8; 8]> = opened.ok().and_then(|text| text.try_into().ok());
            Some(u64::from_be_bytes(text.ok_or_else(status::bad_page_token)?))
        }
    };
    Ok(Response::new(answers(Listing {
        head: authority.audit().log().head(),
        authority: Arc::clone(authority),
        call: admitted.0,
        filter,
        order,
        limit,
        from,
        binding,
        state: if follow { State::Following } else { State::One },
        stopping: shared.stopping.clone(),
    })))
}

/// What the page tokens of a list are bound to.
fn binding(admitted: &Admitted, filter: &Filter, order: Order) -> Binding {
    let Filter {
        reach: _,
        tenant,
        principal,
        action,
        credential,
        ok,
        from,
        until,
    } = filter;
    let texts = [
        tenant.as_ref().map(ToString::to_string),
        principal.clone(),
        action.clone(),
        credential.map(|id| id.to_string()),
        ok.map(|ok| ok.to_string()),
        from.map(|from| from.as_millis().to_string()),
        until.map(|until| until.as_millis().to_string()),
        Some(format!("{order:?}")),
    ];
    let binding = Binding::new("audit events", admitted.principal());
    texts.iter().fold(binding, |binding, text| {
        // What is empty is refused, so that this is none.
        binding.with(text.as_deref().unwrap_or_default())
    })
}

type Item = Result<ListEventsResponse, Status>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// One page.
    One,
    /// All there is, and then what is committed.
    Following,
    /// Nothing more.
    Over,
}

/// A list, up to where it was read.
struct Listing {
    authority: Arc<Authority>,
    call: Arc<Call>,
    filter: Filter,
    order: Order,
    limit: usize,
    from: Option<u64>,
    binding: Binding,
    state: State,
    head: watch::Receiver<Head>,
    stopping: CancellationToken,
}

impl Source for Listing {
    type Item = ListEventsResponse;

    async fn next(&mut self) -> Option<Item> {
        let stopping = self.stopping.clone();
        tokio::select! {
            biased;
            () = stopping.cancelled() => Some(Err(status::stopping())),
            item = self.listed() => item,
        }
    }
}

impl Listing {
    async fn listed(&mut self) -> Option<Item> {
        match self.state {
            State::Over => return None,
            State::One => {
                self.state = State::Over;
                return Some(self.page().await);
            }
            State::Following => (),
        }
        loop {
            // The caller may have been denied since the stream began.
            if !self.authority.is_still_good(&self.call) {
                return Some(Err(noting::cut_off(&self.authority, &self.call)));
            }
            let end = self.head.borrow_and_update().sequence;
            if self.from.unwrap_or(1) <= end {
                match self.page().await {
                    // Of what the filter does not let through nothing is said, but
                    // that it is passed.
                    Ok(page) if page.events.is_empty() && self.from.is_some_and(|at| at > end) => {}
                    page => return Some(page),
                }
            }
            // In either case the state is looked at.
            let _ = timeout(JUDGED_EVERY, self.head.changed()).await;
        }
    }

    /// The next page; the one after it begins where it ends.
    async fn page(&mut self) -> Item {
        let log = self.authority.audit().log();
        let page = log
            .list(&self.filter, self.order, self.from, self.limit)
            .await
            .map_err(|error| status::of_log(&error))?;
        let is_following = self.state == State::Following;
        let next = page
            .next
            .or_else(|| is_following.then_some(page.head.sequence + 1));
        self.from = next;
        let next_page_token = match next {
            Some(next) => self
                .binding
                .seal(
                    &self.authority.keys().current(),
                    self.authority.random(),
                    &next.to_be_bytes(),
                )
                .map_err(|error| status::internal(&error))?,
            None => String::new(),
        };
        let store = self.authority.store();
        let events = page.listed.into_iter();
        Ok(ListEventsResponse {
            events: events.map(|listed| wire::event(listed, store)).collect(),
            next_page_token,
            head: Some(wire::head(&page.head)),
        })
    }
}
