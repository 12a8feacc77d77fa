//! How much callers may ask for at once and one after the other.
//!
//! Verify comes before everything else: what manages credd may have half of the
//! places, and of what reads much, such as List, only some run at a time. The
//! others wait, and a place with them. Who finds none is told to come again.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::{Clock as _, MonotonicClock};
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;

use super::status;
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
    all: Arc<Semaphore>,
    managing: Arc<Semaphore>,
    reading: Arc<Semaphore>,
    rates: Option<Rates>,
}

type Rates = RateLimiter<Symbol, HashMapStateStore<Symbol>, MonotonicClock>;

/// A place among those who call. It is given back when this is dropped.
#[derive(Debug, Default)]
pub struct Place {
    _among_all: Option<OwnedSemaphorePermit>,
    _among_managing: Option<OwnedSemaphorePermit>,
}

/// A turn to read much. It ends when this is dropped.
#[derive(Debug)]
pub struct Turn {
    _held: Option<OwnedSemaphorePermit>,
}

/// How long to wait before one asks again where there was no place.
const NO_PLACE: Duration = Duration::from_millis(100);

impl Limits {
    /// Keeps callers to these limits.
    #[must_use]
    pub fn new(settings: LimitSettings) -> Self {
        let LimitSettings {
            concurrent,
            rate,
            burst,
        } = settings;
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let places =
            |count: usize| Arc::new(Semaphore::new(count.clamp(1, Semaphore::MAX_PERMITS)));
        Self {
            all: places(concurrent),
            managing: places(concurrent / 2),
            reading: places(cores / 2),
            rates: rate.map(|rate| {
                let quota = Quota::per_second(rate).allow_burst(burst);
                RateLimiter::hashmap_with_clock(quota, MonotonicClock)
            }),
        }
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
            Load::Stream => Place::default(),
            Load::Verdict => Place {
                _among_all: among(&self.all)?,
                _among_managing: None,
            },
            Load::Managing | Load::Reading => Place {
                _among_managing: among(&self.managing)?,
                _among_all: among(&self.all)?,
            },
        })
    }

    /// Waits for a turn to read much.
    pub async fn turn(&self) -> Turn {
        let held = Arc::clone(&self.reading).acquire_owned().await;
        // The semaphore is never closed.
        Turn { _held: held.ok() }
    }
}

impl Default for Limits {
    /// As many calls at once as there may be, at any rate.
    fn default() -> Self {
        Self::new(LimitSettings {
            concurrent: usize::MAX,
            rate: None,
            burst: NonZeroU32::MIN,
        })
    }
}

impl fmt::Debug for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limits")
            .field("all", &self.all)
            .field("managing", &self.managing)
            .field("reading", &self.reading)
            .finish_non_exhaustive()
    }
}

/// Reads much: the calls that wait for the same thread go on elsewhere.
pub fn reading<T>(read: impl FnOnce() -> T) -> T {
    let has_others = Handle::try_current()
        .is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread);
    if has_others {
        tokio::task::block_in_place(read)
    } else {
        read()
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
    async fn what_reads_much_takes_turns() {
        let limits = limits(4, 0, 1);
        let mut turns = Vec::new();
        while limits.reading.available_permits() > 0 {
            turns.push(limits.turn().await);
        }
        let mut next = Box::pin(limits.turn());
        assert!(is_waiting(&mut next));
        turns.pop();
        assert!(!is_waiting(&mut next));
    }

    fn is_waiting(future: &mut Pin<Box<impl Future>>) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        future.as_mut().poll(&mut context).is_pending()
    }
}
