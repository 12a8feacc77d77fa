//! What a server refused, and what to do next.

use std::error::Error as _;
use std::fmt::Write as _;

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::connection::Caller;
use crate::client::Address;

mod peer;

/// How to learn what came of a request that has this id.
pub(super) fn not_known(id: &str) -> String {
    format!(
        "whether it was done is not known: the same command with `--request-id {id}` is answered \
         as the first time, within ten minutes"
    )
}

/// A refusal, and of what.
#[derive(Debug)]
pub(super) struct Refused {
    status: Status,
    /// Who was asked.
    server: Address,
    /// What is wrong with how the connection began.
    fault: Option<String>,
    /// Whether a token was sent.
    had_token: bool,
    /// Whether there was a client's certificate to be known by.
    had_certificate: bool,
    /// The id by which the request can be sent again.
    request_id: Option<String>,
}

impl Refused {
    pub(super) fn new(status: Status, caller: &Caller) -> Self {
        Self {
            status,
            server: caller.server.clone(),
            fault: caller.beginning.fault(),
            had_token: caller.has_token(),
            had_certificate: caller.has_certificate,
            request_id: None,
        }
    }

    /// Of a request that had this id.
    pub(super) fn with_request_id(mut self, id: &str) -> Self {
        self.request_id = Some(id.to_owned());
        self
    }

    pub(super) fn code(&self) -> Code {
        self.status.code()
    }

    /// The stable reason; `None`: the server gave none, or there was none.
    pub(super) fn reason(&self) -> Option<String> {
        let details = self.status.get_error_details();
        Some(details.error_info()?.reason.clone())
    }

    /// Something of what the server says of it by name.
    pub(super) fn metadata(&self, name: &str) -> Option<String> {
        let details = self.status.get_error_details();
        details.error_info()?.metadata.get(name).cloned()
    }

    /// Whether no server answered.
    pub(super) fn is_of_the_connection(&self) -> bool {
        self.status.details().is_empty() && self.status.source().is_some()
    }

    /// Whether the request was sent, and no answer of a server came: it may have been done.
    fn is_unanswered(&self) -> bool {
        let may_be_done = matches!(
            self.code(),
            Code::Unavailable
                | Code::DeadlineExceeded
                | Code::Cancelled
                | Code::Unknown
                | Code::Internal
        );
        (may_be_done || self.is_of_the_connection()) && !peer::is_unconnected(&self.status)
    }

    /// What is said, in lines: what is wrong with the reason in brackets, each field at
    /// fault, and what to do next.
    pub(super) fn text(&self) -> String {
        let mut text = self.headline();
        let reason = self.reason();
        if let Some(reason) = &reason {
            // Writing to a String does not fail.
            let _ = write!(text, " [{reason}]");
        }
        let details = self.status.get_error_details();
        for violation in details
            .bad_request()
            .iter()
            .flat_map(|it| &it.field_violations)
        {
            let _ = write!(text, "\n  {}: {}", violation.field, violation.description);
        }
        if let Some(hint) = self.hint(reason.as_deref()) {
            let _ = write!(text, "\nhint: {hint}");
        }
        text
    }

    /// What is wrong with the connection.
    fn cause(&self) -> String {
        let fault = self.fault.clone();
        fault.unwrap_or_else(|| peer::cause(&self.status))
    }

    fn headline(&self) -> String {
        if self.is_of_the_connection() && self.code() != Code::DeadlineExceeded {
            return format!("{}: {}", self.server, self.cause());
        }
        let details = self.status.get_error_details();
        let has_fields = details
            .bad_request()
            .is_some_and(|it| !it.field_violations.is_empty());
        if has_fields && self.code() == Code::InvalidArgument {
            return "the request is not valid".to_owned();
        }
        match self.status.message() {
            "" => format!("{:?}", self.code()),
            message => message.to_owned(),
        }
    }

    fn hint(&self, reason: Option<&str>) -> Option<String> {
        if let Some(hint) = reason.and_then(|reason| self.hint_of(reason)) {
            return Some(hint);
        }
        let (server, had_certificate) = (&self.server, self.had_certificate);
        if self.is_of_the_connection() {
            let hint = peer::not_understood(&self.status, &self.cause(), server, had_certificate);
            if hint.is_some() {
                return hint;
            }
        }
        let is_lost = self.is_of_the_connection() && self.code() != Code::DeadlineExceeded;
        let told = match &self.request_id {
            Some(id) if self.is_unanswered() => Some(not_known(id)),
            _ if is_lost && peer::is_unconnected(&self.status) => {
                let hint =
                    "is the server running there? Name another with --server or CREDD_SERVER";
                Some(hint.to_owned())
            }
            _ if is_lost => {
                let hint = "a change that was asked for may have been made: look before it is \
                            asked for again";
                Some(hint.to_owned())
            }
            _ => None,
        };
        if let Some(told) = told {
            let more = peer::unanswered(&self.cause(), server, had_certificate);
            return Some(more.map_or_else(|| told.clone(), |more| format!("{told}; {more}")));
        }
        if self.code() == Code::Unimplemented && reason.is_none() {
            return self.hint_of("RPC_UNKNOWN");
        }
        let details = self.status.get_error_details();
        let delay = details.retry_info().and_then(|retry| retry.retry_delay);
        let seconds = delay.map(|delay| delay.as_secs_f64().ceil().max(1.0));
        seconds.map(|seconds| format!("try again in {seconds} s"))
    }

