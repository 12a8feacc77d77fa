use tokio::time::Instant;

use super::*;
use crate::authority::record::NEWEST_FORMAT;
use crate::domain::lease::Fenced;
use crate::domain::random::SystemRandom;

const LENGTH: Duration = Duration::from_secs(3);

/// A clock that goes with the paused time of a test.
#[derive(Debug)]
struct Paused(Instant);

impl BootClock for Paused {
    fn now(&self) -> BootTime {
        BootTime::new(Duration::from_hours(1) + self.0.elapsed())
    }
}

const fn rev(number: u64) -> Revision {
    Revision::new(number)
}

fn caller(name: &str) -> Principal {
    Principal::trusted(name.into())
}

fn sessions_that_never_beat() -> Arc<Sessions> {
    let settings = LeaseSettings {
        clock: Arc::new(Paused(Instant::now())),
        length: LENGTH,
    };
    let sessions = Sessions::new(settings, rev(10), &SystemRandom::new());
    Arc::new(sessions.unwrap())
}

/// Those of a process that has begun to beat.
fn sessions() -> Arc<Sessions> {
    let sessions = sessions_that_never_beat();
    beat(&sessions);
    sessions
}

fn beat(sessions: &Sessions) {
    sessions.committed(sessions.begin());
}

fn try_connect(sessions: &Arc<Sessions>, name: &str) -> Option<Session> {
    let random = SystemRandom::new();
    sessions.connect(&caller(name), None, &random).unwrap()
}

fn connect(sessions: &Arc<Sessions>, name: &str) -> Session {
    try_connect(sessions, name).unwrap()
}

fn again(sessions: &Arc<Sessions>, name: &str, id: SessionId) -> Session {
    let random = SystemRandom::new();
    let session = sessions.connect(&caller(name), Some(id), &random);
    session.unwrap().unwrap()
}

fn renew(session: &Session, revision: u64) -> Option<Duration> {
    session.renew(rev(revision), rev(revision)).lease
}

fn fenced(acknowledged: usize, ran_out: usize) -> Fenced {
    Fenced {
        acknowledged,
        ran_out,
        awaited: 0,
    }
}

