use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Duration;

use parking_lot::Mutex;

use super::*;
use crate::authority::command::{Issue, NewId, ReportLeak, SetState, Texts};
use crate::authority::hub::RingSize;
use crate::authority::record::{Record, uses_key};
use crate::authority::sessions::LeaseSettings;
use crate::domain::credential::{Set, State, Use};
use crate::domain::expiry::Wish;
use crate::domain::id::CredentialId;
use crate::domain::keyring::{KeyVersion, Keyring};
use crate::domain::names::{Label, Owner, Principal, ProfileName, Reason, Tenant};
use crate::domain::random::SystemRandom;
use crate::domain::revision::{Position, StoreId};
use crate::domain::secret::Secret;
use crate::domain::time::{SystemClock, Timestamp};
use crate::domain::token::Generation;
use crate::store::memory::MemoryStore;
use crate::store::{Batch, Changes, Entry, KeyRange, PageLimit, Write};

mod groups;
mod rekeyed;
mod rights;

type OtherWriter = Box<dyn FnOnce(&MemoryStore) + Send>;

/// A store that fails as it is told to, and between whose commits another
/// writer may write.
struct Faulty {
    store: MemoryStore,
    failures: Mutex<VecDeque<StoreError>>,
    other: Mutex<Option<OtherWriter>>,
}

impl std::fmt::Debug for Faulty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Faulty(..)")
    }
}

impl Store for Faulty {
    fn id(&self) -> StoreId {
        self.store.id()
    }

    fn is_shared(&self) -> bool {
        self.store.is_shared()
    }

    fn commit(&self, batch: Batch) -> Result<Revision, StoreError> {
        if let Some(failure) = self.failures.lock().pop_front() {
            return Err(failure);
        }
        if let Some(other) = self.other.lock().take() {
            other(&self.store);
        }
        self.store.commit(batch)
    }

    fn changes(
        &self,
        after: Revision,
        limit: PageLimit,
        wait: Duration,
    ) -> Result<Changes, StoreError> {
        self.store.changes(after, limit, wait)
    }

    fn scan(&self, range: &KeyRange, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.store.scan(range, limit)
    }

    fn snapshot(&self) -> Result<Position, StoreError> {
        self.store.snapshot()
    }

    fn compact(&self, through: Revision) -> Result<(), StoreError> {
        self.store.compact(through)
    }
}

type Answer = oneshot::Receiver<Result<Done, CommandError>>;

/// A committer whose groups are run one by one.
struct Stepped {
    store: Arc<Faulty>,
    committer: Committer,
    commands: Commands,
    waiting: VecDeque<Job>,
}

impl Stepped {
    fn new() -> Self {
        Self::on(MemoryStore::new(StoreId::from_random([1; 16])))
    }

    fn on(store: MemoryStore) -> Self {
        let store = Arc::new(Faulty {
            store,
            failures: Mutex::default(),
            other: Mutex::default(),
        });
        let dynamic = Arc::clone(&store) as Arc<dyn Store>;
        let loaded = Feed::load(Arc::clone(&dynamic), RingSize::default()).unwrap();
        let key = [(KeyVersion(1), zeroize::Zeroizing::new([1; 32]))];
        let feed = Arc::new(loaded.feed);
        let keyring = Arc::new(Keyring::new(&key, &key).unwrap());
        let keys = Arc::new(Keys::new(keyring, Arc::clone(feed.index())));
        feed.set_keys(Arc::clone(&keys));
        let (settings, random) = (LeaseSettings::default(), SystemRandom::new());
        let sessions = Sessions::new(settings, Revision::ZERO, &random).unwrap();
        let sessions = Arc::new(sessions);
        feed.set_sessions(Arc::clone(&sessions));
        let (commands, committer) = Committer::new(
            dynamic,
            feed,
            keys,
            sessions,
            Arc::new(SystemClock),
            Arc::new(SystemRandom::new()),
            Quotas::default(),
        );
        Self {
            store,
            committer,
            commands,
            waiting: VecDeque::new(),
        }
    }

    fn hand_in(&mut self, command: Command) -> Answer {
        self.hand_in_as(command, false)
    }

    /// Only to be told what it would do.
    fn try_out(&mut self, command: Command) -> Answer {
        self.hand_in_as(command, true)
    }

    fn hand_in_as(&mut self, command: Command, dry: bool) -> Answer {
        let (answer, outcome) = oneshot::channel();
        self.waiting.push_back(Job {
            command,
            how: How {
                dry,
                ..How::BY_CREDD
            },
            answer,
        });
        outcome
    }

