//! Verdicts on what clients present.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::audit::Aside;
use super::caller::{Call, Caller};
use super::entry::Entry;
use super::index::Reader;
use super::{Authority, VALID_FOR};
use crate::domain::credential::State;
use crate::domain::directory::{OwnerRecord, Permissions, RoleRecord};
use crate::domain::header::HeaderRule;
use crate::domain::id::CredentialId;
use crate::domain::judge::{self, Audience, Cause, Facts, Proof, Verdict};
use crate::domain::keyring::{KeyKind, Keyring, SecretOf, sha256};
use crate::domain::names::Role;
use crate::domain::permission::{Grant, Needed, grants};
use crate::domain::revision::Revision;
use crate::domain::time::Timestamp;
use crate::domain::token::{Generation, Kind, Malformed, Presented};

/// What is asked about something that was presented.
#[derive(Clone, Copy)]
pub struct Question<'a> {
    /// What was presented.
    pub presented: Presented<'a>,
    /// The header in which it stood, if it was read from one.
    pub header: Option<&'a HeaderRule>,
    /// Whose credentials may be found good.
    pub audience: Audience<'a>,
    /// The names of profiles of which it may be; empty: of any.
    pub profiles: &'a [String],
    /// What it must permit.
    pub permissions: &'a [Needed<'a>],
}

impl<'a> Question<'a> {
    /// Whether this is good, and nothing else.
    #[must_use]
    pub const fn of(presented: Presented<'a>, audience: Audience<'a>) -> Self {
        Self {
            presented,
            header: None,
            audience,
            profiles: &[],
            permissions: &[],
        }
    }
}

/// A verdict and what it rests on.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The verdict.
    pub verdict: Verdict,
    /// The credential, if the verdict is ACTIVE or FORBIDDEN.
    pub found: Option<Found>,
    /// How long the answer may be kept; zero unless there is a credential.
    pub valid_for: Duration,
    /// After how long the secret is good no longer by itself; `None`: never, or there is
    /// no credential.
    pub ends_in: Option<Duration>,
    /// The revision as of which it is true.
    pub revision: Revision,
    /// What the audit log may want to know.
    pub aside: Option<Aside>,
}

/// A credential whose secret was presented.
#[derive(Clone, Debug)]
pub struct Found {
    /// The credential.
    pub entry: Arc<Entry>,
    /// Which of its secrets.
    pub generation: Generation,
    /// Its owner's record, if there is one.
    pub owner: Option<Arc<OwnerRecord>>,
    /// Its roles that the owner has, and what they permit.
    pub roles: Vec<(Role, Arc<RoleRecord>)>,
}

impl Found {
    /// What it permits.
    pub fn grants(&self) -> impl Iterator<Item = &Grant> {
        self.roles
            .iter()
            .flat_map(|(_, role)| match &role.permissions {
                Permissions::Tenant(grants) => grants.as_slice(),
                Permissions::Credd(_) => &[],
            })
    }
}

impl Authority {
    /// Judges what was presented, as `by` asks.
    #[must_use]
    pub fn verify(&self, question: &Question<'_>, by: &Caller) -> Answer {
        let (answer, now) = self.judge(question);
        if let Some(found) = &answer.found
            && answer.verdict == Verdict::Active
        {
            self.uses
                .report(&found.entry, found.generation, now, by.party.symbol);
        }
        answer
    }

    /// Notes that a follower of this caller's let a secret through that it knew to be
    /// good, at a time; unless there is no such credential, or it is none of the
    /// caller's tenants.
    pub fn report_use(
        &self,
        call: &Call,
        id: CredentialId,
        generation: Generation,
        at: Option<Timestamp>,
    ) {
        let (_, entry) = self.index.read(|index| index.credential(id));
        let Some(entry) = entry else {
            return;
        };
        let (directory, names) = (self.index.directory(), self.index.names());
        let tenant = directory.tenant_name(entry.tenant(), names);
        if call.reach.has(tenant) && generation <= entry.generation() {
            let now = self.clock.now();
            let at = at.map_or(now, |at| at.min(now));
            self.uses
                .report(&entry, generation, at, call.caller.party.symbol);
        }
    }

