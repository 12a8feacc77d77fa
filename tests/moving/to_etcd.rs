//! Into the real etcd, and out of it.

use std::fs;

use bytes::Bytes;
use credd::authority::backup::Filling;
use credd::domain::random::SystemRandom;
use credd::domain::revision::StoreId;
use credd::domain::time::Timestamp;
use credd::proto::v1;
use credd::store::etcd::{EtcdStore, Options};
use credd::store::{KeyRange, Store as _, Write};

use crate::contents;
use crate::etcd::Cluster;
use crate::place::{Place, Running, Store};
use crate::processes::Sidecar;
use crate::support::{Client, at_socket, tool, until};

fn options(cluster: &Cluster, prefix: &str) -> Options {
    Options {
        members: cluster.members(),
        credentials: None,
        prefix: prefix.to_owned(),
        forget_after: std::time::Duration::from_hours(1),
        may_compact: false,
    }
}

/// An embedded store that is served, and an etcd to move it to.
struct Before {
    cluster: Cluster,
    place: Place,
    embedded: Store,
    server: Running,
    token: String,
    admin: Client,
}

/// `None`: there is no etcd.
async fn before() -> Option<Before> {
    let cluster = Cluster::start(&tool("CREDD_TEST_ETCD")?);
    let place = Place::new();
    let embedded = place.embedded("embedded");
    let server = embedded.serve();
    let token = embedded.token();
    let admin = server.client(&token).await;
    Some(Before {
        cluster,
        place,
        embedded,
        server,
        token,
        admin,
    })
}

