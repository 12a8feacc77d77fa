//! A start with a million credentials against sled's own open and scan of the
//! same directory, and pages of `List`.
//!
//! credd's start is what `credd serve` does before it serves: keyring, store,
//! index. The log holds what is left by a retention that ran: 2,000 commits.
//! Pages are read in process, as the RPC reads them.
//!
//! `CREDD_BENCH_CREDENTIALS` (1,000,000), `CREDD_BENCH_DIR` (the directory for
//! temporary files), `CREDD_BENCH_PAIRS` (10).
#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a benchmark may panic"
)]

mod support;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use credd::authority::Authority;
use credd::authority::list::{Filter, Order, Place, Whose};
use credd::domain::credential::ShownState;
use credd::domain::id::CredentialId;
use credd::domain::time::Timestamp;
use credd::server::open::{IfMissing, open};
use support::serving::{database, settings};
use support::typical::{Population, id};
use support::{Budget, Pairs, Table, median, preamble, seconds, setting};

const PAGE: usize = 100;
/// Commits in the log.
const TAIL: u64 = 2000;

fn main() {
    let count: u64 = setting("CREDD_BENCH_CREDENTIALS", 1_000_000);
    let parent = std::env::var_os("CREDD_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let directory = tempfile::tempdir_in(parent).unwrap();
    preamble(&format!(
        "{count} credentials, in {}",
        directory.path().display()
    ));

    let (filling, ()) = seconds(|| {
        let opened = open(&settings(directory.path()), IfMissing::Create).unwrap();
        let keyring = Arc::clone(&opened.parts.keyring);
        Population { count, keyring }.fill(&*opened.parts.store, 1000, TAIL);
    });
    let database = database(directory.path());
    let bytes = std::fs::metadata(database.join("db")).unwrap().len();
    println!(
        "filled in {filling:.0} s; sled's file has {} MB",
        bytes / 1_000_000
    );

    let mut table = Table::new("start");
    let mut last = None;
    let mut sizes = (0, 0);
    let pairs = Pairs::measure(
        || {
            drop(last.take());
            let (seconds, opened) =
                seconds(|| open(&settings(directory.path()), IfMissing::Refuse).unwrap());
            sizes.0 = opened.parts.feed.index().read(|index| index.len()).1;
            last = Some(opened);
            // What it takes to close is not part of a start.
            drop(last.take());
            seconds * 1e3
        },
        || {
            let (seconds, (sled, read)) = seconds(|| scan_with_sled(&database));
            drop(sled);
            sizes.1 = read;
            seconds * 1e3
        },
    );
    assert_eq!(sizes.0 as u64, count);
    assert!(sizes.1 as u64 > count);
    table.compare(
        "open and load everything",
        "ms",
        &pairs,
        Budget::RatioAtMost(1.5),
    );
    table.print();

    let opened = open(&settings(directory.path()), IfMissing::Refuse).unwrap();
    let (authority, _workers) = Authority::new(opened.parts.clone()).unwrap();
    list(
        &authority,
        &Population {
            count,
            keyring: authority.keys().full(),
        },
    );
}

/// Opens the database with sled alone and reads every pair.
fn scan_with_sled(path: &Path) -> (sled::Db, usize) {
    let cache = settings(path).store.cache_mib << 20;
    let config = sled::Config::new().path(path).flush_every_ms(None);
    let sled = config.cache_capacity(cache).open().unwrap();
    let mut read = 0;
    for pair in sled.iter() {
        let (key, value) = pair.unwrap();
        std::hint::black_box((key, value));
        read += 1;
    }
    (sled, read)
}

fn list(authority: &Authority, population: &Population) {
    const TIMES: usize = 101;

    let middle = id(population.count / 2);
    let whose = [
        ("all tenants", Whose::All),
        ("a tenant", Whose::Tenant(population.tenant(0))),
        (
            "an owner",
            Whose::Owner(population.tenant(0), population.owner(0)),
        ),
    ];
    let mut table = Table::new(format!("a page of {PAGE} of List, median of {TIMES}"));
    for (name, whose) in whose {
        let filter = Filter {
            whose,
            profile: None,
            kind: None,
            states: vec![ShownState::Active, ShownState::Locked, ShownState::Expired],
            label_prefix: String::new(),
            role: None,
            expiring_before: None,
            unused_since: None,
            unlisted: false,
        };
        let last = start_of_last_page(authority, &filter, population.count);
        for (place, after) in [
            ("first", CredentialId::MIN),
            ("middle", middle),
            ("last", last),
        ] {
            let mut entries = 0;
            let times = (0..TIMES).map(|_| {
                let (seconds, page) =
                    seconds(|| authority.list(&filter, Order::Created, from(after), PAGE));
                entries = page.entries.len();
                seconds * 1e6
            });
            let time = median(times.collect());
            table.figure(
                &format!("{name}, {place} page ({entries})"),
                "us",
                time,
                None,
            );
        }
    }
    table.print();
}

/// The place of a credential in the order of issue.
fn from(id: CredentialId) -> Place {
    let at = Timestamp::from_millis(0);
    Place { class: 0, at, id }
}

/// After which id the last hundred follow, or the last few.
fn start_of_last_page(authority: &Authority, filter: &Filter, count: u64) -> CredentialId {
    let mut back = PAGE as u64;
    loop {
        let after = match count.checked_sub(back) {
            None | Some(0) => CredentialId::MIN,
            Some(number) => id(number - 1),
        };
        let page = authority.list(filter, Order::Created, from(after), 10 * PAGE);
        if page.entries.len() >= PAGE || after == CredentialId::MIN {
            let skip = page.entries.len().saturating_sub(PAGE);
            return skip
                .checked_sub(1)
                .map_or(after, |at| page.entries[at].id());
        }
        back *= 2;
    }
}
