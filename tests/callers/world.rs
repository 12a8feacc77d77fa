//! A server with two tenants that are alike, and callers of every kind.

use std::cell::Cell;
use std::path::PathBuf;
use std::time::Duration;

use credd::proto::v1;
use credd::server::tls::TlsSettings;
use tonic::transport::Channel;

use crate::caller::Caller;
use crate::calls::{Held, issue, put_owner, put_role};
use crate::pki::{Wanted, uri};
use crate::requests::{Names, keys};
use crate::signer::{Signer, principal};
use crate::support::{Client, token_of, token_request, until};
use crate::tls::{Pki, TlsServer};

/// How long a token or a certificate is good in a test that does not wait for its
/// end.
const LONG: i64 = 3600;

/// Roles of credd's own tenant with what they permit: what a portal needs to let
/// owners do what they may.
const PORTAL: [&str; 4] = [
    "credd.credentials.*",
    "credd.on-behalf-of",
    "credd.owners.*",
    "credd.permissions.give",
];

pub(crate) struct World {
    pub(crate) server: TlsServer,
    pub(crate) pki: Pki,
    pub(crate) signer: Signer,
    /// May do everything.
    pub(crate) admin: Client,
    /// A connection without a certificate.
    pub(crate) plain: Channel,
    made: Cell<u32>,
}

impl World {
    pub(crate) async fn start() -> Self {
        let (pki, signer) = (Pki::new(), Signer::new());
        let settings = TlsSettings {
            require_client_certificate: false,
            ..pki.settings()
        };
        let mut issuer = signer.publish(&pki.volume.path("jwks.json"));
        // As often as may be.
        issuer.refresh = Duration::from_secs(10);
        let server = TlsServer::start_with(settings, |mut config| {
            config.jwt_issuers.push(issuer);
            config
        })
        .await;
        let knocker = pki.knocker(None);
        let plain = knocker.channel(server.address).await.unwrap();
        let world = Self {
            admin: Client::over(plain.clone(), &server.token),
            server,
            pki,
            signer,
            plain,
            made: Cell::new(0),
        };
        world.fill().await;
        world
    }

    async fn fill(&self) {
        put_role(&self.admin, "credd", "portal", &PORTAL).await;
        for (tenant, owner) in [("acme", "jo"), ("globex", "gus")] {
            self.put_tenant(tenant).await;
            put_role(&self.admin, tenant, "reader", &["feeds:read"]).await;
            self.put_profile(&keys(tenant, &format!("{tenant}-keys")))
                .await;
            let owner = v1::PutOwnerRequest {
                tenant: tenant.to_owned(),
                name: owner.to_owned(),
                principals: vec![principal(owner)],
                roles: vec!["reader".to_owned()],
                ..Default::default()
            };
            put_owner(&self.admin, owner).await;
        }
        // Keys are fetched after the server is there.
        let jo = self.jwt("jo", "jo");
        until("the issuer to be known", || {
            let (jo, message) = (jo.clone(), v1::GetOwnerRequest::default());
            async move {
                let answer = jo.directory().get_owner(message).await;
                answer.unwrap_err().code() == tonic::Code::InvalidArgument
            }
        })
        .await;
    }

    /// Where the keys are of who signs tokens.
    pub(crate) fn keys(&self) -> PathBuf {
        self.pki.volume.path("jwks.json")
    }

    pub(crate) async fn stop(self) {
        let Self {
            server,
            admin,
            plain,
            pki,
            ..
        } = self;
        drop((admin, plain));
        server.stop().await;
        drop(pki);
    }

    /// A number that was not given before.
    pub(crate) fn next(&self) -> u32 {
        self.made.set(self.made.get() + 1);
        self.made.get()
    }

    pub(crate) async fn put_tenant(&self, name: &str) {
        let request = v1::PutTenantRequest {
            name: name.to_owned(),
            ..Default::default()
        };
        let mut directory = self.admin.directory.clone();
        directory.put_tenant(request).await.unwrap();
    }

