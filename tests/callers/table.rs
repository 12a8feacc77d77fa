//! What comes of every RPC for every kind of caller.

use std::collections::BTreeSet;

use tonic::Code;

use crate::caller::Caller;
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
///
/// The outcome of a good request about a record of acme: `+` OK, `?`
/// UNAUTHENTICATED, `-` `PERMISSION_DENIED`, `0` `NOT_FOUND`, `!` `FAILED_PRECONDITION`: the
/// caller may, but a key that is in use stays. The names of the callers are to be read
/// downwards.
const TABLE: &str = "
                                    n n s e e   v a f o   b j c   o p p
                                    o a t x l   e u o w   e w e   t l o
                                    b m r p s   r d r n   a t r   h a r
                                    o e a i e   i i e e   r   t   e t t
                                    d l n r w   f t i r   e       r f a
                                    y e g e h   i o g     r         o l
                                      s e d e   e r n               r
                                      s r   r   r                   m
                                            e

CredentialService/Issue             ? ? - ? ?   - - - +   + + +   - + +
CredentialService/Get               ? ? - ? ?   - + 0 +   + + +   0 + +
CredentialService/List              ? ? - ? ?   - + - +   + + +   - + +
CredentialService/Update            ? ? - ? ?   - - 0 +   + + +   0 + +
CredentialService/Rotate            ? ? - ? ?   - - 0 +   + + +   0 + +
# In no built-in role.
CredentialService/Reveal            ? ? - ? ?   - - 0 +   - - -   - - +
CredentialService/Lock              ? ? - ? ?   - - 0 +   + + +   0 + +
CredentialService/Unlock            ? ? - ? ?   - - - -   + + +   0 + -
CredentialService/Revoke            ? ? - ? ?   - - 0 +   + + +   0 + +
# What is not theirs is told to be nobody's.
CredentialService/ReportLeak        ? ? - ? ?   - - + +   + + +   + + +
CredentialService/ImportCredentials ? ? - ? ?   - - - -   + + +   - + -
DirectoryService/PutTenant          ? ? - ? ?   - - - -   + + +   - + -
DirectoryService/GetTenant          ? ? - ? ?   - + - -   + + +   0 + -
DirectoryService/ListTenants        ? ? - ? ?   - + - -   + + +   + + -
DirectoryService/DeleteTenant       ? ? - ? ?   - - - -   + + +   - + -
DirectoryService/DisableTenant      ? ? - ? ?   - - - -   + + +   - + -
DirectoryService/EnableTenant       ? ? - ? ?   - - - -   + + +   - + -
DirectoryService/PutOwner           ? ? - ? ?   - - - -   + + +   - + -
DirectoryService/GetOwner           ? ? - ? ?   - + 0 +   + + +   0 + +
DirectoryService/ListOwners         ? ? - ? ?   - + - -   + + +   - + -
DirectoryService/DeleteOwner        ? ? - ? ?   - - - -   + + +   - + -
DirectoryService/DisableOwner       ? ? - ? ?   - - - -   + + +   - + -
DirectoryService/EnableOwner        ? ? - ? ?   - - - -   + + +   - + -
DirectoryService/SetDefaultSource   ? ? - ? ?   - - 0 +   + + +   0 + +
DirectoryService/PutRole            ? ? - ? ?   - - - -   + + +   - + -
DirectoryService/GetRole            ? ? - ? ?   - + - -   + + +   0 + -
DirectoryService/ListRoles          ? ? - ? ?   - + - -   + + +   - + -
DirectoryService/DeleteRole         ? ? - ? ?   - - - -   + + +   - + -
DirectoryService/PutProfile         ? ? - ? ?   - - - -   + + +   - + -
DirectoryService/GetProfile         ? ? - ? ?   + + - -   + + +   0 + -
DirectoryService/ListProfiles       ? ? - ? ?   + + - -   + + +   - + -
DirectoryService/DeleteProfile      ? ? - ? ?   - - - -   + + +   - + -
DirectoryService/PutBinding         ? ? - ? ?   - - - -   + + +   - + -
DirectoryService/GetBinding         ? ? - ? ?   - + - -   + + +   0 + -
DirectoryService/ListBindings       ? ? - ? ?   - + - -   + + +   - + -
DirectoryService/DeleteBinding      ? ? - ? ?   - - - -   + + +   - + -
# In no built-in role.
AuditService/EraseEvents            ? ? - ? ?   - - - -   - - -   - - -
AuditService/ListEvents             ? ? - ? ?   - + - -   + + +   - + -
# Of the server, and so of all tenants.
AuditService/VerifyChain            ? ? - ? ?   - - - -   - - -   - + -
OperationsService/GetStatus         ? ? - ? ?   - - - -   - - -   - + -
OperationsService/Backup            ? ? - ? ?   - - - -   - - -   - + -
OperationsService/RotatePepper      ? ? - ? ?   - - - -   - - -   - + -
OperationsService/RetirePepper      ? ? - ? ?   - - - -   - - -   - ! -
OperationsService/RotateSealingKey  ? ? - ? ?   - - - -   - - -   - + -
OperationsService/RetireSealingKey  ? ? - ? ?   - - - -   - - -   - ! -
VerificationService/Verify          ? ? - ? ?   + - - -   + + +   + + -
VerificationService/VerifyStream    ? ? - ? ?   + - - -   + + +   + + -
VerificationService/Watch           ? ? - ? ?   + - - -   + + +   + + -
";

