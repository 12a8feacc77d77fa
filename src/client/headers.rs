//! In which headers credentials stand, by the profiles that are known.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use tonic::Status;

use super::upstream::Upstream;
use super::upstreams::Upstreams;
use crate::domain::header::{HeaderRule, HeaderRules};
use crate::proto::v1;
use crate::rpc::convert;

/// The headers of all profiles.
#[derive(Debug, Default)]
pub(super) struct Headers {
    profiles: Mutex<Profiles>,
    /// `None`: they were not listed yet.
    rules: ArcSwapOption<Rules>,
}

/// In which headers to look for credentials.
#[derive(Debug, Default)]
struct Rules {
    /// Of profiles that all tenants have.
    common: Arc<HeaderRules>,
    /// The same with those of a tenant's own profiles.
    of: HashMap<String, Arc<HeaderRules>>,
    /// Of all profiles.
    all: Arc<HeaderRules>,
}

#[derive(Debug, Default)]
struct Profiles {
    /// In which headers credentials of any version are presented.
    known: BTreeMap<Name, Vec<HeaderRule>>,
    /// Changes that came while the list is being read: they are newer than it may be.
    meanwhile: Option<Vec<v1::ProfileEvent>>,
}

/// A tenant (none: all of them), and the name of a profile.
type Name = (String, String);

/// How many profiles are listed at once: with the headers of earlier versions one may be
/// several times as large as it can be put.
const PAGE: i32 = 100;

impl Headers {
    /// The rules for credentials of a tenant, or of any (`None`), if they are known.
    /// What other tenants put is no concern of one that is named.
    pub(super) fn rules(&self, tenant: Option<&str>) -> Option<Arc<HeaderRules>> {
        let rules = self.rules.load();
        let Rules { common, of, all } = &**rules.as_ref()?;
        Some(Arc::clone(match tenant {
            Some(tenant) => of.get(tenant).unwrap_or(common),
            None => all,
        }))
    }

    /// Lists all profiles anew.
    ///
    /// # Errors
    ///
    /// That of the authority. What was known stays.
    pub(super) async fn list(
        &self,
        upstreams: &Upstreams,
        upstream: &Upstream,
    ) -> Result<(), Status> {
        self.profiles.lock().meanwhile = Some(Vec::new());
        let mut known = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = v1::ListProfilesRequest {
                tenant: String::new(),
                page_size: PAGE,
                page_token,
            };
            let page = upstreams.list_profiles(upstream, request).await?;
            let v1::ListProfilesResponse {
                profiles,
                next_page_token,
                revision: _,
            } = page;
            known.extend(profiles);
            if next_page_token.is_empty() {
                break;
            }
            page_token = next_page_token;
        }
        let mut profiles = self.profiles.lock();
        profiles.listed(known);
        for event in profiles.meanwhile.take().unwrap_or_default() {
            profiles.apply(event);
        }
        self.show(&profiles);
        Ok(())
    }

    /// A profile was changed.
    pub(super) fn changed(&self, event: &v1::ProfileEvent) {
        let mut profiles = self.profiles.lock();
        if let Some(meanwhile) = &mut profiles.meanwhile {
            meanwhile.push(event.clone());
        }
        profiles.apply(event.clone());
        if self.rules.load().is_some() {
            self.show(&profiles);
        }
    }

    fn show(&self, profiles: &Profiles) {
        self.rules.store(Some(Arc::new(profiles.rules())));
    }
}

impl Profiles {
    fn rules(&self) -> Rules {
        let mut of: HashMap<&str, Vec<HeaderRule>> = HashMap::new();
        for ((tenant, _), rules) in &self.known {
            of.entry(tenant).or_default().extend(rules.iter().cloned());
        }
        let all = of.values().flatten().cloned().collect();
        let common = of.remove("").unwrap_or_default();
        let with_common = of.into_iter().map(|(tenant, own)| {
            let rules = own.into_iter().chain(common.iter().cloned()).collect();
            (tenant.to_owned(), Arc::new(rules))
        });
        Rules {
            of: with_common.collect(),
            common: Arc::new(common.into_iter().collect()),
            all: Arc::new(all),
        }
    }

    /// There are these, and no others.
    fn listed(&mut self, profiles: Vec<v1::Profile>) {
        let mut before = std::mem::take(&mut self.known);
        for profile in profiles {
            if profile.accepted_headers.is_empty() {
                // Of an authority that does not say: what is known of it stays.
                let name = (profile.tenant.clone(), profile.name.clone());
                if let Some(known) = before.remove(&name) {
                    self.known.insert(name, known);
                }
            }
            self.put(profile);
        }
    }

