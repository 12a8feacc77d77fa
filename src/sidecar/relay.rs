//! Passing on what is followed, to others that follow this process, and answering for
//! them: they have leases of this process, and it acknowledges what all of them have
//! applied or outlived.
//!
//! The latest messages of the own stream are kept in a ring that all streams share.
//! What is not in it, such as a snapshot or what an old token asks for, comes from the
//! authority, over a stream of its own, until the ring is reached: so a stream has the
//! authority's very contract, wherever it begins.
//!
//! A lease that is given here ends before the own one. The own stream's renewals
//! acknowledge no more than what every lease that still runs has acknowledged. What
//! was given by a process before this one needs no thought: its own lease outlived
//! what it gave, and the authority waits for that.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::client::{Client, Machine, Observer};
use crate::domain::cache::At;
use crate::domain::lease::{BootTime, Drift, Relay as Leases};
use crate::domain::random::{self, RandomUnavailable};
use crate::domain::revision::Revision;
use crate::proto::v1;
use crate::proto::v1::watch_response::Message;

pub mod session;
mod stream;

pub use stream::messages;

/// What is passed on, and to whom.
#[derive(Debug)]
pub struct Relay {
    machine: Machine,
    state: Mutex<State>,
    /// Places for streams of the authority's that are passed on.
    places: Arc<Semaphore>,
    /// Rung when there is another message.
    bell: watch::Sender<()>,
    /// Rung when somebody may wait for more than was acknowledged.
    awaits: Notify,
    /// The client whose stream it is.
    client: OnceLock<Client>,
}

#[derive(Debug)]
struct State {
    ring: Ring,
    leases: Leases<SessionId>,
    /// Until when leases may run whose revisions may be of another history.
    quiet_until: BootTime,
    /// The latest revision that somebody waits for.
    awaited: Revision,
    /// What was acknowledged last.
    reported: Revision,
}

/// The latest messages of the own stream.
#[derive(Debug, Default)]
struct Ring {
    /// Counts how often continuity was lost.
    epoch: u64,
    /// Where the own stream stands, and its token for that.
    reached: Option<(At, String)>,
    /// Of whose changes it tells; `None`: its server does not say.
    coverage: Option<v1::Coverage>,
    /// Everything after this is in the ring.
    floor: Revision,
    messages: VecDeque<Arc<v1::WatchResponse>>,
    events: usize,
}

/// The name of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(u128);

/// What the ring has for a stream at some revision.
#[derive(Debug)]
enum Next {
    /// What follows; at least one.
    Messages(Vec<Arc<v1::WatchResponse>>),
    /// Nothing yet: the own stream stands here.
    UpToDate(At, String),
    /// It does not lead there.
    Lost,
}

/// The ring is another one by now.
#[derive(Debug)]
struct Lost;

/// How many messages the ring holds at most, and how many events in all of them.
const RING: (usize, usize) = (4096, 65_536);
/// How many streams of the authority's are passed on at once: until they reach the ring.
const STREAMS: usize = 64;
/// How many messages a stream takes at once.
const TAKE: usize = 64;
/// The longest lease: the own one is shorter, and bounds it.
const LONGEST_LEASE: Duration = Duration::from_mins(10);
const DRIFT: Drift = Drift::STATED;
/// How often it is looked whether leases that are waited for have run out.
const LOOK: Duration = Duration::from_millis(20);

impl Relay {
    /// One on this machine, that has nothing to pass on yet.
    #[must_use]
    pub fn new(machine: Machine) -> Self {
        Self {
            machine,
            state: Mutex::new(State {
                ring: Ring::default(),
                leases: Leases::new(LONGEST_LEASE, DRIFT),
                quiet_until: BootTime::default(),
                awaited: Revision::ZERO,
                reported: Revision::ZERO,
            }),
            places: Arc::new(Semaphore::new(STREAMS)),
            bell: watch::Sender::new(()),
            awaits: Notify::new(),
            client: OnceLock::new(),
        }
    }

