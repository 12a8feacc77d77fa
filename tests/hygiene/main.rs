//! No secret is found where it should not be: in the data directory, in the log, in
//! errors, in what a process prints that dies.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../support/calls.rs"]
mod calls;
mod crash;
mod descriptors;
mod run;
#[path = "../support/secrets.rs"]
mod secrets;
#[path = "../support/mod.rs"]
mod support;
mod wrong;

use credd::proto::v1;
use credd::proto::v1::presented::Credential as Presented;
use credd::proto::v1::raw_header::Value;

use calls::{Held, issue_request, request_id, rotate, rotate_request};
use secrets::Needles;
use support::Client;

/// Every built-in profile.
const PROFILES: [&str; 12] = [
    "api-token",
    "basic",
    "key-pair",
    "eset-api-token",
    "eset-taxii",
    "misp",
    "kaspersky-tip",
    "kaspersky-demo-taxii",
    "eclecticiq",
    "tenable-io",
    "tenable-cs",
    "trend-micro",
];

/// A caller that remembers every secret it was shown or has sent.
struct Remembering {
    client: Client,
    needles: Needles,
    held: Vec<Held>,
}

impl Remembering {
    fn new(client: Client, admin_token: &str) -> Self {
        let mut needles = Needles::default();
        needles.add_secret(admin_token);
        Self {
            client,
            needles,
            held: Vec::new(),
        }
    }

    fn remember(&mut self, credential: Option<&v1::Credential>, secret: Option<v1::IssuedSecret>) {
        let held = Held::of(credential, secret);
        self.needles.add_secret(&held.secret());
        for header in &held.headers {
            // What of it follows the names is covered.
            assert!(header.value.contains(&held.secret()) || header.value.starts_with("Basic "));
        }
        self.held.push(held);
    }

    /// Issues twice with one `request_id`.
    async fn issue(&mut self, request: v1::IssueRequest) -> String {
        let request = v1::IssueRequest {
            request_id: request_id(),
            ..request
        };
        let issued = self.client.issue(request.clone()).await.unwrap();
        let replayed = self.client.issue(request).await.unwrap();
        assert!(replayed.secret == issued.secret);
        self.remember(issued.credential.as_ref(), issued.secret);
        issued.credential.unwrap().id
    }

    async fn rotate(&mut self, id: &str, overlap: i64) {
        let request = v1::RotateRequest {
            request_id: request_id(),
            end_overlap: true,
            ..rotate_request(id, overlap)
        };
        let rotated = rotate(&self.client, request.clone()).await.unwrap();
        let replayed = rotate(&self.client, request).await.unwrap();
        assert!(replayed.secret == rotated.secret);
        self.remember(rotated.credential.as_ref(), rotated.secret);
    }

    /// Issues by a profile whatever it wants, rotates and shows again.
    async fn play(&mut self, profile: &str) {
        let mut request = issue_request("acme", "jo", profile);
        if profile == "trend-micro" {
            request.roles = vec!["auditor".to_owned()];
            request.language = "de".into();
            request.time_zone = "Europe/Berlin".into();
        }
        let id = self.issue(request).await;
        let overlaps = ["api-token", "basic", "key-pair"].contains(&profile);
        self.rotate(&id, if overlaps { 3600 } else { 0 }).await;
        let credential = self.client.get(&id).await.unwrap();
        let reveal = v1::RevealRequest {
            credential_id: id,
            ..Default::default()
        };
        let shown = self.client.credentials.clone().reveal(reveal).await;
        assert_eq!(shown.is_ok(), credential.viewable, "{profile}");
        if let Ok(shown) = shown {
            let shown = shown.into_inner();
            let held = Held::of(shown.credential.as_ref(), shown.secret);
            assert_eq!(held.secret(), self.held.last().unwrap().secret());
        }
    }

