//! The texts that holders of credentials present.
//!
//! A secret is shown as `PREFIX_BODYCHECKSUM`, 85 characters:
//!
//! | part | characters | holds |
//! | --- | --- | --- |
//! | prefix | 6 | names credd and the kind |
//! | `_` | 1 | |
//! | version | 1 | `0` |
//! | id | 22 | the credential, base62 |
//! | generation | 6 | which of its secrets, base62 |
//! | secret | 43 | 256 random bits, base62 |
//! | checksum | 6 | CRC-32 (IEEE) of all before, base62 |
//!
//! Usernames and access keys are `PREFIX_` and the 22 characters of the id.
//!
//! The checksum lets garbage be refused without a look-up and a scanner of
//! source code be sure of what it found. It protects nothing: the secret does.
//! Every part has one text only, so no two texts are the same credential.

use super::base62::{
    self, BYTES32_DIGITS, NotBase62, U32_DIGITS, U128_DIGITS, decode_bytes32, decode_u32,
    decode_u128,
};
use super::id::CredentialId;
use super::secret::{Secret, SecretText};

/// The shape of a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// One string.
    ApiToken,
    /// A username and a password.
    Basic,
    /// An access key and a secret key.
    KeyPair,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::ApiToken, Self::Basic, Self::KeyPair];

    /// What the secrets of this kind begin with. Fixed for ever: it is in the
    /// hands of holders and in the rules of scanners.
    #[must_use]
    pub const fn secret_prefix(self) -> &'static str {
        match self {
            Self::ApiToken => "creddt",
            Self::Basic => "creddp",
            Self::KeyPair => "credds",
        }
    }

    /// The regular expression that matches the secrets of this kind and, but for the
    /// checksum, nothing else: a POSIX extended one, as most dialects read it.
    #[must_use]
    pub fn secret_pattern(self) -> String {
        let digits = SECRET_LENGTH - ID;
        let version = char::from(VERSION);
        format!("{}_{version}[0-9A-Za-z]{{{digits}}}", self.secret_prefix())
    }

    /// What the public name of this kind begins with, if it has one.
    #[must_use]
    pub const fn name_prefix(self) -> Option<&'static str> {
        match self {
            Self::ApiToken => None,
            Self::Basic => Some("creddu"),
            Self::KeyPair => Some("credda"),
        }
    }
}

/// The number of a secret of a credential: 1 for the first, one more for each
/// rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(u32);

impl Generation {
    /// That of the secret that was issued first.
    pub const FIRST: Self = Self(1);

    /// The generation of this number.
    #[must_use]
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }

    /// That of the secret after it; `None`: there are no more numbers.
    #[must_use]
    pub fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }
}

/// What somebody presented, not yet looked at.
#[derive(Clone, Copy)]
pub enum Presented<'a> {
    /// A token.
    Token(&'a str),
    /// A username and a password.
    UsernamePassword(&'a str, &'a str),
    /// An access key and a secret key.
    KeyPair(&'a str, &'a str),
}

/// A well-formed text: whose credential it claims to be, and the secret that
/// is to prove it.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The shape in which it was presented.
    pub kind: Kind,
    /// The credential it names.
    pub id: CredentialId,
    /// Which of the credential's secrets it is.
    pub generation: Generation,
    /// The secret.
    pub secret: Secret,
}

/// Why a text is no secret of credd's. Told apart in metrics only: whoever
/// presents one is told that it is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Malformed {
    /// It has another length.
    Length,
    /// It has another prefix.
    Prefix,
    /// A character is no base62 digit.
    Alphabet,
    /// The checksum does not match.
    Checksum,
    /// It is of another version of the format.
    Version,
    /// A number exceeds its range, so that it would be a second text for the
    /// same value.
    Range,
    /// The username or access key is malformed, or names another credential
    /// than the secret does.
    Name,
    /// No profile has credentials in such a header.
    Header,
}

