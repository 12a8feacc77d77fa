//! Tenants are walls: what is said of a record behind one is, to the byte, what is
//! said of a record that is not there.

use crate::caller::{Answer, Caller};
use crate::questions::{Question, may_be_of_credd, questions};
use crate::requests::Names;
use crate::world::{World, callers, nothing};

/// Those of the table who have something on acme alone.
const OF_ACME: [&str; 7] = [
    "verifier", "auditor", "owner", "bearer", "jwt", "cert", "portal",
];

/// What a caller learns about records of these names, with their ids as those of
/// `none`.
async fn learned(caller: &Caller, question: &Question, of: &Names, none: &Names) -> Answer {
    let message = (question.message)(question, of);
    let answer = caller.answer(&question.rpc, message).await;
    let answer = answer.replacing(&of.credential, &none.credential);
    answer.replacing(&of.role, &none.role)
}

/// Asks about what is there and what is not until nothing changed in between:
/// revisions go on as last uses are written.
async fn compare(caller: &Caller, question: &Question, there: &Names, none: &Names) {
    let mut before = learned(caller, question, none, none).await;
    for _ in 0..100 {
        let about = learned(caller, question, there, none).await;
        let after = learned(caller, question, none, none).await;
        if before == after {
            assert_eq!(
                about, after,
                "{} learns something by {} ({})",
                caller.name, question.rpc, question.what
            );
            return;
        }
        before = after;
    }
    panic!("the answers never stay the same: {}", question.rpc);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_behind_a_wall_is_as_if_it_were_not_there() {
    let world = World::start().await;
    let callers = callers(&world).await;
    let globex = world.names("globex").await;
    let (credential, token) = world.credential("verifier", &[]).await;
    let credd = Names {
        tenant: "credd".to_owned(),
        owner: "verifier".to_owned(),
        profile: "api-token".to_owned(),
        role: "portal".to_owned(),
        principal: "credd:admin".to_owned(),
        credential,
        token,
        ..globex.clone()
    };
    // Behind the wall things are denied, too.
    let denied = world.issue("globex", "gus").await;
    world.admin.lock(&denied.id).await.unwrap();
    let questions = questions();
    for there in [&globex, &credd] {
        let none = nothing(there);
        for name in OF_ACME {
            let caller = callers.iter().find(|caller| caller.name == name).unwrap();
            for question in &questions {
                if there.tenant == "globex" || may_be_of_credd(question) {
                    compare(caller, question, there, &none).await;
                }
            }
        }
    }
    drop(callers);
    world.stop().await;
}