    fn run_group(&mut self) -> Result<(), FeedError> {
        self.committer.run_group(&mut self.waiting)
    }

    fn state(&self, n: u8) -> Option<State> {
        let index = self.committer.feed.index();
        let (_, entry) = index.read(|index| index.credential(id(n)));
        entry.map(|entry| entry.standing())
    }

    fn head(&self) -> u64 {
        self.store.snapshot().unwrap().revision.number()
    }
}

fn id(n: u8) -> CredentialId {
    CredentialId::from_bytes([n; 16])
}

fn issue(n: u8) -> Command {
    issue_by("api-token", n)
}

fn issue_by(profile: &str, n: u8) -> Command {
    Command::Issue(Box::new(Issue {
        tenant: Tenant::trusted("acme".into()),
        owner: Owner::trusted("jo".into()),
        profile: ProfileName::trusted(profile.into()),
        texts: Texts {
            label: Some(Label::trusted("test".into())),
            ..Texts::default()
        },
        expiry: Wish::Unsaid,
        secret: Secret::new([n; 32]),
        id: NewId::Given(id(n)),
        request: None,
        reason: Reason::trusted("".into()),
        by: Principal::system(),
        as_owner: false,
        expected: None,
    }))
}

fn set(n: u8, set: Set) -> Command {
    Command::SetState(SetState {
        id: id(n),
        set,
        although_leaked: false,
        reason: Reason::trusted("".into()),
        by: Principal::system(),
        expected: None,
    })
}

fn answer(answer: &mut Answer) -> Result<(State, u64), CommandError> {
    let done = answer.try_recv().expect("it was answered")?;
    let stored = done.answer.credential(done.revision).unwrap();
    Ok((stored.credential.state, stored.revision.number()))
}

fn is_waiting(answer: &mut Answer) -> bool {
    matches!(answer.try_recv(), Err(oneshot::error::TryRecvError::Empty))
}

impl PartialEq for CommandError {
    fn eq(&self, other: &Self) -> bool {
        format!("{self:?}") == format!("{other:?}")
    }
}

#[test]
fn commands_that_wait_are_one_commit_and_see_those_before_them() {
    let mut stepped = Stepped::new();
    let mut first = stepped.hand_in(issue(1));
    let mut again = stepped.hand_in(issue(1));
    let mut other = stepped.hand_in(issue(2));
    stepped.run_group().unwrap();
    assert_eq!(answer(&mut first), Ok((State::Active, 1)));
    assert_eq!(
        answer(&mut again),
        Err(CommandError::Refused(Refusal::Exists(id(1))))
    );
    assert_eq!(answer(&mut other), Ok((State::Active, 1)));
    assert_eq!(stepped.head(), 1);
}

#[test]
fn a_command_about_what_its_group_writes_waits_even_if_it_changes_nothing() {
    let mut stepped = Stepped::new();
    let mut issued = stepped.hand_in(issue(1));
    let mut unlock = stepped.hand_in(set(1, Set::Unlock));
    stepped.run_group().unwrap();
    assert_eq!(answer(&mut issued), Ok((State::Active, 1)));
    assert!(is_waiting(&mut unlock));
    stepped.run_group().unwrap();
    // The revision of the first.
    assert_eq!(answer(&mut unlock), Ok((State::Active, 1)));
    assert_eq!(stepped.head(), 1);
}

#[test]
fn a_second_change_of_a_key_waits_for_the_next_group() {
    let mut stepped = Stepped::new();
    let mut issued = stepped.hand_in(issue(1));
    let mut locked = stepped.hand_in(set(1, Set::Lock));
    let mut other = stepped.hand_in(issue(2));
    stepped.run_group().unwrap();
    assert_eq!(answer(&mut issued), Ok((State::Active, 1)));
    assert_eq!(answer(&mut other), Ok((State::Active, 1)));
    assert!(is_waiting(&mut locked));
    assert_eq!(stepped.state(1), Some(State::Active));
    stepped.run_group().unwrap();
    assert_eq!(answer(&mut locked), Ok((State::Locked, 2)));
    assert_eq!(stepped.state(1), Some(State::Locked));
    assert!(stepped.waiting.is_empty());
}

