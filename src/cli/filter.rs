//! Which credentials, by what they have in common.

use clap::{Args, ValueEnum};

use super::time;
use crate::proto::v1;

/// Which credentials.
#[derive(Clone, Debug, Args)]
pub(super) struct Filter {
    /// Only those of this tenant.
    #[arg(
        long,
        value_name = "NAME",
        default_value = "",
        hide_default_value = true
    )]
    pub(super) tenant: String,
    /// Only those of this owner; needs --tenant.
    #[arg(
        long,
        value_name = "NAME",
        default_value = "",
        hide_default_value = true
    )]
    pub(super) owner: String,
    /// Only those of this profile.
    #[arg(
        long,
        value_name = "NAME",
        default_value = "",
        hide_default_value = true
    )]
    profile: String,
    /// Only those of this kind.
    #[arg(long, value_enum)]
    kind: Option<Kind>,
    /// Only those in this state; may be repeated. Unset: all but revoked ones.
    #[arg(long = "state", value_enum)]
    states: Vec<State>,
    /// Only those whose label begins so.
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    label_prefix: String,
    /// Only those that name this role.
    #[arg(
        long,
        value_name = "NAME",
        default_value = "",
        hide_default_value = true
    )]
    role: String,
    /// Only those that expire before: a time, a date, or within a period such as `30d`.
    #[arg(long, value_name = "WHEN", value_parser = time::ahead)]
    expiring_before: Option<prost_types::Timestamp>,
    /// Only those issued before and not used since: a time that is over, a date, or for a
    /// period such as `90d`.
    #[arg(long, value_name = "WHEN", value_parser = time::past)]
    unused_since: Option<prost_types::Timestamp>,
}

/// A kind of credential.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Kind {
    /// One string.
    ApiToken,
    /// A username and a password.
    Basic,
    /// An access key and a secret key.
    KeyPair,
}

/// A state of a credential.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum State {
    /// Let through.
    Active,
    /// Denied for now.
    Locked,
    /// Denied for good.
    Revoked,
    /// Past its expiry.
    Expired,
}

impl From<Kind> for v1::CredentialKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::ApiToken => Self::ApiToken,
            Kind::Basic => Self::Basic,
            Kind::KeyPair => Self::KeyPair,
        }
    }
}

impl From<State> for v1::CredentialState {
    fn from(state: State) -> Self {
        match state {
            State::Active => Self::Active,
            State::Locked => Self::Locked,
            State::Revoked => Self::Revoked,
            State::Expired => Self::Expired,
        }
    }
}

impl From<Filter> for v1::CredentialFilter {
    fn from(filter: Filter) -> Self {
        let Filter {
            tenant,
            owner,
            profile,
            kind,
            states,
            label_prefix,
            role,
            expiring_before,
            unused_since,
        } = filter;
        let states = states.into_iter().map(v1::CredentialState::from);
        Self {
            tenant,
            owner,
            profile,
            kind: kind
                .map(v1::CredentialKind::from)
                .unwrap_or_default()
                .into(),
            states: states.map(i32::from).collect(),
            label_prefix,
            role,
            expiring_before,
            unused_since,
        }
    }
}

impl Filter {
    /// Whether nothing narrows it.
    pub(super) fn is_empty(&self) -> bool {
        v1::CredentialFilter::from(self.clone()) == v1::CredentialFilter::default()
    }
}
