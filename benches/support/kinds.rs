//! Credentials of three kinds in turn, put into a store, and verified by sample.

use std::sync::Arc;

use credd::authority::record::Record;
use credd::domain::credential::Credential;
use credd::domain::keyring::SecretOf;
use credd::domain::token::{Generation, Kind, public_name, secret_text};
use credd::proto::v1;
use credd::proto::v1::presented::Credential as Presented;
use credd::server::config::Settings;
use credd::server::open::{IfMissing, open};
use credd::store::{Batch, Write};

use super::serving::{Client, verify_presented};
use super::typical::{Population, id, profile, secret};

const BATCH: u64 = 1000;

/// Makes a store with so many.
pub fn fill(settings: &Settings, count: u64) {
    let opened = open(settings, IfMissing::Create).unwrap();
    let keyring = opened.parts.keyring.clone();
    let population = Population { count, keyring };
    let mut number = 0;
    while number < count {
        let end = (number + BATCH).min(count);
        let writes = (number..end).map(|number| {
            let credential = credential(&population, number);
            let record = Record::Credential(credential.id, Some(Arc::new(credential)));
            Write {
                key: record.key(),
                value: record.encode(),
            }
        });
        let batch = Batch {
            writes: writes.collect(),
            ..Batch::default()
        };
        opened.parts.store.commit(batch).unwrap();
        number = end;
    }
}

/// Sees that so many of them, spread over all, are good.
pub async fn verify(client: &mut Client, count: u64, sample: u64) {
    let every = (count / sample.max(1)).max(1);
    for number in (0..count).step_by(usize::try_from(every).unwrap()) {
        let answer = client.verify(verify_presented(presented(number))).await;
        let verdict = answer.unwrap().into_inner().verdict();
        assert_eq!(verdict, v1::Verdict::Active, "{number}");
    }
}

/// What the holder of one presents.
pub fn presented(number: u64) -> Presented {
    let (kind, _) = kind(number);
    let text = secret_text(kind, id(number), Generation::FIRST, &secret(number));
    let text = text.expose().to_owned();
    let name = public_name(kind, id(number));
    match kind {
        Kind::ApiToken => Presented::Token(text),
        Kind::Basic => Presented::UsernamePassword(v1::UsernamePassword {
            username: name.unwrap(),
            password: text,
        }),
        Kind::KeyPair => Presented::KeyPair(v1::KeyPair {
            access_key: name.unwrap(),
            secret_key: text,
        }),
    }
}

fn kind(number: u64) -> (Kind, &'static str) {
    match number % 3 {
        0 => (Kind::ApiToken, "api-token"),
        1 => (Kind::Basic, "basic"),
        _ => (Kind::KeyPair, "key-pair"),
    }
}

fn credential(population: &Population, number: u64) -> Credential {
    let (kind, name) = kind(number);
    let mut credential = population.credential(number);
    credential.kind = kind;
    credential.profile = profile(name);
    credential.secret.mac = population.keyring.mac(&SecretOf {
        kind,
        id: credential.id,
        generation: Generation::FIRST,
        secret: &secret(number),
    });
    credential
}
