//! Secrets that were found where they should not be.

use std::collections::HashSet;

use super::Authority;
use super::command::{Command, Refusal, ReportLeak};
use super::committer::{CommandError, How};
use super::entry::Entry;
use super::impact::Impact;
use crate::domain::id::CredentialId;
use crate::domain::judge::{prove, prove_imported};
use crate::domain::keyring::sha256;
use crate::domain::names::Reason;
use crate::domain::revision::Revision;
use crate::domain::token::{Claim, Generation, Kind};

/// What became of a text that was reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is the secret of no credential that the caller may report.
    NotOurs,
    /// Its credential is locked, or would be.
    Locked(CredentialId),
    /// Its credential was revoked before.
    Revoked(CredentialId),
    /// Its credential is the last that can administer credd, and is not locked.
    LastAdministrator(CredentialId),
}

/// Of each text that was reported: which secrets of which credentials it is.
#[derive(Clone, Debug)]
pub struct Leaked(Vec<Vec<(CredentialId, Generation)>>);

/// What became of all texts that were reported.
#[derive(Clone, Debug)]
pub struct Reported {
    /// Those of each text, in order: one for each credential whose secret it is.
    pub outcomes: Vec<Vec<Outcome>>,
    /// The revision as of which this is true.
    pub revision: Revision,
    /// What it touches.
    pub impact: Impact,
}

impl Authority {
    /// Finds the credentials whose secrets these are and whom the caller
    /// `may_report`. Nothing but the MAC of a secret tells whose it is: a text that
    /// was made up from what is listed is nobody's. Takes time for each; blocks.
    #[must_use]
    pub fn leaked(&self, texts: &[String], may_report: impl Fn(&Entry) -> bool) -> Leaked {
        let texts = texts.iter();
        let found = texts.map(|text| self.credentials_of(text.trim(), &may_report));
        Leaked(found.collect())
    }

    /// Locks what was found.
    ///
    /// # Errors
    ///
    /// [`CommandError`]; some of them may be locked by then.
    pub async fn report_leak(
        &self,
        Leaked(found): Leaked,
        reason: &Reason,
        how: &How,
    ) -> Result<Reported, CommandError> {
        let mut asked: Vec<(CredentialId, Generation)> = found.iter().flatten().copied().collect();
        // Each secret for itself: of two of the same credential one may end
        // meanwhile.
        asked.sort_unstable();
        asked.dedup();
        let by = how.origin.principal();
        let commands = asked.iter().map(|&(id, generation)| {
            Command::ReportLeak(ReportLeak {
                id,
                generation,
                reason: reason.clone(),
                by: by.clone(),
            })
        });
        let done = self.commands.run_all(commands.collect(), how).await;
        let mut impact = Impact::default();
        let mut outcomes = Vec::with_capacity(asked.len());
        // A credential counts once, whichever of its secrets were reported.
        let (mut counted, mut changed) = (HashSet::new(), HashSet::new());
        for ((id, generation), done) in asked.iter().zip(done) {
            let outcome = match done {
                Ok(done) => {
                    let (_, entry) = self.index.read(|index| index.credential(*id));
                    let uses = entry.map(|entry| entry.uses()).unwrap_or_default();
                    if counted.insert(*id) {
                        impact.add(&uses, false);
                    }
                    if done.changes && changed.insert(*id) {
                        impact.changed += 1;
                    }
                    Outcome::Locked(*id)
                }
                Err(CommandError::Refused(Refusal::NotOurs)) => Outcome::NotOurs,
                Err(CommandError::Refused(Refusal::Revoked(id))) => Outcome::Revoked(id),
                Err(CommandError::Refused(Refusal::LastAdministrator(id))) => {
                    Outcome::LastAdministrator(id)
                }
                Err(error) => return Err(error),
            };
            outcomes.push(((*id, *generation), outcome));
        }
        let became_of = |asked: &(CredentialId, Generation)| {
            let at = outcomes.binary_search_by_key(asked, |(of, _)| *of);
            at.map_or(Outcome::NotOurs, |at| outcomes[at].1)
        };
        Ok(Reported {
            outcomes: found
                .iter()
                .map(|of_text| of_text.iter().map(became_of).collect())
                .collect(),
            revision: self.index.revision(),
            impact,
        })
    }

    /// The credentials whose current or overlapping secret a text is, and which of
    /// them: one, if credd made it; of one that was imported, one of each tenant.
    fn credentials_of(
        &self,
        text: &str,
        may_report: &impl Fn(&Entry) -> bool,
    ) -> Vec<(CredentialId, Generation)> {
        match Claim::of_secret(text) {
            Ok(claim) => self.holder(&claim, may_report).into_iter().collect(),
            Err(_) if self.index.any_imported() => self.importers(text, may_report),
            Err(_) => Vec::new(),
        }
    }

    fn holder(
        &self,
        claim: &Claim,
        may_report: &impl Fn(&Entry) -> bool,
    ) -> Option<(CredentialId, Generation)> {
        let now = self.now();
        let (_, found) = self.index.read(|index| {
            let entry = index.credential(claim.id);
            let facts = entry
                .as_deref()
                .map(|entry| entry.facts(index.names(), index.directory()));
            let keyring = self.keys.current();
            let proof = prove(claim, facts.as_ref(), &**keyring, now, || Ok(())).ok()?;
            let entry = entry.filter(|entry| may_report(entry))?;
            Some((entry.id(), proof.generation))
        });
        found
    }

    fn importers(
        &self,
        text: &str,
        may_report: &impl Fn(&Entry) -> bool,
    ) -> Vec<(CredentialId, Generation)> {
        let (now, hash) = (self.now(), sha256(text.as_bytes()));
        let (_, found) = self.index.read(|index| {
            let keyring = self.keys.current();
            let kinds = Kind::ALL.into_iter();
            let macs = kinds.flat_map(|kind| keyring.macs_of_imported(kind, &hash));
            let held = macs.flat_map(|mac| {
                let entries = index.imported(&mac).into_iter();
                entries.map(move |entry| (mac, entry))
            });
            let proven = held.filter_map(|(mac, entry)| {
                let facts = entry.facts(index.names(), index.directory());
                // The name that goes with it is no secret: whoever found the secret
                // found enough.
                let named = facts.imported_name(&mac).unwrap_or_default();
                let proof = prove_imported(&mac, named, Some(&facts), now, || Ok(())).ok()?;
                may_report(&entry).then(|| (entry.id(), proof.generation))
            });
            proven.collect()
        });
        found
    }
}
