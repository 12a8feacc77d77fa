//! The language that somebody is written to in.

use language_tags::LanguageTag;

use super::names::{InvalidText, shared_text};

shared_text! {
    /// A language: a BCP 47 tag (RFC 5646) such as `en`, `de-CH` or
    /// `zh-Hant-TW`, in the letter case of RFC 5646 section 2.1.1, so that
    /// equal tags are equal texts.
    ///
    /// The tag is not replaced by its preferred value: `iw` stays `iw` and is
    /// not equal to `he`.
    Language
}

/// The most bytes that a tag may have: RFC 5646 section 4.4.1 finds that 35
/// hold every tag without extensions and private use.
const MAX_BYTES: usize = 35;

const RULE: &str = "must be a BCP 47 language tag of at most 35 bytes whose subtags are in the IANA registry, such as `en` or `de-CH`";

impl Language {
    /// The language of a tag in any letter case.
    ///
    /// The tag must be valid by RFC 5646 section 2.2.9 and each variant must
    /// follow a prefix that the registry names for it, which that section only
    /// recommends. The registry is that of the crate `language-tags`: subtags
    /// younger than the crate are refused. What an extension says after its
    /// singleton is not checked.
    ///
    /// # Errors
    ///
    /// [`InvalidText`], which says the rule.
    pub fn parse(text: &str) -> Result<Self, InvalidText> {
        if text.len() > MAX_BYTES {
            return Err(InvalidText(RULE));
        }
        let tag = LanguageTag::parse(text).map_err(|_| InvalidText(RULE))?;
        if !tag.is_valid() || is_mistaken_for_private_use(tag.primary_language()) {
            return Err(InvalidText(RULE));
        }
        Ok(Self(tag.as_str().into()))
    }
}

/// Whether a primary language passes for one of the private-use subtags `qaa`
/// to `qtz` only because the crate compares texts of any length with them.
fn is_mistaken_for_private_use(primary: &str) -> bool {
    primary.len() != 3 && ("qaa"..="qtz").contains(&primary)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_tag_is_kept_in_the_letter_case_of_the_rfc() {
        for (given, kept) in [
            ("en", "en"),
            ("EN-us", "en-US"),
            ("de-ch", "de-CH"),
            ("DE-CH-1901", "de-CH-1901"),
            ("ZH-hant-tw", "zh-Hant-TW"),
            ("sr-latn-rs", "sr-Latn-RS"),
            ("es-419", "es-419"),
            ("ZH-CMN", "zh-cmn"),
            ("sl-ROZAJ-biske", "sl-rozaj-biske"),
            ("en-U-CA-gregory", "en-u-ca-gregory"),
            ("DE-a-B2-X-yZ", "de-a-b2-x-yz"),
            ("I-KLINGON", "i-klingon"),
            ("SGN-be-fr", "sgn-BE-FR"),
            ("EN-gb-OED", "en-GB-oed"),
            ("X-Private", "x-private"),
            ("QAA-qaaa-qm", "qaa-Qaaa-QM"),
            ("iw", "iw"),
            ("qu", "qu"),
            ("und", "und"),
        ] {
            let language = Language::parse(given).expect(given);
            assert_eq!(language.as_str(), kept);
        }
    }

    #[test]
    fn what_is_not_a_valid_tag_is_refused() {
        let long = format!("en-x-{}", "abcdefgh-".repeat(10) + "a");
        for bad in [
            "",
            "-",
            "en-",
            "-en",
            "en_US",
            "en US",
            "en\0",
            "en-ä",
            "i",
            "x",
            "xx-yy",
            "root",
            "deu",
            "abcdefgh",
            "de-de-de",
            "en-AA1",
            "en-Zzzx",
            "de-1996-1996",
            "de-rozaj",
            "en-a-bbb-a-ccc",
            "en-a",
            "en-x",
            "qq",
            "qbbbb",
            &long,
        ] {
            assert!(Language::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_tag_has_at_most_35_bytes() {
        let longest = "en-x-abcdefgh-abcdefgh-abcdefgh-abc";
        assert_eq!(longest.len(), 35);
        assert!(Language::parse(longest).is_ok());
        assert!(Language::parse(&format!("{longest}d")).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_judged_and_what_is_kept_is_kept_as_it_is(
            text in "\\PC{0,40}|[a-zA-Z]{1,8}(-[a-zA-Z0-9]{1,8}){0,4}"
        ) {
            if let Ok(language) = Language::parse(&text) {
                prop_assert!(language.as_str().eq_ignore_ascii_case(&text));
                prop_assert_eq!(Language::parse(language.as_str()), Ok(language));
            }
        }

        #[test]
        fn letter_case_makes_no_difference(
            tag in prop::sample::select(vec![
                "en", "de-CH-1901", "zh-Hant-TW", "sgn-BE-FR", "de-a-b2-x-yz", "i-klingon",
            ]),
            upper in any::<u64>(),
        ) {
            let text: String = (0..).zip(tag.chars())
                .map(|(i, c)| if upper >> i & 1 == 1 { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() })
                .collect();
            let language = Language::parse(&text).unwrap();
            prop_assert_eq!(language.as_str(), tag);
        }
    }
}
