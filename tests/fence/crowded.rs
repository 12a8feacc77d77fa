//! More sessions than there is room for.

use std::sync::Arc;

use credd::authority::hub::RingSize;
use credd::domain::names::Principal;
use credd::domain::random::SystemRandom;
use credd::domain::revision::StoreId;
use credd::store::memory::MemoryStore;

use crate::calls::issue_caller;
use crate::in_process::InProcess;
use crate::session::Session;
use crate::support::until;

#[tokio::test(flavor = "multi_thread")]
async fn who_finds_no_room_gets_a_lease_once_there_is_some() {
    let store = Arc::new(MemoryStore::new(StoreId::from_random([3; 16])));
    let server = InProcess::start(store, RingSize::default()).await;
    issue_caller(&server.admin, "sidecar", &["verifier"]).await;
    let sessions = server.authority.sessions();
    let admin = Principal::parse("credd:jo").unwrap();
    let connect = || {
        sessions
            .connect(&admin, None, &SystemRandom::new())
            .unwrap()
    };
    let crowd: Vec<_> = std::iter::from_fn(connect).collect();

    let mut late = Session::start(&server.admin).await;
    // Whoever it speaks for, it is the same who is there.
    let mut in_another_name = Session::start_for(&server.admin, "credd:sidecar").await;
    for session in [&mut late, &mut in_another_name] {
        let grant = session.renew().await;
        assert_eq!((grant.lease, grant.session_id.as_str()), (None, ""));
    }

    drop(crowd);
    for session in [late, in_another_name] {
        let session = tokio::sync::Mutex::new(session);
        until("a lease", || async {
            session.lock().await.renew().await.lease.is_some()
        })
        .await;
        assert_ne!(session.lock().await.id, "");
    }
}
