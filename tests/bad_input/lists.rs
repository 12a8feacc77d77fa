//! Lists, and where their next pages start.

use std::collections::BTreeSet;

use credd::proto::v1;
use prost::Message;

use crate::support::{Server, list_request, token_of, token_request};
use crate::unchanged::{Case, Unchanged, assert_names, at, case, now, with};

/// Filters that can't be, of whichever request.
pub(crate) fn wrong_filters() -> Vec<Case<v1::CredentialFilter>> {
    let all = v1::CredentialFilter::default;
    let of = |tenant: &str, owner: &str| with!(all(), tenant = tenant, owner = owner);
    let states = |states: &[i32]| with!(all(), states = states);
    let mut cases = vec![
        case("an owner without a tenant", of("", "jo"), &["filter.owner"]),
        case("a bad tenant", of("Acme", ""), &["filter.tenant"]),
        case("a bad owner", of("acme", " "), &["filter.owner"]),
        case("both", of("Acme", " "), &["filter.tenant", "filter.owner"]),
        case("a kind", with!(all(), kind = 99), &["filter.kind"]),
        case("a negative kind", with!(all(), kind = -1), &["filter.kind"]),
        case("no state", states(&[0]), &["filter.states[0]"]),
        case("another state", states(&[1, 99]), &["filter.states[1]"]),
        case(
            "a profile",
            with!(all(), profile = "No Profile"),
            &["filter.profile"],
        ),
        case("a role", with!(all(), role = "No Role"), &["filter.role"]),
        case(
            "a long beginning of a label",
            with!(all(), label_prefix = "é".repeat(129)),
            &["filter.label_prefix"],
        ),
        case(
            "everything wrong at once",
            v1::CredentialFilter {
                tenant: "-".to_owned(),
                owner: "-".to_owned(),
                profile: "-".to_owned(),
                kind: 99,
                states: vec![99],
                label_prefix: "x".repeat(129),
                role: "-".to_owned(),
                expiring_before: Some(at(0, -1)),
                unused_since: Some(at(0, -1)),
            },
            &[
                "filter.tenant",
                "filter.owner",
                "filter.profile",
                "filter.kind",
                "filter.states[0]",
                "filter.label_prefix",
                "filter.role",
                "filter.expiring_before",
                "filter.unused_since",
            ],
        ),
    ];
    for time in [
        at(i64::MIN, 0),
        at(i64::MAX, 0),
        at(253_402_300_800, 0),
        at(0, -1),
        at(0, 1_000_000_000),
    ] {
        let what = format!("the time {time:?}");
        let before = with!(all(), expiring_before = time);
        cases.push(case(what.clone(), before, &["filter.expiring_before"]));
        let since = with!(all(), unused_since = time);
        cases.push(case(what, since, &["filter.unused_since"]));
    }
    cases
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_credentials_that_cannot_be_is_refused() {
    let unchanged = Unchanged::start().await;
    let all = v1::ListRequest::default;
    let mut cases: Vec<Case<v1::ListRequest>> = wrong_filters()
        .into_iter()
        .map(|(what, filter, fields)| (what, with!(all(), filter = filter), fields))
        .collect();
    for size in [-1, i32::MIN] {
        let request = with!(all(), page_size = size);
        cases.push(case(format!("a page of {size}"), request, &["page_size"]));
    }
    for order in [4, 99, -1] {
        let request = with!(all(), order = order);
        cases.push(case(format!("the order {order}"), request, &["order"]));
    }
    cases.push(case(
        "everything wrong at once",
        v1::ListRequest {
            filter: Some(with!(v1::CredentialFilter::default(), tenant = "-")),
            order: 99,
            page_size: -1,
            page_token: "-".to_owned(),
            ..all()
        },
        &["filter.tenant", "order", "page_size"],
    ));
    unchanged.refuses_all("CredentialService/List", cases).await;

    let good = v1::CredentialFilter {
        tenant: "acme".to_owned(),
        owner: "nobody".to_owned(),
        profile: "nothing".to_owned(),
        label_prefix: "é".repeat(128),
        role: "nothing".to_owned(),
        expiring_before: Some(at(253_402_300_799, 999_999_999)),
        unused_since: Some(at(-62_135_596_800, 0)),
        ..Default::default()
    };
    let good = vec![
        ("names that nothing has", with!(all(), filter = good)),
        ("no filter", with!(all(), order = 3, include_total = true)),
    ];
    unchanged.accepts_all("CredentialService/List", good).await;
    unchanged.end().await;
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "a table")]
async fn a_list_of_the_directory_that_cannot_be_is_refused() {
    let unchanged = Unchanged::start().await;
    let tenants = |size, token: &str| v1::ListTenantsRequest {
        page_size: size,
        page_token: token.to_owned(),
    };
    let owners = |tenant: &str, size, token: &str| v1::ListOwnersRequest {
        tenant: tenant.to_owned(),
        page_size: size,
        page_token: token.to_owned(),
    };
    let roles = |tenant: &str, size, token: &str| v1::ListRolesRequest {
        tenant: tenant.to_owned(),
        page_size: size,
        page_token: token.to_owned(),
    };
    let profiles = |tenant: &str, size, token: &str| v1::ListProfilesRequest {
        tenant: tenant.to_owned(),
        page_size: size,
        page_token: token.to_owned(),
    };
    // The token of the first page of each, good for the second.
    let first = unchanged
        .call("DirectoryService/ListTenants", &tenants(1, ""))
        .await;
    let of_tenants = v1::ListTenantsResponse::decode(first.unwrap()).unwrap();
    let of_tenants = of_tenants.next_page_token;
    let first = unchanged
        .call("DirectoryService/ListRoles", &roles("acme", 1, ""))
        .await;
    let of_roles = v1::ListRolesResponse::decode(first.unwrap()).unwrap();
    let of_roles = of_roles.next_page_token;
    let first = unchanged
        .call("DirectoryService/ListProfiles", &profiles("acme", 1, ""))
        .await;
    let of_profiles = v1::ListProfilesResponse::decode(first.unwrap()).unwrap();
    let of_profiles = of_profiles.next_page_token;
    assert!(!of_tenants.is_empty() && !of_roles.is_empty() && !of_profiles.is_empty());

    let rpc = "DirectoryService/ListTenants";
    let cases = vec![
        case("a negative page", tenants(-1, ""), &["page_size"]),
        case("no token", tenants(1, "next"), &["page_token"]),
        case("of roles", tenants(1, &of_roles), &["page_token"]),
        case("of profiles", tenants(1, &of_profiles), &["page_token"]),
        case(
            "half a token",
            tenants(1, &of_tenants[..of_tenants.len() / 2]),
            &["page_token"],
        ),
    ];
    unchanged.refuses_all(rpc, cases).await;
    let good = vec![
        ("its own", tenants(1, &of_tenants)),
        ("a larger page", tenants(i32::MAX, &of_tenants)),
    ];
    unchanged.accepts_all(rpc, good).await;

    let rpc = "DirectoryService/ListOwners";
    let cases = vec![
        case("no tenant", owners("", 0, ""), &["tenant"]),
        case("a bad tenant", owners("Acme", 0, ""), &["tenant"]),
        case("a negative page", owners("acme", -1, ""), &["page_size"]),
        case("of roles", owners("acme", 1, &of_roles), &["page_token"]),
        case("no token", owners("acme", 1, "é"), &["page_token"]),
    ];
    unchanged.refuses_all(rpc, cases).await;

    let rpc = "DirectoryService/ListRoles";
    let cases = vec![
        case("no tenant", roles("", 0, ""), &["tenant"]),
        case("a bad tenant", roles("Acme", 0, ""), &["tenant"]),
        case("a negative page", roles("acme", -1, ""), &["page_size"]),
        case(
            "another tenant's",
            roles("globex", 1, &of_roles),
            &["page_token"],
        ),
        case(
            "of profiles",
            roles("acme", 1, &of_profiles),
            &["page_token"],
        ),
    ];
    unchanged.refuses_all(rpc, cases).await;
    let good = vec![("its own", roles("acme", 1, &of_roles))];
    unchanged.accepts_all(rpc, good).await;

    let rpc = "DirectoryService/ListProfiles";
    let cases = vec![
        case("a bad tenant", profiles("Acme", 0, ""), &["tenant"]),
        case("a negative page", profiles("", -1, ""), &["page_size"]),
        case(
            "of one tenant",
            profiles("", 1, &of_profiles),
            &["page_token"],
        ),
        case(
            "another tenant's",
            profiles("globex", 1, &of_profiles),
            &["page_token"],
        ),
    ];
    unchanged.refuses_all(rpc, cases).await;
    let good = vec![("its own", profiles("acme", 1, &of_profiles))];
    unchanged.accepts_all(rpc, good).await;

    // Another caller has a list of their own.
    let mut other = unchanged.admin().directory.clone();
    let request = tenants(1, &of_tenants);
    let status = other.list_tenants(request).await.unwrap_err();
    assert_names(&status, "another caller's token", &["page_token"]);
    unchanged.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_token_is_good_for_its_list_and_its_caller_alone() {
    let unchanged = Unchanged::start().await;
    let admin = unchanged.admin();
    let page = |token: &str| v1::ListRequest {
        page_size: 1,
        page_token: token.to_owned(),
        ..Default::default()
    };
    let first = admin.list(page("")).await.unwrap();
    let token = first.next_page_token;
    let second = admin.list(page(&token)).await.unwrap();
    assert_ne!(first.credentials, second.credentials);
    let larger = with!(page(&token), page_size = 2, include_total = true);
    assert_eq!(admin.list(larger).await.unwrap().credentials.len(), 2);

    let mut garbled = token.clone().into_bytes();
    garbled[20] = if garbled[20] == b'A' { b'B' } else { b'A' };
    let garbled = String::from_utf8(garbled).unwrap();
    let elsewhere = Server::start().await;
    elsewhere.admin.issue_token("acme").await;
    let foreign = elsewhere.admin.list(page("")).await.unwrap();
    let foreign = foreign.next_page_token;
    assert_ne!(foreign, "");
    elsewhere.stop().await;

    let mut cases = vec![
        ("no token at all", page("next")),
        ("a token of another alphabet", page("é")),
        ("half a token", page(&token[..token.len() / 2])),
        ("a token and more", page(&format!("{token}AAAA"))),
        ("a garbled token", page(&garbled)),
        ("a token from elsewhere", page(&foreign)),
        ("of another order", with!(page(&token), order = 2)),
        ("of a third order", with!(page(&token), order = 3)),
        (
            "of the common list",
            with!(page(&token), include_unlisted = true),
        ),
    ];
    let none = v1::CredentialFilter::default;
    let filters = [
        ("of all tenants", with!(none(), tenant = "acme")),
        ("of all kinds", with!(none(), kind = 1)),
        ("of all profiles", with!(none(), profile = "api-token")),
        ("of other states", with!(none(), states = vec![2])),
        ("of all labels", with!(none(), label_prefix = "t")),
        ("of all roles", with!(none(), role = "reader")),
        (
            "of any expiry",
            with!(none(), expiring_before = at(now(), 0)),
        ),
        ("of any use", with!(none(), unused_since = at(now(), 0))),
    ];
    for (what, filter) in filters {
        cases.push((what, with!(page(&token), filter = filter)));
    }
    for (what, request) in cases {
        unchanged
            .refuses(what, &["page_token"], admin.list(request))
            .await;
    }
    // That of a filtered list is not one of all, nor of another tenant.
    let of_acme = with!(list_request("acme"), page_size = 1);
    let of_acme = admin.list(of_acme).await.unwrap().next_page_token;
    assert_ne!(of_acme, "");
    let of_globex = with!(list_request("globex"), page_token = of_acme.as_str());
    for (what, request) in [("of one tenant", page(&of_acme)), ("another's", of_globex)] {
        unchanged
            .refuses(what, &["page_token"], admin.list(request))
            .await;
    }

    admin.bind("credd:another", "administrator", "*").await;
    let other = v1::IssueRequest {
        owner: "another".to_owned(),
        roles: vec!["administrator".to_owned()],
        ..token_request("credd")
    };
    let other = token_of(admin.issue(other).await.unwrap().secret);
    let other = unchanged.server.client(&other).await;
    let status = other.list(page(&token)).await.unwrap_err();
    assert_names(&status, "another caller's token", &["page_token"]);
    assert!(
        admin.list(page(&token)).await.is_ok(),
        "it is still good for its own"
    );
    unchanged.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_as_long_as_asked_for_within_bounds() {
    const TENANTS: usize = 5;
    const CREDENTIALS: usize = 1_005;

    let server = Server::start().await;
    let issuing: Vec<_> = (0..CREDENTIALS)
        .map(|n| {
            let admin = server.admin.clone();
            tokio::spawn(async move { admin.issue_token(&format!("t{}", n % TENANTS)).await.0 })
        })
        .collect();
    let mut issued = BTreeSet::new();
    for task in issuing {
        assert!(issued.insert(task.await.unwrap()));
    }
    let page = |page_size, page_token: &str| v1::ListRequest {
        page_size,
        page_token: page_token.to_owned(),
        ..Default::default()
    };
    for (asked, given) in [
        (0, 50),
        (1, 1),
        (7, 7),
        (1000, 1000),
        (1001, 1000),
        (i32::MAX, 1000),
    ] {
        let page = server.admin.list(page(asked, "")).await.unwrap();
        assert_eq!(page.credentials.len(), given, "{asked}");
        assert_ne!(page.next_page_token, "");
    }
    // Paging shows each once, whatever the sizes.
    for sizes in [[0, 0], [1000, 1000], [3, 400]] {
        let mut seen = BTreeSet::new();
        let mut token = String::new();
        for size in sizes.into_iter().cycle() {
            let page = server.admin.list(page(size, &token)).await.unwrap();
            for credential in page.credentials {
                assert!(seen.insert(credential.id), "repeated");
            }
            token = page.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        assert!(seen.is_superset(&issued), "skipped");
        assert_eq!(
            seen.len(),
            CREDENTIALS + 1,
            "all and the administrator's own"
        );
    }
    server.stop().await;
}
