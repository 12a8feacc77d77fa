//! What entries are found by and depend on, as hashes under a key of the process.

use std::fmt;
use std::hash::{Hash, Hasher as _};

use siphasher::sip::SipHasher24;
use siphasher::sip128::{Hasher128 as _, SipHasher24 as SipHasher128};

use crate::domain::id::CredentialId;

/// What a change touches, and an answer depends on: a hash. Two things that have the
/// same one are taken for one, which costs an entry now and then and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject(u64);

/// What a [`Subject`] is the hash of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum About<'a> {
    /// A credential.
    Credential(CredentialId),
    /// An owner: its tenant and its name.
    Owner(&'a str, &'a str),
    /// A role: its tenant and its name.
    Role(&'a str, &'a str),
    /// The roles of a tenant, all of them.
    Roles(&'a str),
    /// A tenant.
    Tenant(&'a str),
    /// The profiles of this name, of whatever tenant.
    Profile(&'a str),
    /// Whatever may make a credential of a tenant good, or of any tenant (`None`),
    /// that was none before, but for profiles: that it is issued or imported, or gets
    /// another secret.
    Loosened(Option<&'a str>),
    /// The profiles, all of them.
    Profiles,
    /// What was presented, in just that form.
    Presented(Presentation<'a>),
    /// Whether a secret that was made elsewhere is that of one tenant alone: that some
    /// are imported, in whatever tenant.
    Imported,
}

/// What an entry is found by: a hash of 128 bits of what was presented and of
/// everything else in the question that decides the answer. Two questions have the
/// same one with a probability of 2^-128, and nobody without the key can look for
/// them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct QuestionKey(u128);

impl Hash for QuestionKey {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        // Half of it is as good a hash as any.
        #[expect(clippy::cast_possible_truncation, reason = "the rest is compared")]
        state.write_u64(self.0 as u64);
    }
}

/// What is asked.
#[derive(Clone, Copy)]
pub struct Question<'a> {
    /// What was presented.
    pub presented: Presentation<'a>,
    /// The tenant that was named, or nothing.
    pub tenant: &'a str,
    /// Whether any will do.
    pub any_tenant: bool,
    /// The profiles that are accepted.
    pub profiles: &'a [String],
    /// The permissions that are needed.
    pub permissions: &'a [String],
}

/// What was presented.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Presentation<'a> {
    /// A token.
    Token(&'a str),
    /// A username and a password.
    UsernamePassword(&'a str, &'a str),
    /// An access key and a secret key.
    KeyPair(&'a str, &'a str),
    /// A header: its name, in whatever case, and its value.
    Header(&'a str, &'a [u8]),
}

/// Makes the hashes: SipHash-2-4 under a key that nobody else has, so that nobody can
/// find what collides, nor what was presented in what is kept.
#[derive(Clone)]
pub struct Hashes {
    subjects: SipHasher24,
    questions: SipHasher128,
}

impl Hashes {
    /// Under this key, of random bytes.
    #[must_use]
    pub fn new(key: &[u8; 16]) -> Self {
        Self {
            subjects: SipHasher24::new_with_key(key),
            questions: SipHasher128::new_with_key(key),
        }
    }

    /// That of a thing.
    #[must_use]
    pub fn subject(&self, about: About<'_>) -> Subject {
        let mut hasher = self.subjects;
        // Different things write different bytes: `str` ends in a byte that is in no
        // text.
        about.hash(&mut hasher);
        Subject(hasher.finish())
    }

    /// That of a question.
    #[must_use]
    pub fn question(&self, question: &Question<'_>) -> QuestionKey {
        let Question {
            presented,
            tenant,
            any_tenant,
            profiles,
            permissions,
        } = question;
        let mut hasher = self.questions;
        // Whether there is a tenant, and any will do, decides how often what follows
        // comes.
        presented.texts(|bytes| write_text(&mut hasher, bytes));
        write_text(&mut hasher, tenant.as_bytes());
        hasher.write_u8(u8::from(*any_tenant));
        for list in [profiles, permissions] {
            hasher.write_u32(u32::try_from(list.len()).unwrap_or(u32::MAX));
            for item in *list {
                write_text(&mut hasher, item.as_bytes());
            }
        }
        QuestionKey(hasher.finish128().as_u128())
    }
}

impl Presentation<'_> {
    /// The texts of which it is made: others for one that is different.
    fn texts(&self, mut text: impl FnMut(&[u8])) {
        match *self {
            Presentation::Token(token) => {
                text(b"t");
                text(token.as_bytes());
            }
            Presentation::UsernamePassword(username, password) => {
                text(b"u");
                text(username.as_bytes());
                text(password.as_bytes());
            }
            Presentation::KeyPair(access, secret) => {
                text(b"k");
                text(access.as_bytes());
                text(secret.as_bytes());
            }
            Presentation::Header(name, value) => {
                text(b"h");
                // Names of headers are short; others are no header's.
                let mut lower = [0; 64];
                match lower.get_mut(..name.len()) {
                    Some(lower) => {
                        lower.copy_from_slice(name.as_bytes());
                        lower.make_ascii_lowercase();
                        text(lower);
                    }
                    None => text(name.as_bytes()),
                }
                text(value);
            }
        }
    }
}

impl Hash for Presentation<'_> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.texts(|bytes| write_text(state, bytes));
    }
}

