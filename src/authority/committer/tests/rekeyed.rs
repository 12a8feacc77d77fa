//! What was made anew of secrets, among all other changes of the same credentials.

use proptest::prelude::*;

use super::*;
use crate::authority::command::{NoteKeys, Rekey, Remade, Rotate, RotateKey, sealing_context};
use crate::domain::keyring::{KeyKind, Macs as _, SecretOf};
use crate::domain::token::{Generation, Kind};

/// A change that somebody asks for.
#[derive(Clone, Copy, Debug)]
enum Step {
    Issue(u8),
    Set(u8, Set),
    /// With an overlap, or without.
    Rotate(u8, bool),
    /// Makes anew what there is of this secret, counted back from the current one.
    Mac(u8, u32),
    Seal(u8),
    /// What was handed in since the last time is one group.
    Group,
}

fn any_step() -> impl Strategy<Value = Step> {
    let n = || 1..4_u8;
    prop_oneof![
        3 => n().prop_map(Step::Issue),
        2 => (n(), prop_oneof![4 => Just(Set::Lock), 4 => Just(Set::Unlock), 1 => Just(Set::Revoke)])
            .prop_map(|(n, set)| Step::Set(n, set)),
        2 => (n(), any::<bool>()).prop_map(|(n, overlap)| Step::Rotate(n, overlap)),
        4 => (n(), 0..3_u32).prop_map(|(n, back)| Step::Mac(n, back)),
        2 => n().prop_map(Step::Seal),
        6 => Just(Step::Group),
    ]
}

/// The profile of a credential: the first can be viewed again, of the last two
/// secrets can be good at once.
const fn profile(n: u8) -> (&'static str, Kind) {
    match n {
        3 => ("basic", Kind::Basic),
        _ => ("kaspersky-tip", Kind::ApiToken),
    }
}

/// Whatever its number: MACs and sealed texts of it differ all the same.
fn secret(n: u8) -> Secret {
    Secret::new([n; 32])
}

impl Stepped {
    fn keyring(&self) -> Arc<Keyring> {
        self.committer.keys.full()
    }

    fn generation(&self, n: u8) -> Option<u32> {
        let index = self.committer.feed.index();
        let entry = index.read(|index| index.credential(id(n))).1?;
        Some(entry.generation().number())
    }

    /// What a step asks for now.
    fn command(&self, step: Step) -> Option<Command> {
        Some(match step {
            Step::Issue(n) => {
                let Command::Issue(mut issue) = issue_by(profile(n).0, n) else {
                    unreachable!();
                };
                issue.owner = Owner::trusted(format!("owner-{n}").into());
                issue.secret = secret(n);
                Command::Issue(issue)
            }
            Step::Set(n, set) => super::set(n, set),
            Step::Rotate(n, with_overlap) => Command::Rotate(Box::new(Rotate {
                id: id(n),
                secret: secret(n),
                overlap: Duration::from_hours(u64::from(with_overlap && n == 3)),
                end_overlap: true,
                request: None,
                reason: Reason::trusted("".into()),
                by: Principal::system(),
                as_owner: false,
                expected: None,
            })),
            Step::Mac(n, back) => {
                let generation = self.generation(n)?.checked_sub(back).filter(|g| *g > 0)?;
                let mac = self.keyring().mac(&SecretOf {
                    kind: profile(n).1,
                    id: id(n),
                    generation: Generation::new(generation),
                    secret: &secret(n),
                });
                Command::Rekey(vec![Rekey {
                    id: id(n),
                    generation: Generation::new(generation),
                    made: Remade::Mac(mac),
                }])
            }
            Step::Seal(n) => {
                let generation = self.generation(n)?;
                let context = sealing_context(id(n), Generation::new(generation));
                let secret = secret(n);
                let sealed = self.keyring();
                let sealed = sealed.seal(&context, secret.expose(), &SystemRandom::new());
                Command::Rekey(vec![Rekey {
                    id: id(n),
                    generation: Generation::new(generation),
                    made: Remade::Sealed(sealed.unwrap().into()),
                }])
            }
            Step::Group => return None,
        })
    }

    /// That every secret is right, that what remains is counted, and that a restart
    /// finds all of it so.
    fn check(&self) {
        let dynamic = Arc::clone(&self.store) as Arc<dyn Store>;
        let loaded = Feed::load(dynamic, RingSize::default()).unwrap();
        let keyring = self.keyring();
        let here = self.committer.feed.index();
        let mut remaining = [[0; 2]; 2];
        for n in 1..4 {
            let [now, after] = [here, loaded.feed.index()].map(|index| {
                let entry = index.read(|index| index.credential(id(n))).1;
                entry.map(|entry| {
                    let stored = entry.to_stored(index.names(), index.directory());
                    (stored, entry.is_rekeyed())
                })
            });
            assert_eq!(now, after, "a restart finds it so");
            let Some((stored, _)) = now else {
                continue;
            };
            let credential = stored.credential;
            let overlap = credential.overlap.as_ref();
            let overlap = overlap.map(|overlap| &overlap.secret);
            for held in std::iter::once(&credential.secret).chain(overlap) {
                let secret = secret(n);
                let of = SecretOf {
                    kind: credential.kind,
                    id: id(n),
                    generation: held.generation,
                    secret: &secret,
                };
                assert!(keyring.matches(&of, Some(&held.mac)), "{held:?} of {n}");
                if credential.state != State::Revoked {
                    remaining[0][held.mac.pepper.0 as usize - 1] += 1;
                }
            }
            if let Some(sealed) = &credential.sealed {
                let context = sealing_context(id(n), credential.secret.generation);
                let opened = keyring.open(&context, sealed).unwrap();
                let secret = secret(n);
                assert_eq!(&**opened, secret.expose());
                remaining[1][usize::from(sealed[3]) - 1] += 1;
            }
        }
        for index in [here, loaded.feed.index()] {
            for (kind, expected) in KeyKind::ALL.into_iter().zip(remaining) {
                let now = Timestamp::from_millis(0);
                let counted = [1, 2].map(|version| {
                    let version = KeyVersion(version);
                    let counted = index.read(|index| index.remaining(kind, version, now));
                    counted.1.secrets
                });
                assert_eq!(counted, expected, "{kind}");
            }
        }
    }
}

