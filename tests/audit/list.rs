//! Listing, following, and who sees what.

use std::time::{Duration, SystemTime};

use credd::proto::v1::{self, AuditEvent, AuditFilter, ListEventsRequest};
use tonic::Code;

use crate::calls::{issue_caller, put_role};
use crate::support::{Client, Server, soon, token_request};
use crate::{events, events_once, number, of_rpc, page};

fn sequences(events: &[AuditEvent]) -> Vec<u64> {
    events.iter().map(|event| event.sequence).collect()
}

/// All events, by pages of this size.
async fn paged(client: &Client, request: &ListEventsRequest) -> Vec<AuditEvent> {
    let mut all = Vec::new();
    let mut request = request.clone();
    loop {
        let page = page(client, request.clone()).await.unwrap();
        assert!(page.events.len() <= usize::try_from(request.page_size).unwrap());
        all.extend(page.events);
        if page.next_page_token.is_empty() {
            return all;
        }
        request.page_token = page.next_page_token;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_what_the_whole_list_is_in_either_order() {
    let server = Server::start().await;
    let admin = &server.admin;
    for tenant in ["acme", "globex", "acme", "initech", "acme"] {
        let (id, _) = admin.issue_token(tenant).await;
        admin.lock(&id).await.unwrap();
    }
    // Whatever was counted so far.
    events(admin, AuditFilter::default()).await;
    let until = SystemTime::now() + Duration::from_millis(1);
    let filters = [
        AuditFilter::default(),
        of_rpc("CredentialService/Issue"),
        AuditFilter {
            tenant: "acme".to_owned(),
            ..Default::default()
        },
        AuditFilter {
            outcome: v1::AuditOutcome::Refused.into(),
            ..Default::default()
        },
    ];
    for (at, filter) in filters.into_iter().enumerate() {
        let filter = AuditFilter {
            until: Some(until.into()),
            ..filter
        };
        let whole = events(admin, filter.clone()).await;
        assert_eq!(whole.is_empty(), at == 3, "{filter:?}");
        assert!(sequences(&whole).is_sorted());
        for page_size in [1, 2, 5, 1000] {
            let oldest = ListEventsRequest {
                filter: Some(filter.clone()),
                page_size,
                ..Default::default()
            };
            assert_eq!(sequences(&paged(admin, &oldest).await), sequences(&whole));
            let newest = ListEventsRequest {
                order: v1::AuditOrder::NewestFirst.into(),
                ..oldest
            };
            let mut backwards = sequences(&paged(admin, &newest).await);
            backwards.reverse();
            assert_eq!(backwards, sequences(&whole));
        }
    }
    let acme = AuditFilter {
        tenant: "acme".to_owned(),
        ..of_rpc("CredentialService/Lock")
    };
    assert_eq!(events(admin, acme).await.len(), 3);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn times_and_credentials_narrow_a_list() {
    let server = Server::start().await;
    let admin = &server.admin;
    let (first, _) = admin.issue_token("acme").await;
    tokio::time::sleep(Duration::from_millis(5)).await;
    let between = SystemTime::now();
    tokio::time::sleep(Duration::from_millis(5)).await;
    let (second, _) = admin.issue_token("acme").await;
    for (filter, expected) in [
        (
            AuditFilter {
                until: Some(between.into()),
                ..of_rpc("CredentialService/Issue")
            },
            &first,
        ),
        (
            AuditFilter {
                from: Some(between.into()),
                ..of_rpc("CredentialService/Issue")
            },
            &second,
        ),
        (
            AuditFilter {
                credential_id: second.clone(),
                ..Default::default()
            },
            &second,
        ),
    ] {
        let found = events(admin, filter).await;
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].credential_ids, [expected.as_str()]);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_token_is_good_for_its_caller_and_its_list_alone() {
    let server = Server::start().await;
    let admin = &server.admin;
    for _ in 0..3 {
        admin.issue_token("acme").await;
    }
    let request = ListEventsRequest {
        page_size: 1,
        ..Default::default()
    };
    let token = page(admin, request.clone()).await.unwrap().next_page_token;
    let auditor = issue_caller(admin, "auditor", &["auditor"]).await;
    let auditor = server.client(&auditor).await;
    let with = |change: &dyn Fn(&mut ListEventsRequest)| {
        let mut request = ListEventsRequest {
            page_token: token.clone(),
            ..request.clone()
        };
        change(&mut request);
        request
    };
    page(admin, with(&|_| ())).await.unwrap();
    let filtered = with(&|r| r.filter = Some(of_rpc("CredentialService/Issue")));
    let newest = with(&|r| r.order = v1::AuditOrder::NewestFirst.into());
    let made_up = with(&|r| r.page_token = "AAAA".to_owned());
    for (client, request) in [
        (&auditor, with(&|_| ())),
        (admin, filtered),
        (admin, newest),
        (admin, made_up),
    ] {
        let status = page(client, request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().contains("page_token"), "{status}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_field_of_a_bad_request_is_named() {
    let server = Server::start().await;
    let admin = &server.admin;
    let bad_time = prost_types::Timestamp {
        seconds: i64::MAX,
        nanos: 0,
    };
    let request = ListEventsRequest {
        filter: Some(AuditFilter {
            tenant: "No Tenant".to_owned(),
            principal: "x".repeat(257),
            action: "x".repeat(257),
            credential_id: "none".to_owned(),
            outcome: 77,
            from: Some(bad_time),
            until: Some(bad_time),
        }),
        order: 77,
        page_size: -1,
        ..Default::default()
    };
    let status = page(admin, request).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    for field in [
        "filter.tenant",
        "filter.principal",
        "filter.action",
        "filter.credential_id",
        "filter.outcome",
        "filter.from",
        "filter.until",
        "order",
        "page_size",
    ] {
        assert!(status.message().contains(field), "{field}: {status}");
    }
    let request = ListEventsRequest {
        order: v1::AuditOrder::NewestFirst.into(),
        follow: true,
        ..Default::default()
    };
    let status = page(admin, request).await.unwrap_err();
    assert!(status.message().contains("follow"), "{status}");

    let head = |chain, hash: &str| v1::AuditHead {
        chain,
        sequence: 1,
        hash: hash.to_owned(),
    };
    let good = "0".repeat(64);
    for (heads, field) in [
        (vec![head(1, &good)], "expected[0].chain"),
        (vec![head(0, &good), head(0, "zz")], "expected[1].hash"),
        (vec![head(0, &good); 101], "expected"),
    ] {
        let request = v1::VerifyChainRequest { expected: heads };
        let status = admin.audit.clone().verify_chain(request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().contains(field), "{field}: {status}");
    }
    for (named, field) in [
        (None, "named"),
        (
            Some(v1::erase_events_request::Named::Principal(String::new())),
            "principal",
        ),
        (
            Some(v1::erase_events_request::Named::Owner(v1::AuditOwner {
                tenant: "No".to_owned(),
                name: String::new(),
            })),
            "owner.name",
        ),
    ] {
        let request = v1::EraseEventsRequest {
            named,
            ..Default::default()
        };
        let status = admin.audit.clone().erase_events(request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().contains(field), "{field}: {status}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_are_walls() {
    let server = Server::start().await;
    let admin = &server.admin;
    let (own, _) = admin.issue_token("acme").await;
    let (foreign, _) = admin.issue_token("globex").await;
    let issued = admin
        .issue(v1::IssueRequest {
            owner: "acme-auditor".to_owned(),
            ..token_request("credd")
        })
        .await
        .unwrap();
    let token = crate::support::token_of(issued.secret);
    admin.bind("credd:acme-auditor", "auditor", "acme").await;
    let auditor = server.client(&token).await;

    let seen = events(&auditor, AuditFilter::default()).await;
    assert!(!seen.is_empty());
    assert!(seen.iter().all(|event| event.tenant == "acme"), "{seen:?}");
    let own_events = AuditFilter {
        credential_id: own,
        ..Default::default()
    };
    assert_eq!(events(&auditor, own_events).await.len(), 1);
    // As of one that does not exist.
    let foreign_events = AuditFilter {
        credential_id: foreign,
        ..Default::default()
    };
    assert!(events(&auditor, foreign_events).await.is_empty());
    for tenant in ["globex", "nowhere", "credd"] {
        let request = ListEventsRequest {
            filter: Some(AuditFilter {
                tenant: tenant.to_owned(),
                ..Default::default()
            }),
            ..Default::default()
        };
        let status = page(&auditor, request).await.unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied, "{tenant}");
    }
    let request = v1::VerifyChainRequest::default();
    let status = auditor.audit.clone().verify_chain(request).await;
    assert_eq!(status.unwrap_err().code(), Code::PermissionDenied);
    let request = v1::EraseEventsRequest {
        named: Some(v1::erase_events_request::Named::Principal(
            "credd:x".to_owned(),
        )),
        ..Default::default()
    };
    let status = auditor.audit.clone().erase_events(request).await;
    assert_eq!(status.unwrap_err().code(), Code::PermissionDenied);
    server.stop().await;
}

/// A stream that follows events.
async fn follow(client: &Client, request: ListEventsRequest) -> Following {
    let request = ListEventsRequest {
        follow: true,
        ..request
    };
    let stream = client.audit.clone().list_events(request).await.unwrap();
    Following {
        stream: stream.into_inner(),
        waiting: Vec::new(),
        token: String::new(),
    }
}

struct Following {
    stream: tonic::Streaming<v1::ListEventsResponse>,
    waiting: Vec<AuditEvent>,
    token: String,
}

impl Following {
    async fn next(&mut self) -> AuditEvent {
        while self.waiting.is_empty() {
            let page = soon("a page", self.stream.message())
                .await
                .unwrap()
                .unwrap();
            self.token = page.next_page_token;
            assert!(!self.token.is_empty());
            self.waiting = page.events;
        }
        self.waiting.remove(0)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_follows_sees_each_event_once_as_it_is_committed() {
    let server = Server::start().await;
    let admin = &server.admin;
    admin.issue_token("acme").await;
    let issues = ListEventsRequest {
        filter: Some(of_rpc("CredentialService/Issue")),
        page_size: 2,
        ..Default::default()
    };
    let mut following = follow(admin, issues.clone()).await;
    assert_eq!(following.next().await.tenant, "acme");
    let mut revisions = Vec::new();
    for n in 0..20 {
        let request = token_request(["globex", "acme"][n % 2]);
        let made = admin.issue(request).await.unwrap();
        revisions.push(number(made.revision));
        let event = following.next().await;
        assert_eq!(number(event.revision), revisions[n]);
        assert_eq!(event.credential_ids, [made.credential.unwrap().id]);
        // Others are left out.
        admin.lock(&event.credential_ids[0]).await.unwrap();
    }
    // Taken up where it was left.
    let token = following.token.clone();
    drop(following);
    let last = admin.issue(token_request("acme")).await.unwrap();
    let mut again = follow(
        admin,
        ListEventsRequest {
            page_token: token,
            ..issues
        },
    )
    .await;
    assert_eq!(number(again.next().await.revision), number(last.revision));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_follows_is_cut_off_when_no_longer_good_and_when_the_server_stops() {
    let mut server = Server::start().await;
    let admin = &server.admin;
    put_role(admin, "credd", "reader", &["credd.audit.read"]).await;
    let token = issue_caller(admin, "reader", &["reader"]).await;
    let reader = server.client(&token).await;
    let mut cut = follow(&reader, ListEventsRequest::default()).await;
    cut.next().await;
    let unbind = v1::DeleteBindingRequest {
        principal: "credd:reader".to_owned(),
        role: "reader".to_owned(),
        tenant: "*".to_owned(),
        ..Default::default()
    };
    admin
        .directory
        .clone()
        .delete_binding(unbind)
        .await
        .unwrap();
    let status = loop {
        match soon("the end", cut.stream.message()).await {
            Ok(Some(page)) => {
                let told = page.events.iter();
                let mut told = told.map(|event| event.action.as_str());
                assert!(told.all(|action| action != "credd.v1.DirectoryService/DeleteBinding"));
            }
            Ok(None) => panic!("it ended well"),
            Err(status) => break status,
        }
    };
    assert_eq!(status.code(), Code::Unauthenticated);

    let mut last = follow(admin, ListEventsRequest::default()).await;
    last.next().await;
    server.begin_stop();
    let status = loop {
        match soon("the end", last.stream.message()).await {
            Ok(Some(_)) => (),
            Ok(None) => panic!("it ended well"),
            Err(status) => break status,
        }
    };
    assert_eq!(status.code(), Code::Unavailable);
    drop((cut, last, reader));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_page_shows_what_was_refused_a_moment_ago() {
    let server = Server::start().await;
    let stranger = server.client("nobody").await;
    assert!(stranger.get("id").await.is_err());
    let begin = std::time::Instant::now();
    let found = events_once(&server.admin, of_rpc("CredentialService/Get"), |events| {
        !events.is_empty()
    })
    .await;
    assert_eq!(found[0].outcome, "CALLER_UNKNOWN");
    assert!(
        begin.elapsed() < Duration::from_secs(8),
        "{:?}",
        begin.elapsed()
    );
    server.stop().await;
}