const PREFIX: usize = 6;
const ID: usize = PREFIX + 2;
const GENERATION: usize = ID + U128_DIGITS;
const SECRET: usize = GENERATION + U32_DIGITS;
const CHECKSUM: usize = SECRET + BYTES32_DIGITS;
const VERSION: u8 = b'0';

/// The length of a secret's text, in bytes.
pub const SECRET_LENGTH: usize = CHECKSUM + U32_DIGITS;
/// The length of a username or an access key, in bytes.
pub const NAME_LENGTH: usize = PREFIX + 1 + U128_DIGITS;

impl Presented<'_> {
    /// Reads what was presented.
    ///
    /// # Errors
    ///
    /// [`Malformed`] for whatever credd can't have issued in that shape.
    pub fn parse(&self) -> Result<Claim, Malformed> {
        match *self {
            Self::Token(token) => parse_secret(Kind::ApiToken, token.as_bytes()),
            Self::UsernamePassword(username, password) => {
                parse_named(Kind::Basic, username.as_bytes(), password.as_bytes())
            }
            Self::KeyPair(access_key, secret_key) => {
                parse_named(Kind::KeyPair, access_key.as_bytes(), secret_key.as_bytes())
            }
        }
    }
}

impl Claim {
    /// Reads a secret of whatever kind, without the name that goes with it.
    ///
    /// # Errors
    ///
    /// [`Malformed`] for whatever credd can't have issued.
    pub fn of_secret(text: &str) -> Result<Self, Malformed> {
        let prefix = text.split_once('_').map(|(prefix, _)| prefix);
        let mut kinds = Kind::ALL.into_iter();
        let kind = kinds.find(|kind| Some(kind.secret_prefix()) == prefix);
        parse_secret(kind.ok_or(Malformed::Prefix)?, text.as_bytes())
    }
}

/// The text of a secret.
#[must_use]
pub fn secret_text(
    kind: Kind,
    id: CredentialId,
    generation: Generation,
    secret: &Secret,
) -> SecretText {
    let mut text = String::with_capacity(SECRET_LENGTH);
    text.push_str(&token_start(kind, id));
    let mut digits = [0; U32_DIGITS];
    base62::encode_u32(generation.number(), &mut digits);
    push_digits(&mut text, &digits);
    let mut digits = zeroize::Zeroizing::new([0; BYTES32_DIGITS]);
    base62::encode_bytes32(secret.expose(), &mut digits);
    push_digits(&mut text, digits.as_slice());
    let mut digits = [0; U32_DIGITS];
    base62::encode_u32(crc32fast::hash(text.as_bytes()), &mut digits);
    push_digits(&mut text, &digits);
    SecretText::new(text)
}

/// The first characters of a secret's text, up to and including the id: the
/// part that may be shown.
#[must_use]
pub fn token_start(kind: Kind, id: CredentialId) -> String {
    let mut text = String::with_capacity(SECRET_LENGTH);
    text.push_str(kind.secret_prefix());
    text.push('_');
    text.push(char::from(VERSION));
    push_id(&mut text, id);
    text
}

/// The username or access key of a credential, for the kinds that have one.
#[must_use]
pub fn public_name(kind: Kind, id: CredentialId) -> Option<String> {
    let mut text = String::with_capacity(NAME_LENGTH);
    text.push_str(kind.name_prefix()?);
    text.push('_');
    push_id(&mut text, id);
    Some(text)
}

fn push_id(text: &mut String, id: CredentialId) {
    let mut digits = [0; U128_DIGITS];
    base62::encode_u128(u128::from_be_bytes(*id.as_bytes()), &mut digits);
    push_digits(text, &digits);
}

fn push_digits(text: &mut String, digits: &[u8]) {
    text.extend(digits.iter().map(|&digit| char::from(digit)));
}

