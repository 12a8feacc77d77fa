//! A page of 100 of `List`, for each filter and each order, with and without a
//! tenant.
//!
//! Pages are read in process, as the RPC reads them: the first page, of a
//! million credentials of which none is on a disk. Half of them expire, from a
//! month ago to a year from now; seven in ten were used, in the last year; one in
//! fifty is locked and one in twenty revoked; one in ten names a common role and
//! one in a thousand a rare one; a half is of one profile, and one in a thousand
//! of a rare one; labels begin with one of a thousand words.
//!
//! *indexed*: what is looked at is narrowed by the filter, or is in the order
//! asked for. *examined*: what is looked at is narrowed only by the tenant, if
//! there is one; 20,000 credentials at most for a page, which may be short then.
//!
//! `CREDD_BENCH_CREDENTIALS` (1,000,000).
#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a benchmark may panic"
)]

mod support;

use std::fmt::Write as _;
use std::sync::Arc;

use credd::authority::Authority;
use credd::authority::list::{Filter, Order, Place, Whose};
use credd::domain::credential::{Credential, ShownState, State, Use, Uses};
use credd::domain::names::{Label, Principal, ProfileName, Role};
use credd::domain::time::{Clock as _, SystemClock, Timestamp};
use credd::domain::token::{Generation, Kind};
use support::typical::{Population, Source, authority_over, profile};
use support::{Table, median, mix, preamble, seconds, setting};

const PAGE: usize = 100;
const TIMES: usize = 21;
const DAY: i64 = 24 * 60 * 60 * 1000;

fn main() {
    let count: u64 = setting("CREDD_BENCH_CREDENTIALS", 1_000_000);
    preamble(&format!("pages of List in process, {count} credentials"));
    let population = Population::new(count);
    let keyring = Arc::clone(&population.keyring);
    let now = SystemClock.now();
    let varied = Varied { population, now };
    let (authority, _workers) = authority_over(varied.clone(), keyring);
    for in_tenant in [false, true] {
        let place = if in_tenant {
            "of a tenant"
        } else {
            "of all tenants"
        };
        let mut table = Table::new(format!(
            "the first {PAGE} {place}, in microseconds, median of {TIMES}"
        ));
        for (name, narrows, filter) in varied.filters(in_tenant) {
            for order in [Order::Created, Order::Expiry, Order::LastUsed] {
                row(&mut table, &authority, name, narrows, &filter, order);
            }
        }
        table.print();
    }
}

/// What a filter narrows that is looked at, beyond its tenant.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Narrows {
    /// Nothing.
    Nothing,
    /// In every order.
    All,
    /// Only in the order of expiry, or if few expire.
    Expiry,
    /// Only in the order of last use.
    LastUse,
}

fn row(
    table: &mut Table,
    authority: &Authority,
    name: &str,
    narrows: Narrows,
    filter: &Filter,
    order: Order,
) {
    let mut page = authority.list(filter, order, Place::START, PAGE);
    let times = (0..TIMES).map(|_| {
        let (seconds, listed) = seconds(|| authority.list(filter, order, Place::START, PAGE));
        page = listed;
        seconds * 1e6
    });
    let time = median(times.collect());
    let is_any = narrows == Narrows::Nothing && *filter == any(filter.whose.clone());
    let is_indexed = match narrows {
        Narrows::All => true,
        Narrows::Expiry => order == Order::Expiry,
        Narrows::LastUse => order == Order::LastUsed,
        Narrows::Nothing => is_any,
    };
    let mut note = if is_indexed { "indexed" } else { "examined" }.to_owned();
    if page.entries.len() < PAGE {
        let more = if page.next.is_some() {
            ", more follow"
        } else {
            ", all"
        };
        let _ = write!(note, " ({}{more})", page.entries.len());
    }
    let order = match order {
        Order::Created => "by issue",
        Order::Expiry => "by expiry",
        Order::LastUsed => "by last use",
    };
    table.noted(&format!("{name}, {order}"), "us", time, &note);
}

/// All but what is revoked.
fn any(whose: Whose) -> Filter {
    Filter {
        whose,
        profile: None,
        kind: None,
        states: vec![ShownState::Active, ShownState::Locked, ShownState::Expired],
        label_prefix: String::new(),
        role: None,
        expiring_before: None,
        unused_since: None,
        unlisted: false,
    }
}

