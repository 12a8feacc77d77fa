//! Whom a certificate names.

use tokio_rustls::rustls::pki_types::DnsName;

/// The most bytes of a SPIFFE ID, and of its trust domain (the SPIFFE ID
/// standard, section 2.3).
const MAX_SPIFFE_ID: usize = 2048;
const MAX_TRUST_DOMAIN: usize = 255;

/// The principal that these names of one certificate (its subject alternative
/// names) stand for:
///
/// - its SPIFFE ID as it is, if that is its one URI (an X.509-SVID has exactly
///   one: the X.509-SVID standard, section 2);
/// - otherwise `dns:` and its first DNS name, in lower case.
///
/// `None` if it has neither, several URIs, or if the name is malformed or a
/// wildcard.
pub(super) fn principal<'a>(
    mut uris: impl Iterator<Item = &'a str>,
    mut dns_names: impl Iterator<Item = &'a str>,
) -> Option<String> {
    match (uris.next(), uris.next()) {
        (Some(_), Some(_)) => None,
        (Some(uri), None) if claims_spiffe(uri) => is_spiffe_id(uri).then(|| uri.to_owned()),
        _ => {
            let name = dns_names.next()?;
            is_host(name).then(|| format!("dns:{}", name.to_ascii_lowercase()))
        }
    }
}

/// The scheme of a URI is in any case (RFC 3986 section 3.1), that of a SPIFFE ID
/// in lower case: one in another is malformed, not something else.
fn claims_spiffe(uri: &str) -> bool {
    uri.split_once(':')
        .is_some_and(|(scheme, _)| scheme.eq_ignore_ascii_case("spiffe"))
}

/// Whether this is the SPIFFE ID of a workload (the SPIFFE ID standard, section
/// 2, and the X.509-SVID standard, section 4.1): with a path, and without
/// anything that could be written in two ways.
fn is_spiffe_id(uri: &str) -> bool {
    let Some(id) = uri.strip_prefix("spiffe://") else {
        return false;
    };
    let Some((trust_domain, path)) = id.split_once('/') else {
        return false;
    };
    let in_domain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_');
    let in_path = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    let is_segment =
        |segment: &str| !matches!(segment, "" | "." | "..") && segment.bytes().all(in_path);
    uri.len() <= MAX_SPIFFE_ID
        && (1..=MAX_TRUST_DOMAIN).contains(&trust_domain.len())
        && trust_domain.bytes().all(in_domain)
        && path.split('/').all(is_segment)
}

/// Whether this is the name of one host: no wildcard, no dot at its end.
fn is_host(name: &str) -> bool {
    !name.ends_with('.') && DnsName::try_from(name).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(uris: &[&str], dns_names: &[&str]) -> Option<String> {
        principal(uris.iter().copied(), dns_names.iter().copied())
    }

    #[test]
    fn one_spiffe_id_is_the_principal_as_it_is_whatever_the_dns_names() {
        let id = "spiffe://prod.example/ns/Billing/sa/api_1";
        assert_eq!(of(&[id], &[]).as_deref(), Some(id));
        assert_eq!(of(&[id], &["api.example"]).as_deref(), Some(id));
    }

    #[test]
    fn several_uris_name_nobody() {
        let id = "spiffe://prod.example/api";
        for other in [id, "spiffe://prod.example/web", "https://example"] {
            assert_eq!(of(&[id, other], &["api.example"]), None, "{other}");
            assert_eq!(of(&[other, id], &["api.example"]), None, "{other}");
        }
        assert_eq!(of(&["https://a", "https://b"], &["api.example"]), None);
    }

    #[test]
    fn a_malformed_spiffe_id_names_nobody_not_even_by_dns() {
        let long = format!("spiffe://prod.example/{}", "x".repeat(MAX_SPIFFE_ID));
        let long_domain = format!("spiffe://{}/x", "x".repeat(MAX_TRUST_DOMAIN + 1));
        for id in [
            "spiffe:",
            "spiffe:prod.example/api",
            "spiffe://",
            "spiffe:///api",
            "spiffe://prod.example",
            "spiffe://prod.example/",
            "spiffe://prod.example/api/",
            "spiffe://prod.example//api",
            "spiffe://prod.example/./api",
            "spiffe://prod.example/../api",
            "spiffe://prod.example/api?x",
            "spiffe://prod.example/api#x",
            "spiffe://prod.example/%61pi",
            "spiffe://prod.example/a pi",
            "spiffe://prod.example:1/api",
            "spiffe://me@prod.example/api",
            "spiffe://Prod.example/api",
            "SPIFFE://prod.example/api",
            &long,
            &long_domain,
        ] {
            assert_eq!(of(&[id], &["api.example"]), None, "{id}");
        }
    }

    #[test]
    fn without_a_spiffe_id_the_first_dns_name_is_the_principal() {
        let of_api = Some("dns:api.example");
        assert_eq!(of(&[], &["api.example"]).as_deref(), of_api);
        assert_eq!(of(&[], &["API.Example", "other"]).as_deref(), of_api);
        let uri = ["https://api.example"];
        assert_eq!(of(&uri, &["api.example"]).as_deref(), of_api);
    }

    #[test]
    fn a_wildcard_a_malformed_name_and_none_name_nobody() {
        for name in [
            "",
            "*.example",
            "*",
            "api..example",
            ".example",
            "api.example.",
            "api example",
            "-api.example",
            "10.0.0.1",
            "api:x",
            "api/x",
        ] {
            assert_eq!(of(&[], &[name, "api.example"]), None, "{name}");
        }
        assert_eq!(of(&[], &[]), None);
        assert_eq!(of(&["https://example"], &[]), None);
    }
}
