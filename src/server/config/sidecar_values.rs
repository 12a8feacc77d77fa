//! The types of the sidecar's settings.

use super::values::Scalar;
use crate::client::{Address, NotAnAddress};

/// Where an authority is: at least one address, none twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses(Vec<Address>);

impl Addresses {
    /// Each of them, in order.
    #[must_use]
    pub fn list(&self) -> &[Address] {
        &self.0
    }
}

impl Scalar for Addresses {
    const WHAT: &'static str = "addresses, with commas between";
    const PLACEHOLDER: &'static str = "ADDRESSES";

    fn parse(text: &str) -> Result<Self, String> {
        let mut list = Vec::new();
        for part in text.split(',') {
            let address = part.trim().parse();
            let address = address.map_err(|error: NotAnAddress| error.to_string())?;
            if list.contains(&address) {
                return Err("has an address twice".to_owned());
            }
            list.push(address);
        }
        Ok(Self(list))
    }

    fn text(&self) -> String {
        let shown: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        shown.join(",")
    }
}

/// The permissions of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileMode(u32);

impl FileMode {
    /// The owner and the group may read and write.
    pub const OWNER_AND_GROUP: Self = Self(0o660);

    /// Its bits.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }
}

impl Scalar for FileMode {
    const WHAT: &'static str = "three octal digits";
    const PLACEHOLDER: &'static str = "MODE";

    fn parse(text: &str) -> Result<Self, String> {
        let digits = text.strip_prefix('0').filter(|rest| rest.len() == 3);
        let digits = digits.unwrap_or(text);
        let is_octal = digits.len() == 3 && digits.bytes().all(|it| matches!(it, b'0'..=b'7'));
        let mode = is_octal.then(|| u32::from_str_radix(digits, 8).ok());
        let mode = mode.flatten().ok_or("must be three octal digits")?;
        Ok(Self(mode))
    }

    fn text(&self) -> String {
        format!("{:04o}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_stand_between_commas() {
        let read = Addresses::parse("https://a:1, unix:/b").unwrap();
        assert_eq!(read.list().len(), 2);
        assert_eq!(read.text(), "https://a:1,unix:/b");
        for text in ["", "https://a:1,", "https://a:1,https://a:1", "a"] {
            Addresses::parse(text).unwrap_err();
        }
    }

    #[test]
    fn modes_are_octal() {
        for (text, mode) in [("0660", 0o660), ("600", 0o600), ("0777", 0o777)] {
            let read = FileMode::parse(text).unwrap();
            assert_eq!(read.bits(), mode);
            assert_eq!(FileMode::parse(&read.text()), Ok(read));
        }
        for text in ["", "66", "0o660", "888", "06660", "+60"] {
            FileMode::parse(text).unwrap_err();
        }
    }
}
