//! The reasons that errors carry (`google.rpc.ErrorInfo`, domain `credd`): the one table.
//! They are stable: clients go by them, and by codes, never by messages.

use tonic::Code;

use crate::authority::command::Thing;

/// Makes the enum of reasons, and the table of what is said of each: a code that it
/// comes with, what it means, and what to do.
macro_rules! reasons {
    ($($name:ident = $text:literal, $code:ident: $means:literal, $then:literal;)+) => {
        /// Why something came to nothing.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason {
            $(#[doc = $means] $name,)+
        }

        impl Reason {
            /// All of them, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// As it stands in a status.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }

            /// The code of a status that has it.
            #[must_use]
            pub const fn code(self) -> Code {
                match self {
                    $(Self::$name => Code::$code,)+
                }
            }

            /// What it means.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$name => $means,)+
                }
            }

            /// What one who gets it can do.
            #[must_use]
            pub const fn remedy(self) -> &'static str {
                match self {
                    $(Self::$name => $then,)+
                }
            }
        }
    };
}

reasons! {
    // Of the call.
    InvalidFields = "INVALID_FIELDS", InvalidArgument:
        "Fields of the request are not what they should be; `BadRequest` names each, with its rule.",
        "Correct them.";
    MessageTooLarge = "MESSAGE_TOO_LARGE", ResourceExhausted:
        "The request is larger than a message may be.",
        "Send less at once, or raise `limits.max_message_bytes`.";
    RequestTooSlow = "REQUEST_TOO_SLOW", DeadlineExceeded:
        "The request took too long to arrive.",
        "Send it again.";
    RpcUnknown = "RPC_UNKNOWN", Unimplemented:
        "There is no such RPC.",
        "Compare the versions of client and server.";
    RateLimited = "RATE_LIMITED", ResourceExhausted:
        "The caller makes more calls than a caller may.",
        "Wait as long as `RetryInfo` says.";
    Overloaded = "OVERLOADED", ResourceExhausted:
        "Too many calls are being answered, or too many changes wait for the same record.",
        "Wait as long as `RetryInfo` says.";

    // Of the caller.
    CallerUnknown = "CALLER_UNKNOWN", Unauthenticated:
        "No caller is known by what was presented.",
        "Present a good token, or a certificate that names you.";
    PermissionMissing = "PERMISSION_MISSING", PermissionDenied:
        "The caller lacks the permission that the message names, on that tenant.",
        "Have it bound to a role that has it.";
    PermissionExceeded = "PERMISSION_EXCEEDED", PermissionDenied:
        "The request would give something that the caller does not have.",
        "Have one do it who has it.";
    LastAdministrator = "LAST_ADMINISTRATOR", FailedPrecondition:
        "Without it nobody could manage credd.",
        "Bind another administrator before.";

    // Of the server.
    Starting = "STARTING", Unavailable:
        "The server is loading its store.",
        "Try again, or ask another server.";
    Stopping = "STOPPING", Unavailable:
        "The server is stopping; a Watch is told where it can be taken up.",
        "Try again, or ask another server.";
    LeaseLapsed = "LEASE_LAPSED", Unavailable:
        "The server could not write to its store for so long that it says no more that anything is good.",
        "Ask another server; see to the store.";
    StoreUnavailable = "STORE_UNAVAILABLE", Unavailable:
        "The store does not answer.",
        "Try again; see to etcd.";
    StoreFailed = "STORE_FAILED", Unavailable:
        "A write to the store failed, and whether it was done shows when the server has started again.",
        "Send the request again, with the same `request_id`.";
    DiskFull = "DISK_FULL", ResourceExhausted:
        "Too little room is left where the store is: nothing is changed. Verify goes on.",
        "Make room.";
    Restored = "RESTORED", Unavailable:
        "The store was restored from a backup, and what was revoked since is good in it.",
        "Give the revocations with `credd restore --revocations`, or give them up.";
    Internal = "INTERNAL", Internal:
        "The server has a defect; its log says more.",
        "Report it.";

    // Of revisions, fences and streams.
    Behind = "BEHIND", Unavailable:
        "The server has not reached the revision that is asked for.",
        "Try again.";
    OtherStore = "OTHER_STORE", FailedPrecondition:
        "The revision that is asked for is of another store: this one was restored or replaced.",
        "Ask without it.";
    FenceOpen = "FENCE_OPEN", DeadlineExceeded:
        "The change was made, but not all who follow have applied it yet.",
        "Send the same request again: it waits for them.";
    ReachChanged = "REACH_CHANGED", Unavailable:
        "The caller of a Watch may see more tenants than when it began.",
        "Take it up again.";
    BackupRunning = "BACKUP_RUNNING", ResourceExhausted:
        "Another backup is being made: there is one at a time.",
        "Wait as long as `RetryInfo` says.";
    BackupTooSlow = "BACKUP_TOO_SLOW", DeadlineExceeded:
        "The backup was taken too slowly, and is no good.",
        "Begin again, with a faster way to the server.";

    // Of credentials.
    CredentialNotFound = "CREDENTIAL_NOT_FOUND", NotFound:
        "There is no such credential, or none that the caller may know of.",
        "Check the id.";
    CredentialExists = "CREDENTIAL_EXISTS", FailedPrecondition:
        "The owner has a credential of the profile, which allows one; `ErrorInfo` has its `credential_id`.",
        "Rotate it, or revoke it before.";
    IdTaken = "CREDENTIAL_ID_TAKEN", AlreadyExists:
        "A credential has the id that was drawn.",
        "Send the request again.";
    CredentialLocked = "CREDENTIAL_LOCKED", FailedPrecondition:
        "The credential is locked.",
        "Unlock it.";
    CredentialRevoked = "CREDENTIAL_REVOKED", FailedPrecondition:
        "The credential is revoked, which is final.",
        "Issue another.";
    CredentialExpired = "CREDENTIAL_EXPIRED", FailedPrecondition:
        "The credential has expired.",
        "Issue another.";
    CredentialLeaked = "CREDENTIAL_LEAKED", FailedPrecondition:
        "The credential leaked.",
        "Rotate it without an overlap.";
    OverlapRunning = "OVERLAP_RUNNING", FailedPrecondition:
        "The secret before the current one is still good.",
        "Wait for its end, or set `end_overlap`.";
    SecretExists = "SECRET_EXISTS", AlreadyExists:
        "An imported secret is held already.",
        "Leave it out.";
    NotViewable = "NOT_VIEWABLE", FailedPrecondition:
        "The secret was shown once, and is kept nowhere.",
        "Rotate the credential.";
    QuotaExceeded = "QUOTA_EXCEEDED", ResourceExhausted:
        "The tenant or the owner has as many credentials as it may have.",
        "Revoke some, or raise the limit.";

    // Of requests.
    RevisionMismatch = "REVISION_MISMATCH", Aborted:
        "The record has changed since `expected_revision`.",
        "Read it again, and decide anew.";
    RequestDone = "REQUEST_DONE", AlreadyExists:
        "The request was carried out, and its secret is not shown again; `ErrorInfo` has its `credential_id`.",
        "Rotate that credential if the secret was lost.";
    RequestIdReused = "REQUEST_ID_REUSED", FailedPrecondition:
        "Another request was sent with this `request_id`.",
        "Give each request its own.";

    // Of the directory; see also [`OfThing`].
    ProfileExists = "PROFILE_EXISTS", FailedPrecondition:
        "There is a profile of that name for other tenants.",
        "Choose another name.";
    PrincipalTaken = "PRINCIPAL_TAKEN", AlreadyExists:
        "Another owner of the tenant has the principal.",
        "Take it from that one before.";
    TooManyVersions = "TOO_MANY_VERSIONS", FailedPrecondition:
        "The profile has as many versions, or headers, as it may have.",
        "Put another profile.";
    TooLarge = "TOO_LARGE", FailedPrecondition:
        "The record would be larger than the store takes.",
        "Make its texts shorter.";

    // Of keys and formats.
    KeyNotFound = "KEY_NOT_FOUND", NotFound:
        "No server ever loaded that version of the key.",
        "Check the number.";
    KeyNotLoaded = "KEY_NOT_LOADED", FailedPrecondition:
        "A server has not loaded that version of the key.",
        "Add it to the keyring of every server.";
    KeyRetired = "KEY_RETIRED", FailedPrecondition:
        "That version of the key was retired, for good.",
        "Add another.";
    KeyActive = "KEY_ACTIVE", FailedPrecondition:
        "That version of the key is in use for all that is new.",
        "Activate another before.";
    KeyInUse = "KEY_IN_USE", FailedPrecondition:
        "Something remains on that version of the key; `ErrorInfo` says how much.",
        "Wait, or retire it by force.";
    TooManyKeys = "TOO_MANY_KEYS", FailedPrecondition:
        "As many versions as may be are loaded or in use.",
        "Retire some, and take them out of the keyring.";
    FormatUnread = "FORMAT_UNREAD", FailedPrecondition:
        "Servers work on the store that can't read the newest format.",
        "End them, or replace them, before.";

    // Of sidecars.
    AuthorityUnreachable = "AUTHORITY_UNREACHABLE", Unavailable:
        "The sidecar has no lease, and no authority answers it.",
        "Try again; see to the way to the authority.";
    RefusedByAuthority = "REFUSED_BY_AUTHORITY", Unavailable:
        "The authority refuses the sidecar, or one by which it follows.",
        "See to its token or certificate, and to its role.";
}

