//! Changing profiles.

use std::sync::Arc;

use super::{DirectoryCommand, tenants};
use crate::authority::command::{Answer, Decision, KnownRecord, Refusal, Thing, View, expect};
use crate::authority::directory::KnownProfile;
use crate::authority::record::Record;
use crate::domain::directory::{DirectoryAction, ProfileRecord};
use crate::domain::profile::{
    MAX_ACCEPTED_HEADERS, MAX_VERSIONS, Profile, ProfileFamily, ProfileRef, Scope,
};
use crate::domain::time::Timestamp;

/// A profile to put.
#[derive(Clone, Debug)]
pub struct PutProfile(pub Profile);

pub(super) fn put(
    view: &dyn View,
    ask: &DirectoryCommand,
    profile: &Profile,
    now: Timestamp,
) -> Result<Decision, Refusal> {
    let family = profile.family();
    if let Scope::Tenant(tenant) = &family.scope {
        tenants::live(view, tenant)?;
    }
    for other in view.profiles_named(&family.name) {
        let theirs = &other.reference.family.scope;
        if other.stored.is_none() {
            return Err(Refusal::BuiltIn(Thing::Profile));
        }
        if *theirs != family.scope && (*theirs == Scope::All || family.scope == Scope::All) {
            return Err(if other.deleted() {
                Refusal::Deleted(Thing::Profile)
            } else {
                Refusal::ProfileExists
            });
        }
    }
    let there = view.latest(&family);
    let mut version = 1;
    if let Some(there) = &there {
        if there.deleted() {
            return Err(Refusal::Deleted(Thing::Profile));
        }
        if there.profile == *profile {
            return Ok(Decision::nothing(answer(there)));
        }
        if there.profile.kind != profile.kind {
            return Err(Refusal::invalid("profile.kind", "can't be changed"));
        }
        if there.reference.version >= MAX_VERSIONS {
            return Err(Refusal::TooManyVersions(MAX_VERSIONS));
        }
        let mut accepted = view.accepted_headers(there);
        let headers = profile.headers.iter();
        let more = headers.filter(|header| !accepted.contains(header));
        let more: Vec<_> = more.cloned().collect();
        accepted.extend(more);
        if accepted.len() > MAX_ACCEPTED_HEADERS {
            return Err(Refusal::invalid(
                "profile.headers",
                "must be at most 32 with those of earlier versions, in which credentials still stand",
            ));
        }
        version = there.reference.version + 1;
    }
    let revision = there.and_then(|there| there.stored.as_ref().map(|(_, revision)| *revision));
    expect(ask.expected, revision)?;
    let record = ProfileRecord {
        profile: profile.clone(),
        last_change: ask.change(DirectoryAction::Put, now),
    };
    Ok(write(ProfileRef { family, version }, record))
}

pub(super) fn delete(
    view: &dyn View,
    ask: &DirectoryCommand,
    family: &ProfileFamily,
    now: Timestamp,
) -> Result<Decision, Refusal> {
    let there = view
        .latest(family)
        .ok_or(Refusal::Unknown(Thing::Profile))?;
    let Some((change, revision)) = &there.stored else {
        return Err(Refusal::BuiltIn(Thing::Profile));
    };
    if change.deleted() {
        return Ok(Decision::nothing(answer(&there)));
    }
    if view.profile_in_use(family) {
        return Err(Refusal::InUse(Thing::Profile));
    }
    expect(ask.expected, Some(*revision))?;
    let record = ProfileRecord {
        profile: there.profile.clone(),
        last_change: ask.change(DirectoryAction::Delete, now),
    };
    let reference = ProfileRef {
        version: there.reference.version + 1,
        ..there.reference.clone()
    };
    Ok(write(reference, record))
}

fn answer(known: &KnownProfile) -> Answer {
    let Some((change, revision)) = &known.stored else {
        unreachable!("a built-in profile is never put");
    };
    let record = ProfileRecord {
        profile: known.profile.clone(),
        last_change: change.clone(),
    };
    let record = KnownRecord {
        record: Arc::new(record),
        revision: Some(*revision),
    };
    Answer::Profile(known.reference.clone(), record)
}

fn write(reference: ProfileRef, record: ProfileRecord) -> Decision {
    let record = Arc::new(record);
    Decision {
        writes: vec![Record::Profile(
            reference.clone(),
            Some(Arc::clone(&record)),
        )],
        answer: Answer::Profile(reference, KnownRecord::pending(record)),
    }
}