/// The names of the callers, and the rows of the RPCs.
fn table() -> (Vec<String>, Vec<(&'static str, Vec<&'static str>)>) {
    let (head, rows) = TABLE.split_once("\n\n").unwrap();
    let rows = rows.lines().filter(|line| !line.starts_with('#'));
    let rows: Vec<_> = rows
        .map(|row| {
            let mut words = row.split_whitespace();
            (words.next().unwrap(), words.collect())
        })
        .collect();
    // A name stands above its marks.
    let mut lines = TABLE.lines();
    let row = lines.find(|line| line.contains('/')).unwrap();
    let first = row.find(' ').unwrap();
    let places = row
        .char_indices()
        .filter(|(at, mark)| *at > first && *mark != ' ');
    let names = places.map(|(at, _)| {
        let letters = head.lines().filter_map(|line| line.chars().nth(at));
        letters.collect::<String>().trim().to_owned()
    });
    (names.collect(), rows)
}

fn outcome(mark: &str) -> Code {
    match mark {
        "+" => Code::Ok,
        "?" => Code::Unauthenticated,
        "-" => Code::PermissionDenied,
        "0" => Code::NotFound,
        "!" => Code::FailedPrecondition,
        other => panic!("{other} stands for no outcome"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_rpc_lets_each_kind_of_caller_do_what_the_table_says() {
    let (columns, table) = table();
    let rows: BTreeSet<_> = table.iter().map(|(rpc, _)| (*rpc).to_owned()).collect();
    assert_eq!(rows.len(), table.len(), "an RPC stands twice");
    let known = BTreeSet::from_iter(rpcs());
    let missing: Vec<_> = known.difference(&rows).collect();
    assert!(missing.is_empty(), "these RPCs need a row: {missing:?}");
    let gone: Vec<_> = rows.difference(&known).collect();
    assert!(gone.is_empty(), "these are no RPCs: {gone:?}");

    let world = World::start().await;
    let callers = callers(&world).await;
    assert_eq!(columns, callers.iter().map(|c| c.name).collect::<Vec<_>>());
    let mut wrong = Vec::new();
    for (rpc, marks) in &table {
        assert_eq!(marks.len(), columns.len(), "{rpc}");
        let mut names = world.names("acme").await;
        let let_in = bound_on_acme();
        if *rpc == "DirectoryService/DeleteTenant" {
            for (principal, role) in &let_in {
                world.admin.bind(principal, role, &names.empty_tenant).await;
            }
        }
        let cells = || callers.iter().zip(marks).map(|(c, m)| (c, outcome(m)));
        let before = Everything::of(&world.admin).await;
        for (caller, expected) in cells().filter(|(_, code)| *code != Code::Ok) {
            let message = names.request(rpc).expect("a request in requests.rs");
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
            let message = names.request(rpc).expect("a request in requests.rs");
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
        let code = root(&world).code(rpc, names.request(rpc).unwrap()).await;
        let may = [Code::Ok, Code::FailedPrecondition];
        assert!(may.contains(&code), "{rpc}: the request is a bad one");
        enable(&world).await;
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

/// Who may do everything, for whom each of these requests is a good one.
fn root(world: &World) -> Caller {
    world.nobody("root").bearing(&world.server.token)
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
