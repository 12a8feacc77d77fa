//! The real program, as two processes.

use credd::proto::v1::Verdict;

use crate::real::{Authority, Sidecar};
use crate::support::metrics::scrape;
use crate::support::program::{Program, credd, signal};
use crate::support::until;
use crate::world::revoke_everywhere;

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_that_is_halted_delays_a_fence_by_its_lease_and_says_no_when_it_goes_on() {
    let lease = ["--fence-lease-ms", "2000"];
    let mut authority = Authority::start(&lease).await;
    let admin = authority.admin().await;
    let sidecar = Sidecar::following(&authority.url(), &authority).await;
    for _ in 0..3 {
        let (id, token) = admin.issue_token("acme").await;
        sidecar.keep(&token).await;
        signal("STOP", sidecar.program.id());
        let fence = revoke_everywhere(&admin, &id).await;
        assert_eq!((fence.acknowledged, fence.expired), (0, 1));
        signal("CONT", sidecar.program.id());
        assert_eq!(sidecar.verdict(&token).await, Verdict::Revoked);
        sidecar.live().await;
    }

    // The authority is killed, and comes back where it was.
    let (_, token) = admin.issue_token("acme").await;
    assert_eq!(sidecar.verdict(&token).await, Verdict::Active);
    authority.kill();
    until("the lease to run out", || sidecar.is_unavailable(&token)).await;
    authority.start_again(&lease);
    until("a yes again", || async {
        let answer = sidecar.ask(&token).await;
        answer.is_ok_and(|answer| answer.verdict() == Verdict::Active)
    })
    .await;
    let text = scrape(sidecar.metrics).await;
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
    sidecar.stop(&[&token]);
    authority.stop();
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
    let cell = |name: &str, tenants: &str, address: &str| {
        format!("[[cells]]\nname = \"{name}\"\ntenants = [{tenants}]\naddress = \"{address}\"\n")
    };
    let one = cell("one", "\"globex\"", "https://c:1");
    for (more, good) in [
        (&*one, true),
        (
            &(one.clone() + &cell("two", "\"shop\"", "https://d:1")),
            true,
        ),
        (
            &(one.clone() + &cell("one", "\"shop\"", "https://d:1")),
            false,
        ),
        (
            &(one.clone() + &cell("two", "\"globex\"", "https://d:1")),
            false,
        ),
        (
            &(one.clone() + &cell("two", "\"shop\"", "https://d:1,https://c:1")),
            false,
        ),
        (&cell("one", "\"globex\"", "https://b:1"), false),
        (&(one.clone() + "key_file = \"key\"\n"), false),
        (&cell("one", "", "https://c:1"), false),
        (&cell("One", "\"globex\"", "https://c:1"), false),
        (&cell("one", "\"globex\"", "http://10.1.2.3:1"), false),
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
