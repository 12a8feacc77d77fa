//! A service's gate: reads what its clients present, a token a line, and says which of
//! them it lets in.
//!
//! ```sh
//! cargo run --example client -- http://127.0.0.1:7420 gate.token acme feeds:read
//! ```

use std::error::Error;
use std::io::{BufRead as _, stdin};

use credd::client::{Client, Config};
use credd::proto::v1::presented::Credential;
use credd::proto::v1::{Presented, VerifyRequest};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, token_file, tenant, permission] = arguments.as_slice() else {
        return Err("give an address, a file with a token, a tenant and a permission".into());
    };
    let client = connect(address, token_file)?;
    for token in stdin().lock().lines() {
        let is_in = lets_in(&client, tenant, permission, token?).await;
        println!("{}", if is_in { "come in" } else { "stay out" });
    }
    Ok(())
}

/// A client that keeps answers while it follows what changes. It connects when it first
/// has to.
pub(crate) fn connect(address: &str, token_file: &str) -> Result<Client, Box<dyn Error>> {
    let mut config = Config::new([address.parse()?]);
    config.token_file = Some(token_file.into());
    Ok(Client::connect(config)?)
}

/// Whether whoever presents this token may do that: every error is a no.
pub(crate) async fn lets_in(
    client: &Client,
    tenant: &str,
    permission: &str,
    token: String,
) -> bool {
    let question = VerifyRequest {
        presented: Some(Presented {
            credential: Some(Credential::Token(token)),
        }),
        tenant: tenant.to_owned(),
        permissions: vec![permission.to_owned()],
        ..VerifyRequest::default()
    };
    match client.verify(&question).await {
        Ok(answer) => answer.is_active(),
        Err(status) => {
            eprintln!("nobody can be asked: {}", status.message());
            false
        }
    }
}
