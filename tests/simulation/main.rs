//! Worlds of an authority, in every other world of two nodes that share a store,
//! sidecars, a relay and those who change things and ask,
//! with everything that can go wrong between them, each wholly decided by its seed:
//! the network, the clocks, the disks and the randomness are simulated, the code is
//! that of the processes.
//!
//! Nobody says yes to a question that arrived after a fenced request had returned; no
//! fence stays open beyond its bound; and when what went wrong is over, all come back.
//!
//! `CREDD_TEST_WORLDS` says how many worlds there are; `CREDD_TEST_WORLD=N` lets the
//! one of that seed happen again, and tells what happens.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_imports,
    reason = "a test may, and without the harness clippy does not see that it is one"
)]

use std::collections::BTreeMap;
use std::num::NonZero;
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use mad_turmoil::time::SimClocksGuard;
use parking_lot::Mutex;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use record::Record;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

#[path = "../support/calls.rs"]
mod calls;
#[path = "../support/in_process.rs"]
mod in_process;
#[path = "../support/mod.rs"]
mod support;

mod actors;
mod clocks;
mod ending;
mod hosts;
mod network;
mod record;
mod store;
mod world;

/// How many worlds there are where nothing is said.
const WORLDS: u64 = 100;
/// How many of them happen twice, to see that they are the same.
const TWICE: u64 = 8;
/// What must have happened in some of them: without it nothing was tried.
const SOMETIMES: [&str; 9] = [
    "acknowledged",
    "expired",
    "fences",
    "no of a cache",
    "no of the authority",
    "troubles",
    "unanswered",
    "yes of a cache",
    "yes of the authority",
];
/// Keeps a process that lets one world happen from telling what happens.
const QUIET: &str = "CREDD_TEST_QUIET";

fn main() -> ExitCode {
    if let Some(seed) = number_of("CREDD_TEST_WORLD") {
        return happen(seed, std::env::var_os(QUIET).is_none());
    }
    // As the harness of the other suites does.
    let mut arguments = std::env::args().skip(1).filter(|it| !it.starts_with("--"));
    let is_meant = arguments
        .next()
        .is_none_or(|filter| "simulation".contains(&filter));
    if std::env::args().any(|argument| argument == "--list") {
        println!("simulation: test");
        return ExitCode::SUCCESS;
    }
    if !is_meant {
        println!("\ntest result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 1 filtered out");
        return ExitCode::SUCCESS;
    }
    let worlds = number_of("CREDD_TEST_WORLDS").unwrap_or(WORLDS);
    println!("\nrunning 1 test of {worlds} worlds");
    match simulate(worlds) {
        Ok(counts) => {
            println!("{counts:?}\ntest simulation ... ok");
            println!(
                "\ntest result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out"
            );
            ExitCode::SUCCESS
        }
        Err(wrong) => {
            println!("{wrong}\ntest simulation ... FAILED");
            println!(
                "\ntest result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out"
            );
            ExitCode::FAILURE
        }
    }
}

/// A number in the environment.
fn number_of(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap())
}

/// Lets worlds happen; returns what was counted in all of them.
fn simulate(worlds: u64) -> Result<BTreeMap<String, u64>, String> {
    let told = happen_each_alone(worlds)?;
    for (seed, line) in happen_each_alone(worlds.min(TWICE))? {
        let first = &told[&seed];
        if *first != line {
            return Err(format!(
                "world {seed} was not the same twice:\n{first}\n{line}"
            ));
        }
    }
    let mut sums: BTreeMap<String, u64> = BTreeMap::new();
    for line in told.values() {
        for count in line.split(", ").skip(1) {
            let (what, count) = count.split_once(": ").ok_or(line)?;
            *sums.entry(what.to_owned()).or_default() += count.parse::<u64>().unwrap();
        }
    }
    match SOMETIMES.iter().find(|what| !sums.contains_key(**what)) {
        Some(never) => Err(format!("never: {never}; {sums:?}")),
        None => Ok(sums),
    }
}

/// Lets each world happen in a process of its own, a few at a time: what a process has
/// done before would show. Returns what each came to.
fn happen_each_alone(worlds: u64) -> Result<BTreeMap<u64, String>, String> {
    let (next, told) = (AtomicU64::new(0), Mutex::new(BTreeMap::new()));
    let wrong = Mutex::new(Vec::new());
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= worlds {
                return;
            }
            let child = Command::new(std::env::current_exe().unwrap())
                .env("CREDD_TEST_WORLD", seed.to_string())
                .env(QUIET, "1")
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&child.stdout).trim().to_owned();
            if child.status.success() {
                told.lock().insert(seed, said);
            } else {
                let errors = String::from_utf8_lossy(&child.stderr);
                let status = child.status;
                wrong.lock().push(format!(
                    "world {seed} (CREDD_TEST_WORLD={seed} tells of it): {status}\n{said}\n{errors}"
                ));
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, NonZero::get) {
            scope.spawn(work);
        }
    });
    let wrong = wrong.into_inner();
    if wrong.is_empty() {
        Ok(told.into_inner())
    } else {
        Err(wrong.join("\n"))
    }
}

/// The time of the world, in what is told of it.
struct TrueTime;

impl FormatTime for TrueTime {
    fn format_time(&self, to: &mut Writer<'_>) -> std::fmt::Result {
        write!(to, "{:>12.3?}", clocks::now())
    }
}

/// Lets one world happen, and prints what it came to.
fn happen(seed: u64, tells: bool) -> ExitCode {
    let directory = tempfile::tempdir().unwrap();
    let token_file = directory.path().join("token");
    let [_, token] = hosts::tokens();
    std::fs::write(&token_file, token).unwrap();
    if tells {
        let filter = EnvFilter::new("credd=debug");
        let told = tracing_subscriber::fmt()
            .with_timer(TrueTime)
            .with_ansi(false);
        told.with_writer(std::io::stderr)
            .with_env_filter(filter)
            .init();
    }
    let _clocks = SimClocksGuard::init();
    mad_turmoil::rand::set_rng(StdRng::seed_from_u64(seed));
    let record = Record::new(tells);
    // On a thread of its own, where nothing has drawn from the system's randomness.
    let noted = record.clone();
    let world = thread::spawn(move || world::run(seed, &noted, &token_file));
    let panicked = world.join().is_err();
    let (counts, wrong, trace) = record.end();
    print!("{trace:016x}");
    for (what, count) in counts {
        print!(", {what}: {count}");
    }
    println!();
    for wrong in &wrong {
        println!("{wrong}");
    }
    if panicked || !wrong.is_empty() {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
