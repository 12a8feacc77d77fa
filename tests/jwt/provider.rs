//! oauth2-mock-server, the real one, as a process of its own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

/// A private key that Node has made.
pub(crate) struct NodeKey {
    pub(crate) id: String,
    /// The public key.
    pub(crate) pem: String,
    file: PathBuf,
}

/// Has Node make keys: a name and an algorithm each.
pub(crate) fn make_keys<const N: usize>(
    directory: &Path,
    wanted: [(&str, &str); N],
) -> [NodeKey; N] {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/jwt/keys.mjs");
    let arguments = wanted.iter().flat_map(|(id, algorithm)| [id, algorithm]);
    let output = Command::new("node").arg(script).args(arguments).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{output:?}");
    let keys: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    std::array::from_fn(|index| {
        let (id, made) = (wanted[index].0, &keys[index]);
        let file = directory.join(format!("{id}.json"));
        std::fs::write(&file, made["jwk"].to_string()).unwrap();
        NodeKey {
            id: id.to_owned(),
            pem: made["pem"].as_str().unwrap().to_owned(),
            file,
        }
    })
}

/// A running server. It is killed when this is dropped.
pub(crate) struct Provider {
    child: Child,
    /// What it calls itself.
    pub(crate) issuer: String,
    pub(crate) port: u16,
}

impl Provider {
    /// Starts the server with these keys and no others, on this port; on any, if
    /// it is 0.
    pub(crate) fn start(script: &Path, port: u16, keys: &[&NodeKey], more: &[&str]) -> Self {
        let mut command = Command::new("node");
        command.arg(script).args(["-a", "127.0.0.1"]);
        command.args(["-p", &port.to_string()]).args(more);
        for key in keys {
            command.arg("--jwk").arg(&key.file);
        }
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let issuer = lines
            .find_map(|line| {
                let line = line.unwrap();
                line.strip_prefix("OAuth 2 issuer is ").map(str::to_owned)
            })
            .expect("the server did not start");
        let (_, port) = issuer.rsplit_once(':').unwrap();
        Self {
            port: port.parse().unwrap(),
            child,
            issuer,
        }
    }

    pub(crate) fn jwks_url(&self) -> String {
        format!("{}/jwks", self.issuer)
    }

    /// What its token endpoint answers. It signs with each of its keys in turn.
    pub(crate) fn grant(&self, form: &str) -> Value {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let length = form.len();
        write!(
            stream,
            "POST /token HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
             content-type: application/x-www-form-urlencoded\r\ncontent-length: {length}\r\n\r\n{form}"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let _ = stream.shutdown(Shutdown::Both);
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        serde_json::from_str(body).unwrap()
    }

    /// An ID token for `johndoe` and the audience `credd`, signed with this key.
    pub(crate) fn id_token(&self, key: &NodeKey) -> String {
        // This grant signs an access token before, and the other one nothing else:
        // two and three keys by turns pass by, so that each has its own.
        for attempt in 0..100 {
            let granted = self.grant("grant_type=password&username=johndoe&client_id=credd");
            let token = granted["id_token"].as_str().unwrap().to_owned();
            if part(&token, 0)["kid"] == *key.id {
                return token;
            }
            if attempt % 2 == 1 {
                self.grant("grant_type=client_credentials");
            }
        }
        panic!("{} signs nothing", key.id);
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The header (0) or the claims (1) of a token.
pub(crate) fn part(token: &str, which: usize) -> Value {
    let part = token.split('.').nth(which).unwrap();
    let bytes = data_encoding::BASE64URL_NOPAD.decode(part.as_bytes());
    serde_json::from_slice(&bytes.unwrap()).unwrap()
}
