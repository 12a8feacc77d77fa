mod http;
mod keeping;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::{InvalidIssuers, IssuerSettings, Issuers, JwksSource, Limits};
use crate::domain::jwt::tests::signer::Signer;
use crate::domain::jwt::{Algorithm, IssuerRules, JwtCaller, JwtProblem};
use crate::domain::time::{Clock, Timestamp};
use crate::server::supervise::Supervisor;

/// 2027-01-01T00:00:00Z, in seconds.
const NOW: i64 = 1_798_761_600;
const REFRESH: Duration = Duration::from_hours(1);

/// A clock that stands still until it is put forward.
#[derive(Debug)]
struct Standing(AtomicI64);

impl Clock for Standing {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Relaxed))
    }
}

fn clock() -> Arc<Standing> {
    Arc::new(Standing(AtomicI64::new(NOW * 1000)))
}

fn rules(issuer: &str) -> IssuerRules {
    let leeway = Duration::from_secs(30);
    let audiences = vec!["credd".to_owned()];
    IssuerRules::new(issuer, audiences, vec![Algorithm::Es256], leeway).unwrap()
}

fn settings(issuer: &str, source: JwksSource) -> IssuerSettings {
    IssuerSettings {
        rules: rules(issuer),
        source,
        refresh: REFRESH,
    }
}

fn claims(issuer: &str) -> Value {
    json!({ "iss": issuer, "sub": "jo", "aud": ["credd"], "exp": NOW + 600 })
}

fn key_set(signers: &[&Signer]) -> String {
    let keys: Vec<Value> = signers.iter().map(|signer| signer.jwk()).collect();
    json!({ "keys": keys }).to_string()
}

fn signer(id: &str) -> Signer {
    Signer::new(Algorithm::Es256, id)
}

/// Issuers, with their tasks.
struct Running {
    issuers: Arc<Issuers>,
    _supervisor: Supervisor,
    stopping: CancellationToken,
}

impl Running {
    fn start(settings: Vec<IssuerSettings>) -> Self {
        let issuers = Arc::new(Issuers::new(settings, clock()).unwrap());
        let mut supervisor = Supervisor::new();
        let stopping = CancellationToken::new();
        issuers.start(&mut supervisor, &stopping);
        Self {
            issuers,
            _supervisor: supervisor,
            stopping,
        }
    }

    async fn caller(&self, token: &str) -> Result<JwtCaller, JwtProblem> {
        self.issuers.caller(token).await
    }
}

/// An issuer `x` whose keys are in a file.
struct InFile {
    directory: TempDir,
    running: Running,
}

impl InFile {
    fn start(signers: &[&Signer]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("jwks.json");
        write(&file, &key_set(signers));
        let running = Running::start(vec![settings("x", JwksSource::File(file))]);
        Self { directory, running }
    }

    /// Replaces the keys, as a mounted file is replaced.
    fn replace(&self, signers: &[&Signer]) {
        let new = self.directory.path().join("new");
        write(&new, &key_set(signers));
        std::fs::rename(new, self.file()).unwrap();
    }

    fn file(&self) -> std::path::PathBuf {
        self.directory.path().join("jwks.json")
    }

    async fn outcome(&self, signer: &Signer) -> Result<(), JwtProblem> {
        let outcome = self.running.caller(&signer.token(&claims("x"))).await;
        outcome.map(|_| ())
    }

    /// How often the keys were fetched, and how often that failed.
    fn counts(&self) -> (u64, u64) {
        let status = self.running.issuers.status().next().unwrap();
        (status.fetched, status.failed)
    }
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    let new = |settings| Issuers::new(settings, clock()).err();
    let of = |name, refresh| IssuerSettings {
        refresh,
        ..settings(name, JwksSource::File("x".into()))
    };
    assert_eq!(new(vec![of("a", REFRESH), of("b", REFRESH)]), None);
    let twice = Some(InvalidIssuers::Twice("a".into()));
    assert_eq!(new(vec![of("a", REFRESH), of("a", REFRESH)]), twice);
    let limits = Limits::default();
    for good in [limits.between_fetches, limits.max_age / 2] {
        assert_eq!(new(vec![of("a", good)]), None);
    }
    for bad in [
        Duration::ZERO,
        limits.between_fetches / 2,
        limits.max_age / 2 + Duration::from_millis(1),
    ] {
        let refused = new(vec![of("a", bad)]);
        assert!(matches!(refused, Some(InvalidIssuers::Refresh { .. })));
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_is_good_until_the_leeway_of_the_issuer_is_over() {
    let key = signer("k1");
    let x = InFile::start(&[&key]);
    let caller = x.running.caller(&key.token(&claims("x"))).await.unwrap();
    assert_eq!(caller.principal().as_str(), "jwt:x#jo");
    let end = Timestamp::from_millis((NOW + 600 + 30) * 1000);
    assert_eq!(x.running.issuers.good_until(&caller), end);
}
