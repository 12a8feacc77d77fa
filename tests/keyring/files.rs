//! The keyring file, changed in right and in wrong ways.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::*;

/// That the server does not start, and says this.
fn refused(place: &Place) -> String {
    let command = support::program::serve(&[], place.path());
    let Ended { status, output } = Program::start(command).end();
    assert_eq!(status.code(), Some(1), "{output}");
    assert!(output.contains("keyring.toml"), "{output}");
    output
}

/// The key of a version, in the text of a file.
fn key_of(text: &str, kind: &str, version: u32) -> String {
    let table = format!("[[{kind}]]\nversion = {version}\nkey = \"");
    let start = text.find(&table).unwrap() + table.len();
    text[start..start + 64].to_owned()
}

const ANOTHER: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// Waits until the server has said something so often.
async fn until_said(running: &Running, what: &str, times: usize) {
    until(what, || async {
        running.program.output().matches(what).count() == times
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_version_that_is_needed_or_with_another_key_there_is_no_start() {
    let place = Place::new();
    let running = Running::start(place.path()).await;
    for kind in ["pepper", "sealing"] {
        place.add(kind);
        place.add(kind);
    }
    running.rotate_pepper(2).await.unwrap();
    running.rotate_sealing(2).await.unwrap();
    running.stop();
    let good = fs::read_to_string(place.keyring()).unwrap();
    for kind in ["pepper", "sealing"] {
        // The third was never active, and is missed by nobody.
        for version in 1..=2 {
            place.take_out(kind, version);
            let said = refused(&place);
            let expected = format!("{kind} version {version} is missing");
            assert!(said.contains(&expected), "{said}");
            fs::write(place.keyring(), &good).unwrap();
        }
        for version in 1..=3 {
            let key = key_of(&good, kind, version);
            fs::write(place.keyring(), good.replace(&key, ANOTHER)).unwrap();
            let said = refused(&place);
            let expected = format!("{kind} version {version} is another key");
            assert!(said.contains(&expected), "{said}");
            assert!(!said.contains(ANOTHER) && !said.contains(&key));
            fs::write(place.keyring(), &good).unwrap();
        }
        place.take_out(kind, 3);
    }
    Running::start(place.path()).await.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retired_version_need_not_be_there_but_may_be_no_other_key() {
    let place = Place::new();
    let running = Running::start(place.path()).await;
    place.add("pepper");
    running.rotate_pepper(2).await.unwrap();
    running.until_remaining(1, 0).await;
    running.retire_pepper(retire_pepper(1)).await.unwrap();
    running.stop();
    let good = fs::read_to_string(place.keyring()).unwrap();
    let key = key_of(&good, "pepper", 1);
    fs::write(place.keyring(), good.replace(&key, ANOTHER)).unwrap();
    let said = refused(&place);
    assert!(said.contains("pepper version 1 is another key"), "{said}");
    fs::write(place.keyring(), &good).unwrap();
    place.take_out("pepper", 1);
    let running = Running::start(place.path()).await;
    let pepper = running.pepper(1).await;
    assert_eq!(
        (pepper.state(), pepper.loaded),
        (v1::KeyState::Retired, false)
    );
    running.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_file_is_said_once_and_the_keys_stay_as_they_were() {
    let place = Place::new();
    let running = Running::start(place.path()).await;
    let held: Subject = calls::issue(&running.admin, "acme", "jo", "api-token")
        .await
        .into();
    let good = fs::read_to_string(place.keyring()).unwrap();
    let unreadable = "the keyring can't be read again";
    let untaken = "the keyring is not taken";
    let key = key_of(&good, "pepper", 1);
    place.add("pepper");
    let with_second = fs::read_to_string(place.keyring()).unwrap();
    fs::write(place.keyring(), "[[pepper]]\nversion = 1\n").unwrap();
    until_said(&running, unreadable, 1).await;
    fs::remove_file(place.keyring()).unwrap();
    until_said(&running, unreadable, 2).await;
    fs::write(place.keyring(), with_second.replace(&key, ANOTHER)).unwrap();
    fs::set_permissions(place.keyring(), fs::Permissions::from_mode(0o600)).unwrap();
    until_said(&running, untaken, 1).await;
    let output = running.program.output();
    assert!(
        output.contains("pepper version 1 is another key"),
        "{output}"
    );
    let not_loaded = running.rotate_pepper(2).await.unwrap_err();
    assert_eq!(calls::reason(&not_loaded), "KEY_NOT_LOADED");
    assert_eq!(verdict(&running.admin, &held).await, v1::Verdict::Active);

    // What everybody may read is not read.
    fs::write(place.keyring(), &with_second).unwrap();
    fs::set_permissions(place.keyring(), fs::Permissions::from_mode(0o644)).unwrap();
    until_said(&running, unreadable, 3).await;
    assert!(running.program.output().contains("0644"));
    fs::set_permissions(place.keyring(), fs::Permissions::from_mode(0o440)).unwrap();
    until("the second version to be loaded", || async {
        running.pepper(2).await.loaded
    })
    .await;
    // It looked at each of them often.
    assert_eq!(running.program.output().matches(unreadable).count(), 3);
    assert_eq!(running.program.output().matches(untaken).count(), 1);
    running.rotate_pepper(2).await.unwrap();

    // One that is needed disappears.
    place.take_out("pepper", 2);
    let kept = "pepper version 2 is no longer in the keyring";
    until_said(&running, kept, 1).await;
    assert_eq!(verdict(&running.admin, &held).await, v1::Verdict::Active);
    running.until_remaining(1, 0).await;
    fs::write(place.keyring(), &with_second).unwrap();
    let output = running.stop();
    for key in [&key, &key_of(&with_second, "pepper", 2), ANOTHER] {
        assert!(!output.contains(key), "it prints a key");
    }
    Running::start(place.path()).await.stop();
}
