//! Bindings: what they can't be, and what happens to one that is asked for again.

use std::collections::BTreeSet;

use credd::authority::directory::Configured;
use credd::domain::names::Role;
use credd::proto::v1;
use prost::Message;
use tonic::{Code, Status};

use crate::directory::{bad_names, wrong_changes};
use crate::support::{Client, Directory, Server, bound, config, everything_to, token_request};
use crate::unchanged::{Case, Unchanged, bad_reasons, case, foreign_revision, reason_of, with};

/// What is no principal.
fn bad_principals() -> Vec<String> {
    let mut bad: Vec<_> = [
        "",
        "*",
        "jo",
        "system",
        "credd",
        "credd:",
        "Credd:jo",
        "CREDD:jo",
        "acme:jo",
        ":jo",
        "credd:jo doe",
        " credd:jo",
        "credd:jo ",
        "credd:jo\n",
        "credd:jo\0",
        "credd:j\u{f6}",
        "credd:\u{202e}oj",
        "jwt:",
        "jwt:jo",
        "jwt:#jo",
        "jwt:https://idp",
        "jwt:https://idp#",
        "JWT:https://idp#jo",
        "spiffe:",
        "spiffe:/td/x",
        "spiffe://",
        "SPIFFE://td/x",
        "dns:",
        "DNS:a.example",
        "dns:a.example b.example",
        "mailto:jo@a.example",
        "https://a.example",
    ]
    .map(str::to_owned)
    .to_vec();
    bad.push(format!("dns:{}", "x".repeat(253)));
    bad.push(format!("credd:{}", "x".repeat(1 << 16)));
    bad
}

/// What is neither a tenant nor all of them.
fn bad_reaches() -> Vec<String> {
    let mut bad = bad_names().to_vec();
    bad.extend(["**", "* ", "acme*", "*acme", "acme,globex"].map(str::to_owned));
    bad
}

/// Each name that a request can get wrong, alone.
fn wrong_names<T: Message>(of: impl Fn(&str, &str, &str) -> T) -> Vec<Case<T>> {
    let (principal, role, tenant) = ("credd:jo", "verifier", "acme");
    let mut cases = Vec::new();
    for bad in bad_principals() {
        let what = format!("the principal {bad:.40?}");
        cases.push(case(what, of(&bad, role, tenant), &["principal"]));
    }
    for bad in bad_names() {
        let what = format!("the role {bad:?}");
        cases.push(case(what, of(principal, &bad, tenant), &["role"]));
    }
    for bad in bad_reaches() {
        let what = format!("the tenant {bad:?}");
        cases.push(case(what, of(principal, role, &bad), &["tenant"]));
    }
    let all = ["principal", "role", "tenant"];
    cases.push(case("every name", of("jo", "A", "A"), &all));
    cases
}

fn put(principal: &str, role: &str, tenant: &str) -> v1::PutBindingRequest {
    v1::PutBindingRequest {
        principal: principal.to_owned(),
        role: role.to_owned(),
        tenant: tenant.to_owned(),
        ..Default::default()
    }
}

fn delete(principal: &str, role: &str, tenant: &str) -> v1::DeleteBindingRequest {
    v1::DeleteBindingRequest {
        principal: principal.to_owned(),
        role: role.to_owned(),
        tenant: tenant.to_owned(),
        ..Default::default()
    }
}