    /// There is this version of a profile. Credentials of earlier ones go on where
    /// they stand, whether or not the authority says so.
    fn put(&mut self, profile: v1::Profile) {
        let v1::Profile {
            tenant,
            name,
            headers,
            accepted_headers,
            ..
        } = profile;
        let known = self.known.entry((tenant, name)).or_default();
        let headers = headers.into_iter().chain(accepted_headers);
        for rule in headers.filter_map(convert::profile::header_rule) {
            if !known.contains(&rule) {
                known.push(rule);
            }
        }
    }

    fn apply(&mut self, event: v1::ProfileEvent) {
        let is_deleted = event.r#type() == v1::DirectoryChangeType::Deleted;
        let Some(profile) = event.profile else {
            return;
        };
        if is_deleted {
            self.known.remove(&(profile.tenant, profile.name));
        } else {
            self.put(profile);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use v1::DirectoryChangeType::{Deleted, Put};

    fn rule(header: &str) -> v1::HeaderRule {
        v1::HeaderRule {
            name: header.to_owned(),
            format: Some(v1::header_rule::Format::Bare(true)),
        }
    }

    fn profile(name: &str, header: &str, accepted: &[&str]) -> v1::Profile {
        v1::Profile {
            name: name.to_owned(),
            headers: vec![rule(header)],
            accepted_headers: accepted.iter().copied().map(rule).collect(),
            ..Default::default()
        }
    }

    fn event(profile: v1::Profile, change: v1::DirectoryChangeType) -> v1::ProfileEvent {
        v1::ProfileEvent {
            r#type: change.into(),
            profile: Some(profile),
            at: None,
        }
    }

    fn shown(headers: &Headers) -> Vec<String> {
        let rules = headers.rules(None).unwrap();
        let mut names: Vec<_> = rules.iter().map(|rule| rule.name.to_string()).collect();
        names.sort();
        names
    }

    #[test]
    fn headers_come_and_go_with_profiles() {
        let headers = Headers::default();
        assert!(headers.rules(None).is_none());
        let one = || profile("one", "x-one", &["x-one"]);
        headers.changed(&event(one(), Put));
        assert!(headers.rules(None).is_none(), "others were not listed");
        headers.show(&headers.profiles.lock());
        assert_eq!(shown(&headers), ["x-one"]);
        headers.changed(&event(profile("two", "x-two", &["x-two"]), Put));
        assert_eq!(shown(&headers), ["x-one", "x-two"]);
        headers.changed(&event(one(), Deleted));
        assert_eq!(shown(&headers), ["x-two"]);
    }

    #[test]
    fn a_tenant_has_its_own_headers_and_those_of_all_and_none_of_others() {
        let headers = Headers::default();
        let of = |tenant: &str, name| v1::Profile {
            tenant: tenant.to_owned(),
            ..profile(name, name, &[name])
        };
        let profiles = vec![
            of("", "x-all"),
            of("acme", "x-acme"),
            of("globex", "x-globex"),
        ];
        headers.profiles.lock().listed(profiles);
        headers.show(&headers.profiles.lock());
        let names = |tenant| {
            let rules = headers.rules(tenant).unwrap();
            let names = rules.iter().map(|rule| rule.name.to_string());
            names.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(names(Some("acme")), "x-all x-acme");
        assert_eq!(names(Some("globex")), "x-all x-globex");
        assert_eq!(names(Some("other")), "x-all");
        assert_eq!(names(None), "x-all x-acme x-globex");
    }

    #[test]
    fn a_profile_that_is_changed_keeps_the_headers_that_it_had() {
        for says in [true, false] {
            let accepted = |all: &'static [&str]| if says { all } else { &[] };
            let headers = Headers::default();
            let first = profile("one", "x-one", accepted(&["x-one"]));
            headers.profiles.lock().listed(vec![first]);
            headers.show(&headers.profiles.lock());
            let second = || profile("one", "x-uno", accepted(&["x-uno", "x-one"]));
            headers.changed(&event(second(), Put));
            assert_eq!(shown(&headers), ["x-one", "x-uno"], "{says}");
            headers.profiles.lock().listed(vec![second()]);
            headers.show(&headers.profiles.lock());
            assert_eq!(shown(&headers), ["x-one", "x-uno"], "{says}");
        }
    }

    #[test]
    fn a_list_tells_of_earlier_versions_too_and_of_no_other_profiles() {
        let headers = Headers::default();
        let other = profile("other", "x-other", &["x-other"]);
        headers.profiles.lock().listed(vec![other]);
        let one = profile("one", "x-uno", &["x-uno", "x-one"]);
        headers.profiles.lock().listed(vec![one]);
        headers.show(&headers.profiles.lock());
        assert_eq!(shown(&headers), ["x-one", "x-uno"]);
    }
}
