//! The cache by examples, and against one that forgets nothing and looks at
//! everything.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits {
    weight: 1 << 20,
    changes: 1000,
    invalid: Duration::from_secs(2),
    uses: 100,
};
const INVALID: Says = Says::Invalid { valid_for: None };
const SECOND: Duration = Duration::from_secs(1);

fn hashes() -> Hashes {
    Hashes::new(&[3; 16])
}

fn key(token: &str) -> QuestionKey {
    hashes().question(&Question {
        presented: Presentation::Token(token),
        tenant: "acme",
        any_tenant: false,
        profiles: &[],
        permissions: &[],
    })
}

fn presented(token: &str) -> Subject {
    let presented = Presentation::Token(token);
    hashes().subject(About::Presented(presented))
}

fn subject(tenant: &str) -> Subject {
    hashes().subject(About::Tenant(tenant))
}

/// So many milliseconds after the start, by both clocks.
fn at(millis: u64) -> Moment {
    Moment {
        boot: BootTime::new(Duration::from_millis(millis)),
        wall: Timestamp::from_millis(i64::try_from(millis).unwrap()),
    }
}

fn store(number: u8) -> StoreId {
    StoreId::from_bytes([number; 16])
}

fn rev(number: u64) -> At {
    At {
        store: store(1),
        revision: Revision::new(number),
    }
}

fn yes(valid_for: Duration) -> Says {
    Says::Yes {
        credential: CredentialId::MIN,
        generation: Generation::FIRST,
        valid_for,
    }
}

fn fact(answer: u32, at: At, depends_on: &[Subject]) -> Fact<u32> {
    Fact {
        answer,
        says: yes(LONGEST),
        at,
        ends: Ends::Unsaid,
        expires_at: None,
        presented: presented("t"),
        depends_on: depends_on.into(),
        weight: 100,
    }
}

fn renew(cache: &mut Cache<u32>, now: Moment, lease: Duration) {
    let renewal = cache.renew(now).unwrap();
    assert!(cache.granted(renewal.sequence, Some(lease)));
}

/// One that follows from revision 5 on and has a lease of ten seconds.
fn live() -> Cache<u32> {
    let mut cache = Cache::new(LIMITS);
    cache.begin(rev(5));
    renew(&mut cache, at(0), SECOND * 10);
    cache
}

fn answer(cache: &mut Cache<u32>, now: Moment) -> Result<u32, Miss> {
    cache.find(key("t"), None, now).map(|hit| hit.answer)
}

#[test]
fn a_revoke_that_passes_while_an_answer_is_in_flight_does_not_spoil_the_cache_of_who_joins() {
    let mut cache = live();
    let subjects = [subject("acme")];
    // Somebody asks; the authority answers as of revision 5, and the answer travels.
    let asking = cache.ask(None, at(1));
    // The revoke passes it on the other stream, and its fence is acknowledged: from
    // here on nobody may get a yes.
    cache.apply(Revision::new(6), subjects);
    renew(&mut cache, at(2), SECOND * 10);
    // The answer arrives after it, and is kept for all that anybody knows.
    cache.keep(key("t"), &asking, fact(1, rev(5), &subjects), at(3));
    // Who waited for it, and came after the revoke had returned, looks when it is there.
    assert_eq!(answer(&mut cache, at(3)), Err(Miss::Changed));
    // It asks anew, for an answer that knows of the revoke.
    let anew = cache.ask(None, at(3));
    assert_eq!(anew.least, Some(rev(6)));
    cache.keep(key("t"), &anew, fact(2, rev(6), &subjects), at(4));
    assert_eq!(answer(&mut cache, at(4)), Ok(2));
}

#[test]
fn nothing_is_given_without_a_lease() {
    let mut cache = Cache::new(LIMITS);
    assert_eq!(cache.state(at(0)), State::Cold);
    let asking = cache.ask(None, at(0));
    assert_eq!(asking.least, None);
    cache.keep(key("t"), &asking, fact(1, rev(5), &[]), at(0));
    assert_eq!(answer(&mut cache, at(0)), Err(Miss::NotLive));

    cache.begin(rev(5));
    assert_eq!(cache.state(at(0)), State::Syncing);
    let asking = cache.ask(None, at(0));
    cache.keep(key("t"), &asking, fact(1, rev(5), &[]), at(0));
    assert_eq!(answer(&mut cache, at(0)), Err(Miss::NotLive));

    // It runs from when it was asked for, less what clocks may be wrong by.
    renew(&mut cache, at(100), SECOND * 10);
    assert_eq!(cache.state(at(9_999)), State::Live);
    assert_eq!(answer(&mut cache, at(9_999)), Ok(1));
    assert_eq!(cache.state(at(10_000)), State::Stale);
    assert_eq!(answer(&mut cache, at(10_000)), Err(Miss::NotLive));
}

