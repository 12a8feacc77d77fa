//! `credd verify`.

use clap::Args;

use super::change::{Revision, revision};
use super::failure::{Done, Failure};
use super::page::Page;
use super::secret::{self, Source};
use super::session::{Run, Session};
use super::show::kind;
use super::terminal::{BAD, GOOD};
use super::time;
use crate::proto::v1;
use crate::proto::v1::presented::Credential;
use crate::proto::v1::raw_header;

/// What is asked about a secret.
#[derive(Debug, Args)]
pub struct Verify {
    /// On whose behalf it is asked: a credential of another tenant is INVALID.
    #[arg(long, value_name = "NAME", conflicts_with = "any_tenant")]
    tenant: Option<String>,
    /// Of whatever tenant it is.
    #[arg(long)]
    any_tenant: bool,
    #[command(flatten)]
    secret: Source,
    #[command(flatten)]
    presented: With,
    /// A profile that is accepted; may be repeated. Unset: any.
    #[arg(long = "profile", value_name = "NAME")]
    profiles: Vec<String>,
    /// What is about to be done, such as `feeds:read`; may be repeated. A credential that
    /// lacks one is FORBIDDEN.
    #[arg(long = "permission", value_name = "PERMISSION")]
    permissions: Vec<String>,
    /// The address of whoever presented it, for the audit log.
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    client_address: String,
    /// Answers as of this revision or a later one: `STORE_ID:NUMBER`.
    #[arg(long, value_name = "REVISION")]
    min_revision: Option<Revision>,
}

/// What the secret was presented with. Unset: it is a token.
#[derive(Debug, Args)]
#[group(multiple = false)]
struct With {
    /// It is the password of this username.
    #[arg(long, value_name = "NAME")]
    username: Option<String>,
    /// It is the secret key of this access key.
    #[arg(long, value_name = "KEY")]
    access_key: Option<String>,
    /// It is the value of this HTTP header, as it came.
    #[arg(long, value_name = "NAME")]
    header: Option<String>,
}

impl With {
    fn presented(self, secret: &[u8]) -> Result<Credential, Failure> {
        if let Some(name) = self.header {
            return Ok(Credential::Header(v1::RawHeader {
                name,
                value: Some(raw_header::Value::Raw(secret.to_vec())),
            }));
        }
        let secret = secret::text(secret)?.to_string();
        Ok(match (self.username, self.access_key) {
            (Some(username), _) => Credential::UsernamePassword(v1::UsernamePassword {
                username,
                password: secret,
            }),
            (_, Some(access_key)) => Credential::KeyPair(v1::KeyPair {
                access_key,
                secret_key: secret,
            }),
            (None, None) => Credential::Token(secret),
        })
    }

    const fn prompt(&self) -> &'static str {
        match self {
            Self {
                header: Some(_), ..
            } => "Value of the header: ",
            Self {
                username: Some(_), ..
            } => "Password: ",
            Self {
                access_key: Some(_),
                ..
            } => "Secret key: ",
            _ => "Token: ",
        }
    }
}

impl Run for Verify {
    async fn run(self, session: &Session) -> Result<Done, Failure> {
        let Self {
            tenant,
            any_tenant,
            secret,
            presented,
            profiles,
            permissions,
            client_address,
            min_revision,
        } = self;
        let bytes = secret.one(presented.prompt())?;
        let request = v1::VerifyRequest {
            presented: Some(v1::Presented {
                credential: Some(presented.presented(&bytes)?),
            }),
            tenant: tenant.unwrap_or_default(),
            any_tenant,
            profiles,
            permissions,
            client_address,
            request_id: String::new(),
            min_revision: min_revision.map(Into::into),
        };
        let request = session.caller.request(request)?;
        let answer = session.ask(session.verification().verify(request)).await?;
        let id = answer
            .identity
            .as_ref()
            .map_or("", |it| it.credential_id.as_str());
        session
            .out
            .answer(&answer, id, |page| show(&answer, page))?;
        Ok(match answer.verdict() {
            v1::Verdict::Active => Done::Yes,
            _ => Done::No,
        })
    }
}

fn show(answer: &v1::VerifyResponse, page: &mut Page) {
    let verdict = answer.verdict();
    let style = if verdict == v1::Verdict::Active {
        GOOD
    } else {
        BAD
    };
    let shown = verdict.as_str_name().trim_start_matches("VERDICT_");
    page.styled("Verdict", shown, style);
    let Some(v1::Identity {
        credential_id,
        generation,
        tenant,
        owner,
        profile,
        kind: _,
        roles,
        permissions,
        groups,
        default_source,
        attributes,
        language,
        time_zone,
        expires_at,
    }) = &answer.identity
    else {
        page.field("Revision", revision(answer.revision.as_ref()));
        return;
    };
    page.field("Credential", credential_id);
    page.field("Generation", generation.to_string());
    page.field("Tenant", tenant);
    page.field("Owner", owner);
    page.field("Profile", profile);
    let of_kind = answer.identity.as_ref().map(v1::Identity::kind);
    page.field("Kind", kind(of_kind.unwrap_or_default()));
    page.list("Roles", roles);
    page.list("Permissions", permissions);
    page.list("Groups", groups);
    page.field("Default source", default_source);
    let attributes: Vec<_> = attributes.iter().map(|(k, v)| format!("{k}={v}")).collect();
    page.field("Attributes", attributes.join("\n"));
    page.field("Language", language);
    page.field("Time zone", time_zone);
    let expires = time::exact(expires_at.as_ref());
    page.field(
        "Expires",
        if expires.is_empty() {
            "never"
        } else {
            &expires
        },
    );
    page.field("Valid for", time::span(answer.valid_for.as_ref()));
    page.field("Revision", revision(answer.revision.as_ref()));
}
