//! The life of credentials.

use serde_json::json;

use crate::{World, fed, text};

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_lives_its_whole_life() {
    let world = World::start().await;
    let (id, token) = world.issue("nightly build");

    let page = world.ok(&["get", &id]);
    for line in [
        "Label:        nightly build",
        "State:        active",
        "Owner:        jo",
    ] {
        assert!(page.contains(line), "{line}: {page}");
    }
    let listed = world.ok(&["list", "--tenant", "acme", "--output", "name"]);
    assert_eq!(listed, format!("{id}\n"));

    let verify = ["verify", "--tenant", "acme"];
    let verdict = |expected: &str, code| {
        let ran = fed(world.command(&verify), &format!("{token}\n"));
        assert_eq!(ran.code, code, "{ran:?}");
        assert!(ran.out.contains(expected), "{ran:?}");
        assert!(!ran.out.contains(&token) && !ran.err.contains(&token));
    };
    verdict("ACTIVE", 0);

    let locked = world.ok(&["lock", &id, "--reason", "in a log", "--fence"]);
    assert!(locked.starts_with(&format!("locked {id}\n")), "{locked}");
    assert!(
        locked.contains("fenced: acknowledged by 0 sessions"),
        "{locked}"
    );
    verdict("LOCKED", 3);
    assert_eq!(world.ok(&["unlock", &id]), format!("unlocked {id}\n"));
    verdict("ACTIVE", 0);

    let updated = world.json(&["update", &id, "--label", "weekly", "--attribute", "a=b"]);
    assert_eq!(updated["credential"]["label"], "weekly");
    assert_eq!(updated["credential"]["attributes"], json!({"a": "b"}));
    let cleared = world.json(&["update", &id, "--clear", "attributes", "--expires", "30d"]);
    assert_eq!(cleared["credential"].get("attributes"), None);
    assert_eq!(cleared["credential"]["label"], "weekly");
    assert!(cleared["credential"]["expiresAt"].is_string(), "{cleared}");

    let rotated = world.ok(&["rotate", &id, "--output", "secret"]);
    assert_ne!(rotated.trim_end(), token);
    verdict("INVALID", 3);

    let tried = world.ok(&["revoke", &id, "--dry-run"]);
    assert_eq!(tried, format!("would revoke {id}; nothing was changed\n"));
    assert_eq!(
        world.ok(&["revoke", &id, "--output", "name"]),
        format!("{id}\n")
    );
    assert_eq!(
        world.ok(&["list", "--tenant", "acme", "--output", "name"]),
        ""
    );
    let states = [
        "list", "--state", "revoked", "--state", "locked", "--output", "name",
    ];
    assert_eq!(world.ok(&states), format!("{id}\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_sent_again_is_answered_as_the_first_time() {
    let world = World::start().await;
    let issue = |label| {
        let id = "5c0a2d1e-6d5b-4d1f-9c39-2f6e6c0f8a11";
        let issue = [
            "issue",
            "--tenant",
            "acme",
            "--owner",
            "jo",
            "--request-id",
            id,
        ];
        world.run(&[&issue[..], &["--label", label, "--output", "secret"]].concat())
    };
    let first = issue("a");
    assert_eq!(first.code, 0, "{first:?}");
    assert_eq!(issue("a").out, first.out);
    let other = issue("b");
    assert_eq!(other.code, 7);
    assert!(other.err.contains("[REQUEST_ID_REUSED]"), "{other:?}");
    assert_eq!(
        world
            .ok(&["list", "--tenant", "acme", "--output", "name"])
            .lines()
            .count(),
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_to_what_somebody_else_has_changed_is_refused() {
    let world = World::start().await;
    let (id, _) = world.issue("a");
    let page = world.ok(&["get", &id]);
    let line = page
        .lines()
        .find(|line| line.starts_with("Revision:"))
        .unwrap();
    let revision = line.split_whitespace().last().unwrap();
    let lock = ["lock", &id, "--expected-revision", revision];
    world.ok(&["update", &id, "--label", "b"]);
    let ran = world.run(&lock);
    assert_eq!(ran.code, 7, "{ran:?}");
    assert!(ran.err.contains("[REVISION_MISMATCH]"), "{ran:?}");
    let page = world.ok(&["get", &id]);
    let line = page
        .lines()
        .find(|line| line.starts_with("Revision:"))
        .unwrap();
    let revision = line.split_whitespace().last().unwrap();
    world.ok(&["lock", &id, "--expected-revision", revision]);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_are_denied_only_by_who_says_so() {
    let world = World::start().await;
    for label in ["a", "b", "c"] {
        world.issue(label);
    }
    let lock = ["lock", "--tenant", "acme", "--label-prefix"];
    let asked = world.run(&[&lock[..], &["a"]].concat());
    assert_eq!(asked.code, 2);
    assert!(asked.err.contains("lock 1 credential?"), "{asked:?}");
    assert!(asked.err.contains("--yes"), "{asked:?}");
    let tried = world.ok(&[&lock[..], &["a", "--dry-run"]].concat());
    assert!(tried.contains("would lock 1 credential of 1"), "{tried}");
    let states = || world.ok(&["list", "--state", "locked", "--output", "name"]);
    assert_eq!(states(), "");
    let locked = world.ok(&[&lock[..], &["a", "--yes"]].concat());
    assert!(
        locked.contains("locked 1 credential of 1 that match"),
        "{locked}"
    );
    assert_eq!(states().lines().count(), 1);
    let none = world.run(&["revoke"]);
    assert_eq!(none.code, 2);
    assert!(none.err.contains("it is not said which"), "{none:?}");

    // By their ids, as another command prints them.
    let ids = world.ok(&[
        "list", "--tenant", "acme", "--state", "active", "--output", "name",
    ]);
    let ids: Vec<_> = ids.lines().collect();
    let unknown = "01930000-0000-7000-8000-000000000000";
    let ran = world.run(&["revoke", ids[0], unknown, ids[1]]);
    assert_eq!(ran.code, 4, "{ran:?}");
    assert_eq!(ran.out.lines().count(), 2, "{ran:?}");
    assert!(ran.err.contains(&format!("error: {unknown}: ")), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_followed_over_all_its_pages_and_sorted_and_narrowed() {
    let world = World::start().await;
    let items: Vec<_> = (0..520)
        .map(|number| {
            json!({
                "owner": format!("owner-{}", number % 2), "profile": "api-token",
                "label": format!("label-{number}"), "plain": format!("secret-of-{number:020}"),
                "entropyBits": 128,
            })
        })
        .collect();
    let file = world.file("import.json");
    std::fs::write(&file, serde_json::to_string(&items).unwrap()).unwrap();
    let import = [
        "import-credentials",
        "--tenant",
        "acme",
        "--file",
        file.to_str().unwrap(),
    ];
    let imported = world.run(&import);
    assert_eq!(imported.out, "imported 520 credentials\n", "{imported:?}");
    assert_eq!(imported.err, "", "a bar is nothing for a pipe");

    let count = |arguments: &[&str]| {
        let all = [&["list", "--tenant", "acme", "--output", "name"], arguments].concat();
        world.ok(&all).lines().count()
    };
    assert_eq!(count(&[]), 520);
    assert_eq!(count(&["--owner", "owner-1"]), 260);
    assert_eq!(count(&["--limit", "501"]), 501);
    assert_eq!(count(&["--label-prefix", "label-51"]), 11);
    assert_eq!(count(&["--kind", "basic"]), 0);
    assert_eq!(count(&["--expiring-before", "30d"]), 0);
    let cut = world.run(&["list", "--tenant", "acme", "--limit", "2", "--total"]);
    assert!(cut.err.contains("520 in all"), "{cut:?}");
    assert!(cut.err.contains("more follow"), "{cut:?}");

    let soon = world.json(&["list", "--tenant", "acme", "--limit", "1"]);
    let id = text(&soon[0]["id"]);
    world.ok(&["update", &id, "--expires", "7d"]);
    assert_eq!(count(&["--expiring-before", "30d"]), 1);
    let sorted = world.json(&[
        "list", "--tenant", "acme", "--sort", "expiry", "--limit", "1",
    ]);
    assert_eq!(sorted[0]["id"], id.as_str());
}