#[test]
fn nobody_overtakes_a_change_that_waits_for_the_next_group() {
    let mut stepped = Stepped::new();
    let mut issued = stepped.hand_in(issue(1));
    stepped.run_group().unwrap();
    assert_eq!(answer(&mut issued), Ok((State::Active, 1)));
    let mut lock = stepped.hand_in(set(1, Set::Lock));
    let mut unlock = stepped.hand_in(set(1, Set::Unlock));
    let mut again = stepped.hand_in(set(1, Set::Lock));
    stepped.run_group().unwrap();
    assert_eq!(answer(&mut lock), Ok((State::Locked, 2)));
    assert!(is_waiting(&mut unlock) && is_waiting(&mut again));
    stepped.run_group().unwrap();
    assert_eq!(answer(&mut unlock), Ok((State::Active, 3)));
    assert!(is_waiting(&mut again));
    stepped.run_group().unwrap();
    assert_eq!(answer(&mut again), Ok((State::Locked, 4)));
}

#[test]
fn an_answer_that_writes_nothing_has_the_revision_of_the_first() {
    let mut stepped = Stepped::new();
    let mut answers: Vec<_> = [issue(1), set(1, Set::Lock), set(1, Set::Lock)]
        .into_iter()
        .map(|command| {
            let mut outcome = stepped.hand_in(command);
            stepped.run_group().unwrap();
            answer(&mut outcome)
        })
        .collect();
    assert_eq!(answers.pop(), Some(Ok((State::Locked, 2))));
    assert_eq!(stepped.head(), 2);
}

#[test]
fn no_group_is_larger_than_allowed() {
    let mut stepped = Stepped::new();
    let mut answers = Vec::new();
    for n in 0..GROUP + 10 {
        let mut bytes = [3; 16];
        bytes[..8].copy_from_slice(&(n as u64).to_be_bytes());
        let Command::Issue(mut command) = issue(1) else {
            unreachable!();
        };
        command.id = NewId::Given(CredentialId::from_bytes(bytes));
        answers.push(stepped.hand_in(Command::Issue(command)));
    }
    stepped.run_group().unwrap();
    assert_eq!(stepped.waiting.len(), 10);
    stepped.run_group().unwrap();
    let revisions: Vec<_> = answers.iter_mut().map(|a| answer(a).unwrap().1).collect();
    assert!(revisions[..GROUP].iter().all(|&revision| revision == 1));
    assert!(revisions[GROUP..].iter().all(|&revision| revision == 2));
}

#[test]
fn a_full_disk_refuses_the_whole_group_and_leaves_no_trace() {
    let mut stepped = Stepped::new();
    let full = StoreError::Full {
        free: 1,
        reserve: 2,
    };
    stepped.store.failures.lock().push_back(full);
    let mut answers = [stepped.hand_in(issue(1)), stepped.hand_in(issue(2))];
    // Even what changes nothing: it saw what is not there.
    let mut again = stepped.hand_in(issue(1));
    let mut unlock = stepped.hand_in(set(1, Set::Unlock));
    stepped.run_group().unwrap();
    for outcome in answers.iter_mut().chain([&mut again]) {
        assert_eq!(answer(outcome), Err(CommandError::DiskFull));
    }
    assert!(is_waiting(&mut unlock));
    assert_eq!((stepped.state(1), stepped.head()), (None, 0));
    // There is room again.
    let mut again = stepped.hand_in(issue(1));
    stepped.run_group().unwrap();
    assert_eq!(answer(&mut again), Ok((State::Active, 1)));
    let unknown = CommandError::Refused(Refusal::NotFound(id(1)));
    assert_eq!(answer(&mut unlock), Err(unknown));
}

#[test]
fn a_store_that_fails_ends_the_committer_and_is_acknowledged_to_nobody() {
    let mut stepped = Stepped::new();
    let poisoned = StoreError::Poisoned("a test".into());
    stepped.store.failures.lock().push_back(poisoned);
    let mut answers = [stepped.hand_in(issue(1)), stepped.hand_in(issue(1))];
    let mut deferred = stepped.hand_in(set(1, Set::Lock));
    assert!(stepped.run_group().is_err());
    for outcome in &mut answers {
        assert_eq!(answer(outcome), Err(CommandError::StoreFailed));
    }
    assert!(is_waiting(&mut deferred));
    assert_eq!((stepped.state(1), stepped.head()), (None, 0));
}

