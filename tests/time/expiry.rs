//! From when on a credential is denied.

use std::time::Duration;

use credd::proto::v1;
use credd::proto::v1::CredentialState::{Active, Expired, Locked};
use credd::proto::v1::issue_request::Expiry;
use credd::proto::v1::verify_response::End;
use tonic::Code;

use crate::calls::{
    self, Held, Watched, fields, issue_request, refused, rotate, rotate_request, verdict, verify,
};
use crate::clocked::Clocked;
use crate::{MILLISECOND, START, moment, start};

async fn issue(server: &Clocked, profile: &str, zone: &str, expiry: Expiry) -> v1::IssueResponse {
    let request = v1::IssueRequest {
        time_zone: zone.to_owned(),
        expiry: Some(expiry),
        ..issue_request("acme", "jo", profile)
    };
    server.admin.issue(request).await.unwrap()
}

async fn held(server: &Clocked, expiry: Expiry) -> Held {
    let issued = issue(server, "api-token", "", expiry).await;
    Held::of(issued.credential.as_ref(), issued.secret)
}

/// When a credential that is issued now expires.
async fn expires_at(server: &Clocked, profile: &str, zone: &str, expiry: Expiry) -> i64 {
    let issued = issue(server, profile, zone, expiry).await;
    let at = issued.credential.unwrap().expires_at.unwrap();
    at.seconds * 1000 + i64::from(at.nanos / 1_000_000)
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_denied_from_the_very_millisecond() {
    let server = start().await;
    let end = START + 90_061_001;
    let by_moment = held(&server, Expiry::ExpiresAt(moment(end))).await;
    let by_ttl = Expiry::Ttl(prost_types::Duration {
        seconds: 90_061,
        nanos: 1_000_000,
    });
    let by_ttl = held(&server, by_ttl).await;
    server.admin.bind("credd:guest", "administrator", "*").await;
    let caller = v1::IssueRequest {
        roles: vec!["administrator".to_owned()],
        expiry: Some(Expiry::ExpiresAt(moment(end))),
        ..issue_request("credd", "guest", "api-token")
    };
    let caller = server.admin.issue(caller).await.unwrap();
    let caller = Held::of(caller.credential.as_ref(), caller.secret).secret();
    let guest = server.client(&caller).await;

    server.clock.set(end - 1);
    for held in [&by_moment, &by_ttl] {
        assert_eq!(verdict(&guest, held).await, v1::Verdict::Active);
        let credential = server.admin.get(&held.id).await.unwrap();
        assert_eq!(
            (credential.state(), credential.days_left),
            (Active, Some(0))
        );
    }
    server.clock.set(end);
    for held in [&by_moment, &by_ttl] {
        assert_eq!(verdict(&server.admin, held).await, v1::Verdict::Expired);
        let credential = server.admin.get(&held.id).await.unwrap();
        assert_eq!(
            (credential.state(), credential.days_left),
            (Expired, Some(0))
        );
        let rotation = rotate(&server.admin, rotate_request(&held.id, 0)).await;
        assert_eq!(calls::reason(&refused(rotation)), "CREDENTIAL_EXPIRED");
    }
    let status = refused(guest.get(&by_ttl.id).await);
    assert_eq!(status.code(), Code::Unauthenticated);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_follows_that_changes_nothing() {
    let mut server = start().await;
    let end = START + 60_000;
    let held = held(&server, Expiry::ExpiresAt(moment(end))).await;
    let locked = self::held(&server, Expiry::ExpiresAt(moment(end))).await;
    server.admin.lock(&locked.id).await.unwrap();
    let revoked = self::held(&server, Expiry::ExpiresAt(moment(end))).await;
    server.admin.revoke(&revoked.id).await.unwrap();
    let mut watched = Watched::start(&server.admin).await;
    server.clock.set(end - 1);
    server.sweep().await;
    server.clock.set(end);
    let before = server.admin.get(&held.id).await.unwrap();
    let answer = verify(&server.admin, held.question()).await;

    server.sweep().await;
    let (_, mut events) = watched.credentials().await;
    events.sort_by_key(|event| event.credential_id != held.id);
    let ids: Vec<_> = events
        .iter()
        .map(|event| event.credential_id.as_str())
        .collect();
    assert_eq!(ids, [held.id.as_str(), locked.id.as_str()]);
    for event in &events {
        assert_eq!(event.r#type(), v1::ChangeType::Expired);
    }
    assert_eq!(events[1].state(), Locked);
    let after = server.admin.get(&held.id).await.unwrap();
    assert_eq!(after.state_revision, before.state_revision);
    let ignoring = |credential: v1::Credential| v1::Credential {
        last_change: None,
        revision: None,
        ..credential
    };
    assert_eq!(ignoring(after), ignoring(before));
    let now = verify(&server.admin, held.question()).await;
    assert_eq!(now.verdict(), answer.verdict());

    // It is told once, also after a restart.
    server.sweep().await;
    server = server.restart().await;
    let mut watched = Watched::start(&server.admin).await;
    server.sweep().await;
    let mark = server.admin.lock(&held.id).await.unwrap();
    let (revision, _) = watched.credentials().await;
    assert_eq!(
        Some(revision),
        mark.revision.map(|revision| revision.number)
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_calendar_year_is_a_calendar_year() {
    // Issued at, in this zone, and at most until; the year has so many days.
    let years = [
        // 2028-02-29T12:00Z to 2029-02-28T12:00Z: from the leap day on.
        (1_835_438_400, "", 1_866_974_400),
        // 2027-03-01T12:00Z to 2028-03-01T12:00Z: over the leap day.
        (1_803_902_400, "", 1_835_524_800),
        // 2026-03-28T12:00+01:00 to 2027-03-28T12:00+02:00: the clocks change
        // a day later in the one year, and that day in the other.
        (1_774_695_600, "Europe/Berlin", 1_806_228_000),
    ];
    for (now, zone, end) in years {
        let server = start().await;
        server.clock.set(now * 1000);
        let said = v1::IssueRequest {
            time_zone: zone.to_owned(),
            ..issue_request("acme", "jo", "kaspersky-tip")
        };
        let unsaid = server.admin.issue(said.clone()).await.unwrap();
        assert_eq!(
            unsaid.credential.unwrap().expires_at,
            Some(moment(end * 1000))
        );
        let period = Expiry::Period("P1Y".to_owned());
        let at = expires_at(&server, "kaspersky-tip", zone, period).await;
        assert_eq!(at, end * 1000);
        let latest = Expiry::ExpiresAt(moment(end * 1000));
        let at = expires_at(&server, "kaspersky-tip", zone, latest).await;
        assert_eq!(at, end * 1000);
        let later = v1::IssueRequest {
            expiry: Some(Expiry::ExpiresAt(moment(end * 1000 + 1))),
            ..said
        };
        let status = refused(server.admin.issue(later).await);
        assert_eq!(fields(&status), ["expires_at"]);
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_ends_where_the_holder_is() {
    let server = start().await;
    let days = [
        ("2027-01-01", "", START + 86_400_000),
        ("2027-01-01", "Asia/Kathmandu", 1_798_827_300_000),
        // A day of 25 hours.
        ("2027-11-07", "America/New_York", 1_825_650_000_000),
        // The day after begins at one o'clock.
        ("2027-04-29", "Africa/Cairo", 1_809_036_000_000),
    ];
    for (day, zone, end) in days {
        let on = Expiry::ExpiresOn(day.to_owned());
        assert_eq!(
            expires_at(&server, "api-token", zone, on).await,
            end,
            "{zone}"
        );
    }
    let on = held(&server, Expiry::ExpiresOn("2027-01-01".to_owned())).await;
    server.clock.advance(Duration::from_millis(86_399_999));
    assert_eq!(verdict(&server.admin, &on).await, v1::Verdict::Active);
    server.clock.advance(MILLISECOND);
    assert_eq!(verdict(&server.admin, &on).await, v1::Verdict::Expired);
    // That day is over: it would be expired at once.
    let yesterday = v1::IssueRequest {
        expiry: Some(Expiry::ExpiresOn("2027-01-01".to_owned())),
        ..issue_request("acme", "jo", "api-token")
    };
    let status = refused(server.admin.issue(yesterday.clone()).await);
    assert_eq!(fields(&status), ["expires_on"]);
    // Where the day lasts longer it is not.
    let elsewhere = v1::IssueRequest {
        time_zone: "Pacific/Honolulu".to_owned(),
        ..yesterday
    };
    server.admin.issue(elsewhere).await.unwrap();
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_says_when_the_secret_ends_and_is_never_good_for_longer() {
    let server = start().await;
    let first = held(&server, Expiry::ExpiresAt(moment(START + 100_000))).await;
    let second = calls::rotated(&server.admin, &first.id, 50).await;
    let minute = Duration::from_mins(1);
    for after in [
        0, 1, 30_000, 39_999, 40_000, 40_001, 49_999, 50_000, 99_000, 99_999,
    ] {
        server.clock.set(START + i64::try_from(after).unwrap());
        let ends = [(&first, 50_000_u64), (&second, 100_000)];
        for (held, end) in ends {
            let answer = verify(&server.admin, held.question()).await;
            if after >= end {
                assert_eq!(answer.verdict(), v1::Verdict::Invalid, "{after}");
                assert_eq!((answer.valid_for, answer.end), (None, None));
                continue;
            }
            assert_eq!(answer.verdict(), v1::Verdict::Active, "{after}");
            let left = Duration::from_millis(end - after);
            let valid_for = Duration::try_from(answer.valid_for.unwrap()).unwrap();
            assert_eq!(valid_for, minute.min(left), "{after}");
            let ends_in = End::EndsIn(left.try_into().unwrap());
            assert_eq!(answer.end, Some(ends_in), "{after}");
        }
    }
    let never = held(&server, Expiry::Never(true)).await;
    let answer = verify(&server.admin, never.question()).await;
    assert_eq!(answer.end, Some(End::NeverEnds(true)));
    server.stop().await;
}