/// Polls a future once.
async fn is_ready<T>(future: &mut (impl Future<Output = T> + Unpin)) -> bool {
    tokio::select! {
        biased;
        _ = future => true,
        () = std::future::ready(()) => false,
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_granted_and_nothing_is_good_before_the_process_has_beaten() {
    let sessions = sessions_that_never_beat();
    let session = connect(&sessions, "a");
    let _ = sessions.begin();
    assert_eq!(renew(&session, 10), None);
    assert!(!sessions.may_say_yes());
    let mut started = Box::pin(sessions.started());
    assert!(!is_ready(&mut started).await);
    beat(&sessions);
    started.await;
    assert!(sessions.may_say_yes());
    assert!(renew(&session, 10).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_process_that_cannot_commit_stops_saying_yes_and_every_lease_ends_before() {
    let sessions = sessions();
    let session = connect(&sessions, "a");
    tokio::time::advance(LENGTH / 2).await;
    let lease = renew(&session, 10).unwrap();
    assert!(lease <= LENGTH / 2, "{lease:?}");
    let slow = sessions.begin();
    tokio::time::advance(LENGTH / 2).await;
    assert!(!sessions.may_say_yes());
    assert_eq!(renew(&session, 10), None);
    // A commit counts from when it was begun.
    tokio::time::advance(LENGTH / 2).await;
    sessions.committed(slow);
    assert!(!sessions.may_say_yes());
    sessions.committed(sessions.begin());
    assert!(sessions.may_say_yes());
}

#[tokio::test(start_paused = true)]
async fn a_fence_waits_for_those_with_leases_and_tells_how_they_ended() {
    let sessions = sessions();
    let [quick, slow, without] = ["quick", "slow", "without"].map(|name| connect(&sessions, name));
    renew(&quick, 10);
    renew(&slow, 10);
    sessions.raise(rev(11));
    assert_eq!(renew(&without, 10), None);
    let mut fence = Box::pin(sessions.fence(rev(11), None));
    assert!(!is_ready(&mut fence).await);
    assert_eq!(sessions.standing().behind, 2);
    renew(&quick, 11);
    assert!(!is_ready(&mut fence).await);
    assert_eq!(sessions.standing().behind_callers, [caller("slow")]);
    let before = Instant::now();
    assert_eq!(fence.await, Ok(fenced(1, 1)));
    assert!(before.elapsed() + Duration::from_millis(100) >= LENGTH);
}

#[tokio::test(start_paused = true)]
async fn a_fence_ends_at_once_when_the_last_one_has_applied_it() {
    let sessions = sessions();
    let session = connect(&sessions, "a");
    renew(&session, 10);
    sessions.raise(rev(11));
    let waiting = Arc::clone(&sessions);
    let fence = tokio::spawn(async move { waiting.fence(rev(11), None).await });
    tokio::task::yield_now().await;
    let before = Instant::now();
    renew(&session, 11);
    assert_eq!(fence.await.unwrap(), Ok(fenced(1, 0)));
    assert_eq!(before.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn who_is_awaited_at_the_deadline_is_named() {
    let sessions = sessions();
    let session = connect(&sessions, "spiffe://example.org/slow");
    renew(&session, 10);
    sessions.raise(rev(11));
    let deadline = Instant::now() + Duration::from_millis(10);
    let open = sessions.fence(rev(11), Some(deadline)).await.unwrap_err();
    assert_eq!(open.revision, rev(11));
    assert_eq!(open.fenced.awaited, 1);
    assert_eq!(open.callers, [caller("spiffe://example.org/slow")]);
    // It can be waited for again.
    renew(&session, 11);
    assert_eq!(sessions.fence(rev(11), None).await, Ok(fenced(1, 0)));
}

#[tokio::test(start_paused = true)]
async fn a_session_outlives_its_connection_and_goes_on_under_its_name() {
    let sessions = sessions();
    let session = connect(&sessions, "a");
    let id = session.id();
    renew(&session, 10);
    drop(session);
    sessions.raise(rev(11));
    let mut fence = Box::pin(sessions.fence(rev(11), None));
    assert!(!is_ready(&mut fence).await);
    let other = again(&sessions, "b", id);
    assert_ne!(other.id(), id, "it is another caller's");
    renew(&other, 11);
    assert!(!is_ready(&mut fence).await);
    let session = again(&sessions, "a", id);
    assert_eq!(session.id(), id);
    renew(&session, 11);
    assert_eq!(fence.await, Ok(fenced(1, 0)));
}

#[tokio::test(start_paused = true)]
async fn a_session_without_a_lease_is_forgotten_with_its_connection() {
    let sessions = sessions();
    let session = connect(&sessions, "a");
    let id = session.id();
    let second = again(&sessions, "a", id);
    drop(session);
    assert_eq!(again(&sessions, "a", id).id(), id, "it has a connection");
    drop(second);
    assert_ne!(again(&sessions, "a", id).id(), id);
    // Those whose leases ran out are forgotten when there are many.
    for _ in 0..FEW {
        renew(&connect(&sessions, "many"), 10);
    }
    tokio::time::advance(LENGTH * 2).await;
    beat(&sessions);
    assert_eq!(sessions.standing().leases, 0);
    drop(connect(&sessions, "a"));
    assert!(sessions.state.lock().known.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_fence_after_a_restart_waits_for_the_longest_lease_of_before() {
    let longest = LENGTH * 3;
    let sessions = sessions();
    // Of three runs before it that are over, whichever was the last.
    for (name, lease) in [(7, LENGTH), (8, longest), (9, LENGTH)] {
        sessions.seen(Incarnation([name; 16]), rev(9), Some(&node(lease, 9)));
    }
    let before = Instant::now();
    assert_eq!(sessions.fence(rev(11), None).await, Ok(fenced(0, 0)));
    assert!(before.elapsed() >= longest);
    assert_eq!(sessions.over().len(), 3);
}

/// A store that was brought from elsewhere has the records of those who worked on it
/// there, by the revisions of that store.
#[tokio::test(start_paused = true)]
async fn a_process_has_settled_nothing_that_came_after_its_record() {
    let sessions = sessions();
    sessions.seen(Incarnation([7; 16]), rev(9), Some(&node(LENGTH, 4_000_000)));
    let before = Instant::now();
    assert_eq!(sessions.fence(rev(11), None).await, Ok(fenced(0, 0)));
    assert!(before.elapsed() >= LENGTH);
}

/// The record of a process with which so much is settled.
fn node(lease: Duration, settled: u64) -> Node {
    Node {
        lease,
        settled: rev(settled),
        started_at: Timestamp::from_millis(0),
        format: NEWEST_FORMAT,
        keys: KeyChecks::default(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_fence_waits_for_another_process_until_it_is_settled_there_and_no_longer_than_a_lease() {
    let sessions = sessions();
    let other = Incarnation([7; 16]);
    sessions.seen(other, rev(9), Some(&node(LENGTH, 9)));
    assert_eq!(sessions.standing().peers, 1);
    let mut fence = Box::pin(sessions.fence(rev(11), None));
    assert!(!is_ready(&mut fence).await);
    sessions.seen(other, rev(12), Some(&node(LENGTH, 10)));
    assert!(!is_ready(&mut fence).await);
    let before = Instant::now();
    sessions.seen(other, rev(13), Some(&node(LENGTH, 11)));
    assert_eq!(fence.await, Ok(fenced(0, 0)));
    assert!(before.elapsed().is_zero());

    // It beats, but never says that the change is settled.
    let soon = Instant::now() + LENGTH / 2;
    let open = sessions.fence(rev(14), Some(soon)).await.unwrap_err();
    assert_eq!((open.nodes, open.fenced.awaited), (1, 0));
    let mut fence = Box::pin(sessions.fence(rev(14), None));
    assert!(!is_ready(&mut fence).await);
    tokio::time::advance(LENGTH / 2).await;
    sessions.seen(other, rev(15), Some(&node(LENGTH, 13)));
    assert_eq!(sessions.over(), []);
    let before = Instant::now();
    fence.await.unwrap();
    assert!(before.elapsed() <= LENGTH / 2 + LENGTH / 10);

    // One whose record was removed is waited for no longer.
    let mut fence = Box::pin(sessions.fence(rev(16), None));
    assert!(!is_ready(&mut fence).await);
    sessions.seen(other, rev(17), None);
    assert!(is_ready(&mut fence).await);
}

#[tokio::test(start_paused = true)]
async fn a_process_says_what_is_settled_once_others_may_wait_for_it() {
    let sessions = sessions();
    let settled = || {
        let node = sessions.node(Timestamp::from_millis(0), KeyChecks::default());
        node.settled
    };
    let own = sessions.incarnation();
    let tell = |at: u64| {
        let node = sessions.node(Timestamp::from_millis(0), KeyChecks::default());
        sessions.seen(own, rev(at), Some(&node));
    };
    tell(10);
    assert_eq!(settled(), rev(10));
    let session = connect(&sessions, "a");
    renew(&session, 10);
    let mut more = Box::pin(sessions.has_more_to_tell());
    sessions.raise(rev(11));
    assert_eq!(settled(), rev(10), "it has not acknowledged that");
    assert!(!is_ready(&mut more).await);
    renew(&session, 11);
    assert_eq!(settled(), rev(11));
    assert!(!is_ready(&mut more).await, "nobody waits for it");
    sessions.seen(Incarnation([7; 16]), rev(12), Some(&node(LENGTH, 10)));
    assert!(is_ready(&mut more).await);
    tell(13);
    let mut more = Box::pin(sessions.has_more_to_tell());
    assert!(!is_ready(&mut more).await);
    // Also where it is a lease that runs out.
    sessions.raise(rev(14));
    assert!(!is_ready(&mut more).await);
    more.await;
    assert_eq!(settled(), rev(14));
}

#[tokio::test(start_paused = true)]
async fn whoever_stops_waiting_leaves_nothing_behind() {
    let sessions = sessions();
    let session = connect(&sessions, "a");
    renew(&session, 10);
    sessions.raise(rev(11));
    let mut fence = Box::pin(sessions.fence(rev(11), None));
    assert!(!is_ready(&mut fence).await);
    let before = sessions.state.lock().grantor.clone();
    drop(fence);
    assert_ne!(sessions.state.lock().grantor, before);
    assert_eq!(
        SessionId::parse(&session.id().to_string()),
        Some(session.id())
    );
    for bad in ["", "00", "zz", &"0".repeat(34), &"A".repeat(32)] {
        assert_eq!(SessionId::parse(bad), None, "{bad}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_renewal_tells_whether_a_fence_may_wait_for_others() {
    let sessions = sessions();
    let (one, other) = (connect(&sessions, "one"), connect(&sessions, "other"));
    let others_behind = |session: &Session, revision| {
        let renewed = session.renew(rev(revision), rev(revision));
        renewed.others_behind
    };
    assert!(!others_behind(&one, 10));
    assert!(!others_behind(&other, 10));
    sessions.raise(rev(11));
    assert!(!others_behind(&one, 10), "it is behind itself");
    assert!(others_behind(&one, 11));
    assert!(!others_behind(&other, 11), "it was the last");
    assert!(!others_behind(&one, 11));
    // One whose lease has run out is waited for no longer.
    sessions.raise(rev(12));
    tokio::time::advance(LENGTH * 2).await;
    beat(&sessions);
    assert!(!others_behind(&one, 12));
}

#[tokio::test(start_paused = true)]
async fn one_caller_takes_no_more_than_half_of_the_sessions_and_gives_them_back() {
    let sessions = sessions();
    for _ in 0..SHARE {
        assert!(renew(&connect(&sessions, "greedy"), 10).is_some());
    }
    assert_eq!(sessions.state.lock().known.len(), SHARE, "they have leases");
    assert!(try_connect(&sessions, "greedy").is_none());
    let other = connect(&sessions, "other");
    assert!(renew(&other, 10).is_some());
    // Those that are over are not in the way.
    tokio::time::advance(LENGTH * 2).await;
    beat(&sessions);
    assert!(renew(&connect(&sessions, "greedy"), 10).is_some());
    let state = sessions.state.lock();
    assert_eq!(state.of_callers.values().sum::<usize>(), state.known.len());
    assert_eq!(state.known.len(), 2);
}
