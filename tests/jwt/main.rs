//! JWTs as callers, of the real oauth2-mock-server and of Kubernetes' form.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod kubernetes;
mod provider;
#[path = "../support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use credd::domain::jwt::{Algorithm, Claim, IssuerRules, JwtCaller, JwtProblem};
use credd::domain::time::{Clock, SystemClock, Timestamp};
use credd::server::jwt::{IssuerSettings, IssuerStatus, Issuers, JwksSource, Limits};
use credd::server::supervise::Supervisor;
use data_encoding::BASE64URL_NOPAD;
use provider::{NodeKey, Provider, make_keys, part};
use ring::hmac;
use serde_json::{Value, json};
use support::tool;
use tokio_util::sync::CancellationToken;

const VARIABLE: &str = "CREDD_TEST_OAUTH2_MOCK_SERVER";
/// Nothing of what is tested waits for this.
const REFRESH: Duration = Duration::from_hours(1);
/// How often keys may be fetched, here: no server starts as fast.
const BETWEEN: Duration = Duration::from_millis(50);

/// One issuer, and the task that fetches its keys.
struct One {
    issuers: Issuers,
    _supervisor: Supervisor,
}

impl One {
    fn start(settings: IssuerSettings, clock: Arc<dyn Clock>) -> Self {
        let limits = Limits {
            between_fetches: BETWEEN,
            ..Limits::default()
        };
        let issuers = Issuers::with_limits(vec![settings], clock, limits).unwrap();
        let mut supervisor = Supervisor::new();
        issuers.start(&mut supervisor, &CancellationToken::new());
        Self {
            issuers,
            _supervisor: supervisor,
        }
    }

    /// The issuer that a provider is.
    fn of(provider: &Provider) -> Self {
        Self::at(provider, Arc::new(SystemClock), Duration::ZERO)
    }

    fn at(provider: &Provider, clock: Arc<dyn Clock>, leeway: Duration) -> Self {
        let url = JwksSource::Url {
            url: provider.jwks_url().parse().unwrap(),
            ca_file: None,
            token_file: None,
        };
        Self::start(settings(&provider.issuer, url, leeway), clock)
    }

    async fn outcome(&self, token: &str) -> Result<String, JwtProblem> {
        let caller = self.issuers.caller(token).await;
        caller.map(|caller: JwtCaller| caller.subject().to_owned())
    }

    fn status(&self) -> IssuerStatus {
        self.issuers.status().next().unwrap()
    }

    /// Has the keys fetched, successfully or not, and waits for that.
    async fn fetch(&self) {
        let ended = || self.status().fetched + self.status().failed;
        let (before, token) = (ended(), with_key(&self.token_of_nobody(), "unknown"));
        support::until("the keys to be fetched", async || {
            let outcome = self.issuers.caller(&token).await;
            assert!(outcome.unwrap_err().is_for_want_of_keys());
            ended() > before
        })
        .await;
    }

    fn token_of_nobody(&self) -> String {
        let claims = json!({ "iss": &*self.status().issuer });
        format!(
            "{}.{}.AA",
            encode("{\"alg\":\"RS256\"}"),
            encode(claims.to_string())
        )
    }
}

fn settings(issuer: &str, source: JwksSource, leeway: Duration) -> IssuerSettings {
    let audiences = vec!["credd".to_owned()];
    let rules = IssuerRules::new(issuer, audiences, Algorithm::ALL.to_vec(), leeway);
    IssuerSettings {
        rules: rules.unwrap(),
        source,
        refresh: REFRESH,
    }
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    BASE64URL_NOPAD.encode(bytes.as_ref())
}

