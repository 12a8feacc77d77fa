//! What roles allow.
//!
//! Tenants define permissions for their own services: `RESOURCE:ACTION`, such
//! as `feeds:read`. A role lists [`Grant`]s, in which `*` stands for any
//! resource or any action; a service asks for one [`Needed`] permission.
//!
//! The permissions that guard credd itself have another form,
//! `credd.credentials.issue`, and stand in roles of the tenant `credd` alone,
//! as [`CreddGrant`]s. No grant of another tenant can be read as one of them:
//! not by its form, and not by a resource named `credd`, which is refused.

use super::names::{InvalidText, require, text};

mod guards;

pub use guards::{Permission, PermissionSet};

text! {
    /// A permission, or a pattern of permissions, as it stands in a role of a
    /// tenant: `feeds:read`, `feeds:*`, `*:read` or `*:*`. A `*` stands for a
    /// whole part.
    Grant, grant
}

text! {
    /// Permissions on credd, as they stand in a role of the tenant `credd`: one
    /// by its name (`credd.credentials.issue`) or all whose names begin so
    /// (`credd.credentials.*`, `credd.*`).
    CreddGrant, credd_grant
}

/// The one permission that a service asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Needed<'a> {
    resource: &'a str,
    action: &'a str,
}

impl<'a> Needed<'a> {
    /// The permission of this name: `RESOURCE:ACTION`, without `*`.
    ///
    /// A resource named `credd`, or beginning with `credd.`, is refused: what
    /// guards credd is asked of credd's own roles, and no tenant's `*` stands
    /// for it.
    ///
    /// # Errors
    ///
    /// [`InvalidText`], which says the rule.
    pub fn parse(text: &'a str) -> Result<Self, InvalidText> {
        const RULE: &str = "must be `RESOURCE:ACTION`, at most 128 characters: each 1 to 64 characters of a-z, 0-9 and `. _ -`, beginning with a letter";

        let (resource, action) = split(text);
        require(
            text.len() <= MAX_LENGTH && is_name(resource) && is_name(action),
            RULE,
        )?;
        not_of_credd(resource)?;
        Ok(Self { resource, action })
    }
}

/// Whether one of these grants gives the needed permission.
#[must_use]
pub fn grants<'g>(granted: impl IntoIterator<Item = &'g Grant>, needed: &Needed<'_>) -> bool {
    granted.into_iter().any(|grant| {
        let (resource, action) = split(grant.as_str());
        part_covers(resource, needed.resource) && part_covers(action, needed.action)
    })
}

/// Whether `a` gives every permission that `b` gives.
#[must_use]
pub fn covers(a: &Grant, b: &Grant) -> bool {
    let (resource, action) = split(a.as_str());
    let (other_resource, other_action) = split(b.as_str());
    part_covers(resource, other_resource) && part_covers(action, other_action)
}

impl CreddGrant {
    /// Whether it gives the permission of this name; of the text of another
    /// grant, whether it gives every permission that the other gives.
    #[must_use]
    pub fn covers(&self, name: &str) -> bool {
        match self.as_str().strip_suffix(ANY) {
            // What is left ends in a dot, so that `credd.watch.*` gives
            // neither `credd.watch` nor `credd.watcher`.
            Some(start) => name.len() > start.len() && name.starts_with(start),
            None => name == self.as_str(),
        }
    }
}

/// Stands for any resource, any action, or any end of a name of credd's.
const ANY: &str = "*";
const MAX_LENGTH: usize = 128;

/// Whether one part of a permission stands for all that another stands for.
fn part_covers(granted: &str, other: &str) -> bool {
    granted == ANY || granted == other
}

/// Resource and action; without `:`, no action, which is no name.
fn split(text: &str) -> (&str, &str) {
    text.split_once(':').unwrap_or((text, ""))
}

fn grant(text: &str) -> Result<(), InvalidText> {
    let (resource, action) = split(text);
    let is_part = |part| part == ANY || is_name(part);
    require(
        text.len() <= MAX_LENGTH && is_part(resource) && is_part(action),
        "must be `RESOURCE:ACTION`, at most 128 characters: each `*`, or 1 to 64 characters of a-z, 0-9 and `. _ -`, beginning with a letter",
    )?;
    not_of_credd(resource)
}

