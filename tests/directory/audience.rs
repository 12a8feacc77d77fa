//! Whose credentials a service may be told to be good.

use credd::proto::v1;
use credd::proto::v1::Verdict::{Active, Invalid};
use credd::proto::v1::presented::Credential as Presented;
use credd::proto::v1::raw_header::Value;

use crate::calls::{self, Held, import, imported, issue_caller, verify};
use crate::support::{Client, Server, read_token};
use crate::{own_profile, put_profile};

const PROFILES: [&str; 7] = [
    "api-token",
    "basic",
    "key-pair",
    "misp",
    "kaspersky-tip",
    "tenable-io",
    "own",
];

/// Every way in which a credential can be presented.
fn ways(held: &Held) -> Vec<v1::Presented> {
    let mut ways = vec![held.presented.clone()];
    for header in &held.headers {
        let values = [
            Value::Text(header.value.clone()),
            Value::Raw(header.value.clone().into_bytes()),
        ];
        ways.extend(values.map(|value| v1::Presented {
            credential: Some(Presented::Header(v1::RawHeader {
                name: header.name.clone(),
                value: Some(value),
            })),
        }));
    }
    assert_eq!(ways.len(), 1 + 2 * held.headers.len());
    assert!(ways.len() >= 3);
    ways
}

fn of_tenant(tenant: &str, presented: v1::Presented) -> v1::VerifyRequest {
    v1::VerifyRequest {
        presented: Some(presented),
        tenant: tenant.to_owned(),
        ..Default::default()
    }
}

