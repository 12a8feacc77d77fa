//! What to do about one who is connected to, or was, and does not speak as a server does.

use std::error::Error as StdError;
use std::io;

use tokio_rustls::rustls::{AlertDescription, CertificateError, Error, InvalidMessage};
use tonic::Status;

use crate::client::Address;
use crate::client::first::{SPEAKS_TLS, UNANSWERED, is_end};

/// How a client's certificate is named.
const IDENTITY: &str = "name the client's certificate with --certificate-file and --key-file";

/// What to look at where the server may not take the client's.
const NOT_TAKEN: &str =
    "does the server trust the client's certificate of --certificate-file, and is it still valid?";

/// The causes of a failure, the outermost first.
fn causes(status: &Status) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    std::iter::successors(status.source(), |&error| error.source())
}

/// Whether no connection was made.
pub(super) fn is_unconnected(status: &Status) -> bool {
    causes(status).any(<dyn StdError>::is::<tonic::ConnectError>)
}

/// What it is, in few words: the last of the causes.
pub(super) fn cause(status: &Status) -> String {
    let last = causes(status).last();
    last.map_or_else(|| status.message().to_owned(), ToString::to_string)
}

/// What to do where nothing can have been asked, since the two ends do not understand or do
/// not trust each other; `None`: that is not it.
pub(super) fn not_understood(
    status: &Status,
    cause: &str,
    server: &Address,
    has_certificate: bool,
) -> Option<String> {
    for error in causes(status) {
        let inner = error.downcast_ref().and_then(io::Error::get_ref);
        if let Some(error) = inner.and_then(|inner| inner.downcast_ref::<Error>()) {
            return of_tls(error, server, has_certificate);
        }
    }
    // After the handshake of TLS 1.3, where the type of the error is lost.
    let alerts = [
        AlertDescription::CertificateRequired,
        AlertDescription::BadCertificate,
        AlertDescription::CertificateExpired,
        AlertDescription::CertificateRevoked,
        AlertDescription::CertificateUnknown,
        AlertDescription::UnsupportedCertificate,
        AlertDescription::UnknownCA,
        AlertDescription::AccessDenied,
    ];
    let alert = alerts.map(Error::AlertReceived);
    if let Some(alert) = alert.iter().find(|alert| cause == alert.to_string()) {
        return of_tls(alert, server, has_certificate);
    }
    match server {
        Address::Tcp { tls: false, .. } if cause == SPEAKS_TLS => {
            Some(format!("name it with --server {}", other(server)?))
        }
        Address::Tcp { tls: true, .. } if is_unconnected(status) && is_ended(status) => {
            let plain = other(server)?;
            let mut hint = format!("if it does not speak TLS there, name it with --server {plain}");
            if !has_certificate {
                hint = format!("{hint}; if it asks for a client's certificate, {IDENTITY}");
            }
            Some(hint)
        }
        _ => None,
    }
}

/// What it may be where nothing at all was answered on a connection.
pub(super) fn unanswered(cause: &str, server: &Address, has_certificate: bool) -> Option<String> {
    if cause != UNANSWERED {
        return None;
    }
    match server {
        Address::Tcp { tls: true, .. } if has_certificate => Some(NOT_TAKEN.to_owned()),
        Address::Tcp { tls: true, .. } => Some(format!(
            "if the server asks for a client's certificate, {IDENTITY}"
        )),
        Address::Tcp { tls: false, .. } => {
            let secure = other(server)?;
            let hint = format!("if the server speaks TLS, name it with --server {secure}");
            Some(hint)
        }
        _ => None,
    }
}

/// Whether the other end ended it.
fn is_ended(status: &Status) -> bool {
    let mut errors = causes(status).filter_map(|error| error.downcast_ref::<io::Error>());
    errors.any(is_end)
}

/// The address with the other scheme.
fn other(server: &Address) -> Option<Address> {
    match server {
        Address::Unix(_) => None,
        Address::Tcp { host, port, tls } => Some(Address::Tcp {
            host: host.clone(),
            port: *port,
            tls: !tls,
        }),
    }
}

fn of_tls(error: &Error, server: &Address, has_certificate: bool) -> Option<String> {
    match error {
        Error::InvalidCertificate(error) => Some(of_certificate(error)),
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => Some(format!(
            "it does not speak TLS there: name it with --server {}",
            other(server)?
        )),
        Error::AlertReceived(_) if has_certificate => Some(NOT_TAKEN.to_owned()),
        Error::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::HandshakeFailure,
        ) => Some(format!(
            "the server asks for a client's certificate: {IDENTITY}"
        )),
        _ => None,
    }
}

fn of_certificate(error: &CertificateError) -> String {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the server needs a new certificate, or the clock of this machine is fast".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the server's certificate is for later, or the clock of this machine is slow".to_owned()
        }
        CertificateError::NotValidForNameContext { presented, .. } => {
            let names: Vec<_> = presented.iter().filter_map(|it| host(it)).collect();
            if names.is_empty() {
                "the server's certificate names no host: it needs another".to_owned()
            } else {
                format!(
                    "name the server as its certificate does, with --server https://HOST:PORT: {}",
                    names.join(", ")
                )
            }
        }
        CertificateError::NotValidForName => {
            "name the server as its certificate does, with --server https://HOST:PORT".to_owned()
        }
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "name the authority that signed the server's certificate with --ca-file".to_owned()
        }
        _ => "the server needs another certificate".to_owned(),
    }
}

/// The host in a name of a certificate, which is told as `DnsName("…")` or `IpAddress(…)`.
fn host(name: &str) -> Option<&str> {
    let (kind, rest) = name.split_once('(')?;
    let is_host = matches!(kind, "DnsName" | "IpAddress");
    let inner = rest.strip_suffix(')')?.trim_matches('"');
    is_host.then_some(inner)
}
