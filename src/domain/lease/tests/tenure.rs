use super::*;

#[test]
fn it_runs_from_the_begin_of_a_heartbeat_that_is_durable() {
    let mut tenure = Tenure::new(LENGTH, Drift::STATED);
    assert!(!tenure.holds(at(0)), "before the first heartbeat");
    let first = tenure.begin(at(1000));
    assert!(!tenure.holds(at(1000)), "before it is durable");
    tenure.synced(first);
    assert!(tenure.holds(at(3969)) && !tenure.holds(at(3970)));
    let failed = tenure.begin(at(2000));
    assert!(!tenure.holds(at(3970)));
    let third = tenure.begin(at(3000));
    tenure.synced(third);
    tenure.synced(failed);
    assert!(tenure.holds(at(5969)) && !tenure.holds(at(5970)));
    assert_eq!(tenure.length(), LENGTH);
}

#[test]
fn no_lease_is_granted_without_it_or_beyond_it() {
    let mut tenure = Tenure::new(LENGTH, Drift::STATED);
    let mut grantor = grantor();
    let mut renew = |tenure: &Tenure, now| {
        let within = Some(tenure.within());
        grantor.renew(&'a', rev(10), rev(10), at(now), within)
    };
    assert_eq!(renew(&tenure, 0), None);
    let first = tenure.begin(at(0));
    tenure.synced(first);
    // 1.01 s by a clock that may run fast.
    assert_eq!(renew(&tenure, 1960), Some(Duration::from_secs(1)));
    assert_eq!(renew(&tenure, 2970), None);
}
