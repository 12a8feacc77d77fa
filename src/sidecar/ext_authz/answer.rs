//! From a verdict to what Envoy does with the request.

use std::collections::BTreeSet;

use super::ask::Kept;
use super::denial::Denial;
use super::identity;
use crate::proto::envoy::auth::check_response::HttpResponse;
use crate::proto::envoy::auth::{CheckResponse, OkHttpResponse};
use crate::proto::envoy::core::header_value_option::HeaderAppendAction;
use crate::proto::envoy::core::{HeaderValue, HeaderValueOption};
use crate::proto::v1;
use crate::sidecar::verifier::Verified;

/// Lets a request through, if the verdict is ACTIVE.
///
/// # Errors
///
/// [`Denial`] with every other verdict, and where the answer is to another question.
pub fn let_through(verified: &Verified, kept: &Kept) -> Result<CheckResponse, Denial> {
    let Verified {
        response,
        at: _,
        valid_for: _,
        ends: _,
        served,
    } = verified;
    let identity = match (denial_of(response.verdict()), &response.identity) {
        (Some(denial), _) => return Err(denial),
        (None, Some(identity)) if kept.admits(identity) => identity,
        (None, _) => return Err(Denial::Unavailable),
    };
    let headers = identity::headers(identity, *served);
    let remove = kept.remove.iter().filter(|name| {
        let mut set = headers.iter();
        // Envoy removes after it has set.
        !set.any(|(ours, _)| ours.eq_ignore_ascii_case(name))
    });
    let headers_to_remove: BTreeSet<_> = remove.cloned().collect();
    let ok = OkHttpResponse {
        headers_to_remove: headers_to_remove.into_iter().collect(),
        headers: headers
            .into_iter()
            .map(|(name, value)| header(name, value))
            .collect(),
    };
    Ok(CheckResponse {
        status: Some(tonic_types::Status::default()),
        http_response: Some(HttpResponse::OkResponse(ok)),
    })
}

/// The denial that a verdict is; `None` for ACTIVE alone.
const fn denial_of(verdict: v1::Verdict) -> Option<Denial> {
    Some(match verdict {
        v1::Verdict::Active => return None,
        v1::Verdict::Invalid => Denial::Invalid,
        v1::Verdict::Locked => Denial::Locked,
        v1::Verdict::Revoked => Denial::Revoked,
        v1::Verdict::Expired => Denial::Expired,
        v1::Verdict::TenantDisabled => Denial::TenantDisabled,
        v1::Verdict::OwnerDisabled => Denial::OwnerDisabled,
        v1::Verdict::Forbidden => Denial::Forbidden,
        // So is one that is not known here.
        v1::Verdict::Unspecified => Denial::Unavailable,
    })
}

impl Kept {
    /// Whether this may be whose credential it is.
    fn admits(&self, identity: &v1::Identity) -> bool {
        let tenant = self.tenant.as_ref();
        tenant.is_none_or(|tenant| *tenant == identity.tenant)
            && (self.profiles.is_empty() || self.profiles.contains(&identity.profile))
    }
}

/// A header in the place of all that have its name.
pub(super) fn header(name: &str, value: String) -> HeaderValueOption {
    HeaderValueOption {
        header: Some(HeaderValue {
            key: name.to_owned(),
            value,
            raw_value: Vec::new(),
        }),
        append_action: HeaderAppendAction::OverwriteIfExistsOrAdd.into(),
    }
}