    /// Passes on what this client follows; the first one stays.
    pub fn set_client(&self, client: Client) {
        let _ = self.client.set(client);
    }

    fn client(&self) -> Option<&Client> {
        self.client.get()
    }

    /// Acknowledges at once what leases that run out were waited for, until `stopping`.
    pub async fn run(&self, stopping: CancellationToken) {
        let look = async {
            loop {
                let is_open = {
                    let state = self.state.lock();
                    state.reported < state.awaited
                };
                if is_open {
                    self.acknowledge(self.machine.now().boot);
                    sleep(LOOK).await;
                } else {
                    self.awaits.notified().await;
                }
            }
        };
        stopping.run_until_cancelled(look).await;
    }

    /// How many sessions have leases.
    #[must_use]
    pub fn sessions(&self) -> usize {
        let mut state = self.state.lock();
        state.settled(Revision::ZERO, self.machine.now().boot);
        state.leases.grantor().len()
    }

    /// Has the client renew if there is more to acknowledge of what somebody waits
    /// for.
    fn acknowledge(&self, now: BootTime) {
        let has_more = {
            let mut state = self.state.lock();
            let reached = state.ring.reached.as_ref().map(|(at, _)| at.revision);
            let settled = state.settled(reached.unwrap_or_default(), now);
            state.reported < state.awaited && settled > state.reported
        };
        if has_more && let Some(client) = self.client() {
            client.renew();
        }
    }

    /// A session of this name if it has a lease, else a new one.
    fn connect(&self, wanted: Option<SessionId>) -> Result<SessionId, RandomUnavailable> {
        let mut state = self.state.lock();
        state.settled(Revision::ZERO, self.machine.now().boot);
        match wanted {
            Some(id) if state.leases.grantor().has_lease(&id) => Ok(id),
            _ => {
                let bytes = random::bytes(&*self.machine.random)?;
                Ok(SessionId(u128::from_be_bytes(bytes)))
            }
        }
    }

    /// Answers a renewal that arrived at `now`: the lease that it gets. The session is
    /// told of the ring of this epoch: what it has applied is of another history, where
    /// that is another.
    fn grant(
        &self,
        session: SessionId,
        epoch: u64,
        applied: At,
        acknowledged: Revision,
        now: BootTime,
    ) -> Option<Duration> {
        let own = self.client()?.lease()?;
        let lease = {
            let mut state = self.state.lock();
            state.settled(Revision::ZERO, now);
            if state.ring.epoch != epoch || !state.ring.leads_from(applied) {
                return None;
            }
            state
                .leases
                .renew(&session, applied.revision, acknowledged, now, &own)
        };
        self.acknowledge(now);
        lease
    }

    /// Where a stream may begin that was at this token, or nowhere yet; `None`: the
    /// ring does not know.
    fn begin(&self, resume_token: &str) -> Option<(u64, At, String)> {
        let state = self.state.lock();
        let ring = &state.ring;
        let (reached, token) = ring.reached.as_ref()?;
        if resume_token.is_empty() || resume_token == token {
            return Some((ring.epoch, *reached, token.clone()));
        }
        let known = ring.messages.iter();
        let mut known = known.rev().filter(|it| it.resume_token == resume_token);
        let at = at(known.next()?)?;
        Some((ring.epoch, at, resume_token.to_owned()))
    }

    /// Whether the ring leads on from here, and which it is.
    fn covers(&self, at: At) -> Option<u64> {
        let state = self.state.lock();
        let ring = &state.ring;
        let (reached, _) = ring.reached.as_ref()?;
        (reached.store == at.store && at.revision >= ring.floor).then_some(ring.epoch)
    }

    /// Of whose changes the ring of this epoch tells, if that is known; `Err`: there is
    /// another ring by now.
    fn coverage(&self, epoch: u64) -> Result<Option<v1::Coverage>, Lost> {
        let state = self.state.lock();
        let ring = &state.ring;
        (ring.epoch == epoch)
            .then(|| ring.coverage.clone())
            .ok_or(Lost)
    }

