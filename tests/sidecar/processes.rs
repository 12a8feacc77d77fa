//! The real program, as two processes.

use std::path::Path;
use std::process::Command;

use credd::proto::v1::Verdict;
use credd::proto::v1::verification_service_client::VerificationServiceClient;
use tempfile::TempDir;
use tonic::Code;

use crate::support::metrics::{free_address, scrape};
use crate::support::program::{Program, credd, signal};
use crate::support::{Client, channel, read_token, until, verify_token_request};
use crate::world::revoke_everywhere;

const LEASE_MS: &str = "1000";

/// An authority whose data is in `data`.
fn authority(directory: &TempDir, listen: &str) -> (Program, std::net::SocketAddr) {
    let data = directory.path().join("data");
    std::fs::create_dir_all(&data).unwrap();
    let mut command = credd(&[]);
    command
        .arg("serve")
        .args(["--listen", listen, "--disk-reserve-mib", "16"])
        .args(["--fence-lease-ms", LEASE_MS])
        .arg("--data-dir")
        .arg(&data);
    Program::serve(command)
}

fn sidecar(directory: &Path, authority: std::net::SocketAddr) -> Command {
    let mut command = credd(&[]);
    command
        .arg("sidecar")
        .args(["--authority", &format!("http://{authority}")])
        .args(["--sidecar-listen", "127.0.0.1:0"])
        .arg("--socket")
        .arg(directory.join("sidecar.sock"))
        .arg("--authority-token-file")
        .arg(directory.join("gate.token"));
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_that_is_halted_delays_a_fence_by_its_lease_and_says_no_when_it_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let (server, address) = authority(&directory, "127.0.0.1:0");
    let admin = Client::connect(address, &read_token(&directory.path().join("data"))).await;
    let (_, token) = admin.issue_verifier("gate").await;
    std::fs::write(directory.path().join("gate.token"), token).unwrap();
    let metrics = free_address();
    let mut command = sidecar(directory.path(), address);
    command.args(["--sidecar-metrics-listen", &metrics.to_string()]);
    let (sidecar, reached) = Program::serve(command);
    let client = VerificationServiceClient::new(channel(reached).await);
    let verdict = async |token: &str| {
        let answer = client.clone().verify(verify_token_request(token)).await;
        answer.map(|answer| answer.into_inner().verdict())
    };
    for _ in 0..3 {
        let (id, token) = admin.issue_token("acme").await;
        let hits = async || {
            let text = scrape(metrics).await;
            let line = text
                .lines()
                .find(|it| it.starts_with("credd_sidecar_hits_total"));
            line.unwrap().to_owned()
        };
        let before = hits().await;
        until("a yes from the cache", || async {
            assert_eq!(verdict(&token).await.unwrap(), Verdict::Active);
            hits().await != before
        })
        .await;
        signal("STOP", sidecar.id());
        let fence = revoke_everywhere(&admin, &id).await;
        assert_eq!((fence.acknowledged, fence.expired), (0, 1));
        signal("CONT", sidecar.id());
        assert_eq!(verdict(&token).await.unwrap(), Verdict::Revoked);
        until("it to follow again", || async {
            let text = scrape(metrics).await;
            text.contains("credd_sidecar_state{state=\"live\"} 1")
        })
        .await;
    }

    // The authority is killed, and comes back where it was.
    let (_, token) = admin.issue_token("acme").await;
    assert_eq!(verdict(&token).await.unwrap(), Verdict::Active);
    server.kill();
    until("the lease to run out", || async {
        verdict(&token)
            .await
            .is_err_and(|status| status.code() == Code::Unavailable)
    })
    .await;
    let (server, _) = authority(&directory, &address.to_string());
    until("a yes again", || async {
        verdict(&token)
            .await
            .is_ok_and(|verdict| verdict == Verdict::Active)
    })
    .await;
    let text = scrape(metrics).await;
    for name in [
        "misses_total",
        "joins_total",
        "lease_seconds",
        "lag_seconds",
        "stale_refused",
    ] {
        assert!(text.contains(&format!("credd_sidecar_{name}")), "{name}");
    }
    assert!(!text.contains(&token));
    let ended = sidecar.terminate();
    assert!(ended.status.success(), "{}", ended.output);
    assert!(!ended.output.contains(&token));
    assert!(server.terminate().status.success());
}

#[test]
fn it_does_not_start_where_it_would_be_open_to_others_or_follow_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let listen = ["--sidecar-listen", "127.0.0.1:0"];
    let authority = ["--authority", "http://127.0.0.1:1"];
    for (arguments, says) in [
        (vec![], "authority.address"),
        (listen.to_vec(), "authority.address"),
        (authority.to_vec(), "sidecar.socket"),
        (
            [&authority[..], &["--sidecar-listen", "0.0.0.0:0"]].concat(),
            "sidecar.listen",
        ),
        (
            [&listen[..], &["--authority", "http://10.1.2.3:1"]].concat(),
            "authority.address",
        ),
        (
            [&listen[..], &authority, &["--authority-key-file", "key"]].concat(),
            "authority.key_file",
        ),
        (
            [&authority[..], &["--socket", "s", "--socket-mode", "9"]].concat(),
            "sidecar.socket_mode",
        ),
    ] {
        let mut command = credd(&[]);
        command.current_dir(directory.path());
        command.arg("sidecar").args(&arguments);
        let ended = Program::start(command).end();
        assert!(!ended.status.success(), "{arguments:?}");
        assert!(
            ended.output.contains(says),
            "{arguments:?}: {}",
            ended.output
        );
    }
    let file = directory.path().join("credd.toml");
    let text = "
        [sidecar]
        socket = \"/run/credd/sidecar.sock\"
        [authority]
        address = \"https://a:1, https://b:1\"
        [[stale]]
        tenant = \"acme\"
        max_seconds = 60
    ";
    for (more, good) in [
        ("", true),
        ("[[stale]]\ntenant = \"*\"\nmax_seconds = 0\n", true),
        ("[[stale]]\ntenant = \"acme\"\nmax_seconds = 5\n", false),
        (
            "[[stale]]\ntenant = \"other\"\nmax_seconds = 86401\n",
            false,
        ),
    ] {
        std::fs::write(&file, format!("{text}\n{more}")).unwrap();
        let mut command = credd(&[]);
        command.args(["config", "check", "--config"]).arg(&file);
        let ended = Program::start(command).end();
        assert_eq!(ended.status.success(), good, "{more}: {}", ended.output);
    }
}
