//! How much callers may ask for at once and one after the other.
//!
//! Verify comes before everything else. What manages credd may have half of the
//! places, and has its turns: so many calls run at a time, and of those that read
//! much, such as List, fewer still, on threads of a lower priority. The others wait,
//! and a place with them. Who finds none is told to come again.
//!
//! It is the turns that keep a storm of such calls away from the queue in which the
//! next Verify waits: a client that was not answered does not ask for the next thing.

use std::cell::Cell;
use std::fmt;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use governor::clock::{Clock as _, MonotonicClock};
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;

use super::status;
use crate::authority::background;
use crate::authority::names::Symbol;

/// What may be asked for. Of what it allows at once, one caller may have half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitSettings {
    /// The most calls at once, streams left out.
    pub concurrent: usize,
    /// The most streams at once.
    pub streams: usize,
    /// How many calls a caller may make in a second; `None`: any number.
    pub rate: Option<NonZeroU32>,
    /// How many a caller may make at once after a pause.
    pub burst: NonZeroU32,
    /// How many calls that manage credd run at a time; `None`: [`TURNS_PER_CORE`]
    /// times as many as there are cores.
    pub turns: Option<NonZeroUsize>,
    /// The most bytes of a request's message.
    pub message_bytes: usize,
}

/// How an RPC is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// It asks for a verdict.
    Verdict,
    /// It reads or changes little.
    Managing,
    /// It reads much.
    Reading,
    /// It goes on for long.
    Stream,
}

/// Keeps callers to it.
pub struct Limits {
    message_bytes: usize,
    places: Arc<Places>,
    running: Arc<Semaphore>,
    reading: Arc<Semaphore>,
    /// For streams of RPCs that need no caller.
    open: Arc<Semaphore>,
    /// For calls of which it shows later whose they are.
    unknown: Arc<Semaphore>,
    rates: Option<Rates>,
}

type Rates = RateLimiter<Symbol, HashMapStateStore<Symbol>, MonotonicClock>;

/// A place among those who call. It is given back when this is dropped.
#[derive(Debug)]
pub struct Place {
    places: Arc<Places>,
    load: Load,
    caller: Symbol,
}

impl Place {
    /// How the call loads credd.
    #[must_use]
    pub const fn load(&self) -> Load {
        self.load
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for count in self.places.of(self.load, self.caller).into_iter().flatten() {
            count.leave();
        }
    }
}

/// How many there are of each kind.
#[derive(Debug)]
struct Places {
    all: Count,
    managing: Count,
    streams: Count,
    /// Those of callers: of verdicts, of what manages credd, and streams.
    of_callers: [Vec<Count>; 3],
}

/// Over how many counts callers are spread, by their symbols: where there are more of
/// them, some share a count.
const CALLERS: usize = 1024;

/// A number of places.
#[derive(Debug)]
struct Count {
    taken: AtomicUsize,
    most: usize,
}

impl Count {
    const fn new(most: usize) -> Self {
        Self {
            taken: AtomicUsize::new(0),
            most,
        }
    }

    fn enter(&self) -> bool {
        let is_free = self.taken.fetch_add(1, Ordering::Relaxed) < self.most;
        if !is_free {
            self.leave();
        }
        is_free
    }

