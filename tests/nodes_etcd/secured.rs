//! An etcd that asks who its clients are: by certificates and by a password.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use data_encoding::BASE64;
use rcgen::{ExtendedKeyUsagePurpose, SanType};

use crate::gateway::{post, post_as};
use crate::pki::{Authority, Wanted};
use crate::processes::Process;
use crate::support::program::wait_for;
use crate::support::{Client, channel, read_token, serving, token_request, tool, until};

/// A member, killed when this is dropped.
struct Member(Child);

impl Drop for Member {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Member {
    /// A cluster of one, at an address.
    fn start(etcd: &Path, data: &Path, clients: SocketAddr, scheme: &str, more: &[&str]) -> Self {
        let url = format!("{scheme}://{clients}");
        let child = Command::new(etcd)
            .arg("--data-dir")
            .arg(data)
            .args([
                "--listen-client-urls",
                &url,
                "--advertise-client-urls",
                &url,
            ])
            .args(["--listen-peer-urls", "http://127.0.0.1:0"])
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(child.unwrap())
    }
}

/// Makes a user of credd's keys, and has etcd ask for passwords.
fn ask_for_passwords(at: SocketAddr) {
    let keys = format!(
        r#"{{"name":"credd","perm":{{"permType":"READWRITE","key":"{}","range_end":"{}"}}}}"#,
        BASE64.encode(b"/credd/"),
        BASE64.encode(b"/credd0")
    );
    wait_for("etcd", || {
        post(at, "/v3/auth/role/add", r#"{"name":"root"}"#)
    });
    for (path, body) in [
        ("user/add", r#"{"name":"root","password":"the root"}"#),
        ("user/grant", r#"{"user":"root","role":"root"}"#),
        ("role/add", r#"{"name":"credd"}"#),
        ("role/grant", &keys),
        ("user/add", r#"{"name":"credd","password":"correct horse"}"#),
        ("user/grant", r#"{"user":"credd","role":"credd"}"#),
        ("enable", "{}"),
    ] {
        let answer = post(at, &format!("/v3/auth/{path}"), body).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_proves_itself_to_etcd_by_a_certificate_and_a_password() {
    let Some(etcd) = tool("CREDD_TEST_ETCD") else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let free = || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let (clients, data) = (free(), directory.path().join("etcd"));
    let member = Member::start(&etcd, &data, clients, "http", &[]);
    ask_for_passwords(clients);
    drop(member);

    let authority = Authority::new("the authority of etcd");
    let wanted = |purpose| Wanted {
        names: vec![SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST))],
        purpose,
        years: (2020, 2100),
        last_second: None,
    };
    let server = authority.issue(wanted(ExtendedKeyUsagePurpose::ServerAuth));
    let client = authority.issue(wanted(ExtendedKeyUsagePurpose::ClientAuth));
    for (name, text) in [
        ("ca", authority.pem()),
        ("server.crt", server.certificate),
        ("server.key", server.key),
        ("client.crt", client.certificate),
        ("client.key", client.key),
        ("password", "correct horse\n".to_owned()),
        ("wrong", "battery staple\n".to_owned()),
    ] {
        std::fs::write(path(name), text).unwrap();
    }
    let secured = [
        "--cert-file",
        &path("server.crt"),
        "--key-file",
        &path("server.key"),
        "--trusted-ca-file",
        &path("ca"),
        "--client-cert-auth",
    ];
    let _member = Member::start(&etcd, &data, clients, "https", &secured);
    let address = free();
    let endpoint = format!("https://{clients}");
    let arguments = |password: &str| {
        let arguments = [
            "serve",
            "--listen",
            &address.to_string(),
            "--data-dir",
            &path("node"),
            "--store-engine",
            "etcd",
            "--etcd-endpoints",
            &endpoint,
            "--etcd-ca-file",
            &path("ca"),
            "--etcd-certificate-file",
            &path("client.crt"),
            "--etcd-key-file",
            &path("client.key"),
            "--etcd-user",
            "credd",
            "--etcd-password-file",
            &path(password),
        ];
        arguments.map(ToOwned::to_owned)
    };
    let refused = Command::new(env!("CARGO_BIN_EXE_credd"))
        .args(arguments("wrong"))
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success());
    assert!(told.contains("invalid user ID or password"), "{told}");
    assert!(!told.contains("battery"), "{told}");

    let arguments = arguments("password");
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let _node = Process::start(&arguments);
    serving(address).await;
    let token = read_token(&directory.path().join("node"));
    let client = Client::over(channel(address).await, &token);
    let issued = client.issue(token_request("acme")).await.unwrap();
    let id = issued.credential.unwrap().id;
    assert_eq!(client.get(&id).await.unwrap().id, id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_outlives_a_change_of_its_password_and_of_what_it_may_do() {
    let Some(etcd) = tool("CREDD_TEST_ETCD") else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let free = || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let (clients, address) = (free(), free());
    let data = directory.path().join("etcd");
    let _member = Member::start(&etcd, &data, clients, "http", &[]);
    ask_for_passwords(clients);
    std::fs::write(path("password"), "correct horse").unwrap();
    let mut node = Process::start(&[
        "serve",
        "--listen",
        &address.to_string(),
        "--data-dir",
        &path("node"),
        "--store-engine",
        "etcd",
        "--etcd-endpoints",
        &format!("http://{clients}"),
        "--etcd-user",
        "credd",
        "--etcd-password-file",
        &path("password"),
        "--fence-lease-ms",
        "1000",
    ]);
    serving(address).await;
    let token = read_token(&directory.path().join("node"));
    let client = Client::over(channel(address).await, &token);
    let (_, held) = client.issue_token("acme").await;

    let root = post(
        clients,
        "/v3/auth/authenticate",
        r#"{"name":"root","password":"the root"}"#,
    );
    let root = root.unwrap();
    let root = root.split("\"token\":\"").nth(1).unwrap();
    let root = root.split('"').next().unwrap();
    let asked = |path: &str, body: &str| {
        let answer = post_as(root, clients, &format!("/v3/auth/{path}"), body).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
    };
    let steps = |step: usize| match step {
        0 => asked(
            "user/changepw",
            r#"{"name":"credd","password":"battery staple"}"#,
        ),
        1 => std::fs::write(path("password"), "battery staple").unwrap(),
        2 => asked("user/revoke", r#"{"name":"credd","role":"credd"}"#),
        _ => asked("user/grant", r#"{"user":"credd","role":"credd"}"#),
    };
    for (change, mend) in [(0, 1), (2, 3)] {
        steps(change);
        // It can't write for a lease, and says no more that anything is good.
        until("no yes", async || client.verify_token(&held).await.is_err()).await;
        assert!(node.is_running());
        steps(mend);
        until("a yes again", async || {
            client.verify_token(&held).await.is_ok()
        })
        .await;
        client.issue(token_request("acme")).await.unwrap();
    }
    assert!(node.is_running());
}
