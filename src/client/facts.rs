//! From messages to what a cache knows of them.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::cache::{About, At, Ends, Fact, Hashes, Presentation, Question, Says, Subject};
use crate::domain::header::HeaderRules;
use crate::domain::id::CredentialId;
use crate::domain::revision::Revision;
use crate::domain::time::Timestamp;
use crate::domain::token::{Generation, Presented};
use crate::proto::v1;
use crate::proto::v1::event::Subject as Touched;
use crate::proto::v1::presented::Credential;
use crate::proto::v1::raw_header::Value;
use crate::proto::v1::verify_response::End;

/// What a cache keeps.
pub(super) type Answer = Arc<v1::VerifyResponse>;

/// What decides the answer to a question; `None` if it presents nothing.
pub(super) fn question(request: &v1::VerifyRequest) -> Option<Question<'_>> {
    let v1::VerifyRequest {
        presented,
        tenant,
        any_tenant,
        profiles,
        permissions,
        client_address: _, // for the audit log
        request_id: _,     // likewise
        min_revision: _,   // compared when an entry is looked at
    } = request;
    let v1::Presented { credential } = presented.as_ref()?;
    let presented = match credential.as_ref()? {
        Credential::Token(token) => Presentation::Token(token),
        Credential::UsernamePassword(v1::UsernamePassword { username, password }) => {
            Presentation::UsernamePassword(username, password)
        }
        Credential::KeyPair(v1::KeyPair {
            access_key,
            secret_key,
        }) => Presentation::KeyPair(access_key, secret_key),
        Credential::Header(v1::RawHeader { name, value }) => {
            let value = match value {
                Some(Value::Text(text)) => text.as_bytes(),
                Some(Value::Raw(bytes)) => bytes,
                None => &[],
            };
            Presentation::Header(name, value)
        }
    };
    Some(Question {
        presented,
        tenant,
        any_tenant: *any_tenant,
        profiles,
        permissions,
    })
}

/// A revision; `None` if it is of no store that there can be.
pub(super) fn at(revision: &v1::Revision) -> Option<At> {
    let v1::Revision { store_id, number } = revision;
    Some(At {
        store: store_id.parse().ok()?,
        revision: Revision::new(*number),
    })
}

/// What a cache learns of an answer.
#[derive(Debug)]
pub(super) enum Learned {
    /// What is kept of it.
    Fact(Fact<Answer>),
    /// The credential itself is good for nothing.
    Denied,
    /// Nothing: it can't be kept.
    Nothing,
}

/// What is learned of an answer to a question.
pub(super) fn learned(hashes: &Hashes, question: &Question<'_>, response: &Answer) -> Learned {
    match response.verdict() {
        v1::Verdict::Active | v1::Verdict::Forbidden | v1::Verdict::Invalid => {
            fact(hashes, question, response).map_or(Learned::Nothing, Learned::Fact)
        }
        // A verdict that this version does not know, too.
        v1::Verdict::Unspecified
        | v1::Verdict::Locked
        | v1::Verdict::Revoked
        | v1::Verdict::Expired
        | v1::Verdict::TenantDisabled
        | v1::Verdict::OwnerDisabled => Learned::Denied,
    }
}

/// What was denied where the credential is good for nothing that was presented: this,
/// and, of a secret of credd's own, the credential in whatever form it is presented.
pub(super) fn denied(
    hashes: &Hashes,
    presented: Presentation<'_>,
    headers: Option<&HeaderRules>,
) -> Vec<Subject> {
    let id = |presented: Presented<'_>| presented.parse().ok().map(|claim| claim.id);
    let credentials: Vec<_> = match presented {
        Presentation::Token(token) => id(Presented::Token(token)).into_iter().collect(),
        Presentation::UsernamePassword(username, password) => {
            let presented = Presented::UsernamePassword(username, password);
            id(presented).into_iter().collect()
        }
        Presentation::KeyPair(access_key, secret_key) => {
            let presented = Presented::KeyPair(access_key, secret_key);
            id(presented).into_iter().collect()
        }
        Presentation::Header(name, value) => {
            let readings = headers.and_then(|headers| headers.readings(name, value).ok());
            let readings = readings.into_iter().flatten().flatten();
            let ids = readings.filter_map(|reading| id(reading.credential.presented()));
            ids.collect()
        }
    };
    let credentials = credentials.into_iter().map(About::Credential);
    let about = [About::Presented(presented)].into_iter().chain(credentials);
    about.map(|about| hashes.subject(about)).collect()
}

