//! What was denied after a backup is denied in what is restored from it, once the
//! lines of the audit log were given; and nobody is answered before.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use credd::proto::v1;
use tonic::Code;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};

use crate::calls::{put_owner, put_role, reason, refused as refusal};
use crate::place::{Place, Running, refused, restored};
use crate::support::program::{Program, credd, wait_for};
use crate::support::{Client, channel, read_token, token_of, token_request};

/// A token of an owner in acme: its id, and its text.
async fn issue(client: &Client, owner: &str) -> (String, String) {
    let request = v1::IssueRequest {
        owner: owner.to_owned(),
        ..token_request("acme")
    };
    let issued = client.issue(request).await.unwrap();
    (issued.credential.unwrap().id, token_of(issued.secret))
}

fn owner(name: &str, roles: &[&str]) -> v1::PutOwnerRequest {
    v1::PutOwnerRequest {
        tenant: "acme".to_owned(),
        name: name.to_owned(),
        roles: roles.iter().map(ToString::to_string).collect(),
        ..Default::default()
    }
}

async fn update(client: &Client, id: &str, paths: &[&str], request: v1::UpdateRequest) {
    let request = v1::UpdateRequest {
        credential_id: id.to_owned(),
        update_mask: Some(prost_types::FieldMask {
            paths: paths.iter().map(ToString::to_string).collect(),
        }),
        ..request
    };
    client.credentials.clone().update(request).await.unwrap();
}

/// The verdict on a token of which a permission is needed.
async fn may_read(client: &Client, token: &str) -> v1::Verdict {
    let request = v1::VerifyRequest {
        permissions: vec!["feeds:read".to_owned()],
        ..crate::support::verify_token_request(token)
    };
    let answer = client.verification.clone().verify(request).await.unwrap();
    answer.into_inner().verdict()
}

/// What there is when the backup is made.
struct Before {
    revoked: (String, String),
    locked: (String, String),
    unlocked: (String, String),
    rotated: (String, String),
    updated: (String, String),
    renamed: (String, String),
    leaked: (String, String),
    of_disabled: (String, String),
    of_narrowed: (String, String),
    of_same: (String, String),
    of_reader: (String, String),
    kept: (String, String),
    replaced: (String, String),
    caller: String,
}

impl Before {
    async fn make(client: &Client) -> Self {
        put_role(client, "acme", "reader", &["feeds:read", "feeds:write"]).await;
        put_role(client, "acme", "writer", &["alerts:write"]).await;
        for name in ["narrowed", "same"] {
            put_owner(client, owner(name, &["reader", "writer"])).await;
        }
        put_owner(client, owner("reader", &["reader"])).await;
        client.bind("credd:caller", "verifier", "*").await;
        let (_, caller) = client.issue_caller_of("caller").await;
        let replaced = v1::IssueRequest {
            profile: "tenable-io".to_owned(),
            owner: "solo".to_owned(),
            ..token_request("acme")
        };
        let replaced = client.issue(replaced).await.unwrap();
        Self {
            revoked: issue(client, "a").await,
            locked: issue(client, "a").await,
            unlocked: issue(client, "a").await,
            rotated: issue(client, "a").await,
            updated: issue(client, "a").await,
            renamed: issue(client, "a").await,
            leaked: issue(client, "a").await,
            of_disabled: issue(client, "disabled").await,
            of_narrowed: issue(client, "narrowed").await,
            of_same: issue(client, "same").await,
            of_reader: issue(client, "reader").await,
            kept: issue(client, "a").await,
            replaced: (replaced.credential.unwrap().id, String::new()),
            caller,
        }
    }

