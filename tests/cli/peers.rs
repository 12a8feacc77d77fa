//! Who is connected to and is not trusted, or does not speak as a server does: what to do
//! about it is said.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::thread;

use crate::pki::{Authority, Pair, Wanted, dns, uri};
use crate::support::program::{Program, credd, serve_everything};
use crate::{Ran, fed, ran};

/// A server in TLS on this machine, and its port.
struct Secure {
    _server: Program,
    directory: tempfile::TempDir,
    port: u16,
}

impl Secure {
    fn start(authority: &Authority, pair: &Pair, flags: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut serve = serve_everything(&[], directory.path());
        for (flag, name, text) in [
            ("--tls-certificate", "tls.crt", pair.certificate.as_str()),
            ("--tls-key", "tls.key", &pair.key),
            ("--tls-client-ca", "ca.crt", &authority.pem()),
        ] {
            let path = directory.path().join(name);
            fs::write(&path, text).unwrap();
            serve.arg(flag).arg(path);
        }
        serve.args(flags);
        let (server, address) = Program::serve(serve);
        Self {
            _server: server,
            directory,
            port: address.port(),
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Lists, from this server, trusting this authority.
    fn list(&self, server: &str, ca: &Path, flags: &[&str]) -> Ran {
        let mut command = credd(&[]);
        command
            .args(["list", "--server", server])
            .args(flags)
            .env("CREDD_CA_FILE", ca)
            .env("CREDD_TOKEN_FILE", self.file("admin.token"));
        ran(command)
    }
}

fn localhost() -> Wanted {
    Wanted {
        names: vec![dns("localhost")],
        ..Wanted::server()
    }
}

/// That a command could not reach its server, and was told this.
fn told(ran: &Ran, hint: &str) {
    assert_eq!(ran.code, 6, "{ran:?}");
    assert!(ran.err.contains(hint), "{hint}: {ran:?}");
    assert!(!ran.err.contains("is the server running"), "{ran:?}");
}

#[test]
fn a_certificate_that_is_not_trusted_says_what_to_do() {
    let authority = Authority::new("credd's");
    for (names, hint) in [
        (vec![dns("credd.test")], "HOST:PORT: credd.test"),
        (vec![uri("spiffe://example/credd")], "names no host"),
    ] {
        let wanted = Wanted {
            names,
            ..Wanted::server()
        };
        let secure = Secure::start(&authority, &authority.issue(wanted), &[]);
        let server = format!("https://localhost:{}", secure.port);
        let ran = secure.list(&server, &secure.file("ca.crt"), &[]);
        told(&ran, hint);
        assert!(!ran.err.contains("--ca-file"), "{ran:?}");
    }
    let pair = authority.issue(localhost());
    let secure = Secure::start(&authority, &pair, &[]);
    let server = format!("https://localhost:{}", secure.port);
    let other = secure.file("other.crt");
    fs::write(&other, Authority::new("another's").pem()).unwrap();
    told(&secure.list(&server, &other, &[]), "with --ca-file");
    assert_eq!(secure.list(&server, &secure.file("ca.crt"), &[]).code, 0);
}

#[test]
fn an_authority_may_come_out_of_a_pipe() {
    let authority = Authority::new("credd's");
    let pair = authority.issue(localhost());
    let secure = Secure::start(&authority, &pair, &[]);
    let mut list = credd(&[]);
    list.args(["list", "--server"])
        .arg(format!("https://localhost:{}", secure.port))
        .args(["--ca-file", "/dev/stdin", "--token-file"])
        .arg(secure.file("admin.token"));
    let ran = fed(list, &authority.pem());
    assert_eq!(ran.code, 0, "{ran:?}");
}

#[test]
fn a_missing_certificate_of_the_client_and_a_wrong_scheme_are_told() {
    let authority = Authority::new("credd's");
    let pair = authority.issue(localhost());
    let secure = Secure::start(&authority, &pair, &["--tls-require-client-certificate"]);
    let ca = secure.file("ca.crt");
    let server = format!("https://localhost:{}", secure.port);
    told(
        &secure.list(&server, &ca, &[]),
        "--certificate-file and --key-file",
    );
    let stranger = Authority::new("another's").client("spiffe://example/jo");
    for (name, text) in [("jo.crt", &stranger.certificate), ("jo.key", &stranger.key)] {
        fs::write(secure.file(name), text).unwrap();
    }
    let (certificate, key) = (secure.file("jo.crt"), secure.file("jo.key"));
    let flags = [
        "--certificate-file",
        certificate.to_str().unwrap(),
        "--key-file",
        key.to_str().unwrap(),
    ];
    told(
        &secure.list(&server, &ca, &flags),
        "does the server trust the client's certificate",
    );
    let plain = format!("http://localhost:{}", secure.port);
    told(
        &secure.list(&plain, &ca, &[]),
        &format!("--server {server}"),
    );

    let directory = tempfile::tempdir().unwrap();
    let (_server, address) = Program::serve(serve_everything(&[], directory.path()));
    let port = address.port();
    let right = format!("--server http://127.0.0.1:{port}");
    told(
        &secure.list(&format!("https://127.0.0.1:{port}"), &ca, &[]),
        &right,
    );
}

#[test]
fn who_ends_the_connection_unheard_may_want_a_certificate_or_the_other_scheme() {
    let authority = Authority::new("credd's");
    let pair = authority.issue(localhost());
    let secure = Secure::start(&authority, &pair, &[]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || listener.incoming().for_each(drop));
    let ca = secure.file("ca.crt");
    let ended = secure.list(&format!("https://127.0.0.1:{port}"), &ca, &[]);
    told(&ended, &format!("--server http://127.0.0.1:{port}"));
    told(&ended, "--certificate-file");
    let ended = secure.list(&format!("http://127.0.0.1:{port}"), &ca, &[]);
    told(&ended, &format!("--server https://127.0.0.1:{port}"));
}
