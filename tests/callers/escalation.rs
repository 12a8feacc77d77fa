//! Nobody gives what they do not have, and nobody ends up with it: callers with
//! random bindings make random calls.

use std::collections::BTreeMap;

use credd::proto::v1;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::caller::Caller;
use crate::calls::{Held, imported, issue_request, put_role, reason};
use crate::clocked::{Clocked, Disk};
use crate::requests::keys;
use crate::rights::{Everybody, PLACES, Right, Rights, may_give};
use crate::signer::now;
use crate::state::Everything;
use crate::support::{channel, lock_request};

const ROUNDS: u64 = 10;
/// How many random changes are made before a round, by who may do everything, and
/// how many calls of others follow.
const BEFORE: usize = 25;
const CALLS: usize = 160;

const CALLERS: [&str; 4] = ["ann", "bob", "cat", "dan"];
const PRINCIPALS: [&str; 5] = [
    "credd:ann",
    "credd:bob",
    "credd:cat",
    "credd:dan",
    "dns:eve",
];
const TENANTS: [&str; 2] = ["acme", "globex"];
const OWNERS: [&str; 2] = ["jo", "mia"];
const ROLES: [&str; 3] = ["one", "two", "three"];
const CREDD_ROLES: [&str; 6] = [
    "one",
    "two",
    "three",
    "administrator",
    "auditor",
    "verifier",
];
const GRANTS: [&str; 5] = ["*:*", "feeds:*", "*:read", "feeds:read", "alerts:write"];
const CREDD_GRANTS: [&str; 13] = [
    "credd.*",
    "credd.credentials.*",
    "credd.credentials.issue",
    "credd.credentials.rotate",
    "credd.credentials.reveal",
    "credd.credentials.update",
    "credd.roles.*",
    "credd.bindings.*",
    "credd.owners.*",
    "credd.profiles.put",
    "credd.permissions.give",
    "credd.on-behalf-of",
    "credd.verify",
];

/// What lets somebody write much and gives nothing to give.
const CLERK: [&str; 7] = [
    "credd.bindings.put",
    "credd.credentials.issue",
    "credd.credentials.rotate",
    "credd.credentials.update",
    "credd.owners.put",
    "credd.profiles.put",
    "credd.roles.put",
];

/// A call, with names that were picked at random.
#[derive(Clone, Debug)]
enum Ask {
    PutRole(v1::PutRoleRequest),
    DeleteRole(v1::DeleteRoleRequest),
    Bind(v1::PutBindingRequest),
    Unbind(v1::DeleteBindingRequest),
    PutOwner(v1::PutOwnerRequest),
    DisableOwner(v1::DisableOwnerRequest),
    EnableOwner(v1::EnableOwnerRequest),
    PutProfile(Box<v1::Profile>),
    Issue(String, String, Vec<String>),
    Update(String, Vec<String>),
    Rotate(String),
    Reveal(String),
    Lock(String),
    Unlock(String),
    Import(String, String, Vec<String>, u64),
}

/// Somebody who calls.
#[derive(Clone)]
struct Agent {
    owner: String,
    /// The credential and its token.
    id: String,
    token: String,
}

/// What is picked from.
struct Dice {
    random: StdRng,
}

impl Dice {
    fn one(&mut self, of: &[&str]) -> String {
        (*of.choose(&mut self.random).unwrap()).to_owned()
    }

    /// None to two of them, none twice.
    fn some(&mut self, of: &[&str]) -> Vec<String> {
        let count = self.random.random_range(0..3);
        let mut some: Vec<_> = (0..count).map(|_| self.one(of)).collect();
        some.sort_unstable();
        some.dedup();
        some
    }

