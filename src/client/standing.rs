//! Whether one who can be asked is worth asking now.

use std::time::Duration;

use tokio::time::Instant;

use super::backoff::Backoff;

/// What is known of one who can be asked.
#[derive(Debug)]
pub(super) struct Standing {
    /// No connection could be made.
    unreachable: Pause,
    /// A question was not answered in time.
    doubtful: Pause,
}

/// For how long somebody is left alone, if at all.
#[derive(Debug, Default)]
struct Pause {
    backoff: Backoff,
    until: Option<Instant>,
}

/// The longest time between two questions that try whether one who did not answer does
/// again.
const PROBE: Duration = Duration::from_secs(1);

impl Default for Standing {
    fn default() -> Self {
        Self {
            unreachable: Pause::default(),
            doubtful: Pause {
                backoff: Backoff::default().at_most(PROBE),
                until: None,
            },
        }
    }
}

impl Standing {
    /// No connection could be made.
    pub(super) fn note_unreachable(&mut self, now: Instant) {
        self.unreachable.begin(now);
    }

    /// It was waited for in vain. However many wait at once, it is one doubt.
    pub(super) fn note_silence(&mut self, now: Instant) {
        if !self.is_doubtful() {
            self.doubtful.begin(now);
        }
    }

    /// It said something.
    pub(super) fn note_answer(&mut self) {
        self.unreachable.end();
        self.doubtful.end();
    }

    /// Whether it was unreachable a moment ago: to ask it again at once would be one
    /// of many attempts to connect when it comes back.
    pub(super) fn is_unreachable(&self, now: Instant) -> bool {
        self.unreachable.is_on(now)
    }

    /// Whether it has said nothing since it was waited for in vain: others are asked
    /// first.
    pub(super) const fn is_doubtful(&self) -> bool {
        self.doubtful.until.is_some()
    }

    /// Whether one who could do without it is to ask it: if it is not doubtful, or
    /// nobody else has tried it for a while.
    pub(super) fn probe(&mut self, now: Instant) -> bool {
        if self.doubtful.is_on(now) {
            return false;
        }
        if self.is_doubtful() {
            self.doubtful.begin(now);
        }
        true
    }
}

impl Pause {
    fn begin(&mut self, now: Instant) {
        self.until = Some(now + self.backoff.next());
    }

    fn is_on(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    const fn end(&mut self) {
        self.backoff.reset();
        self.until = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_is_back_is_asked_at_once_however_long_it_was_gone() {
        let (mut standing, now) = (Standing::default(), Instant::now());
        for _ in 0..100 {
            standing.note_unreachable(now);
            standing.note_silence(now);
        }
        assert!(standing.is_unreachable(now) && standing.is_doubtful());
        standing.note_answer();
        assert!(!standing.is_unreachable(now) && !standing.is_doubtful());
        assert!(standing.probe(now));
        standing.note_unreachable(now);
        let first = Duration::from_millis(210);
        assert!(!standing.is_unreachable(now + first), "it begins anew");
    }

    #[test]
    fn one_that_does_not_answer_is_tried_by_one_at_a_time_and_about_once_a_second() {
        let (mut standing, mut now) = (Standing::default(), Instant::now());
        // Many waited.
        for _ in 0..1000 {
            standing.note_silence(now);
        }
        let (mut probes, mut waited) = (0, Duration::ZERO);
        let step = Duration::from_millis(1);
        for _ in 0..60_000 {
            now += step;
            waited += step;
            let asks = (0..10).filter(|_| standing.probe(now)).count();
            assert!(asks <= 1, "{asks} at once");
            if asks > 0 {
                assert!(waited <= PROBE + Duration::from_millis(11), "{waited:?}");
                (probes, waited) = (probes + 1, Duration::ZERO);
                // In vain.
                standing.note_silence(now);
            }
        }
        assert!((60..240).contains(&probes), "{probes} in a minute");
    }
}
