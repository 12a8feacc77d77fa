//! From one data directory to another.

use std::fs;
use std::path::Path;

use credd::proto::v1;

use crate::contents::{self, status};
use crate::place::Place;

#[tokio::test(flavor = "multi_thread")]
async fn an_export_is_imported_with_all_that_there_was_and_nobody_serves_where_it_was() {
    let place = Place::new();
    let from = place.embedded("from");
    let server = from.serve();
    let token = from.token();
    let contents = contents::make(&server.client(&token).await).await;
    let before = status(server.address, &token).await;
    let file = place.path("export");
    let busy = from.refused("export", &["--to", file.to_str().unwrap()]);
    assert!(busy.contains("in use by another process"), "{busy}");
    assert!(!file.exists());
    server.stop();

    from.export(&file);
    for said in [from.not_served(), from.refused("admin recover", &[])] {
        assert!(said.contains("the store was exported"), "{said}");
    }
    let to = place.embedded("to");
    let wrong = to.refused(
        "restore",
        &[
            "--from",
            file.to_str().unwrap(),
            "--accept-lost-revocations",
        ],
    );
    assert!(wrong.contains("`credd import` takes it"), "{wrong}");
    to.import(&file);
    assert_eq!(to.names(), ["store"]);

    let upgraded = to.done("store upgrade", &[]);
    assert!(upgraded.contains("in the newest format"), "{upgraded}");
    let server = to.serve();
    let admin = server.client(&token).await;
    contents.assert_moved(&admin).await;
    let after = status(server.address, &token).await;
    assert_ne!(after.store_id, before.store_id);
    let versions = |status: v1::GetStatusResponse| {
        let peppers = status.keyring.unwrap().peppers.into_iter();
        peppers
            .map(|pepper| (pepper.version, pepper.state))
            .collect::<Vec<_>>()
    };
    assert_eq!(versions(after), versions(before));
    let request = v1::WatchRequest {
        resume_token: contents.resume_token.clone(),
        ..Default::default()
    };
    let mut stream = admin.watch(request).await.unwrap();
    let first = stream.message().await.unwrap().unwrap();
    let Some(v1::watch_response::Message::Reset(reset)) = first.message else {
        panic!("{first:?}");
    };
    assert_eq!(reset.reason(), v1::ResetReason::OtherStore);
    drop(stream);
    server.stop();

    let full = to.refused("import", &["--from", file.to_str().unwrap()]);
    assert!(full.contains("store is there"), "{full}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_byte_is_found_before_anything_is_written() {
    let place = Place::new();
    let from = place.embedded("from");
    let server = from.serve();
    let contents = contents::make(&server.client(&from.token()).await).await;
    server.stop();
    let file = place.path("export");
    from.export(&file);
    let bytes = fs::read(&file).unwrap();
    let to = place.embedded("to");
    let bad = place.path("bad");
    for at in (0..8).map(|part| bytes.len() * part / 8 + 16) {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1;
        fs::write(&bad, bytes).unwrap();
        let said = to.refused("import", &["--from", bad.to_str().unwrap()]);
        assert!(said.contains("at byte"), "{said}");
        assert!(to.names().is_empty());
    }
    to.import(&file);
    let server = to.serve();
    contents
        .assert_moved(&server.client(&from.token()).await)
        .await;
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_can_be_repeated_and_taken_back() {
    let place = Place::new();
    let from = place.embedded("from");
    let server = from.serve();
    let token = from.token();
    let contents = contents::make(&server.client(&token).await).await;
    let backup = contents::backup(server.address, &token).await;
    server.stop();

    let open = from.refused("export", &["--take-back"]);
    assert!(open.contains("was not exported"), "{open}");
    let nowhere = place.path("nowhere").join("export");
    let failed = from.refused("export", &["--to", nowhere.to_str().unwrap()]);
    assert!(failed.contains("nowhere"), "{failed}");
    // What failed has closed nothing.
    from.serve().stop();

    let (first, second) = (place.path("first"), place.path("second"));
    from.export(&first);
    let there = from.refused("export", &["--to", first.to_str().unwrap()]);
    assert!(there.contains("exists"), "{there}");
    from.export(&second);
    assert!(!place.path("second.partial").exists());
    from.done("export", &["--take-back"]);
    let server = from.serve();
    contents.assert_there(&server.client(&token).await).await;
    server.stop();

    let file = place.path("backup");
    fs::write(&file, backup).unwrap();
    let to = place.embedded("to");
    let wrong = to.refused("import", &["--from", file.to_str().unwrap()]);
    assert!(wrong.contains("`credd restore` takes it"), "{wrong}");
    assert!(to.names().is_empty());
    to.import(&second);
    let server = to.serve();
    contents.assert_there(&server.client(&token).await).await;
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_of_which_is_not_known_what_was_revoked_is_not_exported() {
    let place = Place::new();
    let from = place.embedded("from");
    let server = from.serve();
    let backup = contents::backup(server.address, &from.token()).await;
    server.stop();
    let file = place.path("backup");
    fs::write(&file, backup).unwrap();
    let restored = place.embedded("restored");
    restored.done("restore", &["--from", file.to_str().unwrap()]);
    let export = place.path("export");
    let said = restored.refused("export", &["--to", export.to_str().unwrap()]);
    assert!(said.contains("was restored, and not settled"), "{said}");
    assert!(!export.exists());
    restored.done("restore", &["--accept-lost-revocations"]);
    restored.export(&export);
    let to = place.embedded("to");
    to.import(&export);
    to.serve().stop();
}

/// What was revoked after the move stands in the lines of the other store.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_from_before_a_move_is_not_settled_by_the_lines_of_then() {
    let place = Place::new();
    let from = place.embedded("from");
    let lines = place.path("audit.jsonl");
    let server = from.serve_copying(&lines);
    let backup = contents::backup(server.address, &from.token()).await;
    let admin = server.client(&from.token()).await;
    let (id, _) = admin.issue_token("acme").await;
    admin.revoke(&id).await.unwrap();
    server.stop();
    let file = place.path("backup");
    fs::write(&file, backup).unwrap();
    let (backup, given) = (file.to_str().unwrap(), lines.to_str().unwrap());
    let settled = ["--from", backup, "--revocations", given];

    from.export(&place.path("given-up"));
    from.done("export", &["--take-back"]);
    from.serve_copying(&lines).stop();
    place.embedded("taken-back").done("restore", &settled);

    from.export(&place.path("export"));
    // A server copies what it finds, and here none starts any more: the line is that of
    // the store where it was imported.
    let to = place.embedded("to");
    to.import(&place.path("export"));
    let moved = place.path("moved.jsonl");
    to.serve_copying(&moved).stop();
    let store = from_line(&lines);
    let text = fs::read_to_string(&moved).unwrap();
    let all = text.replace(&from_line(&moved), &store);
    fs::write(&lines, all).unwrap();
    for more in [&[][..], &["--accept-lost-revocations"]] {
        let again = place.embedded(&format!("again-{}", more.len()));
        let said = again.refused("restore", &[&settled[..], more].concat());
        assert!(said.contains("was exported after the backup"), "{said}");
        assert!(again.names().is_empty());
    }
}

/// The id of the store that a line of an audit log is of.
fn from_line(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let line: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    line["store"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_import_that_was_cut_short_left_is_not_served_and_makes_way() {
    let place = Place::new();
    let from = place.embedded("from");
    let server = from.serve();
    let token = from.token();
    let contents = contents::make(&server.client(&token).await).await;
    server.stop();
    let file = place.path("export");
    from.export(&file);
    let to = place.embedded("to");
    fs::write(to.directory.join("RESTORING"), "").unwrap();
    fs::create_dir(to.directory.join("store")).unwrap();
    fs::write(to.directory.join("store").join("half"), "of a store").unwrap();
    let said = to.not_served();
    assert!(said.contains("was cut short"), "{said}");
    to.import(&file);
    assert_eq!(to.names(), ["store"]);
    let server = to.serve();
    contents.assert_moved(&server.client(&token).await).await;
    server.stop();
}
