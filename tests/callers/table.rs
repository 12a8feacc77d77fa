//! What comes of every RPC for every kind of caller.

use std::collections::BTreeSet;

use tonic::Code;

use crate::state::Everything;
use crate::support::raw::rpcs;
use crate::world::{World, bound_on_acme, callers};

/// Who calls:
///
/// - `nobody`; `nameless`, whose certificate has two SPIFFE IDs; `stranger`, whose
///   certificate names somebody who is bound nowhere;
/// - the tenant's administrator with an `expired` token, and with one for somebody
///   `elsewhere`;
/// - `verifier` and `auditor`, bound on acme;
/// - the `foreign` owner of globex, and the `owner` in acme;
/// - the administrator of acme by a credd `bearer`, a `jwt` and a `cert`;
/// - the `other` administrator, of globex, and that of the whole `platform`;
/// - the `portal` of acme on behalf of the owner in acme.
const COLUMNS: &str = "nobody nameless stranger expired elsewhere  verifier auditor foreign owner  bearer jwt cert  other platform portal";

/// The outcome of a good request about a record of acme: `+` OK, `?`
/// UNAUTHENTICATED, `-` `PERMISSION_DENIED`, `0` `NOT_FOUND`.
const TABLE: &[(&str, &str)] = &[
    (
        "CredentialService/Issue",
        "? ? - ? ?   - - - +   + + +   - + +",
    ),
    (
        "CredentialService/Get",
        "? ? - ? ?   - + 0 +   + + +   0 + +",
    ),
    (
        "CredentialService/List",
        "? ? - ? ?   - + - +   + + +   - + +",
    ),
    (
        "CredentialService/Update",
        "? ? - ? ?   - - 0 +   + + +   0 + +",
    ),
    (
        "CredentialService/Rotate",
        "? ? - ? ?   - - 0 +   + + +   0 + +",
    ),
    // In no built-in role.
    (
        "CredentialService/Reveal",
        "? ? - ? ?   - - 0 +   - - -   - - +",
    ),
    (
        "CredentialService/Lock",
        "? ? - ? ?   - - 0 +   + + +   0 + +",
    ),
    (
        "CredentialService/Unlock",
        "? ? - ? ?   - - - -   + + +   0 + -",
    ),
    (
        "CredentialService/Revoke",
        "? ? - ? ?   - - 0 +   + + +   0 + +",
    ),
    // What is not theirs is told to be nobody's.
    (
        "CredentialService/ReportLeak",
        "? ? - ? ?   - - + +   + + +   + + +",
    ),
    (
        "CredentialService/ImportCredentials",
        "? ? - ? ?   - - - -   + + +   - + -",
    ),
    (
        "DirectoryService/PutTenant",
        "? ? - ? ?   - - - -   + + +   - + -",
    ),
    (
        "DirectoryService/GetTenant",
        "? ? - ? ?   - + - -   + + +   0 + -",
    ),
    (
        "DirectoryService/ListTenants",
        "? ? - ? ?   - + - -   + + +   + + -",
    ),
    (
        "DirectoryService/DeleteTenant",
        "? ? - ? ?   - - - -   + + +   - + -",
    ),
    (
        "DirectoryService/DisableTenant",
        "? ? - ? ?   - - - -   + + +   - + -",
    ),
    (
        "DirectoryService/EnableTenant",
        "? ? - ? ?   - - - -   + + +   - + -",
    ),
    (
        "DirectoryService/PutOwner",
        "? ? - ? ?   - - - -   + + +   - + -",
    ),
    (
        "DirectoryService/GetOwner",
        "? ? - ? ?   - + 0 +   + + +   0 + +",
    ),
    (
        "DirectoryService/ListOwners",
        "? ? - ? ?   - + - -   + + +   - + -",
    ),
    (
        "DirectoryService/DeleteOwner",
        "? ? - ? ?   - - - -   + + +   - + -",
    ),
    (
        "DirectoryService/DisableOwner",
        "? ? - ? ?   - - - -   + + +   - + -",
    ),
    (
        "DirectoryService/EnableOwner",
        "? ? - ? ?   - - - -   + + +   - + -",
    ),
    (
        "DirectoryService/SetDefaultSource",
        "? ? - ? ?   - - 0 +   + + +   0 + +",
    ),
    (
        "DirectoryService/PutRole",
        "? ? - ? ?   - - - -   + + +   - + -",
    ),
    (
        "DirectoryService/GetRole",
        "? ? - ? ?   - + - -   + + +   0 + -",
    ),
    (
        "DirectoryService/ListRoles",
        "? ? - ? ?   - + - -   + + +   - + -",
    ),
    (
        "DirectoryService/DeleteRole",
        "? ? - ? ?   - - - -   + + +   - + -",
    ),
    (
        "DirectoryService/PutProfile",
        "? ? - ? ?   - - - -   + + +   - + -",
    ),
    (
        "DirectoryService/GetProfile",
        "? ? - ? ?   + + - -   + + +   0 + -",
    ),
    (
        "DirectoryService/ListProfiles",
        "? ? - ? ?   + + - -   + + +   - + -",
    ),
    (
        "DirectoryService/DeleteProfile",
        "? ? - ? ?   - - - -   + + +   - + -",
    ),
    (
        "DirectoryService/PutBinding",
        "? ? - ? ?   - - - -   + + +   - + -",
    ),
    (
        "DirectoryService/GetBinding",
        "? ? - ? ?   - + - -   + + +   0 + -",
    ),
    (
        "DirectoryService/ListBindings",
        "? ? - ? ?   - + - -   + + +   - + -",
    ),
    (
        "DirectoryService/DeleteBinding",
        "? ? - ? ?   - - - -   + + +   - + -",
    ),
    (
        "VerificationService/Verify",
        "? ? - ? ?   + - - -   + + +   + + -",
    ),
    (
        "VerificationService/VerifyStream",
        "? ? - ? ?   + - - -   + + +   + + -",
    ),
    (
        "VerificationService/Watch",
        "? ? - ? ?   + - - -   + + +   + + -",
    ),
];