#[test]
fn no_uses_are_left_of_a_credential_that_another_process_removed_meanwhile() {
    let store = MemoryStore::shared(StoreId::from_random([1; 16]));
    let mut stepped = Stepped::on(store);
    for n in [1, 2] {
        let mut issued = stepped.hand_in(issue(n));
        stepped.run_group().unwrap();
        assert_eq!(answer(&mut issued).unwrap().0, State::Active);
    }
    *stepped.store.other.lock() = Some(Box::new(|store| {
        let deleted = [Record::Credential(id(1), None), Record::Uses(id(1), None)];
        let writes = deleted.map(|record| Write {
            key: record.key(),
            value: None,
        });
        let batch = Batch {
            writes: writes.into(),
            ..Batch::default()
        };
        store.commit(batch).unwrap();
    }));
    let used = |n| {
        let used = Use {
            at: Timestamp::from_millis(1),
            by: Principal::system(),
            generation: Generation::FIRST,
        };
        (id(n), used)
    };
    let _written = stepped.hand_in(Command::RecordUses(vec![used(1), used(2)]));
    stepped.run_group().unwrap();
    let is_there = |n| {
        let key = KeyRange::prefix(&uses_key(id(n)));
        !stepped.store.scan(&key, 1).unwrap().is_empty()
    };
    assert_eq!([is_there(1), is_there(2)], [false, true]);
}

#[test]
fn a_command_that_another_writer_was_faster_than_is_decided_anew() {
    let mut stepped = Stepped::new();
    let mut issued = stepped.hand_in(issue(1));
    stepped.run_group().unwrap();
    assert_eq!(answer(&mut issued), Ok((State::Active, 1)));
    let (_, entry) = stepped
        .committer
        .feed
        .index()
        .read(|index| index.credential(id(1)));
    let index = stepped.committer.feed.index();
    let before = entry.unwrap().to_stored(index.names(), index.directory());
    let locked = before.credential.with_state(
        State::Locked,
        crate::domain::credential::Change {
            action: Set::Lock.into(),
            ..before.credential.last_change.clone()
        },
    );
    *stepped.store.other.lock() = Some(Box::new(move |store| {
        let record = Record::Credential(id(1), Some(Arc::new(locked)));
        let batch = Batch {
            at: Timestamp::from_millis(1),
            writes: vec![Write {
                key: record.key(),
                value: record.encode(),
            }],
            ..Batch::default()
        };
        store.commit(batch).unwrap();
    }));
    let mut lock = stepped.hand_in(set(1, Set::Lock));
    let mut other = stepped.hand_in(issue(2));
    stepped.run_group().unwrap();
    // The other one's lock is the answer, and nothing was written for it.
    assert_eq!(answer(&mut lock), Ok((State::Locked, 2)));
    assert_eq!(answer(&mut other), Ok((State::Active, 3)));
}

#[test]
fn a_command_that_others_are_always_faster_than_is_refused() {
    let mut stepped = Stepped::new();
    let conflict = StoreError::Conflict {
        key: Bytes::from_static(b"c"),
    };
    stepped
        .store
        .failures
        .lock()
        .extend(vec![conflict; ATTEMPTS]);
    let mut issued = stepped.hand_in(issue(1));
    stepped.run_group().unwrap();
    assert_eq!(answer(&mut issued), Err(CommandError::Overloaded));
    assert_eq!((stepped.state(1), stepped.head()), (None, 0));
    assert!(stepped.waiting.is_empty());
}

fn error(ended: Poll<Result<Done, CommandError>>) -> CommandError {
    match ended {
        Poll::Ready(Err(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_command_too_many_is_refused_and_those_that_wait_learn_of_the_end() {
    let Stepped {
        committer,
        commands,
        ..
    } = Stepped::new();
    let mut context = TaskContext::from_waker(Waker::noop());
    let mut runs: Vec<_> = (0..QUEUE)
        .map(|_| Box::pin(commands.run(issue(1), How::BY_CREDD)))
        .collect();
    for run in &mut runs {
        assert!(run.as_mut().poll(&mut context).is_pending());
    }
    let mut one_more = Box::pin(commands.run(issue(1), How::BY_CREDD));
    let refused = one_more.as_mut().poll(&mut context);
    assert_eq!(error(refused), CommandError::Overloaded);
    drop(committer);
    for run in &mut runs {
        let ended = run.as_mut().poll(&mut context);
        assert_eq!(error(ended), CommandError::StoreFailed);
    }
    let mut late = Box::pin(commands.run(issue(1), How::BY_CREDD));
    let refused = late.as_mut().poll(&mut context);
    assert_eq!(error(refused), CommandError::Stopping);
}
