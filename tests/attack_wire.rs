//! Attacks by what is on the wire: random messages to every RPC of the real program at
//! trace level; it neither dies nor logs a secret.
#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub, dead_code, missing_docs, clippy::pedantic)]
#[path = "support/calls.rs"]
mod calls;
mod support;

use std::time::{Duration, Instant};

use bytes::{BufMut as _, Bytes, BytesMut};
use calls::*;
use credd::proto::v1;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use support::program::{Program, serve_everything};
use support::*;

fn varint(out: &mut BytesMut, mut n: u64) {
    while n >= 0x80 { out.put_u8(n as u8 | 0x80); n >>= 7; }
    out.put_u8(n as u8);
}

const TEXTS: [&str; 34] = ["acme", "credd", "jo", "api-token", "*", "", "\u{0}", "credd:admin", "jwt:https://x#y", "spiffe://a/b", "dns:a.b", "administrator", "verifier",
    "feeds:read", "credd.*", "zzzz", "P1Y", "P999999999Y", "P-1D", "PT1S", "9999-12-31", "2024-02-30", "Europe/Berlin", "Etc/GMT+25", "de-CH-1996", "x-y", "label", "expiry", "Authorization", "X-API-KEY", "Basic Og==", "ä", "😀", "00000000-0000-4000-8000-000000000000"];

fn message(r: &mut StdRng, depth: usize, ids: &[String]) -> Bytes {
    let mut out = BytesMut::new();
    for _ in 0..r.random_range(0..9) {
        let tag = r.random_range(1..18u64);
        match r.random_range(0..10) {
            0..3 => {
                varint(&mut out, tag << 3);
                let n = match r.random_range(0..8) { 0 => u64::MAX, 1 => i64::MAX as u64, 2 => i64::MIN as u64, 3 => 253_402_300_799, 4 => 315_576_000_000, 5 => r.random(), 6 => 1_000_000_000, _ => r.random_range(0..5) };
                varint(&mut out, n);
            }
            3..7 => {
                varint(&mut out, tag << 3 | 2);
                let text = match r.random_range(0..6) { 0 => ids[r.random_range(0..ids.len())].clone(), 1 => "x".repeat(r.random_range(0..3000)), _ => TEXTS[r.random_range(0..TEXTS.len())].to_owned() };
                varint(&mut out, text.len() as u64);
                out.put_slice(text.as_bytes());
            }
            _ if depth > 0 => {
                let inner = message(r, depth - 1, ids);
                varint(&mut out, tag << 3 | 2);
                varint(&mut out, inner.len() as u64);
                out.put_slice(&inner);
            }
            _ => { varint(&mut out, tag << 3 | 1); out.put_u64(r.random()); }
        }
    }
    out.freeze()
}

#[tokio::test(flavor = "multi_thread")]
async fn random_messages_kill_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = serve_everything(&[], directory.path());
    command.args(["--log", "trace"]);
    let (program, address) = Program::serve(command);
    let token = read_token(directory.path());
    let admin = Client::connect(address, &token).await;
    put_owner(&admin, jo()).await;
    let (id, secret) = admin.issue_token("acme").await;
    assert_eq!(admin.verdict(&secret).await, v1::Verdict::Active);
    let reported = reported(&admin, &[secret.clone()]).await;
    let basic = issue(&admin, "acme", "jo", "basic").await;
    let pair = issue(&admin, "acme", "jo", "key-pair").await;
    let again = rotated(&admin, &basic.id, 0).await;
    let import_secret = "Zm9vYmFyYmF6cXV1eHF1dXV4Zm9vYmFyYmF6";
    let imported_one = import(&admin, "acme", imported("api-token", "", import_secret)).await;
    eprintln!("{reported:?} {:?}", imported_one.is_ok());
    let bad_jwt = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJodHRwczovL3gifQ.c2lnbmF0dXJlLXRoYXQtaXMtc2VjcmV0";
    let nobody = Client::connect(address, bad_jwt).await;
    let _ = nobody.list(v1::ListRequest::default()).await;
    let nobody = Client::connect(address, "plainly-not-a-token-but-a-secret").await;
    let _ = nobody.list(v1::ListRequest::default()).await;
    let secrets = [token.clone(), secret, basic.secret(), pair.secret(), again.secret(), import_secret.to_owned(), bad_jwt.to_owned(), "plainly-not-a-token-but-a-secret".to_owned()];
    let ids = vec![id, basic.id.clone(), pair.id.clone()];
    let ch = channel(address).await;
    let begin = Instant::now();
    let mut set = tokio::task::JoinSet::new();
    for part in 0..8u64 {
        let (ch, token, ids) = (ch.clone(), token.clone(), ids.clone());
        set.spawn(async move {
            let mut r = StdRng::seed_from_u64(part + std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs());
            let rpcs = raw::rpcs();
            let mut n = 0;
            while begin.elapsed() < Duration::from_secs(60) {
                let rpc = &rpcs[r.random_range(0..rpcs.len())];
                // Not the credential that this works with.
                let m = message(&mut r, 3, &ids);
                let mut request = tonic::Request::new(m);
                request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
                let _ = tokio::time::timeout(Duration::from_millis(300), raw::call(ch.clone(), rpc, request)).await;
                n += 1;
            }
            n
        });
    }
    let calls: usize = set.join_all().await.into_iter().sum();
    let lives = std::path::Path::new(&format!("/proc/{}/status", program.id())).exists();
    let output = program.output();
    eprintln!("{calls} calls, {} MiB of log", output.len() >> 20);
    for line in output.lines().filter(|l| l.contains("panic")).take(5) { eprintln!("{line}"); }
    for secret in &secrets {
        let found = output.lines().filter(|l| l.contains(secret.as_str())).take(3).collect::<Vec<_>>();
        for l in &found { eprintln!("LEAK {}", &l[..l.len().min(400)]); }
        assert!(found.is_empty(), "a secret in the log");
    }
    let still = admin.list(v1::ListRequest::default()).await;
    eprintln!("still {:?}", still.as_ref().map(|_| ()).map_err(|s| s.code()));
    assert!(lives && !output.contains("\"panic\""), "it died");
}
