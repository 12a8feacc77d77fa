//! Kaspersky Threat Intelligence Portal: the one API token that a signed-in user
//! asks for, and the demo TAXII token.

use std::time::{SystemTime, UNIX_EPOCH};

use credd::domain::calendar::{Date, Period, TimeZone};
use credd::domain::time::Timestamp;
use credd::proto::v1;
use credd::proto::v1::issue_request::Expiry;

use super::{Product, fields, header_of, one, reveal, seconds};

fn utc() -> TimeZone {
    TimeZone::utc()
}

fn in_a_year(from: i64) -> i64 {
    let from = Timestamp::from_millis(from * 1000);
    let year = Period::parse("P1Y").unwrap();
    year.after(from, &utc()).unwrap().as_millis() / 1000
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

/// The date this many days from now, in UTC.
fn date_in(days: i64) -> String {
    let at = Timestamp::from_millis((now() + days * 86_400) * 1000);
    Date::at(at, &utc()).unwrap().to_string()
}

#[tokio::test]
async fn kaspersky_lets_users_ask_for_one_token_of_a_year_at_most_and_view_it() {
    let portal = Product::new("opentip").await;
    let jo = portal.user("jo", &[], &[]).await;

    // By default, one year is specified.
    let issued = jo.issue(portal.ask("jo", "kaspersky-tip")).await.unwrap();
    let (first, bare) = header_of(&issued.secret.unwrap());
    assert_eq!((first.name.as_str(), &first.value), ("X-API-KEY", &bare));
    let credential = issued.credential.unwrap();
    let created = seconds(credential.created_at);
    assert_eq!(seconds(credential.expires_at), in_a_year(created));
    // Validity and the days left are shown with the token, here and on every list.
    let days = u32::try_from((in_a_year(created) - created) / 86_400).unwrap();
    assert!([days, days - 1].contains(&credential.days_left.unwrap()));
    let listed = portal.list(&jo, "jo").await;
    assert_eq!(listed[0].expires_at, credential.expires_at);
    assert!(listed[0].days_left.is_some());

    // The token can be viewed at any time.
    let id = credential.id;
    assert_eq!(header_of(&reveal(&jo, &id).await.unwrap()).1, bare);
    assert_eq!(portal.verdict(&first).await, v1::Verdict::Active);

    // The period can't be changed after that.
    let change = v1::UpdateRequest {
        credential_id: id.clone(),
        expiry: Some(v1::update_request::Expiry::ExpiresOn(date_in(30))),
        ..Default::default()
    };
    let refused = jo.credentials.clone().update(change).await.unwrap_err();
    assert_eq!(fields(&refused), one("expiry"));

    // One can only request another token, with a date or a period; the one before
    // is replaced, of which a dry run warns.
    let in_30_days = date_in(30);
    let another = v1::IssueRequest {
        expiry: Some(Expiry::ExpiresOn(in_30_days.clone())),
        ..portal.ask("jo", "kaspersky-tip")
    };
    let warning = v1::IssueRequest {
        dry_run: true,
        ..another.clone()
    };
    let warned = jo.issue(warning).await.unwrap();
    assert!(warned.secret.is_none());
    assert_eq!(warned.replaced.len(), 1);
    assert_eq!(warned.replaced[0].id, id);
    assert_eq!(portal.verdict(&first).await, v1::Verdict::Active);

    let issued = jo.issue(another).await.unwrap();
    let credential = issued.credential.unwrap();
    let end = Date::parse(&in_30_days).unwrap().end_in(&utc()).unwrap();
    assert_eq!(seconds(credential.expires_at), end.as_millis() / 1000);
    assert!([29, 30].contains(&credential.days_left.unwrap()));
    let (second, _) = header_of(&issued.secret.unwrap());
    assert_eq!(portal.verdict(&first).await, v1::Verdict::Revoked);
    assert_eq!(portal.verdict(&second).await, v1::Verdict::Active);
    assert_eq!(portal.list(&jo, "jo").await.len(), 1);

    // A year is the most: a calendar year, by whichever way it is said.
    for (said, field) in [
        (Expiry::ExpiresOn(date_in(368)), "expires_on"),
        (Expiry::Period("P13M".to_owned()), "period"),
        (Expiry::Period("P366D".to_owned()), "period"),
        (Expiry::Never(true), "never"),
    ] {
        let request = v1::IssueRequest {
            expiry: Some(said),
            ..portal.ask("jo", "kaspersky-tip")
        };
        let refused = jo.issue(request).await.map(|_| ()).unwrap_err();
        assert_eq!(fields(&refused), one(field));
    }
    assert_eq!(portal.verdict(&second).await, v1::Verdict::Active);

    // Revoke token: it becomes invalid; a new one must be requested.
    jo.revoke(&credential.id).await.unwrap();
    assert_eq!(portal.verdict(&second).await, v1::Verdict::Revoked);
    assert!(portal.list(&jo, "jo").await.is_empty());
    assert!(reveal(&jo, &credential.id).await.is_err());
}

#[tokio::test]
async fn kaspersky_demo_tokens_last_thirty_days_and_are_one_a_user() {
    let portal = Product::new("opentip").await;
    let jo = portal.user("jo", &[], &[]).await;
    let ask = || portal.ask("jo", "kaspersky-demo-taxii");
    let issued = jo.issue(ask()).await.unwrap();
    let (first, bare) = header_of(&issued.secret.unwrap());
    let credential = issued.credential.unwrap();
    let lifetime = seconds(credential.expires_at) - seconds(credential.created_at);
    assert_eq!(lifetime, 30 * 86_400);
    assert_eq!(
        header_of(&reveal(&jo, &credential.id).await.unwrap()).1,
        bare
    );
    assert_eq!(portal.verdict(&first).await, v1::Verdict::Active);
    let longer = v1::IssueRequest {
        expiry: Some(Expiry::Period("P31D".to_owned())),
        ..ask()
    };
    let refused = jo.issue(longer).await.map(|_| ()).unwrap_err();
    assert_eq!(fields(&refused), one("period"));
    let (second, _) = header_of(&jo.issue(ask()).await.unwrap().secret.unwrap());
    assert_eq!(portal.verdict(&first).await, v1::Verdict::Revoked);
    assert_eq!(portal.verdict(&second).await, v1::Verdict::Active);
}