/// A token with another header, signed by `sign`.
fn resigned(token: &str, header: &Value, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let claims = token.split('.').nth(1).unwrap();
    let signed = format!("{}.{claims}", encode(header.to_string()));
    let signature = encode(sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

/// A token that says that it is signed with this key, with the signature that it
/// has.
fn with_key(token: &str, id: &str) -> String {
    let mut header = part(token, 0);
    header["kid"] = json!(id);
    let signature = token.rsplit('.').next().unwrap();
    let signature = BASE64URL_NOPAD.decode(signature.as_bytes()).unwrap();
    resigned(token, &header, |_| signature)
}

struct Setting {
    script: PathBuf,
    directory: tempfile::TempDir,
}

impl Setting {
    /// `None`: the server is not there, and the test is skipped.
    fn find() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        tool(VARIABLE).map(|script| Self { script, directory })
    }

    fn keys<const N: usize>(&self, wanted: [(&str, &str); N]) -> [NodeKey; N] {
        make_keys(self.directory.path(), wanted)
    }

    fn provider(&self, keys: &[&NodeKey]) -> Provider {
        Provider::start(&self.script, 0, keys, &[])
    }

    /// Stops a provider, and starts one in its place with other keys.
    fn restart(&self, provider: Provider, keys: &[&NodeKey]) -> Provider {
        let (port, issuer) = (provider.port, provider.issuer.clone());
        drop(provider);
        let provider = Provider::start(&self.script, port, keys, &[]);
        assert_eq!(provider.issuer, issuer);
        provider
    }
}

#[tokio::test]
async fn a_token_of_each_algorithm_is_accepted() {
    let Some(setting) = Setting::find() else {
        return;
    };
    let names = Algorithm::ALL.map(Algorithm::name);
    let keys = setting.keys(names.map(|name| (name, name)));
    let provider = setting.provider(&keys.each_ref());
    let one = One::of(&provider);
    for key in &keys {
        let token = provider.id_token(key);
        assert_eq!(part(&token, 0)["alg"], *key.id);
        assert_eq!(
            one.outcome(&token).await.as_deref(),
            Ok("johndoe"),
            "{}",
            key.id
        );
    }
    let caller = one.issuers.caller(&provider.id_token(&keys[0])).await;
    let principal = format!("jwt:{}#johndoe", provider.issuer);
    assert_eq!(caller.unwrap().principal().as_str(), principal);
    assert_eq!((one.status().keys, one.status().fetched), (9, 1));

    let mut access = provider.grant("grant_type=client_credentials&aud=credd");
    let outcome = one.outcome(access["access_token"].as_str().unwrap()).await;
    assert_eq!(outcome, Err(JwtProblem::Missing(Claim::Sub)));
    access = provider.grant("grant_type=password&username=jo&client_id=credd");
    let outcome = one.outcome(access["access_token"].as_str().unwrap()).await;
    assert_eq!(outcome, Err(JwtProblem::Missing(Claim::Aud)));
    access = provider.grant("grant_type=password&username=jo&client_id=other");
    let outcome = one.outcome(access["id_token"].as_str().unwrap()).await;
    assert_eq!(outcome, Err(JwtProblem::Audience));
}

#[tokio::test]
async fn keys_rotate_without_waiting_for_the_period() {
    let Some(setting) = Setting::find() else {
        return;
    };
    let [old, new] = setting.keys([("old", "RS256"), ("new", "ES256")]);
    let provider = setting.provider(&[&old]);
    let one = One::of(&provider);
    let old_token = provider.id_token(&old);
    assert_eq!(one.outcome(&old_token).await.as_deref(), Ok("johndoe"));

    let provider = setting.restart(provider, &[&old, &new]);
    let new_token = provider.id_token(&new);
    assert_eq!(one.outcome(&new_token).await.as_deref(), Ok("johndoe"));
    assert_eq!(one.outcome(&old_token).await.as_deref(), Ok("johndoe"));
    assert_eq!((one.status().keys, one.status().fetched), (2, 2));

    let provider = setting.restart(provider, &[&new]);
    assert_eq!(one.outcome(&old_token).await.as_deref(), Ok("johndoe"));
    one.fetch().await;
    assert_eq!(one.outcome(&old_token).await, Err(JwtProblem::UnknownKey));
    assert_eq!(one.outcome(&new_token).await.as_deref(), Ok("johndoe"));

    drop(provider);
    one.fetch().await;
    assert_ne!(one.status().failed, 0);
    assert_eq!(one.outcome(&new_token).await.as_deref(), Ok("johndoe"));
    let unknown = with_key(&new_token, "newer");
    assert_eq!(one.outcome(&unknown).await, Err(JwtProblem::UnknownKey));
}

#[tokio::test]
async fn what_the_issuer_did_not_sign_is_refused() {
    let Some(setting) = Setting::find() else {
        return;
    };
    let keys = setting.keys([("rs", "RS256"), ("es", "ES256"), ("ed", "EdDSA")]);
    let provider = setting.provider(&keys.each_ref());
    let one = One::of(&provider);
    let [mallory] = setting.keys([("rs", "RS256")]);
    let impostor = setting.provider(&[&mallory]);
    for key in &keys {
        let token = provider.id_token(key);
        assert_eq!(one.outcome(&token).await.as_deref(), Ok("johndoe"));

        let none = json!({ "typ": "JWT", "alg": "none" });
        let unsigned = resigned(&token, &none, |_| vec![]);
        assert_eq!(one.outcome(&unsigned).await, Err(JwtProblem::Algorithm));
        let none = json!({ "typ": "JWT", "alg": "none", "kid": key.id });
        let unsigned = resigned(&token, &none, |_| vec![0; 64]);
        assert_eq!(one.outcome(&unsigned).await, Err(JwtProblem::Algorithm));

        for secret in [&key.pem, key.pem.trim_end()] {
            let secret = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
            let sign = |message: &[u8]| hmac::sign(&secret, message).as_ref().to_vec();
            let header = json!({ "typ": "JWT", "alg": "HS256", "kid": key.id });
            let forged = resigned(&token, &header, sign);
            assert_eq!(one.outcome(&forged).await, Err(JwtProblem::Algorithm));
            let forged = resigned(&token, &part(&token, 0), sign);
            assert_eq!(one.outcome(&forged).await, Err(JwtProblem::Signature));
        }

        let unknown = with_key(&token, "unknown");
        assert_eq!(one.outcome(&unknown).await, Err(JwtProblem::UnknownKey));
        for other in keys.iter().filter(|other| other.id != key.id) {
            let outcome = one.outcome(&with_key(&token, &other.id)).await;
            assert!(
                matches!(outcome, Err(JwtProblem::KeyUnfit(_))),
                "{outcome:?}"
            );
        }
    }
    // Another's, who uses the same name for its key.
    let theirs = impostor.id_token(&mallory);
    assert_eq!(one.outcome(&theirs).await, Err(JwtProblem::Issuer));
    let ours = provider.id_token(&keys[0]);
    let mixed = resigned(&ours, &part(&ours, 0), |_| {
        let signature = theirs.rsplit('.').next().unwrap();
        BASE64URL_NOPAD.decode(signature.as_bytes()).unwrap()
    });
    assert_eq!(one.outcome(&mixed).await, Err(JwtProblem::Signature));
}

/// A clock that always shows the same.
#[derive(Debug)]
struct Stopped(i64);

impl Clock for Stopped {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0 * 1000)
    }
}

