//! Events that are alike, counted: however many there are, and whoever causes
//! them, a bounded number of records tells of them.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

use crate::domain::audit::{Event, KnownBy, MOST_CREDENTIALS};
use crate::domain::id::CredentialId;
use crate::domain::time::Timestamp;

/// The most tallies of callers that are known.
pub(super) const MOST: usize = 1000;
/// The most tallies of strangers: they have a share of their own, so that they can
/// neither push others out nor fill the disk.
pub(super) const MOST_STRANGE: usize = 64;
/// The action of what is counted together because there was too much.
pub(super) const OTHERS: &str = "credd.others";

/// What events have in common that are counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    who: Who,
    action: String,
    tenant: String,
    /// Of the use of a credential: which. Of calls, the event names several.
    used: Option<CredentialId>,
    outcome: String,
    dry_run: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Who {
    Caller(String, String, KnownBy),
    /// By address; of IPv6 by network, of which one host has all addresses.
    Stranger(String),
}

/// Counted events.
#[derive(Debug, Default)]
pub(super) struct Tallies {
    by_key: HashMap<Key, Event>,
    strange: usize,
    /// Those that found no place, together.
    others: Option<Event>,
}

impl Tallies {
    /// Whether there is anything to tell.
    pub(super) fn is_empty(&self) -> bool {
        self.by_key.is_empty() && self.others.is_none()
    }

    /// Counts an event, or several that were counted together before. `is_use`
    /// events are those of one credential each.
    pub(super) fn add(&mut self, event: Event) {
        if event.action == OTHERS {
            return self.add_others(event.count, event.first, event.last);
        }
        let key = Key::of(&event);
        if let Some(tally) = self.by_key.get_mut(&key) {
            return merge(tally, &event);
        }
        let is_strange = matches!(key.who, Who::Stranger(_));
        let has_room = if is_strange {
            self.strange < MOST_STRANGE
        } else {
            self.by_key.len() - self.strange < MOST
        };
        if !has_room {
            return self.add_others(event.count, event.first, event.last);
        }
        self.strange += usize::from(is_strange);
        self.by_key.insert(key, event);
    }

    /// Counts what nothing more is known of.
    pub(super) fn add_others(&mut self, count: u64, first: Timestamp, last: Timestamp) {
        let mut event = Event::new(OTHERS, "UNKNOWN", first);
        event.count = count;
        event.last = last;
        event.known_by = KnownBy::System;
        match &mut self.others {
            Some(others) => merge(others, &event),
            others @ None => *others = Some(event),
        }
    }

    /// All of them, in the order in which they began; there are none then.
    pub(super) fn take(&mut self) -> Vec<Event> {
        let Self { by_key, others, .. } = std::mem::take(self);
        let mut events: Vec<_> = by_key.into_values().chain(others).collect();
        events.sort_by_key(|event| event.first);
        events
    }
}

impl Key {
    fn of(event: &Event) -> Self {
        let who = if event.principal.is_empty() {
            Who::Stranger(network(&event.address))
        } else {
            Who::Caller(
                event.principal.clone(),
                event.on_behalf_of.clone(),
                event.known_by,
            )
        };
        let used = event.subject.credentials.first();
        Self {
            who,
            action: event.action.clone(),
            tenant: event.subject.tenant.clone(),
            used: used.filter(|_| event.is_use()).copied(),
            outcome: event.outcome.clone(),
            dry_run: event.dry_run,
        }
    }
}

fn merge(tally: &mut Event, event: &Event) {
    tally.count = tally.count.saturating_add(event.count);
    tally.first = tally.first.min(event.first);
    tally.last = tally.last.max(event.last);
    for id in &event.subject.credentials {
        let named = &mut tally.subject.credentials;
        if named.len() < MOST_CREDENTIALS && !named.contains(id) {
            named.push(*id);
        }
    }
    if tally.subject.owner != event.subject.owner {
        tally.subject.owner.clear();
    }
}

/// An address as strangers are told apart by it.
fn network(address: &str) -> String {
    match address.parse() {
        Ok(IpAddr::V6(address)) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).to_string()
        }
        _ => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(principal: &str, address: &str, tenant: &str, at: i64) -> Event {
        let mut event = Event::new("rpc", "DENIED", Timestamp::from_millis(at));
        event.principal = principal.to_owned();
        event.address = address.to_owned();
        event.subject.tenant = tenant.to_owned();
        event
    }

    #[test]
    fn what_is_alike_is_one_event_with_a_count() {
        let mut tallies = Tallies::default();
        for at in [5, 3, 9] {
            tallies.add(event("jo", "10.0.0.1", "acme", at));
        }
        tallies.add(event("jo", "10.0.0.1", "globex", 4));
        tallies.add(event("mia", "10.0.0.1", "acme", 10));
        let events = tallies.take();
        assert!(tallies.is_empty());
        let shown: Vec<_> = events
            .iter()
            .map(|e| (e.count, e.first.as_millis(), e.last.as_millis()))
            .collect();
        assert_eq!(shown, [(3, 3, 9), (1, 4, 4), (1, 10, 10)]);
    }

    #[test]
    fn strangers_are_few_whatever_they_do_and_take_no_place_from_others() {
        let mut tallies = Tallies::default();
        for n in 0..10_000_u32 {
            let address = std::net::Ipv4Addr::from(n).to_string();
            tallies.add(event("", &address, "", i64::from(n)));
            // One host with a whole network.
            let address = format!("2001:db8::{:x}:{:x}", n >> 8, n & 0xff);
            tallies.add(event("", &address, "", i64::from(n)));
        }
        for n in 0..2000 {
            tallies.add(event(&format!("caller {n}"), "", "acme", 1));
        }
        let events = tallies.take();
        assert_eq!(events.len(), MOST + MOST_STRANGE + 1);
        assert_eq!(events.iter().map(|e| e.count).sum::<u64>(), 22_000);
        let others = events.iter().find(|e| e.action == OTHERS).unwrap();
        assert_eq!(others.count, 22_000 - 1000 - 63 - 10_000);
        assert!(tallies.take().is_empty());
    }

    #[test]
    fn what_could_not_be_written_is_counted_on() {
        let mut tallies = Tallies::default();
        tallies.add(event("jo", "", "acme", 1));
        tallies.add_others(7, Timestamp::from_millis(2), Timestamp::from_millis(3));
        let kept = tallies.take();
        tallies.add(event("jo", "", "acme", 9));
        for event in kept {
            tallies.add(event);
        }
        let counts: Vec<_> = tallies.take().iter().map(|e| e.count).collect();
        assert_eq!(counts, [2, 7]);
    }

    #[test]
    fn uses_are_told_apart_by_credential_and_calls_name_several() {
        let mut tallies = Tallies::default();
        for n in 0..3 {
            let mut used = event("verifier", "", "acme", 1);
            used.outcome = "REVOKED".to_owned();
            used.subject.credentials = vec![CredentialId::from_bytes([n; 16])];
            tallies.add(used);
            let mut asked = event("jo", "", "acme", 2);
            asked.subject.credentials = vec![CredentialId::from_bytes([n; 16])];
            tallies.add(asked);
        }
        let named: Vec<_> = tallies
            .take()
            .iter()
            .map(|e| e.subject.credentials.len())
            .collect();
        assert_eq!(named, [1, 1, 1, 3]);
    }
}
