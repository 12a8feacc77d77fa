//! Finds what was done to a chain.

use std::collections::BTreeSet;
use std::fmt;

use super::chain::{ChainNumber, Entry, Head};

/// Walks the records of a chain, in the order of the keys at which they stand, and
/// stops at the first that is not as it was written.
#[derive(Debug)]
pub struct Verifier {
    chain: ChainNumber,
    reached: Head,
    /// Heads that were kept elsewhere, those still to come, the nearest last.
    expected: Vec<Head>,
    /// Records without a payload, until one comes that tells of it.
    blank: BTreeSet<u64>,
    /// Where it begins, if records were removed, until one comes that tells of it.
    untold: Option<Head>,
    verified: Verified,
}

/// A chain that is what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Where it begins: the record before the first that is kept.
    pub start: Head,
    /// Where it ends.
    pub head: Head,
    /// How many records it has.
    pub records: u64,
    /// How many of them were erased.
    pub erased: u64,
    /// How many of the expected heads lie before its beginning, so that nothing can
    /// be said of them.
    pub unchecked: u64,
}

/// The first record that is not as it was written, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Its number.
    pub sequence: u64,
    /// What is wrong with it.
    pub flaw: Flaw,
}

/// What can be wrong with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// It is not there, but later ones are.
    Missing,
    /// In its place stands the record of this number.
    Misplaced(u64),
    /// It can't be read.
    Unreadable,
    /// Its payload or its salt is not what its header says.
    PayloadChanged,
    /// Its number, time, link or payload's hash is not what its hash says.
    HeaderChanged,
    /// It does not follow from the record before it: one of the two was put there in
    /// the place of another.
    Unlinked,
    /// The chain ends before it, although it was seen: the end was cut off, or an
    /// older state of the whole store was put back.
    Cut,
    /// It is another record than the one that was seen under this number: the chain
    /// was written anew.
    OtherHash,
    /// Its payload is gone, and no record tells that it was erased.
    Blanked,
    /// It and all before it are gone, and no record tells that they were removed.
    Removed,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sequence, flaw } = self;
        match flaw {
            Flaw::Missing => write!(f, "record {sequence} is missing"),
            Flaw::Misplaced(other) => {
                write!(f, "in the place of record {sequence} stands record {other}")
            }
            Flaw::Unreadable => write!(f, "record {sequence} can't be read"),
            Flaw::PayloadChanged => write!(f, "the payload of record {sequence} was changed"),
            Flaw::HeaderChanged => write!(f, "the header of record {sequence} was changed"),
            Flaw::Unlinked => write!(
                f,
                "record {sequence} does not follow from the record before it"
            ),
            Flaw::Cut => write!(f, "the chain ends before record {sequence}, which was seen"),
            Flaw::OtherHash => write!(
                f,
                "record {sequence} is another than the one that was seen under this number"
            ),
            Flaw::Blanked => write!(
                f,
                "the payload of record {sequence} is gone, and no record tells that it was erased"
            ),
            Flaw::Removed => write!(
                f,
                "record {sequence} and all before it are gone, and no record tells that they were removed"
            ),
        }
    }
}

impl Verifier {
    /// A walk from `start`, which is compared with heads that were kept elsewhere.
    ///
    /// # Errors
    ///
    /// [`Broken`] if one of them is another at `start` itself.
    pub fn new(chain: ChainNumber, start: Head, mut expected: Vec<Head>) -> Result<Self, Broken> {
        expected.sort_by_key(|head| std::cmp::Reverse(head.sequence));
        let to_come = expected.partition_point(|head| head.sequence >= start.sequence);
        let before = expected.split_off(to_come);
        let mut verifier = Self {
            chain,
            reached: start,
            expected,
            blank: BTreeSet::new(),
            untold: Some(start).filter(|start| start.sequence > 0),
            verified: Verified {
                start,
                head: start,
                records: 0,
                erased: 0,
                unchecked: before.len() as u64,
            },
        };
        verifier.compare()?;
        Ok(verifier)
    }

    /// Goes on to the record that stands at the key of this number; `None`: what
    /// stands there can't be read.
    ///
    /// # Errors
    ///
    /// [`Broken`], if the chain is that up to here; there is nothing to go on to.
    pub fn read(&mut self, at: u64, entry: Option<&Entry>) -> Result<(), Broken> {
        let sequence = self.reached.sequence + 1;
        let broken = |flaw| Err(Broken { sequence, flaw });
        if at != sequence {
            return broken(Flaw::Missing);
        }
        let Some(entry) = entry else {
            return broken(Flaw::Unreadable);
        };
        if entry.sequence != sequence {
            return broken(Flaw::Misplaced(entry.sequence));
        }
        if !entry.header_holds(self.chain) {
            return broken(Flaw::HeaderChanged);
        }
        if entry.previous != self.reached.hash {
            return broken(Flaw::Unlinked);
        }
        if !entry.payload_holds() {
            return broken(Flaw::PayloadChanged);
        }
        self.reached = entry.head();
        self.verified.records += 1;
        if entry.payload.is_none() {
            self.verified.erased += 1;
            self.blank.insert(sequence);
        }
        self.compare()
    }

    /// The record that was read last tells that these were erased before.
    pub fn told_erased(&mut self, sequences: &[u64]) {
        for sequence in sequences {
            self.blank.remove(sequence);
        }
    }

    /// The record that was read last tells that the chain was to begin here.
    pub fn told_removed(&mut self, begins: &Head) {
        self.untold.take_if(|start| start == begins);
    }

    /// The end of the chain: nothing that was expected may be missing, and nothing
    /// removed or erased that no record tells of.
    ///
    /// # Errors
    ///
    /// [`Broken`], naming the last of a beginning that was removed, or the first that
    /// was blanked, or the record after the last, if a later one was seen.
    pub fn finish(self) -> Result<Verified, Broken> {
        let broken = |sequence, flaw| Err(Broken { sequence, flaw });
        if let Some(start) = self.untold {
            return broken(start.sequence, Flaw::Removed);
        }
        if let Some(first) = self.blank.first() {
            return broken(*first, Flaw::Blanked);
        }
        if !self.expected.is_empty() {
            return broken(self.reached.sequence + 1, Flaw::Cut);
        }
        Ok(Verified {
            head: self.reached,
            ..self.verified
        })
    }

    /// Compares where the walk is with what was seen there.
    fn compare(&mut self) -> Result<(), Broken> {
        let here = |head: &&Head| head.sequence == self.reached.sequence;
        while let Some(seen) = self.expected.last().filter(here) {
            if seen.hash != self.reached.hash {
                return Err(Broken {
                    sequence: seen.sequence,
                    flaw: Flaw::OtherHash,
                });
            }
            self.expected.pop();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
