//! Leases of before a store was restored, of which its backup may not tell.

use std::fs;
use std::path::Path;
use std::time::Duration;

use credd::proto::v1;
use tonic::Request;

use crate::calls::{reason, refused};
use crate::place::{Place, Running, restore_command};
use crate::support::program::{Ended, Program, serve_everything};
use crate::support::{Client, read_token, revoke_request, soon};

const SHORT: [(&str, &str); 1] = [("CREDD_FENCE_LEASE_MS", "200")];

/// Serves data with short leases.
async fn serve(place: &Place, directory: &Path) -> Running {
    let mut command = serve_everything(&[], directory);
    command.envs(SHORT);
    let (program, address) = Program::serve(command);
    let token = read_token(&place.data());
    Running {
        program,
        address,
        admin: Client::connect(address, &token).await,
        token,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fence_waits_for_leases_that_may_have_been_longer_after_the_backup() {
    let place = Place::new();
    let server = serve(&place, &place.data()).await;
    let (id, _) = server.admin.issue_token("acme").await;
    let file = place.path("backup");
    fs::write(&file, server.backup().await).unwrap();
    server.stop();

    let directory = place.fresh("restored");
    let file = file.to_str().unwrap();
    let mut command = restore_command(&directory, &["--from", file]);
    command.arg("--accept-lost-revocations").envs(SHORT);
    let Ended { status, output } = Program::start(command).end();
    assert!(status.success(), "{output}");
    let server = serve(&place, &directory).await;
    let mut request = Request::new(v1::RevokeRequest {
        fence: true,
        ..revoke_request(&id)
    });
    request.set_timeout(Duration::from_secs(2));
    let mut credentials = server.admin.credentials.clone();
    let open = soon("an answer", credentials.revoke(request)).await;
    assert_eq!(reason(&refused(open.map(drop))), "FENCE_OPEN");
    server.stop();
}