#[tokio::test]
async fn a_token_is_good_from_its_first_second_until_its_last() {
    let Some(setting) = Setting::find() else {
        return;
    };
    let [key] = setting.keys([("k1", "PS256")]);
    let provider = setting.provider(&[&key]);
    let token = provider.id_token(&key);
    let times = part(&token, 1);
    let [nbf, iat, exp] = ["nbf", "iat", "exp"].map(|name| times[name].as_i64().unwrap());
    assert!(nbf < iat && iat < exp);
    for (leeway, begin, end) in [(0, iat, exp), (60, nbf - 60, exp + 60)] {
        for (at, expected) in [
            (nbf - leeway - 1, Err(JwtProblem::NotYet(Claim::Nbf))),
            (iat - leeway - 1, Err(JwtProblem::NotYet(Claim::Iat))),
            (iat - leeway, Ok("johndoe")),
            (begin.max(iat - leeway), Ok("johndoe")),
            (end - 1, Ok("johndoe")),
            (end, Err(JwtProblem::Expired)),
            (end + 1, Err(JwtProblem::Expired)),
        ] {
            let leeway = Duration::from_secs(leeway.try_into().unwrap());
            let one = One::at(&provider, Arc::new(Stopped(at)), leeway);
            let outcome = one.outcome(&token).await;
            assert_eq!(outcome.as_deref(), expected.as_ref().copied(), "{at}");
        }
    }
}

#[tokio::test]
async fn keys_are_fetched_over_tls_from_who_has_the_certificate() {
    let Some(setting) = Setting::find() else {
        return;
    };
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(["localhost".to_owned()]);
    let certificate = certificate.unwrap().self_signed(&key).unwrap();
    let file = |name: &str, text: &str| {
        let path = setting.directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let private = file("key.pem", &key.serialize_pem());
    let public = file("certificate.pem", &certificate.pem());
    let [signing] = setting.keys([("k1", "ES384")]);
    let secure = ["-c", public.as_str(), "-k", private.as_str()];
    let provider = Provider::start(&setting.script, 0, &[&signing], &secure);
    assert!(provider.issuer.starts_with("https://localhost:"));

    let of = |ca_file: Option<&str>| {
        let source = JwksSource::Url {
            url: provider.jwks_url().parse().unwrap(),
            ca_file: ca_file.map(|path| Path::new(path).to_owned()),
            token_file: None,
        };
        let settings = settings(&provider.issuer, source, Duration::ZERO);
        One::start(settings, Arc::new(SystemClock))
    };
    let one = of(Some(&public));
    one.fetch().await;
    assert_eq!((one.status().keys, one.status().failed), (1, 0));
    let stranger = of(None);
    stranger.fetch().await;
    assert_eq!((stranger.status().keys, stranger.status().fetched), (0, 0));
}