#[test]
fn an_answer_is_given_as_long_as_its_authority_says_from_when_it_was_asked_for() {
    let mut cache = live();
    let asking = cache.ask(None, at(1_000));
    let mut shorter = fact(1, rev(5), &[]);
    shorter.says = yes(SECOND);
    cache.keep(key("t"), &asking, shorter, at(1_900));
    let hit = cache.find(key("t"), None, at(1_900)).unwrap();
    assert_eq!(hit.valid_for, Duration::from_millis(90));
    assert_eq!(answer(&mut cache, at(1_990)), Err(Miss::Expired));
}

#[test]
fn what_is_left_until_the_secret_ends_is_told() {
    for (ends, left) in [
        (Ends::Unsaid, Ends::Unsaid),
        (Ends::Never, Ends::Never),
        (Ends::In(SECOND * 100), Ends::In(SECOND * 97)),
    ] {
        let mut cache = live();
        let asking = cache.ask(None, at(1_000));
        let fact = Fact {
            ends,
            ..fact(1, rev(5), &[])
        };
        cache.keep(key("t"), &asking, fact, at(2_000));
        let hit = cache.find(key("t"), None, at(3_000)).unwrap();
        assert_eq!(hit.ends, left);
    }
}

#[test]
fn what_is_used_outlives_what_is_remembered_of_changes() {
    let mut cache: Cache<u32> = Cache::new(Limits {
        changes: 2,
        ..LIMITS
    });
    cache.begin(rev(5));
    renew(&mut cache, at(0), SECOND * 10);
    for token in ["used", "unused"] {
        let asking = cache.ask(None, at(0));
        let fact = fact(1, rev(5), &[subject("acme")]);
        cache.keep(key(token), &asking, fact, at(0));
    }
    for revision in 6..20 {
        cache.apply(Revision::new(revision), [subject("other")]);
        let hit = cache.find(key("used"), None, at(1)).unwrap();
        assert_eq!(hit.at, rev(revision));
    }
    let unused = cache.find(key("unused"), None, at(1));
    assert_eq!(unused, Err(Miss::Changed));
}

#[test]
fn an_answer_is_as_of_the_revision_that_is_asked_for_or_is_not_given() {
    let mut cache = live();
    let asking = cache.ask(None, at(0));
    cache.keep(key("t"), &asking, fact(1, rev(5), &[]), at(0));
    let find = |cache: &mut Cache<u32>, least| {
        let hit = cache.find(key("t"), Some(least), at(1));
        hit.map(|hit| hit.at.revision.number())
    };
    assert_eq!(find(&mut cache, rev(6)), Err(Miss::Behind));
    cache.apply(Revision::new(7), []);
    assert_eq!(find(&mut cache, rev(6)), Ok(7));
    let elsewhere = At {
        store: store(2),
        ..rev(1)
    };
    assert_eq!(find(&mut cache, elsewhere), Err(Miss::Behind));
    // A question goes on with it, and with no less than was applied.
    for (asked, least) in [(rev(6), rev(7)), (rev(9), rev(9)), (elsewhere, elsewhere)] {
        assert_eq!(cache.ask(Some(asked), at(1)).least, Some(least));
    }
}

#[test]
fn what_was_asked_before_everything_was_dropped_leaves_nothing() {
    let mut cache = live();
    let before = cache.ask(None, at(0));
    cache.keep(key("t"), &before, fact(1, rev(5), &[]), at(0));
    // The log was compacted: revisions go on, but some changes were missed.
    cache.begin(rev(9));
    renew(&mut cache, at(1), SECOND * 10);
    assert_eq!(answer(&mut cache, at(1)), Err(Miss::Unknown));
    cache.keep(key("t"), &before, fact(1, rev(9), &[]), at(1));
    assert_eq!(answer(&mut cache, at(1)), Err(Miss::Unknown));
    // An answer of a store that is not followed.
    let asking = cache.ask(None, at(1));
    let elsewhere = At {
        store: store(2),
        ..rev(9)
    };
    cache.keep(key("t"), &asking, fact(1, elsewhere, &[]), at(1));
    assert_eq!(answer(&mut cache, at(1)), Err(Miss::Unknown));
}