    fn leave(&self) {
        self.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Places {
    fn new(concurrent: usize, streams: usize) -> Self {
        let managing = (concurrent / 2).max(1);
        let of_callers = |most: usize| {
            let share = || Count::new(most.div_ceil(2));
            std::iter::repeat_with(share).take(CALLERS).collect()
        };
        Self {
            all: Count::new(concurrent),
            managing: Count::new(managing),
            streams: Count::new(streams),
            of_callers: [concurrent, managing, streams].map(of_callers),
        }
    }

    /// The counts that a call of this caller is in.
    fn of(&self, load: Load, caller: Symbol) -> [Option<&Count>; 3] {
        let [verdicts, managing, streams] = &self.of_callers;
        let at = caller.number() as usize % CALLERS;
        match load {
            Load::Verdict => [Some(&verdicts[at]), Some(&self.all), None],
            Load::Managing | Load::Reading => {
                [Some(&managing[at]), Some(&self.managing), Some(&self.all)]
            }
            Load::Stream => [Some(&streams[at]), Some(&self.streams), None],
        }
    }
}

/// A turn to run. It ends when this is dropped.
#[derive(Debug, Default)]
pub struct Turn {
    _held: Option<OwnedSemaphorePermit>,
}

/// The most streams at once of RPCs that need no caller, such as those of health; and the
/// most calls that wait for the keys by which their tokens are checked.
pub const STRANGERS: usize = 1024;
/// How long to wait before one asks again where there was no place.
const NO_PLACE: Duration = Duration::from_millis(100);
/// How many calls that manage credd run at a time for each core, where nothing is
/// configured: enough for a commit of several, and few enough that a Verify that
/// comes after them all does not notice.
pub const TURNS_PER_CORE: usize = 2;

impl Limits {
    /// Keeps callers to these limits.
    #[must_use]
    pub fn new(settings: LimitSettings) -> Self {
        let LimitSettings {
            concurrent,
            streams,
            rate,
            burst,
            turns,
            message_bytes,
        } = settings;
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let turns_of =
            |count: usize| Arc::new(Semaphore::new(count.clamp(1, Semaphore::MAX_PERMITS)));
        Self {
            message_bytes,
            places: Arc::new(Places::new(concurrent, streams)),
            running: turns_of(turns.map_or(TURNS_PER_CORE * cores, NonZeroUsize::get)),
            reading: turns_of(cores / 2),
            open: turns_of(STRANGERS),
            unknown: turns_of(STRANGERS),
            rates: rate.map(|rate| {
                let quota = Quota::per_second(rate).allow_burst(burst);
                RateLimiter::hashmap_with_clock(quota, MonotonicClock)
            }),
        }
    }

    /// The most bytes of a request's message.
    #[must_use]
    pub const fn message_bytes(&self) -> usize {
        self.message_bytes
    }

    /// Counts a call of this caller.
    ///
    /// # Errors
    ///
    /// `RESOURCE_EXHAUSTED` (`RATE_LIMITED`) if it is one too many.
    pub fn count(&self, caller: Symbol) -> Result<(), Status> {
        let Some(rates) = &self.rates else {
            return Ok(());
        };
        rates.check_key(&caller).map_err(|not_until| {
            let wait = not_until.wait_time_from(MonotonicClock.now());
            status::rate_limited(wait)
        })
    }

    /// Forgets callers who have not called for so long that all is theirs again.
    pub fn forget_idle(&self) {
        if let Some(rates) = &self.rates {
            rates.retain_recent();
            rates.shrink_to_fit();
        }
    }

    /// A place for a call of this caller.
    ///
    /// # Errors
    ///
    /// `RESOURCE_EXHAUSTED` (`OVERLOADED`) if there is none.
    pub fn place(&self, load: Load, caller: Symbol) -> Result<Place, Status> {
        let counts = self.places.of(load, caller);
        for (at, count) in counts.iter().enumerate() {
            if count.is_none_or(Count::enter) {
                continue;
            }
            for entered in counts[..at].iter().flatten() {
                entered.leave();
            }
            return Err(status::overloaded(NO_PLACE));
        }
        Ok(Place {
            places: Arc::clone(&self.places),
            load,
            caller,
        })
    }

    /// A place for a call of an RPC that needs no caller; `None`: it is over so soon that
    /// it needs none.
    ///
    /// # Errors
    ///
    /// `RESOURCE_EXHAUSTED` (`OVERLOADED`) if there is none.
    pub fn open_place(&self, load: Load) -> Result<Option<OwnedSemaphorePermit>, Status> {
        let is_long = load == Load::Stream;
        is_long.then(|| stranger_place(&self.open)).transpose()
    }

    /// A place for a call that waits until it shows whose it is.
    ///
    /// # Errors
    ///
    /// `RESOURCE_EXHAUSTED` (`OVERLOADED`) if there is none.
    pub fn unknown_place(&self) -> Result<OwnedSemaphorePermit, Status> {
        stranger_place(&self.unknown)
    }

    /// Runs a call when it is its turn, if that is for calls that load credd so.
    pub async fn run<T>(&self, load: Load, call: impl Future<Output = T>) -> T {
        match load {
            Load::Managing => {
                let turn = turn(&self.running).await;
                RUNNING.scope(Cell::new(Some(turn)), call).await
            }
            // They have theirs when they come to [`Limits::read`].
            Load::Reading | Load::Verdict | Load::Stream => call.await,
        }
    }

    /// Gives back the turn of the call that runs, if it has one: it waits for others.
    #[allow(clippy::unused_self, reason = "a turn is one of these limits'")]
    pub fn give_back(&self) {
        let _ = RUNNING.try_with(Cell::take);
    }

    /// Reads much: waits for a turn, and goes on while it has it, even if nobody
    /// waits for what comes of it any more. The turn to run is given back before:
    /// others run meanwhile.
    ///
    /// # Errors
    ///
    /// INTERNAL if it panics.
    pub async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Status> {
        self.give_back();
        let turn = turn(&self.reading).await;
        let read = background::work(move || {
            let _turn = turn;
            read()
        });
        read.await.map_err(|error| status::internal(&error))
    }
}

tokio::task_local! {
    /// The turn of the call that this task runs.
    static RUNNING: Cell<Option<Turn>>;
}

fn stranger_place(places: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Status> {
    let place = Arc::clone(places).try_acquire_owned();
    place.map_err(|_| status::overloaded(NO_PLACE))
}

async fn turn(turns: &Arc<Semaphore>) -> Turn {
    // It is never closed.
    let held = Arc::clone(turns).acquire_owned().await.ok();
    Turn { _held: held }
}

impl Default for Limits {
    /// As many calls at once as there may be, at any rate, of messages of up to
    /// 1 MiB.
    fn default() -> Self {
        Self::new(LimitSettings {
            concurrent: usize::MAX,
            streams: usize::MAX,
            rate: None,
            burst: NonZeroU32::MIN,
            turns: NonZeroUsize::new(Semaphore::MAX_PERMITS),
            message_bytes: 1 << 20,
        })
    }
}

impl fmt::Debug for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limits")
            .field("places", &self.places)
            .field("running", &self.running)
            .field("reading", &self.reading)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Waker};

    use tonic::Code;

    use super::*;

    fn limits(concurrent: usize, rate: u32, burst: u32) -> Limits {
        Limits::new(LimitSettings {
            concurrent,
            streams: concurrent,
            rate: NonZeroU32::new(rate),
            burst: NonZeroU32::new(burst).unwrap(),
            turns: NonZeroUsize::new(2),
            message_bytes: 1 << 20,
        })
    }

    #[test]
    fn what_manages_has_half_of_the_places_and_verify_the_rest() {
        let limits = limits(4, 0, 1);
        let mut others = (1..).map(Symbol::from_number);
        let mut place = |load| limits.place(load, others.next().unwrap());
        let managing = [Load::Managing, Load::Reading].map(|load| place(load).unwrap());
        for load in [Load::Managing, Load::Reading] {
            let refused = place(load).unwrap_err();
            assert_eq!(refused.code(), Code::ResourceExhausted);
        }
        let verdicts = [(); 2].map(|()| place(Load::Verdict).unwrap());
        assert!(place(Load::Verdict).is_err());
        let streams = [(); 4].map(|()| place(Load::Stream).unwrap());
        assert!(place(Load::Stream).is_err());
        drop((managing, streams));
        assert!(place(Load::Verdict).is_ok());
        assert!(place(Load::Stream).is_ok());
        drop(verdicts);
        assert!(place(Load::Managing).is_ok());
    }

    #[test]
    fn a_caller_has_half_of_the_places_and_others_theirs() {
        let limits = limits(16, 0, 1);
        let [one, other] = [1, 2].map(Symbol::from_number);
        for (load, share) in [(Load::Verdict, 8), (Load::Reading, 4), (Load::Stream, 8)] {
            let mut held = Vec::new();
            while let Ok(place) = limits.place(load, one) {
                held.push(place);
            }
            assert_eq!(held.len(), share, "{load:?}");
            assert!(limits.place(load, other).is_ok(), "{load:?}");
            held.pop();
            assert!(limits.place(load, one).is_ok(), "{load:?}");
        }
    }

    #[test]
    fn a_caller_has_a_burst_and_others_have_their_own() {
        let limits = limits(4, 1, 3);
        let [one, other] = [1, 2].map(Symbol::from_number);
        for _ in 0..3 {
            limits.count(one).unwrap();
        }
        assert_eq!(
            limits.count(one).unwrap_err().code(),
            Code::ResourceExhausted
        );
        limits.count(other).unwrap();
        limits.forget_idle();
        assert!(limits.count(one).is_err(), "it is not forgotten yet");
    }

    #[tokio::test]
    async fn what_manages_takes_turns_and_others_do_not_wait_for_it() {
        let limits = limits(4, 0, 1);
        let (end, ended) = tokio::sync::watch::channel(());
        let forever = || {
            let mut ended = ended.clone();
            async move { ended.changed().await }
        };
        let mut held = [(); 2].map(|()| Box::pin(limits.run(Load::Managing, forever())));
        for call in &mut held {
            assert!(is_waiting(call));
        }
        let mut next = Box::pin(limits.run(Load::Managing, async {}));
        assert!(is_waiting(&mut next));
        for load in [Load::Verdict, Load::Reading, Load::Stream] {
            limits.run(load, async {}).await;
        }
        limits.read(|| ()).await.unwrap();
        assert!(is_waiting(&mut next));
        drop(end);
        for call in held {
            call.await.unwrap_err();
        }
        next.await;
    }

    #[tokio::test]
    async fn who_waits_to_read_lets_others_run() {
        let limits = limits(4, 0, 1);
        let (go_on, wait) = std::sync::mpsc::channel::<()>();
        let wait = Arc::new(parking_lot::Mutex::new(wait));
        let read = || {
            let wait = Arc::clone(&wait);
            limits.read(move || wait.lock().recv())
        };
        let mut held = [(); 2].map(|()| Box::pin(limits.run(Load::Managing, read())));
        for call in &mut held {
            assert!(is_waiting(call));
        }
        limits.run(Load::Managing, async {}).await;
        drop(go_on);
        for call in held {
            call.await.unwrap().unwrap_err();
        }
    }

    #[tokio::test]
    async fn what_reads_much_takes_turns_even_if_nobody_waits_for_it() {
        let limits = limits(4, 0, 1);
        let turns = limits.reading.available_permits();
        let (go_on, wait) = std::sync::mpsc::channel::<()>();
        let wait = Arc::new(parking_lot::Mutex::new(wait));
        for _ in 0..turns {
            let wait = Arc::clone(&wait);
            let mut abandoned = Box::pin(limits.read(move || wait.lock().recv()));
            assert!(is_waiting(&mut abandoned));
        }
        let mut next = Box::pin(limits.read(|| ()));
        assert!(is_waiting(&mut next));
        drop(go_on);
        next.await.unwrap();
    }

    #[tokio::test]
    async fn who_reads_and_panics_is_told_so_and_the_next_has_its_turn() {
        let limits = limits(4, 0, 1);
        for _ in 0..=limits.reading.available_permits() {
            let status = limits.read(|| panic!("on purpose")).await.unwrap_err();
            assert_eq!(status.code(), Code::Internal);
        }
        limits.read(|| ()).await.unwrap();
    }

    fn is_waiting(future: &mut Pin<Box<impl Future>>) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        future.as_mut().poll(&mut context).is_pending()
    }
}