/// With its length before it, so that different texts in a row are different bytes.
fn write_text(hasher: &mut impl std::hash::Hasher, bytes: &[u8]) {
    hasher.write_u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    hasher.write(bytes);
}

macro_rules! opaque {
    ($($type:ty: $text:literal),+) => {$(
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str($text)
            }
        }
    )+};
}

opaque!(QuestionKey: "QuestionKey(..)", Question<'_>: "Question(..)", Presentation<'_>: "Presentation(..)", Hashes: "Hashes(..)");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_that_differ_in_anything_that_decides_have_other_keys() {
        let hashes = Hashes::new(&[7; 16]);
        let list = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let lists: [Vec<String>; 5] = [
            list(&[]),
            list(&["a"]),
            list(&["a", "b"]),
            list(&["ab"]),
            list(&["", "ab"]),
        ];
        let presented = [
            Presentation::Token("ab"),
            Presentation::Token("abc"),
            Presentation::UsernamePassword("a", "b"),
            Presentation::UsernamePassword("", "ab"),
            Presentation::UsernamePassword("ab", ""),
            Presentation::KeyPair("a", "b"),
            Presentation::Header("a", b"b"),
            Presentation::Header("a", b"B"),
            Presentation::Header("", b"ab"),
        ];
        let mut keys = Vec::new();
        for presented in presented {
            for (tenant, any_tenant) in [("", false), ("", true), ("a", false), ("b", false)] {
                for profiles in &lists {
                    for permissions in &lists {
                        keys.push(hashes.question(&Question {
                            presented,
                            tenant,
                            any_tenant,
                            profiles,
                            permissions,
                        }));
                    }
                }
            }
        }
        let count = keys.len();
        keys.sort_by_key(|key| key.0);
        keys.dedup();
        assert_eq!(keys.len(), count);
    }

    #[test]
    fn the_name_of_a_header_is_the_same_in_any_case_and_a_key_in_no_other_process() {
        let key = |hashes: &Hashes, name| {
            hashes.question(&Question {
                presented: Presentation::Header(name, b"Bearer x"),
                tenant: "",
                any_tenant: true,
                profiles: &[],
                permissions: &[],
            })
        };
        let [ours, theirs] = [[1; 16], [2; 16]].map(|key| Hashes::new(&key));
        let ours_lower = key(&ours, "authorization");
        assert_eq!(key(&ours, "Authorization"), ours_lower);
        assert_ne!(key(&theirs, "authorization"), ours_lower);
        let long = "X".repeat(65);
        assert_ne!(key(&ours, &long), ours_lower);
    }

    #[test]
    fn things_of_different_kinds_are_different_subjects() {
        let hashes = Hashes::new(&[7; 16]);
        let all = [
            About::Credential(CredentialId::MIN),
            About::Owner("a", "b"),
            About::Owner("ab", ""),
            About::Role("a", "b"),
            About::Roles("a"),
            About::Tenant("a"),
            About::Profile("a"),
            About::Loosened(Some("a")),
            About::Loosened(None),
            About::Profiles,
            About::Imported,
            About::Presented(Presentation::Token("a")),
            About::Presented(Presentation::Token("b")),
            About::Presented(Presentation::Header("a", b"b")),
        ];
        let subjects = all.map(|about| hashes.subject(about));
        for (at, subject) in subjects.iter().enumerate() {
            assert!(!subjects[..at].contains(subject), "{:?}", all[at]);
        }
    }
}