    pub(crate) async fn put_profile(&self, profile: &v1::Profile) {
        let request = v1::PutProfileRequest {
            profile: Some(profile.clone()),
            ..Default::default()
        };
        let mut directory = self.admin.directory.clone();
        directory.put_profile(request).await.unwrap();
    }

    pub(crate) async fn unbind(&self, principal: &str, role: &str, tenant: &str) {
        let request = v1::DeleteBindingRequest {
            principal: principal.to_owned(),
            role: role.to_owned(),
            tenant: tenant.to_owned(),
            ..Default::default()
        };
        let mut directory = self.admin.directory.clone();
        directory.delete_binding(request).await.unwrap();
    }

    /// A credential of credd's own tenant, narrowed to these roles; of an owner
    /// that need not have any.
    pub(crate) async fn credential(&self, owner: &str, roles: &[&str]) -> (String, String) {
        let request = v1::IssueRequest {
            owner: owner.to_owned(),
            roles: roles.iter().map(ToString::to_string).collect(),
            ..token_request("credd")
        };
        let issued = self.admin.issue(request).await.unwrap();
        (issued.credential.unwrap().id, token_of(issued.secret))
    }

    /// Nobody, over a connection without a certificate.
    pub(crate) fn nobody(&self, name: &'static str) -> Caller {
        Caller::over(name, self.plain.clone())
    }

    /// Who bears a credential of `credd:OWNER`.
    pub(crate) async fn bearer(&self, name: &'static str, owner: &str) -> Caller {
        let (_, token) = self.credential(owner, &[]).await;
        self.nobody(name).bearing(&token)
    }

    /// Who bears a token of the issuer with this subject.
    pub(crate) fn jwt(&self, name: &'static str, subject: &str) -> Caller {
        self.nobody(name).bearing(&self.signer.token(subject, LONG))
    }

    /// Who is known by a certificate with this SPIFFE ID.
    pub(crate) async fn certificate(&self, name: &'static str, id: &str) -> Caller {
        let wanted = Wanted::client([uri(id)]);
        self.with_certificate(name, wanted).await
    }

    /// Who is known by such a certificate.
    pub(crate) async fn with_certificate(&self, name: &'static str, wanted: Wanted) -> Caller {
        let knocker = self.pki.knocker(Some(self.pki.clients.issue(wanted)));
        let channel = knocker.channel(self.server.address).await.unwrap();
        Caller::over(name, channel)
    }

    /// Issues a credential by the profile of a tenant's own.
    pub(crate) async fn issue(&self, tenant: &str, owner: &str) -> Held {
        issue(&self.admin, tenant, owner, &format!("{tenant}-keys")).await
    }

    /// Records of a tenant, all there, none of them used by another test.
    pub(crate) async fn names(&self, tenant: &str) -> Names {
        let n = self.next();
        let owner = if tenant == "acme" { "jo" } else { "gus" };
        let held = self.issue(tenant, owner).await;
        let (role, spare_profile) = (format!("role-{n}"), format!("profile-{n}"));
        put_role(&self.admin, tenant, &role, &["feeds:read"]).await;
        self.put_profile(&keys(tenant, &spare_profile)).await;
        let spare_owner = v1::PutOwnerRequest {
            tenant: tenant.to_owned(),
            name: format!("spare-{n}"),
            ..Default::default()
        };
        put_owner(&self.admin, spare_owner.clone()).await;
        let bound = format!("dns:bound-{n}.example");
        self.admin.bind(&bound, "verifier", tenant).await;
        let empty_tenant = format!("{tenant}-{n}");
        self.put_tenant(&empty_tenant).await;
        Names {
            tenant: tenant.to_owned(),
            empty_tenant,
            owner: owner.to_owned(),
            spare_owner: spare_owner.name,
            role,
            profile: format!("{tenant}-keys"),
            spare_profile,
            token: held.secret(),
            credential: held.id,
            principal: bound,
            fresh: format!("fresh-{n}"),
        }
    }
}