fn fact(hashes: &Hashes, question: &Question<'_>, response: &Answer) -> Option<Fact<Answer>> {
    let v1::VerifyResponse {
        verdict: _,
        identity,
        valid_for,
        revision,
        end: _, // see `ends`
    } = &**response;
    let at = at(revision.as_ref()?)?;
    let said = valid_for.as_ref().and_then(duration);
    let valid_for = said.unwrap_or_default();
    let (says, identity) = match (response.verdict(), identity) {
        (v1::Verdict::Active, Some(identity)) => {
            let says = Says::Yes {
                credential: identity.credential_id.parse().ok()?,
                generation: Generation::new(identity.generation),
                valid_for,
            };
            (says, Some(identity))
        }
        (v1::Verdict::Forbidden, Some(identity)) => (Says::Forbidden { valid_for }, Some(identity)),
        (v1::Verdict::Invalid, _) => (Says::Invalid { valid_for: said }, None),
        _ => return None,
    };
    let depends_on = if let Some(identity) = identity {
        dependencies(hashes, question, identity, says)?
    } else {
        let tenant = Some(question.tenant).filter(|tenant| !tenant.is_empty());
        let about = [About::Loosened(tenant), About::Profiles];
        about.map(|about| hashes.subject(about)).into()
    };
    Some(Fact {
        answer: Arc::clone(response),
        says,
        at,
        ends: ends(response),
        expires_at: identity
            .and_then(|identity| identity.expires_at.as_ref())
            .map(timestamp),
        presented: hashes.subject(About::Presented(question.presented)),
        depends_on,
        weight: weight(response),
    })
}

fn dependencies(
    hashes: &Hashes,
    question: &Question<'_>,
    identity: &v1::Identity,
    says: Says,
) -> Option<Box<[Subject]>> {
    let v1::Identity {
        credential_id,
        generation: _,
        tenant,
        owner,
        profile,
        kind: _,
        roles,
        // Of the roles, the owner, and the credential.
        permissions: _,
        groups: _,
        default_source: _,
        attributes: _,
        language: _,
        time_zone: _,
        expires_at: _,
    } = identity;
    let credential: CredentialId = credential_id.parse().ok()?;
    let fixed = [
        About::Credential(credential),
        About::Owner(tenant, owner),
        About::Tenant(tenant),
        About::Profile(profile),
    ];
    let of_roles = roles.iter().map(|role| About::Role(tenant, role));
    // Another role may get the permission that is missing.
    let any_role = matches!(says, Says::Forbidden { .. }).then_some(About::Roles(tenant));
    let if_one_alone = question.any_tenant.then_some(About::Imported);
    let about = fixed.into_iter().chain(of_roles).chain(any_role);
    let about = about.chain(if_one_alone);
    Some(about.map(|about| hashes.subject(about)).collect())
}

/// Whether a stream tells of whatever changes an answer: to a question about this
/// tenant, or, if it names none, about any; and, if the answer is about somebody, of
/// this tenant.
pub(super) fn covers(coverage: &v1::Coverage, asked: &str, of: Option<&str>) -> bool {
    let v1::Coverage {
        all,
        tenants,
        verifies_all,
        verifies,
    } = coverage;
    let tells_of = |tenant: &str| *all || tenants.iter().any(|told| told == tenant);
    let may_ask = |tenant: &str| *verifies_all || verifies.iter().any(|it| it == tenant);
    let has = |tenant: &str| tells_of(tenant) && may_ask(tenant);
    let is_covered = if asked.is_empty() {
        *all || !*verifies_all && verifies.iter().all(|tenant| tells_of(tenant))
    } else {
        has(asked)
    };
    is_covered && of.is_none_or(has)
}

