//! What a group does with commands that are about the same, that are only tried
//! out, or that must be first.

use super::*;
use crate::authority::command::{DirectoryCommand, PutProfile, PutRole, Request, Thing, What};
use crate::domain::directory::{OwnerRef, Permissions, RoleRef};
use crate::domain::id::RequestId;
use crate::domain::names::{Description, Role};
use crate::domain::permission::Grant;
use crate::domain::profile::{Profile, built_in};

/// The states of all credentials, by id.
fn states(stepped: &Stepped) -> Vec<(u8, State)> {
    let all = (1..=9).filter_map(|n| Some((n, stepped.state(n)?)));
    all.collect()
}

fn refusal(outcome: &mut Answer) -> Refusal {
    match outcome.try_recv().expect("it was answered") {
        Err(CommandError::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_dry_run_writes_nothing_and_is_seen_by_nobody() {
    let mut stepped = Stepped::new();
    let mut dry = stepped.try_out(issue_by("misp", 1));
    stepped.run_group().unwrap();
    let done = dry.try_recv().unwrap().unwrap();
    assert!(done.changes, "it tells that it would write");
    assert_eq!((stepped.head(), states(&stepped)), (0, vec![]));
    // It keeps none of those after it from anything.
    let mut dry = stepped.try_out(issue_by("misp", 1));
    let mut other = stepped.try_out(issue_by("misp", 2));
    let mut issued = stepped.hand_in(issue_by("misp", 1));
    stepped.run_group().unwrap();
    for outcome in [&mut dry, &mut other, &mut issued] {
        assert_eq!(answer(outcome), Ok((State::Active, 1)));
    }
    assert_eq!(states(&stepped), [(1, State::Active)]);
    let mut nothing = stepped.try_out(set(1, Set::Unlock));
    stepped.run_group().unwrap();
    assert!(!nothing.try_recv().unwrap().unwrap().changes);
    assert_eq!(stepped.head(), 1);
}

#[test]
fn a_dry_run_sees_its_group() {
    let mut stepped = Stepped::new();
    let mut issued = stepped.hand_in(issue_by("misp", 1));
    let mut dry = stepped.try_out(issue_by("misp", 2));
    let mut lock = stepped.try_out(set(1, Set::Lock));
    stepped.run_group().unwrap();
    assert_eq!(answer(&mut issued), Ok((State::Active, 1)));
    assert_eq!(refusal(&mut dry), Refusal::OneOnly(id(1)));
    // About what the group writes: it waits like others.
    assert!(is_waiting(&mut lock));
    stepped.run_group().unwrap();
    assert!(lock.try_recv().unwrap().unwrap().changes);
    assert_eq!(states(&stepped), [(1, State::Active)]);
}

fn directory(what: What) -> Command {
    Command::Directory(Box::new(DirectoryCommand {
        what,
        reason: Reason::trusted("".into()),
        by: Principal::system(),
        expected: None,
    }))
}

fn jo() -> OwnerRef {
    OwnerRef {
        tenant: Tenant::trusted("acme".into()),
        name: Owner::trusted("jo".into()),
    }
}

/// What only the first of a group looks at is not in the overlay: here, that the
/// group has issued a credential by the profile.
#[test]
fn a_command_that_must_be_the_first_of_its_group_waits_until_it_is() {
    let mut stepped = Stepped::new();
    let own = Profile {
        name: ProfileName::trusted("own".into()),
        ..built_in::all().first().unwrap().profile.clone()
    };
    let family = own.family();
    let mut put = stepped.hand_in(directory(What::PutProfile(PutProfile(own))));
    let mut issued = stepped.hand_in(issue_by("own", 1));
    let mut delete = stepped.hand_in(directory(What::DeleteProfile(family)));
    let mut disable = stepped.hand_in(directory(What::DisableOwner(jo(), true)));
    let mut after = stepped.hand_in(issue(2));
    stepped.run_group().unwrap();
    let done = put.try_recv().unwrap().unwrap();
    assert_eq!(done.revision.number(), 1);
    // Those that need not be the first go on.
    assert_eq!(answer(&mut issued), Ok((State::Active, 1)));
    assert_eq!(answer(&mut after), Ok((State::Active, 1)));
    assert!(is_waiting(&mut delete) && is_waiting(&mut disable));
    stepped.run_group().unwrap();
    assert_eq!(refusal(&mut delete), Refusal::InUse(Thing::Profile));
    let disabled = disable.try_recv().unwrap().unwrap();
    assert_eq!(disabled.revision.number(), 2);
    let mut refused = stepped.hand_in(issue(3));
    stepped.run_group().unwrap();
    assert_eq!(refusal(&mut refused), Refusal::Disabled(Thing::Owner));
}

#[test]
fn nobody_overtakes_a_command_that_waits_to_be_the_first() {
    let mut stepped = Stepped::new();
    let role = || RoleRef {
        tenant: Tenant::trusted("acme".into()),
        name: Role::trusted("reader".into()),
    };
    let put = |grants: &[&str]| {
        let grants = grants.iter().map(|grant| Grant::trusted((*grant).into()));
        directory(What::PutRole(PutRole {
            role: role(),
            description: Description::default(),
            permissions: Permissions::Tenant(grants.collect()),
        }))
    };
    drop(stepped.hand_in(put(&[])));
    stepped.run_group().unwrap();
    drop(stepped.hand_in(issue(1)));
    let mut delete = stepped.hand_in(directory(What::DeleteRole(role())));
    let mut change = stepped.hand_in(put(&["feeds:read"]));
    stepped.run_group().unwrap();
    assert!(is_waiting(&mut delete) && is_waiting(&mut change));
    stepped.run_group().unwrap();
    assert_eq!(delete.try_recv().unwrap().unwrap().revision.number(), 3);
    stepped.run_group().unwrap();
    assert_eq!(refusal(&mut change), Refusal::Deleted(Thing::Role));
}

#[test]
fn a_group_sees_what_its_first_command_does_to_the_directory() {
    let mut stepped = Stepped::new();
    let mut first = stepped.hand_in(issue(1));
    stepped.run_group().unwrap();
    assert_eq!(answer(&mut first), Ok((State::Active, 1)));
    let mut disable = stepped.hand_in(directory(What::DisableOwner(jo(), true)));
    let mut issued = stepped.hand_in(issue(2));
    stepped.run_group().unwrap();
    disable.try_recv().unwrap().unwrap();
    assert_eq!(refusal(&mut issued), Refusal::Disabled(Thing::Owner));
}

#[test]
fn those_who_wait_are_heard_in_the_order_in_which_they_came() {
    let mut stepped = Stepped::new();
    let mut issued = stepped.hand_in(issue(1));
    stepped.run_group().unwrap();
    assert_eq!(answer(&mut issued), Ok((State::Active, 1)));
    // Between them others that need not wait.
    let changes = [Set::Lock, Set::Unlock, Set::Lock, Set::Revoke, Set::Unlock];
    let mut waiting = Vec::new();
    for (n, change) in (2..).zip(changes) {
        waiting.push(stepped.hand_in(set(1, change)));
        drop(stepped.hand_in(issue(n)));
    }
    let order: Vec<_> = stepped
        .waiting
        .iter()
        .map(|job| format!("{:?}", job.command))
        .collect();
    let kept: Vec<_> = order
        .iter()
        .filter(|job| job.starts_with("SetState"))
        .skip(1)
        .collect();
    stepped.run_group().unwrap();
    let left: Vec<_> = stepped
        .waiting
        .iter()
        .map(|job| format!("{:?}", job.command))
        .collect();
    assert_eq!(left.iter().collect::<Vec<_>>(), kept);
    for _ in 0..4 {
        stepped.run_group().unwrap();
    }
    let last = waiting.pop().map(|mut outcome| refusal(&mut outcome));
    assert_eq!(last, Some(Refusal::Revoked(id(1))));
    let answers: Vec<_> = waiting
        .iter_mut()
        .map(|outcome| answer(outcome).unwrap())
        .collect();
    let (locked, active) = (State::Locked, State::Active);
    assert_eq!(
        answers,
        [(locked, 2), (active, 3), (locked, 4), (State::Revoked, 5)]
    );
}

#[test]
fn those_who_wait_come_before_those_for_whom_there_was_no_room() {
    let mut stepped = Stepped::new();
    drop(stepped.hand_in(issue(1)));
    stepped.run_group().unwrap();
    let mut lock = stepped.hand_in(set(1, Set::Lock));
    let mut unlock = stepped.hand_in(set(1, Set::Unlock));
    for n in 0..GROUP {
        let Command::Issue(mut issue) = issue(1) else {
            unreachable!();
        };
        let mut bytes = [3; 16];
        bytes[..8].copy_from_slice(&(n as u64).to_be_bytes());
        issue.id = NewId::Given(CredentialId::from_bytes(bytes));
        drop(stepped.hand_in(Command::Issue(issue)));
    }
    let mut again = stepped.hand_in(set(1, Set::Lock));
    stepped.run_group().unwrap();
    assert_eq!(answer(&mut lock), Ok((State::Locked, 2)));
    assert!(is_waiting(&mut unlock) && is_waiting(&mut again));
    stepped.run_group().unwrap();
    assert_eq!(answer(&mut unlock), Ok((State::Active, 3)));
    assert!(is_waiting(&mut again));
    stepped.run_group().unwrap();
    assert_eq!(answer(&mut again), Ok((State::Locked, 4)));
}

/// Each of many issues that replace sees the one before it as committed, and
/// revokes it in the commit that brings its own.
#[test]
fn of_issues_that_replace_each_other_one_is_active_after_each_commit() {
    let mut stepped = Stepped::new();
    let mut outcomes: Vec<_> = (1..=4)
        .map(|n| stepped.hand_in(unlabelled("tenable-io", n)))
        .collect();
    let mut lock = stepped.hand_in(set(1, Set::Lock));
    let (active, revoked) = (State::Active, State::Revoked);
    for n in 1..=4_u8 {
        stepped.run_group().unwrap();
        assert_eq!(stepped.head(), u64::from(n));
        let expected: Vec<_> = (1..=n)
            .map(|other| (other, if other == n { active } else { revoked }))
            .collect();
        assert_eq!(states(&stepped), expected);
        assert_eq!(
            answer(&mut outcomes[usize::from(n) - 1]),
            Ok((active, u64::from(n)))
        );
    }
    // It came after the issue that revoked it.
    assert_eq!(refusal(&mut lock), Refusal::Revoked(id(1)));
    let limit = PageLimit {
        commits: 9,
        bytes: usize::MAX,
    };
    let log = stepped
        .store
        .changes(Revision::new(3), limit, Duration::ZERO);
    assert_eq!(
        log.unwrap().commits[0].writes.len(),
        3,
        "both in one commit, which tells of it"
    );
}

fn unlabelled(profile: &str, n: u8) -> Command {
    let Command::Issue(mut issue) = issue_by(profile, n) else {
        unreachable!();
    };
    issue.texts = Texts::default();
    Command::Issue(issue)
}

/// A request that is sent twice at once is carried out once.
#[test]
fn a_request_that_comes_twice_in_a_group_makes_one_credential() {
    let mut stepped = Stepped::new();
    let request = |stepped: &Stepped| {
        let id = RequestId::parse("0b8a4d2e-6a0f-4c6e-9d0c-2f6f3a1b5c7d").unwrap();
        let names = stepped
            .committer
            .keys
            .full()
            .request_names(&[id.as_bytes()]);
        Some(Request {
            asked: vec![[1; 32]; names.len()],
            names,
            id,
        })
    };
    let mut outcomes: Vec<_> = (1..=2)
        .map(|n| {
            let Command::Issue(mut issue) = issue(n) else {
                unreachable!();
            };
            issue.request = request(&stepped);
            stepped.hand_in(Command::Issue(issue))
        })
        .collect();
    stepped.run_group().unwrap();
    assert!(is_waiting(&mut outcomes[1]));
    stepped.run_group().unwrap();
    for outcome in &mut outcomes {
        let done = outcome.try_recv().unwrap().unwrap();
        let stored = done.answer.credential(done.revision).unwrap();
        assert_eq!(
            (stored.credential.id, stored.revision),
            (id(1), Revision::new(1))
        );
    }
    assert_eq!(states(&stepped), [(1, State::Active)]);
}

#[test]
fn those_who_change_one_record_keep_nobody_else_waiting() {
    let mut stepped = Stepped::new();
    for n in 1..=2 {
        stepped.hand_in(issue_by("api-token", n));
    }
    stepped.run_group().unwrap();
    // Each of them changes what the one before it left.
    let flood = 3 * CROWD;
    let mut flood: Vec<_> = (0..flood)
        .map(|n| {
            let set_state = if n % 2 == 0 { Set::Lock } else { Set::Unlock };
            stepped.hand_in(set(1, set_state))
        })
        .collect();
    let mut other = stepped.hand_in(set(2, Set::Lock));
    stepped.run_group().unwrap();
    assert!(answer(&mut other).is_ok(), "in the same commit");
    let mut waiting = flood.iter_mut().skip(1).take(CROWD);
    assert!(waiting.all(is_waiting));
    for turned_away in flood.iter_mut().skip(1 + CROWD) {
        assert_eq!(refusal(turned_away), Refusal::Crowded);
    }
}
