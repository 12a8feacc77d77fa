use proptest::prelude::*;

use super::*;
use crate::domain::revision::Revision;

mod relay;
mod tenure;

const LENGTH: Duration = Duration::from_secs(3);

const fn at(millis: u64) -> BootTime {
    BootTime::new(Duration::from_millis(millis))
}

const fn rev(number: u64) -> Revision {
    Revision::new(number)
}

fn grantor() -> Grantor<char> {
    Grantor::new(LENGTH, Drift::STATED, rev(10))
}

fn renew(grantor: &mut Grantor<char>, session: char, applied: u64, now: u64) -> Option<Duration> {
    grantor.renew(&session, rev(applied), rev(applied), at(now), None)
}

fn fenced(acknowledged: usize, ran_out: usize, awaited: usize) -> Fenced {
    Fenced {
        acknowledged,
        ran_out,
        awaited,
    }
}

#[test]
fn the_holder_counts_from_the_send_and_the_grantor_longer_from_the_receipt() {
    let mut holder = Holder::new(Drift::STATED);
    let mut grantor = grantor();
    let sequence = holder.send(at(1000));
    assert!(!holder.holds(at(1000)), "before the answer");
    let lease = renew(&mut grantor, 'a', 10, 1500);
    assert_eq!(lease, Some(LENGTH));
    assert!(holder.answered(sequence, lease));
    assert_eq!(holder.ends_at(), Some(at(1000 + 2970)));
    assert!(holder.holds(at(3969)) && !holder.holds(at(3970)));
    assert_eq!(grantor.next_end(), Some(at(1500 + 3030)));
    grantor.advance(at(4529));
    assert_eq!(grantor.len(), 1);
    grantor.advance(at(4530));
    assert!(grantor.is_empty());
}

#[test]
fn an_answer_counts_once_for_its_own_message_and_never_shortens() {
    let mut holder = Holder::new(Drift::millionths(0));
    let [first, second, third] = [0, 100, 200].map(|now| holder.send(at(now)));
    assert!(holder.answered(second, Some(LENGTH)));
    assert_eq!(holder.ends_at(), Some(at(3100)));
    for again in [first, second, Sequence(99)] {
        assert!(!holder.answered(again, Some(LENGTH * 10)));
    }
    assert!(holder.answered(third, Some(LENGTH / 2)));
    assert_eq!(holder.ends_at(), Some(at(3100)));
    let fourth = holder.send(at(300));
    assert!(holder.answered(fourth, None));
    assert!(holder.holds(at(3099)));
}

#[test]
fn what_was_asked_before_the_lease_was_given_up_gets_none() {
    let mut holder = Holder::new(Drift::millionths(0));
    let first = holder.send(at(0));
    assert!(holder.answered(first, Some(LENGTH)));
    let second = holder.send(at(1));
    holder.disconnected();
    assert!(holder.holds(at(2)), "a lease outlives its connection");
    assert!(!holder.answered(second, Some(LENGTH)));
    let third = holder.send(at(3));
    holder.give_up();
    assert!(!holder.holds(at(4)));
    assert!(!holder.answered(third, Some(LENGTH)));
    assert!(!holder.holds(at(4)));
}

#[test]
fn who_is_below_the_floor_gets_no_lease_and_keeps_the_one_that_it_has() {
    let mut grantor = grantor();
    assert_eq!(renew(&mut grantor, 'a', 9, 0), None);
    assert!(grantor.is_empty());
    assert!(renew(&mut grantor, 'a', 10, 0).is_some());
    grantor.raise(rev(11));
    grantor.raise(rev(5));
    assert_eq!(renew(&mut grantor, 'a', 10, 1000), None);
    assert_eq!(grantor.next_end(), Some(at(3030)));
    assert!(renew(&mut grantor, 'a', 11, 1000).is_some());
    assert_eq!(grantor.next_end(), Some(at(4030)));
}