/// Whether there is a store under a prefix.
fn exists(cluster: &Cluster, prefix: &str) -> bool {
    let options = options(cluster, prefix);
    std::thread::scope(|scope| {
        let look = scope.spawn(|| EtcdStore::exists(&options).unwrap());
        look.join().unwrap()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_moves_into_etcd_and_back_and_who_follows_it_goes_on() {
    let Some(before) = before().await else {
        return;
    };
    let Before {
        cluster,
        place,
        embedded,
        server,
        token,
        admin,
    } = before;
    let address = server.address;
    let contents = contents::make(&admin).await;
    let (id, secret) = admin.issue_token("acme").await;
    let (_, verifier) = admin.issue_verifier("sidecar").await;
    let file = place.path("verifier");
    fs::write(&file, &verifier).unwrap();
    let sidecar = Sidecar::start(&format!("http://{address}"), Some(&file)).await;
    let near = Client::over(at_socket(sidecar.socket()), "nobody");
    assert_eq!(near.verdict(&secret).await, v1::Verdict::Active);
    server.stop();

    let export = place.path("export");
    embedded.export(&export);
    let bytes = fs::read(&export).unwrap();
    let one = place.in_etcd("one", &cluster, "/moved/");
    let bad = place.path("bad");
    for at in [20, bytes.len() / 2, bytes.len() - 1] {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1;
        fs::write(&bad, bytes).unwrap();
        let said = one.refused("import", &["--from", bad.to_str().unwrap()]);
        assert!(said.contains("at byte"), "{said}");
        assert!(!exists(&cluster, "/moved/"));
    }
    one.import(&export);
    let full = one.refused("import", &["--from", export.to_str().unwrap()]);
    assert!(
        full.contains("a store in etcd under /moved/ already"),
        "{full}"
    );

    let first = one.serve_at(address);
    let two = place.in_etcd("two", &cluster, "/moved/");
    let second = two.serve();
    contents.assert_moved(&first.client(&token).await).await;
    contents.assert_there(&second.client(&token).await).await;
    // The sidecar follows the other store, and hears of what is revoked there.
    until("the sidecar to answer again", || async {
        let answer = near.verify_token(&secret).await;
        answer.is_ok_and(|answer| answer.verdict() == v1::Verdict::Active)
    })
    .await;
    let request = v1::RevokeRequest {
        fence: true,
        ..crate::support::revoke_request(&id)
    };
    let admin = second.client(&token).await;
    admin.credentials.clone().revoke(request).await.unwrap();
    let late = near.verify_token(&secret).await;
    assert!(late.is_err() || late.unwrap().verdict() == v1::Verdict::Revoked);

    // Servers that run end, and are not served again.
    let back = place.path("back");
    place.in_etcd("exporter", &cluster, "/moved/").export(&back);
    for server in [first, second] {
        let ended = server.program.end();
        assert_eq!(ended.status.code(), Some(1), "{}", ended.output);
        assert!(
            ended.output.contains("the store was exported"),
            "{}",
            ended.output
        );
    }
    let said = two.not_served();
    assert!(said.contains("the store was exported"), "{said}");
    let again = place.embedded("again");
    again.import(&back);
    let server = again.serve();
    contents.assert_there(&server.client(&token).await).await;
    let admin = server.client(&token).await;
    assert_eq!(admin.verdict(&secret).await, v1::Verdict::Revoked);
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_import_that_was_cut_short_left_in_etcd_is_not_served_and_makes_way() {
    let Some(before) = before().await else {
        return;
    };
    let Before {
        cluster,
        place,
        embedded,
        server,
        token,
        admin,
    } = before;
    let contents = contents::make(&admin).await;
    server.stop();
    let export = place.path("export");
    embedded.export(&export);

    let options = options(&cluster, "/credd/");
    let left = move || {
        let id = StoreId::from_random([7; 16]);
        let store = EtcdStore::open(options, &SystemRandom::new(), Some(id)).unwrap();
        let mut filling = Filling::begin(&store, Timestamp::from_millis(1)).unwrap();
        for n in 0..200 {
            filling
                .write(Write {
                    key: Bytes::from(format!("zz{n}")),
                    value: Some(Bytes::from_static(b"half of a store")),
                })
                .unwrap();
        }
        drop(filling);
        assert!(store.scan(&KeyRange::all(), 1000).unwrap().len() > 100);
    };
    tokio::task::spawn_blocking(left).await.unwrap();
    let moved = place.in_etcd("moved", &cluster, "/credd/");
    let said = moved.not_served();
    assert!(said.contains("the store is being filled"), "{said}");
    moved.import(&export);
    let server = moved.serve();
    contents.assert_moved(&server.client(&token).await).await;
    server.stop();
}

/// What is made anew of secrets stands beside their credentials, and is filled in with
/// them.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_hashed_anew_moves_and_can_be_revoked() {
    let Some(before) = before().await else {
        return;
    };
    let Before {
        cluster,
        place,
        embedded,
        server,
        token,
        admin,
    } = before;
    let mut issued = Vec::new();
    for _ in 0..5 {
        issued.push(admin.issue_token("acme").await);
    }
    place.add_pepper();
    let mut operations = contents::operations(server.address, &token).await;
    until("the server to have loaded the pepper", || {
        let mut operations = operations.clone();
        async move {
            let request = v1::RotatePepperRequest {
                version: 2,
                ..Default::default()
            };
            operations.rotate_pepper(request).await.is_ok()
        }
    })
    .await;
    for (_, secret) in &issued {
        assert_eq!(admin.verdict(secret).await, v1::Verdict::Active);
    }
    until("all to be hashed anew", || {
        let mut operations = operations.clone();
        async move {
            let status = operations.get_status(v1::GetStatusRequest {}).await;
            let keyring = status.unwrap().into_inner().keyring.unwrap();
            keyring
                .peppers
                .iter()
                .any(|it| it.version == 1 && it.remaining == 0)
        }
    })
    .await;
    let request = v1::RetirePepperRequest {
        version: 1,
        ..Default::default()
    };
    operations.retire_pepper(request).await.unwrap();
    server.stop();
    let export = place.path("export");
    embedded.export(&export);
    let moved = place.in_etcd("moved", &cluster, "/rekeyed/");
    moved.import(&export);
    let server = moved.serve();
    let admin = server.client(&token).await;
    for (id, secret) in &issued {
        assert_eq!(admin.verdict(secret).await, v1::Verdict::Active);
        let revision = admin.revoke(id).await.unwrap().revision;
        let again = admin.revoke(id).await.unwrap().revision;
        assert_eq!(again, revision);
        assert_eq!(admin.verdict(secret).await, v1::Verdict::Revoked);
    }
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_restored_into_etcd_and_nobody_is_answered_before_it_is_settled() {
    let Some(before) = before().await else {
        return;
    };
    let Before {
        cluster,
        place,
        embedded: _,
        server,
        token,
        admin,
    } = before;
    let (_, kept) = admin.issue_token("acme").await;
    let backup = place.path("backup");
    fs::write(&backup, contents::backup(server.address, &token).await).unwrap();
    server.stop();

    let restored = place.in_etcd("restored", &cluster, "/restored/");
    restored.done("restore", &["--from", backup.to_str().unwrap()]);
    let server = restored.serve_unsettled();
    let admin = server.client(&token).await;
    let status = admin.verify_token(&kept).await.unwrap_err();
    assert_eq!(crate::calls::reason(&status), "RESTORED", "{status:?}");
    server.stop();
    restored.done("restore", &["--accept-lost-revocations"]);
    let server = restored.serve();
    let admin = server.client(&token).await;
    assert_eq!(admin.verdict(&kept).await, v1::Verdict::Active);
    server.stop();
}