    fn ask(&mut self, ids: &[String]) -> Ask {
        let id = |dice: &mut Self| ids.choose(&mut dice.random).unwrap().clone();
        let tenant = self.one(&TENANTS);
        match self.random.random_range(0..20) {
            0..=2 => {
                let tenant = self.one(&["acme", "globex", "credd"]);
                let grants: &[&str] = if tenant == "credd" {
                    &CREDD_GRANTS
                } else {
                    &GRANTS
                };
                Ask::PutRole(v1::PutRoleRequest {
                    name: self.one(&ROLES),
                    permissions: self.some(grants),
                    tenant,
                    ..Default::default()
                })
            }
            3 => Ask::DeleteRole(v1::DeleteRoleRequest {
                tenant: self.one(&["acme", "globex", "credd"]),
                name: self.one(&["three"]),
                ..Default::default()
            }),
            4..=6 => Ask::Bind(v1::PutBindingRequest {
                principal: self.one(&PRINCIPALS),
                role: self.one(&CREDD_ROLES),
                tenant: self.one(&PLACES),
                ..Default::default()
            }),
            7 => Ask::Unbind(v1::DeleteBindingRequest {
                principal: self.one(&PRINCIPALS),
                role: self.one(&CREDD_ROLES),
                tenant: self.one(&PLACES),
                ..Default::default()
            }),
            8 | 9 => Ask::PutOwner(v1::PutOwnerRequest {
                tenant,
                name: self.one(&OWNERS),
                roles: self.some(&["one", "two", "three", "full-access"]),
                principals: self.some(&PRINCIPALS),
                ..Default::default()
            }),
            10 => Ask::PutOwner(v1::PutOwnerRequest {
                tenant: "credd".to_owned(),
                name: self.one(&CALLERS),
                principals: self.some(&PRINCIPALS),
                ..Default::default()
            }),
            11 => {
                let (tenant, name) = (self.one(&["acme", "credd"]), self.one(&CALLERS));
                if self.random.random() {
                    Ask::DisableOwner(v1::DisableOwnerRequest {
                        tenant,
                        name,
                        ..Default::default()
                    })
                } else {
                    Ask::EnableOwner(v1::EnableOwnerRequest {
                        tenant,
                        name,
                        ..Default::default()
                    })
                }
            }
            12 => {
                let tenant = self.one(&["", "acme", "globex"]);
                let name = format!("{tenant}-own");
                Ask::PutProfile(Box::new(v1::Profile {
                    owner_may_issue: self.random.random(),
                    ..keys(&tenant, name.trim_start_matches('-'))
                }))
            }
            13 => Ask::Issue(tenant, self.one(&OWNERS), self.some(&ROLES)),
            14 => Ask::Issue(
                "credd".to_owned(),
                self.one(&CALLERS),
                self.some(&CREDD_ROLES),
            ),
            15 | 16 => Ask::Update(id(self), self.some(&CREDD_ROLES)),
            17 => Ask::Rotate(id(self)),
            18 => Ask::Reveal(id(self)),
            _ => match self.random.random_range(0..3) {
                0 => Ask::Lock(id(self)),
                1 => Ask::Unlock(id(self)),
                _ => {
                    let (owner, roles) = (self.one(&OWNERS), self.some(&ROLES));
                    Ask::Import(tenant, owner, roles, self.random.random())
                }
            },
        }
    }
}

impl Ask {
    /// Calls it; returns the secret that the caller got.
    async fn by(&self, caller: &Caller) -> Result<Option<Held>, Status> {
        let (mut directory, mut credentials) = (caller.directory(), caller.credentials());
        let (reason, no_secret) = (String::new(), None);
        match self.clone() {
            Self::PutRole(role) => directory.put_role(role).await.map(|_| no_secret),
            Self::DeleteRole(role) => directory.delete_role(role).await.map(|_| no_secret),
            Self::Bind(binding) => directory.put_binding(binding).await.map(|_| no_secret),
            Self::Unbind(binding) => directory.delete_binding(binding).await.map(|_| no_secret),
            Self::PutOwner(owner) => directory.put_owner(owner).await.map(|_| no_secret),
            Self::DisableOwner(owner) => directory.disable_owner(owner).await.map(|_| no_secret),
            Self::EnableOwner(owner) => directory.enable_owner(owner).await.map(|_| no_secret),
            Self::PutProfile(profile) => {
                let request = v1::PutProfileRequest {
                    profile: Some(*profile),
                    ..Default::default()
                };
                directory.put_profile(request).await.map(|_| no_secret)
            }
            Self::Issue(tenant, owner, roles) => {
                let profile = if tenant == "credd" {
                    "api-token"
                } else {
                    "keys"
                };
                let request = v1::IssueRequest {
                    roles,
                    ..issue_request(&tenant, &owner, profile)
                };
                let issued = credentials.issue(request).await?.into_inner();
                Ok(Some(Held::of(issued.credential.as_ref(), issued.secret)))
            }
            Self::Update(credential_id, roles) => {
                let request = v1::UpdateRequest {
                    credential_id,
                    roles,
                    update_mask: Some(prost_types::FieldMask {
                        paths: vec!["roles".to_owned()],
                    }),
                    ..Default::default()
                };
                credentials.update(request).await.map(|_| no_secret)
            }
            Self::Rotate(credential_id) => {
                let request = v1::RotateRequest {
                    credential_id,
                    ..Default::default()
                };
                let rotated = credentials.rotate(request).await?.into_inner();
                Ok(Some(Held::of(rotated.credential.as_ref(), rotated.secret)))
            }
            Self::Reveal(credential_id) => {
                let request = v1::RevealRequest {
                    credential_id,
                    reason,
                };
                let shown = credentials.reveal(request).await?.into_inner();
                Ok(Some(Held::of(shown.credential.as_ref(), shown.secret)))
            }
            Self::Lock(id) => credentials.lock(lock_request(&id)).await.map(|_| no_secret),
            Self::Unlock(credential_id) => {
                let request = v1::UnlockRequest {
                    credential_id,
                    reason,
                };
                credentials.unlock(request).await.map(|_| no_secret)
            }
            Self::Import(tenant, owner, roles, n) => {
                let request = v1::ImportCredentialsRequest {
                    tenant,
                    credentials: vec![v1::ImportedCredential {
                        owner,
                        roles,
                        ..imported("keys", "", &format!("imported-{n:020}"))
                    }],
                    reason,
                };
                let answer = credentials.import_credentials(request).await;
                answer.map(|_| no_secret)
            }
        }
    }
}