#[test]
fn clocks_that_part_and_a_refusal_drop_everything() {
    for drop in [
        |cache: &mut Cache<u32>, now: Moment| {
            let set = Moment {
                wall: Timestamp::from_millis(now.wall.as_millis() + 3_600_000),
                ..now
            };
            assert_eq!(answer(cache, set), Err(Miss::NotLive));
            assert_eq!(cache.state(set), State::Syncing);
        },
        |cache: &mut Cache<u32>, now| {
            cache.refused();
            assert_eq!(cache.state(now), State::Cold);
        },
    ] {
        let mut cache = live();
        let asking = cache.ask(None, at(0));
        cache.keep(key("t"), &asking, fact(1, rev(5), &[]), at(0));
        let unanswered = cache.renew(at(1)).unwrap();
        drop(&mut cache, at(2));
        assert!(cache.is_empty());
        assert!(!cache.granted(unanswered.sequence, Some(SECOND * 10)));
        let now = at(3_600_003);
        let stale = cache.find_stale(key("t"), None, |_| Some(SECOND * 1000), now);
        assert_eq!(stale, None);
        cache.keep(key("t"), &asking, fact(1, rev(5), &[]), now);
        assert!(cache.is_empty());
    }
}

#[test]
fn a_credential_that_is_issued_is_not_denied_by_what_was_invalid_before() {
    let mut cache = live();
    let loosened = hashes().subject(About::Loosened(Some("acme")));
    let invalid = Fact {
        says: INVALID,
        ..fact(1, rev(5), &[loosened])
    };
    let asking = cache.ask(None, at(0));
    cache.keep(key("t"), &asking, invalid.clone(), at(0));
    assert_eq!(answer(&mut cache, at(1)), Ok(1));
    cache.apply(Revision::new(6), [loosened]);
    assert_eq!(answer(&mut cache, at(1)), Err(Miss::Changed));
    // And if the news does not come, not for long.
    let asking = cache.ask(None, at(1));
    cache.keep(
        key("t"),
        &asking,
        Fact {
            at: rev(6),
            ..invalid
        },
        at(1),
    );
    assert_eq!(answer(&mut cache, at(1_980)), Ok(1));
    assert_eq!(answer(&mut cache, at(2_001)), Err(Miss::Expired));
}

/// Whether the entry is given, while the lease holds and when it has run out.
fn is_given(cache: &mut Cache<u32>, token: &str) -> [bool; 2] {
    let is_given = cache.find(key(token), None, at(2)).is_ok();
    let bound = |_: &u32| Some(SECOND * 90);
    let stale = cache.find_stale(key(token), None, bound, at(20_000));
    [is_given, stale.is_some()]
}

#[test]
fn what_was_denied_is_not_given_again_whatever_was_asked_about_it() {
    let credential = subject("a credential");
    for denied in [presented("t"), credential] {
        let mut cache = live();
        let keep = |cache: &mut Cache<u32>, asking: &Asking, token, fact| {
            cache.keep(key(token), asking, fact, at(1));
        };
        let asking = cache.ask(None, at(0));
        let yes = || fact(1, rev(5), &[credential]);
        let of_another = Fact {
            presented: presented("other"),
            ..fact(1, rev(5), &[subject("another")])
        };
        keep(&mut cache, &asking, "one", yes());
        keep(&mut cache, &asking, "two", yes());
        keep(&mut cache, &asking, "other", of_another.clone());
        cache.deny([denied]);
        // One that was asked for before, and arrives now.
        keep(&mut cache, &asking, "three", yes());
        for token in ["one", "two", "three"] {
            assert_eq!(is_given(&mut cache, token), [false, false], "{token}");
        }
        assert_eq!(is_given(&mut cache, "other"), [true, true]);
        // It is good again.
        let asking = cache.ask(None, at(1));
        keep(&mut cache, &asking, "one", yes());
        assert_eq!(is_given(&mut cache, "one"), [true, true]);
        assert_eq!(is_given(&mut cache, "two"), [false, false]);
    }
}

