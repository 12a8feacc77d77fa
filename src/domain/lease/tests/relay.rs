use super::*;

fn leased(now: u64, drift: Drift) -> Holder {
    let mut holder = Holder::new(drift);
    let sequence = holder.send(at(now));
    holder.answered(sequence, Some(LENGTH));
    holder
}

fn relay(length: Duration) -> Relay<char> {
    let mut relay = Relay::new(length, Drift::STATED);
    relay.reset(rev(10));
    relay
}

#[test]
fn it_grants_no_lease_without_one_of_its_own_or_beyond_it() {
    let mut relay = relay(LENGTH);
    let mut renew = |own: &Holder, now| relay.renew(&'a', rev(10), rev(10), at(now), own);
    assert_eq!(renew(&Holder::new(Drift::STATED), 0), None);
    let own = leased(0, Drift::STATED);
    assert!(renew(&own, 0).is_some_and(|lease| lease < LENGTH));
    // 1.01 s by a clock that may run fast.
    assert_eq!(renew(&own, 1960), Some(Duration::from_secs(1)));
    assert_eq!(renew(&own, 2970), None);
}

#[test]
fn it_acknowledges_what_all_below_it_have_acknowledged_or_outlived() {
    let (mut relay, own) = (relay(LENGTH / 3), leased(0, Drift::STATED));
    assert_eq!(relay.acknowledged(rev(10), at(0)), rev(10), "nobody");
    for subscriber in ['a', 'b'] {
        relay.renew(&subscriber, rev(10), rev(10), at(0), &own);
    }
    relay.fenced(rev(12));
    assert_eq!(relay.acknowledged(rev(12), at(1)), rev(10));
    assert!(relay.renew(&'a', rev(12), rev(12), at(1), &own).is_some());
    assert!(relay.renew(&'b', rev(11), rev(11), at(1), &own).is_none());
    assert_eq!(relay.acknowledged(rev(12), at(1)), rev(11));
    assert_eq!(relay.next_end(), Some(at(1010)));
    assert_eq!(relay.acknowledged(rev(12), at(1010)), rev(12));
    assert_eq!(relay.grantor().len(), 1);
}

#[test]
fn it_acknowledges_no_more_than_it_has_applied_itself() {
    let (mut relay, own) = (relay(LENGTH / 3), leased(0, Drift::STATED));
    // One who has followed somebody else before.
    relay.renew(&'a', rev(15), rev(15), at(0), &own);
    assert_eq!(relay.acknowledged(rev(11), at(0)), rev(11));
}

#[test]
fn who_has_not_applied_what_it_was_reset_to_gets_no_lease() {
    let (mut relay, own) = (relay(LENGTH / 3), leased(0, Drift::STATED));
    relay.reset(rev(20));
    assert_eq!(relay.renew(&'a', rev(19), rev(19), at(0), &own), None);
    assert!(relay.renew(&'a', rev(20), rev(20), at(0), &own).is_some());
}

proptest! {
    /// A chain of an authority, a relay and a subscriber, whose clocks run wrong as
    /// they like within the drift.
    #[test]
    fn who_waits_for_a_relay_waits_for_those_below_it(
        (drift, rates) in (0_u32..=500_000).prop_flat_map(|drift| {
            let most = i64::from(drift);
            (Just(drift), [-most..=most, -most..=most, -most..=most])
        }),
        length in 1_u64..1000,
        travels in 0_u64..1000,
        asks in 0_u64..1000,
        arrives in 0_u64..1000,
        looks in prop::collection::vec(0_u64..3000, 20),
    ) {
        let [authoritys, relays, subscribers] = rates;
        let (allowed, length) = (Drift::millionths(drift), Duration::from_millis(length));
        let mut authority = Grantor::new(length, allowed, rev(1));
        let mut own = Holder::new(allowed);
        let sequence = own.send(at(0));
        let received_at = shown(authoritys, travels);
        let lease = authority.renew(&'r', rev(1), rev(1), received_at, None);
        own.answered(sequence, lease);

        let mut relay = Relay::new(length, allowed);
        let mut holder = Holder::new(allowed);
        let sequence = holder.send(shown(subscribers, travels + asks));
        let received_at = shown(relays, travels + asks + arrives);
        let lease = relay.renew(&'a', rev(1), rev(1), received_at, &own);
        holder.answered(sequence, lease);
        for look in looks {
            let now = travels + asks + look;
            if !holder.holds(shown(subscribers, now)) {
                continue;
            }
            prop_assert!(own.holds(shown(relays, now)), "after {} ms", look);
            let mut authority = authority.clone();
            authority.advance(shown(authoritys, now));
            prop_assert!(!authority.is_empty(), "after {} ms", look);
            if look >= arrives {
                let acknowledged = relay.clone().acknowledged(rev(9), shown(relays, now));
                prop_assert_eq!(acknowledged, rev(1), "after {} ms", look);
            }
        }
    }
}
