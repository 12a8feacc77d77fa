//! Where an authority is.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// Where an authority, or a sidecar that relays one, is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// Over TCP: `https://HOST:PORT`, or in plaintext `http://HOST:PORT`.
    Tcp {
        /// A name or an IP address, without brackets.
        host: String,
        /// The port.
        port: u16,
        /// Whether it is spoken to in TLS.
        tls: bool,
    },
    /// At a Unix socket: `unix:PATH`.
    Unix(PathBuf),
}

/// A text that is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be `https://HOST:PORT`, `http://HOST:PORT` or `unix:/PATH`")]
pub struct NotAnAddress;

/// The port where none is given: that of `credd serve`.
const PORT: u16 = 7420;

impl Address {
    /// Whether whoever sees the traffic sees secrets, on a way that may leave this
    /// machine.
    #[must_use]
    pub fn is_exposed(&self) -> bool {
        match self {
            Self::Tcp {
                host, tls: false, ..
            } => {
                let address = host.parse::<IpAddr>();
                !address.map_or(host.eq_ignore_ascii_case("localhost"), |address| {
                    address.is_loopback()
                })
            }
            Self::Tcp { tls: true, .. } | Self::Unix(_) => false,
        }
    }
}

impl FromStr for Address {
    type Err = NotAnAddress;

    fn from_str(text: &str) -> Result<Self, NotAnAddress> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            let is_path = path.starts_with('/') && !path.contains('\0');
            return is_path.then(|| Self::Unix(path.into())).ok_or(NotAnAddress);
        }
        let uri: http::Uri = text.parse().map_err(|_| NotAnAddress)?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(NotAnAddress),
        };
        let authority = uri.authority().ok_or(NotAnAddress)?;
        let has_more = uri.path_and_query().is_some_and(|rest| rest != "/");
        if authority.as_str().contains('@') || has_more {
            return Err(NotAnAddress);
        }
        // What the parser does not take for a port it passes over.
        let host = authority.host();
        let port = match authority.as_str().strip_prefix(host) {
            Some("") => PORT,
            Some(_) => authority.port_u16().ok_or(NotAnAddress)?,
            None => return Err(NotAnAddress),
        };
        // An IPv6 address stands in brackets in a URI (RFC 3986 section 3.2.2).
        let inner = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
        let host = inner.unwrap_or(host).to_owned();
        if host.is_empty() {
            return Err(NotAnAddress);
        }
        Ok(Self::Tcp { host, port, tls })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp { host, port, tls } => {
                let scheme = if *tls { "https" } else { "http" };
                if host.contains(':') {
                    write!(f, "{scheme}://[{host}]:{port}")
                } else {
                    write!(f, "{scheme}://{host}:{port}")
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_shown_again() {
        for (text, shown, is_exposed) in [
            ("https://credd.example:7420", None, false),
            (
                "https://credd.example",
                Some("https://credd.example:7420"),
                false,
            ),
            ("http://127.0.0.1:1", None, false),
            ("http://localhost:1", None, false),
            ("http://LOCALHOST:1", None, false),
            ("http://[::1]:1", None, false),
            ("http://credd/", Some("http://credd:7420"), true),
            ("http://10.0.0.1:1", None, true),
            ("unix:/run/credd.sock", None, false),
            (
                "unix:///run/credd.sock",
                Some("unix:/run/credd.sock"),
                false,
            ),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), shown.unwrap_or(text));
            assert_eq!(address.is_exposed(), is_exposed, "{text}");
            assert_eq!(address.to_string().parse(), Ok(address));
        }
        for text in [
            "",
            "credd",
            "credd:7420",
            "ftp://credd",
            "https://",
            "https://u@credd",
            "https://credd/x",
            "https://credd?x",
            "https://credd:65536",
            "http://127.0.0.1:7420x",
            "http://[::1]:-1",
            "https://credd:",
            "unix:",
            "unix:run",
        ] {
            assert_eq!(text.parse::<Address>(), Err(NotAnAddress), "{text}");
        }
    }
}