    /// Changes all of it.
    async fn change(&self, client: &Client) {
        client.revoke(&self.revoked.0).await.unwrap();
        client.lock(&self.locked.0).await.unwrap();
        client.lock(&self.unlocked.0).await.unwrap();
        client.unlock(&self.unlocked.0).await.unwrap();
        let rotate = v1::RotateRequest {
            credential_id: self.rotated.0.clone(),
            ..Default::default()
        };
        client
            .credentials
            .clone()
            .rotate(rotate)
            .await
            .map(drop)
            .unwrap();
        let expiry = v1::UpdateRequest {
            expiry: Some(v1::update_request::Expiry::Ttl(prost_types::Duration {
                seconds: 3600,
                nanos: 0,
            })),
            ..Default::default()
        };
        update(client, &self.updated.0, &["expiry"], expiry).await;
        let label = v1::UpdateRequest {
            label: "another".to_owned(),
            ..Default::default()
        };
        update(client, &self.renamed.0, &["label"], label).await;
        let leak = v1::ReportLeakRequest {
            secrets: vec![self.leaked.1.clone()],
            ..Default::default()
        };
        client.credentials.clone().report_leak(leak).await.unwrap();
        let mut directory = client.directory.clone();
        let disable = v1::DisableOwnerRequest {
            tenant: "acme".to_owned(),
            name: "disabled".to_owned(),
            ..Default::default()
        };
        directory.disable_owner(disable).await.unwrap();
        put_owner(client, owner("narrowed", &["writer"])).await;
        let renamed = v1::PutOwnerRequest {
            display_name: "The Same".to_owned(),
            ..owner("same", &["reader", "writer"])
        };
        put_owner(client, renamed).await;
        put_role(client, "acme", "reader", &["feeds:write"]).await;
        let unbind = v1::DeleteBindingRequest {
            principal: "credd:caller".to_owned(),
            role: "verifier".to_owned(),
            tenant: "*".to_owned(),
            ..Default::default()
        };
        directory.delete_binding(unbind).await.unwrap();
        let replace = v1::IssueRequest {
            profile: "tenable-io".to_owned(),
            owner: "solo".to_owned(),
            ..token_request("acme")
        };
        client.issue(replace).await.map(drop).unwrap();
    }

    /// Sees that all of it is denied that was, and what was not is not.
    async fn check(&self, server: &Running) {
        use v1::Verdict::{Active, Forbidden, Locked, OwnerDisabled, Revoked};

        let client = &server.admin;
        for ((_, token), verdict) in [
            (&self.revoked, Revoked),
            (&self.locked, Locked),
            (&self.unlocked, Locked),
            (&self.rotated, Locked),
            (&self.updated, Locked),
            (&self.renamed, Active),
            (&self.leaked, Locked),
            (&self.of_disabled, OwnerDisabled),
            (&self.of_narrowed, OwnerDisabled),
            (&self.of_same, Active),
            (&self.of_reader, Active),
            (&self.kept, Active),
        ] {
            assert_eq!(client.verdict(token).await, verdict);
        }
        assert_eq!(may_read(client, &self.of_reader.1).await, Forbidden);
        let replaced = client.get(&self.replaced.0).await.unwrap();
        assert_eq!(replaced.state(), v1::CredentialState::Revoked);
        let caller = Client::connect(server.address, &self.caller).await;
        let denied = caller.verify_token(&self.kept.1).await.unwrap_err();
        assert_eq!(denied.code(), Code::PermissionDenied);

        // A new secret is good: it is the old ones that are not.
        let rotate = v1::RotateRequest {
            credential_id: self.leaked.0.clone(),
            ..Default::default()
        };
        let rotated = client.credentials.clone().rotate(rotate).await;
        let rotated = token_of(rotated.unwrap().into_inner().secret);
        assert_eq!(client.verdict(&rotated).await, Active);
    }
}