/// The names of records that are not there, each as long as the one that it stands
/// for.
pub(crate) fn nothing(like: &Names) -> Names {
    let other = |text: &str| {
        let (start, end) = text.split_at(1);
        format!("{}{end}", if start == "x" { "y" } else { "x" })
    };
    let mut id = like.credential.clone().into_bytes();
    // Its last digit but one: ids are random there.
    let at = id.len() - 2;
    id[at] = if id[at] == b'0' { b'1' } else { b'0' };
    Names {
        tenant: other(&like.tenant),
        empty_tenant: other(&like.empty_tenant),
        owner: other(&like.owner),
        spare_owner: other(&like.spare_owner),
        role: other(&like.role),
        profile: other(&like.profile),
        spare_profile: other(&like.spare_profile),
        credential: String::from_utf8(id).unwrap(),
        token: "garbage".to_owned(),
        principal: format!("{}x", like.principal),
        fresh: like.fresh.clone(),
    }
}

/// Callers of every kind, in the order of the columns of the table.
pub(crate) async fn callers(world: &World) -> Vec<Caller> {
    let admin = &world.admin;
    for (principal, role, tenant) in BOUND {
        admin.bind(principal, role, tenant).await;
    }
    let subject = |name| (name, principal(name));
    let (tess, tess_principal) = subject("tess");
    admin.bind(&tess_principal, "administrator", "acme").await;
    let claims = |audience: &str, lifetime: i64| {
        serde_json::json!({
            "iss": crate::signer::ISSUER,
            "aud": audience,
            "sub": tess,
            "exp": crate::signer::now() + lifetime,
        })
    };
    let expired = world.signer.token_of(&claims("credd", -1));
    let elsewhere = world.signer.token_of(&claims("another", LONG));
    let two_ids = Wanted::client([uri("spiffe://credd.test/a"), uri("spiffe://credd.test/b")]);
    vec![
        world.nobody("nobody"),
        world.with_certificate("nameless", two_ids).await,
        world.certificate("stranger", STRANGER).await,
        world.nobody("expired").bearing(&expired),
        world.nobody("elsewhere").bearing(&elsewhere),
        world.bearer("verifier", "verifier").await,
        world.bearer("auditor", "auditor").await,
        world.jwt("foreign", "gus"),
        world.jwt("owner", "jo"),
        world.bearer("bearer", "tina").await,
        world.jwt("jwt", tess),
        world.certificate("cert", TANYA).await,
        world.bearer("other", "olga").await,
        world.certificate("platform", PLATFORM).await,
        world
            .bearer("portal", "portal")
            .await
            .on_behalf_of(&principal("jo")),
    ]
}

const STRANGER: &str = "spiffe://credd.test/stranger";
const TANYA: &str = "spiffe://credd.test/tanya";
const PLATFORM: &str = "spiffe://credd.test/platform";

/// Who has which role on credd, and where.
const BOUND: [(&str, &str, &str); 7] = [
    ("credd:verifier", "verifier", "acme"),
    ("credd:auditor", "auditor", "acme"),
    ("credd:tina", "administrator", "acme"),
    (TANYA, "administrator", "acme"),
    ("credd:olga", "administrator", "globex"),
    (PLATFORM, "administrator", "*"),
    ("credd:portal", "portal", "acme"),
];

/// The principals that have something on `acme`.
pub(crate) fn bound_on_acme() -> Vec<(String, &'static str)> {
    let bound = BOUND.iter().filter(|(_, _, tenant)| *tenant == "acme");
    let bound = bound.map(|(principal, role, _)| ((*principal).to_owned(), *role));
    let tess = (principal("tess"), "administrator");
    bound.chain([tess]).collect()
}