#[test]
fn a_fence_ends_by_acknowledgement_and_by_expiry() {
    let mut grantor = grantor();
    for (session, now) in [('a', 0), ('b', 0), ('c', 500)] {
        renew(&mut grantor, session, 10, now);
    }
    grantor.raise(rev(11));
    let fence = grantor.fence(rev(11), at(600));
    let look = |grantor: &mut Grantor<char>, now| grantor.fenced(fence, at(now)).unwrap();
    assert_eq!(look(&mut grantor, 600), fenced(0, 0, 3));
    assert!(!grantor.is_settled(rev(11)));
    renew(&mut grantor, 'b', 11, 700);
    assert_eq!(look(&mut grantor, 700), fenced(1, 0, 2));
    assert_eq!(grantor.behind(rev(11)).collect::<String>(), "ac");
    // Who comes later has applied it, or gets no lease.
    renew(&mut grantor, 'd', 11, 800);
    renew(&mut grantor, 'e', 10, 800);
    assert_eq!(look(&mut grantor, 3029), fenced(1, 0, 2));
    assert_eq!(look(&mut grantor, 3030), fenced(1, 1, 1));
    assert_eq!(look(&mut grantor, 3530), fenced(1, 2, 0));
    assert!(grantor.is_settled(rev(11)));
    grantor.end(fence);
    assert_eq!(grantor.fenced(fence, at(3530)), None);
}

#[test]
fn a_fence_at_what_all_have_acknowledged_is_done_at_once() {
    let mut grantor = grantor();
    renew(&mut grantor, 'a', 12, 0);
    let fence = grantor.fence(rev(12), at(1));
    assert_eq!(grantor.fenced(fence, at(1)), Some(fenced(1, 0, 0)));
}

#[test]
fn a_relay_has_a_lease_for_itself_and_acknowledges_for_those_below_it() {
    let mut grantor = grantor();
    grantor.renew(&'r', rev(10), rev(10), at(0), None);
    grantor.raise(rev(11));
    let fence = grantor.fence(rev(11), at(1));
    let lease = grantor.renew(&'r', rev(11), rev(10), at(2), None);
    assert_eq!(lease, Some(LENGTH));
    assert_eq!(grantor.fenced(fence, at(2)), Some(fenced(0, 0, 1)));
    grantor.renew(&'r', rev(11), rev(11), at(3), None);
    assert_eq!(grantor.fenced(fence, at(3)), Some(fenced(1, 0, 0)));
    // What comes late takes nothing back.
    grantor.renew(&'r', rev(11), rev(9), at(4), None);
    assert_eq!(grantor.settled(), Some(rev(11)));
}

/// The model found that without a bound each of these messages holds the fence up for
/// another lease.
#[test]
fn late_messages_of_a_relay_hold_no_fence_up_for_more_than_two_leases() {
    let mut grantor = grantor();
    let renew = |grantor: &mut Grantor<char>, applied, now| {
        grantor.renew(&'r', rev(applied), rev(10), at(now), None)
    };
    renew(&mut grantor, 10, 0);
    grantor.raise(rev(11));
    let fence = grantor.fence(rev(11), at(0));
    // The relay sent all of these before it knew that nobody below it is left.
    assert_eq!(renew(&mut grantor, 11, 3000), Some(LENGTH));
    let rest = Duration::from_millis(60).mul_f64(1.0 / 1.01);
    let lease = renew(&mut grantor, 11, 6000).unwrap();
    assert!(lease <= rest && rest < lease + Duration::from_micros(1));
    assert_eq!(renew(&mut grantor, 11, 6060), None);
    assert_eq!(
        grantor.fenced(fence, at(6060)),
        Some(fenced(0, 1, 0)),
        "two leases by a clock that may run fast"
    );
    grantor.end(fence);
    // Nor does who waits for it anew wait that long again.
    assert_eq!(renew(&mut grantor, 11, 6060), None);
    let again = grantor.fence(rev(11), at(6060));
    assert_eq!(grantor.fenced(again, at(6060)), Some(fenced(0, 0, 0)));
    let acknowledged = grantor.renew(&'r', rev(11), rev(11), at(6060), None);
    assert_eq!(acknowledged, Some(LENGTH));
}

