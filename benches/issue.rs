//! A durable Issue, and 128 at once, against sled alone: the same keys and
//! bytes (the record, the commit's entry in the log, the head), inserted as one
//! batch, flushed and synced by one thread.
//!
//! What to write on the bare side is read back from a store in which credd
//! wrote it, with sled alone; only the ids and the revisions in the keys differ
//! from commit to commit. Both databases lie on the same disk: set
//! `CREDD_BENCH_DIR` to try another than that of the directory for temporary
//! files.
//!
//! `CREDD_BENCH_DIR`, `CREDD_BENCH_ISSUES` (300 on either side of a pair, alone),
//! `CREDD_BENCH_WRITERS` (128), `CREDD_BENCH_MILLIS` (1,000: how long either side
//! of a pair runs with many writers), `CREDD_BENCH_PAIRS` (10).
#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a benchmark may panic"
)]

mod support;

use std::cell::RefCell;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use credd::authority::audit::Trace;
use credd::authority::caller::{Call, Caller, KnownBy, Origin};
use credd::authority::command::{Quotas, Texts};
use credd::authority::committer::How;
use credd::authority::directory::Configured;
use credd::authority::feed::Feed;
use credd::authority::hub::RingSize;
use credd::authority::manage::{Asked, NewCredential};
use credd::authority::sessions::LeaseSettings;
use credd::authority::{Authority, Parts, Workers};
use credd::domain::expiry::Wish;
use credd::domain::names::{Label, Principal, PrincipalName, ProfileName, Role};
use credd::domain::permission::Permission;
use credd::domain::random::SystemRandom;
use credd::domain::rights::{Binding, Reach, Tenants};
use credd::domain::time::{SystemClock, Timestamp};
use credd::proto::v1::IssueRequest;
use credd::proto::v1::credential_service_client::CredentialServiceClient;
use credd::store::Store;
use credd::store::sled::{Options, SledStore};
use support::bare::{database, open_sled};
use support::serving::{Bearer, Credd, channel, runtime};
use support::typical::{Population, STORE};
use support::{Budget, Mix, Pairs, Table, period, preamble, seconds, setting};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

fn main() {
    let issues: usize = setting("CREDD_BENCH_ISSUES", 300);
    let writers: usize = setting("CREDD_BENCH_WRITERS", 128);
    let where_to = directory();
    preamble(&format!("durable Issues, in {}", where_to.path().display()));

    let alone = Template::read(&where_to.path().join("template-1"), 1);
    let many = Template::read(&where_to.path().join("template-n"), writers as u64);
    println!(
        "a commit of 1: {} keys and {} bytes; of {writers}: {} keys and {} bytes",
        alone.pairs.len(),
        alone.bytes(),
        many.pairs.len(),
        many.bytes()
    );

    let runtime = runtime();
    let store = SledStore::create(&where_to.path().join("store"), &options(), STORE).unwrap();
    let authority = start(&runtime, Arc::new(store));
    let bare = BareSled::create(&where_to.path().join("bare"));

    let mut table = Table::new(format!("one writer, and {writers}"));
    let pairs = Pairs::measure(
        || 1e6 / runtime.block_on(issue_alone(&authority, issues)),
        || 1e6 / bare.rate(&alone, |commits, _| commits >= issues),
    );
    table.compare(
        "Issue alone, in process",
        "us",
        &pairs,
        Budget::RatioAtMost(1.5),
    );
    let pairs = Pairs::measure(
        || 1e6 / bare.rate(&alone, |commits, _| commits >= issues),
        || 1e6 / bare.rate(&alone, |commits, _| commits >= issues),
    );
    table.compare("noise: bare against itself", "us", &pairs, Budget::Told);
    let before = authority.index().applied().revision.number();
    let mut together = 0.0;
    let pairs = Pairs::measure(
        || {
            let rate = runtime.block_on(issue_together(&authority, writers));
            together += rate * period().as_secs_f64();
            rate
        },
        || bare.rate(&many, |_, begin| begin.elapsed() >= period()) * writers as f64,
    );
    let commits = authority.index().applied().revision.number() - before;
    table.compare(
        &format!("{writers} Issues at once, in process"),
        "/s",
        &pairs,
        Budget::RatioAtLeast(0.6),
    );
    table.figure(
        "of which, Issues in a commit",
        "",
        together / commits as f64,
        None,
    );
    drop(authority);

    let credd = runtime.block_on(Credd::start(directory()));
    let pairs = Pairs::measure(
        || 1e6 / runtime.block_on(issue_over_grpc(&credd, 1, issues)),
        || 1e6 / bare.rate(&alone, |commits, _| commits >= issues),
    );
    table.compare("Issue alone, over gRPC", "us", &pairs, Budget::Told);
    let each = 4 * issues / writers;
    let pairs = Pairs::measure(
        || runtime.block_on(issue_over_grpc(&credd, writers, each)),
        || bare.rate(&many, |_, begin| begin.elapsed() >= period()) * writers as f64,
    );
    table.compare(
        &format!("{writers} Issues at once, over gRPC"),
        "/s",
        &pairs,
        Budget::Told,
    );
    table.print();
    runtime.block_on(credd.stop());
}

