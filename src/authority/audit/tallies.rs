//! Events that are alike, counted: however many there are, and whoever causes
//! them, a bounded number of records tells of them.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

use crate::domain::audit::{Event, KnownBy, MOST_CREDENTIALS, Subject};
use crate::domain::id::CredentialId;
use crate::domain::time::Timestamp;

/// The most tallies of callers that are known.
pub(super) const MOST: usize = 1000;
/// The most tallies of one of them. What it does beyond that is told as one event of
/// its own: it hides nothing that others do.
pub(super) const MOST_OF_ONE: usize = 250;
/// The most tallies of strangers: they have a share of their own, so that they can
/// neither push others out nor fill the disk.
pub(super) const MOST_STRANGE: usize = 64;
/// The action of what is counted together because there was too much.
pub(super) const OTHERS: &str = "credd.others";
/// The most addresses that are named of what is counted together.
const MOST_ADDRESSES: usize = 16;
/// What they stand behind, in the details.
const ADDRESSES: &str = "addresses ";

/// What events of a caller, or of strangers, have in common that are counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    on_behalf_of: String,
    known_by: KnownBy,
    /// Of strangers of IPv6 the network, of which one host has all addresses.
    address: String,
    action: String,
    tenant: String,
    /// Of the use of a credential: which. Of calls, the event names several.
    used: Option<CredentialId>,
    outcome: String,
    dry_run: bool,
}

/// Counted events.
///
/// When all tallies of callers are taken and another needs one, whoever has most of
/// them gives one up: no number of callers together leaves another without.
#[derive(Debug, Default)]
pub(super) struct Tallies {
    /// By principal.
    callers: HashMap<String, Share>,
    /// The tallies in all shares.
    taken: usize,
    /// The shares with others.
    overfull: usize,
    strange: HashMap<Key, Event>,
    /// Those that found no place, together.
    others: Option<Event>,
}

/// The events of one caller.
#[derive(Debug, Default)]
struct Share {
    by_key: HashMap<Key, Event>,
    /// Those that found no place, together.
    others: Option<Event>,
}

impl Tallies {
    /// Whether there is anything to tell.
    pub(super) fn is_empty(&self) -> bool {
        self.callers.is_empty() && self.strange.is_empty() && self.others.is_none()
    }

    /// Counts an event, or several that were counted together before. `is_use`
    /// events are those of one credential each.
    pub(super) fn add(&mut self, event: Event) {
        let is_merged = event.action == OTHERS;
        match (event.principal.is_empty(), is_merged) {
            (true, true) => self.add_others(event.count, event.first, event.last),
            (true, false) => self.add_strange(event),
            (false, true) => self.add_others_of(event),
            (false, false) => self.add_of_caller(event),
        }
    }

    fn add_strange(&mut self, event: Event) {
        let key = Key::of(&event);
        if let Some(tally) = self.strange.get_mut(&key) {
            merge(tally, &event);
        } else if self.strange.len() < MOST_STRANGE {
            self.strange.insert(key, event);
        } else {
            self.add_others(event.count, event.first, event.last);
        }
    }

    fn add_of_caller(&mut self, event: Event) {
        let key = Key::of(&event);
        let mut held = 0;
        if let Some(share) = self.callers.get_mut(&event.principal) {
            if let Some(tally) = share.by_key.get_mut(&key) {
                return merge(tally, &event);
            }
            held = share.by_key.len();
        }
        if held < MOST_OF_ONE && (self.taken < MOST || self.give_up_one(held)) {
            let share = self.callers.entry(event.principal.clone()).or_default();
            share.by_key.insert(key, event);
            self.taken += 1;
        } else {
            self.add_others_of(event);
        }
    }

    /// Has the caller with most tallies give up its latest to one that holds so many,
    /// if it has more still then. Returns whether it does.
    fn give_up_one(&mut self, held: usize) -> bool {
        let largest = self.callers.values_mut();
        let largest = largest.max_by_key(|share| share.by_key.len());
        let Some(share) = largest.filter(|share| share.by_key.len() > held + 1) else {
            return false;
        };
        let latest = share.by_key.iter().max_by_key(|(_, tally)| tally.first);
        let latest = latest.map(|(key, _)| key.clone());
        let Some(tally) = latest.and_then(|key| share.by_key.remove(&key)) else {
            return false;
        };
        self.taken -= 1;
        self.add_others_of(tally);
        true
    }

    /// Counts what is told of one caller together.
    fn add_others_of(&mut self, event: Event) {
        let has_others = |share: &Share| share.others.is_some();
        let is_new = !self.callers.get(&event.principal).is_some_and(has_others);
        if is_new && self.overfull == MOST {
            return self.add_others(event.count, event.first, event.last);
        }
        let event = among_others(event);
        let share = self.callers.entry(event.principal.clone()).or_default();
        match &mut share.others {
            Some(others) => merge_others(others, &event),
            others @ None => {
                *others = Some(event);
                self.overfull += 1;
            }
        }
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
        let Self {
            callers,
            strange,
            others,
            ..
        } = std::mem::take(self);
        let of_callers = callers
            .into_values()
            .flat_map(|share| share.by_key.into_values().chain(share.others));
        let of_all = of_callers.chain(strange.into_values()).chain(others);
        let mut events: Vec<_> = of_all.collect();
        events.sort_by_key(|event| event.first);
        events
    }
}

