//! Rotating the pepper while secrets are in use.

use std::time::Duration;

use super::*;
use crate::calls::Watched;

/// What List shows of every credential.
async fn shown(admin: &Client) -> Vec<(String, v1::Credential)> {
    let all = calls::everything(admin, "acme").await;
    let mut all: Vec<_> = all
        .into_iter()
        .map(|credential| {
            let unused = v1::Credential {
                last_used_at: None,
                last_used_by: String::new(),
                secrets: Vec::new(),
                ..credential
            };
            (unused.id.clone(), unused)
        })
        .collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn under_load_no_verify_fails_and_the_old_pepper_is_retired_once_nothing_is_left_on_it() {
    let place = Place::new();
    let running = Running::start(place.path()).await;
    let (_, checker) = running.admin.issue_verifier("checker").await;
    let loud = populate(&running.admin, 12).await;
    let quiet = populate(&running.admin, 2).await;
    let askers = verifiers(&running, &checker, &loud).await;
    let total = running.remaining(1).await;
    // Besides: the administrator's and the verifier's own.
    assert_eq!(total, (loud.len() + quiet.len() + 2) as u64);
    let before = shown(&running.admin).await;
    let mut watched = Watched::start(&running.admin).await;

    let told = place.add("pepper");
    assert!(told.contains("`credd key rotate pepper 2`"), "{told}");
    let unused = running.keyring().await;
    let activated = running.rotate_pepper(2).await.unwrap();
    let states = |keyring: &v1::KeyringStatus| {
        let peppers = keyring.peppers.iter();
        peppers
            .map(|key| (key.version, key.state(), key.loaded))
            .collect::<Vec<_>>()
    };
    assert_eq!(states(&unused)[0], (1, v1::KeyState::Active, true));
    let keyring = activated.keyring.unwrap();
    let expected = [
        (1, v1::KeyState::Old, true),
        (2, v1::KeyState::Active, true),
    ];
    assert_eq!(states(&keyring), expected);
    assert_eq!(keyring.revision, activated.revision);
    let again = running.rotate_pepper(2).await.unwrap();
    assert_eq!(again.revision, activated.revision);

    // What is in use moves, what is quiet stays.
    running.until_remaining(1, quiet.len() as u64).await;
    assert_eq!(running.remaining(2).await, total - quiet.len() as u64);
    let refused = running.retire_pepper(retire_pepper(1)).await.unwrap_err();
    let in_use = in_use(&refused);
    assert_eq!(in_use, ("KEY_IN_USE".to_owned(), Some(quiet.len() as u64)));
    let is_active = running.retire_pepper(retire_pepper(2)).await.unwrap_err();
    assert_eq!(calls::reason(&is_active), "KEY_ACTIVE");

    // New ones are under the new pepper at once.
    let fresh: Subject = calls::issue(&running.admin, "globex", "jo", "api-token")
        .await
        .into();
    assert_eq!(running.remaining(1).await, quiet.len() as u64);
    let after = shown(&running.admin).await;
    assert_eq!(
        after, before,
        "no revision, no last change: nothing is seen of it"
    );
    let marker = watched.commit().await.1;
    let v1::event::Subject::Credential(event) = &marker[0] else {
        panic!("another event");
    };
    assert_eq!(event.credential_id, fresh.id, "Watch says nothing of it");

    let counts: Vec<_> = askers.iter().map(Verifier::verified).collect();
    let more = verifiers(&running, &checker, &quiet).await;
    running.until_remaining(1, 0).await;
    // They go on for a while after that.
    for (verifier, before) in askers.iter().zip(counts) {
        until("more to be verified", || async {
            verifier.verified() > before + 50
        })
        .await;
    }
    let dry = v1::RetirePepperRequest {
        dry_run: true,
        ..retire_pepper(1)
    };
    running.retire_pepper(dry).await.unwrap();
    assert_eq!(running.pepper(1).await.state(), v1::KeyState::Old);
    let retired = running.retire_pepper(retire_pepper(1)).await.unwrap();
    assert_eq!(retired.impact.unwrap().matched, 0);
    assert_eq!(running.pepper(1).await.state(), v1::KeyState::Retired);
    let back = running.rotate_pepper(1).await.unwrap_err();
    assert_eq!(calls::reason(&back), "KEY_RETIRED");
    let mut verified = 0;
    for verifier in askers.into_iter().chain(more) {
        verified += verifier.end().await;
    }
    assert!(verified > 2000, "{verified}");

    // The revision that somebody knew from before is good.
    let (id, credential) = &before[0];
    let lock = v1::LockRequest {
        expected_revision: credential.revision.clone(),
        ..support::lock_request(id)
    };
    running.admin.credentials.clone().lock(lock).await.unwrap();
    running.admin.unlock(id).await.unwrap();

    // Nothing needs the retired one.
    place.take_out("pepper", 1);
    until("the key to be dropped", || async {
        !running.pepper(1).await.loaded
    })
    .await;
    let all = [loud, quiet].concat();
    assert_all_active(&running.admin, &all).await;
    running.stop();
    let running = Running::start(place.path()).await;
    assert_all_active(&running.admin, &all).await;
    assert_eq!(running.remaining(2).await, total + 1);
    running.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_moved_stays_moved_over_a_restart_and_over_kill_9() {
    let place = Place::new();
    let mut running = Running::start(place.path()).await;
    let all = populate(&running.admin, 4).await;
    let total = all.len() as u64;
    place.add("pepper");
    running.rotate_pepper(2).await.unwrap();
    running.until_remaining(1, total).await;
    let parts: Vec<_> = all.chunks(all.len() / 4).collect();
    let mut left = total;
    for (n, part) in parts.iter().enumerate() {
        assert_all_active(&running.admin, part).await;
        left -= part.len() as u64;
        if n % 2 == 0 {
            running.until_remaining(1, left).await;
            running.program.kill();
        } else {
            // What waits to be written is written at the end.
            running.stop();
        }
        running = Running::start(place.path()).await;
        assert_eq!(running.remaining(1).await, left, "part {n}");
        assert_eq!(running.remaining(2).await, total + 1 - left);
    }
    assert_eq!(left, 0);
    assert_all_active(&running.admin, &all).await;
    running.retire_pepper(retire_pepper(1)).await.unwrap();
    running.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_in_the_middle_of_the_load_loses_no_secret() {
    let place = Place::new();
    let mut running = Running::start(place.path()).await;
    let all = populate(&running.admin, 6).await;
    for version in 2..=4 {
        place.add("pepper");
        running.rotate_pepper(version).await.unwrap();
        let client = running.admin.clone();
        let subjects = all.clone();
        let load = tokio::spawn(async move {
            for subject in subjects.iter().cycle() {
                let mut verification = client.verification.clone();
                match verification.verify(subject.question.clone()).await {
                    Ok(answer) => {
                        let verdict = answer.into_inner().verdict();
                        assert_eq!(verdict, v1::Verdict::Active);
                    }
                    Err(_) => return,
                }
            }
        });
        // At different moments of what is written behind.
        tokio::time::sleep(Duration::from_millis(u64::from(version) * 450)).await;
        running.program.kill();
        load.await.unwrap();
        running = Running::start(place.path()).await;
        assert_eq!(running.pepper(version).await.state(), v1::KeyState::Active);
        assert_all_active(&running.admin, &all).await;
    }
    running.until_remaining(4, all.len() as u64 + 1).await;
    for version in 1..=3 {
        running.retire_pepper(retire_pepper(version)).await.unwrap();
    }
    running.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_pepper_can_be_made_active_again_while_it_is_not_retired() {
    let place = Place::new();
    let running = Running::start(place.path()).await;
    let all = populate(&running.admin, 1).await;
    place.add("pepper");
    running.rotate_pepper(2).await.unwrap();
    assert_all_active(&running.admin, &all).await;
    running.until_remaining(1, 0).await;
    running.rotate_pepper(1).await.unwrap();
    assert_all_active(&running.admin, &all).await;
    running.until_remaining(2, 0).await;
    running.retire_pepper(retire_pepper(2)).await.unwrap();
    running.stop();
}

/// Also of a credential that is denied: its holder has shown the right secret.
#[tokio::test(flavor = "multi_thread")]
async fn a_locked_credential_moves_too_and_a_wrong_secret_moves_nothing() {
    let place = Place::new();
    let running = Running::start(place.path()).await;
    let locked: Subject = calls::issue(&running.admin, "acme", "jo", "basic")
        .await
        .into();
    let other = calls::issue(&running.admin, "acme", "jo", "api-token").await;
    running.admin.lock(&locked.id).await.unwrap();
    place.add("pepper");
    running.rotate_pepper(2).await.unwrap();
    running.until_remaining(1, 2).await;
    assert_eq!(verdict(&running.admin, &locked).await, v1::Verdict::Locked);
    running.until_remaining(1, 1).await;
    let mut wrong = other.secret().into_bytes();
    let at = wrong.len() - 10;
    wrong[at] = if wrong[at] == b'x' { b'y' } else { b'x' };
    let wrong = String::from_utf8(wrong).unwrap();
    assert_eq!(running.admin.verdict(&wrong).await, v1::Verdict::Invalid);
    // Of another tenant.
    let outside = v1::VerifyRequest {
        any_tenant: false,
        tenant: "globex".to_owned(),
        ..other.question()
    };
    let outside = calls::verify(&running.admin, outside).await;
    assert_eq!(outside.verdict(), v1::Verdict::Invalid);
    let refused = running.retire_pepper(retire_pepper(1)).await.unwrap_err();
    assert_eq!(in_use(&refused).1, Some(1));
    running.stop();
}