fn directory() -> TempDir {
    match std::env::var_os("CREDD_BENCH_DIR") {
        Some(directory) => tempfile::tempdir_in(directory).unwrap(),
        None => tempfile::tempdir().unwrap(),
    }
}

fn options() -> Options {
    Options {
        reserve_bytes: 16 << 20,
        ..Options::default()
    }
}

/// An authority on a store, with all that must run for it.
fn start(runtime: &Runtime, store: Arc<dyn Store>) -> Arc<Authority> {
    let loaded = Feed::load(Arc::clone(&store), RingSize::default()).unwrap();
    let index = loaded.feed.index();
    index.directory().configure(portal(), index.names());
    let (authority, workers) = Authority::new(Parts {
        store,
        feed: Arc::new(loaded.feed),
        keyring: Population::new(0).keyring,
        clock: Arc::new(SystemClock),
        random: Arc::new(SystemRandom::new()),
        quotas: Quotas::default(),
        leases: LeaseSettings::default(),
    })
    .unwrap();
    let Workers {
        committer,
        uses,
        audit,
        rekeys: _,
        heart,
        follower: _,
    } = workers;
    let thread = std::thread::Builder::new().name("committer".to_owned());
    thread.spawn(|| committer.run().unwrap()).unwrap();
    runtime.spawn(uses.run());
    runtime.spawn(audit.run());
    runtime.spawn(heart.run());
    Arc::new(authority)
}

fn new_credential(number: usize) -> NewCredential {
    let population = Population::new(1000);
    NewCredential {
        tenant: population.tenant(number as u64),
        owner: population.owner(number as u64),
        profile: ProfileName::trusted("api-token".into()),
        texts: Texts {
            label: Some(label(number)),
            ..Texts::default()
        },
        expiry: Wish::Unsaid,
    }
}

fn label(number: usize) -> Label {
    Label::trusted(format!("integration {:08}", number % 100_000_000).into())
}

/// As the portal asks, who is a caller like others.
fn asked(authority: &Authority) -> Asked {
    let portal = Principal::trusted("credd:portal".into());
    let known_by = KnownBy::Until(Timestamp::MAX);
    let call = Call {
        caller: Caller {
            party: authority.party(portal, known_by),
            on_behalf_of: None,
        },
        permission: Permission::Issue,
        reach: Tenants::All,
        trace: Trace::new("credd.v1.CredentialService/Issue", Instant::now(), None, ""),
        answer_before: None,
    };
    Asked {
        how: How {
            origin: Origin::Call(Arc::new(call)),
            dry: false,
            fence: None,
        },
        ..Asked::by_credd()
    }
}

/// That the portal may.
fn portal() -> Configured {
    Configured {
        roles: Vec::new(),
        bindings: vec![Binding {
            reach: Reach::All,
            principal: PrincipalName::trusted("credd:portal".into()),
            role: Role::trusted(Role::ADMINISTRATOR.into()),
        }],
    }
}

/// Issues a second, by one writer.
async fn issue_alone(authority: &Arc<Authority>, issues: usize) -> f64 {
    let authority = Arc::clone(authority);
    let run = async move {
        let new: Vec<_> = (0..issues).map(new_credential).collect();
        let begin = Instant::now();
        for new in new {
            authority.issue(new, asked(&authority)).await.unwrap();
        }
        issues as f64 / begin.elapsed().as_secs_f64()
    };
    // On a thread of the runtime, as a request's.
    tokio::spawn(run).await.unwrap()
}

/// Issues a second, by many writers, each of which waits for its answer.
async fn issue_together(authority: &Arc<Authority>, writers: usize) -> f64 {
    let begin = Instant::now();
    let mut running = JoinSet::new();
    for writer in 0..writers {
        let authority = Arc::clone(authority);
        running.spawn(async move {
            let mut issued = 0_usize;
            let new = new_credential(writer);
            while begin.elapsed() < period() {
                authority
                    .issue(new.clone(), asked(&authority))
                    .await
                    .unwrap();
                issued += 1;
            }
            issued
        });
    }
    let issued = running.join_all().await.into_iter().sum::<usize>();
    issued as f64 / begin.elapsed().as_secs_f64()
}