    /// What follows a revision.
    fn after(&self, epoch: u64, revision: Revision) -> Next {
        let state = self.state.lock();
        let ring = &state.ring;
        let Some((reached, token)) = ring.reached.as_ref() else {
            return Next::Lost;
        };
        if ring.epoch != epoch || revision < ring.floor {
            return Next::Lost;
        }
        let is_before = |message: &Arc<v1::WatchResponse>| number(message) <= revision.number();
        let from = ring.messages.partition_point(is_before);
        let messages: Vec<_> = ring.messages.range(from..).take(TAKE).cloned().collect();
        if messages.is_empty() {
            Next::UpToDate(*reached, token.clone())
        } else {
            Next::Messages(messages)
        }
    }
}

impl Observer for Relay {
    fn applied(
        &self,
        message: &Arc<v1::WatchResponse>,
        begins: bool,
        coverage: Option<&v1::Coverage>,
    ) {
        let Some(reached) = at(message) else {
            return;
        };
        let now = self.machine.now().boot;
        let mut state = self.state.lock();
        let follows = state.ring.reached.as_ref().map(|(at, _)| at.store);
        if begins || follows != Some(reached.store) {
            state.begin(reached, message.resume_token.clone(), now);
        } else {
            state.ring.push(message, reached);
        }
        if state.ring.coverage.as_ref() != coverage {
            state.ring.coverage = coverage.cloned();
        }
        if message.fenced {
            state.leases.fenced(reached.revision);
            state.awaited = state.awaited.max(reached.revision);
        }
        let is_awaited = state.reported < state.awaited;
        drop(state);
        if is_awaited {
            self.awaits.notify_one();
        }
        self.bell.send_replace(());
    }

    fn refused(&self) {
        // Whether the stream of one that follows goes on is the authority's to say.
        self.state.lock().ring.lose();
        self.bell.send_replace(());
    }

    fn acknowledged(&self, applied: At, now: BootTime) -> Revision {
        let mut state = self.state.lock();
        let settled = state.settled(applied.revision, now);
        state.reported = state.reported.max(settled);
        settled
    }
}

impl State {
    /// What all that follow have applied, or have outlived.
    fn settled(&mut self, applied: Revision, now: BootTime) -> Revision {
        let settled = self.leases.acknowledged(applied, now);
        if now < self.quiet_until {
            return Revision::ZERO;
        }
        settled
    }

    /// The own stream begins here: nothing leads here from before. What those who have
    /// leases have acknowledged may be of another store, or of another history of this
    /// one: they are outlived.
    fn begin(&mut self, reached: At, token: String, now: BootTime) {
        self.settled(Revision::ZERO, now);
        if let Some(end) = self.last_end() {
            self.quiet_until = self.quiet_until.max(end);
        }
        self.leases = Leases::new(LONGEST_LEASE, DRIFT);
        self.leases.reset(reached.revision);
        // Somebody may wait for what was fenced up to here.
        self.awaited = reached.revision;
        self.reported = Revision::ZERO;
        self.ring = Ring {
            epoch: self.ring.epoch + 1,
            floor: reached.revision,
            reached: Some((reached, token)),
            coverage: None,
            messages: VecDeque::new(),
            events: 0,
        };
    }

    /// When the last lease ends.
    fn last_end(&self) -> Option<BootTime> {
        let mut end = None;
        let mut rest = self.leases.grantor().clone();
        while let Some(next) = rest.next_end() {
            rest.advance(next);
            end = Some(next);
            if rest.is_empty() {
                break;
            }
        }
        end
    }
}

impl Ring {
    /// Nothing leads on from here.
    fn lose(&mut self) {
        *self = Self {
            epoch: self.epoch + 1,
            ..Self::default()
        };
    }

    /// Whether the own stream has been here. What is later than it has reached is of a
    /// history that was set back.
    fn leads_from(&self, at: At) -> bool {
        let reached = self.reached.as_ref().map(|(reached, _)| *reached);
        reached.is_some_and(|reached| reached.store == at.store && at.revision <= reached.revision)
    }

