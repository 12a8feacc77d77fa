//! The validators themselves: each finds what it is there to find.

use credd::proto::v1::{ChangeType, CredentialState, ResetReason};

use crate::history::{
    Change, History, Kept, Received, Said, Stream, atomic, bookmarked, ordered, reliable,
    resumable, snapshot, unique,
};

fn change(id: &str, tenant: &str, state: CredentialState) -> Change {
    Change {
        id: id.to_owned(),
        tenant: tenant.to_owned(),
        kind: ChangeType::Issued,
        state,
        generation: 1,
    }
}

fn a() -> Change {
    change("a", "acme", CredentialState::Active)
}

fn b() -> Change {
    change("b", "acme", CredentialState::Locked)
}

fn c() -> Change {
    change("c", "globex", CredentialState::Revoked)
}

fn a_again() -> Change {
    change("a", "acme", CredentialState::Locked)
}

/// 3: a and b; 5: c; 6: a again.
fn history() -> History {
    let mut history = History::default();
    for (revision, change) in [(3, a()), (3, b()), (5, c()), (6, a_again())] {
        history.add(revision, change);
    }
    history
}

fn message(revision: u64, said: Said) -> Received {
    Received {
        revision,
        token: format!("token {revision}"),
        said,
    }
}

fn commit(revision: u64, changes: &[Change]) -> Received {
    message(revision, Said::Commit(changes.to_vec()))
}

fn bookmark(revision: u64) -> Received {
    message(revision, Said::Bookmark)
}

fn part(revision: u64, denied: &[(&str, CredentialState)], complete: bool) -> Received {
    let denied = denied.iter().map(|(id, state)| ((*id).to_owned(), *state));
    let said = Said::Part {
        denied: denied.collect(),
        complete,
    };
    Received {
        token: if complete {
            "token".to_owned()
        } else {
            String::new()
        },
        ..message(revision, said)
    }
}

fn all(messages: &[Received]) -> Stream {
    Stream::of(&[], messages.to_vec())
}

fn good() -> Vec<Received> {
    vec![
        bookmark(2),
        commit(3, &[b(), a()]),
        commit(5, &[c()]),
        bookmark(5),
        commit(6, &[a_again()]),
        bookmark(7),
    ]
}

#[track_caller]
fn assert_keeps_all(stream: &Stream) {
    for promise in [ordered, atomic, unique, reliable, bookmarked] {
        assert_eq!(promise(stream, &history()), Ok(()));
    }
}

#[track_caller]
fn assert_breaks(promise: fn(&Stream, &History) -> Kept, messages: &[Received]) {
    let kept = promise(&all(messages), &history());
    assert!(kept.is_err(), "{messages:?}");
}

#[test]
fn streams_that_keep_every_promise_pass() {
    assert_keeps_all(&all(&good()));
    assert_keeps_all(&all(&good()[3..]));
    let acme = [
        bookmark(2),
        commit(3, &[a(), b()]),
        bookmark(5),
        commit(6, &[a_again()]),
    ];
    assert_keeps_all(&Stream::of(&["acme"], acme.to_vec()));
    let mut reset = good();
    reset.truncate(2);
    reset.push(message(5, Said::Reset(ResetReason::Compacted)));
    reset.push(commit(6, &[a_again()]));
    assert_keeps_all(&all(&reset));
}

#[test]
fn disorder_is_found() {
    assert_breaks(
        ordered,
        &[bookmark(2), commit(5, &[c()]), commit(3, &[a(), b()])],
    );
    assert_breaks(ordered, &[bookmark(5), bookmark(4)]);
}

#[test]
fn a_commit_in_pieces_or_with_strangers_is_found() {
    assert_breaks(atomic, &[bookmark(2), commit(3, &[a()]), commit(3, &[b()])]);
    assert_breaks(atomic, &[bookmark(2), commit(3, &[a(), b(), c()])]);
    assert_breaks(atomic, &[bookmark(2), commit(4, &[])]);
    let leaked = Stream::of(&["acme"], vec![bookmark(4), commit(5, &[c()])]);
    assert!(atomic(&leaked, &history()).is_err());
}

