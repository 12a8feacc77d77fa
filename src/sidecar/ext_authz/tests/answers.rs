//! What Envoy is told to do.

use super::super::ask::Kept;
use super::*;
use crate::domain::header::{AuthScheme, HeaderFormat, HeaderName};
use crate::proto::envoy::core::HeaderValueOption;
use crate::proto::envoy::core::header_value_option::HeaderAppendAction;

const BEARER: &[(&str, &str)] = &[("authorization", "Bearer a")];

async fn said(verdict: v1::Verdict, headers: &[(&str, &str)]) -> Told {
    check(Says::new(Ok(self::verdict(verdict))), request(headers)).await
}

/// The headers that Envoy is told to set.
fn set(headers: &[HeaderValueOption]) -> BTreeMap<&str, &str> {
    let set = headers.iter().map(|option| {
        assert!(option.append_action() == HeaderAppendAction::OverwriteIfExistsOrAdd);
        let header = option.header.as_ref().unwrap();
        assert!(header.raw_value.is_empty());
        (header.key.as_str(), header.value.as_str())
    });
    set.collect()
}

#[tokio::test]
async fn each_verdict_has_its_answer() {
    use StatusCode::{Forbidden, ServiceUnavailable, Unauthorized};
    for (verdict, status, reason) in [
        (v1::Verdict::Unspecified, ServiceUnavailable, "UNAVAILABLE"),
        (v1::Verdict::Invalid, Unauthorized, "INVALID"),
        (v1::Verdict::Locked, Unauthorized, "LOCKED"),
        (v1::Verdict::Revoked, Unauthorized, "REVOKED"),
        (v1::Verdict::Expired, Unauthorized, "EXPIRED"),
        (v1::Verdict::TenantDisabled, Unauthorized, "TENANT_DISABLED"),
        (v1::Verdict::OwnerDisabled, Unauthorized, "OWNER_DISABLED"),
        (v1::Verdict::Forbidden, Forbidden, "FORBIDDEN"),
    ] {
        let told = said(verdict, BEARER).await;
        assert_eq!(denied(told), (status, reason.to_owned()));
    }
    assert!(matches!(
        said(v1::Verdict::Active, BEARER).await,
        Told::Through(_)
    ));
}

#[tokio::test]
async fn what_is_not_clear_is_unavailable() {
    let unavailable = (StatusCode::ServiceUnavailable, "UNAVAILABLE".to_owned());
    for code in 1..=16 {
        let says = Says::new(Err(Status::new(tonic::Code::from(code), "secret")));
        assert_eq!(denied(check(says, request(BEARER)).await), unavailable);
    }
    let mut unlike = vec![
        v1::VerifyResponse {
            verdict: 99,
            ..verdict(v1::Verdict::Active)
        },
        v1::VerifyResponse {
            identity: None,
            ..verdict(v1::Verdict::Active)
        },
    ];
    let mut other = verdict(v1::Verdict::Active);
    other.identity.as_mut().unwrap().tenant = "globex".to_owned();
    unlike.push(other);
    for says in unlike {
        let told = check(Says::new(Ok(says)), request(BEARER)).await;
        assert_eq!(denied(told), unavailable);
    }
    let mut cold = Says::new(Ok(verdict(v1::Verdict::Active)));
    cold.rules = None;
    assert_eq!(denied(check(cold, request(BEARER)).await), unavailable);
}

#[tokio::test(start_paused = true)]
async fn no_verdict_in_time_is_unavailable() {
    let service = ExtAuthz::new(Arc::new(Silent), Duration::from_secs(1));
    let response = service.check(Request::new(request(BEARER))).await;
    let told = told(response.unwrap().into_inner());
    let expected = (StatusCode::ServiceUnavailable, "UNAVAILABLE".to_owned());
    assert_eq!(denied(told), expected);
}

async fn challenge(verdict: v1::Verdict, headers: &[(&str, &str)]) -> Option<String> {
    let Told::Denied(_, denied) = said(verdict, headers).await else {
        panic!("it was let through");
    };
    let set = set(&denied.headers);
    set.get("www-authenticate").map(ToString::to_string)
}

#[tokio::test]
async fn a_401_asks_for_the_schemes_of_the_known_profiles() {
    let schemes = "Bearer realm=\"credd\", Basic realm=\"credd\", charset=\"UTF-8\"";
    let wrong =
        "Bearer realm=\"credd\", error=\"invalid_token\", Basic realm=\"credd\", charset=\"UTF-8\"";
    for (headers, expected) in [
        (&[][..], schemes),
        (&[("x-api-key", "a")], schemes),
        (&[("authorization", "Basic a")], schemes),
        (&[("authorization", "a")], schemes),
        (BEARER, wrong),
        (&[("authorization", " bEARER  a")], wrong),
    ] {
        let challenge = challenge(v1::Verdict::Expired, headers).await;
        assert_eq!(challenge.as_deref(), Some(expected), "{headers:?}");
    }
    assert_eq!(challenge(v1::Verdict::Forbidden, BEARER).await, None);
    assert_eq!(challenge(v1::Verdict::Unspecified, BEARER).await, None);
}

