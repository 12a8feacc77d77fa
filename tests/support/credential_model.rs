//! What can be told of one credential, if everything happens one after the other.

use credd::proto::v1::CredentialState;

/// What a client asked of a credential, and was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Issue,
    /// Lock, Unlock or Revoke: the state that it was answered with, or `None`
    /// if it was refused because the credential is revoked.
    Set(CredentialState, Option<CredentialState>),
    /// Verify or Get.
    See(CredentialState),
}

/// One credential, and one client after the other. `None`: not issued yet.
#[allow(
    clippy::option_option,
    clippy::trivially_copy_pass_by_ref,
    clippy::ref_option,
    reason = "the form in which the checker asks a model"
)]
pub(crate) fn credential(
    state: &Option<CredentialState>,
    call: &Call,
) -> Option<Option<CredentialState>> {
    use CredentialState::Revoked;

    match (*call, *state) {
        (Call::Issue, None) => Some(Some(CredentialState::Active)),
        (Call::Set(to, answer), Some(from)) => {
            let is_refused = from == Revoked && to != Revoked;
            let right = answer == (!is_refused).then_some(to);
            right.then_some(Some(if is_refused { from } else { to }))
        }
        (Call::See(seen), Some(is)) => (seen == is).then_some(Some(is)),
        (Call::Issue, Some(_)) | (Call::Set(..) | Call::See(_), None) => None,
    }
}
