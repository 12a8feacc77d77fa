//! Which events somebody asks for, or asks to be forgotten.

use super::event::Event;
use crate::domain::id::CredentialId;
use crate::domain::names::{Owner, Tenant};
use crate::domain::rights::Tenants;
use crate::domain::time::Timestamp;

/// Which events; what is `None` lets all through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// The tenants whose events the one who asks may see. Of those that are about
    /// no tenant, or about all, only who may see all tenants sees any.
    pub reach: Tenants,
    /// Only those about this tenant.
    pub tenant: Option<Tenant>,
    /// Only those of this principal, or in its name.
    pub principal: Option<String>,
    /// Only those of this action.
    pub action: Option<String>,
    /// Only those that name this credential, or whose caller is known by it.
    pub credential: Option<CredentialId>,
    /// Only those that were done as they were asked, or only the others.
    pub ok: Option<bool>,
    /// Only those of this time or later.
    pub from: Option<Timestamp>,
    /// Only those before this time.
    pub until: Option<Timestamp>,
}

impl Filter {
    /// Every event that somebody may see.
    #[must_use]
    pub const fn all(reach: Tenants) -> Self {
        Self {
            reach,
            tenant: None,
            principal: None,
            action: None,
            credential: None,
            ok: None,
            from: None,
            until: None,
        }
    }

    /// Whether it lets everything through, so that what says nothing is not left
    /// out.
    #[must_use]
    pub fn is_open(&self) -> bool {
        *self == Self::all(Tenants::All)
    }

    /// Whether it lets an event through.
    #[must_use]
    pub fn admits(&self, event: &Event) -> bool {
        use super::KnownBy;

        let Self {
            reach,
            tenant,
            principal,
            action,
            credential,
            ok,
            from,
            until,
        } = self;
        let about = event.subject.tenant.as_str();
        let is_by =
            |principal: &String| event.principal == *principal || event.on_behalf_of == *principal;
        let names = |id: &CredentialId| {
            event.subject.credentials.contains(id) || event.known_by == KnownBy::Credential(*id)
        };
        reach.has(about)
            && tenant
                .as_ref()
                .is_none_or(|tenant| tenant.as_str() == about)
            && principal.as_ref().is_none_or(is_by)
            && action.as_ref().is_none_or(|action| event.action == *action)
            && credential.as_ref().is_none_or(names)
            && ok.is_none_or(|ok| event.is_ok() == ok)
            && from.is_none_or(|from| event.last >= from)
            && until.is_none_or(|until| event.first < until)
    }
}

/// Whose personal data is to be erased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// A caller.
    Principal(String),
    /// An owner of a tenant.
    Owner(Tenant, Owner),
}

impl Named {
    /// Whether an event names them: as who acted, as what it is about, or anywhere in
    /// its texts.
    #[must_use]
    pub fn is_in(&self, event: &Event) -> bool {
        let in_texts = |name: &str| {
            let texts = [&event.reason, &event.details, &event.request_id];
            texts.into_iter().any(|text| stands_in(name, text))
        };
        match self {
            Self::Principal(name) => {
                let fields = [
                    &event.principal,
                    &event.on_behalf_of,
                    &event.subject.principal,
                ];
                fields.into_iter().any(|field| field == name) || in_texts(name)
            }
            Self::Owner(tenant, owner) => {
                event.subject.tenant == tenant.as_str()
                    && (event.subject.owner == owner.as_str() || in_texts(owner.as_str()))
            }
        }
    }
}