fn outcome(mark: &str) -> Code {
    match mark {
        "+" => Code::Ok,
        "?" => Code::Unauthenticated,
        "-" => Code::PermissionDenied,
        "0" => Code::NotFound,
        other => panic!("{other} stands for no outcome"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_rpc_lets_each_kind_of_caller_do_what_the_table_says() {
    let rows: BTreeSet<_> = TABLE.iter().map(|(rpc, _)| (*rpc).to_owned()).collect();
    assert_eq!(rows.len(), TABLE.len(), "an RPC stands twice");
    let known = BTreeSet::from_iter(rpcs());
    let missing: Vec<_> = known.difference(&rows).collect();
    assert!(missing.is_empty(), "these RPCs need a row: {missing:?}");
    let gone: Vec<_> = rows.difference(&known).collect();
    assert!(gone.is_empty(), "these are no RPCs: {gone:?}");

    let world = World::start().await;
    let callers = callers(&world).await;
    let columns: Vec<_> = COLUMNS.split_whitespace().collect();
    assert_eq!(columns, callers.iter().map(|c| c.name).collect::<Vec<_>>());
    let mut wrong = Vec::new();
    for (rpc, row) in TABLE {
        let marks: Vec<_> = row.split_whitespace().collect();
        assert_eq!(marks.len(), columns.len(), "{rpc}");
        assert!(marks.contains(&"+"), "{rpc}: the request is a bad one");
        let mut names = world.names("acme").await;
        let let_in = bound_on_acme();
        if *rpc == "DirectoryService/DeleteTenant" {
            for (principal, role) in &let_in {
                world.admin.bind(principal, role, &names.empty_tenant).await;
            }
        }
        let cells = || callers.iter().zip(&marks).map(|(c, m)| (c, outcome(m)));
        let before = Everything::of(&world.admin).await;
        for (caller, expected) in cells().filter(|(_, code)| *code != Code::Ok) {
            let message = names.request(rpc).expect("a request");
            let code = caller.code(rpc, message).await;
            if code != expected {
                wrong.push(format!(
                    "{rpc}, {}: {code:?}, not {expected:?}",
                    caller.name
                ));
            }
        }
        assert_eq!(Everything::of(&world.admin).await, before, "{rpc}");
        for (caller, _) in cells().filter(|(_, code)| *code == Code::Ok) {
            let message = names.request(rpc).expect("a request");
            let answer = caller.call(rpc, message).await;
            if let Err(status) = answer {
                wrong.push(format!("{rpc}, {}: {status}", caller.name));
            }
            if is_reading(rpc) {
                continue;
            }
            enable(&world).await;
            let used = names;
            names = world.names("acme").await;
            if *rpc == "DirectoryService/DeleteTenant" {
                for (principal, role) in &let_in {
                    world.unbind(principal, role, &used.empty_tenant).await;
                    world.admin.bind(principal, role, &names.empty_tenant).await;
                }
            }
        }
        if *rpc == "DirectoryService/DeleteTenant" {
            for (principal, role) in &let_in {
                world.unbind(principal, role, &names.empty_tenant).await;
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    drop(callers);
    world.stop().await;
}

fn is_reading(rpc: &str) -> bool {
    let reads = ["/Get", "/List", "/Reveal", "VerificationService/"];
    reads.iter().any(|part| rpc.contains(part))
}

/// The tenant as it was before somebody disabled it.
async fn enable(world: &World) {
    let request = credd::proto::v1::EnableTenantRequest {
        name: "acme".to_owned(),
        ..Default::default()
    };
    let mut directory = world.admin.directory.clone();
    directory.enable_tenant(request).await.unwrap();
}
