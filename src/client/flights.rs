//! Questions that are under way: who asks the same waits for the answer that comes.

use std::collections::HashMap;

use parking_lot::Mutex;
use tokio::sync::watch;
use tonic::Status;

use crate::domain::cache::QuestionKey;

/// The questions that are under way.
#[derive(Debug)]
pub(super) struct Flights {
    most: usize,
    under_way: Mutex<HashMap<QuestionKey, watch::Receiver<Option<Landing>>>>,
}

/// What became of one.
#[derive(Clone, Debug)]
pub(super) enum Landing {
    /// It was answered: who may have the answer finds it.
    Answered,
    /// Nobody could answer it.
    Failed(Status),
    /// It was answered by a status that may be about it alone: ask.
    Refused,
}

/// What one who asks is to do.
#[derive(Debug)]
pub(super) enum Turn<'a> {
    /// Ask, and say what became of it.
    Lead(Lead<'a>),
    /// Wait.
    Join(Join),
    /// Ask, for too many are under way.
    Alone,
}

/// Who asks on behalf of others. If it is dropped without a word, one of them asks on
/// behalf of the rest.
#[derive(Debug)]
pub(super) struct Lead<'a> {
    flights: &'a Flights,
    key: QuestionKey,
    landing: watch::Sender<Option<Landing>>,
}

/// Who waits.
#[derive(Debug)]
pub(super) struct Join(watch::Receiver<Option<Landing>>);

impl Flights {
    /// None yet, and never more than so many.
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            under_way: Mutex::default(),
        }
    }

    /// What one who asks this is to do.
    pub(super) fn turn(&self, key: QuestionKey) -> Turn<'_> {
        let mut under_way = self.under_way.lock();
        if let Some(flight) = under_way.get(&key) {
            return Turn::Join(Join(flight.clone()));
        }
        if under_way.len() >= self.most {
            return Turn::Alone;
        }
        let (landing, landed) = watch::channel(None);
        under_way.insert(key, landed);
        Turn::Lead(Lead {
            flights: self,
            key,
            landing,
        })
    }
}

impl Lead<'_> {
    /// Says what became of it.
    pub(super) fn land(self, landing: Landing) {
        self.landing.send_replace(Some(landing));
    }
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        self.flights.under_way.lock().remove(&self.key);
    }
}

impl Join {
    /// What became of it; `None`: whoever asked went away, or had no more time.
    pub(super) async fn landing(mut self) -> Option<Landing> {
        let landed = self.0.wait_for(Option::is_some).await.ok()?;
        landed.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::cache::{Hashes, Presentation, Question};

    fn key(token: &str) -> QuestionKey {
        Hashes::new(&[0; 16]).question(&Question {
            presented: Presentation::Token(token),
            tenant: "",
            any_tenant: true,
            profiles: &[],
            permissions: &[],
        })
    }

    fn lead(turn: Turn<'_>) -> Lead<'_> {
        match turn {
            Turn::Lead(lead) => lead,
            other => panic!("{other:?}"),
        }
    }

    fn join(turn: Turn<'_>) -> Join {
        match turn {
            Turn::Join(join) => join,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn equal_questions_are_asked_once_and_others_not_waited_for() {
        let flights = Flights::new(2);
        let first = lead(flights.turn(key("a")));
        let waiting = [(); 3].map(|()| join(flights.turn(key("a"))));
        let other = lead(flights.turn(key("b")));
        assert!(matches!(flights.turn(key("c")), Turn::Alone));
        first.land(Landing::Answered);
        for one in waiting {
            assert!(matches!(one.landing().await, Some(Landing::Answered)));
        }
        // It is over: the next one asks.
        let again = lead(flights.turn(key("a")));
        let waiting = join(flights.turn(key("a")));
        again.land(Landing::Failed(Status::unavailable("gone")));
        assert!(matches!(waiting.landing().await, Some(Landing::Failed(_))));
        // One who goes away leaves nobody waiting.
        let waiting = join(flights.turn(key("b")));
        drop(other);
        assert!(waiting.landing().await.is_none());
        assert!(flights.under_way.lock().is_empty());
    }
}