#[test]
fn an_answer_takes_out_what_was_kept_of_its_question() {
    let elsewhere = At {
        store: store(2),
        ..rev(9)
    };
    let yes = || fact(1, rev(5), &[]);
    let forbidden = Says::Forbidden { valid_for: LONGEST };
    for (answer, no_invalid) in [
        (
            Fact {
                says: INVALID,
                ..yes()
            },
            false,
        ),
        (
            Fact {
                says: INVALID,
                ..yes()
            },
            true,
        ),
        (
            Fact {
                says: forbidden,
                ..yes()
            },
            false,
        ),
        (
            Fact {
                says: Says::Forbidden {
                    valid_for: Duration::ZERO,
                },
                ..yes()
            },
            false,
        ),
        (
            Fact {
                at: elsewhere,
                says: INVALID,
                ..yes()
            },
            false,
        ),
    ] {
        let invalid = if no_invalid { Duration::ZERO } else { SECOND };
        let mut cache = Cache::new(Limits { invalid, ..LIMITS });
        cache.begin(rev(5));
        renew(&mut cache, at(0), SECOND * 10);
        let asking = cache.ask(None, at(0));
        cache.keep(key("t"), &asking, yes(), at(1));
        cache.keep(key("u"), &asking, yes(), at(1));
        let text = format!("{answer:?}");
        let is_of_the_secret = answer.says == INVALID && answer.at != elsewhere;
        cache.keep(key("t"), &asking, answer, at(1));
        let [_, stale] = is_given(&mut cache, "t");
        assert!(!stale, "{text}");
        // Of other questions about the secret nothing is known but where it is INVALID.
        let others = is_given(&mut cache, "u");
        assert_eq!(others, [!is_of_the_secret; 2], "{text}");
    }
    let mut cache = live();
    let asking = cache.ask(None, at(0));
    cache.keep(key("t"), &asking, yes(), at(1));
    cache.forget(key("t"));
    assert_eq!(is_given(&mut cache, "t"), [false, false]);
    // What is INVALID is kept as such.
    let invalid = Fact {
        says: INVALID,
        ..yes()
    };
    cache.keep(key("t"), &asking, yes(), at(1));
    cache.keep(key("t"), &asking, invalid, at(1));
    assert_eq!(is_given(&mut cache, "t"), [true, false]);
}

#[test]
fn what_is_invalid_is_kept_for_no_longer_than_who_kept_it_first_says() {
    for (said, kept) in [
        (None, 1_980),
        (Some(SECOND * 9), 1_980),
        (Some(SECOND), 990),
        (Some(Duration::ZERO), 0),
    ] {
        let mut cache = live();
        let asking = cache.ask(None, at(0));
        let invalid = Fact {
            says: Says::Invalid { valid_for: said },
            ..fact(1, rev(5), &[])
        };
        cache.keep(key("t"), &asking, invalid, at(0));
        for (millis, is_given) in [(0, kept > 0), (kept, false)] {
            let found = answer(&mut cache, at(millis));
            assert_eq!(found.is_ok(), is_given, "{said:?}");
        }
        if kept > 0 {
            assert_eq!(answer(&mut cache, at(kept - 1)), Ok(1), "{said:?}");
        }
    }
}

