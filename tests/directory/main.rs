//! Tenants, owners, roles and profiles: what they do to credentials.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod audience;
#[path = "../support/calls.rs"]
mod calls;
#[path = "../support/clocked.rs"]
mod clocked;
mod deletion;
mod disabling;
mod events;
mod owners;
mod permissions;
#[path = "../support/mod.rs"]
mod support;

use credd::proto::v1;

/// A profile of one's own, with a header of its own.
fn own_profile(tenant: &str, name: &str) -> v1::Profile {
    v1::Profile {
        tenant: tenant.to_owned(),
        name: name.to_owned(),
        display_name: "Of our own".to_owned(),
        kind: v1::CredentialKind::ApiToken.into(),
        headers: vec![v1::HeaderRule {
            name: "X-Own-Key".to_owned(),
            format: Some(v1::header_rule::Format::Bare(true)),
        }],
        visibility: v1::SecretVisibility::Once.into(),
        expiry: Some(v1::ExpiryRule {
            never: v1::NeverRule::Allowed.into(),
            ..Default::default()
        }),
        multiplicity: v1::Multiplicity::Many.into(),
        owner_may_issue: true,
        ..Default::default()
    }
}

/// Puts a profile; returns the revision of that.
async fn put_profile(client: &support::Client, profile: v1::Profile) -> u64 {
    let request = v1::PutProfileRequest {
        profile: Some(profile),
        ..Default::default()
    };
    let mut directory = client.directory.clone();
    let put = directory.put_profile(request).await.unwrap();
    calls::number(put.into_inner().revision)
}
