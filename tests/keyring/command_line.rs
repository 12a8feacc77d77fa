//! `credd keyring`.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;

fn keyring(arguments: &[&str]) -> Ended {
    let mut command = credd(&[]);
    command.arg("keyring").args(arguments);
    Program::start(command).end()
}

fn good(arguments: &[&str]) -> String {
    let Ended { status, output } = keyring(arguments);
    assert!(status.success(), "{output}");
    output
}

fn bad(arguments: &[&str]) -> String {
    let Ended { status, output } = keyring(arguments);
    assert_eq!(status.code(), Some(1), "{output}");
    output
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn keys(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    let lines = text.lines().filter_map(|line| line.strip_prefix("key = "));
    lines.map(|key| key.trim_matches('"').to_owned()).collect()
}

#[test]
fn a_fresh_file_is_for_its_owner_alone_and_never_over_another() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("new/keyring.toml");
    let text = path.to_str().unwrap();
    let missing = bad(&["init", "--file", text]);
    assert!(missing.contains(text), "{missing}");
    fs::create_dir(path.parent().unwrap()).unwrap();
    let told = good(&["init", "--file", text]);
    assert!(told.contains(text), "{told}");
    assert_eq!(mode(&path), 0o600);
    let made = fs::read(&path).unwrap();
    let refused = bad(&["init", "--file", text]);
    assert!(refused.contains("exists already"), "{refused}");
    assert_eq!(fs::read(&path).unwrap(), made);
    let left = fs::read_dir(path.parent().unwrap()).unwrap();
    assert_eq!(left.count(), 1, "nothing is left beside it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_starts_with_a_file_that_was_made_before_and_no_file_is_made_for_its_store() {
    let place = Place::new();
    let data_dir = place.path().to_str().unwrap();
    good(&["init", "--data-dir", data_dir]);
    good(&["add", "pepper", "--data-dir", data_dir]);
    let made = fs::read(place.keyring()).unwrap();
    let running = Running::start(place.path()).await;
    // The last of a fresh store.
    assert_eq!(running.pepper(2).await.state(), v1::KeyState::Active);
    assert_eq!(running.pepper(1).await.state(), v1::KeyState::Unused);
    running.stop();
    assert_eq!(fs::read(place.keyring()).unwrap(), made);
    fs::remove_file(place.keyring()).unwrap();
    let refused = bad(&["init", "--data-dir", data_dir]);
    assert!(refused.contains("there is a store"), "{refused}");
    assert!(!place.keyring().exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_shown_are_versions_and_check_values_and_never_a_key() {
    let place = Place::new();
    let data_dir = place.path().to_str().unwrap();
    let running = Running::start(place.path()).await;
    let told = place.add("pepper") + &place.add("sealing");
    let shown = good(&["show", "--data-dir", data_dir]);
    running.rotate_pepper(2).await.unwrap();
    let keyring = running.keyring().await;
    let peppers = keyring
        .peppers
        .iter()
        .map(|key| ("pepper", key.version, &key.check));
    let sealing = keyring.sealing_keys.iter();
    let sealing = sealing.map(|key| ("sealing", key.version, &key.check));
    let rows: Vec<Vec<String>> = shown
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().map(str::to_owned).collect())
        .collect();
    let expected: Vec<_> = peppers
        .chain(sealing)
        .map(|(kind, version, check)| vec![kind.to_owned(), version.to_string(), check.clone()])
        .collect();
    assert_eq!(rows, expected);
    let keys = keys(&place.keyring());
    assert_eq!(keys.len(), 4);
    let output = running.stop();
    for key in keys {
        for text in [&told, &shown, &output] {
            assert!(!text.contains(&key));
        }
    }
    let missing = bad(&["show", "--file", "/nowhere/keyring.toml"]);
    assert!(
        missing.contains("/nowhere/keyring.toml is missing"),
        "{missing}"
    );
}

#[test]
fn a_key_is_added_in_the_place_of_the_file_with_its_mode_and_through_links() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keyring.toml");
    let link = directory.path().join("link.toml");
    let text = path.to_str().unwrap();
    good(&["init", "--file", text]);
    symlink(&path, &link).unwrap();
    let mut before = keys(&path);
    for (mode, kind, file) in [
        (0o600, "pepper", &path),
        (0o640, "sealing", &path),
        (0o440, "pepper", &link),
    ] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        good(&["add", kind, "--file", file.to_str().unwrap()]);
        assert_eq!(self::mode(&path), mode);
        let after = keys(&path);
        assert_eq!(after[..before.len()], before);
        assert_eq!(after.len(), before.len() + 1);
        before = after;
    }
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    let shown = good(&["show", "--file", text]);
    assert_eq!(shown.matches("pepper").count(), 3);
    assert_eq!(shown.matches("sealing").count(), 2);

    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let exposed = bad(&["add", "pepper", "--file", text]);
    assert!(exposed.contains("0644"), "{exposed}");
    fs::write(&path, "no keyring").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let broken = bad(&["add", "pepper", "--file", text]);
    assert!(broken.contains("it is no keyring"), "{broken}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "no keyring");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
}
