//! What is asked.

use super::*;

/// What is asked about a request; `Err`: the denial.
fn asked(request: CheckRequest) -> Result<Asked, Denial> {
    let attributes = request.attributes.unwrap_or_default();
    let route = Route::read(&attributes.context_extensions)?;
    ask(attributes, route, &rules())
}

fn denial(request: CheckRequest) -> Denial {
    match asked(request) {
        Ok(_) => panic!("something is asked"),
        Err(denial) => denial,
    }
}

fn presented(asked: &Asked) -> (&str, &[u8]) {
    let presented = asked.question.presented.as_ref().unwrap();
    let Some(Credential::Header(header)) = &presented.credential else {
        panic!("not a header");
    };
    let value = match header.value.as_ref().unwrap() {
        Value::Text(text) => text.as_bytes(),
        Value::Raw(bytes) => bytes,
    };
    (&header.name, value)
}

#[test]
fn the_header_of_each_known_profile_is_asked_about_as_it_came() {
    for name in ["authorization", "x-api-key", "x-apikeys", "api-secret-key"] {
        let told = request(&[(":path", "/"), (name, " what ever "), ("accept", "*/*")]);
        let asked = asked(told).unwrap_or_else(|denial| panic!("{name}: {denial:?}"));
        assert_eq!(presented(&asked), (name, &b" what ever "[..]));
        assert_eq!(asked.kept.remove, [name]);

        let told = raw_request(&[(":path", b"/"), (name, b"\xff\x00\n")]);
        let asked = self::asked(told).unwrap_or_else(|denial| panic!("{name}: {denial:?}"));
        assert_eq!(presented(&asked), (name, &b"\xff\x00\n"[..]));
    }
}

#[test]
fn the_question_is_that_of_the_route() {
    let mut request = request(&[
        ("authorization", "Bearer a"),
        ("x-request-id", "r\u{e9}\n1"),
    ]);
    let attributes = request.attributes.as_mut().unwrap();
    attributes.context_extensions = texts(&[
        ("credd-tenant", "acme"),
        ("credd-permissions", "feeds:read"),
        ("credd-profiles", "api-token"),
    ]);
    let asked = asked(request).unwrap_or_else(|denial| panic!("{denial:?}"));
    let v1::VerifyRequest {
        presented: _,
        tenant,
        any_tenant,
        profiles,
        permissions,
        client_address,
        request_id,
        min_revision,
    } = asked.question;
    assert_eq!(min_revision, None);
    assert_eq!((tenant.as_str(), any_tenant), ("acme", false));
    assert_eq!(profiles, ["api-token"]);
    assert_eq!(permissions, ["feeds:read"]);
    assert_eq!(client_address, "192.0.2.7");
    assert_eq!(request_id, "r???1");
}

#[test]
fn a_route_of_any_tenant_asks_about_any() {
    let mut request = request(&[("authorization", "Bearer a")]);
    let attributes = request.attributes.as_mut().unwrap();
    let tenant = attributes.context_extensions.get_mut("credd-tenant");
    *tenant.unwrap() = "*".to_owned();
    let question = asked(request).unwrap_or_else(|denial| panic!("{denial:?}"));
    let question = question.question;
    assert_eq!((question.tenant.as_str(), question.any_tenant), ("", true));
    assert_eq!(question.request_id, "17");
}

#[test]
fn no_credential_is_missing_and_several_are_invalid() {
    assert_eq!(denial(request(&[("accept", "*/*")])), Denial::Missing);
    let two = [("authorization", "Bearer a"), ("x-api-key", "")];
    assert_eq!(denial(request(&two)), Denial::Invalid);
    let twice: [(&str, &[u8]); 2] = [("authorization", b"Bearer a"), ("authorization", b"")];
    assert_eq!(denial(raw_request(&twice)), Denial::Invalid);
    let mut both = request(&[("authorization", "Bearer a")]);
    let attributes = both.attributes.as_mut().unwrap();
    let http = attributes.request.as_mut().unwrap().http.as_mut().unwrap();
    http.header_map = Some(HeaderMap {
        headers: vec![HeaderValue {
            key: "x-api-key".to_owned(),
            ..HeaderValue::default()
        }],
    });
    assert_eq!(denial(both), Denial::Invalid);
}

#[test]
fn of_a_header_with_two_values_nothing_is_read() {
    let mut request = raw_request(&[("authorization", b"Bearer a")]);
    let attributes = request.attributes.as_mut().unwrap();
    let http = attributes.request.as_mut().unwrap().http.as_mut().unwrap();
    http.header_map.as_mut().unwrap().headers[0].value = "Bearer b".to_owned();
    let asked = asked(request).unwrap_or_else(|denial| panic!("{denial:?}"));
    assert_eq!(presented(&asked).1, b"");
}

#[test]
fn a_longer_value_than_any_credential_has_is_not_asked_about() {
    let long = "x".repeat(ask::LONGEST + 1);
    assert_eq!(denial(request(&[("x-api-key", &long)])), Denial::Invalid);
    assert!(asked(request(&[("x-api-key", &long[1..])])).is_ok());
}

#[test]
fn what_is_not_a_request_of_http_is_denied() {
    assert!(asked(CheckRequest::default()).is_err());
    let mut none = request(&[]);
    none.attributes.as_mut().unwrap().request = None;
    assert_eq!(denial(none), Denial::Invalid);
}

#[test]
fn headers_that_pass_for_credds_own_are_removed_whoever_knows_them() {
    let asked = asked(request(&[
        ("authorization", "Bearer a"),
        ("x-credd-tenant", "globex"),
        ("x-credd-invented", "1"),
        ("x_credd_roles", "admin"),
        ("X.Credd-Owner", "root"),
        ("x-credits", "2"),
        ("x-credd", "3"),
    ]));
    let kept = asked.unwrap_or_else(|denial| panic!("{denial:?}")).kept;
    let expected = [
        "X.Credd-Owner",
        "authorization",
        "x-credd-invented",
        "x-credd-tenant",
        "x_credd_roles",
    ];
    assert_eq!(kept.remove, expected);
}

proptest! {
    /// Whatever a client sends reaches the authority as a question that it
    /// answers with a verdict: it is no reason for another status.
    #[test]
    fn whatever_a_client_sends_makes_a_question_that_is_answered(
        value in proptest::collection::vec(any::<u8>(), 0..64),
        id in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let told = raw_request(&[("x-request-id", &id), ("api-secret-key", &value)]);
        let Ok(asked) = asked(told) else {
            panic!("nothing is asked");
        };
        prop_assert_eq!(presented(&asked).1, &value[..]);
        let id = asked.question.request_id;
        prop_assert!(id.len() <= 128 && id.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
    }
}