/// What came of the calls.
#[derive(Debug, Default)]
struct Count {
    accepted: usize,
    /// Of them, those by which somebody had more.
    gave: usize,
    shown: usize,
    for_another: usize,
    /// Refused because they would have given too much.
    exceeded: usize,
    /// Refused for want of the permission.
    denied: usize,
    others: BTreeMap<String, usize>,
}

struct Round {
    channel: Channel,
    server: Clocked,
    dice: Dice,
    agents: Vec<Agent>,
    state: Everything,
    everybody: Everybody,
    count: Count,
}

impl Round {
    async fn start(seed: u64) -> Self {
        let server = Clocked::start(Disk::at(now() * 1000)).await;
        let mut directory = server.admin.directory.clone();
        let profile = v1::PutProfileRequest {
            profile: Some(keys("", "keys")),
            ..Default::default()
        };
        directory.put_profile(profile).await.unwrap();
        let mut round = Self {
            channel: channel(server.address).await,
            server,
            dice: Dice {
                random: StdRng::seed_from_u64(seed),
            },
            agents: Vec::new(),
            state: Everything::default(),
            everybody: Everybody::new(),
            count: Count::default(),
        };
        for tenant in ["acme", "globex", "credd"] {
            for role in ROLES {
                let permissions: &[&str] = if tenant == "credd" {
                    &CREDD_GRANTS
                } else {
                    &GRANTS
                };
                let request = v1::PutRoleRequest {
                    tenant: tenant.to_owned(),
                    name: role.to_owned(),
                    permissions: round.dice.some(permissions),
                    ..Default::default()
                };
                directory.put_role(request).await.unwrap();
            }
        }
        put_role(
            &round.server.admin,
            "credd",
            "front",
            &["credd.on-behalf-of"],
        )
        .await;
        put_role(&round.server.admin, "credd", "clerk", &CLERK).await;
        for owner in CALLERS {
            let agent = round.agent(owner).await;
            round.agents.push(agent);
            // Somebody can give something.
            let bound = format!("credd:{owner}");
            for roles in [&["administrator"][..], &["one", "two"]] {
                let role = round.dice.one(roles);
                let place = round.dice.one(&["acme", "acme", "globex", "credd", "*"]);
                round.server.admin.bind(&bound, &role, &place).await;
            }
            if ["bob", "dan"].contains(&owner) {
                round.server.admin.bind(&bound, "front", "*").await;
            }
            if ["cat", "dan"].contains(&owner) {
                round.server.admin.bind(&bound, "clerk", "*").await;
            }
        }
        let admin = round.caller(&round.server.token);
        round.look().await;
        for _ in 0..BEFORE {
            let ids: Vec<_> = round.ids();
            let _ = round.dice.ask(&ids).by(&admin).await;
        }
        round.look().await;
        round
    }

    /// Somebody with a credential that was just issued.
    async fn agent(&self, owner: &str) -> Agent {
        let request = v1::EnableOwnerRequest {
            tenant: "credd".to_owned(),
            name: owner.to_owned(),
            ..Default::default()
        };
        // There may be none.
        let _ = self
            .server
            .admin
            .directory
            .clone()
            .enable_owner(request)
            .await;
        let request = issue_request("credd", owner, "api-token");
        let issued = self.server.admin.issue(request).await.unwrap();
        let held = Held::of(issued.credential.as_ref(), issued.secret);
        Agent {
            owner: owner.to_owned(),
            token: held.secret(),
            id: held.id,
        }
    }

    fn caller(&self, token: &str) -> Caller {
        Caller::over("somebody", self.channel.clone()).bearing(token)
    }

    async fn look(&mut self) {
        self.state = Everything::of(&self.server.admin).await;
        self.everybody = self.state.everybody(&PRINCIPALS);
    }

