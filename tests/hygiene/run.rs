//! The real program at trace level of all crates, while it runs, when it is killed
//! and when it has stopped.

use crate::secrets::Needles;
use crate::support::metrics::{free_address, scrape};
use crate::support::program::{Program, serve_everything, signal};
use crate::support::{Client, read_token};
use crate::{Remembering, revealing, wrong};

fn assert_clean(what: &str, needles: &Needles, found: &[String]) {
    assert!(found.is_empty(), "{what}, of {}: {found:?}", needles.len());
}

/// Tells what a server has printed last, if the test fails meanwhile.
struct Blamed(Option<Program>);

impl Blamed {
    fn server(&self) -> &Program {
        self.0.as_ref().unwrap()
    }

    fn into_inner(mut self) -> Program {
        self.0.take().unwrap()
    }
}

impl Drop for Blamed {
    fn drop(&mut self) {
        if let (Some(server), true) = (&self.0, std::thread::panicking()) {
            let output = server.output();
            let lines: Vec<_> = output.lines().collect();
            let last = lines.len().saturating_sub(5);
            println!("the server printed last: {}", lines[last..].join("\n"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_stands_in_the_data_directory_in_the_log_in_metrics_or_in_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let metrics = free_address();
    // Beside the store, so that it is searched with it.
    let copied = directory.path().join("audit.jsonl");
    let traced = || {
        let mut command = serve_everything(&[], directory.path());
        command.args(["--log", "trace", "--metrics-listen", &metrics.to_string()]);
        command.arg("--audit-file").arg(&copied);
        command
    };
    let (server, address) = Program::serve(traced());
    let server = Blamed(Some(server));
    let token = read_token(directory.path());
    let admin = Client::connect(address, &token).await;
    let (client, revealer) = revealing(&admin, address).await;
    let mut caller = Remembering::new(client, &token);
    caller.needles.add_secret(&revealer);
    caller.do_everything().await;
    let needles = &caller.needles;
    let statuses = wrong::statuses(&caller, address, &revealer).await;
    assert!(statuses.len() > 500, "{}", statuses.len());
    for (what, status) in &statuses {
        let shown = format!("{status:?}");
        assert_clean(what, needles, &needles.found_in(shown.as_bytes()));
        assert_clean(
            what,
            needles,
            &needles.found_in(status.message().as_bytes()),
        );
        assert_clean(what, needles, &needles.found_in(status.details()));
    }
    caller.report().await;
    caller.tell_the_audit().await;
    assert_clean(
        "running",
        needles,
        &needles.found_in_directory(directory.path()),
    );

    let listed = caller.listed_events(&admin).await;
    assert_clean(
        "the audit log",
        needles,
        &needles.found_in(listed.as_bytes()),
    );
    for told in [
        "[redacted]",
        "RETIRED_SECRET",
        "LOCKED",
        "/Reveal",
        "CALLER_UNKNOWN",
    ] {
        assert!(listed.contains(told), "{told}");
    }
    let lines = std::fs::read_to_string(&copied).unwrap();
    assert!(lines.contains("/Reveal"), "events are copied");
    assert_clean("the copy", needles, &needles.found_in(lines.as_bytes()));

    let scraped = scrape(metrics).await;
    assert!(scraped.contains("credd_credentials "), "{scraped}");
    assert_clean("metrics", needles, &needles.found_in(scraped.as_bytes()));

    // Killed so that it dumps what it has.
    let output = server.server().output();
    assert!(output.contains(r#""level":"TRACE""#), "it traces");
    for target in ["h2::", "credd::"] {
        assert!(
            output.contains(&format!(r#""target":"{target}"#)),
            "{target} traces"
        );
    }
    signal("ABRT", server.server().id());
    let ended = server.into_inner().end();
    assert!(!ended.status.success());
    assert_clean(
        "aborted",
        needles,
        &needles.found_in(ended.output.as_bytes()),
    );
    assert_clean(
        "aborted",
        needles,
        &needles.found_in_directory(directory.path()),
    );

    let (server, address) = Program::serve(traced());
    let server = Blamed(Some(server));
    caller.client = Client::connect(address, &revealer).await;
    caller.verify_all().await;
    let ended = server.into_inner().terminate();
    assert!(ended.status.success());
    let needles = &caller.needles;
    assert_clean("ended", needles, &needles.found_in(ended.output.as_bytes()));
    assert_clean(
        "ended",
        needles,
        &needles.found_in_directory(directory.path()),
    );
}
