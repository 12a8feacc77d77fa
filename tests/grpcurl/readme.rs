//! The README's commands, as they are written.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use crate::support::program::{Ended, Program, serve};
use crate::support::tool;

#[test]
fn the_tour_of_the_readme_works_as_it_is_written() {
    let Some(grpcurl) = tool("CREDD_TEST_GRPCURL") else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let (_server, address) = Program::serve(serve(&[], &directory.path().join("credd-data")));
    let readme = include_str!("../../README.md");
    let (_, tour) = readme.split_once("## Five minutes with grpcurl").unwrap();
    let (tour, _) = tour.split_once("\n## ").unwrap();
    let mut script = String::from("set -eu\n");
    for (number, block) in tour.split("```").skip(1).step_by(2).enumerate() {
        let commands = block.strip_prefix("sh\n").unwrap();
        if commands.contains("/Watch") {
            // In another terminal, and seen to have begun.
            writeln!(script, "( {commands} ) >out-{number} 2>&1 &").unwrap();
            writeln!(script, "until [ -s out-{number} ]; do sleep 0.01; done").unwrap();
        } else {
            script.push_str(commands);
        }
    }
    script.push_str(
        "for out in out-*; do
           until grep -q CHANGE_TYPE_REVOKED $out; do sleep 0.01; done
         done
         kill $(jobs -p)",
    );
    let path = std::env::var("PATH").unwrap();
    let mut bash = Command::new("bash");
    bash.args([
        "-c",
        &script.replace("localhost:7420", &address.to_string()),
    ])
    .current_dir(directory.path())
    .env(
        "PATH",
        format!("{}:{path}", grpcurl.parent().unwrap().display()),
    );
    let Ended { status, output } = Program::start(bash).end();
    assert!(status.success(), "{output}");
    let verdicts = output
        .split('"')
        .filter(|word| word.starts_with("VERDICT_"));
    assert_eq!(
        verdicts.collect::<Vec<_>>(),
        [
            "VERDICT_ACTIVE",
            "VERDICT_INVALID",
            "VERDICT_ACTIVE",
            "VERDICT_LOCKED",
            "VERDICT_REVOKED"
        ]
    );
}

#[test]
fn the_commands_of_the_later_sections_work_as_they_are_written() {
    let Some(grpcurl) = tool("CREDD_TEST_GRPCURL") else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let (_server, address) = Program::serve(serve(&[], &directory.path().join("credd-data")));
    let readme = include_str!("../../README.md");
    let blocks = |heading: &str| {
        let (_, section) = readme.split_once(heading).unwrap();
        let section = section
            .split_once("\n## ")
            .map_or(section, |(first, _)| first);
        let blocks = section.split("```").skip(1).step_by(2);
        let commands = blocks.filter_map(|block| block.strip_prefix("sh\n"));
        commands.collect::<Vec<_>>()
    };
    let mut script = String::from("set -eu\n");
    script.push_str(blocks("## Five minutes with grpcurl")[0]);
    let later = [
        "## Profiles",
        "## Owners, roles and tenants",
        "## Who did what",
    ];
    let later = later.map(blocks);
    assert!(later.iter().all(|blocks| !blocks.is_empty()));
    script.extend(later.into_iter().flatten());
    let path = std::env::var("PATH").unwrap();
    let tools = grpcurl.parent().unwrap().display();
    let credd = Path::new(env!("CARGO_BIN_EXE_credd")).parent().unwrap();
    let credd = credd.display();
    let mut bash = Command::new("bash");
    bash.args([
        "-c",
        &script.replace("localhost:7420", &address.to_string()),
    ])
    .current_dir(directory.path())
    .env("PATH", format!("{credd}:{tools}:{path}"));
    let Ended { status, output } = Program::start(bash).end();
    assert!(status.success(), "{output}");
    for shown in [
        "\"X-Partner-Key\"",
        "\"feeds:write\"",
        "\"defaultSource\": \"analysts\"",
        "\"outcome\": \"OK\"",
    ] {
        assert!(output.contains(shown), "{shown} in {output}");
    }
}