/// Credentials of every kind of life.
#[derive(Clone, Debug)]
struct Varied {
    population: Population,
    now: Timestamp,
}

impl Varied {
    fn filters(&self, in_tenant: bool) -> Vec<(&'static str, Narrows, Filter)> {
        let tenant = self.population.tenant(0);
        let whose = if in_tenant {
            Whose::Tenant(tenant.clone())
        } else {
            Whose::All
        };
        let any = || any(whose.clone());
        let profile = |name: &str| Filter {
            profile: Some(ProfileName::trusted(name.into())),
            ..any()
        };
        let states = |states: &[ShownState]| Filter {
            states: states.to_vec(),
            ..any()
        };
        let role = |name: &str| Filter {
            role: Some(Role::trusted(name.into())),
            ..any()
        };
        let day = |days: i64| Timestamp::from_millis(self.now.as_millis() + days * DAY);
        let prefix = |prefix: &str| Filter {
            label_prefix: prefix.to_owned(),
            ..any()
        };
        let mut filters = vec![
            ("no filter", Narrows::Nothing, any()),
            ("a common profile", Narrows::All, profile("api-token")),
            ("a rare profile", Narrows::All, profile("trend-micro")),
            (
                "a kind",
                Narrows::Nothing,
                Filter {
                    kind: Some(Kind::KeyPair),
                    ..any()
                },
            ),
            ("locked", Narrows::All, states(&[ShownState::Locked])),
            (
                "locked or revoked",
                Narrows::All,
                states(&[ShownState::Locked, ShownState::Revoked]),
            ),
            ("active", Narrows::Nothing, states(&[ShownState::Active])),
            ("expired", Narrows::Nothing, states(&[ShownState::Expired])),
            ("a label of one word", Narrows::Nothing, prefix("word-007 ")),
            ("a label of ten words", Narrows::Nothing, prefix("word-00")),
            ("a common role", Narrows::All, role("reader")),
            ("a rare role", Narrows::All, role("operator")),
            (
                "expiring within a week",
                Narrows::Expiry,
                Filter {
                    expiring_before: Some(day(7)),
                    ..any()
                },
            ),
            (
                "unused for a month",
                Narrows::LastUse,
                Filter {
                    unused_since: Some(day(-30)),
                    ..any()
                },
            ),
        ];
        if in_tenant {
            let whose = Whose::Owner(tenant, self.population.owner(0));
            filters.push(("an owner", Narrows::All, Filter { whose, ..any() }));
        }
        filters
    }

    /// A moment so many days from now, by a number that says where.
    fn days(&self, from: i64, to: i64, number: u64) -> Timestamp {
        let range = u64::try_from((to - from) * DAY).unwrap();
        let within = i64::try_from(number % range).unwrap();
        Timestamp::from_millis(self.now.as_millis() + from * DAY + within)
    }
}

impl Source for Varied {
    fn count(&self) -> u64 {
        self.population.count
    }

    fn credential(&self, number: u64) -> Credential {
        let lot = |about: u64| mix(number * 8 + about);
        let (name, kind) = match lot(0) % 1000 {
            0 => ("trend-micro", Kind::ApiToken),
            1..125 => ("basic", Kind::Basic),
            125..250 => ("key-pair", Kind::KeyPair),
            250..500 => ("eclecticiq", Kind::ApiToken),
            _ => ("api-token", Kind::ApiToken),
        };
        let role = match lot(1) % 1000 {
            0 => Some("operator"),
            1..100 => Some("reader"),
            _ => None,
        };
        let expires = lot(3).is_multiple_of(2);
        let label = format!("word-{:03} {number:08}", lot(2) % 1000);
        Credential {
            profile: profile(name),
            kind,
            label: Label::trusted(label.into()),
            roles: role
                .map(|role| Role::trusted(role.into()))
                .into_iter()
                .collect(),
            expires_at: expires.then(|| self.days(-30, 365, lot(4))),
            state: match lot(5) % 100 {
                0..2 => State::Locked,
                2..7 => State::Revoked,
                _ => State::Active,
            },
            ..self.population.credential(number)
        }
    }

    fn uses(&self, number: u64) -> Option<Uses> {
        let is_used = mix(number * 8 + 6) % 10 < 7;
        is_used.then(|| {
            Uses::new([Use {
                at: self.days(-365, 0, mix(number * 8 + 7)),
                by: Principal::trusted("credd:gateway".into()),
                generation: Generation::FIRST,
            }])
        })
    }
}
