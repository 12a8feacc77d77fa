//! Rotating the sealing key while secrets are shown again and requests sent again.

use super::*;
use crate::calls::Watched;

async fn reveal(client: &Client, id: &str) -> Result<String, Status> {
    let request = v1::RevealRequest {
        credential_id: id.to_owned(),
        reason: "test".to_owned(),
    };
    let shown = client.credentials.clone().reveal(request).await?;
    let shown = shown.into_inner();
    Ok(Held::of(shown.credential.as_ref(), shown.secret).secret())
}

fn request(owner: &str) -> v1::IssueRequest {
    v1::IssueRequest {
        request_id: calls::request_id(),
        ..calls::issue_request("acme", owner, "api-token")
    }
}

async fn send(client: &Client, request: &v1::IssueRequest) -> Held {
    let issued = client.issue(request.clone()).await.unwrap();
    Held::of(issued.credential.as_ref(), issued.secret)
}

async fn page(client: &Client, page_token: &str) -> v1::ListResponse {
    let request = v1::ListRequest {
        page_size: 10,
        page_token: page_token.to_owned(),
        ..support::list_request("acme")
    };
    client.list(request).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sealed_stays_readable_while_it_is_sealed_anew_and_after_the_old_key_is_gone() {
    const VIEWABLE: usize = 600;

    let place = Place::new();
    let running = Running::start(place.path()).await;
    let admin = &running.admin;
    let mut viewable = Vec::new();
    for n in 0..VIEWABLE {
        let owner = format!("owner-{n}");
        viewable.push(calls::issue(admin, "acme", &owner, "tenable-cs").await);
    }
    let before_pages = page(admin, "").await;
    let sent = request("jo");
    let made = send(admin, &sent).await;
    let locked_one = request("jo");
    let locked = send(admin, &locked_one).await;
    admin.lock(&locked.id).await.unwrap();
    let shown_before: Vec<_> = calls::everything(admin, "acme").await;
    assert_eq!(running.sealing_key(1).await.remaining, VIEWABLE as u64);
    let gauge = || running.gauge("credd_sealed_secrets{key_version=\"1\"}");
    assert_eq!(gauge().await, Some(VIEWABLE as u64));
    let mut watched = Watched::start(admin).await;

    // Somebody looks at them all the time.
    let stop = CancellationToken::new();
    let (client, stopped) = (running.admin.clone(), stop.clone());
    let secrets: Vec<_> = viewable
        .iter()
        .map(|held| (held.id.clone(), held.secret()))
        .collect();
    let looking = tokio::spawn(async move {
        let mut looks = 0_usize;
        for (id, secret) in secrets.iter().cycle() {
            if stopped.is_cancelled() && looks >= secrets.len() {
                return looks;
            }
            assert_eq!(reveal(&client, id).await.unwrap(), *secret);
            looks += 1;
        }
        looks
    });
    place.add("sealing");
    let rotated = running.rotate_sealing(2).await.unwrap();
    let keyring = rotated.keyring.unwrap();
    assert_eq!(keyring.sealing_keys[1].state(), v1::KeyState::Active);
    assert_eq!(keyring.peppers.len(), 1, "the pepper is another matter");
    // It is under way, and a request of before is known.
    assert_eq!(send(admin, &sent).await.secret(), made.secret());
    until("all to be sealed anew", || async {
        gauge().await == Some(0)
    })
    .await;
    assert_eq!(
        running
            .gauge("credd_sealed_secrets{key_version=\"2\"}")
            .await,
        Some(VIEWABLE as u64)
    );
    stop.cancel();
    assert!(looking.await.unwrap() >= VIEWABLE);

    // Nobody sees anything of it.
    let mut shown_after: Vec<_> = calls::everything(admin, "acme").await;
    shown_after.truncate(shown_before.len());
    assert_eq!(shown_after, shown_before);
    let marker = calls::issue(admin, "globex", "jo", "api-token").await;
    let (_, events) = watched.credentials().await;
    assert_eq!(events[0].credential_id, marker.id);

    // Page tokens and requests of before.
    let second = page(admin, &before_pages.next_page_token).await;
    assert_eq!(second.credentials.len(), 10);
    assert_eq!(send(admin, &sent).await.secret(), made.secret());
    let late = request("jo");
    let late_made = send(admin, &late).await;

    // They keep it from being retired, for a day.
    let refused = running.retire_sealing(retire_sealing(1)).await.unwrap_err();
    assert_eq!(in_use(&refused), ("KEY_IN_USE".to_owned(), Some(2)));
    assert_eq!(running.sealing_key(1).await.remaining_requests, 2);
    let dry = v1::RetireSealingKeyRequest {
        force: true,
        dry_run: true,
        ..retire_sealing(1)
    };
    let would = running.retire_sealing(dry.clone()).await.unwrap();
    assert_eq!(would.forgotten_requests, 2);
    assert_eq!(send(admin, &sent).await.secret(), made.secret());
    let force = v1::RetireSealingKeyRequest {
        dry_run: false,
        ..dry
    };
    let done = running.retire_sealing(force).await.unwrap();
    assert_eq!(done.forgotten_requests, 2);
    let key = running.sealing_key(1).await;
    assert_eq!(
        (key.state(), key.remaining_requests),
        (v1::KeyState::Retired, 0)
    );

    place.take_out("sealing", 1);
    let running = {
        running.stop();
        Running::start(place.path()).await
    };
    for held in &viewable {
        assert_eq!(
            reveal(&running.admin, &held.id).await.unwrap(),
            held.secret()
        );
    }
    let replayed = send(&running.admin, &late).await;
    assert_eq!(replayed.id, late_made.id);
    assert!(replayed.presented == late_made.presented);
    // What was forgotten by force is carried out again.
    assert_ne!(send(&running.admin, &sent).await.id, made.id);
    running.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_in_the_middle_of_sealing_anew_goes_on_with_it() {
    const VIEWABLE: usize = 700;

    let place = Place::new();
    let mut running = Running::start(place.path()).await;
    let mut viewable = Vec::new();
    for n in 0..VIEWABLE {
        let owner = format!("owner-{n}");
        viewable.push(calls::issue(&running.admin, "acme", &owner, "tenable-cs").await);
    }
    for version in 2..=4 {
        place.add("sealing");
        running.rotate_sealing(version).await.unwrap();
        until("some to be sealed anew", || async {
            running.sealing_key(version).await.remaining > 0
        })
        .await;
        running.program.kill();
        running = Running::start(place.path()).await;
        // One is rotated, one revoked, whatever key they are under.
        let [rotated, revoked] = [0, 1].map(|n| viewable[n + 2 * version as usize].id.clone());
        let rotated_to = calls::rotated(&running.admin, &rotated, 0).await;
        viewable[2 * version as usize] = rotated_to;
        running.admin.revoke(&revoked).await.unwrap();
    }
    until("all to be sealed anew", || async {
        let keys = running.keyring().await.sealing_keys;
        keys.iter()
            .all(|key| key.version == 4 || key.remaining == 0)
    })
    .await;
    for version in 1..=3 {
        running
            .retire_sealing(retire_sealing(version))
            .await
            .unwrap();
        place.take_out("sealing", version);
    }
    running.stop();
    let running = Running::start(place.path()).await;
    let revoked = [5, 7, 9];
    for (n, held) in viewable.iter().enumerate() {
        let shown = reveal(&running.admin, &held.id).await;
        if revoked.contains(&n) {
            assert!(shown.is_err(), "{n}");
        } else {
            assert_eq!(shown.unwrap(), held.secret(), "{n}");
        }
    }
    assert_eq!(
        running.sealing_key(4).await.remaining,
        (VIEWABLE - 3) as u64
    );
    running.stop();
}
