//! The README's tour of the command line, as it is written.

use std::path::Path;
use std::process::Command;

use crate::support::program::{Program, credd, serve};

#[test]
fn the_tour_of_the_readme_works_as_it_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("credd-data");
    let (_server, address) = Program::serve(serve(&[], &data));
    let readme = include_str!("../../README.md");
    let (_, tour) = readme.split_once("\n## The command line\n").unwrap();
    let (tour, _) = tour.split_once("\n## ").unwrap();
    let blocks = tour.split("```").skip(1).step_by(2);
    let commands = blocks.filter_map(|block| block.strip_prefix("sh\n"));
    let script = commands.fold("set -eu\n".to_owned(), |script, block| script + block);
    assert!(script.contains("credd issue"), "{script}");
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
    for line in ["Verdict:", "ACTIVE", "LOCKED", "TENANT"] {
        assert!(ended.output.contains(line), "{line}: {}", ended.output);
    }
}
