//! Nobody gives what they do not have, and nobody ends up with it: callers with
//! random bindings make random calls.

use std::collections::BTreeMap;

use credd::proto::v1;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::asks::{CALLERS, CREDD_GRANTS, Dice, GRANTS, PRINCIPALS, ROLES};
use crate::caller::Caller;
use crate::calls::{Held, issue_request, put_role, reason};
use crate::clocked::{Clocked, Disk};
use crate::requests::keys;
use crate::rights::{Everybody, Right, Rights, is_of_new_secret, may_give};
use crate::signer::now;
use crate::state::Everything;
use crate::support::channel;

const ROUNDS: u64 = 10;
/// How many random changes are made before a round, by who may do everything, and
/// how many calls of others follow.
const BEFORE: usize = 25;
const CALLS: usize = 160;

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

/// Somebody who calls.
#[derive(Clone)]
struct Agent {
    owner: String,
    /// The credential and its token.
    id: String,
    token: String,
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
            if tenant != "credd" {
                // Or it is not listed before it has credentials.
                let request = v1::PutTenantRequest {
                    name: tenant.to_owned(),
                    ..Default::default()
                };
                directory.put_tenant(request).await.unwrap();
            }
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
            let gained = after.difference(earlier);
            for right in gained.filter(|right| !is_of_new_secret(&before, right)) {
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
    // Or nothing was tried.
    assert!(total.gave > 30 && total.shown > 20, "{total:?}");
    assert!(total.exceeded > 50 && total.denied > 200, "{total:?}");
    assert!(total.for_another > 5, "{total:?}");
}