/// The answer about what nobody has, at the same revision.
async fn nothing(client: &Client, tenant: &str) -> v1::VerifyResponse {
    let unknown = v1::Presented {
        credential: Some(Presented::Token("creddt_none".to_owned())),
    };
    v1::VerifyResponse {
        revision: None,
        ..verify(client, of_tenant(tenant, unknown)).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_asks_for_no_permission_is_told_of_its_own_tenant_alone() {
    let server = Server::start().await;
    let admin = &server.admin;
    put_profile(admin, own_profile("", "own")).await;
    let service = issue_caller(admin, "service", &["verifier"]).await;
    let service = server.client(&service).await;
    for profile in PROFILES {
        for state in ["active", "locked", "revoked"] {
            let held = calls::issue(admin, "other", state, profile).await;
            match state {
                "locked" => drop(admin.lock(&held.id).await.unwrap()),
                "revoked" => drop(admin.revoke(&held.id).await.unwrap()),
                _ => (),
            }
            for presented in ways(&held) {
                for tenant in ["acme", "nobody", "credd", "OTHER", "other "] {
                    let answer = verify(&service, of_tenant(tenant, presented.clone())).await;
                    let answer = v1::VerifyResponse {
                        revision: None,
                        ..answer
                    };
                    assert_eq!(answer.verdict(), Invalid, "{profile} {tenant}");
                    assert_eq!(answer, nothing(&service, tenant).await);
                }
                let own = verify(&service, of_tenant("other", presented.clone())).await;
                assert_eq!(own.verdict() == Active, state == "active", "{profile}");
                assert_ne!(own.verdict(), Invalid);
                let any = v1::VerifyRequest {
                    any_tenant: true,
                    ..of_tenant("", presented)
                };
                assert_eq!(verify(&service, any).await.verdict(), own.verdict());
            }
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn credds_own_callers_are_invalid_to_everybody() {
    let server = Server::start().await;
    let admin = &server.admin;
    let token = read_token(server.directory.path());
    let ways = [
        Presented::Token(token.clone()),
        Presented::Header(v1::RawHeader {
            name: "Authorization".to_owned(),
            value: Some(Value::Text(format!("Bearer {token}"))),
        }),
    ];
    for credential in ways {
        let presented = v1::Presented {
            credential: Some(credential),
        };
        for (tenant, any_tenant) in [("", true), ("credd", false), ("acme", false)] {
            let question = v1::VerifyRequest {
                any_tenant,
                ..of_tenant(tenant, presented.clone())
            };
            assert_eq!(verify(admin, question).await.verdict(), Invalid);
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_may_name_the_profiles_that_it_takes() {
    let server = Server::start().await;
    let admin = &server.admin;
    put_profile(admin, own_profile("acme", "own")).await;
    put_profile(admin, own_profile("other", "own")).await;
    for profile in PROFILES {
        let held = calls::issue(admin, "acme", "jo", profile).await;
        for presented in ways(&held) {
            for named in PROFILES {
                let asked = |profiles: &[&str]| v1::VerifyRequest {
                    profiles: profiles.iter().map(ToString::to_string).collect(),
                    ..of_tenant("acme", presented.clone())
                };
                let expected = if named == profile { Active } else { Invalid };
                let answer = verify(admin, asked(&[named])).await;
                assert_eq!(answer.verdict(), expected, "{profile} {named}");
                assert_eq!(answer.identity.is_some(), named == profile);
                let answer = verify(admin, asked(&["nothing", named])).await;
                assert_eq!(answer.verdict(), expected);
            }
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_in_a_header_of_another_profile_is_invalid() {
    let server = Server::start().await;
    let admin = &server.admin;
    put_profile(admin, own_profile("acme", "own")).await;
    let tokens = ["api-token", "misp", "kaspersky-tip", "own"];
    for profile in tokens {
        let held = calls::issue(admin, "acme", "jo", profile).await;
        for other in tokens {
            let like = calls::issue(admin, "acme", "ann", other).await;
            let secret = held.secret();
            for header in &like.headers {
                let value = header.value.replace(&like.secret(), &secret);
                let presented = v1::Presented {
                    credential: Some(Presented::Header(v1::RawHeader {
                        name: header.name.clone(),
                        value: Some(Value::Text(value)),
                    })),
                };
                let verdict = verify(admin, of_tenant("acme", presented)).await.verdict();
                assert_eq!(verdict == Active, profile == other, "{profile} {other}");
            }
            if other == "misp" {
                admin.revoke(&like.id).await.unwrap();
            }
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn a_profile_of_another_tenant_does_not_change_how_a_header_is_read() {
    let server = Server::start().await;
    let admin = &server.admin;
    let keys = |tenant: &str, public: &str, secret: &str| v1::PutProfileRequest {
        profile: Some(v1::Profile {
            tenant: tenant.to_owned(),
            name: "keys".to_owned(),
            display_name: "Keys".to_owned(),
            kind: v1::CredentialKind::KeyPair.into(),
            headers: vec![v1::HeaderRule {
                name: "X-Keys".to_owned(),
                format: Some(v1::header_rule::Format::Pair(v1::PairFormat {
                    public_parameter: public.to_owned(),
                    secret_parameter: secret.to_owned(),
                })),
            }],
            visibility: v1::SecretVisibility::Once.into(),
            expiry: Some(v1::ExpiryRule {
                never: v1::NeverRule::Allowed.into(),
                ..Default::default()
            }),
            multiplicity: v1::Multiplicity::Many.into(),
            default_label: "Keys".to_owned(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let put = |request| {
        let mut directory = admin.directory.clone();
        async move { directory.put_profile(request).await.unwrap() }
    };
    put(keys("acme", "user", "key")).await;
    let brought = imported("keys", "jo", "an-imported-secret-of-acme");
    import(admin, "acme", brought).await.unwrap();
    let verdict = || async {
        let header = v1::RawHeader {
            name: "X-Keys".to_owned(),
            value: Some(v1::raw_header::Value::Text(
                "user=jo; key=an-imported-secret-of-acme".to_owned(),
            )),
        };
        let question = v1::VerifyRequest {
            presented: Some(v1::Presented {
                credential: Some(v1::presented::Credential::Header(header)),
            }),
            tenant: "acme".to_owned(),
            ..Default::default()
        };
        verify(admin, question).await.verdict()
    };
    assert_eq!(verdict().await, v1::Verdict::Active);
    put(keys("globex", "key", "user")).await;
    assert_eq!(verdict().await, v1::Verdict::Active);
}
