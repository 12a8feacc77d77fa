//! Who may call at all.

use bytes::Bytes;
use tonic::{Code, Request};

use crate::support::raw::{self, rpcs};
use crate::support::{read_token, soon};
use crate::unchanged::{Unchanged, everything, reason_of};
use crate::wire::good_request;

#[tokio::test(flavor = "multi_thread")]
async fn no_rpc_answers_an_unknown_caller() {
    let unchanged = Unchanged::start().await;
    let admin = read_token(unchanged.server.directory.path());
    let customers = unchanged.token.clone();
    let last = if admin.ends_with('0') { "1" } else { "0" };
    let wrong = format!("{}{last}", &admin[..admin.len() - 1]);
    let (former, locked) = unchanged.admin().issue_verifier("former").await;
    unchanged.admin().lock(&former).await.unwrap();
    let (former, revoked) = unchanged.admin().issue_verifier("former").await;
    unchanged.admin().revoke(&former).await.unwrap();
    let before = everything(unchanged.admin()).await;

    let bearer = |token: &str| vec![format!("Bearer {token}")];
    let callers = [
        ("nobody", Vec::new()),
        ("an empty token", bearer("")),
        ("a wrong token", bearer(&wrong)),
        ("a customer", bearer(&customers)),
        ("a locked caller", bearer(&locked)),
        ("a revoked caller", bearer(&revoked)),
        (
            "a good token in another scheme",
            vec![format!("Basic {admin}")],
        ),
        ("a good token without a scheme", vec![admin.clone()]),
        ("a good token and space", bearer(&format!(" {admin}"))),
        ("two callers", [bearer(&admin), bearer(&admin)].concat()),
    ];
    let channel = unchanged.channel.clone();
    for rpc in &rpcs() {
        for (who, authorization) in &callers {
            let message = good_request(rpc, &unchanged);
            let mut request = Request::new(Bytes::from(message));
            for value in authorization {
                let value = value.parse().unwrap();
                request.metadata_mut().append("authorization", value);
            }
            let call = raw::call(channel.clone(), rpc, request);
            let status = soon(rpc, call).await.expect_err(who);
            assert_eq!(
                status.code(),
                Code::Unauthenticated,
                "{rpc}, {who}: {status}"
            );
            assert_eq!(reason_of(&status), "CALLER_UNKNOWN", "{rpc}, {who}");
        }
    }
    for rpc in ["CredentialService/Nothing", "DirectoryService/Nothing"] {
        let nowhere = raw::call(channel.clone(), rpc, unchanged.as_root("")).await;
        assert_eq!(nowhere.unwrap_err().code(), Code::Unimplemented);
    }
    assert_eq!(everything(unchanged.admin()).await, before);
    unchanged.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verifier_may_verify_and_watch_and_read_profiles_and_nothing_else() {
    let unchanged = Unchanged::start().await;
    let (_, token) = unchanged.admin().issue_verifier("sidecar").await;
    let before = everything(unchanged.admin()).await;
    let channel = unchanged.channel.clone();
    for rpc in &rpcs() {
        let message = good_request(rpc, &unchanged);
        let mut request = Request::new(Bytes::from(message));
        let bearer = format!("bearer {token}").parse().unwrap();
        request.metadata_mut().insert("authorization", bearer);
        let answer = soon(rpc, raw::call(channel.clone(), rpc, request)).await;
        let reads_profiles = ["GetProfile", "ListProfiles"];
        let may = rpc.starts_with("VerificationService")
            || reads_profiles.iter().any(|method| rpc.ends_with(method));
        if may {
            assert!(answer.is_ok(), "{rpc}: {answer:?}");
        } else {
            let status = answer.expect_err(rpc);
            assert_eq!(status.code(), Code::PermissionDenied, "{rpc}");
            assert_eq!(reason_of(&status), "PERMISSION_MISSING", "{rpc}");
        }
    }
    assert_eq!(everything(unchanged.admin()).await, before);
    unchanged.server.stop().await;
}
