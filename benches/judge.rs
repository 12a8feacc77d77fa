//! Judging in process, among a million credentials, against what it can't do
//! without: one MAC and one look-up.
//!
//! Both sides take the credentials in the same random order. The bare side
//! computes HMAC-SHA-256 of 55 bytes with a prepared key, and finds an `Arc` in
//! one hashbrown table under one lock, by the same 16 bytes of an id.
//!
//! `CREDD_BENCH_CREDENTIALS` (1,000,000), `CREDD_BENCH_PAIRS` (10).
#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a benchmark may panic"
)]

mod support;

use std::hint::black_box;
use std::sync::Arc;

use credd::authority::Authority;
use credd::authority::caller::{Caller, KnownBy};
use credd::authority::verify::Question;
use credd::domain::id::CredentialId;
use credd::domain::judge::{Audience, Verdict};
use credd::domain::names::Principal;
use credd::domain::rights::Tenants;
use credd::domain::time::Timestamp;
use credd::domain::token::Presented;
use hashbrown::HashTable;
use parking_lot::RwLock;
use ring::hmac;
use support::typical::{Population, id};
use support::{Budget, Mix, Pairs, Table, preamble, seconds, setting};

/// How many are judged on either side of a pair.
const ROUND: usize = 200_000;

fn main() {
    let count = setting("CREDD_BENCH_CREDENTIALS", 1_000_000);
    preamble(&format!("judging in process, {count} credentials"));
    let population = Population::new(count);
    let (authority, _workers) = population.authority();
    let by = caller(&authority);
    let order = Mix(1).permutation(usize::try_from(count).unwrap());
    let tokens = Texts::new(&order);
    let mut table = Table::new("nanoseconds for each credential");

    let bare = Bare::new(count);
    let mut rounds = Rounds::new(order.len());
    let mut bare_rounds = Rounds::new(order.len());
    let pairs = Pairs::measure(
        || {
            rounds.run(|at| {
                let presented = Presented::Token(tokens.get(at));
                let answer = authority.verify(&any_tenant(presented), &by);
                assert_eq!(answer.verdict, Verdict::Active);
                answer
            })
        },
        || bare_rounds.run(|at| bare.look_up_and_verify(u64::from(order[at]))),
    );
    table.compare(
        "verify: a good token",
        "ns",
        &pairs,
        Budget::ExcessAtMost(150.0),
    );

    // A caller's own credential, which is in the caches.
    let mut rounds = Rounds::new(1);
    let pairs = Pairs::measure(
        || {
            rounds.run(|at| {
                let presented = Presented::Token(tokens.get(at));
                authority.verify(&any_tenant(presented), &by)
            })
        },
        || 0.0,
    );
    table.figure("verify: the same good token", "ns", pairs.ours(), None);

    // What the difference is made of.
    let mut rounds = Rounds::new(order.len());
    let pairs = Pairs::measure(
        || rounds.run(|at| Presented::Token(tokens.get(at)).parse()),
        || 0.0,
    );
    table.figure("of which: parsing the token", "ns", pairs.ours(), None);
    let mut rounds = Rounds::new(order.len());
    let mut bare_rounds = Rounds::new(order.len());
    let pairs = Pairs::measure(
        || {
            rounds.run(|at| {
                let id = id(u64::from(order[at]));
                authority.index().read(|index| index.credential(id))
            })
        },
        || bare_rounds.run(|at| bare.look_up(u64::from(order[at]))),
    );
    table.compare(
        "of which: the index against the table",
        "ns",
        &pairs,
        Budget::Told,
    );
    let mut rounds = Rounds::new(order.len());
    let mut bare_rounds = Rounds::new(order.len());
    let pairs = Pairs::measure(
        || rounds.run(|at| bare.verify(u64::from(order[at]))),
        || bare_rounds.run(|_| std::time::SystemTime::now()),
    );
    table.figure("for scale: one bare MAC", "ns", pairs.ours(), None);
    table.figure("for scale: reading the clock", "ns", pairs.bare(), None);
    table.print();
}