#[test]
fn repetition_is_found() {
    assert_breaks(unique, &[bookmark(2), commit(5, &[c()]), commit(5, &[c()])]);
    assert_breaks(unique, &[bookmark(2), commit(3, &[a(), a()])]);
}

#[test]
fn a_gap_is_found() {
    for left_out in [1, 2, 4] {
        let mut messages = good();
        messages.remove(left_out);
        assert_breaks(reliable, &messages);
        assert_breaks(bookmarked, &messages);
    }
    assert_breaks(reliable, &[bookmark(2), commit(3, &[a()]), bookmark(4)]);
    let after_reset = message(3, Said::Reset(ResetReason::Compacted));
    assert_breaks(reliable, &[after_reset, commit(6, &[a_again()])]);
}

#[test]
fn a_bookmark_that_promises_too_much_is_found() {
    assert_breaks(
        bookmarked,
        &[bookmark(2), bookmark(3), commit(3, &[a(), b()])],
    );
    assert_breaks(bookmarked, &[bookmark(2), bookmark(4)]);
    let without_token = Received {
        token: String::new(),
        ..bookmark(2)
    };
    assert_breaks(bookmarked, &[without_token]);
}

#[test]
fn a_stream_taken_up_elsewhere_than_it_was_cut_is_found() {
    let resumed = |cut: usize, from: usize, first: Received| {
        let mut taken_up = vec![first];
        taken_up.extend_from_slice(&good()[from..]);
        resumable(&all(&good()[..=cut]), &all(&taken_up), &history())
    };
    assert_eq!(resumed(1, 2, bookmark(3)), Ok(()));
    assert!(resumed(1, 4, bookmark(3)).is_err(), "a gap");
    assert!(resumed(2, 2, bookmark(5)).is_err(), "a repetition");
    assert!(resumed(1, 2, bookmark(2)).is_err(), "another beginning");
    let reset = message(3, Said::Reset(ResetReason::OtherHistory));
    assert!(resumed(1, 2, reset).is_err(), "a reset");
}

#[test]
fn a_snapshot_that_is_not_that_of_its_revision_is_found() {
    use CredentialState::{Locked, Revoked};

    let begin = [
        part(5, &[("b", Locked)], false),
        part(5, &[("c", Revoked)], true),
    ];
    let mut whole = begin.to_vec();
    whole.push(commit(6, &[a_again()]));
    assert_eq!(snapshot(&all(&whole), &history()), Ok(()));
    let mut after_reset = vec![message(5, Said::Reset(ResetReason::OtherStore))];
    after_reset.extend(whole);
    assert_eq!(snapshot(&all(&after_reset), &history()), Ok(()));

    assert_breaks(snapshot, &[part(5, &[("b", Locked)], true)]);
    assert_breaks(snapshot, &[part(5, &[("b", Locked), ("c", Locked)], true)]);
    assert_breaks(snapshot, &begin[..1]);
    assert_breaks(
        snapshot,
        &[begin[0].clone(), part(6, &[("c", Revoked)], true)],
    );
    assert_breaks(
        snapshot,
        &[begin[0].clone(), begin[0].clone(), begin[1].clone()],
    );
    let late = [begin[0].clone(), bookmark(5), begin[1].clone()];
    assert_breaks(snapshot, &late);
    let more = [begin[0].clone(), begin[1].clone(), part(5, &[], true)];
    assert_breaks(snapshot, &more);
    let mut without_what_follows = begin.to_vec();
    without_what_follows.push(bookmark(6));
    assert_breaks(snapshot, &without_what_follows);
    assert_breaks(snapshot, &[bookmark(5)]);
}
