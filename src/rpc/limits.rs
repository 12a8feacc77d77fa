//! How much callers may ask for at once and one after the other.
//!
//! Verify comes before everything else. What manages credd may have half of the
//! places, and has its turns: so many calls run at a time, and of those that read
//! much, such as List, fewer still, on threads of a lower priority. The others wait,
//! and a place with them. Who finds none is told to come again.
//!
//! It is the turns that keep a storm of such calls away from the queue in which the
//! next Verify waits: a client that was not answered does not ask for the next thing.

use std::fmt;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use governor::clock::{Clock as _, MonotonicClock};
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;

use super::status;
use crate::authority::background;
use crate::authority::names::Symbol;

/// What may be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitSettings {
    /// The most calls at once, streams left out.
    pub concurrent: usize,
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
    all: Arc<Semaphore>,
    managing: Arc<Semaphore>,
    running: Arc<Semaphore>,
    reading: Arc<Semaphore>,
    rates: Option<Rates>,
}

type Rates = RateLimiter<Symbol, HashMapStateStore<Symbol>, MonotonicClock>;

/// A place among those who call. It is given back when this is dropped.
#[derive(Debug)]
pub struct Place {
    load: Load,
    _among_all: Option<OwnedSemaphorePermit>,
    _among_managing: Option<OwnedSemaphorePermit>,
}

impl Place {
    /// How the call loads credd.
    #[must_use]
    pub const fn load(&self) -> Load {
        self.load
    }
}

/// A turn to run. It ends when this is dropped.
#[derive(Debug, Default)]
pub struct Turn {
    _held: Option<OwnedSemaphorePermit>,
}

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
            rate,
            burst,
            turns,
            message_bytes,
        } = settings;
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let places =
            |count: usize| Arc::new(Semaphore::new(count.clamp(1, Semaphore::MAX_PERMITS)));
        Self {
            message_bytes,
            all: places(concurrent),
            managing: places(concurrent / 2),
            running: places(turns.map_or(TURNS_PER_CORE * cores, NonZeroUsize::get)),
            reading: places(cores / 2),
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

    /// A place for a call.
    ///
    /// # Errors
    ///
    /// `RESOURCE_EXHAUSTED` (`OVERLOADED`) if there is none.
    pub fn place(&self, load: Load) -> Result<Place, Status> {
        let among = |places: &Arc<Semaphore>| {
            let place = Arc::clone(places).try_acquire_owned();
            place.map_err(|_| status::overloaded(NO_PLACE)).map(Some)
        };
        Ok(match load {
            Load::Stream => Place {
                load,
                _among_all: None,
                _among_managing: None,
            },
            Load::Verdict => Place {
                load,
                _among_all: among(&self.all)?,
                _among_managing: None,
            },
            Load::Managing | Load::Reading => Place {
                load,
                _among_managing: among(&self.managing)?,
                _among_all: among(&self.all)?,
            },
        })
    }

    /// Waits for a turn, if that is for calls that load credd so.
    pub async fn turn(&self, load: Load) -> Turn {
        match load {
            Load::Managing => turn(&self.running).await,
            // They have theirs when they come to [`Limits::read`].
            Load::Reading | Load::Verdict | Load::Stream => Turn::default(),
        }
    }

    /// Reads much: waits for a turn, and goes on while it has it, even if nobody
    /// waits for what comes of it any more.
    ///
    /// # Errors
    ///
    /// INTERNAL if it panics.
    pub async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Status> {
        let turn = turn(&self.reading).await;
        let read = background::work(move || {
            let _turn = turn;
            read()
        });
        read.await.map_err(|error| status::internal(&error))
    }
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
            .field("all", &self.all)
            .field("managing", &self.managing)
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
            rate: NonZeroU32::new(rate),
            burst: NonZeroU32::new(burst).unwrap(),
            turns: NonZeroUsize::new(2),
            message_bytes: 1 << 20,
        })
    }

    #[test]
    fn what_manages_has_half_of_the_places_and_verify_the_rest() {
        let limits = limits(4, 0, 1);
        let managing = [Load::Managing, Load::Reading].map(|load| limits.place(load).unwrap());
        for load in [Load::Managing, Load::Reading] {
            let refused = limits.place(load).unwrap_err();
            assert_eq!(refused.code(), Code::ResourceExhausted);
        }
        let verdicts = [(); 2].map(|()| limits.place(Load::Verdict).unwrap());
        assert!(limits.place(Load::Verdict).is_err());
        assert!(limits.place(Load::Stream).is_ok());
        drop(managing);
        assert!(limits.place(Load::Verdict).is_ok());
        drop(verdicts);
        assert!(limits.place(Load::Managing).is_ok());
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
        let held = [
            limits.turn(Load::Managing).await,
            limits.turn(Load::Managing).await,
        ];
        let mut next = Box::pin(limits.turn(Load::Managing));
        assert!(is_waiting(&mut next));
        for load in [Load::Verdict, Load::Reading, Load::Stream] {
            assert!(!is_waiting(&mut Box::pin(limits.turn(load))), "{load:?}");
        }
        limits.read(|| ()).await.unwrap();
        drop(held);
        assert!(!is_waiting(&mut next));
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
