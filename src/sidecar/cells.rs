//! The cells that a sidecar follows: authorities that know nothing of each other, each
//! with tenants of its own.
//!
//! A question goes to the cell that has its tenant. Where any tenant will do it goes to
//! all of them, and the credential is good if the cell of its own tenant says so: what
//! another cell says of that tenant, from before it moved, counts for nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::JoinSet;
use tonic::Status;

use super::relay::Relay;
use super::verifier::{Served, Verified, Verifier};
use crate::client::{Client, Ends};
use crate::domain::header::HeaderRules;
use crate::domain::names::{CellName, Tenant};
use crate::proto::v1;
use crate::rpc::status;
use crate::spans::InContext as _;

/// One of them.
#[derive(Debug)]
pub struct Cell {
    /// What it is called; `None`: it is the one of all tenants that no other has.
    pub name: Option<CellName>,
    /// Who asks there.
    pub client: Client,
    /// What passes on what is followed there.
    pub relay: Arc<Relay>,
}

/// All of them. Copies share everything.
#[derive(Clone, Debug)]
pub struct Cells(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// The first one has all tenants that no other has.
    cells: Vec<Cell>,
    /// Where the others stand.
    of: HashMap<Arc<str>, usize>,
    /// In which headers credentials of any tenant can stand.
    joined: Mutex<Joined>,
}

/// The rules of all cells, and what they were made of.
#[derive(Debug, Default)]
struct Joined {
    of: Vec<Arc<HeaderRules>>,
    rules: Arc<HeaderRules>,
}

impl Cells {
    /// The cell of all tenants that none of `others` has.
    #[must_use]
    pub fn new(rest: Cell, others: impl IntoIterator<Item = (Cell, Vec<Tenant>)>) -> Self {
        let mut cells = vec![rest];
        let mut of = HashMap::new();
        for (cell, tenants) in others {
            let tenants = tenants.iter().map(|tenant| Arc::clone(tenant.as_arc()));
            of.extend(tenants.map(|tenant| (tenant, cells.len())));
            cells.push(cell);
        }
        Self(Arc::new(Inner {
            cells,
            of,
            joined: Mutex::default(),
        }))
    }

    /// Each of them.
    #[must_use]
    pub fn all(&self) -> &[Cell] {
        &self.0.cells
    }

    /// Whether a question can be answered of some tenant.
    #[must_use]
    pub fn can_answer(&self) -> bool {
        self.all().iter().any(|cell| cell.client.can_answer())
    }

