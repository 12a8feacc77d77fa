//! `credd admin recover`: an administrator where nobody is one any more.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;

use credd::proto::v1;
use support::program::{Ended, Program, credd, serve};
use support::{Client, read_token};

fn recover(data_dir: &Path) -> Ended {
    let mut command: Command = credd(&[]);
    command.args(["admin", "recover", "--disk-reserve-mib", "16", "--data-dir"]);
    command.arg(data_dir);
    Program::start(command).end()
}

/// Who administers credd on all tenants.
async fn administrators(client: &Client) -> Vec<String> {
    let request = v1::ListBindingsRequest {
        tenant: "*".to_owned(),
        ..Default::default()
    };
    let bindings = client.directory.clone().list_bindings(request).await;
    let bindings = bindings.unwrap().into_inner().bindings;
    let named = bindings
        .into_iter()
        .filter(|one| one.role == "administrator");
    named.map(|one| one.principal).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_is_made_while_no_server_runs() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let (server, address) = Program::serve(serve(&[], path));
    let first = read_token(path);
    let admin = Client::connect(address, &first).await;
    let (kept, _) = admin.issue_token("acme").await;

    let Ended { status, output } = recover(path);
    assert_eq!(status.code(), Some(1), "{output}");
    assert!(output.contains("in use by another process"), "{output}");
    assert_eq!(read_token(path), first);
    assert!(server.terminate().status.success());

    fs::remove_file(path.join("admin.token")).unwrap();
    let Ended { status, output } = recover(path);
    assert!(status.success(), "{output}");
    let second = read_token(path);
    assert_ne!(second, first);
    assert!(!output.contains(&second), "the token is in the file alone");
    let mode = fs::metadata(path.join("admin.token")).unwrap().mode();
    assert_eq!(mode & 0o777, 0o600);

    let (server, address) = Program::serve(serve(&[], path));
    let recovered = Client::connect(address, &second).await;
    assert_eq!(recovered.get(&kept).await.unwrap().id, kept);
    assert_eq!(administrators(&recovered).await, ["credd:admin"]);
    assert!(server.terminate().status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_is_disabled_is_passed_over() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let (server, address) = Program::serve(serve(&[], path));
    let admin = Client::connect(address, &read_token(path)).await;
    admin.bind("credd:other", "administrator", "*").await;
    let (_, other) = admin.issue_caller_of("other").await;
    let other = Client::connect(address, &other).await;
    let disable = v1::DisableOwnerRequest {
        tenant: "credd".to_owned(),
        name: "admin".to_owned(),
        ..Default::default()
    };
    other
        .directory
        .clone()
        .disable_owner(disable)
        .await
        .unwrap();
    assert!(server.terminate().status.success());

    assert!(recover(path).status.success());
    let (server, address) = Program::serve(serve(&[], path));
    let recovered = Client::connect(address, &read_token(path)).await;
    let administrators = administrators(&recovered).await;
    assert_eq!(
        administrators,
        ["credd:admin", "credd:admin-2", "credd:other"]
    );
    assert!(server.terminate().status.success());
}

#[test]
fn without_a_store_there_is_nothing_to_recover() {
    let directory = tempfile::tempdir().unwrap();
    let Ended { status, output } = recover(&directory.path().join("nothing"));
    assert_eq!(status.code(), Some(1), "{output}");
    assert!(output.contains("there is no store"), "{output}");
    assert!(!directory.path().join("nothing").exists());
}