impl Key {
    fn of(event: &Event) -> Self {
        let address = if event.principal.is_empty() {
            network(&event.address)
        } else {
            event.address.clone()
        };
        let used = event.subject.credentials.first();
        Self {
            on_behalf_of: event.on_behalf_of.clone(),
            known_by: event.known_by,
            address,
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

/// What is left of an event of a caller among others of the same: by what it is
/// known, from where it called, and the credentials.
fn among_others(event: Event) -> Event {
    if event.action == OTHERS {
        return event;
    }
    Event {
        principal: event.principal,
        known_by: event.known_by,
        details: format!("{ADDRESSES}{}", event.address),
        address: event.address,
        subject: Subject {
            credentials: event.subject.credentials,
            ..Subject::default()
        },
        count: event.count,
        last: event.last,
        ..Event::new(OTHERS, "UNKNOWN", event.first)
    }
}

fn merge_others(others: &mut Event, event: &Event) {
    merge(others, event);
    if others.known_by != event.known_by {
        others.known_by = KnownBy::Nobody;
    }
    let addresses = event.details.strip_prefix(ADDRESSES).unwrap_or_default();
    for address in addresses.split(", ") {
        let named = others.details.strip_prefix(ADDRESSES).unwrap_or_default();
        let mut known = named.split(", ");
        if known.all(|known| known != address) && named.split(", ").count() < MOST_ADDRESSES {
            others.details.push_str(", ");
            others.details.push_str(address);
        }
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
        for n in 0..3000 {
            tallies.add(event(&format!("caller {n}"), "", "acme", 1));
        }
        let events = tallies.take();
        // Apart, by caller, and the strangers.
        assert_eq!(events.len(), MOST + MOST + MOST_STRANGE + 1);
        assert_eq!(events.iter().map(|e| e.count).sum::<u64>(), 23_000);
        let others = events
            .iter()
            .find(|e| e.principal.is_empty() && e.action == OTHERS);
        assert_eq!(others.unwrap().count, 23_000 - 2000 - 63 - 10_000);
        assert!(tallies.take().is_empty());
    }

    #[test]
    fn a_caller_who_does_much_takes_no_place_from_others() {
        let mut tallies = Tallies::default();
        for tenant in 0..5000 {
            tallies.add(event("flood", "10.0.0.1", &format!("{tenant}"), tenant));
        }
        tallies.add(event("jo", "10.0.0.2", "acme", 9));
        let events = tallies.take();
        assert_eq!(events.len(), MOST_OF_ONE + 1 + 1);
        let others = events.iter().find(|e| e.action == OTHERS).unwrap();
        let left = 5000 - MOST_OF_ONE as u64;
        assert_eq!((others.principal.as_str(), others.count), ("flood", left));
        let of_jo = events.iter().find(|e| e.principal == "jo").unwrap();
        assert_eq!((of_jo.action.as_str(), of_jo.count), ("rpc", 1));
    }

    #[test]
    fn many_who_do_much_together_leave_another_as_many_places_as_they_have() {
        let mut tallies = Tallies::default();
        for n in 0..20_000 {
            let principal = format!("flood {}", n % 10);
            tallies.add(event(&principal, "10.0.0.1", &format!("{n}"), n));
        }
        for tenant in 0..200 {
            tallies.add(event("jo", "10.0.0.2", &format!("{tenant}"), tenant));
        }
        let events = tallies.take();
        let (merged, apart): (Vec<_>, Vec<_>) = events.iter().partition(|e| e.action == OTHERS);
        assert_eq!((apart.len(), merged.len()), (MOST, 11));
        assert_eq!(events.iter().map(|e| e.count).sum::<u64>(), 20_200);
        let of_jo = apart.iter().filter(|e| e.principal == "jo").count();
        assert!((90..=91).contains(&of_jo), "{of_jo} of {MOST}");
    }

    #[test]
    fn whence_somebody_calls_is_told_apart_and_named_where_there_is_too_much() {
        let mut tallies = Tallies::default();
        tallies.add(event("jo", "10.0.0.1", "acme", 1));
        for at in 2..52 {
            tallies.add(event("jo", "10.0.0.66", "acme", at));
        }
        let shown: Vec<_> = tallies
            .take()
            .into_iter()
            .map(|event| (event.address, event.count))
            .collect();
        assert_eq!(shown, [("10.0.0.1".into(), 1), ("10.0.0.66".into(), 50)]);

        for n in 0..1000 {
            tallies.add(event("jo", "10.0.0.1", &format!("{n}"), n));
        }
        for _ in 0..2 {
            tallies.add(event("jo", "10.0.0.66", "acme", 2000));
            // What could not be written is counted on.
            for event in tallies.take() {
                tallies.add(event);
            }
        }
        let others = |events: Vec<Event>| events.into_iter().find(|e| e.action == OTHERS).unwrap();
        let merged = others(tallies.take());
        assert_eq!(merged.details, "addresses 10.0.0.1, 10.0.0.66");
        assert_eq!(merged.count, 752);
        for n in 0..1000_u32 {
            let address = Ipv6Addr::from(u128::MAX - u128::from(n)).to_string();
            tallies.add(event("jo", &address, "acme", i64::from(n)));
        }
        let merged = others(tallies.take());
        assert_eq!(merged.details.split(", ").count(), MOST_ADDRESSES);
        assert_eq!(merged.clone().fit().details, merged.details);
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
