//! The command `credd`.

use std::process::ExitCode;

use clap::Parser as _;
use credd::server::config::{Admin, Cli, Command};
use credd::server::listeners::Transport;
use credd::server::{panics, run, telemetry};

fn main() -> ExitCode {
    let cli = Cli::parse();
    telemetry::start(&cli.log);
    panics::end_the_process();
    let outcome = match &cli.command {
        Command::Serve(config) => run::serve(config, &Transport::default()),
        Command::Init(config) => run::init(config),
        Command::Admin(Admin::Recover(config)) => run::recover(config),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = telemetry::chain(&*error), "credd ends");
            ExitCode::FAILURE
        }
    }
}