    fn push(&mut self, message: &Arc<v1::WatchResponse>, reached: At) {
        let has_moved = self
            .reached
            .as_ref()
            .is_none_or(|(before, _)| before.revision < reached.revision);
        self.reached = Some((reached, message.resume_token.clone()));
        // A mark that tells nothing, not even how far it is.
        if !has_moved {
            return;
        }
        self.events += events(message);
        self.messages.push_back(Arc::clone(message));
        while self.messages.len() > RING.0 || self.events > RING.1 {
            let Some(oldest) = self.messages.pop_front() else {
                break;
            };
            self.events -= events(&oldest);
            self.floor = Revision::new(number(&oldest));
        }
    }
}

impl SessionId {
    /// Reads a name.
    fn parse(text: &str) -> Option<Self> {
        let is_hexadecimal = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let is_name = text.len() == 32 && text.bytes().all(is_hexadecimal);
        is_name.then_some(())?;
        u128::from_str_radix(text, 16).ok().map(Self)
    }
}

impl std::fmt::Display for SessionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

fn at(message: &v1::WatchResponse) -> Option<At> {
    let v1::Revision { store_id, number } = message.revision.as_ref()?;
    Some(At {
        store: store_id.parse().ok()?,
        revision: Revision::new(*number),
    })
}

fn number(message: &v1::WatchResponse) -> u64 {
    message
        .revision
        .as_ref()
        .map_or(0, |revision| revision.number)
}

fn events(message: &v1::WatchResponse) -> usize {
    match &message.message {
        Some(Message::Commit(commit)) => commit.events.len(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::lease::Holder;
    use crate::domain::revision::StoreId;

    #[test]
    fn what_was_acknowledged_of_another_history_says_nothing_of_this_one() {
        let at = |number| At {
            store: StoreId::from_bytes([1; 16]),
            revision: Revision::new(number),
        };
        // The store was set back, and has not passed where it was, or has.
        for begins_at in [50, 120] {
            let relay = Relay::new(Machine::default());
            let mut state = relay.state.lock();
            let now = BootTime::new(Duration::from_secs(100));
            let mut own = Holder::new(DRIFT);
            let sequence = own.send(now);
            assert!(own.answered(sequence, Some(Duration::from_mins(1))));
            state.begin(at(40), "a".to_owned(), now);
            let (reached, session) = (Revision::new(100), SessionId(1));
            let lease = state.leases.renew(&session, reached, reached, now, &own);
            assert!(lease.is_some());
            state.ring.reached = Some((at(100), "b".to_owned()));
            assert!(state.ring.leads_from(at(100)));

            state.begin(at(begins_at), "c".to_owned(), now);
            assert!(state.ring.leads_from(at(begins_at)));
            assert!(
                !state.ring.leads_from(at(begins_at + 1)),
                "it gets no lease"
            );
            let reached = Revision::new(begins_at + 10);
            assert!(state.settled(reached, now) < reached);
            assert!(state.reported < state.awaited, "it is looked at again");
            let later = now + Duration::from_mins(2);
            assert_eq!(state.settled(reached, later), reached);
        }
    }

    #[test]
    fn of_whose_changes_it_tells_is_not_known_once_the_server_does_not_say() {
        let message = |number| {
            Arc::new(v1::WatchResponse {
                revision: Some(v1::Revision {
                    store_id: StoreId::from_bytes([1; 16]).to_string(),
                    number,
                }),
                ..v1::WatchResponse::default()
            })
        };
        let all = v1::Coverage {
            all: true,
            ..v1::Coverage::default()
        };
        let relay = Relay::new(Machine::default());
        relay.applied(&message(1), true, Some(&all));
        assert_eq!(relay.coverage(1).unwrap(), Some(all.clone()));
        relay.applied(&message(2), false, Some(&all));
        assert_eq!(relay.coverage(1).unwrap(), Some(all));
        relay.applied(&message(2), true, None);
        assert_eq!(relay.coverage(2).unwrap(), None);
    }
}
