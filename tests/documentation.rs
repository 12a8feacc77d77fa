//! What is generated of the documentation is what the code says.
//!
//! `CREDD_TEST_WRITE=1 cargo test --test documentation` writes it anew.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use credd::rpc::reason::{OfThing, Reason};
use credd::server::config::documented;
use tonic::Code;

/// Compares a file with what it should have, or writes it.
fn is(name: &str, expected: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    if std::env::var_os("CREDD_TEST_WRITE").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, expected).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    let differs = found.lines().zip(expected.lines()).find(|(a, b)| a != b);
    assert!(
        found == expected,
        "{name} is not what the code says, from here on: {differs:?}; \
         CREDD_TEST_WRITE=1 cargo test --test documentation writes it"
    );
}

/// The name of a code in the protocol.
fn code(code: Code) -> String {
    let mut name = String::new();
    for letter in format!("{code:?}").chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

#[test]
fn the_configuration_is_documented() {
    is("docs/credd.toml", &documented::file());
}

#[test]
fn the_reasons_of_errors_are_documented() {
    let mut text = String::from(
        "# Errors\n\nThe reasons that errors carry (`google.rpc.ErrorInfo`, domain `credd`). \
         They are stable: go by them and by codes, not by messages. Where `RetryInfo` is there, \
         the same request may be sent again after so long.\n\n\
         | reason | code | means | then |\n| --- | --- | --- | --- |\n",
    );
    for reason in Reason::ALL {
        let (name, code) = (reason.name(), code(reason.code()));
        let (means, then) = (reason.meaning(), reason.remedy());
        writeln!(text, "| `{name}` | `{code}` | {means} | {then} |").unwrap();
    }
    for why in OfThing::ALL {
        let names = why.things().iter().map(|thing| why.name(*thing));
        let names: Vec<_> = names.map(|name| format!("`{name}`")).collect();
        let (names, code) = (names.join(" "), code(why.code()));
        let (means, then) = (why.meaning(), why.remedy());
        writeln!(text, "| {names} | `{code}` | {means} | {then} |").unwrap();
    }
    is("docs/errors.md", &text);
}

#[test]
fn documents_name_no_reason_that_there_is_not() {
    let of_things = OfThing::ALL.iter().flat_map(|why| {
        let names = why.things().iter().map(|thing| why.name(*thing));
        names.collect::<Vec<_>>()
    });
    let known: BTreeSet<String> = Reason::ALL
        .iter()
        .map(|reason| reason.name().to_owned())
        .chain(of_things)
        .collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut seen = 0;
    visit(&root.join("proto/credd"), &mut |path, text| {
        for line in text.lines().filter(|line| line.trim().starts_with("//")) {
            // What stands in backquotes after a code, such as NOT_FOUND (`X_NOT_FOUND`).
            for part in line.split('`').skip(1).step_by(2) {
                let is_reason = part.len() > 6
                    && part.contains('_')
                    && part.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
                if is_reason && !is_something_else(part, text) {
                    assert!(known.contains(part), "{}: {part}", path.display());
                    seen += 1;
                }
            }
        }
    });
    assert!(seen > 20, "{seen}");
}

#[test]
fn links_lead_to_what_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = vec![root.join("README.md"), root.join("CHANGELOG.md")];
    for directory in ["docs", "helm"] {
        visit(&root.join(directory), &mut |path, _| {
            if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path.to_owned());
            }
        });
    }
    let mut seen = 0;
    for page in &pages {
        let text = fs::read_to_string(page).unwrap();
        for link in text.split("](").skip(1) {
            let (link, _) = link.split_once(')').unwrap();
            if link.contains("://") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() {
                page.clone()
            } else {
                page.parent().unwrap().join(file)
            };
            assert!(target.exists(), "{}: {link}", page.display());
            if !anchor.is_empty() {
                let there = anchors(&fs::read_to_string(&target).unwrap());
                assert!(there.contains(anchor), "{}: {link}", page.display());
            }
            seen += 1;
        }
    }
    assert!(seen > 20, "{seen}");
}

/// What the headings of a page can be linked by.
fn anchors(page: &str) -> BTreeSet<String> {
    let headings = page.lines().filter_map(|line| {
        let heading = line.trim_start_matches('#').strip_prefix(' ')?;
        line.starts_with('#').then_some(heading)
    });
    let anchor = |heading: &str| {
        let kept = |letter: &char| letter.is_alphanumeric() || " -_".contains(*letter);
        let kept: String = heading.to_lowercase().chars().filter(kept).collect();
        kept.replace(' ', "-")
    };
    headings.map(anchor).collect()
}

/// Whether a name is one of a status code, of a value of an enum, or of what the audit
/// log tells of Verify.
fn is_something_else(name: &str, text: &str) -> bool {
    let mut codes = (0..17).map(|number| code(Code::from_i32(number)));
    let is_value = text.contains(&format!("{name} = "));
    codes.any(|code| code == name) || is_value || name == "RETIRED_SECRET"
}

fn visit(directory: &Path, each: &mut impl FnMut(&Path, &str)) {
    let entries = fs::read_dir(directory).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            visit(&path, each);
        } else if let Ok(text) = fs::read_to_string(&path) {
            each(&path, &text);
        }
    }
}