    /// The fields at fault.
    fn fields(&self) -> Vec<String> {
        let details = self.status.get_error_details();
        let request = details.bad_request();
        let violations = request.map_or(&[][..], |it| &it.field_violations);
        violations.iter().map(|it| it.field.clone()).collect()
    }

    fn hint_of(&self, reason: &str) -> Option<String> {
        let id = self.metadata("credential_id");
        let id = id.as_deref().unwrap_or("ID");
        let hint = match reason {
            "INVALID_FIELDS" if self.fields().iter().any(|field| field == "profile") => {
                "`credd profile list` shows which there are"
            }
            "CALLER_UNKNOWN" if !self.had_token => {
                "say who you are with --token-file FILE, CREDD_TOKEN_FILE, CREDD_TOKEN or a client \
                 certificate; the first administrator's token is in `admin.token` of the server's \
                 data directory"
            }
            "CALLER_UNKNOWN" => {
                "the token is not, or no longer, that of a credential in the tenant `credd`, nor of \
                 a trusted issuer: ask an administrator for another"
            }
            "PERMISSION_MISSING" => {
                "ask an administrator for a role that has it: `credd role put` and \
                 `credd binding put`, in the tenant `credd`"
            }
            "PERMISSION_EXCEEDED" => "nobody gives what they do not have: ask somebody who has it",
            "REVISION_MISMATCH" => {
                "somebody else changed it meanwhile: look at it again, and at its revision"
            }
            "REQUEST_ID_REUSED" => "leave --request-id out, or repeat the request as it was",
            "REQUEST_DONE" => {
                return Some(format!(
                    "it was done, and its secret is shown no more: see `credd get {id}`, and make \
                     another secret with `credd rotate {id}`"
                ));
            }
            "FENCE_OPEN" => {
                return Some(match &self.request_id {
                    Some(id) => format!("send it again with `--request-id {id}`"),
                    None => "send it again as it is".to_owned(),
                });
            }
            "CREDENTIAL_REVOKED" => {
                "nothing leads back from there: issue another with `credd issue`"
            }
            "CREDENTIAL_LOCKED" => "`credd unlock` ends the lock",
            "CREDENTIAL_EXPIRED" => "issue another with `credd issue`",
            "CREDENTIAL_LEAKED" => "only `credd rotate` without an overlap makes it good again",
            "CREDENTIAL_EXISTS" => {
                "the profile allows an owner one: `credd rotate` it, or `credd revoke` it first"
            }
            "OVERLAP_RUNNING" => "end the overlap that is running with --end-overlap",
            "NOT_VIEWABLE" => "its profile shows a secret once: make another with `credd rotate`",
            "LAST_ADMINISTRATOR" => {
                "issue another administrator first: `credd issue --tenant credd ...`"
            }
            "TENANT_DISABLED" => "`credd tenant enable` ends that",
            "OWNER_DISABLED" => "`credd owner enable` ends that",
            "CREDENTIAL_NOT_FOUND" => "`credd list` shows which there are",
            "TENANT_NOT_FOUND" => "`credd tenant list` shows which there are",
            "OWNER_NOT_FOUND" => "`credd owner list --tenant TENANT` shows which there are",
            "ROLE_NOT_FOUND" => "`credd role list --tenant TENANT` shows which there are",
            "PROFILE_NOT_FOUND" => "`credd profile list` shows which there are",
            "BINDING_NOT_FOUND" => "`credd binding list` shows which there are",
            "KEY_NOT_FOUND" => "`credd key list` shows which there are",
            "KEY_NOT_LOADED" => {
                "add it with `credd keyring add`, and wait until `credd key list` says that every \
                 server has loaded it"
            }
            "KEY_IN_USE" => "`credd key list` says how much remains; --force ends it",
            "KEY_ACTIVE" => "make another the active one first: `credd key rotate`",
            "BACKUP_TOO_SLOW" => "begin again, to a faster disk",
            "RPC_UNKNOWN" => "the server is of an earlier version, or a sidecar: ask a server",
            _ => return None,
        };
        Some(hint.to_owned())
    }
}