/// Whether a name stands in a text, and is not a part of a longer one. A full stop
/// or a colon belongs to a name only if something follows it.
fn stands_in(name: &str, text: &str) -> bool {
    let joins = |c: char| c.is_alphanumeric() || "_-@/+".contains(c);
    text.match_indices(name).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let mut after = text[at + name.len()..].chars();
        let goes_on = match after.next() {
            Some('.' | ':') => after.next().is_some_and(char::is_alphanumeric),
            next => next.is_some_and(joins),
        };
        !before.is_some_and(|c| joins(c) || ".:".contains(c)) && !goes_on
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::audit::{KnownBy, OK};

    fn event() -> Event {
        let now = Timestamp::from_millis(50);
        let mut event = Event::new("credd.v1.CredentialService/Lock", OK, now);
        event.principal = "credd:portal".to_owned();
        event.on_behalf_of = "jwt:https://i#jo".to_owned();
        event.known_by = KnownBy::Credential(CredentialId::from_bytes([1; 16]));
        event.subject.tenant = "acme".to_owned();
        event.subject.owner = "jo".to_owned();
        event.subject.credentials = vec![CredentialId::from_bytes([2; 16])];
        event.reason = "asked by mia@acme.test.".to_owned();
        event
    }

    fn acme() -> Tenants {
        Tenants::Of(vec![Tenant::parse("acme").unwrap()])
    }

    #[test]
    fn a_filter_lets_through_what_it_names() {
        let all = Filter::all(acme());
        let named = |change: &dyn Fn(&mut Filter)| {
            let mut filter = all.clone();
            change(&mut filter);
            filter.admits(&event())
        };
        assert!(named(&|_| ()));
        assert!(named(&|f| f.principal = Some("credd:portal".to_owned())));
        assert!(named(&|f| f.principal = Some("jwt:https://i#jo".to_owned())));
        assert!(!named(&|f| f.principal = Some("jo".to_owned())));
        for (n, is_in) in [(1, true), (2, true), (3, false)] {
            let id = CredentialId::from_bytes([n; 16]);
            assert_eq!(named(&|f| f.credential = Some(id)), is_in);
        }
        assert!(named(&|f| f.ok = Some(true)));
        assert!(!named(&|f| f.ok = Some(false)));
        assert!(named(&|f| f.from = Some(Timestamp::from_millis(50))));
        assert!(!named(&|f| f.from = Some(Timestamp::from_millis(51))));
        assert!(named(&|f| f.until = Some(Timestamp::from_millis(51))));
        assert!(!named(&|f| f.until = Some(Timestamp::from_millis(50))));
        assert!(!named(&|f| f.action = Some("Lock".to_owned())));
        assert!(!named(&|f| f.reach = Tenants::NONE));
        assert!(!named(
            &|f| f.tenant = Some(Tenant::parse("globex").unwrap())
        ));
    }

    #[test]
    fn what_is_about_no_tenant_or_all_is_for_those_who_may_see_all() {
        for about in ["", "*"] {
            let mut event = event();
            event.subject.tenant = about.to_owned();
            assert!(!Filter::all(acme()).admits(&event), "{about}");
            assert!(Filter::all(Tenants::All).admits(&event), "{about}");
        }
    }

    #[test]
    fn a_person_is_found_wherever_an_event_names_them() {
        let principal = |name: &str| Named::Principal(name.to_owned());
        assert!(principal("credd:portal").is_in(&event()));
        assert!(principal("jwt:https://i#jo").is_in(&event()));
        assert!(!principal("credd:port").is_in(&event()));
        assert!(principal("mia@acme.test").is_in(&event()));
        assert!(!principal("mia@acme.tes").is_in(&event()));
        assert!(!principal("ia@acme.test").is_in(&event()));
        let owner = |tenant: &str, owner: &str| {
            Named::Owner(Tenant::parse(tenant).unwrap(), Owner::parse(owner).unwrap())
        };
        assert!(owner("acme", "jo").is_in(&event()));
        assert!(owner("acme", "mia@acme.test").is_in(&event()));
        assert!(!owner("globex", "jo").is_in(&event()));
        for part in ["j", "mia", "acme.test", "mia@acme"] {
            assert!(!owner("acme", part).is_in(&event()), "{part}");
        }
    }
}
