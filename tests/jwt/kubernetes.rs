//! Service accounts of Kubernetes, whose tokens are projected into pods.

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};

use super::*;

const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// An API server, as far as it signs tokens.
struct ApiServer(EcdsaKeyPair);

impl ApiServer {
    fn new() -> Self {
        let random = SystemRandom::new();
        let how = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let der = EcdsaKeyPair::generate_pkcs8(how, &random).unwrap();
        Self(EcdsaKeyPair::from_pkcs8(how, der.as_ref(), &random).unwrap())
    }

    /// What it answers at `/openid/v1/jwks`.
    fn jwks(&self) -> String {
        let (x, y) = self.0.public_key().as_ref()[1..].split_at(32);
        let key = json!({
            "use": "sig",
            "kty": "EC",
            "kid": "fQ4mR8xlnNsWyHc1oPq7",
            "crv": "P-256",
            "alg": "ES256",
            "x": encode(x),
            "y": encode(y),
        });
        json!({ "keys": [key] }).to_string()
    }

    /// A bound token, as the `TokenRequest` API makes them.
    fn token(&self, subject: &str, audiences: &[&str], lifetime: i64) -> String {
        let now = SystemClock.now().as_millis() / 1000;
        let [_, _, namespace, name] =
            <[&str; 4]>::try_from(subject.split(':').collect::<Vec<_>>()).unwrap();
        let claims = json!({
            "aud": audiences,
            "exp": now + lifetime,
            "iat": now,
            "iss": ISSUER,
            "jti": "5f3b8f0c-3f0b-4c65-9d2c-0d6f1b7f7f3e",
            "kubernetes.io": {
                "namespace": namespace,
                "node": { "name": "node-1", "uid": "0b9c7bd0-8f0e-4f5b-a9a4-0a3f8f2f4c11" },
                "pod": { "name": "portal-0", "uid": "4a1a3a36-70a7-4a4e-a1a7-5f0bfe3f25a2" },
                "serviceaccount": { "name": name, "uid": "d7b1e1d5-34bd-4a8c-b5a0-6a3f33b7f1f0" },
                "warnafter": now + 3607,
            },
            "nbf": now,
            "sub": subject,
        });
        let header = json!({ "alg": "ES256", "kid": "fQ4mR8xlnNsWyHc1oPq7" });
        let unsigned = format!(".{}.", encode(claims.to_string()));
        resigned(&unsigned, &header, |message| {
            let signature = self.0.sign(&SystemRandom::new(), message);
            signature.unwrap().as_ref().to_vec()
        })
    }
}

#[tokio::test]
async fn a_service_account_is_a_caller_by_the_token_of_its_pod() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("jwks.json");
    let (cluster, another_cluster) = (ApiServer::new(), ApiServer::new());
    std::fs::write(&file, cluster.jwks()).unwrap();
    let source = JwksSource::File(file.clone());
    let settings = settings(ISSUER, source, Duration::ZERO);
    let one = One::start(settings, Arc::new(SystemClock));

    let subject = "system:serviceaccount:portals:portal";
    let token = cluster.token(subject, &["credd"], 600);
    let caller = one.issuers.caller(&token).await.unwrap();
    assert_eq!(caller.issuer(), ISSUER);
    assert_eq!(caller.subject(), subject);
    assert_eq!(
        caller.principal().as_str(),
        "jwt:https://kubernetes.default.svc.cluster.local#system:serviceaccount:portals:portal"
    );
    let several = cluster.token(subject, &["vault", "credd"], 600);
    assert_eq!(one.outcome(&several).await.as_deref(), Ok(subject));

    let of_the_api_server = cluster.token(subject, &[ISSUER], 600);
    let outcome = one.outcome(&of_the_api_server).await;
    assert_eq!(outcome, Err(JwtProblem::Audience));
    let expired = cluster.token(subject, &["credd"], -1);
    assert_eq!(one.outcome(&expired).await, Err(JwtProblem::Expired));
    let foreign = another_cluster.token(subject, &["credd"], 600);
    assert_eq!(one.outcome(&foreign).await, Err(JwtProblem::Signature));

    std::fs::write(&file, another_cluster.jwks()).unwrap();
    one.fetch().await;
    assert_eq!(one.outcome(&foreign).await.as_deref(), Ok(subject));
    assert_eq!(one.outcome(&token).await, Err(JwtProblem::Signature));
}
