//! What routes say.

use super::super::route::{Route, Unclear};
use super::*;

fn read(pairs: &[(&str, &str)]) -> Result<Route, Unclear> {
    Route::read(&texts(pairs))
}

#[test]
fn a_route_says_tenant_profiles_and_permissions() {
    let route = read(&[
        ("credd-tenant", "acme"),
        ("credd-profiles", "api-token,misp"),
        ("credd-permissions", "feeds:read, feeds:write"),
        ("another", "filter's"),
    ]);
    let texts = |texts: &[&str]| -> Vec<String> { texts.iter().map(ToString::to_string).collect() };
    let expected = Route {
        tenant: Some("acme".to_owned()),
        profiles: texts(&["api-token", "misp"]),
        permissions: texts(&["feeds:read", "feeds:write"]),
    };
    assert_eq!(route, Ok(expected));
}

#[test]
fn a_route_without_needs_says_so() {
    let expected = Route {
        tenant: None,
        profiles: Vec::new(),
        permissions: Vec::new(),
    };
    let route = read(&[("credd-tenant", "*"), ("credd-permissions", "none")]);
    assert_eq!(route, Ok(expected));
}

#[test]
fn a_route_that_is_not_clear_is_refused() {
    let seventeen = ["a:b"; 17].join(",");
    for unclear in [
        &[][..],
        &[("credd-tenant", "acme")],
        &[("credd-permissions", "none")],
        &[("credd-tenant", ""), ("credd-permissions", "none")],
        &[("credd-tenant", "Acme"), ("credd-permissions", "none")],
        &[("credd-tenant", "acme"), ("credd-permissions", "")],
        &[("credd-tenant", "acme"), ("credd-permissions", "none,a:b")],
        &[("credd-tenant", "acme"), ("credd-permissions", "None")],
        &[("credd-tenant", "acme"), ("credd-permissions", "feeds")],
        &[("credd-tenant", "acme"), ("credd-permissions", "feeds:*")],
        &[("credd-tenant", "acme"), ("credd-permissions", "a:b,")],
        &[("credd-tenant", "acme"), ("credd-permissions", &seventeen)],
        &[
            ("credd-tenant", "acme"),
            ("credd-permissions", "none"),
            ("credd-profiles", ""),
        ],
        &[
            ("credd-tenant", "acme"),
            ("credd-permissions", "none"),
            ("credd-profile", "misp"),
        ],
    ] {
        assert!(read(unclear).is_err(), "{unclear:?}");
    }
}

#[tokio::test]
async fn a_route_that_is_not_clear_lets_nobody_through() {
    let mut request = request(&[("authorization", "Bearer a")]);
    let attributes = request.attributes.as_mut().unwrap();
    attributes.context_extensions.remove("credd-permissions");
    let told = check(Says::new(Ok(verdict(v1::Verdict::Active))), request).await;
    let expected = (StatusCode::Forbidden, "ROUTE_UNCLEAR".to_owned());
    assert_eq!(denied(told), expected);
}