#[test]
fn who_gives_a_fence_up_and_waits_for_it_again_has_the_bound_of_the_first_wait() {
    let mut grantor = grantor();
    let renew =
        |grantor: &mut Grantor<char>, now| grantor.renew(&'r', rev(11), rev(10), at(now), None);
    grantor.renew(&'r', rev(10), rev(10), at(0), None);
    grantor.raise(rev(11));
    for began_at in (0..6).map(|n| n * 1000) {
        let fence = grantor.fence(rev(11), at(began_at));
        assert!(renew(&mut grantor, began_at + 900).is_some());
        assert_eq!(
            grantor.fenced(fence, at(began_at + 900)),
            Some(fenced(0, 0, 1))
        );
        grantor.end(fence);
    }
    let last = grantor.fence(rev(11), at(6000));
    renew(&mut grantor, 6050);
    assert_eq!(grantor.fenced(last, at(6060)), Some(fenced(0, 1, 0)));
    assert_eq!(renew(&mut grantor, 6060), None);
}

#[test]
fn of_many_that_are_waited_for_the_earliest_bound_holds() {
    let mut grantor = grantor();
    grantor.raise(rev(20));
    for (revision, now) in [(13, 0), (11, 100), (15, 200), (14, 300), (12, 400)] {
        grantor.fence(rev(revision), at(now));
    }
    let within = |grantor: &mut Grantor<char>, acknowledged, now| {
        let lease = grantor.renew(&'r', rev(20), rev(acknowledged), at(now), None);
        lease.map(|lease| lease.as_millis())
    };
    // Two leases by a clock that may run fast: 6,060 ms from when each began.
    assert_eq!(within(&mut grantor, 10, 5050), Some(1000));
    assert_eq!(within(&mut grantor, 10, 6060), None);
    assert_eq!(within(&mut grantor, 13, 6060), Some(198));
    assert_eq!(within(&mut grantor, 14, 6160), Some(99));
    assert_eq!(within(&mut grantor, 15, 6160), Some(3000));
}

#[test]
fn no_lease_outlives_that_of_who_grants_it() {
    let mut grantor = grantor();
    let mut lease = |now, within| {
        let end = Some(at(within));
        grantor.renew(&'a', rev(10), rev(10), at(now), end)
    };
    assert_eq!(lease(0, 10_000), Some(LENGTH));
    // By a clock that may run fast by a hundredth.
    assert_eq!(lease(0, 1010), Some(Duration::from_secs(1)));
    assert_eq!(lease(0, 0), None);
    assert_eq!(lease(20, 10), None);
}

/// What a clock shows that runs wrong by so many millionths, after whole milliseconds.
fn shown(rate: i64, millis: u64) -> BootTime {
    let nanos = i128::from(millis) * (1_000_000 + i128::from(rate));
    BootTime::new(Duration::from_nanos(u64::try_from(nanos).unwrap()))
}

proptest! {
    #[test]
    fn no_holder_answers_after_its_grantor_has_stopped_waiting(
        (drift, holders_rate, grantors_rate) in (0_u32..=500_000).prop_flat_map(|drift| {
            let most = i64::from(drift);
            (Just(drift), -most..=most, -most..=most)
        }),
        length in 1_u64..1000,
        sent in 0_u64..1000,
        travels in 0_u64..1000,
        looks in prop::collection::vec(0_u64..3000, 20),
    ) {
        let allowed = Drift::millionths(drift);
        let mut holder = Holder::new(allowed);
        let length = Duration::from_millis(length);
        let mut grantor = Grantor::new(length, allowed, rev(1));
        let sequence = holder.send(shown(holders_rate, sent));
        let received = sent + travels;
        let received_at = shown(grantors_rate, received);
        let lease = grantor.renew(&'a', rev(1), rev(1), received_at, None);
        prop_assert!(holder.answered(sequence, lease));
        for look in looks {
            let mut grantor = grantor.clone();
            grantor.advance(shown(grantors_rate, received + look));
            let holds = holder.holds(shown(holders_rate, received + look));
            prop_assert!(!(holds && grantor.is_empty()), "{} ms after the receipt", look);
        }
    }
}
