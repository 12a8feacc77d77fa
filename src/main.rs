//! The command `credd`.

use std::process::ExitCode;

use credd::cli::{self, Cli};
use credd::server::config::{Admin, Command, Problems, Settings, StoreCommand};
use credd::server::supervise::Failure;
use credd::server::telemetry::{self, Writing};
use credd::server::{panics, process};
use credd::sidecar;

fn main() -> ExitCode {
    let Cli { log, command } = Cli::read();
    let command = match command {
        cli::Command::Ask(ask) => return ask.run(),
        cli::Command::Run(command) => command,
    };
    match &command {
        Command::Serve(layers) => run(layers.settings(&log), Writing::Apart, |settings| {
            process::serve(settings, &|| Ok(layers.settings(&log)?.server.log))
        }),
        Command::Sidecar(layers) => run(layers.settings(&log), Writing::Apart, |settings| {
            sidecar::process(settings, &|| Ok(layers.settings(&log)?.server.log))
        }),
        Command::Init { until, layers } => end(layers.settings(&log), |settings| {
            process::init(settings, *until)
        }),
        Command::Admin(Admin::Recover(layers)) => end(layers.settings(&log), process::recover),
        Command::Restore { given, layers } => end(layers.settings(&log), |settings| {
            process::restore(settings, given)
        }),
        Command::Store(StoreCommand::Upgrade(layers)) => {
            end(layers.settings(&log), process::upgrade)
        }
        Command::Export { wanted, layers } => end(layers.settings(&log), |settings| {
            process::export(settings, wanted)
        }),
        Command::Import { from, layers } => end(layers.settings(&log), |settings| {
            process::import(settings, from)
        }),
        Command::Config(command) => command.run(&log),
        Command::Keyring(command) => command.run(&log),
    }
}

fn end(
    settings: Result<Settings, Problems>,
    task: impl FnOnce(&Settings) -> Result<(), Failure>,
) -> ExitCode {
    run(settings, Writing::Here, task)
}

fn run(
    settings: Result<Settings, Problems>,
    writing: Writing,
    task: impl FnOnce(&Settings) -> Result<(), Failure>,
) -> ExitCode {
    let settings = match settings {
        Ok(settings) => settings,
        Err(problems) => {
            eprintln!("{problems}");
            return ExitCode::FAILURE;
        }
    };
    telemetry::start(settings.server.log.as_str(), writing);
    panics::end_the_process();
    let ended = task(&settings);
    if let Err(error) = &ended {
        tracing::error!(error = telemetry::chain(&**error), "credd ends");
    }
    telemetry::end();
    if ended.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
