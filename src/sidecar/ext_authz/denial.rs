//! What a client is answered whose request is not let through.

use super::answer::header;
use super::route::Unclear;
use crate::domain::header::{HeaderFormat, HeaderRules};
use crate::proto::envoy::auth::check_response::HttpResponse;
use crate::proto::envoy::auth::{CheckResponse, DeniedHttpResponse};
use crate::proto::envoy::r#type::{HttpStatus, StatusCode};

/// Why a request is not let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// It has no header in which a credential could stand.
    Missing,
    /// What it presents is no credential that is accepted here, or there are several.
    Invalid,
    /// The right secret of a locked credential.
    Locked,
    /// The right secret of a revoked credential.
    Revoked,
    /// The right secret of an expired credential.
    Expired,
    /// The right secret of a credential whose tenant is disabled.
    TenantDisabled,
    /// The right secret of a credential whose owner is disabled.
    OwnerDisabled,
    /// A good credential without a permission that the route needs.
    Forbidden,
    /// The route does not say what it needs.
    Route(Unclear),
    /// It can't be told whether the credential is good.
    Unavailable,
}

impl From<Unclear> for Denial {
    fn from(unclear: Unclear) -> Self {
        Self::Route(unclear)
    }
}

impl Denial {
    /// The status that the client is answered.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::Missing
            | Self::Invalid
            | Self::Locked
            | Self::Revoked
            | Self::Expired
            | Self::TenantDisabled
            | Self::OwnerDisabled => StatusCode::Unauthorized,
            Self::Forbidden | Self::Route(_) => StatusCode::Forbidden,
            Self::Unavailable => StatusCode::ServiceUnavailable,
        }
    }

    /// The answer. It asks for credentials as the known profiles have them, and if a
    /// bearer token was presented it says what was wrong with that (RFC 6750
    /// section 3).
    #[must_use]
    pub fn response(self, is_bearer: bool, rules: &HeaderRules) -> CheckResponse {
        let status = self.status();
        let code = match status {
            StatusCode::Unauthorized => tonic::Code::Unauthenticated,
            StatusCode::Forbidden => tonic::Code::PermissionDenied,
            StatusCode::ServiceUnavailable | StatusCode::Empty => tonic::Code::Unavailable,
        };
        let mut headers = vec![header("content-type", "text/plain".to_owned())];
        if status == StatusCode::Unauthorized {
            headers.push(header("www-authenticate", challenges(is_bearer, rules)));
        }
        let denied = DeniedHttpResponse {
            status: Some(HttpStatus {
                code: status.into(),
            }),
            headers,
            body: format!("{}: {}\n", self.reason(), self.sentence()),
        };
        CheckResponse {
            status: Some(tonic_types::Status {
                code: code.into(),
                message: self.reason().to_owned(),
                details: Vec::new(),
            }),
            http_response: Some(HttpResponse::DeniedResponse(denied)),
        }
    }

    /// The word that programs read, with which the body begins.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Missing => "MISSING",
            Self::Invalid => "INVALID",
            Self::Locked => "LOCKED",
            Self::Revoked => "REVOKED",
            Self::Expired => "EXPIRED",
            Self::TenantDisabled => "TENANT_DISABLED",
            Self::OwnerDisabled => "OWNER_DISABLED",
            Self::Forbidden => "FORBIDDEN",
            Self::Route(_) => "ROUTE_UNCLEAR",
            Self::Unavailable => "UNAVAILABLE",
        }
    }

    const fn sentence(self) -> &'static str {
        match self {
            Self::Missing => "the request has no credential",
            Self::Invalid => "the request has no single credential that is accepted here",
            Self::Locked => "the credential is locked",
            Self::Revoked => "the credential was revoked",
            Self::Expired => "the credential has expired",
            Self::TenantDisabled => "the tenant of the credential is disabled",
            Self::OwnerDisabled => "the owner of the credential is disabled",
            Self::Forbidden => "the credential lacks a permission",
            Self::Route(Unclear(problem)) => problem,
            Self::Unavailable => "it can't be told now whether the credential is good",
        }
    }
}

/// The most challenges beyond those for the schemes that the RFCs define.
const MORE_SCHEMES: usize = 6;

/// The schemes in which the known profiles have credentials in `Authorization`, as
/// one list (RFC 9110 section 11.6.1). Where there is none, because credentials
/// stand in other headers alone, it is `Bearer`: a 401 must have one.
fn challenges(is_bearer: bool, rules: &HeaderRules) -> String {
    let known = rules.candidates("authorization").iter();
    let has_basic = known.clone().any(|rule| rule.format == HeaderFormat::Basic);
    let schemes = known.filter_map(|rule| match &rule.format {
        HeaderFormat::Scheme(scheme) => Some(scheme),
        HeaderFormat::Bare | HeaderFormat::Basic | HeaderFormat::Pair(_) => None,
    });
    let has_bearer = schemes.clone().any(|scheme| scheme.matches("Bearer"));
    let others = schemes.filter(|scheme| !scheme.matches("Bearer"));
    let others = others.take(MORE_SCHEMES);

    let mut challenges: Vec<String> = others.map(|scheme| challenge(scheme.as_str())).collect();
    if has_basic {
        challenges.insert(0, format!("{}, charset=\"UTF-8\"", challenge("Basic")));
    }
    if has_bearer || challenges.is_empty() {
        let error = if is_bearer {
            ", error=\"invalid_token\""
        } else {
            ""
        };
        challenges.insert(0, format!("{}{error}", challenge("Bearer")));
    }
    challenges.join(", ")
}

fn challenge(scheme: &str) -> String {
    format!("{scheme} realm=\"credd\"")
}