/// What an answer weighs: its texts, and what holds each of them.
fn weight(response: &v1::VerifyResponse) -> u32 {
    const OF_A_TEXT: usize = size_of::<String>() + 16;

    let identity = response.identity.as_ref();
    let texts = identity.map_or(0, |identity| {
        let lists = [&identity.roles, &identity.permissions, &identity.groups];
        lists.map(Vec::len).iter().sum::<usize>() + 2 * identity.attributes.len()
    });
    let bytes =
        size_of::<v1::VerifyResponse>() + prost::Message::encoded_len(response) + texts * OF_A_TEXT;
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// What the events of a commit have touched. `None`: one of them is of a kind that
/// this version does not know, and may have touched anything.
pub(super) fn touched(hashes: &Hashes, commit: &v1::Commit) -> Option<Vec<Subject>> {
    let v1::Commit { events } = commit;
    let mut subjects = Vec::with_capacity(2 * events.len());
    for v1::Event { subject } in events {
        let about = about(subject.as_ref()?);
        let about = about.iter().flatten();
        subjects.extend(about.map(|about| hashes.subject(*about)));
    }
    Some(subjects)
}

fn about(touched: &Touched) -> [Option<About<'_>>; 4] {
    match touched {
        Touched::Credential(event) => {
            let v1::CredentialEvent {
                credential_id,
                tenant,
                owner: _,
                r#type: _,
                state: _,
                generation: _,
                at: _,
                overlap_ends_at: _,
            } = event;
            // An id that can't be read may be any of the tenant's.
            let id = credential_id.parse();
            let credential = id.map_or(About::Tenant(tenant), About::Credential);
            let may_be_new = !is_of_what_was_known(event.r#type());
            let loosened = |tenant| may_be_new.then_some(About::Loosened(tenant));
            let imported = may_be_imported(event.r#type()).then_some(About::Imported);
            [
                Some(credential),
                loosened(Some(tenant)),
                loosened(None),
                imported,
            ]
        }
        Touched::Owner(v1::OwnerEvent { tenant, owner, .. }) => {
            [Some(About::Owner(tenant, owner)), None, None, None]
        }
        Touched::Role(v1::RoleEvent { tenant, role, .. }) => [
            Some(About::Role(tenant, role)),
            Some(About::Roles(tenant)),
            None,
            None,
        ],
        Touched::Tenant(v1::TenantEvent { tenant, .. }) => {
            [Some(About::Tenant(tenant)), None, None, None]
        }
        Touched::Profile(v1::ProfileEvent { profile, .. }) => {
            let name = profile.as_ref().map(|profile| profile.name.as_str());
            [name.map(About::Profile), Some(About::Profiles), None, None]
        }
    }
}

/// Whether a change makes no secret good that was none before.
const fn is_of_what_was_known(change: v1::ChangeType) -> bool {
    match change {
        v1::ChangeType::Locked
        | v1::ChangeType::Unlocked
        | v1::ChangeType::Revoked
        | v1::ChangeType::Updated
        | v1::ChangeType::Leaked
        | v1::ChangeType::Expired
        | v1::ChangeType::Removed => true,
        v1::ChangeType::Unspecified
        | v1::ChangeType::Issued
        | v1::ChangeType::Rotated
        | v1::ChangeType::Imported => false,
    }
}

/// Whether a secret that one tenant has may be another's too since a change.
const fn may_be_imported(change: v1::ChangeType) -> bool {
    match change {
        v1::ChangeType::Unspecified | v1::ChangeType::Imported => true,
        v1::ChangeType::Issued
        | v1::ChangeType::Locked
        | v1::ChangeType::Unlocked
        | v1::ChangeType::Revoked
        | v1::ChangeType::Updated
        | v1::ChangeType::Rotated
        | v1::ChangeType::Leaked
        | v1::ChangeType::Expired
        | v1::ChangeType::Removed => false,
    }
}

/// When the secret is good no longer by itself. What can't be read was not said.
pub(super) fn ends(response: &v1::VerifyResponse) -> Ends {
    match &response.end {
        Some(End::NeverEnds(true)) => Ends::Never,
        Some(End::EndsIn(ends_in)) => duration(ends_in).map_or(Ends::Unsaid, Ends::In),
        Some(End::NeverEnds(false)) | None => Ends::Unsaid,
    }
}

/// A duration that is none or more; `None`: it is less.
pub(super) fn duration(duration: &prost_types::Duration) -> Option<Duration> {
    let prost_types::Duration { seconds, nanos } = duration;
    let (seconds, nanos) = (u64::try_from(*seconds).ok()?, u32::try_from(*nanos).ok()?);
    (nanos < 1_000_000_000).then(|| Duration::new(seconds, nanos))
}

/// A time, to the millisecond before it.
fn timestamp(timestamp: &prost_types::Timestamp) -> Timestamp {
    let prost_types::Timestamp { seconds, nanos } = timestamp;
    let millis = seconds.saturating_mul(1000);
    Timestamp::from_millis(millis.saturating_add(i64::from(*nanos / 1_000_000)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::header::{AuthScheme, HeaderFormat, HeaderName, HeaderRule};
    use crate::domain::secret::Secret;
    use crate::domain::token::{Kind, secret_text};

    fn hashes() -> Hashes {
        Hashes::new(&[5; 16])
    }

    fn credential() -> CredentialId {
        CredentialId::from_bytes([9; 16])
    }

    fn identity() -> v1::Identity {
        v1::Identity {
            credential_id: credential().to_string(),
            tenant: "acme".to_owned(),
            owner: "jo".to_owned(),
            profile: "api-token".to_owned(),
            roles: vec!["reader".to_owned()],
            ..Default::default()
        }
    }

    fn kept(verdict: v1::Verdict, tenant: &str) -> Option<Fact<Answer>> {
        match learned_of(verdict, tenant) {
            Learned::Fact(fact) => Some(fact),
            Learned::Denied | Learned::Nothing => None,
        }
    }

    fn learned_of(verdict: v1::Verdict, tenant: &str) -> Learned {
        let has_identity = matches!(verdict, v1::Verdict::Active | v1::Verdict::Forbidden);
        let response = Arc::new(v1::VerifyResponse {
            verdict: verdict.into(),
            identity: has_identity.then(identity),
            valid_for: None,
            revision: Some(v1::Revision {
                store_id: "00000000-0000-4000-8000-000000000000".to_owned(),
                number: 7,
            }),
            end: None,
        });
        let question = Question {
            presented: Presentation::Token("t"),
            tenant,
            any_tenant: tenant.is_empty(),
            profiles: &[],
            permissions: &[],
        };
        learned(&hashes(), &question, &response)
    }

    /// Whether an event is one that the answer depends on.
    fn spoils(event: Touched, fact: &Fact<Answer>) -> bool {
        let events = vec![v1::Event {
            subject: Some(event),
        }];
        let touched = touched(&hashes(), &v1::Commit { events }).unwrap();
        touched.iter().any(|it| fact.depends_on.contains(it))
    }

    fn credential_event(id: &str, tenant: &str, change: v1::ChangeType) -> Touched {
        Touched::Credential(v1::CredentialEvent {
            credential_id: id.to_owned(),
            tenant: tenant.to_owned(),
            r#type: change.into(),
            ..Default::default()
        })
    }

    fn owner_event(owner: &str) -> Touched {
        Touched::Owner(v1::OwnerEvent {
            tenant: "acme".to_owned(),
            owner: owner.to_owned(),
            ..Default::default()
        })
    }

    fn role_event(tenant: &str, role: &str) -> Touched {
        Touched::Role(v1::RoleEvent {
            tenant: tenant.to_owned(),
            role: role.to_owned(),
            ..Default::default()
        })
    }

    fn tenant_event(tenant: &str) -> Touched {
        Touched::Tenant(v1::TenantEvent {
            tenant: tenant.to_owned(),
            ..Default::default()
        })
    }

    fn profile_event(name: &str) -> Touched {
        Touched::Profile(v1::ProfileEvent {
            profile: Some(v1::Profile {
                name: name.to_owned(),
                ..Default::default()
            }),
            ..Default::default()
        })
    }

    #[test]
    fn a_yes_depends_on_its_credential_owner_roles_tenant_and_profile_and_nothing_else() {
        let yes = kept(v1::Verdict::Active, "acme").unwrap();
        let id = credential().to_string();
        let other = CredentialId::MIN.to_string();
        for change in 0..=10 {
            let change = v1::ChangeType::try_from(change).unwrap();
            assert!(spoils(credential_event(&id, "acme", change), &yes));
            assert!(!spoils(credential_event(&other, "acme", change), &yes));
        }
        for (event, spoilt) in [
            (owner_event("jo"), true),
            (owner_event("al"), false),
            (role_event("acme", "reader"), true),
            (role_event("acme", "writer"), false),
            (role_event("other", "reader"), false),
            (tenant_event("acme"), true),
            (tenant_event("other"), false),
            (profile_event("api-token"), true),
            (profile_event("other"), false),
            (
                credential_event("what", "acme", v1::ChangeType::Locked),
                true,
            ),
        ] {
            let text = format!("{event:?}");
            assert_eq!(spoils(event, &yes), spoilt, "{text}");
        }
    }

    #[test]
    fn a_no_is_not_kept_beyond_what_may_make_it_a_yes() {
        let forbidden = kept(v1::Verdict::Forbidden, "acme").unwrap();
        assert!(spoils(role_event("acme", "writer"), &forbidden));
        assert!(!spoils(role_event("other", "writer"), &forbidden));

        let other = CredentialId::MIN.to_string();
        for tenant in ["acme", ""] {
            let invalid = kept(v1::Verdict::Invalid, tenant).unwrap();
            for (change, spoilt) in [
                (v1::ChangeType::Issued, true),
                (v1::ChangeType::Imported, true),
                (v1::ChangeType::Rotated, true),
                (v1::ChangeType::Unspecified, true),
                (v1::ChangeType::Revoked, false),
                (v1::ChangeType::Locked, false),
            ] {
                let event = || credential_event(&other, "acme", change);
                assert_eq!(spoils(event(), &invalid), spoilt, "{change:?}");
                let elsewhere = credential_event(&other, "other", change);
                let anywhere = spoilt && tenant.is_empty();
                assert_eq!(spoils(elsewhere, &invalid), anywhere, "{change:?}");
            }
            assert!(spoils(profile_event("any"), &invalid));
        }
        for verdict in [
            v1::Verdict::Locked,
            v1::Verdict::Revoked,
            v1::Verdict::Expired,
            v1::Verdict::TenantDisabled,
            v1::Verdict::OwnerDisabled,
            v1::Verdict::Unspecified,
        ] {
            let learned = learned_of(verdict, "acme");
            assert!(matches!(learned, Learned::Denied), "{verdict:?}");
        }
    }

    #[test]
    fn a_denial_is_one_of_the_credential_in_whatever_form_it_is_presented() {
        let id = CredentialId::MIN;
        let secret = Secret::new([7; 32]);
        let token = secret_text(Kind::ApiToken, id, Generation::FIRST, &secret);
        let token = token.expose();
        let bearer = format!("Bearer {token}");
        let rule = HeaderRule {
            name: HeaderName::parse("Authorization").unwrap(),
            format: HeaderFormat::Scheme(AuthScheme::parse("Bearer").unwrap()),
        };
        let rules: HeaderRules = [rule].into_iter().collect();
        let credential = hashes().subject(About::Credential(id));
        let header = |rules| {
            let presented = Presentation::Header("Authorization", bearer.as_bytes());
            denied(&hashes(), presented, rules)
        };
        let as_token = denied(&hashes(), Presentation::Token(token), None);
        assert!(as_token.contains(&credential));
        assert!(header(Some(&rules)).contains(&credential));
        assert!(!header(None).contains(&credential), "no rules are known");
        for foreign in [
            Presentation::Token("of another making"),
            Presentation::UsernamePassword("jo", "secret"),
            Presentation::KeyPair("access", "secret"),
            Presentation::Header("X-Other", b"\xff"),
        ] {
            let presented = hashes().subject(About::Presented(foreign));
            assert_eq!(denied(&hashes(), foreign, Some(&rules)), [presented]);
        }
    }

    #[test]
    fn where_any_tenant_will_do_a_yes_depends_on_what_is_imported() {
        let other = CredentialId::MIN.to_string();
        for (tenant, spoilt) in [("acme", false), ("", true)] {
            let yes = kept(v1::Verdict::Active, tenant).unwrap();
            let imported = credential_event(&other, "other", v1::ChangeType::Imported);
            assert_eq!(spoils(imported, &yes), spoilt, "{tenant:?}");
            let issued = credential_event(&other, "other", v1::ChangeType::Issued);
            assert!(!spoils(issued, &yes));
        }
    }

    #[test]
    fn an_answer_is_covered_where_all_is_told_that_decides_it() {
        let some = |tenants: &[&str]| tenants.iter().copied().map(str::to_owned).collect();
        let coverage = |told: Option<&[&str]>, asks: Option<&[&str]>| v1::Coverage {
            all: told.is_none(),
            tenants: told.map(some).unwrap_or_default(),
            verifies_all: asks.is_none(),
            verifies: asks.map(some).unwrap_or_default(),
        };
        let (acme, both): (&[_], &[_]) = (&["acme"], &["acme", "globex"]);
        for (told, asks, asked, of, is_covered) in [
            (None, None, "", None, true),
            (None, None, "", Some("acme"), true),
            (None, Some(acme), "", None, true),
            (None, Some(acme), "globex", None, false),
            (None, Some(acme), "", Some("globex"), false),
            (Some(acme), Some(acme), "", None, true),
            (Some(acme), Some(acme), "acme", Some("acme"), true),
            (Some(acme), Some(both), "", None, false),
            (Some(acme), Some(both), "", Some("acme"), false),
            (Some(acme), Some(both), "acme", Some("acme"), true),
            (Some(acme), Some(both), "globex", None, false),
            (Some(acme), None, "", None, false),
            (Some(acme), None, "acme", None, true),
            (Some(both), Some(acme), "", None, true),
            (Some(both), Some(acme), "globex", None, false),
        ] {
            let coverage = coverage(told, asks);
            let text = format!("{coverage:?}, {asked:?}, {of:?}");
            assert_eq!(covers(&coverage, asked, of), is_covered, "{text}");
        }
    }

    #[test]
    fn an_event_of_an_unknown_kind_may_have_touched_anything() {
        let events = vec![v1::Event { subject: None }];
        assert_eq!(touched(&hashes(), &v1::Commit { events }), None);
    }
}
