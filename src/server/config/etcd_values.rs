//! The types of the settings of a store in etcd.

use super::values::Scalar;

/// What a store is kept in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Files of this process alone.
    Sled,
    /// A cluster of etcd, which several servers share.
    Etcd,
}

impl Scalar for Engine {
    const WHAT: &'static str = "`sled` or `etcd`";
    const PLACEHOLDER: &'static str = "ENGINE";

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "sled" => Ok(Self::Sled),
            "etcd" => Ok(Self::Etcd),
            _ => Err("must be `sled` or `etcd`".to_owned()),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Sled => "sled",
            Self::Etcd => "etcd",
        }
        .to_owned()
    }
}

/// A user of etcd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User(String);

impl User {
    /// Its name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Scalar for User {
    const WHAT: &'static str = "a name";
    const PLACEHOLDER: &'static str = "USER";

    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() || text.contains(char::is_control) {
            return Err("must be a name".to_owned());
        }
        Ok(Self(text.to_owned()))
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}

/// What all keys of a store in etcd begin with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPrefix(String);

impl KeyPrefix {
    /// The most bytes that it may have.
    const MOST: usize = 128;

    /// That of a cluster in which there is one credd.
    #[must_use]
    pub fn usual() -> Self {
        Self("/credd/".to_owned())
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Scalar for KeyPrefix {
    const WHAT: &'static str = "1 to 128 bytes that end with `/`";
    const PLACEHOLDER: &'static str = "PREFIX";

    fn parse(text: &str) -> Result<Self, String> {
        // One that is the beginning of another would have the other's keys.
        if text.len() > Self::MOST || !text.ends_with('/') {
            return Err("must be 1 to 128 bytes that end with `/`".to_owned());
        }
        Ok(Self(text.to_owned()))
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_and_prefixes_are_read_as_they_are_shown() {
        for text in ["sled", "etcd"] {
            assert_eq!(Engine::parse(text).unwrap().text(), text);
        }
        for text in ["", "Sled", "redis"] {
            Engine::parse(text).unwrap_err();
        }
        for text in ["/", "credd/", "/a b/"] {
            assert_eq!(KeyPrefix::parse(text).unwrap().text(), text);
        }
        for text in ["", "credd", &format!("{}/", "a".repeat(128))] {
            KeyPrefix::parse(text).unwrap_err();
        }
    }
}