fn credd_grant(text: &str) -> Result<(), InvalidText> {
    let is_grant = text.strip_prefix("credd.").is_some_and(|rest| {
        let (names, last) = rest
            .rsplit_once('.')
            .map_or((None, rest), |(names, last)| (Some(names), last));
        names.is_none_or(|names| names.split('.').all(is_name)) && (last == ANY || is_name(last))
    });
    require(
        text.len() <= MAX_LENGTH && is_grant,
        "must be the name of a permission on credd, such as `credd.credentials.issue`, or the beginning of names and `*`, such as `credd.credentials.*`",
    )
}

fn not_of_credd(resource: &str) -> Result<(), InvalidText> {
    require(
        resource != "credd" && !resource.starts_with("credd."),
        "must be of another resource than `credd` and those that begin with `credd.`, which are credd's own",
    )
}

/// Whether it is the name of a resource or an action.
fn is_name(text: &str) -> bool {
    text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn grant(text: &str) -> Grant {
        Grant::parse(text).unwrap()
    }

    fn needed(text: &str) -> Needed<'_> {
        Needed::parse(text).unwrap()
    }

    fn long(resource: usize, action: usize) -> String {
        format!("{}:{}", "r".repeat(resource), "a".repeat(action))
    }

    #[test]
    fn a_grant_is_a_resource_and_an_action_each_named_or_any() {
        for good in [
            "feeds:read",
            "feeds:*",
            "*:read",
            "*:*",
            "a:b",
            "feeds.eu-1:read_all",
            "credd-like:read",
            "feeds:credd",
            &long(64, 63),
            &long(63, 64),
        ] {
            assert!(Grant::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            ":",
            "*",
            "feeds",
            "feeds:",
            ":read",
            "feeds:read:all",
            "Feeds:read",
            "feeds:reÄd",
            "feeds: read",
            "1feeds:read",
            ".feeds:read",
            "feeds:-read",
            "fee*:read",
            "**:read",
            "feeds:re/ad",
            "feeds:read\n",
            "credd:read",
            "credd:*",
            "credd.credentials:issue",
            "credd.:read",
            "credd.credentials.issue",
            &long(64, 64),
            &long(65, 1),
            &long(1, 65),
        ] {
            assert!(Grant::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_is_needed_is_one_permission_and_none_of_credds() {
        for good in ["feeds:read", "creddx:read", "feeds:credd", &long(64, 63)] {
            assert!(Needed::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "feeds:*",
            "*:read",
            "*:*",
            "feeds",
            "feeds:",
            "feeds:read:all",
            "Feeds:read",
            "credd:read",
            "credd.credentials:issue",
            "credd.credentials.issue",
            &long(64, 64),
        ] {
            assert!(Needed::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_star_stands_for_any_resource_or_any_action() {
        for (granted, asked, given) in [
            ("feeds:read", "feeds:read", true),
            ("feeds:read", "feeds:write", false),
            ("feeds:read", "feed:read", false),
            ("feeds:read", "feeds.eu:read", false),
            ("feeds:*", "feeds:read", true),
            ("feeds:*", "alerts:read", false),
            ("feeds:*", "feeds.eu:read", false),
            ("*:read", "feeds:read", true),
            ("*:read", "feeds:write", false),
            ("*:*", "feeds:read", true),
        ] {
            let is_given = grants(&[grant(granted)], &needed(asked));
            assert_eq!(is_given, given, "{granted} for {asked}");
        }
        let role = [grant("feeds:read"), grant("alerts:*")];
        assert!(grants(&role, &needed("alerts:close")));
        assert!(!grants(&role, &needed("feeds:close")));
        assert!(!grants(&[], &needed("feeds:read")));
    }

    #[test]
    fn a_grant_covers_those_that_give_no_more() {
        for (a, b, covered) in [
            ("feeds:read", "feeds:read", true),
            ("feeds:*", "feeds:read", true),
            ("feeds:read", "feeds:*", false),
            ("*:read", "feeds:read", true),
            ("feeds:read", "*:read", false),
            ("*:read", "feeds:*", false),
            ("*:*", "feeds:*", true),
            ("*:*", "*:*", true),
            ("feeds:*", "*:*", false),
        ] {
            assert_eq!(covers(&grant(a), &grant(b)), covered, "{a} over {b}");
        }
    }

    #[test]
    fn a_grant_on_credd_is_a_name_or_the_beginning_of_names() {
        let long = format!("credd.{}", "a".repeat(64));
        let longest = format!("credd.{}.{}", "a".repeat(60), "b".repeat(61));
        for good in [
            "credd.credentials.issue",
            "credd.verify",
            "credd.credentials.*",
            "credd.*",
            "credd.a.b.c.d",
            &long,
            &longest,
        ] {
            assert!(CreddGrant::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "*",
            "credd",
            "credd.",
            "credd*",
            "credd.*.issue",
            "credd.cred*",
            "credd.**",
            "credd.*.*",
            "credd..issue",
            ".credd.issue",
            "credd.credentials.",
            "credd.credentials:issue",
            "credd.Verify",
            "credd.1",
            "Credd.verify",
            "feeds:read",
            "creddx.verify",
            &format!("{long}a"),
            &format!("{longest}b"),
        ] {
            assert!(CreddGrant::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_grant_on_credd_gives_its_name_or_all_below_it() {
        for (granted, name, given) in [
            ("credd.watch", "credd.watch", true),
            ("credd.watch", "credd.watcher", false),
            ("credd.watch", "credd.watch.all", false),
            ("credd.watch", "credd.*", false),
            ("credd.watch.*", "credd.watch", false),
            ("credd.watch.*", "credd.watcher", false),
            ("credd.credentials.*", "credd.credentials.issue", true),
            ("credd.credentials.*", "credd.credentials.issue.all", true),
            ("credd.credentials.*", "credd.credentials.", false),
            ("credd.credentials.*", "credd.verify", false),
            ("credd.credentials.*", "credd.credentials.*", true),
            ("credd.credentials.*", "credd.*", false),
            ("credd.*", "credd.credentials.*", true),
            ("credd.*", "credd.verify", true),
            ("credd.*", "credd", false),
            ("credd.*", "feeds:read", false),
        ] {
            let grant = CreddGrant::parse(granted).unwrap();
            assert_eq!(grant.covers(name), given, "{granted} for {name}");
        }
    }

    /// Grants from few names, so that they often meet.
    fn some_grants() -> impl Strategy<Value = Grant> {
        "(\\*|a|b|a\\.b):(\\*|a|b|a\\.b)".prop_map(|text| grant(&text))
    }

    /// Names of credd's permissions and grants, of few segments.
    const CREDD_GRANT: &str = "credd(\\.[ab]){0,2}\\.(a|b|ab|\\*)";

    proptest! {
        #[test]
        fn any_text_is_parsed_or_refused(text in "\\PC*", near in "[a-c*:._A-]{0,12}") {
            for text in [&text, &near] {
                let parsed = [
                    Grant::parse(text).is_ok(),
                    Needed::parse(text).is_ok(),
                    CreddGrant::parse(text).is_ok(),
                ];
                let is_plain = !text.contains('*');
                prop_assert_eq!(parsed[1], parsed[0] && is_plain, "{}", text);
                prop_assert!(!(parsed[0] && parsed[2]), "{}", text);
            }
        }

        #[test]
        fn no_grant_gives_what_is_credds(text in "credd(\\.[a-z.]{0,5})?:[a-z]{1,5}") {
            prop_assert!(Needed::parse(&text).is_err());
            prop_assert!(Grant::parse(&text).is_err());
        }

        #[test]
        fn a_grant_covers_another_just_if_it_gives_all_that_the_other_gives(
            a in some_grants(),
            b in some_grants(),
        ) {
            // `c` stands for every name that no grant has.
            let names = ["a", "b", "a.b", "c"];
            let all = names.iter().flat_map(|r| names.iter().map(move |a| format!("{r}:{a}")));
            let gives = |grant: &Grant, text: &str| grants([grant], &needed(text));
            let includes = all.into_iter().all(|text| gives(&a, &text) || !gives(&b, &text));
            prop_assert_eq!(covers(&a, &b), includes, "{} over {}", a, b);
        }

        #[test]
        fn covering_on_credd_is_transitive(
            a in CREDD_GRANT,
            b in CREDD_GRANT,
            c in CREDD_GRANT,
        ) {
            let covers = |a: &str, b: &str| CreddGrant::parse(a).unwrap().covers(b);
            prop_assert!(covers(&a, &a));
            prop_assert!(!(covers(&a, &b) && covers(&b, &c)) || covers(&a, &c));
            prop_assert!(!(covers(&a, &b) && covers(&b, &a)) || a == b);
        }
    }
}
