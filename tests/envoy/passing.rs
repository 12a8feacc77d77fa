//! What reaches the service.

use crate::{World, header, http};

/// Every built-in profile.
const PROFILES: [&str; 12] = [
    "api-token",
    "basic",
    "key-pair",
    "eset-api-token",
    "eset-taxii",
    "misp",
    "kaspersky-tip",
    "kaspersky-demo-taxii",
    "eclecticiq",
    "tenable-io",
    "tenable-cs",
    "trend-micro",
];

#[tokio::test(flavor = "multi_thread")]
async fn the_header_of_each_profile_lets_through_and_its_secret_stays_behind() {
    let Some(world) = World::start().await else {
        return;
    };
    for profile in PROFILES {
        let held = world.issue(profile).await;
        let (name, value) = header(&held);
        let headers = [(name, value), ("x-other", &b"kept"[..])];
        let answer = world.get("/feeds/today?x=1", &headers).await;
        assert_eq!(answer.status, 200, "{profile}: {answer:?}");
        for (name, value) in [
            ("x-credd-credential-id", held.id.as_str()),
            ("x-credd-tenant", "acme"),
            ("x-credd-owner", "jo"),
            ("x-credd-profile", profile),
            ("x-credd-roles", "reader"),
            ("x-credd-permissions", "feeds:read"),
            ("x-credd-groups", "a%2C%20b,Fr%C3%BCh"),
            ("x-other", "kept"),
        ] {
            assert_eq!(answer.got(name), [value], "{profile}: {name}");
        }
        assert_eq!(answer.got(name), [""; 0], "{profile}");
        let sent = std::str::from_utf8(value).unwrap();
        for secret in [held.secret().as_str(), sent] {
            assert!(!answer.text().contains(secret), "{profile}");
        }
    }
    let mut held = world.issue("api-token").await;
    held.headers[0].name.make_ascii_uppercase();
    let (name, value) = header(&held);
    assert_eq!(world.get("/whoami", &[(name, value)]).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_says_of_itself_never_reaches_the_service() {
    for raw in ["true", "false"] {
        let raw = format!("encode_raw_headers: {raw}");
        let Some(world) = World::start_with(&[("encode_raw_headers: true", &raw)]).await else {
            return;
        };
        let held = world.issue("api-token").await;
        let spoofed: &[u8] = b"spoofed";
        let headers = [
            header(&held),
            ("x-credd-tenant", spoofed),
            ("X-Credd-Tenant", spoofed),
            ("x-credd-owner", spoofed),
            ("x_credd_owner", spoofed),
            ("X_CREDD_TENANT", spoofed),
            ("x-credd-default-source", spoofed),
            ("x-credd-language", spoofed),
            ("x-credd-invented-a", spoofed),
            ("x-credd-invented-b", spoofed),
            ("x-credd-invented-b", spoofed),
            ("x-credd-stale", spoofed),
            ("x-kept", b"kept"),
        ];
        let answer = world.get("/whoami", &headers).await;
        assert_eq!(answer.got("x-kept"), ["kept"]);
        assert_eq!(answer.got("x-credd-tenant"), ["acme"]);
        assert_eq!(answer.got("x-credd-owner"), ["jo"]);
        assert!(!answer.text().contains("spoofed"), "{}", answer.text());
        assert!(!answer.text().contains("invented"), "{}", answer.text());
    }
}

/// A client can name headers that are for one hop alone (RFC 9110 section 7.6.1).
#[tokio::test(flavor = "multi_thread")]
async fn a_client_can_not_have_what_is_known_of_it_taken_away() {
    let Some(world) = World::start().await else {
        return;
    };
    let held = world.issue("api-token").await;
    let headers = [
        header(&held),
        ("connection", b"x-credd-owner, x-credd-roles"),
    ];
    let answer = world.get("/whoami", &headers).await;
    assert_eq!(answer.got("x-credd-owner"), ["jo"]);
    assert_eq!(answer.got("x-credd-roles"), ["reader"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_route_wants_its_own_permissions() {
    let Some(world) = World::start().await else {
        return;
    };
    let (reader, writer, nothing) = (
        world.issue("api-token").await,
        world.issue_as("acme", "ann", "api-token").await,
        world.issue_as("acme", "bob", "api-token").await,
    );
    for (held, read, write, whoami) in [
        (&reader, 200, 403, 200),
        (&writer, 200, 200, 200),
        (&nothing, 403, 403, 200),
    ] {
        let headers = [header(held)];
        let status = async |method: &str, path: &str| {
            let answer = http::send(world.envoy.address, method, path, &headers).await;
            if answer.status != 200 {
                assert_eq!(answer.header("www-authenticate"), None);
            }
            answer.status
        };
        assert_eq!(status("GET", "/feeds").await, read);
        assert_eq!(status("DELETE", "/feeds/today").await, write);
        assert_eq!(status("GET", "/whoami").await, whoami);
        // Another spelling of a path is that path.
        assert_eq!(status("GET", "/whoami/..//feeds").await, read);
        // Routes that name no permission.
        for path in ["/", "/feedsxyz", "/whoami/more"] {
            assert_eq!(status("GET", path).await, 403);
        }
    }
}
