//! A product of one's own, with grpcurl alone.

use serde_json::json;

use crate::client::Grpcurl;
use crate::support::program::{Program, serve};
use crate::support::tool;

#[test]
fn a_profile_put_by_grpcurl_issues_and_verifies_with_a_header_of_its_own() {
    let Some(grpcurl) = tool("CREDD_TEST_GRPCURL") else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let (server, address) = Program::serve(serve(&[], directory.path()));
    let admin = Grpcurl::admin(&grpcurl, address, directory.path());
    let mut watch = admin.watch(&json!({ "tenants": ["acme"] }));
    assert!(watch.next()["bookmark"].is_object());

    let profile = json!({
        "tenant": "acme",
        "name": "partner-key",
        "display_name": "Partner key",
        "kind": "CREDENTIAL_KIND_KEY_PAIR",
        "headers": [{
            "name": "X-Partner",
            "pair": { "public_parameter": "id", "secret_parameter": "key" },
        }],
        "visibility": "SECRET_VISIBILITY_ONCE",
        "expiry": { "default_period": "P90D", "max_period": "P1Y" },
        "multiplicity": "MULTIPLICITY_ONE_REPLACE",
        "default_label": "Partner key",
    });
    let put = admin.good(
        "DirectoryService/PutProfile",
        &json!({ "profile": profile }),
    );
    assert_eq!(put["profile"]["version"], 1);
    let told = watch.next_commit();
    let event = &told["commit"]["events"][0]["profile"];
    assert_eq!(event["profile"]["headers"], put["profile"]["headers"]);

    let issue = json!({ "tenant": "acme", "owner": "northwind", "profile": "partner-key" });
    let issued = admin.good("CredentialService/Issue", &issue);
    let header = issued["secret"]["headers"][0].clone();
    assert_eq!(header["name"], "X-Partner");
    assert_eq!(issued["credential"]["profileDisplayName"], "Partner key");
    assert_eq!(issued["credential"]["daysLeft"], 90 - 1);
    let verdict = |name: &str, value: &str| {
        let request = json!({
            "presented": { "header": { "name": name, "text": value } },
            "tenant": "acme",
        });
        admin.good("VerificationService/Verify", &request)["verdict"].clone()
    };
    let value = header["value"].as_str().unwrap();
    assert_eq!(verdict("x-partner", value), "VERDICT_ACTIVE");
    assert_eq!(verdict("X-ApiKeys", value), "VERDICT_INVALID");
    assert_eq!(
        verdict("X-Partner", &format!("{value}, {value}")),
        "VERDICT_INVALID"
    );

    // Another replaces it, of which a dry run warns.
    let mut warning = issue.clone();
    warning["dry_run"] = json!(true);
    let warned = admin.good("CredentialService/Issue", &warning);
    assert!(warned["secret"].is_null());
    assert_eq!(warned["replaced"][0]["id"], issued["credential"]["id"]);
    assert_eq!(verdict("X-Partner", value), "VERDICT_ACTIVE");
    admin.good("CredentialService/Issue", &issue);
    assert_eq!(verdict("X-Partner", value), "VERDICT_REVOKED");
    assert!(server.terminate().status.success());
}
