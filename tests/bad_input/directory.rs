//! Tenants, owners and roles.

use credd::proto::v1;
use prost::Message;
use tonic::Code;

use crate::unchanged::{
    Case, Unchanged, bad_reasons, case, different, foreign_revision, reason_of, texts, with,
};

/// Names that neither tenant nor role nor profile can have.
pub(crate) fn bad_names() -> [String; 9] {
    [
        String::new(),
        "Acme".to_owned(),
        "-a".to_owned(),
        "a-".to_owned(),
        "1a".to_owned(),
        "a b".to_owned(),
        "a.b".to_owned(),
        "\u{e4}".to_owned(),
        "x".repeat(64),
    ]
}

/// What every request with a reason and an expected revision can get wrong.
macro_rules! wrong_changes {
    ($good:expr) => {{
        let mut cases = Vec::new();
        for reason in bad_reasons() {
            let request = with!($good, reason = reason);
            cases.push(case("the reason", request, &["reason"]));
        }
        for revision in [v1::Revision::default(), foreign_revision()] {
            let request = with!($good, expected_revision = revision);
            let field = &["expected_revision.store_id"];
            cases.push(case("the revision", request, field));
        }
        cases
    }};
}
pub(crate) use wrong_changes;

/// Refuses the names of tenants that can't be in `name`.
async fn refuses_names<T: Message>(unchanged: &Unchanged, rpc: &str, of: impl Fn(String) -> T) {
    let names = bad_names().into_iter();
    let cases = names.map(|name| case(format!("the name {name:?}"), of(name), &["name"]));
    unchanged.refuses_all(rpc, cases.collect()).await;
}

/// The same for the names of owners, with those of their tenants in `tenant`.
async fn refuses_owners<T: Message>(
    unchanged: &Unchanged,
    rpc: &str,
    of: impl Fn(String, String) -> T,
) {
    let mut cases = Vec::new();
    for tenant in bad_names() {
        let what = format!("the tenant {tenant:?}");
        cases.push(case(what, of(tenant, "jo".to_owned()), &["tenant"]));
    }
    for owner in ["", "jo doe", "@jo", "j\u{f6}", &"x".repeat(129)] {
        let what = format!("the owner {owner:?}");
        let request = of("acme".to_owned(), owner.to_owned());
        cases.push(case(what, request, &["name"]));
    }
    let both = of("-".to_owned(), "-".to_owned());
    cases.push(case("both", both, &["tenant", "name"]));
    unchanged.refuses_all(rpc, cases).await;
}