    /// The credentials that calls are about: all but the administrator's.
    fn ids(&self) -> Vec<String> {
        let all = self.state.credentials.iter();
        let all = all.filter(|one| one.owner != "jo" || one.tenant != "credd");
        all.map(|one| one.id.clone()).collect()
    }

    /// What somebody who calls may do, as this and in the name of another.
    fn rights(&self, agent: &Agent, user: Option<&String>) -> Vec<Rights> {
        let mut credentials = self.state.credentials.iter();
        let credential = credentials.find(|one| one.id == agent.id).unwrap();
        let own = format!("credd:{}", agent.owner);
        let own = self.state.of_principal(&own, &credential.roles);
        let user = user.map(|user| self.state.of_principal(user, &[]));
        std::iter::once(own).chain(user).collect()
    }

    async fn step(&mut self) {
        let which = self.dice.random.random_range(0..self.agents.len());
        let agent = self.agents[which].clone();
        let (ids, random) = (self.ids(), &mut self.dice.random);
        let for_another = random.random_bool(0.2);
        let user = for_another.then(|| self.dice.one(&PRINCIPALS));
        let ask = self.dice.ask(&ids);
        let mut caller = self.caller(&agent.token);
        if let Some(user) = &user {
            caller = caller.on_behalf_of(user);
        }
        let held = match ask.by(&caller).await {
            Ok(held) => held,
            Err(status) if status.code() == Code::Unauthenticated => {
                // Its credential was locked, or has another secret.
                self.agents[which] = self.agent(&agent.owner).await;
                return self.look().await;
            }
            Err(status) => return self.refused(&status),
        };
        let rights = self.rights(&agent, user.as_ref());
        let (before, profiles) = (self.everybody.clone(), self.state.profiles.clone());
        self.look().await;
        let may = |right: &Right| rights.iter().all(|own| may_give(own, right));
        let mut gave = false;
        for (name, after) in &self.everybody {
            let none = Rights::new();
            let earlier = before.get(name).unwrap_or(&none);
            for right in after.difference(earlier) {
                gave = true;
                assert!(
                    may(right),
                    "{name} has {right:?} by {ask:?} of {} for {user:?}",
                    agent.owner
                );
            }
        }
        for profile in &self.state.profiles {
            let is_same = |one: &&v1::Profile| {
                one.tenant == profile.tenant && one.name == profile.name && one.owner_may_issue
            };
            if profile.owner_may_issue && !profiles.iter().any(|one| is_same(&one)) {
                let place = if profile.tenant.is_empty() {
                    "*"
                } else {
                    &profile.tenant
                };
                let issue = (place.to_owned(), "credd.credentials.issue".to_owned());
                gave = true;
                assert!(
                    may(&issue),
                    "owners may issue by {ask:?} of {}",
                    agent.owner
                );
            }
        }
        if let Some(held) = held {
            let mut credentials = self.state.credentials.iter();
            let credential = credentials.find(|one| one.id == held.id).unwrap();
            for right in self.state.of_credential(credential) {
                assert!(
                    may(&right),
                    "{} was shown {right:?} by {ask:?}",
                    agent.owner
                );
            }
            self.count.shown += 1;
            if credential.tenant == "credd" {
                self.agents.push(Agent {
                    owner: credential.owner.clone(),
                    token: held.secret(),
                    id: held.id,
                });
            }
        }
        self.count.accepted += 1;
        self.count.gave += usize::from(gave);
        self.count.for_another += usize::from(user.is_some());
    }

    fn refused(&mut self, status: &Status) {
        assert_ne!(status.code(), Code::Internal, "{status}");
        match reason(status).as_str() {
            "PERMISSION_EXCEEDED" => self.count.exceeded += 1,
            "PERMISSION_MISSING" => self.count.denied += 1,
            other => *self.count.others.entry(other.to_owned()).or_default() += 1,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_ends_up_with_what_the_giver_does_not_have() {
    let mut total = Count::default();
    for seed in 0..ROUNDS {
        let mut round = Round::start(seed).await;
        for _ in 0..CALLS {
            round.step().await;
        }
        let Round {
            server,
            channel,
            count,
            ..
        } = round;
        drop(channel);
        server.stop().await;
        total.accepted += count.accepted;
        total.gave += count.gave;
        total.shown += count.shown;
        total.for_another += count.for_another;
        total.exceeded += count.exceeded;
        total.denied += count.denied;
        for (reason, count) in count.others {
            *total.others.entry(reason).or_default() += count;
        }
    }
    eprintln!("{total:?}");
    // Or nothing was tried.
    assert!(total.gave > 30 && total.shown > 20, "{total:?}");
    assert!(total.exceeded > 50 && total.denied > 200, "{total:?}");
    assert!(total.for_another > 5, "{total:?}");
}