    /// The verdict on a text that no rule can read.
    #[must_use]
    pub fn unreadable(&self) -> Answer {
        let cause = Cause::Malformed(Malformed::Header);
        Answer::no(Verdict::Invalid(cause), self.index.revision())
    }

    /// The clock is read after the request came, and so is the index.
    pub(super) fn judge(&self, question: &Question<'_>) -> (Answer, Timestamp) {
        let now = self.clock.now();
        let claim = match question.presented.parse() {
            Ok(claim) => claim,
            Err(malformed) if self.index.any_imported() => {
                return (self.judge_imported(question, malformed, now), now);
            }
            Err(malformed) => {
                let invalid = Verdict::Invalid(Cause::Malformed(malformed));
                return (Answer::no(invalid, self.index.revision()), now);
            }
        };
        let (revision, (verdict, found, entry, old)) = self.index.read(|index| {
            let entry = index.credential(claim.id);
            let facts = entry
                .as_deref()
                .map(|entry| entry.facts(index.names(), index.directory()));
            let admits = || admits(question, entry.as_deref(), index);
            // Read after the entry: it has the keys that the entry needs.
            let keyring = self.keys.current();
            let proof = judge::prove(&claim, facts.as_ref(), &**keyring, now, admits);
            let old = needs_another_mac(&proof, facts.as_ref(), &keyring);
            let (verdict, found) =
                standing(question, entry.as_ref(), facts.as_ref(), proof, index, now);
            (verdict, found, entry, old)
        });
        if let Some(generation) = old {
            self.rekeys.offer(claim.id, generation, || {
                self.keys.current().mac(&SecretOf {
                    kind: claim.kind,
                    id: claim.id,
                    generation,
                    secret: &claim.secret,
                })
            });
        }
        let aside = Aside::of(verdict, entry, || Some(claim));
        (answer(verdict, found, revision, aside, now), now)
    }

    /// Judges a text that credd can't have issued: it may have been imported.
    fn judge_imported(
        &self,
        question: &Question<'_>,
        malformed: Malformed,
        now: Timestamp,
    ) -> Answer {
        let (kind, name, secret) = match question.presented {
            Presented::Token(token) => (Kind::ApiToken, "", token),
            Presented::UsernamePassword(username, password) => (Kind::Basic, username, password),
            Presented::KeyPair(access_key, secret_key) => (Kind::KeyPair, access_key, secret_key),
        };
        if !IMPORTED_LENGTH.contains(&secret.len()) {
            let invalid = Verdict::Invalid(Cause::Malformed(malformed));
            return Answer::no(invalid, self.index.revision());
        }
        let hash = sha256(secret.as_bytes());
        let (revision, (verdict, found, entry, old)) = self.index.read(|index| {
            let keyring = self.keys.current();
            let invalid = |cause| (Verdict::Invalid(cause), None, None, None);
            let mut refusal = invalid(Cause::Malformed(malformed));
            let mut proven = None;
            for mac in keyring.macs_of_imported(kind, &hash) {
                for entry in index.imported(&mac) {
                    let facts = entry.facts(index.names(), index.directory());
                    let admits = || admits(question, Some(&entry), index);
                    match judge::prove_imported(&mac, name, Some(&facts), now, admits) {
                        // Each tenant may have it, and nobody is taken for another's.
                        Ok(_) if proven.is_some() => return invalid(Cause::Ambiguous),
                        Ok(proof) => proven = Some((proof, entry)),
                        Err(verdict) => refusal = (verdict, None, None, None),
                    }
                }
            }
            let Some((proof, entry)) = proven else {
                return refusal;
            };
            let (facts, proof) = (entry.facts(index.names(), index.directory()), Ok(proof));
            let old = needs_another_mac(&proof, Some(&facts), &keyring);
            let old = old.map(|generation| (entry.id(), generation));
            let (verdict, found) =
                standing(question, Some(&entry), Some(&facts), proof, index, now);
            (verdict, found, Some(entry), old)
        });
        if let Some((id, generation)) = old {
            self.rekeys.offer(id, generation, || {
                self.keys.current().mac_of_imported(kind, &hash)
            });
        }
        // A secret that was made elsewhere names no credential once it is retired.
        let aside = Aside::of(verdict, entry, || None);
        let mut answer = answer(verdict, found, revision, aside, now);
        if verdict == Verdict::Active && matches!(question.audience, Audience::AnyOf(_)) {
            // Another tenant may import it, and no fence waits for that: whose it is then
            // can't be told any more.
            answer.valid_for = Duration::ZERO;
        }
        answer
    }
}

