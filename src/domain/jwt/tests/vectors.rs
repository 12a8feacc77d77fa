//! Signatures that others made: the examples of the standards.

use serde_json::json;

use super::super::{Algorithm, Key};
use super::signer::decode;

/// The claims of RFC 7515 appendices A.2 and A.3.
const CLAIMS: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

fn verifies(jwk: &serde_json::Value, algorithm: Algorithm, signed: &str, signature: &str) -> bool {
    let key = Key::parse(jwk).unwrap();
    key.verifies(algorithm, signed.as_bytes(), &decode(signature))
}

#[test]
fn the_examples_of_rfc_7515_are_verified() {
    let jwk = super::signer::Signer::new(Algorithm::Rs256, "A.2").jwk();
    let signature = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
    let signed = format!("eyJhbGciOiJSUzI1NiJ9.{CLAIMS}");
    assert!(verifies(&jwk, Algorithm::Rs256, &signed, signature));
    assert!(!verifies(&jwk, Algorithm::Ps256, &signed, signature));
    assert!(!verifies(&jwk, Algorithm::Rs384, &signed, signature));

    let jwk = json!({
        "kty": "EC",
        "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    });
    let signature =
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    let signed = format!("eyJhbGciOiJFUzI1NiJ9.{CLAIMS}");
    assert!(verifies(&jwk, Algorithm::Es256, &signed, signature));
    assert!(!verifies(&jwk, Algorithm::Es256, &signed[1..], signature));
}

#[test]
fn the_example_of_rfc_8037_is_verified() {
    let jwk = json!({
        "kty": "OKP",
        "crv": "Ed25519",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
    });
    let signed = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    let signature =
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    assert!(verifies(&jwk, Algorithm::EdDsa, signed, signature));
    assert!(!verifies(&jwk, Algorithm::EdDsa, &signed[1..], signature));
}