/// Why something of the directory is in the way: reasons that begin with its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OfThing {
    /// There is none.
    NotFound,
    /// It was deleted.
    Deleted,
    /// It is disabled.
    Disabled,
    /// Others name it.
    InUse,
    /// It is not for callers to change.
    BuiltIn,
}

impl OfThing {
    /// All of them, in the order of the documentation.
    pub const ALL: [Self; 5] = [
        Self::NotFound,
        Self::Deleted,
        Self::Disabled,
        Self::InUse,
        Self::BuiltIn,
    ];

    /// As it stands in a status.
    #[must_use]
    pub fn name(self, thing: Thing) -> String {
        let what = match self {
            Self::NotFound => "NOT_FOUND",
            Self::Deleted => "DELETED",
            Self::Disabled => "DISABLED",
            Self::InUse => "IN_USE",
            Self::BuiltIn => "BUILT_IN",
        };
        format!("{}_{what}", thing.name().to_uppercase())
    }

    /// The code of a status that has it.
    #[must_use]
    pub const fn code(self) -> Code {
        match self {
            Self::NotFound => Code::NotFound,
            Self::Deleted | Self::Disabled | Self::InUse | Self::BuiltIn => {
                Code::FailedPrecondition
            }
        }
    }

    /// Of what it can be.
    #[must_use]
    pub const fn things(self) -> &'static [Thing] {
        match self {
            Self::NotFound => &[
                Thing::Tenant,
                Thing::Owner,
                Thing::Role,
                Thing::Profile,
                Thing::Binding,
            ],
            Self::Deleted | Self::InUse => {
                &[Thing::Tenant, Thing::Owner, Thing::Role, Thing::Profile]
            }
            Self::Disabled => &[Thing::Tenant, Thing::Owner],
            Self::BuiltIn => &[Thing::Role, Thing::Profile, Thing::Binding],
        }
    }

    /// What it means.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::NotFound => "There is none of that name, or none that the caller may know of.",
            Self::Deleted => "It was deleted, and its name is not given again.",
            Self::Disabled => "It is disabled.",
            Self::InUse => "Credentials, owners or bindings name it.",
            Self::BuiltIn => "It is part of credd, or of its configuration.",
        }
    }

    /// What one who gets it can do.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::NotFound => "Put it, or check the name.",
            Self::Deleted => "Choose another name.",
            Self::Disabled => "Enable it.",
            Self::InUse => "Delete or revoke those before.",
            Self::BuiltIn => "Put one under another name, or change the configuration.",
        }
    }
}
