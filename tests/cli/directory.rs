//! Tenants, owners, roles, profiles and bindings.

use std::fs;

use serde_json::json;

use crate::{World, fed};

#[tokio::test(flavor = "multi_thread")]
async fn tenants_are_put_disabled_enabled_and_deleted() {
    let world = World::start().await;
    let put = ["tenant", "put", "acme", "--display-name", "Acme & Co"];
    assert_eq!(world.ok(&put), "put the tenant acme\n");
    let (_, token) = world.issue("a");
    assert!(
        world
            .ok(&["tenant", "get", "acme"])
            .contains("Display name:  Acme & Co")
    );
    let asked = world.run(&["tenant", "disable", "acme"]);
    assert_eq!(asked.code, 2, "{asked:?}");
    assert!(
        asked
            .err
            .contains("disable the tenant acme, with 1 credential?"),
        "{asked:?}"
    );
    let disabled = world.ok(&["tenant", "disable", "acme", "--yes", "--fence"]);
    assert!(
        disabled.starts_with("disabled the tenant acme\nfenced"),
        "{disabled}"
    );
    let verify = world.command(&["verify", "--tenant", "acme"]);
    let verdict = fed(verify, &token);
    assert!(verdict.out.contains("TENANT_DISABLED"), "{verdict:?}");
    let list = world.ok(&["tenant", "list"]);
    let row = list.lines().find(|line| line.starts_with("acme")).unwrap();
    assert_eq!(row, "acme   disabled  Acme & Co");
    assert_eq!(
        world.ok(&["tenant", "enable", "acme"]),
        "enabled the tenant acme\n"
    );
    let refused = world.run(&["tenant", "delete", "acme", "--yes"]);
    assert_eq!(refused.code, 7);
    assert!(refused.err.contains("[TENANT_IN_USE]"), "{refused:?}");
    world.ok(&["tenant", "put", "empty"]);
    assert_eq!(world.run(&["tenant", "delete", "empty"]).code, 2);
    assert_eq!(
        world.ok(&["tenant", "delete", "empty", "-y"]),
        "deleted the tenant empty\n"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn owners_have_roles_and_groups() {
    let world = World::start().await;
    let role = [
        "role",
        "put",
        "importer",
        "--tenant",
        "acme",
        "--permission",
    ];
    let put = world.ok(&[&role[..], &["feeds:read", "--permission", "feeds:write"]].concat());
    assert_eq!(put, "put the role importer of acme\n");
    assert!(
        world
            .ok(&["role", "get", "importer", "--tenant", "acme"])
            .contains("feeds:write")
    );
    let owner = [
        "owner", "put", "jo", "--tenant", "acme", "--role", "importer",
    ];
    let groups = [
        "--group",
        "first",
        "--group",
        "second",
        "--principal",
        "dns:jo.example",
    ];
    world.ok(&[&owner[..], &groups].concat());
    let (_, token) = world.issue("a");
    let verify = ["verify", "--tenant", "acme", "--permission"];
    let verdict = |permission| {
        let command = world.command(&[&verify[..], &[permission]].concat());
        fed(command, &token)
    };
    let good = verdict("feeds:read");
    assert_eq!(good.code, 0, "{good:?}");
    assert!(
        good.out
            .contains("Permissions:     feeds:read, feeds:write"),
        "{good:?}"
    );
    assert!(good.out.contains("Default source:  first"), "{good:?}");
    assert!(verdict("feeds:delete").out.contains("FORBIDDEN"));

    let set = [
        "owner",
        "set-source",
        "jo",
        "--tenant",
        "acme",
        "--source",
        "second",
    ];
    assert!(world.ok(&set).contains("Default source:  second (chosen)"));
    let get = world.json(&["owner", "get", "jo", "--tenant", "acme"]);
    assert_eq!(get["groups"], json!(["first", "second"]));
    assert_eq!(
        world.ok(&["owner", "list", "--tenant", "acme", "--output", "name"]),
        "jo\n"
    );
    let disable = ["owner", "disable", "jo", "--tenant", "acme"];
    let asked = world.run(&disable);
    assert_eq!(asked.code, 2, "{asked:?}");
    assert!(
        asked
            .err
            .contains("disable the owner jo of acme, with 1 credential?"),
        "{asked:?}"
    );
    assert_eq!(verdict("feeds:read").code, 0);
    let disabled = world.ok(&[&disable[..], &["--yes"]].concat());
    assert_eq!(disabled, "disabled the owner jo of acme\n");
    assert!(verdict("feeds:read").out.contains("OWNER_DISABLED"));
    world.ok(&["owner", "enable", "jo", "--tenant", "acme"]);
    assert_eq!(verdict("feeds:read").code, 0);
    let in_use = world.run(&["role", "delete", "importer", "--tenant", "acme"]);
    assert_eq!(in_use.code, 7, "{in_use:?}");
    let used = world.run(&["owner", "delete", "jo", "--tenant", "acme", "--yes"]);
    assert!(used.err.contains("[OWNER_IN_USE]"), "{used:?}");
    world.ok(&["owner", "put", "idle", "--tenant", "acme"]);
    world.ok(&["owner", "delete", "idle", "--tenant", "acme", "--yes"]);
    world.ok(&[
        "role",
        "put",
        "idle",
        "--tenant",
        "acme",
        "--permission",
        "a:b",
    ]);
    world.ok(&["role", "delete", "idle", "--tenant", "acme"]);
    let roles = world.ok(&["role", "list", "--tenant", "acme", "--output", "name"]);
    assert_eq!(roles, "auditor\nfull-access\nimporter\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_is_put_as_it_is_shown() {
    let world = World::start().await;
    let path = world.file("profile.yaml");
    let file = path.to_str().unwrap();
    let yaml = "\
tenant: acme
name: partner-key
display_name: Partner key
kind: CREDENTIAL_KIND_API_TOKEN
headers:
  - {name: X-Partner-Key, bare: true}
visibility: SECRET_VISIBILITY_ONCE
expiry: {default_period: P90D, max_period: P1Y}
multiplicity: MULTIPLICITY_ONE_REPLACE
";
    fs::write(&path, yaml).unwrap();
    let put = world.ok(&["profile", "put", "--file", file]);
    assert_eq!(put, "put version 1 of the profile partner-key\n");
    let page = world.ok(&["profile", "get", "partner-key", "--tenant", "acme"]);
    assert!(page.contains("default P90D, at most P1Y"), "{page}");
    for (before, form) in [("Partner key", "yaml"), ("yaml", "json")] {
        let get = [
            "profile",
            "get",
            "partner-key",
            "--tenant",
            "acme",
            "--output",
            form,
        ];
        let shown = world.ok(&get).replace(before, form);
        let put = fed(world.command(&["profile", "put", "--file", "-"]), &shown);
        assert_eq!(put.code, 0, "{put:?}");
    }
    let shown = world.json(&["profile", "get", "partner-key", "--tenant", "acme"]);
    assert_eq!(
        (&shown["displayName"], &shown["version"]),
        (&json!("json"), &json!(3))
    );
    fs::write(&path, yaml.replace("display_name", "displayname")).unwrap();
    let wrong = world.run(&["profile", "put", "--file", file]);
    assert_eq!(wrong.code, 2);
    assert!(wrong.err.contains("displayname"), "{wrong:?}");
    let list = world.ok(&["profile", "list", "--tenant", "acme", "--output", "name"]);
    assert!(list.ends_with("trend-micro\npartner-key\n"), "{list}");
    let delete = ["profile", "delete", "partner-key", "--tenant", "acme"];
    assert_eq!(world.ok(&delete), "deleted the profile partner-key\n");
    assert_eq!(
        world
            .run(&["profile", "get", "partner-key", "--tenant", "acme"])
            .code,
        4
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn bindings_say_what_callers_may_do() {
    let world = World::start().await;
    let gateway = ["credd:gateway", "verifier", "--tenant", "acme"];
    let put = world.ok(&[&["binding", "put"][..], &gateway].concat());
    assert_eq!(put, "bound credd:gateway as verifier on acme\n");
    let got = world.json(&[&["binding", "get"][..], &gateway].concat());
    assert_eq!(got["principal"], "credd:gateway");
    let list = world.ok(&["binding", "list", "--principal", "credd:gateway"]);
    let expected = "\
PRINCIPAL      ROLE      TENANT  CONFIGURED
credd:gateway  verifier  acme    no
";
    assert_eq!(list, expected);

    let issue = [
        "issue", "--tenant", "credd", "--owner", "gateway", "--label", "x",
    ];
    let token = world.ok(&[&issue[..], &["--output", "secret"]].concat());
    let verify = |tenant: &str, secret: &str| {
        let mut verify = world.stranger(&["verify", "--tenant", tenant]);
        verify.env("CREDD_TOKEN", token.trim_end());
        fed(verify, secret)
    };
    let (_, secret) = world.issue("a");
    assert_eq!(verify("acme", &secret).code, 0);
    assert_eq!(verify("globex", &secret).code, 3);
    let unbound = world.ok(&[&["binding", "delete"][..], &gateway].concat());
    assert_eq!(unbound, "unbound credd:gateway as verifier on acme\n");
    let refused = verify("acme", &secret);
    assert_eq!(refused.code, 5, "{refused:?}");
    assert!(refused.err.contains("[PERMISSION_MISSING]"), "{refused:?}");
}
