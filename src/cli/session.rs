//! A command that asks a server: who asks, what, and how the answer is shown.

use std::future::Future;

use clap::{Args, Subcommand};
use tonic::transport::Channel;
use tonic::{Response, Status, Streaming};

use super::connection::{Caller, Connection};
use super::failure::{Done, Failure};
use super::hints::Refused;
use super::interrupt;
use super::output::{Format, Printer};
use crate::proto::v1::audit_service_client::AuditServiceClient;
use crate::proto::v1::credential_service_client::CredentialServiceClient;
use crate::proto::v1::directory_service_client::DirectoryServiceClient;
use crate::proto::v1::operations_service_client::OperationsServiceClient;
use crate::proto::v1::verification_service_client::VerificationServiceClient;

/// The largest answer that is taken: a page of a list.
const MOST_BYTES: usize = 64 << 20;

/// What a command asks for.
pub(super) trait Run {
    /// Whether its answer may have a secret in it.
    fn shows_secret(&self) -> bool {
        false
    }

    /// Does it.
    async fn run(self, session: &Session) -> Result<Done, Failure>;
}

/// Of whom to ask, and how to show the answer.
#[derive(Clone, Debug, Args)]
pub(super) struct How {
    /// How to print what is answered.
    #[arg(
        long,
        short,
        global = true,
        value_enum,
        value_name = "FORMAT",
        env = "CREDD_OUTPUT",
        default_value = "table"
    )]
    output: Format,
    #[command(flatten)]
    connection: Connection,
}

/// A command that asks a server.
#[derive(Debug, Args)]
pub struct Asked<T: Args> {
    #[command(flatten)]
    what: T,
    #[command(flatten)]
    how: How,
}

/// Several commands about the same kind of thing.
#[derive(Debug, Args)]
pub struct Group<T: Subcommand> {
    #[command(subcommand)]
    what: T,
    #[command(flatten)]
    how: How,
}

/// Does what a command asks for.
pub(super) async fn asked<T: Args + Run>(asked: Asked<T>) -> Result<Done, Failure> {
    start(asked.what, asked.how).await
}

/// Does what one of several commands asks for.
pub(super) async fn group<T: Subcommand + Run>(group: Group<T>) -> Result<Done, Failure> {
    start(group.what, group.how).await
}

async fn start(what: impl Run, how: How) -> Result<Done, Failure> {
    let How { output, connection } = how;
    if output.is_of_secrets() && !what.shows_secret() {
        return Err(Failure::Usage(format!(
            "no secret is in the answer, so that there is none to print with --output {output}"
        )));
    }
    let session = Session {
        caller: connection.caller()?,
        out: Printer::new(output),
    };
    what.run(&session).await
}

/// Who asks, and where the answer goes.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) caller: Caller,
    pub(super) out: Printer,
}

impl Session {
    /// Waits for an answer.
    pub(super) async fn ask<T>(
        &self,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, Failure> {
        let answer = interrupt::or(call).await?;
        let answer = answer.map_err(|status| self.refused(status))?;
        Ok(answer.into_inner())
    }

    /// Waits for the next of several; `None`: there are no more.
    pub(super) async fn next<T>(&self, stream: &mut Streaming<T>) -> Result<Option<T>, Failure> {
        let next = interrupt::or(stream.message()).await?;
        next.map_err(|status| self.refused(status))
    }

    pub(super) fn refused(&self, status: Status) -> Failure {
        let refused = Refused::new(status, &self.caller);
        Failure::Refused(Box::new(refused))
    }

    pub(super) fn credentials(&self) -> CredentialServiceClient<Channel> {
        let client = CredentialServiceClient::new(self.caller.channel.clone());
        client.max_decoding_message_size(MOST_BYTES)
    }

    pub(super) fn verification(&self) -> VerificationServiceClient<Channel> {
        let client = VerificationServiceClient::new(self.caller.channel.clone());
        client.max_decoding_message_size(MOST_BYTES)
    }

    pub(super) fn directory(&self) -> DirectoryServiceClient<Channel> {
        let client = DirectoryServiceClient::new(self.caller.channel.clone());
        client.max_decoding_message_size(MOST_BYTES)
    }

    pub(super) fn audit(&self) -> AuditServiceClient<Channel> {
        let client = AuditServiceClient::new(self.caller.channel.clone());
        client.max_decoding_message_size(MOST_BYTES)
    }

    pub(super) fn operations(&self) -> OperationsServiceClient<Channel> {
        let client = OperationsServiceClient::new(self.caller.channel.clone());
        client.max_decoding_message_size(MOST_BYTES)
    }
}
