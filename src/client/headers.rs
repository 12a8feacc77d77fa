//! In which headers credentials stand, by the profiles that are known.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use tonic::Status;

use super::upstreams::{Upstream, Upstreams};
use crate::domain::header::{HeaderRule, HeaderRules};
use crate::proto::v1;
use crate::rpc::convert;

/// The headers of all profiles.
#[derive(Debug, Default)]
pub(super) struct Headers {
    profiles: Mutex<Profiles>,
    /// `None`: they were not listed yet.
    rules: ArcSwapOption<HeaderRules>,
}

#[derive(Debug, Default)]
struct Profiles {
    /// By tenant (none: of all) and name.
    known: BTreeMap<(String, String), Vec<HeaderRule>>,
    /// Changes that came while the list is being read: they are newer than it may be.
    meanwhile: Option<Vec<v1::ProfileEvent>>,
}

/// How many profiles are listed at once.
const PAGE: i32 = 1000;

impl Headers {
    /// The rules, if they are known.
    pub(super) fn rules(&self) -> Option<Arc<HeaderRules>> {
        self.rules.load_full()
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
        let mut known = BTreeMap::new();
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
            known.extend(profiles.into_iter().map(entry));
            if next_page_token.is_empty() {
                break;
            }
            page_token = next_page_token;
        }
        let mut profiles = self.profiles.lock();
        profiles.known = known;
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
        let rules = profiles.known.values().flatten().cloned().collect();
        self.rules.store(Some(Arc::new(rules)));
    }
}

impl Profiles {
    fn apply(&mut self, event: v1::ProfileEvent) {
        let is_deleted = event.r#type() == v1::DirectoryChangeType::Deleted;
        let Some(profile) = event.profile else {
            return;
        };
        let (name, rules) = entry(profile);
        if is_deleted {
            self.known.remove(&name);
        } else {
            self.known.insert(name, rules);
        }
    }
}

fn entry(profile: v1::Profile) -> ((String, String), Vec<HeaderRule>) {
    let headers = profile.headers.into_iter();
    let rules = headers.filter_map(convert::profile::header_rule).collect();
    ((profile.tenant, profile.name), rules)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(name: &str, header: &str, change: v1::DirectoryChangeType) -> v1::ProfileEvent {
        v1::ProfileEvent {
            r#type: change.into(),
            profile: Some(v1::Profile {
                name: name.to_owned(),
                headers: vec![v1::HeaderRule {
                    name: header.to_owned(),
                    format: Some(v1::header_rule::Format::Bare(true)),
                }],
                ..Default::default()
            }),
            at: None,
        }
    }

    #[test]
    fn headers_come_and_go_with_profiles() {
        use v1::DirectoryChangeType::{Deleted, Put};

        let headers = Headers::default();
        assert!(headers.rules().is_none());
        headers.changed(&event("one", "x-one", Put));
        assert!(headers.rules().is_none(), "others were not listed");
        headers.show(&headers.profiles.lock());
        let shown = || {
            let rules = headers.rules().unwrap();
            let names = rules.iter().map(|rule| rule.name.to_string());
            names.collect::<Vec<_>>()
        };
        assert_eq!(shown(), ["x-one"]);
        headers.changed(&event("two", "x-two", Put));
        assert_eq!(shown(), ["x-one", "x-two"]);
        headers.changed(&event("one", "x-uno", Put));
        assert_eq!(shown(), ["x-two", "x-uno"]);
        headers.changed(&event("two", "x-two", Deleted));
        assert_eq!(shown(), ["x-uno"]);
    }
}