#[test]
fn staleness_is_bounded_and_knows_what_is_known() {
    let mut cache = live();
    let acme = subject("acme");
    let kept = |cache: &mut Cache<u32>, token, fact| {
        let asking = cache.ask(None, at(0));
        cache.keep(key(token), &asking, fact, at(0));
    };
    let full = fact(1, rev(5), &[acme]);
    kept(&mut cache, "full", full.clone());
    let expires_at = Some(Timestamp::from_millis(70_000));
    kept(
        &mut cache,
        "expires",
        Fact {
            expires_at,
            ..full.clone()
        },
    );
    let half = Fact {
        says: yes(SECOND * 30),
        ..full.clone()
    };
    kept(&mut cache, "unsaid", half.clone());
    let ends = |ends, fact: &Fact<u32>| Fact {
        ends,
        ..fact.clone()
    };
    let overlap = Ends::In(SECOND * 70);
    kept(&mut cache, "overlap", ends(overlap, &full));
    kept(&mut cache, "overlap behind a relay", ends(overlap, &half));
    kept(&mut cache, "behind a relay", ends(Ends::Never, &half));
    let says = Says::Forbidden { valid_for: LONGEST };
    kept(&mut cache, "forbidden", Fact { says, ..full });
    let bound = |_: &u32| Some(SECOND * 90);
    let mut stale = |token, millis| {
        let has = cache.has_stale(key(token), None, bound, at(millis));
        let found = cache.find_stale(key(token), None, bound, at(millis));
        assert_eq!(has, found.is_some(), "{token}");
        has
    };
    // The lease ends at 9,900.
    for (token, good, over) in [
        ("full", 99_899, 99_900),
        ("expires", 69_999, 70_000),
        ("unsaid", 29_699, 29_700),
        ("overlap", 69_299, 69_300),
        ("overlap behind a relay", 69_299, 69_300),
        ("behind a relay", 99_899, 99_900),
    ] {
        assert!(stale(token, good), "{token}");
        assert!(!stale(token, over), "{token}");
    }
    assert!(!stale("forbidden", 20_000));
    assert!(!stale("none", 20_000));
    let hit = cache.find_stale(key("full"), None, bound, at(20_000));
    let hit = hit.unwrap();
    assert_eq!(hit.valid_for, Duration::ZERO);
    let later = At {
        revision: Revision::new(hit.at.revision.number() + 1),
        ..hit.at
    };
    for (least, is_given) in [(hit.at, true), (later, false)] {
        let found = cache.find_stale(key("full"), Some(least), bound, at(20_000));
        assert_eq!(found.is_some(), is_given, "{least:?}");
    }
    cache.apply(Revision::new(6), [acme]);
    assert_eq!(cache.find_stale(key("full"), None, bound, at(20_000)), None);
}

#[test]
fn uses_are_noted_now_and_then_and_reported_with_renewals() {
    let mut cache = live();
    let asking = cache.ask(None, at(0));
    cache.keep(key("t"), &asking, fact(1, rev(5), &[]), at(0));
    for millis in [1, 5_000, 9_800] {
        assert_eq!(answer(&mut cache, at(millis)), Ok(1));
    }
    assert_eq!(cache.renew(at(9_800)).unwrap().uses, []);
    renew(&mut cache, at(9_800), SECOND * 10);
    for millis in [10_000, 10_001] {
        assert_eq!(answer(&mut cache, at(millis)), Ok(1));
    }
    let used = Use {
        credential: CredentialId::MIN,
        generation: Generation::FIRST,
        used_at: at(10_000).wall,
    };
    assert_eq!(cache.renew(at(10_002)).unwrap().uses, [used]);
}

#[test]
fn those_who_pass_by_once_do_not_drive_out_what_is_used() {
    let mut cache: Cache<u32> = Cache::new(Limits {
        weight: 100_000,
        ..LIMITS
    });
    cache.begin(rev(5));
    renew(&mut cache, at(0), SECOND * 60);
    let ask = |cache: &mut Cache<u32>, token: &str| {
        if cache.find(key(token), None, at(1)).is_err() {
            let asking = cache.ask(None, at(1));
            cache.keep(key(token), &asking, fact(1, rev(5), &[]), at(1));
        }
    };
    for _ in 0..3 {
        for token in 0..50 {
            ask(&mut cache, &format!("used {token}"));
        }
    }
    for token in 0..10_000 {
        ask(&mut cache, &format!("once {token}"));
    }
    assert!(cache.entries.weight() <= 100_000);
    let kept = (0..50).filter(|token| {
        let key = key(&format!("used {token}"));
        cache.find(key, None, at(1)).is_ok()
    });
    assert!(kept.count() >= 45);
}