#[test]
fn a_401_names_the_common_schemes_however_many_there_are() {
    let schemes = (0..100).map(|number| HeaderRule {
        name: HeaderName::parse("Authorization").unwrap(),
        format: HeaderFormat::Scheme(AuthScheme::parse(&format!("S{number}")).unwrap()),
    });
    let rules = rules().iter().cloned().chain(schemes).collect();
    let Told::Denied(_, denied) = told(Denial::Invalid.response(false, &rules)) else {
        panic!("it is no denial");
    };
    let challenge = set(&denied.headers)["www-authenticate"];
    assert!(challenge.starts_with("Bearer realm=\"credd\", Basic realm=\"credd\", "));
    assert_eq!(challenge.matches("realm=").count(), 8);
}

#[test]
fn a_401_has_a_challenge_whatever_the_profiles() {
    let Told::Denied(_, denied) = told(Denial::Missing.response(false, &HeaderRules::default()))
    else {
        panic!("it is no denial");
    };
    assert_eq!(
        set(&denied.headers)["www-authenticate"],
        "Bearer realm=\"credd\""
    );
}

#[tokio::test]
async fn who_is_let_through_is_known_by_headers_and_has_no_secret() {
    let mut says = verdict(v1::Verdict::Active);
    says.identity = Some(v1::Identity {
        roles: vec!["auditor".to_owned(), "importer".to_owned()],
        permissions: vec!["feeds:*".to_owned(), "*:read".to_owned()],
        groups: vec!["a, b".to_owned(), "Früh".to_owned()],
        default_source: "a, b".to_owned(),
        attributes: texts(&[("team", "x=y\r\nx-credd-tenant: globex"), ("empty", "")]),
        language: "de-CH".to_owned(),
        time_zone: "Europe/Zurich".to_owned(),
        expires_at: Some(prost_types::Timestamp {
            seconds: 1_800_000_000,
            nanos: 0,
        }),
        ..identity()
    });
    let headers = [
        ("x-api-key", "secret"),
        ("x-credd-tenant", "globex"),
        ("x-credd-admin", "1"),
    ];
    let Told::Through(ok) = check(Says::new(Ok(says)), request(&headers)).await else {
        panic!("it was denied");
    };
    let expected = BTreeMap::from([
        ("x-credd-credential-id", "0198"),
        ("x-credd-tenant", "acme"),
        ("x-credd-owner", "jo"),
        ("x-credd-profile", "api-token"),
        ("x-credd-roles", "auditor,importer"),
        ("x-credd-permissions", "feeds:*,*:read"),
        ("x-credd-groups", "a%2C%20b,Fr%C3%BCh"),
        ("x-credd-default-source", "a%2C%20b"),
        (
            "x-credd-attributes",
            "empty=,team=x%3Dy%0D%0Ax-credd-tenant:%20globex",
        ),
        ("x-credd-language", "de-CH"),
        ("x-credd-time-zone", "Europe/Zurich"),
        ("x-credd-expires-at", "2027-01-15T08:00:00Z"),
    ]);
    assert_eq!(set(&ok.headers), expected);
    assert_eq!(ok.headers_to_remove, ["x-api-key", "x-credd-admin"]);
}

#[tokio::test]
async fn an_answer_that_may_have_missed_a_change_is_marked() {
    for (served, mark) in [
        (Served::Asked, None),
        (Served::Cached, None),
        (Served::Stale, Some("true")),
    ] {
        let mut says = Says::new(Ok(verdict(v1::Verdict::Active)));
        says.served = served;
        let headers = [("x-api-key", "a"), ("x-credd-stale", "false")];
        let Told::Through(ok) = check(says, request(&headers)).await else {
            panic!("it was denied");
        };
        assert_eq!(set(&ok.headers).get("x-credd-stale").copied(), mark);
    }
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{1,8}",
        "\\PC{0,8}",
        proptest::collection::vec(any::<char>(), 0..8)
            .prop_map(|chars| chars.into_iter().collect())
    ]
}