    /// Brings one of each kind, plain and by its hash.
    async fn import(&mut self) {
        for (at, (profile, name)) in [("api-token", ""), ("basic", "jo"), ("key-pair", "key")]
            .into_iter()
            .enumerate()
        {
            let bytes: [u8; 32] = rand::random();
            let secret = format!("imp-{}", data_encoding::BASE64URL_NOPAD.encode(&bytes));
            let brought = calls::imported(profile, name, &secret);
            calls::import(&self.client, "acme", brought).await.unwrap();
            self.needles.add_secret(&secret);

            let bytes: [u8; 32] = rand::random();
            let hashed = format!("imp-{at}{}", data_encoding::BASE64URL_NOPAD.encode(&bytes));
            let hash = credd::domain::keyring::sha256(hashed.as_bytes());
            let brought = v1::ImportedCredential {
                secret: Some(v1::imported_credential::Secret::Sha256(hash.to_vec())),
                ..calls::imported(profile, name, "")
            };
            calls::import(&self.client, "acme", brought).await.unwrap();
            self.needles.add_secret(&hashed);
            // A hash by which it is found is kept as a MAC of it alone.
            self.needles
                .add_encoded("the hash of an imported secret", &hash);
            for secret in [secret, hashed] {
                let presented = match profile {
                    "api-token" => Presented::Token(secret),
                    "basic" => Presented::UsernamePassword(v1::UsernamePassword {
                        username: name.to_owned(),
                        password: secret,
                    }),
                    _ => Presented::KeyPair(v1::KeyPair {
                        access_key: name.to_owned(),
                        secret_key: secret,
                    }),
                };
                let question = v1::VerifyRequest {
                    presented: Some(v1::Presented {
                        credential: Some(presented),
                    }),
                    any_tenant: true,
                    ..Default::default()
                };
                let answer = calls::verify(&self.client, question).await;
                assert_eq!(answer.verdict(), v1::Verdict::Active);
            }
        }
    }

    /// Presents everything in every way, over `Verify` and `VerifyStream`.
    async fn verify_all(&self) {
        let mut questions = Vec::new();
        for held in &self.held {
            questions.push(held.question());
            for header in &held.headers {
                let values = [
                    Value::Text(header.value.clone()),
                    Value::Raw(header.value.clone().into_bytes()),
                    // Garbled, too.
                    Value::Text(format!("{},{}", header.value, header.value)),
                ];
                questions.extend(values.map(|value| v1::VerifyRequest {
                    presented: Some(v1::Presented {
                        credential: Some(Presented::Header(v1::RawHeader {
                            name: header.name.clone(),
                            value: Some(value),
                        })),
                    }),
                    any_tenant: true,
                    ..Default::default()
                }));
            }
        }
        for question in &questions {
            calls::verify(&self.client, question.clone()).await;
        }
        calls::verdicts(&self.client, questions).await;
    }

    /// Reports every other one.
    async fn report(&self) {
        let secrets = self.held.iter().step_by(2).map(Held::secret);
        calls::reported(&self.client, &secrets.collect::<Vec<_>>()).await;
    }

    /// Puts secrets where they would get into the audit log: what is noted of a call, and
    /// of a client whose credential is denied.
    async fn tell_the_audit(&self) {
        for held in &self.held {
            let secret = held.secret();
            let mut request = tonic::Request::new(v1::GetRequest {
                credential_id: held.id.clone(),
            });
            let id = format!("see {secret}").parse().unwrap();
            request.metadata_mut().insert("x-request-id", id);
            self.client.credentials.clone().get(request).await.unwrap();
            let question = v1::VerifyRequest {
                client_address: secret[..64].to_owned(),
                request_id: format!("of {secret}"),
                ..held.question()
            };
            calls::verify(&self.client, question).await;
            let stranger = v1::GetOwnerRequest {
                tenant: "acme".to_owned(),
                name: secret,
            };
            let mut directory = self.client.directory.clone();
            assert!(directory.get_owner(stranger).await.is_err());
        }
    }

    /// Every event of the audit log, as text.
    async fn listed_events(&self, admin: &Client) -> String {
        let mut text = String::new();
        let mut page_token = String::new();
        // What was counted is written by then.
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        loop {
            let request = v1::ListEventsRequest {
                page_size: 1000,
                page_token,
                ..Default::default()
            };
            let mut stream = admin.audit.clone().list_events(request).await.unwrap();
            let page = stream.get_mut().message().await.unwrap().unwrap();
            text.extend([format!("{:?}", page.events)]);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return text;
            }
        }
    }

    /// All of it.
    async fn do_everything(&mut self) {
        calls::put_owner(
            &self.client,
            v1::PutOwnerRequest {
                roles: vec!["auditor".to_owned()],
                ..calls::jo()
            },
        )
        .await;
        for profile in PROFILES {
            self.play(profile).await;
        }
        self.import().await;
        self.verify_all().await;
    }
}

/// A client that may also show secrets again.
async fn revealing(admin: &Client, address: std::net::SocketAddr) -> (Client, String) {
    let permissions = [
        "credd.credentials.*",
        "credd.owners.*",
        "credd.permissions.give",
        "credd.verify",
        "credd.watch",
    ];
    calls::put_role(admin, "credd", "revealer", &permissions).await;
    let token = calls::issue_caller(admin, "revealer", &["revealer"]).await;
    (Client::connect(address, &token).await, token)
}