fn caller(authority: &Authority) -> Caller {
    let principal = Principal::trusted("credd:bench".into());
    Caller {
        party: authority.party(principal, KnownBy::Until(Timestamp::MAX)),
        on_behalf_of: None,
    }
}

const fn any_tenant(presented: Presented<'_>) -> Question<'_> {
    Question::of(presented, Audience::AnyOf(&Tenants::All))
}

/// Goes round and round through all credentials, a part at a time.
struct Rounds {
    count: usize,
    next: usize,
}

impl Rounds {
    const fn new(count: usize) -> Self {
        Self { count, next: 0 }
    }

    /// Nanoseconds that `work` takes, on average over the next part.
    fn run<T>(&mut self, mut work: impl FnMut(usize) -> T) -> f64 {
        let from = self.next;
        self.next = (from + ROUND) % self.count;
        let (seconds, ()) = seconds(|| {
            for at in from..from + ROUND {
                black_box(work(black_box(at % self.count)));
            }
        });
        seconds * 1e9 / ROUND as f64
    }
}

/// The tokens in the order in which they are presented, as they lie in a
/// buffer that was just received: one after the other.
struct Texts {
    text: String,
    length: usize,
}

impl Texts {
    fn new(order: &[u32]) -> Self {
        let tokens = order
            .iter()
            .map(|&number| Population::token(u64::from(number)));
        let mut text = String::new();
        for token in tokens {
            text.push_str(token.expose());
        }
        let length = text.len() / order.len();
        Self { text, length }
    }

    fn get(&self, at: usize) -> &str {
        &self.text[at * self.length..(at + 1) * self.length]
    }
}

/// One MAC and one look-up.
struct Bare {
    key: hmac::Key,
    table: RwLock<HashTable<Arc<BareEntry>>>,
    tags: Vec<[u8; 32]>,
    hasher: foldhash::fast::RandomState,
}

/// As large as an entry of the index.
struct BareEntry {
    id: CredentialId,
    _rest: [u8; size_of::<credd::authority::entry::Entry>() - 16],
}

impl Bare {
    fn new(count: u64) -> Self {
        let mut bare = Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, &[1; 32]),
            table: RwLock::default(),
            tags: Vec::new(),
            hasher: foldhash::fast::RandomState::default(),
        };
        for number in 0..count {
            let entry = Arc::new(BareEntry {
                id: id(number),
                _rest: [1; _],
            });
            let hash = bare.hash(entry.id);
            let hasher = &bare.hasher;
            bare.table.get_mut().insert_unique(hash, entry, |entry| {
                std::hash::BuildHasher::hash_one(hasher, entry.id)
            });
        }
        let message = bare.message(0);
        let tag = hmac::sign(&bare.key, &message);
        bare.tags.push(tag.as_ref().try_into().unwrap());
        bare
    }

    fn hash(&self, id: CredentialId) -> u64 {
        std::hash::BuildHasher::hash_one(&self.hasher, id)
    }

    #[expect(clippy::unused_self, reason = "it reads as the message of this side")]
    fn message(&self, number: u64) -> [u8; 55] {
        let mut message = [0; 55];
        message[..8].copy_from_slice(&number.to_be_bytes());
        message
    }

    fn look_up(&self, number: u64) -> Option<Arc<BareEntry>> {
        let id = id(number);
        let hash = self.hash(id);
        self.table
            .read()
            .find(hash, |entry| entry.id == id)
            .cloned()
    }

    fn verify(&self, number: u64) -> bool {
        hmac::verify(&self.key, &self.message(number), &self.tags[0]).is_ok()
    }

    fn look_up_and_verify(&self, number: u64) -> (bool, Option<Arc<BareEntry>>) {
        let entry = self.look_up(number);
        assert!(entry.is_some());
        (self.verify(number), entry)
    }
}
