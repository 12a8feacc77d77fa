//! Callers who lose rights while what they asked for waits.

use super::*;
use crate::authority::audit::Trace;
use crate::authority::caller::{Call, Caller, KnownBy, Party};
use crate::authority::command::{DirectoryCommand, PutOwner, PutRole, What};
use crate::authority::names::Interner;
use crate::domain::directory::{OwnerRef, Permissions, RoleRef};
use crate::domain::language::Language;
use crate::domain::names::{Description, DisplayName, PrincipalName, Role};
use crate::domain::permission::{CreddGrant, Permission};
use crate::domain::rights::{Binding, Reach, Tenants};

const CALLER: &str = "dns:jo.example";

fn acme() -> Tenant {
    Tenant::trusted("acme".into())
}

fn role() -> Role {
    Role::trusted("helper".into())
}

fn binding() -> Binding {
    Binding {
        reach: Reach::Tenant(acme()),
        principal: PrincipalName::parse(CALLER).unwrap(),
        role: role(),
    }
}

impl Stepped {
    /// By credd itself, and at once.
    fn change(&mut self, what: What) {
        let command = Command::Directory(Box::new(DirectoryCommand {
            what,
            reason: Reason::trusted("".into()),
            by: Principal::system(),
            expected: None,
        }));
        self.run(command, How::BY_CREDD).unwrap();
    }

    fn run(&mut self, command: Command, how: How) -> Result<Done, CommandError> {
        let (answer, mut outcome) = oneshot::channel();
        self.waiting.push_back(Job {
            command,
            how,
            answer,
        });
        self.run_group().unwrap();
        outcome.try_recv().expect("it was answered")
    }

    fn put_role(&mut self, permissions: &[Permission]) {
        let grants = permissions.iter().map(|one| CreddGrant::parse(one.name()));
        self.change(What::PutRole(PutRole {
            role: RoleRef {
                tenant: Tenant::credd(),
                name: role(),
            },
            description: Description::default(),
            permissions: Permissions::Credd(grants.map(Result::unwrap).collect()),
        }));
    }
}

/// What somebody asks for who was let in for acme.
fn asked(permission: Permission) -> How {
    let party = Party {
        principal: Principal::trusted(CALLER.into()),
        symbol: Interner::EMPTY,
        known_by: KnownBy::Until(Timestamp::MAX),
        trust: None,
    };
    How {
        origin: Origin::Call(Arc::new(Call {
            caller: Caller {
                party,
                on_behalf_of: None,
            },
            permission,
            reach: Tenants::Of(vec![acme()]),
            trace: Trace::default(),
            answer_before: None,
        })),
        dry: false,
        fence: None,
    }
}

/// By a profile by which no owner may issue.
fn issue_for_owner(n: u8, as_owner: bool) -> Command {
    let Command::Issue(mut issue) = issue_by("trend-micro", n) else {
        unreachable!("it issues");
    };
    issue.texts.roles = vec![Role::trusted("auditor".into())];
    issue.texts.language = Some(Language::parse("en").unwrap());
    issue.texts.time_zone = Some(crate::domain::calendar::TimeZone::utc());
    issue.as_owner = as_owner;
    Command::Issue(issue)
}

#[test]
fn what_was_asked_for_by_a_permission_is_not_done_as_the_owner_when_that_is_lost() {
    let mut stepped = Stepped::new();
    stepped.put_role(&[Permission::Issue, Permission::GiveAny]);
    stepped.change(What::PutBinding(binding()));
    stepped.change(What::PutOwner(PutOwner {
        owner: OwnerRef {
            tenant: acme(),
            name: Owner::trusted("jo".into()),
        },
        display_name: DisplayName::default(),
        principals: vec![PrincipalName::parse(CALLER).unwrap()],
        groups: Vec::new(),
        roles: vec![Role::trusted("auditor".into())],
    }));
    let how = || asked(Permission::Issue);
    let done = stepped.run(issue_for_owner(1, false), how());
    assert!(done.unwrap().changes);
    stepped.change(What::DeleteBinding(binding()));
    for (n, as_owner, expected) in [
        (2, false, Refusal::NotPermitted(Permission::Issue)),
        (3, true, Refusal::NotForOwners),
    ] {
        let refused = stepped.run(issue_for_owner(n, as_owner), how());
        assert_eq!(refused.unwrap_err(), CommandError::Refused(expected));
    }
    // By another profile the owner may, who asks as such.
    let Command::Issue(mut issue) = issue(4) else {
        unreachable!("it issues");
    };
    issue.as_owner = true;
    assert!(stepped.run(Command::Issue(issue), how()).unwrap().changes);
}

#[test]
fn what_leaked_is_unlocked_by_nobody_who_may_no_more() {
    let mut stepped = Stepped::new();
    stepped.put_role(&[Permission::Unlock, Permission::UnlockLeaked]);
    stepped.change(What::PutBinding(binding()));
    let unlock = || {
        let Command::SetState(ask) = set(1, Set::Unlock) else {
            unreachable!("it sets the state");
        };
        Command::SetState(SetState {
            although_leaked: true,
            ..ask
        })
    };
    let leak = || {
        Command::ReportLeak(ReportLeak {
            id: id(1),
            generation: crate::domain::token::Generation::FIRST,
            reason: Reason::trusted("".into()),
            by: Principal::system(),
        })
    };
    stepped.run(issue(1), How::BY_CREDD).unwrap();
    stepped.run(leak(), How::BY_CREDD).unwrap();
    stepped.run(unlock(), asked(Permission::Unlock)).unwrap();
    assert_eq!(stepped.state(1), Some(State::Active));

    stepped.run(leak(), How::BY_CREDD).unwrap();
    stepped.put_role(&[Permission::Unlock]);
    let refused = stepped.run(unlock(), asked(Permission::Unlock));
    let expected = Refusal::NotPermitted(Permission::UnlockLeaked);
    assert_eq!(refused.unwrap_err(), CommandError::Refused(expected));
    assert_eq!(stepped.state(1), Some(State::Locked));
    // What is only locked needs no more than that.
    stepped.run(issue(2), How::BY_CREDD).unwrap();
    stepped.run(set(2, Set::Lock), How::BY_CREDD).unwrap();
    let Command::SetState(ask) = unlock() else {
        unreachable!("it sets the state");
    };
    let other = Command::SetState(SetState { id: id(2), ..ask });
    stepped.run(other, asked(Permission::Unlock)).unwrap();
    assert_eq!(stepped.state(2), Some(State::Active));
}