/// Issues a second, by so many writers with so many each, over four
/// connections.
async fn issue_over_grpc(credd: &Credd, writers: usize, each: usize) -> f64 {
    let mut clients = Vec::new();
    for _ in 0..4 {
        let channel = channel(credd.address).await;
        let bearer = Bearer::new(&credd.token);
        clients.push(CredentialServiceClient::with_interceptor(channel, bearer));
    }
    let begin = Instant::now();
    let mut running = JoinSet::new();
    for writer in 0..writers {
        let mut client = clients[writer % clients.len()].clone();
        running.spawn(async move {
            let NewCredential {
                tenant,
                owner,
                profile,
                ..
            } = new_credential(writer);
            let request = IssueRequest {
                tenant: tenant.to_string(),
                owner: owner.to_string(),
                profile: profile.to_string(),
                label: label(writer).to_string(),
                ..IssueRequest::default()
            };
            for _ in 0..each {
                client.issue(request.clone()).await.unwrap();
            }
        });
    }
    running.join_all().await;
    (writers * each) as f64 / begin.elapsed().as_secs_f64()
}

/// What one commit writes.
struct Template {
    pairs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Template {
    /// Has credd write a commit of so many credentials after another one like
    /// it, and reads what is new in sled.
    fn read(path: &Path, credentials: u64) -> Self {
        {
            let store = SledStore::create(path, &options(), STORE).unwrap();
            Population::new(2 * credentials).fill(&store, credentials, 0);
        }
        let sled = open_sled(&database(path));
        let mut ids = 0;
        let mut pairs = Vec::new();
        for pair in sled.iter() {
            let (key, value) = pair.unwrap();
            let revision = |at: usize| key.get(at..at + 8).map(|n| n.try_into().unwrap());
            let new = match key[0] {
                HEAD => key.ends_with(b"head"),
                DATA => {
                    ids += 1;
                    ids > credentials
                }
                _ => revision(1).map(u64::from_be_bytes) == Some(2),
            };
            if new {
                pairs.push((key.to_vec(), value.to_vec()));
            }
        }
        assert_eq!(ids, 2 * credentials);
        assert!(
            pairs.len() as u64 > credentials + 1,
            "the log is among them"
        );
        Self { pairs }
    }

    fn bytes(&self) -> usize {
        self.pairs
            .iter()
            .map(|(key, value)| key.len() + value.len())
            .sum()
    }

    /// The batch of the next commit.
    fn batch(&self, next: &mut Next) -> sled::Batch {
        let mut batch = sled::Batch::default();
        next.revision += 1;
        for (key, value) in &self.pairs {
            let mut key = key.clone();
            match key[0] {
                HEAD => (),
                // Ids rise with the time, and end in random bytes.
                DATA => {
                    next.id += 1;
                    key[2..10].copy_from_slice(&next.id.to_be_bytes());
                    key[10..18].copy_from_slice(&next.random.next().to_be_bytes());
                }
                _ => key[1..9].copy_from_slice(&next.revision.to_be_bytes()),
            }
            batch.insert(key, value.as_slice());
        }
        batch
    }
}

/// The first bytes of keys in sled (`store/sled/format.rs`).
const HEAD: u8 = 0;
const DATA: u8 = 1;

struct Next {
    revision: u64,
    id: u64,
    random: Mix,
}

/// sled with a descriptor of our own on its file, and nothing else.
struct BareSled {
    sled: sled::Db,
    file: File,
    next: RefCell<Next>,
}

impl BareSled {
    fn create(path: &Path) -> Self {
        let sled = open_sled(path);
        let file = File::options().write(true).open(path.join("db")).unwrap();
        let next = Next {
            revision: 0,
            id: 0,
            random: Mix(2),
        };
        Self {
            sled,
            file,
            next: RefCell::new(next),
        }
    }

    /// Commits a second, until `done` with their number and their beginning.
    fn rate(&self, template: &Template, done: impl Fn(usize, Instant) -> bool) -> f64 {
        let mut commits = 0;
        let (seconds, ()) = seconds(|| {
            let begin = Instant::now();
            while !done(commits, begin) {
                let batch = template.batch(&mut self.next.borrow_mut());
                self.sled.apply_batch(batch).unwrap();
                self.sled.flush().unwrap();
                self.file.sync_data().unwrap();
                commits += 1;
            }
        });
        commits as f64 / seconds
    }
}