/// What an RPC is refused with by a server of a store that is not settled.
async fn unsettled(place: &Place, directory: &Path, token: &str) {
    // A port that was free a moment ago.
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let mut command = credd(&[]);
    command
        .args([
            "serve",
            "--disk-reserve-mib",
            "16",
            "--listen",
            &port.to_string(),
        ])
        .arg("--data-dir")
        .arg(directory);
    let program = Program::start(command);
    wait_for("the server to say so", || {
        program
            .output()
            .contains("nobody is answered")
            .then_some(())
    });
    let admin = Client::connect(port, &read_token(&place.data())).await;
    let refusals = [
        refusal(admin.verify_token(token).await),
        refusal(admin.list(v1::ListRequest::default()).await),
        refusal(admin.watch(v1::WatchRequest::default()).await),
    ];
    for status in refusals {
        assert_eq!(status.code(), Code::Unavailable, "{status}");
        assert_eq!(reason(&status), "RESTORED");
    }
    let mut health = HealthClient::new(channel(port).await);
    let health = health.check(HealthCheckRequest::default()).await.unwrap();
    assert_eq!(health.into_inner().status(), ServingStatus::NotServing);
    let output = refused(directory, &["--accept-lost-revocations"]);
    assert!(output.contains("in use by another process"), "{output}");
    assert!(program.terminate().status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_answered_until_the_revocations_were_given_which_deny_what_was_denied() {
    let place = Place::new();
    let server = place.serve().await;
    let before = Before::make(&server.admin).await;
    let bytes = server.backup().await;
    before.change(&server.admin).await;
    server.stop();
    let (file, lines) = (place.path("backup"), place.lines());
    fs::write(&file, bytes).unwrap();
    let (file, lines) = (file.to_str().unwrap(), lines.to_str().unwrap());

    // One after the other.
    let directory = place.fresh("later");
    let output = restored(&directory, &["--from", file]);
    assert!(output.contains("nobody is answered yet"), "{output}");
    unsettled(&place, &directory, &before.kept.1).await;
    let output = restored(&directory, &["--revocations", lines]);
    assert!(output.contains("were given"), "{output}");
    let server = place.serve_restored(&directory).await;
    before.check(&server).await;

    // All of it is told, and the log goes on.
    let request = v1::ListEventsRequest {
        filter: Some(v1::AuditFilter {
            action: "credd.restore".to_owned(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let pages = server.admin.audit.clone().list_events(request).await;
    let events = pages
        .unwrap()
        .into_inner()
        .message()
        .await
        .unwrap()
        .unwrap()
        .events;
    assert!(
        events[0]
            .details
            .starts_with("restored from a backup of store ")
    );
    let last = events.last().unwrap();
    assert!(
        last.details.contains("the revocations up to event"),
        "{}",
        last.details
    );
    let named = |id: &String| events.iter().any(|event| event.credential_ids.contains(id));
    assert!(named(&before.revoked.0) && named(&before.rotated.0));
    assert!(!named(&before.kept.0));
    let request = v1::VerifyChainRequest::default();
    let verified = server.admin.audit.clone().verify_chain(request).await;
    assert_eq!(verified.unwrap().into_inner().broken, None);

    // A backup of the restored store is restored as well.
    let again = server.backup().await;
    server.stop();
    let second = place.path("second");
    fs::write(&second, again).unwrap();
    let directory = place.fresh("again");
    let arguments = [
        "--from",
        second.to_str().unwrap(),
        "--accept-lost-revocations",
    ];
    restored(&directory, &arguments);
    let server = place.serve_restored(&directory).await;
    let verified = server
        .admin
        .audit
        .clone()
        .verify_chain(v1::VerifyChainRequest::default())
        .await;
    assert_eq!(verified.unwrap().into_inner().broken, None);
    assert_eq!(
        server.admin.verdict(&before.revoked.1).await,
        v1::Verdict::Revoked
    );
    server.stop();

    // At once.
    let directory = place.fresh("at-once");
    restored(&directory, &["--from", file, "--revocations", lines]);
    let server = place.serve_restored(&directory).await;
    before.check(&server).await;
    server.stop();

    // Given up.
    let directory = place.fresh("given-up");
    restored(&directory, &["--from", file]);
    restored(&directory, &["--accept-lost-revocations"]);
    let server = place.serve_restored(&directory).await;
    assert_eq!(
        server.admin.verdict(&before.revoked.1).await,
        v1::Verdict::Active
    );
    server.stop();
}

/// What is told of a credential that was locked, unlocked and revoked after a backup.
struct Told {
    token: String,
    /// The backup.
    file: String,
    /// The lines of the audit log.
    text: String,
}

impl Told {
    async fn after_a_backup(place: &Place) -> Self {
        let server = place.serve().await;
        let (id, token) = server.admin.issue_token("acme").await;
        let bytes = server.backup().await;
        server.admin.lock(&id).await.unwrap();
        server.admin.unlock(&id).await.unwrap();
        server.admin.revoke(&id).await.unwrap();
        server.stop();
        let file = place.path("backup");
        fs::write(&file, bytes).unwrap();
        Self {
            token,
            file: file.to_str().unwrap().to_owned(),
            text: fs::read_to_string(place.lines()).unwrap(),
        }
    }
}

/// Which line tells of an RPC.
fn line_of(text: &str, rpc: &str) -> usize {
    let is_it = |line: &str| line.contains(&format!("{rpc}\""));
    text.lines().position(is_it).unwrap()
}

/// All lines but one.
fn without(text: &str, left_out: usize) -> String {
    let kept = text.lines().enumerate().filter(|(at, _)| *at != left_out);
    kept.flat_map(|(_, line)| [line, "\n"]).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_that_are_missing_changed_or_of_another_log_are_refused() {
    let place = Place::new();
    let Told { file, text, .. } = Told::after_a_backup(&place).await;
    let lines: Vec<&str> = text.lines().collect();
    let locked = line_of(&text, "CredentialService/Lock");
    let backup = line_of(&text, "OperationsService/Backup");
    let up_to = |line: usize| lines[..line].join("\n") + "\n";
    let changed = |from: &str, to: &str| {
        let line = lines[locked].replacen(from, to, 1);
        assert_ne!(line, lines[locked]);
        text.replacen(lines[locked], &line, 1)
    };
    let other = {
        let other = Place::new();
        let server = other.serve().await;
        server.admin.issue_token("acme").await;
        server.stop();
        fs::read_to_string(other.lines()).unwrap()
    };
    let directory = place.fresh("restored");
    let given = place.path("given");
    let given = given.to_str().unwrap();
    let arguments = ["--from", &file, "--revocations", given];
    for (bad, said) in [
        (without(&text, locked), "are missing"),
        (
            changed("\"previous_hash\":\"", "\"previous_hash\":\"0"),
            "it has no hashes",
        ),
        (
            changed("\"recorded_at_ms\":1", "\"recorded_at_ms\":2"),
            "it was changed",
        ),
        (
            changed("CredentialService/Lock", "CredentialService/Shred"),
            "does not know",
        ),
        (
            changed("\"state\":\"INTACT\"", "\"state\":\"ERASED\""),
            "was erased",
        ),
        (format!("{text}no line\n"), "is no event"),
        (up_to(backup), "end with event"),
        (up_to(backup + 1), "end with event"),
        (text[..text.len() - 20].to_owned(), "it is cut off"),
        (other, "there is no event of store"),
    ] {
        fs::write(given, bad).unwrap();
        let output = refused(&directory, &arguments);
        assert!(output.contains(said), "{said}: {output}");
        assert!(!directory.join("store").exists(), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_there_is_of_lines_is_taken_where_one_goes_without_the_rest() {
    let place = Place::new();
    let Told { token, file, text } = Told::after_a_backup(&place).await;
    let given = place.path("given");
    let given = given.to_str().unwrap();
    let arguments = ["--from", &file, "--revocations", given];
    let locked = line_of(&text, "CredentialService/Lock");
    fs::write(given, without(&text, locked)).unwrap();
    let directory = place.fresh("with-gaps");
    let output = restored(
        &directory,
        &[&arguments[..], &["--accept-lost-revocations"]].concat(),
    );
    assert!(output.contains("1 events are missing"), "{output}");
    let server = place.serve_restored(&directory).await;
    assert_eq!(server.admin.verdict(&token).await, v1::Verdict::Revoked);
    server.stop();

    // Of the last line nothing is missing but its end.
    fs::write(given, text.trim_end()).unwrap();
    let directory = place.fresh("without-an-end");
    restored(&directory, &arguments);
    let server = place.serve_restored(&directory).await;
    assert_eq!(server.admin.verdict(&token).await, v1::Verdict::Revoked);
    server.stop();

    // A file may end within a line, and go on in another.
    let directory = place.fresh("in-parts");
    let revoked = text.lines().nth(line_of(&text, "CredentialService/Revoke"));
    let revoked = revoked.unwrap();
    let (first, second) = text.split_at(text.find(revoked).unwrap());
    let parts = [place.path("first"), place.path("second")];
    fs::write(&parts[0], format!("{first}{}", &revoked[..20])).unwrap();
    fs::write(&parts[1], second).unwrap();
    let parts = parts.map(|part| part.to_str().unwrap().to_owned());
    let arguments = [
        "--from",
        &file,
        "--revocations",
        &parts[0],
        "--revocations",
        &parts[1],
    ];
    restored(&directory, &arguments);
    let server = place.serve_restored(&directory).await;
    assert_eq!(server.admin.verdict(&token).await, v1::Verdict::Revoked);
    server.stop();
}
