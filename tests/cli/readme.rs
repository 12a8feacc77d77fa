//! The commands of the README and of the pages beside it, as they are written.

use std::path::Path;
use std::process::Command;

use crate::support::program::{Program, credd, serve};

/// Runs what stands in blocks of `sh`, after some lines of a test, beside the data
/// directory of a server. Returns what it printed.
fn run(before: &str, text: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("credd-data");
    let (_server, address) = Program::serve(serve(&[], &data));
    let blocks = text.split("```").skip(1).step_by(2);
    let commands = blocks.filter_map(|block| block.strip_prefix("sh\n"));
    let script = commands.fold(format!("set -eux\n{before}"), |script, block| {
        script + block
    });
    let program = credd(&[]).get_program().to_owned();
    let program = Path::new(&program).parent().unwrap();
    let path = std::env::var("PATH").unwrap();
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &script])
        .current_dir(directory.path())
        .env("PATH", format!("{}:{path}", program.display()))
        .env("CREDD_SERVER", format!("http://{address}"));
    let ended = Program::start(shell).end();
    assert!(ended.status.success(), "{}", ended.output);
    ended.output
}

#[test]
fn the_tour_of_the_readme_works_as_it_is_written() {
    let readme = include_str!("../../README.md");
    let (_, tour) = readme.split_once("\n## The command line\n").unwrap();
    let (tour, _) = tour.split_once("\n## ").unwrap();
    let output = run("", tour);
    for line in ["credd issue", "Verdict:", "ACTIVE", "LOCKED", "TENANT"] {
        assert!(output.contains(line), "{line}: {output}");
    }
}

#[test]
fn what_operators_do_works_as_it_is_written() {
    let before = "
        export CREDD_TOKEN_FILE=credd-data/admin.token
        credd issue --tenant acme --owner jo --label leaky --secret-file credd-data/found
        ID=$(credd list --tenant acme --label-prefix leaky --output name)
    ";
    let output = run(before, include_str!("../../docs/operations.md"));
    for line in [
        "locked 1 credential",
        "CredentialService/ReportLeak",
        "nightly.backup has",
        "activated version 2 of the sealing key",
        "no revocations since the backup were given",
    ] {
        assert!(output.contains(line), "{line}: {output}");
    }
}
