//! What is counted of checks.

use super::*;

const BEARER: &[(&str, &str)] = &[("authorization", "Bearer a")];

/// What there is of each outcome, where there is any.
fn counted<V: Verifier>(service: &ExtAuthz<V>) -> Vec<(&'static str, u64)> {
    let all = service.outcomes().by_name();
    all.into_iter().filter(|(_, count)| *count > 0).collect()
}

#[tokio::test]
async fn each_check_is_counted_once_by_what_envoy_is_told() {
    let not_said = of(HttpRequest::default(), BTreeMap::new());
    for (answer, request, outcome) in [
        (Ok(verdict(v1::Verdict::Active)), request(BEARER), "allowed"),
        (
            Ok(verdict(v1::Verdict::Active)),
            request(&[]),
            "unauthorized",
        ),
        (
            Ok(verdict(v1::Verdict::Revoked)),
            request(BEARER),
            "unauthorized",
        ),
        (
            Ok(verdict(v1::Verdict::Forbidden)),
            request(BEARER),
            "forbidden",
        ),
        (Ok(verdict(v1::Verdict::Active)), not_said, "forbidden"),
        (
            Ok(verdict(v1::Verdict::Unspecified)),
            request(BEARER),
            "unavailable",
        ),
        (
            Err(Status::unauthenticated("of the authority")),
            request(BEARER),
            "unavailable",
        ),
    ] {
        let service = ExtAuthz::new(Arc::new(Says::new(answer)), Duration::from_secs(1));
        let copy = service.clone();
        copy.check(Request::new(request)).await.unwrap();
        assert_eq!(counted(&service), [(outcome, 1)]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_check_that_nobody_waits_for_any_more_is_counted_as_that_and_one_too_slow_is_not() {
    let service = ExtAuthz::new(Arc::new(Silent), Duration::from_secs(2));
    let check = service.check(Request::new(request(BEARER)));
    let gone = tokio::time::timeout(Duration::from_secs(1), check).await;
    assert!(gone.is_err());
    assert_eq!(counted(&service), [("abandoned", 1)]);
    let check = service.check(Request::new(request(BEARER)));
    check.await.unwrap();
    assert_eq!(counted(&service), [("unavailable", 1), ("abandoned", 1)]);
}
