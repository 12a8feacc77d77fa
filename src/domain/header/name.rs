//! Names in headers, compared in any case.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::value::{is_basic, is_token};
use crate::domain::names::InvalidText;

/// Orders texts that differ in case alone as the same.
pub(super) fn compare(a: &str, b: &str) -> Ordering {
    a.len().cmp(&b.len()).then_with(|| {
        let a = a.bytes().map(|b| b.to_ascii_lowercase());
        a.cmp(b.bytes().map(|b| b.to_ascii_lowercase()))
    })
}

/// A text that is the same in any case, and shown as it was given.
#[derive(Clone)]
struct AnyCase(Arc<str>);

impl PartialEq for AnyCase {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for AnyCase {}

impl PartialOrd for AnyCase {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for AnyCase {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(&self.0, &other.0)
    }
}

impl Hash for AnyCase {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for byte in self.0.bytes() {
            state.write_u8(byte.to_ascii_lowercase());
        }
        state.write_u8(0xff);
    }
}

macro_rules! any_case {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $(#[$doc])*
        ///
        /// Compared without regard to case, and shown as it was given.
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(AnyCase);

        impl $name {
            /// The name, if it follows the rule.
            ///
            /// # Errors
            ///
            /// [`InvalidText`], which says the rule.
            pub fn parse(text: &str) -> Result<Self, InvalidText> {
                let check: fn(&str) -> Result<(), InvalidText> = $check;
                check(text)?;
                Ok(Self::trusted(text.into()))
            }

            /// A name that followed the rule when it was stored.
            #[must_use]
            pub const fn trusted(text: Arc<str>) -> Self {
                Self(AnyCase(text))
            }

            /// The name, as it was given.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0.0
            }

            /// Whether a text is this name, in any case.
            #[must_use]
            pub fn matches(&self, text: &str) -> bool {
                self.as_str().eq_ignore_ascii_case(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self.as_str(), f)
            }
        }
    };
}

any_case! {
    /// The name of a header (RFC 9110 section 5.1) in which a credential stands.
    HeaderName, header_name
}

any_case! {
    /// The name of an authentication scheme (RFC 9110 section 11.1) that is
    /// followed by a token, and so isn't `Basic`.
    AuthScheme, auth_scheme
}

any_case! {
    /// The name of a parameter (RFC 9110 section 5.6.6).
    ParameterName, parameter_name
}

impl HeaderName {
    /// The headers that can't carry a credential from a client to a service,
    /// since what carries the request writes, rewrites, removes or acts on
    /// them, or since they come without the client's intent:
    ///
    /// - those about one connection, which every proxy removes (RFC 9110
    ///   section 7.6.1), with those that a proxy asks and is answered by
    ///   (section 11.7) and that of an upgrade to HTTP/2 (RFC 7540 section
    ///   3.2.1);
    /// - those that say where a message ends and what its content is (RFC 9110
    ///   sections 6.6.2, 8.3, 8.4, 8.6 and 14.4): another value changes how it
    ///   is read;
    /// - those that say where the request goes, how far, and by which way (RFC
    ///   9110 sections 7.2, 7.6.2, 7.6.3 and 10.1.1, RFC 7239);
    /// - `Cookie`: browsers send it unasked, with what others have set (RFC 6265
    ///   section 8.2), and HTTP/2 splits it (RFC 9113 section 8.2.3); and
    ///   `Set-Cookie`, which is for responses;
    /// - those that user agents and proxies write on every request of their own accord
    ///   (RFC 9110 sections 10.1 and 12.5, RFC 9218, W3C Trace Context and Baggage):
    ///   a request with one would have two credentials. So have names that begin with
    ///   one of [`HeaderName::REFUSED_PREFIXES`].
    pub const REFUSED: [&str; 38] = [
        "accept",
        "accept-charset",
        "accept-encoding",
        "accept-language",
        "baggage",
        "cache-control",
        "connection",
        "content-encoding",
        "content-length",
        "content-range",
        "content-type",
        "cookie",
        "date",
        "expect",
        "forwarded",
        "from",
        "host",
        "http2-settings",
        "keep-alive",
        "max-forwards",
        "origin",
        "pragma",
        "priority",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "referer",
        "set-cookie",
        "te",
        "traceparent",
        "tracestate",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
        "via",
        "x-real-ip",
        "x-request-id",
    ];

    /// How the names of headers begin that user agents (Fetch section 2.2.2) and proxies
    /// write, and of those in which a sidecar tells a service who calls.
    pub const REFUSED_PREFIXES: [&str; 5] = [
        "access-control-",
        "sec-",
        "x-credd-",
        "x-envoy-",
        "x-forwarded-",
    ];

    /// The name, if it follows the rule and a profile may be put that has its credentials
    /// there. Where one stands that was put when it could be, its holders present them
    /// there: [`HeaderName::parse`] reads it.
    ///
    /// # Errors
    ///
    /// [`InvalidText`], which says the rule.
    pub fn parse_put(text: &str) -> Result<Self, InvalidText> {
        let name = Self::parse(text)?;
        let is_refused = Self::REFUSED.iter().any(|refused| name.matches(refused))
            || Self::REFUSED_PREFIXES.iter().any(|prefix| {
                let begin = text.get(..prefix.len());
                begin.is_some_and(|begin| begin.eq_ignore_ascii_case(prefix))
            });
        if is_refused {
            return Err(InvalidText(
                "must be a header that can carry a credential: not a cookie, and none that user agents, proxies and servers write, or use to route, frame or describe a message",
            ));
        }
        Ok(name)
    }
}

fn header_name(text: &str) -> Result<(), InvalidText> {
    if !is_token(text) || text.len() > 64 {
        return Err(InvalidText(
            "must be 1 to 64 characters of a-z, A-Z, 0-9 and `! # $ % & ' * + - . ^ _ ` | ~`",
        ));
    }
    Ok(())
}

fn auth_scheme(text: &str) -> Result<(), InvalidText> {
    parameter_name(text)?;
    if is_basic(text) {
        return Err(InvalidText(
            "must be another scheme than `Basic`, which carries a username and a password",
        ));
    }
    Ok(())
}

fn parameter_name(text: &str) -> Result<(), InvalidText> {
    if is_token(text) && text.len() <= 32 {
        Ok(())
    } else {
        Err(InvalidText(
            "must be 1 to 32 characters of a-z, A-Z, 0-9 and `! # $ % & ' * + - . ^ _ ` | ~`",
        ))
    }
}