fn parse_named(kind: Kind, name: &[u8], secret: &[u8]) -> Result<Claim, Malformed> {
    let claim = parse_secret(kind, secret)?;
    let named = public_name(kind, claim.id).ok_or(Malformed::Name)?;
    if name == named.as_bytes() {
        Ok(claim)
    } else {
        Err(Malformed::Name)
    }
}

fn parse_secret(kind: Kind, text: &[u8]) -> Result<Claim, Malformed> {
    let text: &[u8; SECRET_LENGTH] = text.try_into().map_err(|_| Malformed::Length)?;
    let (head, checksum) = split::<CHECKSUM, U32_DIGITS>(text);
    if head[..PREFIX] != *kind.secret_prefix().as_bytes() || head[PREFIX] != b'_' {
        return Err(Malformed::Prefix);
    }
    if head[PREFIX + 1] != VERSION {
        return Err(Malformed::Version);
    }
    if crc32fast::hash(head) != decode_u32(checksum)? {
        return Err(Malformed::Checksum);
    }
    let (before, secret) = split::<SECRET, BYTES32_DIGITS>(head);
    let (before, generation) = split::<GENERATION, U32_DIGITS>(before);
    let (_, id) = split::<ID, U128_DIGITS>(before);
    Ok(Claim {
        kind,
        id: CredentialId::from_bytes(decode_u128(id)?.to_be_bytes()),
        generation: Generation::new(decode_u32(generation)?),
        secret: Secret::new(decode_bytes32(secret)?),
    })
}

/// The first `A` bytes of `text`, and the `B` after them.
fn split<const A: usize, const B: usize>(text: &[u8]) -> (&[u8; A], &[u8; B]) {
    let (Some((head, tail)), true) = (text.split_first_chunk(), text.len() == A + B) else {
        unreachable!("the parts of a token have fixed lengths");
    };
    let Some((tail, [])) = tail.split_first_chunk() else {
        unreachable!("the parts of a token have fixed lengths");
    };
    (head, tail)
}

