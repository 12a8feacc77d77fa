//! What was denied in stores that were made of the one that a backup is of.

use std::fs;
use std::path::{Path, PathBuf};

use credd::proto::v1::Verdict::{self, Active, Revoked};

use crate::place::{Place, Running, refused, restored};

/// The lines of the audit log of the store in `Place::serve_restored`.
const OF_THE_RESTORED: &str = "audit-of-the-restored.jsonl";

/// A store, a backup of it, and one that was restored from that; in each something was
/// revoked after the backup.
struct Twice {
    place: Place,
    backup: String,
    revoked_in_the_first: String,
    revoked_in_the_second: String,
    untouched: String,
    /// The lines of the first.
    first: String,
    /// The lines of the second.
    second: String,
}

impl Twice {
    async fn make() -> Self {
        let place = Place::new();
        let server = place.serve().await;
        let (one, revoked_in_the_first) = server.admin.issue_token("acme").await;
        let (two, revoked_in_the_second) = server.admin.issue_token("acme").await;
        let (_, untouched) = server.admin.issue_token("acme").await;
        let backup = write(&place, "backup", &server.backup().await);
        server.admin.revoke(&one).await.unwrap();
        server.stop();
        let lines = place.lines();
        let directory = place.fresh("second");
        restored(&directory, &arguments(&backup, &[lines.to_str().unwrap()]));
        let server = place.serve_restored(&directory).await;
        assert_eq!(server.admin.verdict(&revoked_in_the_second).await, Active);
        server.admin.revoke(&two).await.unwrap();
        server.stop();
        Self {
            backup,
            revoked_in_the_first,
            revoked_in_the_second,
            untouched,
            first: fs::read_to_string(lines).unwrap(),
            second: fs::read_to_string(place.path(OF_THE_RESTORED)).unwrap(),
            place,
        }
    }

    /// Restores the backup with these lines.
    async fn again(&self, name: &str, lines: &str) -> Running {
        let directory = self.place.fresh(name);
        let given = write(&self.place, "given", lines.as_bytes());
        restored(&directory, &arguments(&self.backup, &[&given]));
        self.place.serve_restored(&directory).await
    }

    /// What the restore with files of these lines is refused with.
    fn refused(&self, files: &[&str]) -> String {
        let directory = self.place.path("refused");
        if !directory.exists() {
            self.place.fresh("refused");
        }
        let files = files.iter().enumerate();
        let given: Vec<_> = files
            .map(|(at, lines)| write(&self.place, &format!("given-{at}"), lines.as_bytes()))
            .collect();
        let given: Vec<_> = given.iter().map(String::as_str).collect();
        let said = refused(&directory, &arguments(&self.backup, &given));
        assert!(!directory.join("store").exists(), "{said}");
        said
    }

    async fn verdicts(&self, server: &Running) -> [Verdict; 3] {
        let admin = &server.admin;
        [
            admin.verdict(&self.revoked_in_the_first).await,
            admin.verdict(&self.revoked_in_the_second).await,
            admin.verdict(&self.untouched).await,
        ]
    }
}

fn write(place: &Place, name: &str, bytes: &[u8]) -> String {
    let path: PathBuf = place.path(name);
    fs::write(&path, bytes).unwrap();
    path.to_str().unwrap().to_owned()
}

fn arguments<'a>(backup: &'a str, lines: &[&'a str]) -> Vec<&'a str> {
    let lines = lines.iter().flat_map(|file| ["--revocations", file]);
    ["--from", backup].into_iter().chain(lines).collect()
}

/// From the line that tells of a restore, or after it.
fn since_the_restore(lines: &str, after: usize) -> String {
    let is_restore = |line: &str| line.contains("restored from a backup of store");
    let at = lines.lines().position(is_restore).unwrap();
    let rest = lines.lines().skip(at + after);
    rest.flat_map(|line| [line, "\n"]).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_revoked_in_a_store_that_was_restored_from_it_is_denied_too() {
    let twice = Twice::make().await;
    let Twice { first, second, .. } = &twice;
    let unrelated = {
        let other = Place::new();
        let server = other.serve().await;
        for _ in 0..12 {
            server.admin.issue_token("acme").await;
        }
        server.stop();
        fs::read_to_string(other.lines()).unwrap()
    };
    for (name, lines) in [
        ("in-order", format!("{first}{second}")),
        ("the-other-way", format!("{second}{first}")),
        (
            "with-another",
            format!("{unrelated}{first}{unrelated}{second}"),
        ),
        (
            "from-the-restore-on",
            format!("{first}{}", since_the_restore(second, 0)),
        ),
    ] {
        let server = twice.again(name, &lines).await;
        let verdicts = twice.verdicts(&server).await;
        assert_eq!(verdicts, [Revoked, Revoked, Active], "{name}");
        server.stop();
    }
    for (lines, what) in [
        (
            format!("{first}{}", since_the_restore(second, 1)),
            "that store may have been made of this backup",
        ),
        (second.clone(), "there is no event of store"),
        (
            format!("{first}{}", cut_in(second, "CredentialService/Revoke\"")),
            "it is cut off",
        ),
    ] {
        let said = twice.refused(&[&lines]);
        assert!(said.contains(what), "{what}: {said}");
    }
    // That the line which is cut in one file stands in the next shows for each store alone.
    let first = cut_in(first, "CredentialService/Revoke\"");
    let begun = cut_in(second, "CredentialService/Revoke\"");
    let said = twice.refused(&[&first, &begun, second]);
    assert!(said.contains("given-0, line"), "{said}");
    assert!(said.contains("it is cut off"), "{said}");
}

/// Lines up to within the one that tells of this.
fn cut_in(lines: &str, what: &str) -> String {
    let line = lines.lines().rfind(|line| line.contains(what)).unwrap();
    let at = lines.rfind(line).unwrap();
    lines[..at + line.len() / 2].to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_revoked_in_a_store_of_an_earlier_backup_is_denied_too() {
    let place = Place::new();
    let server = place.serve().await;
    let (id, revoked) = server.admin.issue_token("acme").await;
    let earlier = write(&place, "earlier", &server.backup().await);
    let (later_id, later) = server.admin.issue_token("acme").await;
    let backup = write(&place, "backup", &server.backup().await);
    server.admin.revoke(&later_id).await.unwrap();
    server.stop();

    let directory = place.fresh("of-the-earlier");
    restored(
        &directory,
        &["--from", &earlier, "--accept-lost-revocations"],
    );
    let server = place.serve_restored(&directory).await;
    server.admin.revoke(&id).await.unwrap();
    server.stop();

    let directory = place.fresh("of-the-later");
    let lines = [place.lines(), place.path(OF_THE_RESTORED)];
    let lines = lines.each_ref().map(|path: &PathBuf| as_str(path));
    restored(&directory, &arguments(&backup, &lines));
    let server = place.serve_restored(&directory).await;
    assert_eq!(server.admin.verdict(&revoked).await, Revoked);
    assert_eq!(server.admin.verdict(&later).await, Revoked);
    server.stop();
}

fn as_str(path: &Path) -> &str {
    path.to_str().unwrap()
}