fn any_identity() -> impl Strategy<Value = v1::Identity> {
    let texts = || proptest::collection::vec(text(), 0..3);
    let attributes = proptest::collection::btree_map(text(), text(), 0..3);
    let names = (text(), text(), text(), text(), text(), text());
    let seconds = proptest::option::of(any::<i64>());
    (names, texts(), texts(), texts(), attributes, seconds).prop_map(
        |(names, roles, permissions, groups, attributes, seconds)| v1::Identity {
            credential_id: names.0,
            owner: names.1,
            profile: names.2,
            default_source: names.3,
            language: names.4,
            time_zone: names.5,
            roles,
            permissions,
            groups,
            attributes,
            expires_at: seconds.map(|seconds| prost_types::Timestamp { seconds, nanos: 1 }),
            tenant: "acme".to_owned(),
            ..v1::Identity::default()
        },
    )
}

/// What stands in a list's item, decoded; `None` if it is encoded otherwise than
/// it should be.
fn decoded(item: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = item.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            let digits = std::str::from_utf8(&digits).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

proptest! {
    /// Nothing that stands in a record makes a header, ends a value or parts an
    /// item.
    #[test]
    fn no_text_of_an_identity_gets_out_of_its_place(identity in any_identity()) {
        let (groups, attributes) = (identity.groups.clone(), identity.attributes.clone());
        let headers = super::super::identity::headers(&identity, Served::Asked);
        for (name, value) in &headers {
            prop_assert!(value.bytes().all(|byte| byte.is_ascii_graphic()), "{name}: {value}");
        }
        let value = |name| headers.iter().find(|(known, _)| *known == name);
        if let Some((_, value)) = value("x-credd-groups") {
            let read: Option<Vec<_>> = value.split(',').map(decoded).collect();
            prop_assert_eq!(read, Some(groups));
        }
        if let Some((_, value)) = value("x-credd-attributes") {
            let read = value.split(',').map(|item| {
                let (name, value) = item.split_once('=')?;
                Some((decoded(name)?, decoded(value)?))
            });
            let read: Option<BTreeMap<_, _>> = read.collect();
            prop_assert_eq!(read, Some(attributes));
        }
    }

    /// Only ACTIVE, about a credential that was asked for, lets anybody through.
    #[test]
    fn nothing_but_active_is_a_yes(
        verdict in -1..12,
        identity in proptest::option::of(any_identity()),
        tenant in proptest::option::of(prop_oneof!["acme", "globex"]),
        profiles in proptest::collection::vec(text(), 0..2),
        is_bearer: bool,
    ) {
        let expected = verdict == i32::from(v1::Verdict::Active)
            && identity.as_ref().is_some_and(|identity| {
                tenant.as_ref().is_none_or(|tenant| *tenant == identity.tenant)
                    && (profiles.is_empty() || profiles.contains(&identity.profile))
            });
        let response = v1::VerifyResponse {
            verdict,
            identity,
            ..v1::VerifyResponse::default()
        };
        let kept = Kept { tenant, profiles, remove: Vec::new(), is_bearer };
        let answer = answer::let_through(&verified(response, Served::Cached), &kept);
        let answer = answer.unwrap_or_else(|denial| denial.response(is_bearer, &rules()));
        prop_assert_eq!(matches!(told(answer), Told::Through(_)), expected);
    }
}

/// One who says yes, and knows a header more that another tenant's profile has.
struct WithAnother(Says);

impl Verifier for WithAnother {
    async fn verify(
        &self,
        request: v1::VerifyRequest,
        patience: Duration,
    ) -> Result<Verified, Status> {
        self.0.verify(request, patience).await
    }

    fn headers(&self, tenant: Option<&str>) -> Option<Arc<HeaderRules>> {
        let another = HeaderRule {
            name: HeaderName::parse("x-of-globex").unwrap(),
            format: HeaderFormat::Bare,
        };
        let known = rules().iter().cloned().collect::<Vec<_>>().into_iter();
        let another = (tenant != Some("acme")).then_some(another);
        Some(Arc::new(known.chain(another).collect()))
    }
}

#[tokio::test]
async fn what_other_tenants_put_is_no_concern_of_a_route_that_names_one() {
    let verifier = WithAnother(Says::new(Ok(verdict(v1::Verdict::Active))));
    let service = ExtAuthz::new(Arc::new(verifier), Duration::from_mins(1));
    let headers = [BEARER[0], ("x-of-globex", "what a client sends to acme")];
    let mut answers = Vec::new();
    for tenant in ["acme", "*"] {
        let mut request = request(&headers);
        let attributes = request.attributes.as_mut().unwrap();
        attributes.context_extensions =
            texts(&[("credd-tenant", tenant), ("credd-permissions", "none")]);
        let response = service.check(Request::new(request)).await;
        answers.push(told(response.unwrap().into_inner()));
    }
    let Told::Through(through) = &answers[0] else {
        panic!("it was denied");
    };
    let removed = through.headers_to_remove.iter();
    assert_eq!(removed.collect::<Vec<_>>(), ["authorization"]);
    let expected = (StatusCode::Unauthorized, "INVALID".to_owned());
    assert_eq!(denied(answers.remove(1)), expected);
}
