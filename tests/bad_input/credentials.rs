//! Issuing, bringing, changing and denying credentials.

use credd::proto::v1;
use tonic::Code;

use crate::support::{lock_request, revoke_request};
use crate::terms::{Expiry, Terms, just_good, wrong_by_a_profile, wrong_by_any_profile};
use crate::unchanged::{
    Case, Unchanged, bad_reasons, case, foreign_revision, reason_of, seconds, texts, with,
};

/// A random UUID, as it should be.
const UUID: &str = "2f1acc6c-3f5b-4d7e-9c55-0d0b2b0d9f6e";

/// Ids of requests that are none.
const BAD_REQUEST_IDS: [&str; 5] = [
    "again",
    "00000000-0000-0000-0000-000000000000",
    "018f0000-0000-7000-8000-000000000000",
    "c232ab00-9414-11ec-b3c8-9f6bdeced846",
    "2f1acc6c-3f5b-4d7e-9c55-0d0b2b0d9f6",
];

/// Revisions that are of no use here, with the field that says so.
fn bad_revisions() -> [v1::Revision; 2] {
    [v1::Revision::default(), foreign_revision()]
}

#[tokio::test(flavor = "multi_thread")]
async fn issue_names_every_field_that_is_wrong_and_issues_nothing() {
    let unchanged = Unchanged::start().await;
    let good = || Terms::good().issue("api-token");
    let mut cases = Vec::new();
    for (what, terms, fields) in wrong_by_any_profile() {
        cases.push((what, terms.issue("api-token"), fields));
    }
    for (profile, (what, terms, fields)) in wrong_by_a_profile() {
        cases.push((format!("{profile}: {what}"), terms.issue(profile), fields));
    }
    for tenant in ["", "Acme", "-a", "a-", "1a", "a.b", &"x".repeat(64)] {
        let what = format!("the tenant {tenant:?}");
        cases.push(case(what, with!(good(), tenant = tenant), &["tenant"]));
    }
    for owner in ["", "jo doe", "@jo", "jö", &"x".repeat(129)] {
        let what = format!("the owner {owner:?}");
        cases.push(case(what, with!(good(), owner = owner), &["owner"]));
    }
    for id in BAD_REQUEST_IDS {
        let what = format!("the request id {id:?}");
        cases.push(case(what, with!(good(), request_id = id), &["request_id"]));
    }
    for reason in bad_reasons() {
        cases.push(case("reason", with!(good(), reason = reason), &["reason"]));
    }
    for revision in bad_revisions() {
        let request = with!(good(), expected_revision = revision);
        cases.push(case("revision", request, &["expected_revision.store_id"]));
    }
    let callers = || with!(good(), tenant = "credd");
    cases.extend([
        case(
            "a profile of another tenant",
            with!(good(), profile = "robots", tenant = "globex"),
            &["profile"],
        ),
        case(
            "a caller of credd without a token",
            with!(callers(), profile = "basic"),
            &["profile"],
        ),
        case(
            "a role that credd lacks",
            with!(callers(), roles = texts(&["full-access"])),
            &["roles[0]"],
        ),
        case(
            "everything wrong that only Issue has",
            with!(
                good(),
                tenant = "-",
                owner = "-",
                profile = "-",
                request_id = "-",
                reason = "\0",
                expected_revision = foreign_revision(),
            ),
            &[
                "tenant",
                "owner",
                "profile",
                "request_id",
                "reason",
                "expected_revision.store_id",
            ],
        ),
        case(
            "nothing at all",
            v1::IssueRequest::default(),
            &["tenant", "owner", "profile"],
        ),
    ]);
    unchanged
        .refuses_all("CredentialService/Issue", cases)
        .await;

    let dry = || with!(good(), dry_run = true);
    let mut cases: Vec<_> = just_good()
        .into_iter()
        .map(|(what, terms)| (what, with!(terms.issue("api-token"), dry_run = true)))
        .collect();
    cases.extend([
        (
            "a tenant of 63 characters",
            with!(dry(), tenant = "x".repeat(63)),
        ),
        (
            "an owner of 128 characters",
            with!(dry(), owner = "x".repeat(128)),
        ),
        (
            "a reason of 256 bytes",
            with!(dry(), reason = "x".repeat(256)),
        ),
        ("a request id", with!(dry(), request_id = UUID)),
    ]);
    unchanged
        .accepts_all("CredentialService/Issue", cases)
        .await;
    unchanged.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn update_names_every_field_that_is_wrong_and_changes_nothing() {
    let unchanged = Unchanged::start().await;
    let id = unchanged.id.clone();
    let good = || Terms::good().update(&id);
    let mask = |paths: &[&str]| prost_types::FieldMask {
        paths: texts(paths),
    };
    let mut cases = Vec::new();
    for (what, terms, fields) in wrong_by_any_profile() {
        cases.push((what, terms.update(&id), fields));
    }
    for bad in bad_ids(&id) {
        let what = format!("the id {bad:?}");
        let request = with!(good(), credential_id = bad);
        cases.push(case(what, request, &["credential_id"]));
    }
    for reason in bad_reasons() {
        cases.push(case("reason", with!(good(), reason = reason), &["reason"]));
    }
    for revision in bad_revisions() {
        let request = with!(good(), expected_revision = revision);
        cases.push(case("revision", request, &["expected_revision.store_id"]));
    }
    for (paths, field) in [
        (&["labels"][..], "update_mask.paths[0]"),
        (&["label", "id"], "update_mask.paths[1]"),
        (&["expires_at"], "update_mask.paths[0]"),
        (&["Label"], "update_mask.paths[0]"),
        (&[""], "update_mask.paths[0]"),
        (&["credential_id"], "update_mask.paths[0]"),
        (&["*", "attributes.team"], "update_mask.paths[1]"),
    ] {
        let request = with!(good(), update_mask = mask(paths));
        cases.push(case(format!("the mask {paths:?}"), request, &[field]));
    }
    let fixed = |mask: prost_types::FieldMask| {
        with!(
            good(),
            credential_id = unchanged.robot.as_str(),
            update_mask = mask
        )
    };
    cases.extend([
        case(
            "an expiry that the profile fixes",
            fixed(mask(&["expiry"])),
            &["expiry"],
        ),
        case(
            "a time zone that the profile requires",
            fixed(mask(&["time_zone"])),
            &["time_zone"],
        ),
        case(
            "everything wrong that only Update has",
            with!(
                good(),
                credential_id = "-",
                reason = "\0",
                update_mask = mask(&["-"]),
                expected_revision = foreign_revision(),
            ),
            &[
                "credential_id",
                "reason",
                "update_mask.paths[0]",
                "expected_revision.store_id",
            ],
        ),
    ]);
    unchanged
        .refuses_all("CredentialService/Update", cases)
        .await;
    let dry = just_good().into_iter();
    let dry = dry.map(|(what, terms)| (what, with!(terms.update(&id), dry_run = true)));
    unchanged
        .accepts_all("CredentialService/Update", dry.collect())
        .await;
    unchanged.end().await;
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "a table")]
async fn import_names_every_field_that_is_wrong_and_brings_nothing() {
    use v1::imported_credential::Secret::{Plain, Sha256};

    let unchanged = Unchanged::start().await;
    let good = || Terms::good().import("api-token");
    let of = |credentials: Vec<v1::ImportedCredential>| v1::ImportCredentialsRequest {
        tenant: "acme".to_owned(),
        credentials,
        ..Default::default()
    };
    let within = |at: usize, fields: &[&str]| -> Vec<String> {
        let fields = fields.iter();
        fields
            .map(|field| format!("credentials[{at}].{field}"))
            .collect()
    };
    let mut items: Vec<Case<v1::ImportedCredential>> = Vec::new();
    for (what, terms, fields) in wrong_by_any_profile() {
        items.push((what, terms.import("api-token"), fields));
    }
    for owner in ["", "jo doe", &"x".repeat(129)] {
        let what = format!("the owner {owner:?}");
        items.push(case(what, with!(good(), owner = owner), &["owner"]));
    }
    for profile in ["", "nothing", "No Profile", "misp", "kaspersky-tip"] {
        let what = format!("the profile {profile:?}");
        items.push(case(what, with!(good(), profile = profile), &["profile"]));
    }
    for name in ["a b", "jö", "a:b", "a;b", "a=b", "a,b", &"x".repeat(129)] {
        let what = format!("the username {name:?}");
        let request = with!(Terms::good().import("basic"), public_name = name);
        items.push(case(what, request, &["public_name"]));
    }
    for secret in [
        String::new(),
        "s".repeat(15),
        "s".repeat(513),
        "=".repeat(16),
        "sssssssssssssss s".to_owned(),
        "sssssss=sssssssss".to_owned(),
        "ssssssssssssssssé".to_owned(),
        "$2b$12$KIXQJmY3y0o8p7n6m5l4k3j2h1g0f9e8d7c6b5a49382716051423".to_owned(),
        "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHQ$aGFzaA".to_owned(),
        "{SSHA}0123456789abcdef0123456789abcdef".to_owned(),
    ] {
        let what = format!("the secret {secret:?}");
        items.push(case(
            what,
            with!(good(), secret = Plain(secret)),
            &["plain"],
        ));
    }
    for length in [0, 31, 33, 64] {
        let hash = Sha256(vec![7; length]);
        let what = format!("a hash of {length} bytes");
        items.push(case(what, with!(good(), secret = hash), &["sha256"]));
    }
    for bits in [0_u32, 127] {
        let request = with!(good(), entropy_bits = bits);
        items.push(case(format!("{bits} bits"), request, &["entropy_bits"]));
    }
    items.extend([
        case(
            "an access key without a name",
            Terms::good().import("key-pair"),
            &["public_name"],
        ),
        case(
            "a token with a name",
            with!(good(), public_name = "jo"),
            &["public_name"],
        ),
        case("no secret", with!(good(), secret = None), &["secret"]),
        case(
            "nothing at all",
            v1::ImportedCredential::default(),
            &["owner", "profile", "secret", "entropy_bits"],
        ),
    ]);
    let mut cases = Vec::new();
    for (what, item, fields) in items {
        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        // The second of two, of which the first is good.
        let both = vec![with!(good(), secret = Plain("f".repeat(16))), item.clone()];
        cases.push((format!("{what}, the second"), of(both), within(1, &fields)));
        cases.push((what, of(vec![item]), within(0, &fields)));
    }
    for tenant in ["", "Acme", "credd"] {
        let request = with!(of(vec![good()]), tenant = tenant);
        cases.push(case(format!("the tenant {tenant:?}"), request, &["tenant"]));
    }
    for reason in bad_reasons() {
        let request = with!(of(vec![good()]), reason = reason);
        cases.push(case("reason", request, &["reason"]));
    }
    cases.extend([
        case("none", of(Vec::new()), &["credentials"]),
        case("101", of(vec![good(); 101]), &["credentials"]),
        case(
            "two wrong ones",
            of(vec![
                with!(good(), owner = "-"),
                with!(good(), language = "english"),
            ]),
            &["credentials[0].owner", "credentials[1].language"],
        ),
        case(
            "everything wrong around them",
            with!(of(Vec::new()), tenant = "-", reason = "\0"),
            &["tenant", "credentials", "reason"],
        ),
    ]);
    unchanged
        .refuses_all("CredentialService/ImportCredentials", cases)
        .await;

    // One secret twice is another error, and brings none of them either.
    let twice = unchanged
        .call(
            "CredentialService/ImportCredentials",
            &of(vec![good(), good()]),
        )
        .await
        .unwrap_err();
    assert_eq!(twice.code(), Code::AlreadyExists);
    assert_eq!(reason_of(&twice), "SECRET_EXISTS");
    unchanged.assert_unchanged("a secret twice").await;

    let hundred: Vec<_> = (0..100)
        .map(|n| with!(good(), secret = Plain(format!("{n:s<512}"))))
        .collect();
    let rpc = "CredentialService/ImportCredentials";
    unchanged.call(rpc, &of(hundred)).await.unwrap();
    let hashed = with!(good(), secret = Sha256(vec![7; 32]));
    let hashed = with!(hashed, public_name = "x".repeat(128), profile = "basic");
    unchanged.call(rpc, &of(vec![hashed])).await.unwrap();
    unchanged.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rotate_and_reveal_name_every_field_that_is_wrong() {
    let unchanged = Unchanged::start().await;
    let id = unchanged.id.clone();
    let rotate = || v1::RotateRequest {
        credential_id: id.clone(),
        ..Default::default()
    };
    let misp = unchanged.before.credentials.iter();
    let misp = misp.clone().find(|one| one.profile == "misp").unwrap();
    let mut cases = Vec::new();
    for bad in bad_ids(&id) {
        let what = format!("the id {bad:?}");
        let request = with!(rotate(), credential_id = bad);
        cases.push(case(what, request, &["credential_id"]));
    }
    for overlap in [-1, i64::MIN, 90 * 86_400 + 1, i64::MAX] {
        let request = with!(rotate(), overlap = seconds(overlap));
        cases.push(case(format!("{overlap} s"), request, &["overlap"]));
    }
    for id in BAD_REQUEST_IDS {
        let request = with!(rotate(), request_id = id);
        cases.push(case(
            format!("the request {id:?}"),
            request,
            &["request_id"],
        ));
    }
    for reason in bad_reasons() {
        cases.push(case(
            "reason",
            with!(rotate(), reason = reason),
            &["reason"],
        ));
    }
    for revision in bad_revisions() {
        let request = with!(rotate(), expected_revision = revision);
        cases.push(case("revision", request, &["expected_revision.store_id"]));
    }
    let of_misp = with!(
        rotate(),
        credential_id = misp.id.clone(),
        overlap = seconds(1)
    );
    cases.extend([
        case("an overlap that the profile forbids", of_misp, &["overlap"]),
        case(
            "everything wrong at once",
            with!(
                rotate(),
                credential_id = "-",
                overlap = seconds(-1),
                request_id = "-",
                reason = "\0",
                expected_revision = foreign_revision(),
            ),
            &[
                "credential_id",
                "overlap",
                "request_id",
                "reason",
                "expected_revision.store_id",
            ],
        ),
    ]);
    unchanged
        .refuses_all("CredentialService/Rotate", cases)
        .await;
    let dry = || with!(rotate(), dry_run = true);
    let good = vec![
        ("no overlap", dry()),
        ("an overlap of 0", with!(dry(), overlap = seconds(0))),
        (
            "an overlap of 90 days",
            with!(dry(), overlap = seconds(90 * 86_400)),
        ),
    ];
    unchanged
        .accepts_all("CredentialService/Rotate", good)
        .await;

    let reveal = || v1::RevealRequest {
        credential_id: id.clone(),
        ..Default::default()
    };
    let mut cases = Vec::new();
    for bad in bad_ids(&id) {
        let what = format!("the id {bad:?}");
        let request = with!(reveal(), credential_id = bad);
        cases.push(case(what, request, &["credential_id"]));
    }
    for reason in bad_reasons() {
        cases.push(case(
            "reason",
            with!(reveal(), reason = reason),
            &["reason"],
        ));
    }
    unchanged
        .refuses_all("CredentialService/Reveal", cases)
        .await;
    unchanged.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_state_needs_a_target_and_a_reason_that_can_be() {
    use v1::{lock_request, revoke_request};

    let unchanged = Unchanged::start().await;
    let id = unchanged.id.clone();
    let (mut locks, mut revokes, mut unlocks) = (Vec::new(), Vec::new(), Vec::new());
    let mut gets = Vec::new();
    let filtered = |filter: v1::CredentialFilter| {
        let lock = v1::LockRequest {
            target: Some(lock_request::Target::Filter(filter.clone())),
            ..Default::default()
        };
        let revoke = v1::RevokeRequest {
            target: Some(revoke_request::Target::Filter(filter)),
            ..Default::default()
        };
        (lock, revoke)
    };
    let unlock = |id: &str| v1::UnlockRequest {
        credential_id: id.to_owned(),
        ..Default::default()
    };
    for bad in bad_ids(&id) {
        let what = || format!("the id {bad:?}");
        locks.push(case(what(), lock_request(&bad), &["credential_id"]));
        revokes.push(case(what(), revoke_request(&bad), &["credential_id"]));
        unlocks.push(case(what(), unlock(&bad), &["credential_id"]));
        let get = v1::GetRequest {
            credential_id: bad.clone(),
        };
        gets.push(case(what(), get, &["credential_id"]));
    }
    for reason in bad_reasons() {
        let lock = with!(lock_request(&id), reason = reason.as_str());
        locks.push(case("reason", lock, &["reason"]));
        let revoke = with!(revoke_request(&id), reason = reason.as_str());
        revokes.push(case("reason", revoke, &["reason"]));
        let both = with!(unlock("-"), reason = reason.as_str());
        unlocks.push(case("both", both, &["credential_id", "reason"]));
        let unlock = with!(unlock(&id), reason = reason);
        unlocks.push(case("reason", unlock, &["reason"]));
    }
    for revision in bad_revisions() {
        let field = &["expected_revision.store_id"];
        let lock = with!(lock_request(&id), expected_revision = revision.clone());
        locks.push(case("revision", lock, field));
        let revoke = with!(revoke_request(&id), expected_revision = revision);
        revokes.push(case("revision", revoke, field));
    }
    for (what, filter, fields) in crate::lists::wrong_filters() {
        let (lock, revoke) = filtered(filter);
        locks.push((what.clone(), lock, fields.clone()));
        revokes.push((what, revoke, fields));
    }
    let (lock, revoke) = filtered(v1::CredentialFilter::default());
    locks.push(case("a filter of everything", lock, &["filter"]));
    revokes.push(case("a filter of everything", revoke, &["filter"]));
    let (lock, revoke) = filtered(with!(v1::CredentialFilter::default(), tenant = "acme"));
    let known = unchanged.before.credentials[0].revision.clone();
    let field = &["expected_revision"];
    let what = "a filter and a revision";
    let with_revision = with!(lock, expected_revision = known.clone());
    locks.push(case(what, with_revision, field));
    let with_revision = with!(revoke, expected_revision = known);
    revokes.push(case(what, with_revision, field));
    let nothing = v1::LockRequest::default();
    locks.push(case("no target", nothing, &["target"]));
    let nothing = v1::RevokeRequest::default();
    revokes.push(case("no target", nothing, &["target"]));
    unchanged.refuses_all("CredentialService/Lock", locks).await;
    unchanged
        .refuses_all("CredentialService/Revoke", revokes)
        .await;
    unchanged
        .refuses_all("CredentialService/Unlock", unlocks)
        .await;
    unchanged.refuses_all("CredentialService/Get", gets).await;

    let by_label = with!(v1::CredentialFilter::default(), label_prefix = "t");
    let (lock, revoke) = filtered(by_label);
    let lock = vec![("a dry run", with!(lock, dry_run = true))];
    unchanged.accepts_all("CredentialService/Lock", lock).await;
    let revoke = vec![("a dry run", with!(revoke, dry_run = true))];
    unchanged
        .accepts_all("CredentialService/Revoke", revoke)
        .await;
    unchanged.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_nothing_has_is_not_found() {
    let unchanged = Unchanged::start().await;
    let id = "018f0000-0000-7000-8000-000000000000";
    let admin = unchanged.admin();
    let mut credentials = admin.credentials.clone();
    let update = Terms::good().update(id);
    let rotate = v1::RotateRequest {
        credential_id: id.to_owned(),
        ..Default::default()
    };
    let not_found = [
        admin.get(id).await.err(),
        admin.lock(id).await.err(),
        admin.unlock(id).await.err(),
        admin.revoke(id).await.err(),
        credentials.update(update).await.err(),
        credentials.rotate(rotate).await.err(),
    ];
    for status in not_found {
        let status = status.expect("an unknown id is refused");
        assert_eq!(status.code(), Code::NotFound);
        assert_eq!(reason_of(&status), "CREDENTIAL_NOT_FOUND");
    }
    unchanged.assert_unchanged("an unknown id").await;
    unchanged.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_of_leaks_has_1_to_1000_short_texts() {
    let unchanged = Unchanged::start().await;
    let of = |secrets: Vec<String>| v1::ReportLeakRequest {
        secrets,
        ..Default::default()
    };
    let text = |length| "x".repeat(length);
    let one = || of(vec![unchanged.token.clone()]);
    let mut cases = vec![
        case("none", of(Vec::new()), &["secrets"]),
        case("1,001", of(vec![text(3); 1001]), &["secrets"]),
        case(
            "1,025 bytes",
            of(vec![unchanged.token.clone(), text(1025)]),
            &["secrets[1]"],
        ),
        case(
            "everything wrong at once",
            with!(of(vec![text(1025), text(1), text(1025)]), reason = "\0"),
            &["secrets[0]", "secrets[2]", "reason"],
        ),
    ];
    for reason in bad_reasons() {
        cases.push(case("reason", with!(one(), reason = reason), &["reason"]));
    }
    unchanged
        .refuses_all("CredentialService/ReportLeak", cases)
        .await;
    let dry = |secrets| with!(of(secrets), dry_run = true);
    let good = vec![
        ("a real one", with!(one(), dry_run = true)),
        ("1,000 of them", dry(vec![unchanged.token.clone(); 1000])),
        ("1,024 bytes", dry(vec![text(1024), String::new()])),
    ];
    unchanged
        .accepts_all("CredentialService/ReportLeak", good)
        .await;
    unchanged.end().await;
}

/// What is no id, although one that there is stands in it.
fn bad_ids(id: &str) -> Vec<String> {
    vec![
        String::new(),
        "jo".to_owned(),
        id.to_uppercase(),
        format!("{{{id}}}"),
        id.replace('-', ""),
        format!("{id} "),
    ]
}

/// An expiry that the profile does not let change may be said at the issue.
#[tokio::test(flavor = "multi_thread")]
async fn a_fixed_expiry_can_be_said_once() {
    let unchanged = Unchanged::start().await;
    let robot = Terms {
        time_zone: "Europe/Berlin".to_owned(),
        roles: texts(&["reader"]),
        ..Terms::of(Expiry::Ttl(seconds(90 * 86_400)))
    };
    let dry = with!(robot.issue("robots"), dry_run = true);
    let good = vec![("the longest", dry)];
    unchanged.accepts_all("CredentialService/Issue", good).await;
    unchanged.end().await;
}