fn with_two_keys() -> Stepped {
    let stepped = Stepped::new();
    let keys = [1, 2].map(|version: u8| {
        (
            KeyVersion(version.into()),
            zeroize::Zeroizing::new([version; 32]),
        )
    });
    let both = Keyring::new(&keys, &keys).unwrap();
    stepped.committer.keys.take(&both).unwrap();
    stepped
}

fn rotate_keys(stepped: &mut Stepped) {
    let loaded = stepped.keyring().checks();
    let first = KeyVersion(1);
    stepped.hand_in(Command::NoteKeys(NoteKeys {
        loaded: loaded.clone(),
        pepper: first,
        sealing: first,
    }));
    for kind in KeyKind::ALL {
        stepped.hand_in(Command::RotateKey(RotateKey {
            kind,
            version: KeyVersion(2),
            nodes: vec![loaded.clone()],
            reason: Reason::trusted("".into()),
            by: Principal::system(),
            expected: None,
        }));
    }
    while !stepped.waiting.is_empty() {
        stepped.run_group().unwrap();
    }
    for kind in KeyKind::ALL {
        assert_eq!(stepped.keyring().active(kind), KeyVersion(2));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn secrets_stay_right_and_counted_whatever_is_changed_and_made_anew(
        before in prop::collection::vec(any_step(), 0..12),
        after in prop::collection::vec(any_step(), 0..40),
    ) {
        let mut stepped = with_two_keys();
        let play = |stepped: &mut Stepped, steps: &[Step]| {
            for step in steps.iter().chain(&[Step::Group]) {
                if let Some(command) = stepped.command(*step) {
                    stepped.hand_in(command);
                } else if matches!(step, Step::Group) {
                    while !stepped.waiting.is_empty() {
                        stepped.run_group().unwrap();
                    }
                    stepped.check();
                }
            }
        };
        play(&mut stepped, &before);
        rotate_keys(&mut stepped);
        play(&mut stepped, &after);
    }
}

#[test]
fn a_change_waits_for_what_its_group_makes_anew_and_takes_it_over() {
    let mut stepped = with_two_keys();
    stepped.hand_in(stepped.command(Step::Issue(1)).unwrap());
    stepped.run_group().unwrap();
    rotate_keys(&mut stepped);
    let index = Arc::clone(stepped.committer.feed.index());
    let entry = || index.read(|index| index.credential(id(1))).1.unwrap();
    let issued = entry().revision();
    stepped.hand_in(stepped.command(Step::Mac(1, 0)).unwrap());
    let mut locked = stepped.hand_in(set(1, Set::Lock));
    stepped.run_group().unwrap();
    assert!(is_waiting(&mut locked));
    assert_eq!((entry().revision(), entry().is_rekeyed()), (issued, true));
    stepped.run_group().unwrap();
    assert!(answer(&mut locked).is_ok());
    assert_eq!(entry().mac().pepper, KeyVersion(2));
    assert!(!entry().is_rekeyed());
    // The other way round the change comes first, and nothing is lost.
    stepped.hand_in(set(1, Set::Unlock));
    stepped.hand_in(stepped.command(Step::Seal(1)).unwrap());
    stepped.run_group().unwrap();
    assert!(stepped.waiting.is_empty());
    stepped.check();
}

/// Another writer, as another node is one.
#[test]
fn what_was_made_anew_of_a_record_that_another_writer_changed_is_decided_again() {
    let mut stepped = with_two_keys();
    stepped.hand_in(stepped.command(Step::Issue(1)).unwrap());
    stepped.run_group().unwrap();
    rotate_keys(&mut stepped);
    let index = Arc::clone(stepped.committer.feed.index());
    let entry = index.read(|index| index.credential(id(1))).1.unwrap();
    let stored = entry.to_stored(index.names(), index.directory());
    let revoked = crate::domain::credential::Credential {
        state: State::Revoked,
        sealed: None,
        ..stored.credential
    };
    let record = Record::Credential(id(1), Some(Arc::new(revoked)));
    *stepped.store.other.lock() = Some(Box::new(move |store| {
        let write = Write {
            key: record.key(),
            value: record.encode(),
        };
        let batch = Batch {
            writes: vec![write],
            ..Batch::default()
        };
        store.commit(batch).unwrap();
    }));
    stepped.hand_in(stepped.command(Step::Mac(1, 0)).unwrap());
    stepped.hand_in(stepped.command(Step::Seal(1)).unwrap());
    stepped.run_group().unwrap();
    let entry = index.read(|index| index.credential(id(1))).1.unwrap();
    assert_eq!(entry.standing(), State::Revoked);
    assert!(!entry.is_rekeyed());
    stepped.check();
}