/// What happens to a cache.
#[derive(Clone, Debug)]
enum Step {
    Pass(u64),
    Ask(usize),
    Answer {
        question: usize,
        late_by: u64,
        valid_for: u64,
    },
    Change(Vec<u8>),
    Deny(usize),
    Renew,
    Grant(Option<u64>),
    Begin,
    OtherStore,
    Disconnect,
    Refuse,
    SetClock,
    Find {
        question: usize,
        least: Option<u64>,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_u64..3_000).prop_map(Step::Pass),
        6 => (0_usize..3).prop_map(Step::Ask),
        6 => (0_usize..3, 0_u64..3, 0_u64..70_000).prop_map(|(question, late_by, valid_for)| {
            Step::Answer { question, late_by, valid_for }
        }),
        4 => prop::collection::vec(0_u8..6, 0..3).prop_map(Step::Change),
        4 => (0_usize..3).prop_map(Step::Deny),
        4 => Just(Step::Renew),
        4 => prop::option::of(0_u64..10_000).prop_map(Step::Grant),
        1 => Just(Step::Begin),
        1 => Just(Step::OtherStore),
        1 => Just(Step::Disconnect),
        1 => Just(Step::Refuse),
        1 => Just(Step::SetClock),
        10 => (0_usize..3, prop::option::of(0_u64..4))
            .prop_map(|(question, least)| Step::Find { question, least }),
    ]
}

/// An answer, when its question was sent, and what it depends on.
type Kept = (Fact<u32>, u64, Vec<u8>);

/// Remembers everything since continuity began.
#[derive(Default)]
struct Oracle {
    follows: Option<At>,
    changes: Vec<(u64, Vec<u8>)>,
    lease_end: Option<u64>,
    renewals: BTreeMap<u64, u64>,
    /// What was kept of each question.
    kept: BTreeMap<usize, Vec<Kept>>,
    /// Questions that were asked since, with when, the latest of each.
    asked: BTreeMap<usize, (Asking, u64, bool)>,
}

impl Oracle {
    fn drop_all(&mut self) {
        self.lease_end = None;
        self.renewals.clear();
        self.kept.clear();
        for (_, _, counts) in self.asked.values_mut() {
            *counts = false;
        }
    }

    /// The answers to a question that may be given.
    fn may_give(&self, question: usize, least: Option<At>, now: u64) -> Vec<u32> {
        let is_live = self.lease_end.is_some_and(|end| now < end);
        let (Some(follows), true) = (self.follows, is_live) else {
            return Vec::new();
        };
        let kept = self.kept.get(&question).into_iter().flatten();
        let good = kept.filter(|(fact, sent_at, depends_on)| {
            let Says::Yes { valid_for, .. } = fact.says else {
                return false;
            };
            let age = Duration::from_millis(now - sent_at);
            let is_unchanged = self.changes.iter().all(|(revision, changed)| {
                *revision <= fact.at.revision.number()
                    || !changed.iter().any(|one| depends_on.contains(one))
            });
            let known_at = fact.at.revision.max(follows.revision);
            let is_recent = least
                .is_none_or(|least| least.store == follows.store && least.revision <= known_at);
            age < DRIFT.at_most(valid_for) && is_unchanged && is_recent
        });
        good.map(|(fact, ..)| fact.answer).collect()
    }
}

fn of(number: u8) -> Subject {
    subject(&format!("tenant {number}"))
}