    /// The cell that all of these tenants are in, as the field of this name gives them.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT`, where they are in several, or none is named and there are
    /// several.
    pub fn of_all<'t>(
        &self,
        field: &str,
        tenants: impl IntoIterator<Item = &'t str>,
    ) -> Result<&Cell, Status> {
        if let [only] = self.all() {
            return Ok(only);
        }
        let mut places = tenants.into_iter().map(|tenant| self.place(tenant));
        match places.next() {
            Some(first) if places.all(|place| place == first) => Ok(&self.0.cells[first]),
            _ => Err(status::invalid(
                field,
                "must be of one cell, for this sidecar follows several",
            )),
        }
    }

    /// The answer to a question, if it may be given without asking anybody.
    #[must_use]
    pub fn cached(&self, request: &v1::VerifyRequest) -> Option<Verified> {
        if let Some(cell) = self.of_question(request).ok()? {
            return cell.client.cached(request);
        }
        let mut places = 0..self.all().len();
        places.find_map(|place| {
            let found = self.0.cells[place].client.cached(request)?;
            let is_yes = found.is_active() && self.is_own(place, &found);
            is_yes.then(|| kept_by_nobody(found))
        })
    }

    /// The answer to a question, as [`Client::verify_within`] gives it.
    ///
    /// # Errors
    ///
    /// Those of that. Where any tenant will do, those of one of the cells, unless another
    /// one says yes; and `INVALID_ARGUMENT`, where no tenant is named and there are
    /// several cells.
    pub async fn verify(
        &self,
        request: &v1::VerifyRequest,
        patience: Duration,
    ) -> Result<Verified, Status> {
        if let Some(cell) = self.of_question(request)? {
            return cell.client.verify_within(request, patience).await;
        }
        match self.cached(request) {
            Some(found) => Ok(found),
            None => self.ask_all(request, patience).await,
        }
    }

    /// The cell of a question; `None`: any may have the answer.
    fn of_question(&self, request: &v1::VerifyRequest) -> Result<Option<&Cell>, Status> {
        if let [only] = self.all() {
            return Ok(Some(only));
        }
        match (request.tenant.as_str(), request.any_tenant) {
            ("", true) => Ok(None),
            ("", false) => Err(status::invalid(
                "tenant",
                "is required, unless `any_tenant` is set: this sidecar follows several cells",
            )),
            (tenant, _) => Ok(Some(&self.0.cells[self.place(tenant)])),
        }
    }

    fn place(&self, tenant: &str) -> usize {
        self.0.of.get(tenant).copied().unwrap_or(0)
    }

    /// Whether what this cell says is about one of its own tenants, or nobody's.
    fn is_own(&self, place: usize, verified: &Verified) -> bool {
        let identity = verified.response.identity.as_ref();
        identity.is_none_or(|identity| self.place(&identity.tenant) == place)
    }

    /// Asks all of them. The first yes is the answer; else what the first of them says
    /// that knows the credential, once all have said something.
    async fn ask_all(
        &self,
        request: &v1::VerifyRequest,
        patience: Duration,
    ) -> Result<Verified, Status> {
        let mut asked = JoinSet::new();
        for (place, cell) in self.all().iter().enumerate() {
            let request = v1::VerifyRequest {
                min_revision: self.least(place, request),
                ..request.clone()
            };
            let client = cell.client.clone();
            let ask = async move { (place, client.verify_within(&request, patience).await) };
            asked.spawn(ask.with_current_context());
        }
        let mut failure = None;
        let mut denial: Option<(usize, Verified)> = None;
        while let Some(outcome) = asked.join_next().await {
            let (place, outcome) = outcome.map_err(|error| status::internal(&error))?;
            match outcome {
                Ok(said) if !self.is_own(place, &said) => (),
                Ok(said) if said.is_active() => return Ok(kept_by_nobody(said)),
                Ok(said) => {
                    let rank = |place, said: &Verified| {
                        let is_unknown = said.response.verdict() == v1::Verdict::Invalid;
                        (is_unknown, place)
                    };
                    let is_first = denial
                        .as_ref()
                        .is_none_or(|(other, first)| rank(place, &said) < rank(*other, first));
                    if is_first {
                        denial = Some((place, said));
                    }
                }
                Err(status) => failure = Some(status),
            }
        }
        match (failure, denial) {
            (Some(status), _) => Err(status),
            (None, Some((_, said))) => Ok(kept_by_nobody(said)),
            (None, None) => Ok(known_to_nobody()),
        }
    }

    /// As of which revision the answer of a cell must be: of one of its own, or, where
    /// no cell is known to have that store, whatever was asked for.
    fn least(&self, place: usize, request: &v1::VerifyRequest) -> Option<v1::Revision> {
        let least = request.min_revision.as_ref()?;
        let has_store = |cell: &Cell| {
            let applied = cell.client.condition().applied?;
            Some(applied.store.to_string() == least.store_id)
        };
        let is_of_another = has_store(&self.0.cells[place]) == Some(false)
            && self.all().iter().any(|cell| has_store(cell) != Some(false));
        (!is_of_another).then(|| least.clone())
    }
}

impl Verifier for Cells {
    async fn verify(
        &self,
        request: v1::VerifyRequest,
        patience: Duration,
    ) -> Result<Verified, Status> {
        Self::verify(self, &request, patience).await
    }

    fn headers(&self, tenant: Option<&str>) -> Option<Arc<HeaderRules>> {
        match (self.all(), tenant) {
            ([only], tenant) => only.client.headers(tenant),
            (cells, Some(tenant)) => cells[self.place(tenant)].client.headers(Some(tenant)),
            // One that has not told yet does not keep the others' credentials out.
            (cells, None) => {
                let told = cells.iter().filter_map(|cell| cell.client.headers(None));
                let told: Vec<_> = told.collect();
                (!told.is_empty()).then(|| self.0.joined.lock().rules(told))
            }
        }
    }
}

impl Joined {
    /// All of these.
    fn rules(&mut self, of: Vec<Arc<HeaderRules>>) -> Arc<HeaderRules> {
        let is_same = of.len() == self.of.len()
            && of
                .iter()
                .zip(&self.of)
                .all(|(new, old)| Arc::ptr_eq(new, old));
        if !is_same {
            let rules = of.iter().flat_map(|rules| rules.iter().cloned());
            self.rules = Arc::new(rules.collect());
            self.of = of;
        }
        Arc::clone(&self.rules)
    }
}

/// What one cell says for all of them is told of by no one's changes.
fn kept_by_nobody(verified: Verified) -> Verified {
    Verified {
        valid_for: Some(Duration::ZERO),
        ..verified
    }
}

/// What is said of a credential that no cell has in a tenant of its own.
fn known_to_nobody() -> Verified {
    let response = v1::VerifyResponse {
        verdict: v1::Verdict::Invalid.into(),
        ..v1::VerifyResponse::default()
    };
    Verified {
        response: Arc::new(response),
        at: None,
        valid_for: Some(Duration::ZERO),
        ends: Ends::Unsaid,
        served: Served::Asked,
    }
}