impl From<NotBase62> for Malformed {
    fn from(error: NotBase62) -> Self {
        match error {
            NotBase62::Alphabet => Self::Alphabet,
            NotBase62::Range => Self::Range,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn presented<'a>(kind: Kind, name: &'a str, secret: &'a str) -> Presented<'a> {
        match kind {
            Kind::ApiToken => Presented::Token(secret),
            Kind::Basic => Presented::UsernamePassword(name, secret),
            Kind::KeyPair => Presented::KeyPair(name, secret),
        }
    }

    fn sample(kind: Kind) -> (String, String) {
        let id = CredentialId::from_bytes([7; 16]);
        let secret = Secret::new([9; 32]);
        (
            public_name(kind, id).unwrap_or_default(),
            secret_text(kind, id, Generation::FIRST, &secret)
                .expose()
                .to_owned(),
        )
    }

    /// Replaces the checksum by the right one for what stands before it.
    fn seal(text: &str) -> String {
        let head = &text[..CHECKSUM];
        let mut digits = [0; U32_DIGITS];
        base62::encode_u32(crc32fast::hash(head.as_bytes()), &mut digits);
        format!("{head}{}", String::from_utf8_lossy(&digits))
    }

    #[test]
    fn the_form_of_a_token_never_changes() {
        let (_, token) = sample(Kind::ApiToken);
        assert_eq!(
            token,
            "creddt_00DG9mkOv2l6AkSp3WsPxY700000128pwpFvXuOCuClQJSgvJUKf8mA3ApwedogOvpU3VfJJ1yNd8c"
        );
        assert_eq!(token.len(), SECRET_LENGTH);
        let (username, _) = sample(Kind::Basic);
        assert_eq!(username, "creddu_0DG9mkOv2l6AkSp3WsPxY7");
    }

    #[test]
    fn the_pattern_of_a_kind_is_as_long_as_its_secrets() {
        assert_eq!(Kind::ApiToken.secret_pattern(), "creddt_0[0-9A-Za-z]{77}");
        assert_eq!("creddt_0".len() + 77, SECRET_LENGTH);
    }

    #[test]
    fn another_prefix_version_length_or_checksum_is_malformed() {
        let (_, token) = sample(Kind::ApiToken);
        let parse = |text: &str| Presented::Token(text).parse().err();
        assert_eq!(parse(&token), None);
        assert_eq!(parse(&token[1..]), Some(Malformed::Length));
        assert_eq!(parse(&format!("{token} ")), Some(Malformed::Length));
        assert_eq!(parse(""), Some(Malformed::Length));
        assert_eq!(
            parse(&seal(&token.replace("creddt", "creddp"))),
            Some(Malformed::Prefix)
        );
        assert_eq!(
            parse(&seal(&token.replace("creddt_0", "creddt_1"))),
            Some(Malformed::Version)
        );
        assert_eq!(
            parse(&format!("{}000000", &token[..CHECKSUM])),
            Some(Malformed::Checksum)
        );
        let over = format!("{}zzzzzz{}", &token[..GENERATION], &token[SECRET..]);
        assert_eq!(parse(&seal(&over)), Some(Malformed::Range));
        let bad = format!("{}-{}", &token[..SECRET], &token[SECRET + 1..]);
        assert_eq!(parse(&seal(&bad)), Some(Malformed::Alphabet));
    }

    #[test]
    fn a_secret_of_one_kind_is_none_of_another() {
        for issued in Kind::ALL {
            let (name, secret) = sample(issued);
            for asked in Kind::ALL {
                assert_eq!(
                    presented(asked, &name, &secret).parse().is_ok(),
                    asked == issued,
                    "{issued:?} presented as {asked:?}"
                );
            }
        }
    }

    #[test]
    fn a_username_of_another_credential_is_malformed() {
        let (_, password) = sample(Kind::Basic);
        let other = public_name(Kind::Basic, CredentialId::from_bytes([8; 16])).unwrap();
        for name in [other.as_str(), "", "jo"] {
            let parsed = Presented::UsernamePassword(name, &password).parse();
            assert_eq!(parsed.err(), Some(Malformed::Name), "{name}");
        }
    }

    proptest! {
        #[test]
        fn what_was_issued_is_read_back(kind in 0..3_usize, id: [u8; 16], generation: u32, secret: [u8; 32]) {
            let kind = Kind::ALL[kind];
            let id = CredentialId::from_bytes(id);
            let generation = Generation::new(generation);
            let text = secret_text(kind, id, generation, &Secret::new(secret));
            let name = public_name(kind, id).unwrap_or_default();
            let claim = presented(kind, &name, text.expose()).parse().unwrap();
            prop_assert_eq!((claim.kind, claim.id, claim.generation), (kind, id, generation));
            prop_assert_eq!(claim.secret.expose(), &secret);
        }

        #[test]
        fn any_changed_character_is_noticed(at in 0..SECRET_LENGTH, to in "[ -~]") {
            let (_, mut token) = sample(Kind::ApiToken);
            prop_assume!(token[at..=at] != to);
            token.replace_range(at..=at, &to);
            prop_assert!(Presented::Token(&token).parse().is_err());
        }

        #[test]
        fn arbitrary_bytes_are_read_or_refused(kind in 0..3_usize, name: Vec<u8>, secret: Vec<u8>) {
            let (name, secret) = (String::from_utf8_lossy(&name), String::from_utf8_lossy(&secret));
            prop_assert!(presented(Kind::ALL[kind], &name, &secret).parse().is_err());
        }

        #[test]
        fn what_is_read_is_the_only_text_for_it(secret in "creddt_0[0-9A-Za-z]{71}000000") {
            let text = seal(&secret);
            if let Ok(claim) = Presented::Token(&text).parse() {
                let again = secret_text(claim.kind, claim.id, claim.generation, &claim.secret);
                prop_assert_eq!(again.expose(), &text);
            }
        }
    }
}