proptest! {
    /// Against an oracle that forgets nothing: what it gives may be given, whatever it
    /// remembers; and with room enough it gives whatever may be given of the latest
    /// answer.
    #[test]
    fn what_is_given_may_be_given_and_what_may_be_given_is(
        changes in prop_oneof![Just(1_usize), Just(3), Just(10_000)],
        steps in prop::collection::vec(step(), 0..80),
    ) {
        let mut cache: Cache<u32> = Cache::new(Limits { changes, ..LIMITS });
        let mut oracle = Oracle::default();
        let (mut now, mut wall, mut answers) = (1_000_u64, 0_i64, 0_u32);
        let mut current = rev(10);
        for step in steps {
            let moment = Moment {
                boot: BootTime::new(Duration::from_millis(now)),
                wall: Timestamp::from_millis(i64::try_from(now).unwrap() + wall),
            };
            cache.look(moment);
            match step {
                Step::Pass(millis) => now += millis,
                Step::Ask(question) => {
                    let asking = cache.ask(None, moment);
                    oracle.asked.insert(question, (asking, now, oracle.follows.is_some()));
                }
                Step::Answer { question, late_by, valid_for } => {
                    let Some((asking, sent_at, counts)) = oracle.asked.remove(&question) else {
                        continue;
                    };
                    answers += 1;
                    let least = asking.least.filter(|least| least.store == current.store);
                    let revision = current.revision.number().saturating_sub(late_by);
                    let revision = least.map_or(revision, |it| it.revision.number().max(revision));
                    let depends_on = vec![u8::try_from(question).unwrap(), 3];
                    let subjects: Vec<_> = depends_on.iter().map(|it| of(*it)).collect();
                    let fact = Fact {
                        says: yes(Duration::from_millis(valid_for)),
                        presented: presented(&question.to_string()),
                        ..fact(answers, At { revision: Revision::new(revision), ..current }, &subjects)
                    };
                    cache.keep(key(&question.to_string()), &asking, fact.clone(), moment);
                    let is_followed = oracle.follows.is_some_and(|at| at.store == current.store);
                    if counts && is_followed {
                        let kept = oracle.kept.entry(question).or_default();
                        kept.push((fact, sent_at, depends_on));
                    }
                }
                Step::Change(changed) => {
                    current.revision = current.revision.next();
                    if let Some(follows) = &mut oracle.follows
                        && follows.store == current.store
                    {
                        cache.apply(current.revision, changed.iter().map(|it| of(*it)));
                        follows.revision = current.revision;
                        oracle.changes.push((current.revision.number(), changed));
                    }
                }
                Step::Deny(question) => {
                    cache.deny([presented(&question.to_string())]);
                    oracle.kept.remove(&question);
                    if let Some((_, _, counts)) = oracle.asked.get_mut(&question) {
                        *counts = false;
                    }
                }
                Step::Renew => {
                    if let Some(renewal) = cache.renew(moment) {
                        prop_assert_eq!(Some(renewal.applied), oracle.follows);
                        oracle.renewals.insert(renewal.sequence.0, now);
                    }
                }
                Step::Grant(lease) => {
                    let Some((sequence, sent_at)) = oracle.renewals.pop_first() else {
                        continue;
                    };
                    let lease = lease.map(Duration::from_millis);
                    prop_assert!(cache.granted(Sequence(sequence), lease));
                    if let Some(lease) = lease {
                        let ends_at = sent_at * 1_000_000
                            + u64::try_from(DRIFT.at_most(lease).as_nanos()).unwrap();
                        let ends_at = ends_at.div_ceil(1_000_000);
                        oracle.lease_end = oracle.lease_end.max(Some(ends_at));
                    }
                }
                Step::Begin | Step::OtherStore => {
                    if matches!(step, Step::OtherStore) {
                        let [number, ..] = current.store.as_bytes();
                        current = At { store: store(number % 3 + 1), revision: Revision::new(10) };
                    }
                    cache.begin(current);
                    oracle.drop_all();
                    oracle.changes.clear();
                    oracle.follows = Some(current);
                }
                Step::Disconnect => {
                    cache.disconnected();
                    oracle.renewals.clear();
                }
                Step::Refuse => {
                    cache.refused();
                    oracle.drop_all();
                    oracle.follows = None;
                }
                Step::SetClock => {
                    wall += 10_000;
                    now += 1;
                    oracle.drop_all();
                    cache.look(Moment {
                        boot: BootTime::new(Duration::from_millis(now)),
                        wall: Timestamp::from_millis(i64::try_from(now).unwrap() + wall),
                    });
                }
                Step::Find { question, least } => {
                    let least = least.map(|more| At {
                        revision: Revision::new(current.revision.number() + 1 - more.min(3)),
                        ..current
                    });
                    let may = oracle.may_give(question, least, now);
                    let found = cache.find(key(&question.to_string()), least, moment);
                    match &found {
                        Ok(hit) => {
                            prop_assert!(may.contains(&hit.answer), "{hit:?}, not of {may:?}");
                            prop_assert!(least.is_none_or(|it| it.revision <= hit.at.revision));
                        }
                        Err(why) if changes == 10_000 => {
                            // One that was kept before a later one may be lost.
                            let kept = oracle.kept.get(&question);
                            let latest = kept.and_then(|kept| kept.last());
                            let latest = latest.map(|(fact, ..)| fact.answer);
                            let lost = latest.is_some_and(|latest| may.contains(&latest));
                            prop_assert!(!lost, "{why:?}, with {may:?}");
                        }
                        Err(_) => (),
                    }
                }
            }
        }
    }
}