fn get(principal: &str, role: &str, tenant: &str) -> v1::GetBindingRequest {
    v1::GetBindingRequest {
        principal: principal.to_owned(),
        role: role.to_owned(),
        tenant: tenant.to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_field_of_a_binding_has_its_rule() {
    const ALL: [&str; 5] = [
        "principal",
        "role",
        "tenant",
        "reason",
        "expected_revision.store_id",
    ];

    let unchanged = Unchanged::start().await;
    let good = put("credd:jo", "verifier", "acme");
    let mut cases = wrong_names(put);
    cases.extend(wrong_changes!(good.clone()));
    cases.push(case(
        "everything",
        with!(
            put("jo", "-", "-"),
            reason = "x".repeat(257),
            expected_revision = foreign_revision(),
        ),
        &ALL,
    ));
    let rpc = "DirectoryService/PutBinding";
    unchanged.refuses_all(rpc, cases).await;
    let dry = with!(good, dry_run = true);
    unchanged.accepts_all(rpc, vec![("a dry run", dry)]).await;

    let mut cases = wrong_names(delete);
    cases.extend(wrong_changes!(delete("credd:root", "root", "*")));
    cases.push(case(
        "everything",
        with!(
            delete("jo", "-", "-"),
            reason = "two\nlines",
            expected_revision = foreign_revision(),
        ),
        &ALL,
    ));
    let rpc = "DirectoryService/DeleteBinding";
    unchanged.refuses_all(rpc, cases).await;
    let dry = with!(delete("credd:root", "root", "*"), dry_run = true);
    unchanged.accepts_all(rpc, vec![("a dry run", dry)]).await;

    let rpc = "DirectoryService/GetBinding";
    unchanged.refuses_all(rpc, wrong_names(get)).await;
    unchanged.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_field_of_a_list_of_bindings_has_its_rule() {
    let unchanged = Unchanged::start().await;
    let good = v1::ListBindingsRequest::default();
    let mut cases = Vec::new();
    for bad in bad_principals().into_iter().filter(|bad| !bad.is_empty()) {
        let request = with!(good.clone(), principal = bad);
        cases.push(case("the principal", request, &["principal"]));
    }
    for bad in bad_reaches().into_iter().filter(|bad| !bad.is_empty()) {
        let request = with!(good.clone(), tenant = bad);
        cases.push(case("the tenant", request, &["tenant"]));
    }
    for size in [-1, i32::MIN] {
        let request = with!(good.clone(), page_size = size);
        cases.push(case("the page size", request, &["page_size"]));
    }
    for token in ["x", "AAAA", "credd:root", &"A".repeat(4096)] {
        let request = with!(good.clone(), page_token = token);
        cases.push(case("the page token", request, &["page_token"]));
    }
    let both = with!(good, principal = "jo", tenant = "-");
    cases.push(case("both names", both, &["principal", "tenant"]));
    let rpc = "DirectoryService/ListBindings";
    unchanged.refuses_all(rpc, cases).await;
    unchanged.end().await;
}

async fn put_binding(
    directory: &Directory,
    request: v1::PutBindingRequest,
) -> Result<v1::PutBindingResponse, Status> {
    let answer = directory.clone().put_binding(request).await?;
    Ok(answer.into_inner())
}

async fn delete_binding(
    directory: &Directory,
    request: v1::DeleteBindingRequest,
) -> Result<Option<v1::Revision>, Status> {
    let answer = directory.clone().delete_binding(request).await?;
    Ok(answer.into_inner().revision)
}

async fn get_binding(
    directory: &Directory,
    request: v1::GetBindingRequest,
) -> Result<v1::Binding, Status> {
    let answer = directory.clone().get_binding(request).await?;
    Ok(answer.into_inner().binding.unwrap())
}

fn is_refused<T>(answer: Result<T, Status>, code: Code, reason: &str) {
    let status = answer.err().expect(reason);
    assert_eq!(status.code(), code, "{status}");
    assert_eq!(reason_of(&status), reason);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_a_binding_that_was_made_is_made_once() {
    let server = Server::start().await;
    let directory = server.admin.directory.clone();
    let good = put("dns:a.example", "verifier", "acme");
    let gone = delete("dns:a.example", "verifier", "acme");
    let shown = get("dns:a.example", "verifier", "acme");
    let not_found = (Code::NotFound, "BINDING_NOT_FOUND");

    is_refused(
        get_binding(&directory, shown.clone()).await,
        not_found.0,
        not_found.1,
    );
    is_refused(
        delete_binding(&directory, gone.clone()).await,
        not_found.0,
        not_found.1,
    );
    let dry = with!(good.clone(), dry_run = true);
    put_binding(&directory, dry).await.unwrap();
    is_refused(
        get_binding(&directory, shown.clone()).await,
        not_found.0,
        not_found.1,
    );
    let another = v1::Revision {
        number: 1,
        ..revision_now(&server.admin).await
    };
    let early = with!(good.clone(), expected_revision = another.clone());
    is_refused(
        put_binding(&directory, early).await,
        Code::Aborted,
        "REVISION_MISMATCH",
    );

    let first = put_binding(&directory, with!(good.clone(), reason = "why"))
        .await
        .unwrap();
    let binding = first.binding.clone().unwrap();
    assert_eq!(binding.revision, first.revision);
    assert_eq!(binding.last_change.as_ref().unwrap().reason, "why");
    assert!(!binding.configured);
    for again in [
        good.clone(),
        with!(good.clone(), reason = "another"),
        with!(good.clone(), dry_run = true),
        with!(good.clone(), expected_revision = another.clone()),
    ] {
        assert_eq!(put_binding(&directory, again).await.unwrap(), first);
    }
    assert_eq!(
        get_binding(&directory, shown.clone()).await.unwrap(),
        binding
    );

    let early = with!(gone.clone(), expected_revision = another);
    is_refused(
        delete_binding(&directory, early).await,
        Code::Aborted,
        "REVISION_MISMATCH",
    );
    let dry = with!(gone.clone(), dry_run = true);
    delete_binding(&directory, dry).await.unwrap();
    assert_eq!(
        get_binding(&directory, shown.clone()).await.unwrap(),
        binding
    );
    let expected = with!(
        gone.clone(),
        expected_revision = binding.revision.clone().unwrap()
    );
    let deleted = delete_binding(&directory, expected.clone()).await.unwrap();
    for again in [gone.clone(), expected, with!(gone, dry_run = true)] {
        assert_eq!(delete_binding(&directory, again).await.unwrap(), deleted);
    }
    is_refused(
        get_binding(&directory, shown.clone()).await,
        not_found.0,
        not_found.1,
    );
    // It says all that it is: it can be put again.
    let old = with!(good.clone(), expected_revision = binding.revision.unwrap());
    is_refused(
        put_binding(&directory, old).await,
        Code::Aborted,
        "REVISION_MISMATCH",
    );
    let anew = with!(good, expected_revision = deleted.clone().unwrap());
    let anew = put_binding(&directory, anew).await.unwrap();
    assert!(anew.revision.unwrap().number > deleted.unwrap().number);
    get_binding(&directory, shown).await.unwrap();
    server.stop().await;
}

async fn revision_now(admin: &Client) -> v1::Revision {
    let request = v1::ListTenantsRequest::default();
    let listed = admin.directory.clone().list_tenants(request).await.unwrap();
    listed.into_inner().revision.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_configured_is_there_and_stays() {
    let server = Server::start().await;
    let directory = server.admin.directory.clone();
    let shown = get("credd:admin", "everything", "*");
    let binding = get_binding(&directory, shown.clone()).await.unwrap();
    assert!(binding.configured);
    assert_eq!(
        (binding.last_change.clone(), binding.revision.clone()),
        (None, None)
    );
    let built_in = (Code::FailedPrecondition, "BINDING_BUILT_IN");
    for gone in [
        delete("credd:admin", "everything", "*"),
        with!(delete("credd:admin", "everything", "*"), dry_run = true),
    ] {
        is_refused(
            delete_binding(&directory, gone).await,
            built_in.0,
            built_in.1,
        );
    }
    let again = put_binding(&directory, put("credd:admin", "everything", "*"))
        .await
        .unwrap();
    assert_eq!(again.binding, Some(binding.clone()));
    assert_eq!(get_binding(&directory, shown).await.unwrap(), binding);
    // The same on a tenant is another.
    let other = put_binding(&directory, put("credd:admin", "everything", "acme"))
        .await
        .unwrap();
    assert!(!other.binding.unwrap().configured);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_is_bound_is_there() {
    let server = Server::start().await;
    let directory = server.admin.directory.clone();
    for role in ["nobody", "full-access"] {
        let answer = put_binding(&directory, put("dns:a.example", role, "acme")).await;
        is_refused(answer, Code::NotFound, "ROLE_NOT_FOUND");
    }
    let role = v1::PutRoleRequest {
        tenant: "credd".to_owned(),
        name: "brief".to_owned(),
        permissions: vec!["credd.verify".to_owned()],
        ..Default::default()
    };
    directory.clone().put_role(role).await.unwrap();
    for tenant in ["acme", "*"] {
        put_binding(&directory, put("dns:a.example", "brief", tenant))
            .await
            .unwrap();
    }
    let gone = || v1::DeleteRoleRequest {
        tenant: "credd".to_owned(),
        name: "brief".to_owned(),
        ..Default::default()
    };
    for tenant in ["acme", "*"] {
        let answer = directory.clone().delete_role(gone()).await;
        is_refused(answer, Code::FailedPrecondition, "ROLE_IN_USE");
        delete_binding(&directory, delete("dns:a.example", "brief", tenant))
            .await
            .unwrap();
    }
    directory.clone().delete_role(gone()).await.unwrap();
    let answer = put_binding(&directory, put("dns:a.example", "brief", "acme")).await;
    is_refused(answer, Code::NotFound, "ROLE_NOT_FOUND");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_binding_that_lets_somebody_administer_credd_stays() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path());
    config.configured = Configured::default();
    let server = Server::start_with(directory, config).await;
    let admin = &server.admin;
    let last = (Code::FailedPrecondition, "LAST_ADMINISTRATOR");
    let gone = || delete("credd:admin", Role::ADMINISTRATOR, "*");
    let stays = async || {
        let dry = with!(gone(), dry_run = true);
        for request in [gone(), dry] {
            is_refused(
                delete_binding(&admin.directory, request).await,
                last.0,
                last.1,
            );
        }
    };
    stays().await;
    // Neither a tenant's administrator, nor somebody without a credential.
    admin.bind("credd:tina", Role::ADMINISTRATOR, "acme").await;
    admin.issue(caller("tina")).await.unwrap();
    admin.bind("credd:nobody", Role::ADMINISTRATOR, "*").await;
    stays().await;
    // Nor one whose credential ends, is locked, or has other roles.
    for owner in ["brief", "locked", "narrow"] {
        admin
            .bind(&format!("credd:{owner}"), Role::ADMINISTRATOR, "*")
            .await;
    }
    let brief = v1::IssueRequest {
        expiry: Some(v1::issue_request::Expiry::Ttl(prost_types::Duration {
            seconds: 3600,
            nanos: 0,
        })),
        ..caller("brief")
    };
    admin.issue(brief).await.unwrap();
    let locked = admin.issue(caller("locked")).await.unwrap();
    admin.lock(&locked.credential.unwrap().id).await.unwrap();
    admin.bind("credd:narrow", Role::VERIFIER, "*").await;
    let narrow = with!(caller("narrow"), roles = vec![Role::VERIFIER.to_owned()]);
    admin.issue(narrow).await.unwrap();
    stays().await;
    // Nor one who may do it by another role.
    let role = v1::PutRoleRequest {
        tenant: "credd".to_owned(),
        name: "almost".to_owned(),
        permissions: vec!["credd.bindings.*".to_owned()],
        ..Default::default()
    };
    admin.directory.clone().put_role(role).await.unwrap();
    admin.bind("spiffe://a.example/almost", "almost", "*").await;
    stays().await;
    // But somebody whom credd does not know by a credential.
    admin
        .bind("spiffe://a.example/admin", Role::ADMINISTRATOR, "*")
        .await;
    delete_binding(&admin.directory, gone()).await.unwrap();
    let answer = admin
        .directory
        .clone()
        .list_tenants(v1::ListTenantsRequest::default())
        .await;
    assert_eq!(answer.unwrap_err().code(), Code::PermissionDenied);
    server.stop().await;
}

fn caller(owner: &str) -> v1::IssueRequest {
    v1::IssueRequest {
        owner: owner.to_owned(),
        ..token_request("credd")
    }
}

/// Every page of a list; each but the last has so many.
async fn pages(
    directory: &Directory,
    of: v1::ListBindingsRequest,
    size: usize,
) -> Vec<v1::Binding> {
    let mut all = Vec::new();
    let mut request = of;
    loop {
        let page = directory.clone().list_bindings(request.clone()).await;
        let page = page.unwrap().into_inner();
        let is_last = page.next_page_token.is_empty();
        assert!(
            page.bindings.len() == size || is_last,
            "{}",
            page.bindings.len()
        );
        assert!(page.bindings.len() <= size);
        all.extend(page.bindings);
        request.page_token = page.next_page_token;
        if is_last {
            return all;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_bindings_are_listed_in_pages() {
    const CONFIGURED: usize = 2000;
    const STORED: usize = 200;

    let name = |n: usize| format!("dns:host-{n:04}.example");
    let data = tempfile::tempdir().unwrap();
    let mut config = config(data.path());
    let mut configured = everything_to("credd:admin");
    let bindings = (0..CONFIGURED).map(|n| bound(&name(n), Role::VERIFIER));
    configured.bindings.extend(bindings);
    config.configured = configured;
    let server = Server::start_with(data, config).await;
    for n in 0..STORED {
        // Some of them are configured too.
        let principal = name(CONFIGURED - STORED / 2 + n);
        server.admin.bind(&principal, Role::VERIFIER, "*").await;
        if n % 4 == 0 {
            server.admin.bind(&principal, Role::VERIFIER, "acme").await;
        }
    }
    let directory = &server.admin.directory;
    let of = |binding: &v1::Binding| {
        let v1::Binding {
            principal,
            role,
            tenant,
            ..
        } = binding.clone();
        (tenant, principal, role)
    };
    let everywhere = CONFIGURED + STORED / 2;
    let (on_acme, admin) = (STORED / 4, 2);
    let mut lists = Vec::new();
    for (asked, size) in [(0, 50), (7, 7), (1000, 1000), (i32::MAX, 1000)] {
        let request = v1::ListBindingsRequest {
            page_size: asked,
            ..Default::default()
        };
        let list = pages(directory, request, size).await;
        let names: BTreeSet<_> = list.iter().map(of).collect();
        assert_eq!(names.len(), list.len(), "one is listed twice");
        assert_eq!(list.len(), everywhere + on_acme + admin);
        lists.push(list);
    }
    assert!(lists.iter().all(|list| *list == lists[0]));

    let filtered = |tenant: &str, principal: &str| v1::ListBindingsRequest {
        tenant: tenant.to_owned(),
        principal: principal.to_owned(),
        page_size: 3,
        ..Default::default()
    };
    let list = pages(directory, filtered("acme", ""), 3).await;
    assert_eq!(list.len(), on_acme);
    assert!(
        list.iter()
            .all(|one| one.tenant == "acme" && !one.configured)
    );
    let both = name(CONFIGURED);
    let list = pages(directory, filtered("", &both), 3).await;
    assert!(list.iter().all(|one| one.principal == both));
    assert_eq!(list.len(), 2);
    assert_eq!(pages(directory, filtered("*", &both), 3).await.len(), 1);
    assert!(pages(directory, filtered("globex", ""), 3).await.is_empty());
    assert!(
        pages(directory, filtered("*", "dns:host"), 3)
            .await
            .is_empty()
    );

    // A page goes on where it was, whatever was deleted; and of no other list.
    let first = directory.clone().list_bindings(filtered("acme", "")).await;
    let first = first.unwrap().into_inner();
    for binding in &first.bindings {
        let gone = delete(&binding.principal, &binding.role, &binding.tenant);
        delete_binding(directory, gone).await.unwrap();
    }
    let next = with!(
        filtered("acme", ""),
        page_token = first.next_page_token.clone()
    );
    assert_eq!(pages(directory, next, 3).await.len(), on_acme - 3);
    for other in [filtered("", ""), filtered("*", ""), filtered("acme", &both)] {
        let request = with!(other, page_token = first.next_page_token.clone());
        let answer = directory.clone().list_bindings(request).await;
        is_refused(answer, Code::InvalidArgument, "INVALID_FIELDS");
    }
    server.stop().await;
}
