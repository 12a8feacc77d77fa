//! Two secrets of one credential, until the overlap ends.

use std::time::Duration;

use credd::proto::v1;

use crate::calls::{self, reason, refused, reported, rotate, rotate_request, rotated, verdict};
use crate::support::until;
use crate::{MILLISECOND, start};

const HOUR: Duration = Duration::from_hours(1);

/// When each of the secrets was last used, the current one first.
async fn uses(client: &crate::support::Client, id: &str) -> Vec<(u32, Option<i64>)> {
    let secrets = client.get(id).await.unwrap().secrets;
    let mut uses: Vec<_> = secrets
        .into_iter()
        .map(|secret| (secret.generation, secret.last_used_at.map(|at| at.seconds)))
        .collect();
    uses.sort_by_key(|(generation, _)| std::cmp::Reverse(*generation));
    uses
}

#[tokio::test(flavor = "multi_thread")]
async fn both_secrets_are_good_until_it_ends_and_their_uses_are_told_apart() {
    let server = start().await;
    let admin = &server.admin;
    let first = calls::issue(admin, "acme", "jo", "api-token").await;
    let second = rotated(admin, &first.id, 3600).await;
    let begin = server.clock.millis() / 1000;
    let both = [&first, &second];
    for held in both {
        assert_eq!(verdict(admin, held).await, v1::Verdict::Active);
    }
    until("both uses to be written", || async {
        uses(admin, &first.id).await == [(2, Some(begin)), (1, Some(begin))]
    })
    .await;
    // The old one is quiet from then on.
    server.clock.advance(HOUR / 2);
    let half = server.clock.millis() / 1000;
    assert_eq!(verdict(admin, &second).await, v1::Verdict::Active);
    until("the use to be written", || async {
        uses(admin, &first.id).await == [(2, Some(half)), (1, Some(begin))]
    })
    .await;
    let again = rotate(admin, rotate_request(&first.id, 0)).await;
    assert_eq!(reason(&refused(again)), "OVERLAP_RUNNING");

    server.clock.advance(Duration::from_millis(1_799_999));
    for held in both {
        assert_eq!(verdict(admin, held).await, v1::Verdict::Active);
    }
    assert_eq!(admin.get(&first.id).await.unwrap().secrets.len(), 2);
    server.clock.advance(MILLISECOND);
    assert_eq!(verdict(admin, &first).await, v1::Verdict::Invalid);
    assert_eq!(verdict(admin, &second).await, v1::Verdict::Active);
    let secrets = admin.get(&first.id).await.unwrap().secrets;
    assert_eq!(secrets.len(), 1);
    assert_eq!((secrets[0].generation, secrets[0].ends_at), (2, None));
    let first_again = [first.secret()];
    assert_eq!(
        reported(admin, &first_again).await,
        [v1::LeakOutcome::NotOurs]
    );
    // The next rotation needs no end of an overlap.
    let third = rotated(admin, &first.id, 3600).await;
    assert_eq!(verdict(admin, &second).await, v1::Verdict::Active);
    assert_eq!(verdict(admin, &third).await, v1::Verdict::Active);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ending_it_ends_the_old_secret_at_once() {
    let server = start().await;
    let admin = &server.admin;
    let first = calls::issue(admin, "acme", "jo", "api-token").await;
    let second = rotated(admin, &first.id, 3600).await;
    let request = v1::RotateRequest {
        end_overlap: true,
        ..rotate_request(&first.id, 60)
    };
    let answer = rotate(admin, request).await.unwrap();
    let third = calls::Held::of(answer.credential.as_ref(), answer.secret);
    assert_eq!(verdict(admin, &first).await, v1::Verdict::Invalid);
    assert_eq!(verdict(admin, &second).await, v1::Verdict::Active);
    assert_eq!(verdict(admin, &third).await, v1::Verdict::Active);
    server.clock.advance(Duration::from_mins(1));
    assert_eq!(verdict(admin, &second).await, v1::Verdict::Invalid);
    assert_eq!(verdict(admin, &third).await, v1::Verdict::Active);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_secrets_that_are_reported_as_it_ends_lock_the_credential() {
    let server = start().await;
    let admin = &server.admin;
    let first = calls::issue(admin, "acme", "jo", "api-token").await;
    let second = rotated(admin, &first.id, 3600).await;
    server.clock.advance(HOUR);
    let outcomes = reported(admin, &[first.secret(), second.secret()]).await;
    assert_eq!(
        outcomes,
        [v1::LeakOutcome::NotOurs, v1::LeakOutcome::Locked]
    );
    assert_eq!(verdict(admin, &second).await, v1::Verdict::Locked);
    server.stop().await;
}
