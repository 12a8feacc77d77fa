//! Page tokens and resume tokens, which callers give back: the input is taken as
//! the text of a token, as what is in one, and as a change of one that was sealed.
//!
//! No text is opened but the one that was sealed, and only for the list and the
//! caller that it was sealed for. What is decoded is encoded to the same text.

#![no_main]

use std::sync::{Arc, LazyLock};

use credd::authority::list::Place;
use credd::authority::watch::ResumePoint;
use credd::domain::id::CredentialId;
use credd::domain::keyring::{KeyVersion, Keyring};
use credd::domain::names::Principal;
use credd::domain::random::{Random, RandomUnavailable};
use credd::domain::revision::{ChainHash, Position, Revision, StoreId};
use credd::domain::time::Timestamp;
use credd::rpc::page_token::{Binding, NotAPageToken, read_place, write_place};
use credd::rpc::resume_token;
use data_encoding::BASE64URL_NOPAD;
use libfuzzer_sys::fuzz_target;
use zeroize::Zeroizing;

/// The same bytes each time, so that an input does the same each time.
#[derive(Debug)]
struct Fixed;

impl Random for Fixed {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomUnavailable> {
        bytes.fill(0x5a);
        Ok(())
    }
}

struct World {
    keyring: Keyring,
    list: Binding,
    /// What the token may not be opened for.
    others: Vec<Binding>,
    sealed: String,
}

const AFTER: &[u8] = b"the place after which the page starts";

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let keys = [1, 2].map(|number| (KeyVersion(number), Zeroizing::new([0x5b; 32])));
    let keyring = Keyring::new(&keys, &keys).unwrap();
    let caller = |name: &str| Principal::trusted(Arc::from(name));
    let list = Binding::new("credentials", &caller("credd:jo")).with("acme");
    let others = vec![
        Binding::new("credentials", &caller("credd:jo")),
        Binding::new("credentials", &caller("credd:joacme")),
        Binding::new("credentials", &caller("credd:al")).with("acme"),
        Binding::new("owners", &caller("credd:jo")).with("acme"),
    ];
    let sealed = list.seal(&keyring, &Fixed, AFTER).unwrap();
    World {
        keyring,
        list,
        others,
        sealed,
    }
});

fuzz_target!(|data: &[u8]| {
    for text in [
        str::from_utf8(data).unwrap_or_default().to_owned(),
        BASE64URL_NOPAD.encode(data),
        changed(&WORLD.sealed, data),
    ] {
        check_text(&text);
    }
    check_sealing(data);
    check_places(data);
    check_resume_points(data);
});

fn check_text(text: &str) {
    let World {
        keyring,
        list,
        others: _,
        sealed,
    } = &*WORLD;
    let expected = if text == sealed {
        Ok(AFTER.to_vec())
    } else {
        Err(NotAPageToken)
    };
    assert_eq!(list.open(keyring, text), expected);
    if let Ok(point) = resume_token::decode(text) {
        assert_eq!(resume_token::encode(&point), text);
    }
}

/// The bytes of the token with those of `data` added to them, and what of `data`
/// is left after them.
fn changed(token: &str, data: &[u8]) -> String {
    let mut bytes = BASE64URL_NOPAD.decode(token.as_bytes()).unwrap();
    for (byte, change) in bytes.iter_mut().zip(data) {
        *byte ^= change;
    }
    let rest = data.get(bytes.len()..).unwrap_or_default();
    bytes.extend_from_slice(rest);
    BASE64URL_NOPAD.encode(&bytes)
}

fn check_sealing(after: &[u8]) {
    let World {
        keyring,
        list,
        others,
        sealed: _,
    } = &*WORLD;
    let token = list.seal(keyring, &Fixed, after).unwrap();
    assert_eq!(list.open(keyring, &token).as_deref(), Ok(after));
    for other in others {
        assert_eq!(other.open(keyring, &token), Err(NotAPageToken));
    }
}

fn check_places(data: &[u8]) {
    if let Ok(place) = read_place(data) {
        assert_eq!(write_place(place), data);
    }
    let Some((head, rest)) = data.split_first_chunk::<25>() else {
        return;
    };
    let (at, id) = head[1..].split_first_chunk().unwrap();
    let place = Place {
        class: head[0],
        at: Timestamp::from_millis(i64::from_be_bytes(*at)),
        id: CredentialId::from_bytes(id.try_into().unwrap()),
    };
    let written = write_place(place);
    assert_eq!(read_place(&written), Ok(place));
    assert_eq!(read_place(data).is_ok(), rest.is_empty());
}

fn check_resume_points(data: &[u8]) {
    let Some((head, _)) = data.split_first_chunk::<56>() else {
        return;
    };
    let (store, rest) = head.split_first_chunk().unwrap();
    let (revision, chain) = rest.split_first_chunk().unwrap();
    let point = ResumePoint {
        store: StoreId::from_bytes(*store),
        position: Position {
            revision: Revision::new(u64::from_be_bytes(*revision)),
            chain: ChainHash(chain.try_into().unwrap()),
        },
    };
    let token = resume_token::encode(&point);
    assert_eq!(resume_token::decode(&token), Ok(point));
}
