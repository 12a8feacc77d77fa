//! Writers that work at the same time and note what they were told.

#![allow(dead_code, reason = "each suite uses a part of it")]

use std::sync::{Arc, Mutex};

use credd::proto::v1;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tonic::{Code, Status};

use super::history::History;
use crate::support::{Client, token_request};

/// The tenants that writers write in.
pub(crate) const TENANTS: [&str; 3] = ["acme", "globex", "initech"];

/// Lets several writers work at once, on credentials that they share, and
/// returns what was acknowledged.
pub(crate) async fn write(client: &Client, seed: u64, writers: usize, commands: usize) -> History {
    let pool = Arc::new(Mutex::new(Vec::new()));
    let tasks: Vec<_> = (0..writers)
        .map(|writer| {
            let random = StdRng::seed_from_u64(seed << 16 | writer as u64);
            tokio::spawn(one(client.clone(), random, Arc::clone(&pool), commands))
        })
        .collect();
    let mut history = History::default();
    for task in tasks {
        for credential in task.await.unwrap() {
            history.note(&credential);
        }
    }
    history
}

async fn one(
    client: Client,
    mut random: StdRng,
    pool: Arc<Mutex<Vec<String>>>,
    commands: usize,
) -> Vec<v1::Credential> {
    let mut acknowledged = Vec::new();
    for _ in 0..commands {
        let tenant = TENANTS[random.random_range(0..TENANTS.len())];
        let choice = random.random_range(0..10);
        let id = {
            let pool = pool.lock().unwrap();
            (!pool.is_empty()).then(|| pool[random.random_range(0..pool.len())].clone())
        };
        let answer = match (choice, id) {
            (0..4, Some(id)) => client.lock(&id).await.map(|done| done.credential),
            (4..7, Some(id)) => client.unlock(&id).await.map(|done| done.credential),
            (7, Some(id)) => client.revoke(&id).await.map(|done| done.credential),
            _ => client.issue(token_request(tenant)).await.map(|issued| {
                let id = issued.credential.as_ref().unwrap().id.clone();
                pool.lock().unwrap().push(id);
                issued.credential
            }),
        };
        match answer {
            Ok(credential) => acknowledged.push(credential.unwrap()),
            Err(status) if is_revoked(&status) => (),
            // The server is gone, and the outcome unknown. What the client's own
            // transport says of that has a source; what a server says has none.
            Err(status)
                if status.code() == Code::Unavailable
                    || std::error::Error::source(&status).is_some() =>
            {
                break;
            }
            Err(status) => panic!("{status}"),
        }
    }
    acknowledged
}

fn is_revoked(status: &Status) -> bool {
    status.code() == Code::FailedPrecondition
}