/// And for those of roles.
async fn refuses_roles<T: Message>(
    unchanged: &Unchanged,
    rpc: &str,
    of: impl Fn(String, String) -> T,
) {
    let mut cases = Vec::new();
    for bad in bad_names() {
        let request = of(bad.clone(), "reader".to_owned());
        cases.push(case(format!("the tenant {bad:?}"), request, &["tenant"]));
        let request = of("acme".to_owned(), bad.clone());
        cases.push(case(format!("the role {bad:?}"), request, &["name"]));
    }
    let both = of("-".to_owned(), "-".to_owned());
    cases.push(case("both", both, &["tenant", "name"]));
    unchanged.refuses_all(rpc, cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_cannot_be_is_refused() {
    let unchanged = Unchanged::start().await;
    let put = || v1::PutTenantRequest {
        name: "initech".to_owned(),
        ..Default::default()
    };
    let mut cases: Vec<Case<_>> = wrong_changes!(put());
    let texts = [
        ("x".repeat(129), "display_name"),
        (" x".to_owned(), "display_name"),
        ("a\nb".to_owned(), "display_name"),
        ("x".repeat(1025), "description"),
        ("a\tb".to_owned(), "description"),
    ];
    for (text, field) in texts {
        let request = if field == "display_name" {
            with!(put(), display_name = text)
        } else {
            with!(put(), description = text)
        };
        cases.push(case(field, request, &[field]));
    }
    cases.extend([
        case("credd's own", with!(put(), name = "credd"), &["name"]),
        case(
            "everything wrong at once",
            with!(
                put(),
                name = "-",
                display_name = " ",
                description = "\0",
                reason = "\0",
                expected_revision = foreign_revision(),
            ),
            &[
                "name",
                "display_name",
                "description",
                "reason",
                "expected_revision.store_id",
            ],
        ),
    ]);
    let rpc = "DirectoryService/PutTenant";
    unchanged.refuses_all(rpc, cases).await;
    refuses_names(&unchanged, rpc, |name| with!(put(), name = name)).await;
    let dry = || with!(put(), dry_run = true);
    let good = vec![
        (
            "a name of 63 characters",
            with!(dry(), name = "x".repeat(63)),
        ),
        (
            "the longest texts",
            with!(
                dry(),
                display_name = "\u{e9}".repeat(128),
                description = "line\n".repeat(204) + "line",
                reason = "x".repeat(256),
            ),
        ),
    ];
    unchanged.accepts_all(rpc, good).await;

    let get = |name| v1::GetTenantRequest { name };
    refuses_names(&unchanged, "DirectoryService/GetTenant", get).await;
    let delete = || v1::DeleteTenantRequest {
        name: "acme".to_owned(),
        ..Default::default()
    };
    let rpc = "DirectoryService/DeleteTenant";
    refuses_names(&unchanged, rpc, |name| with!(delete(), name = name)).await;
    let mut cases: Vec<Case<_>> = wrong_changes!(delete());
    let credd = with!(delete(), name = "credd");
    cases.push(case("credd's own", credd, &["name"]));
    unchanged.refuses_all(rpc, cases).await;
    let disable = || v1::DisableTenantRequest {
        name: "acme".to_owned(),
        ..Default::default()
    };
    let rpc = "DirectoryService/DisableTenant";
    refuses_names(&unchanged, rpc, |name| with!(disable(), name = name)).await;
    let mut cases: Vec<Case<_>> = wrong_changes!(disable());
    let credd = with!(disable(), name = "credd");
    cases.push(case("credd's own", credd, &["name"]));
    unchanged.refuses_all(rpc, cases).await;
    let good = vec![("a dry run", with!(disable(), dry_run = true))];
    unchanged.accepts_all(rpc, good).await;
    let enable = || v1::EnableTenantRequest {
        name: "acme".to_owned(),
        ..Default::default()
    };
    let rpc = "DirectoryService/EnableTenant";
    refuses_names(&unchanged, rpc, |name| with!(enable(), name = name)).await;
    let reasons = bad_reasons();
    let cases = reasons.map(|reason| case("reason", with!(enable(), reason = reason), &["reason"]));
    unchanged.refuses_all(rpc, cases.into()).await;
    unchanged.end().await;
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "a table")]
async fn an_owner_that_cannot_be_is_refused() {
    let unchanged = Unchanged::start().await;
    let put = || v1::PutOwnerRequest {
        tenant: "acme".to_owned(),
        name: "mia".to_owned(),
        ..Default::default()
    };
    let mut cases: Vec<Case<_>> = wrong_changes!(put());
    for name in ["x".repeat(129), " x".to_owned(), "a\nb".to_owned()] {
        let request = with!(put(), display_name = name);
        cases.push(case("a name for people", request, &["display_name"]));
    }
    let long = format!("dns:{}", "x".repeat(253));
    for principal in [
        "",
        "jo",
        "credd:",
        "dns:",
        "spiffe://",
        "spiffe:/x",
        "jwt:issuer",
        "jwt:#subject",
        "jwt:issuer#",
        "dns:a b",
        "dns:\u{e4}",
        &long,
    ] {
        let what = format!("the principal {principal:?}");
        let request = with!(put(), principals = texts(&["dns:a", principal]));
        cases.push(case(what, request, &["principals[1]"]));
    }
    for group in ["", " x", "a\nb", &"\u{e9}".repeat(65)] {
        let what = format!("the group {group:?}");
        let request = with!(put(), groups = texts(&["red", group]));
        cases.push(case(what, request, &["groups[1]"]));
    }
    let principals = |count| different(count).into_iter().map(|n| format!("dns:{n}"));
    let long_group = |n: usize| format!("{n:\u{e9}<64}");
    let long_groups: Vec<_> = (0..26).map(long_group).collect();
    // An answer names ten fields at most.
    let wrong_roles: Vec<_> = (0..10).map(|n| format!("roles[{n}]")).collect();
    let wrong_roles: Vec<&str> = wrong_roles.iter().map(String::as_str).collect();
    cases.extend([
        case(
            "9 principals",
            with!(put(), principals = principals(9).collect::<Vec<_>>()),
            &["principals"],
        ),
        case(
            "a principal twice",
            with!(put(), principals = texts(&["dns:a", "dns:b", "dns:a"])),
            &["principals[2]"],
        ),
        case(
            "33 groups",
            with!(put(), groups = different(33)),
            &["groups"],
        ),
        case(
            "a group twice",
            with!(put(), groups = texts(&["red", "red"])),
            &["groups[1]"],
        ),
        case("17 roles", with!(put(), roles = different(17)), &["roles"]),
        case(
            "16 roles that the tenant lacks",
            with!(put(), roles = different(16)),
            &wrong_roles,
        ),
        case(
            "a role that is no name",
            with!(put(), roles = texts(&["reader", "No Role"])),
            &["roles[1]"],
        ),
        case(
            "a role twice",
            with!(put(), roles = texts(&["reader", "reader"])),
            &["roles[1]"],
        ),
        case(
            "a role that the tenant lacks, behind one that it has",
            with!(put(), roles = texts(&["reader", "lacking"])),
            &["roles[1]"],
        ),
        case(
            "texts of more than 3,072 bytes together",
            with!(put(), groups = long_groups),
            &["groups"],
        ),
        case(
            "roles of a caller of credd",
            with!(put(), tenant = "credd", roles = texts(&["verifier"])),
            &["roles"],
        ),
        case(
            "everything wrong at once",
            v1::PutOwnerRequest {
                tenant: "-".to_owned(),
                name: "-".to_owned(),
                display_name: " ".to_owned(),
                principals: texts(&[""]),
                groups: texts(&[""]),
                roles: texts(&[""]),
                reason: "\0".to_owned(),
                dry_run: false,
                expected_revision: Some(foreign_revision()),
                fence: false,
            },
            &[
                "tenant",
                "name",
                "display_name",
                "principals[0]",
                "groups[0]",
                "roles[0]",
                "reason",
                "expected_revision.store_id",
            ],
        ),
    ]);
    let rpc = "DirectoryService/PutOwner";
    unchanged.refuses_all(rpc, cases).await;
    let of = |tenant: String, name: String| with!(put(), tenant = tenant, name = name);
    refuses_owners(&unchanged, rpc, of).await;
    let dry = || with!(put(), dry_run = true);
    let longest = format!("dns:{}", "x".repeat(252));
    let good = vec![
        ("a name of 128", with!(dry(), name = "x".repeat(128))),
        (
            "8 principals",
            with!(dry(), principals = principals(8).collect::<Vec<_>>()),
        ),
        ("the longest", with!(dry(), principals = texts(&[&longest]))),
        (
            "every form",
            with!(
                dry(),
                principals = texts(&["credd:jo", "jwt:a#b", "spiffe://a/b", "dns:a"]),
            ),
        ),
        ("32 groups", with!(dry(), groups = different(32))),
        (
            "a group of 64 characters",
            with!(dry(), groups = vec!["\u{e9}".repeat(64)]),
        ),
        (
            "roles of the tenant and of all",
            with!(dry(), roles = texts(&["reader", "auditor", "full-access"])),
        ),
        (
            "3,072 bytes together",
            with!(dry(), groups = groups_of_bytes(3072)),
        ),
    ];
    unchanged.accepts_all(rpc, good).await;
    let beyond = with!(dry(), groups = groups_of_bytes(3073));
    let cases = vec![case("3,073 bytes together", beyond, &["groups"])];
    unchanged.refuses_all(rpc, cases).await;
    unchanged.end().await;
}

/// Groups of so many bytes together, each within its own bounds.
fn groups_of_bytes(bytes: usize) -> Vec<String> {
    let mut groups: Vec<_> = (0..20)
        .map(|n| format!("{n:02}{}", "\u{1d11e}".repeat(36)))
        .collect();
    let left = bytes - groups.iter().map(String::len).sum::<usize>();
    groups.push("\u{1d11e}".repeat(left / 4) + &"x".repeat(left % 4));
    groups
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_about_an_owner_that_cannot_be_is_refused() {
    let unchanged = Unchanged::start().await;
    let (tenant, name) = ("acme".to_owned(), "jo".to_owned());
    let get = |tenant, name| v1::GetOwnerRequest { tenant, name };
    refuses_owners(&unchanged, "DirectoryService/GetOwner", get).await;

    let delete = || v1::DeleteOwnerRequest {
        tenant: tenant.clone(),
        name: name.clone(),
        ..Default::default()
    };
    let rpc = "DirectoryService/DeleteOwner";
    let of = |tenant: String, name: String| with!(delete(), tenant = tenant, name = name);
    refuses_owners(&unchanged, rpc, of).await;
    let cases: Vec<Case<_>> = wrong_changes!(delete());
    unchanged.refuses_all(rpc, cases).await;

    let disable = || v1::DisableOwnerRequest {
        tenant: tenant.clone(),
        name: name.clone(),
        ..Default::default()
    };
    let rpc = "DirectoryService/DisableOwner";
    let of = |tenant: String, name: String| with!(disable(), tenant = tenant, name = name);
    refuses_owners(&unchanged, rpc, of).await;
    let cases: Vec<Case<_>> = wrong_changes!(disable());
    unchanged.refuses_all(rpc, cases).await;
    let good = vec![("a dry run", with!(disable(), dry_run = true))];
    unchanged.accepts_all(rpc, good).await;

    let enable = || v1::EnableOwnerRequest {
        tenant: tenant.clone(),
        name: name.clone(),
        ..Default::default()
    };
    let rpc = "DirectoryService/EnableOwner";
    let of = |tenant: String, name: String| with!(enable(), tenant = tenant, name = name);
    refuses_owners(&unchanged, rpc, of).await;
    let reasons = bad_reasons();
    let cases = reasons.map(|reason| case("reason", with!(enable(), reason = reason), &["reason"]));
    unchanged.refuses_all(rpc, cases.into()).await;

    let source = || v1::SetDefaultSourceRequest {
        tenant: tenant.clone(),
        name: name.clone(),
        source: "blue".to_owned(),
        ..Default::default()
    };
    let rpc = "DirectoryService/SetDefaultSource";
    let of = |tenant: String, name: String| with!(source(), tenant = tenant, name = name);
    refuses_owners(&unchanged, rpc, of).await;
    let mut cases = Vec::new();
    for reason in bad_reasons() {
        cases.push(case(
            "reason",
            with!(source(), reason = reason),
            &["reason"],
        ));
    }
    for bad in ["green", "Red", " red", "a\nb", &"x".repeat(65)] {
        let what = format!("the source {bad:?}");
        cases.push(case(what, with!(source(), source = bad), &["source"]));
    }
    cases.push(case(
        "everything wrong at once",
        with!(
            source(),
            tenant = "-",
            name = "-",
            source = " ",
            reason = "\0"
        ),
        &["tenant", "name", "source", "reason"],
    ));
    unchanged.refuses_all(rpc, cases).await;
    unchanged.end().await;
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "a table")]
async fn a_role_that_cannot_be_is_refused() {
    let unchanged = Unchanged::start().await;
    let put = || v1::PutRoleRequest {
        tenant: "acme".to_owned(),
        name: "writer".to_owned(),
        ..Default::default()
    };
    let permissions = |list: &[&str]| with!(put(), permissions = texts(list));
    let mut cases: Vec<Case<_>> = wrong_changes!(put());
    for description in ["x".repeat(1025), "a\tb".to_owned()] {
        let request = with!(put(), description = description);
        cases.push(case("the description", request, &["description"]));
    }
    let long = format!("{}:{}", "r".repeat(64), "a".repeat(64));
    for permission in [
        "",
        ":",
        "*",
        "feeds",
        "feeds:",
        ":read",
        "feeds:read:all",
        "Feeds:read",
        "fee*:read",
        "1feeds:read",
        "feeds: read",
        "credd:read",
        "credd:*",
        "credd.credentials:issue",
        "credd.credentials.issue",
        &long,
    ] {
        let what = format!("the permission {permission:?}");
        let request = permissions(&["feeds:read", permission]);
        cases.push(case(what, request, &["permissions[1]"]));
    }
    for permission in [
        "feeds:read",
        "*:*",
        "*",
        "credd",
        "credd.",
        "credd.*.issue",
        "credd.cred*",
        "credd.Verify",
    ] {
        let what = format!("the permission {permission:?} on credd");
        let request = with!(permissions(&["credd.verify", permission]), tenant = "credd");
        cases.push(case(what, request, &["permissions[1]"]));
    }
    let of = |count: usize| -> Vec<String> {
        let names = different(count).into_iter();
        names.map(|name| format!("{name}:read")).collect()
    };
    cases.extend([
        case(
            "65 permissions",
            with!(put(), permissions = of(65)),
            &["permissions"],
        ),
        case(
            "one twice",
            permissions(&["feeds:read", "feeds:*", "feeds:read"]),
            &["permissions[2]"],
        ),
        case(
            "3,073 bytes together",
            with!(put(), permissions = permissions_of_bytes(3073)),
            &["permissions"],
        ),
        case(
            "everything wrong at once",
            with!(
                permissions(&[""]),
                tenant = "-",
                name = "-",
                description = "\0",
                reason = "\0",
                expected_revision = foreign_revision(),
            ),
            &[
                "tenant",
                "name",
                "description",
                "permissions[0]",
                "reason",
                "expected_revision.store_id",
            ],
        ),
    ]);
    let rpc = "DirectoryService/PutRole";
    unchanged.refuses_all(rpc, cases).await;
    let both = |tenant: String, name: String| with!(put(), tenant = tenant, name = name);
    refuses_roles(&unchanged, rpc, both).await;
    let dry = || with!(put(), dry_run = true);
    let credd = || with!(dry(), tenant = "credd");
    let good = vec![
        ("64 permissions", with!(dry(), permissions = of(64))),
        (
            "3,072 bytes together",
            with!(dry(), permissions = permissions_of_bytes(3072)),
        ),
        (
            "every form",
            with!(dry(), permissions = texts(&["feeds:*", "*:read", "*:*"])),
        ),
        (
            "every form on credd",
            with!(
                credd(),
                permissions = texts(&["credd.*", "credd.verify", "credd.roles.*"])
            ),
        ),
        ("no permission", dry()),
        ("a name of 63", with!(dry(), name = "x".repeat(63))),
    ];
    unchanged.accepts_all(rpc, good).await;

    // Those that are built in are nobody's to put.
    for (tenant, name) in [
        ("acme", "auditor"),
        ("acme", "full-access"),
        ("credd", "administrator"),
        ("credd", "verifier"),
    ] {
        let request = with!(put(), tenant = tenant, name = name);
        let status = unchanged.call(rpc, &request).await.unwrap_err();
        assert_eq!(status.code(), Code::FailedPrecondition, "{name}: {status}");
        assert_eq!(reason_of(&status), "ROLE_BUILT_IN");
        unchanged.assert_unchanged(name).await;
    }

    let get = |tenant, name| v1::GetRoleRequest { tenant, name };
    refuses_roles(&unchanged, "DirectoryService/GetRole", get).await;
    let delete = || v1::DeleteRoleRequest {
        tenant: "acme".to_owned(),
        name: "reader".to_owned(),
        ..Default::default()
    };
    let rpc = "DirectoryService/DeleteRole";
    let both = |tenant: String, name: String| with!(delete(), tenant = tenant, name = name);
    refuses_roles(&unchanged, rpc, both).await;
    let cases: Vec<Case<_>> = wrong_changes!(delete());
    unchanged.refuses_all(rpc, cases).await;
    unchanged.end().await;
}

/// Permissions of so many bytes together, each within its own bounds.
fn permissions_of_bytes(bytes: usize) -> Vec<String> {
    let mut permissions: Vec<_> = (0..30)
        .map(|n| format!("r{n:02}{}:{}", "r".repeat(50), "a".repeat(47)))
        .collect();
    let left = bytes - permissions.iter().map(String::len).sum::<usize>();
    let (resource, action) = ("z".repeat(left / 2), "a".repeat(left - left / 2 - 1));
    permissions.push(format!("{resource}:{action}"));
    permissions
}