/// How many bytes a secret may have that was imported: a shorter one has no 128
/// random bits, and a longer text is not worth its hash.
const IMPORTED_LENGTH: RangeInclusive<usize> = 16..=1024;

/// Whether the one who asks may be told of a credential at all.
fn admits(question: &Question<'_>, entry: Option<&Entry>, index: Reader<'_>) -> Result<(), Cause> {
    let entry = entry.ok_or(Cause::Unknown)?;
    let (directory, names) = (index.directory(), index.names());
    if !question
        .audience
        .admits(directory.tenant_name(entry.tenant(), names))
    {
        return Err(Cause::OutsideAudience);
    }
    if !question.profiles.is_empty() {
        let family = directory.family_of(entry.profile());
        let name = directory.family_name(family, names);
        if !question.profiles.iter().any(|profile| **profile == **name) {
            return Err(Cause::OutsideAudience);
        }
    }
    if let Some(header) = question.header {
        let known = directory.profile(entry.profile());
        if !known.is_some_and(|known| known.profile.headers.contains(header)) {
            return Err(Cause::OtherHeader);
        }
    }
    Ok(())
}

/// Which secret was proven that is not under the active pepper, if its credential is
/// not revoked.
fn needs_another_mac(
    proof: &Result<Proof, Verdict>,
    facts: Option<&Facts<'_>>,
    keyring: &Keyring,
) -> Option<Generation> {
    let proof = proof.as_ref().ok()?;
    let is_old = proof.pepper != keyring.active(KeyKind::Pepper);
    let is_revoked = facts.is_some_and(|facts| facts.state == State::Revoked);
    (is_old && !is_revoked).then_some(proof.generation)
}

/// The verdict on a proven claim, and what an answer to it says.
fn standing(
    question: &Question<'_>,
    entry: Option<&Arc<Entry>>,
    facts: Option<&Facts<'_>>,
    proof: Result<Proof, Verdict>,
    index: Reader<'_>,
    now: Timestamp,
) -> (Verdict, Option<(Found, Option<Timestamp>)>) {
    let (proof, entry, facts) = match (proof, entry, facts) {
        (Ok(proof), Some(entry), Some(facts)) => (proof, entry, facts),
        (Err(verdict), ..) => return (verdict, None),
        (Ok(_), ..) => return (Verdict::Invalid(Cause::Unknown), None),
    };
    let verdict = facts.standing(now);
    if verdict != Verdict::Active {
        return (verdict, None);
    }
    let (directory, names) = (index.directory(), index.names());
    let owner = directory.owner_record(entry.owner());
    let roles = owner.as_ref().map(|owner| {
        let wanted: Vec<&str> = entry.roles(names).collect();
        directory.effective_roles(&owner.record, entry.tenant(), &wanted, names)
    });
    let found = Found {
        entry: Arc::clone(entry),
        generation: proof.generation,
        owner: owner.map(|owner| owner.record),
        roles: roles.unwrap_or_default(),
    };
    let permitted = |needed| grants(found.grants(), needed);
    let verdict = if question.permissions.iter().all(permitted) {
        Verdict::Active
    } else {
        Verdict::Forbidden
    };
    (verdict, Some((found, proof.ends_at)))
}

fn answer(
    verdict: Verdict,
    found: Option<(Found, Option<Timestamp>)>,
    revision: Revision,
    aside: Option<Aside>,
    now: Timestamp,
) -> Answer {
    let Some((found, ends_at)) = found else {
        return Answer {
            aside,
            ..Answer::no(verdict, revision)
        };
    };
    let ends_in = judge::ends_in(found.entry.expires_at(), ends_at, now);
    Answer {
        verdict,
        valid_for: ends_in.map_or(VALID_FOR, |ends_in| ends_in.min(VALID_FOR)),
        ends_in,
        found: Some(found),
        revision,
        aside: None,
    }
}

impl Answer {
    const fn no(verdict: Verdict, revision: Revision) -> Self {
        Self {
            verdict,
            found: None,
            valid_for: Duration::ZERO,
            ends_in: None,
            revision,
            aside: None,
        }
    }
}
