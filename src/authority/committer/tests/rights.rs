//! Callers who lose rights while what they asked for waits.

use super::*;
use crate::authority::audit::Trace;
use crate::authority::caller::{Call, Caller, KnownBy, Party, Trust};
use crate::authority::command::{
    DirectoryCommand, Import, ImportItem, ImportedSecret, PutOwner, PutRole, What,
};
use crate::authority::names::Interner;
use crate::domain::directory::{OwnerRef, Permissions, RoleRef};
use crate::domain::language::Language;
use crate::domain::names::{Description, DisplayName, Group, PrincipalName, Role};
use crate::domain::permission::{CreddGrant, Permission};
use crate::domain::rights::{Binding, Reach, Tenants};

const CALLER: &str = "dns:jo.example";

fn acme() -> Tenant {
    Tenant::trusted("acme".into())
}

fn role() -> Role {
    Role::trusted("helper".into())
}

fn jo() -> OwnerRef {
    OwnerRef {
        tenant: acme(),
        name: Owner::trusted("jo".into()),
    }
}

fn binding() -> Binding {
    Binding {
        reach: Reach::Tenant(acme()),
        principal: PrincipalName::parse(CALLER).unwrap(),
        role: role(),
    }
}

fn directory(what: What) -> Command {
    Command::Directory(Box::new(DirectoryCommand {
        what,
        reason: Reason::trusted("".into()),
        by: Principal::system(),
        expected: None,
    }))
}

/// A report of the first secret of a credential.
fn leak(n: u8) -> Command {
    Command::ReportLeak(ReportLeak {
        id: id(n),
        generation: crate::domain::token::Generation::FIRST,
        reason: Reason::trusted("".into()),
        by: Principal::system(),
    })
}

impl Stepped {
    /// By credd itself, and at once.
    fn change(&mut self, what: What) {
        self.run(directory(what), How::BY_CREDD).unwrap();
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
    asked_with(permission, None)
}

/// The same, by a certificate, say.
fn asked_with(permission: Permission, trust: Option<Trust>) -> How {
    let party = Party {
        principal: Principal::trusted(CALLER.into()),
        symbol: Interner::EMPTY,
        known_by: KnownBy::Until(Timestamp::MAX),
        trust,
    };
    How {
        origin: Origin::Call(Arc::new(Call {
            caller: Caller {
                party,
                on_behalf_of: None,
            },
            permission,
            reach: Tenants::Of(vec![acme()]),
            trace: Trace::new("", std::time::Instant::now(), None, ""),
            answer_before: None,
        })),
        dry: false,
        fence: None,
    }
}

fn group() -> Group {
    Group::trusted("feeds".into())
}

fn import() -> Command {
    let item = ImportItem {
        owner: jo().name,
        profile: ProfileName::trusted("api-token".into()),
        texts: Texts {
            label: Some(Label::trusted("test".into())),
            ..Texts::default()
        },
        expiry: Wish::Unsaid,
        secret: ImportedSecret {
            name: None,
            sha256: [9; 32],
        },
        id: NewId::Given(id(9)),
    };
    Command::Import(Box::new(Import {
        tenant: acme(),
        items: vec![item],
        reason: Reason::trusted("".into()),
        by: Principal::system(),
    }))
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
        owner: jo(),
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
fn what_no_owner_may_is_not_done_as_the_owner_when_the_permission_is_lost() {
    let of_jo = |groups: &[Group]| {
        What::PutOwner(PutOwner {
            owner: jo(),
            display_name: DisplayName::default(),
            principals: vec![PrincipalName::parse(CALLER).unwrap()],
            groups: groups.to_vec(),
            roles: Vec::new(),
        })
    };
    let asks: [(Permission, Command); 4] = [
        (Permission::Unlock, set(1, Set::Unlock)),
        (Permission::PutOwners, directory(of_jo(&[group()]))),
        (
            Permission::DisableOwners,
            directory(What::DisableOwner(jo(), true)),
        ),
        (Permission::Import, import()),
    ];
    for (permission, command) in asks {
        let mut stepped = Stepped::new();
        stepped.put_role(&[permission]);
        stepped.change(of_jo(&[]));
        stepped.run(issue(1), How::BY_CREDD).unwrap();
        stepped.run(set(1, Set::Lock), How::BY_CREDD).unwrap();
        let refused = stepped.run(command.clone(), asked(permission));
        let expected = Refusal::NotPermitted(permission);
        assert_eq!(refused.unwrap_err(), CommandError::Refused(expected));
        stepped.change(What::PutBinding(binding()));
        assert!(stepped.run(command, asked(permission)).unwrap().changes);
    }
    // What owners may, they may still.
    let mut stepped = Stepped::new();
    stepped.change(of_jo(&[group()]));
    stepped.run(issue(1), How::BY_CREDD).unwrap();
    for (permission, command) in [
        (Permission::Lock, set(1, Set::Lock)),
        (
            Permission::PutOwners,
            directory(What::SetDefaultSource(jo(), Some(group()))),
        ),
        (Permission::ReportLeak, leak(1)),
        (Permission::Revoke, set(1, Set::Revoke)),
    ] {
        let done = stepped.run(command, asked(permission));
        assert!(done.unwrap().changes, "{permission:?}");
    }
}

#[test]
fn nothing_is_done_for_who_is_trusted_no_more() {
    let mut stepped = Stepped::new();
    stepped.put_role(&[Permission::Lock]);
    stepped.change(What::PutBinding(binding()));
    stepped.run(issue(1), How::BY_CREDD).unwrap();
    let trust = Trust::default();
    let how = || asked_with(Permission::Lock, Some(trust.clone()));
    trust.set(None);
    let refused = stepped.run(set(1, Set::Lock), how());
    let expected = CommandError::Refused(Refusal::CallerGone);
    assert_eq!(refused.unwrap_err(), expected);
    assert_eq!(stepped.state(1), Some(State::Active));
    trust.set(Some(Timestamp::MAX));
    assert!(stepped.run(set(1, Set::Lock), how()).unwrap().changes);
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
    stepped.run(issue(1), How::BY_CREDD).unwrap();
    stepped.run(leak(1), How::BY_CREDD).unwrap();
    stepped.run(unlock(), asked(Permission::Unlock)).unwrap();
    assert_eq!(stepped.state(1), Some(State::Active));

    stepped.run(leak(1), How::BY_CREDD).unwrap();
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
