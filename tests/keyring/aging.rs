//! Remembered requests keep a sealing key in use for a day, and no longer.

use std::time::Duration;

use credd::authority::command::Refusal;
use credd::authority::committer::{CommandError, How};
use credd::authority::keys::AskedOfKeys;
use credd::domain::keyring::{KeyKind, KeyVersion, Keyring};
use credd::domain::names::Reason;

use super::*;
use crate::clocked::{Clocked, Disk};

fn asked(version: u32) -> AskedOfKeys {
    AskedOfKeys {
        version: KeyVersion(version),
        how: How::BY_CREDD,
        reason: Reason::parse("test").unwrap(),
        expected: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sealing_key_is_retired_when_the_last_request_under_it_is_forgotten() {
    let mut server = Clocked::start(Disk::at(1_800_000_000_000)).await;
    let authority = Arc::clone(&server.authority);
    let keys = [7, 8].map(|byte: u8| {
        let key = zeroize::Zeroizing::new([byte; 32]);
        (KeyVersion(u32::from(byte) - 6), key)
    });
    let both = Keyring::new(&keys, &keys).unwrap();
    authority.note_keys().await.unwrap();
    authority.keys().take(&both).unwrap();
    let request = v1::IssueRequest {
        request_id: calls::request_id(),
        ..calls::issue_request("acme", "jo", "api-token")
    };
    server.admin.issue(request.clone()).await.unwrap();
    authority
        .rotate_key(KeyKind::Sealing, asked(2))
        .await
        .unwrap();
    let retire = || authority.retire_sealing_key(asked(1), false);
    let hours = Duration::from_hours(24);
    for wait in [Duration::ZERO, hours] {
        server.clock.advance(wait);
        server.sweep().await;
        let refused = retire().await.unwrap_err();
        assert!(
            matches!(refused, CommandError::Refused(Refusal::KeyInUse(_, _, left)) if left.requests == 1),
            "{refused}"
        );
        // Sent again it makes no second credential.
        let again = server.admin.issue(request.clone()).await;
        assert!(again.is_ok() == wait.is_zero());
    }
    server.clock.advance(Duration::from_mins(11));
    server.sweep().await;
    retire().await.unwrap();
    drop(authority);
    server.stop().await;
}
