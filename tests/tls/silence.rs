//! Sockets that say nothing.

use std::time::Duration;

use credd::proto::v1::Verdict;
use credd::server::incoming::raise_descriptor_limit;
use credd::server::tls::TlsSettings;
use tokio::net::TcpStream;

use crate::support::program::{Program, serve};
use crate::support::{Client, read_token, soon};
use crate::tls::{Knocker, Pki, TlsServer, closed, is_silent};

const SILENT: usize = 1000;

/// Makes calls over this connection and over new ones.
async fn calls_are_answered(standing: &Client, knocker: &Knocker, server: &TlsServer) {
    let (_, token) = standing.issue_token("acme").await;
    for _ in 0..10 {
        let client = soon("a connection", server.admin(knocker)).await;
        for client in [standing, &client] {
            let verdict = soon("an answer", client.verdict(&token)).await;
            assert_eq!(verdict, Verdict::Active);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_sockets_that_begin_no_handshake_hold_up_nobody() {
    raise_descriptor_limit();
    let pki = Pki::new();
    let server = TlsServer::start(pki.settings()).await;
    let knocker = pki.client();
    let standing = server.admin(&knocker).await;
    let mut silent = Vec::new();
    for _ in 0..SILENT {
        silent.push(TcpStream::connect(server.address).await.unwrap());
    }
    calls_are_answered(&standing, &knocker, &server).await;
    // The server waits for them still.
    assert!(silent.iter().all(is_silent));
    drop(standing);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_begins_no_handshake_or_does_not_end_it_is_closed_in_time() {
    use tokio::io::AsyncWriteExt as _;

    let pki = Pki::new();
    let server = TlsServer::start(TlsSettings {
        handshake: Duration::from_millis(100),
        ..pki.settings()
    })
    .await;
    // The head of a record of a handshake, and some of it.
    for said in [&b""[..], b"\x16\x03\x01\x02\x00\x01"] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(said).await.unwrap();
        closed(stream).await;
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_that_say_nothing_after_the_handshake_hold_up_nobody_and_are_closed() {
    raise_descriptor_limit();
    let pki = Pki::new();
    let server = TlsServer::start(pki.settings()).await;
    let knocker = pki.client();
    let standing = server.admin(&knocker).await;
    let config = knocker.config();
    let mut silent = Vec::new();
    for _ in 0..SILENT {
        let stream = crate::tls::shake_hands(&config, server.address).await;
        silent.push(stream.unwrap());
    }
    calls_are_answered(&standing, &knocker, &server).await;
    for stream in silent {
        closed(stream).await;
    }
    calls_are_answered(&standing, &knocker, &server).await;
    drop(standing);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_takes_as_many_descriptors_as_it_may_have() {
    raise_descriptor_limit();
    let directory = tempfile::tempdir().unwrap();
    let with_few = ["sh", "-c", "ulimit -Sn 256; exec \"$@\"", "sh"];
    let (program, address) = Program::serve(serve(&with_few, directory.path()));
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", program.id())).unwrap();
    let limit = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let mut columns = limit.unwrap().split_whitespace().skip(3);
    assert_eq!(columns.next(), columns.next());

    let mut silent = Vec::new();
    for _ in 0..SILENT {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    let token = read_token(directory.path());
    let admin = Client::connect(address, &token).await;
    let (_, token) = admin.issue_token("acme").await;
    assert_eq!(admin.verdict(&token).await, Verdict::Active);
    program.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_who_stay_keep_nobody_out_and_nobody_gives_way_who_was_let_in() {
    const MOST: usize = 8;

    let pki = Pki::new();
    let settings = TlsSettings {
        require_client_certificate: false,
        ..pki.settings()
    };
    let server = TlsServer::start_with(settings, |mut config| {
        config.limits.max_connections = MOST;
        config
    })
    .await;
    let knocker = pki.knocker(None);
    let standing = server.admin(&knocker).await;
    standing.issue_token("acme").await;
    // They speak HTTP/2, or begin no handshake.
    let (mut strangers, mut silent) = (Vec::new(), Vec::new());
    for _ in 0..MOST {
        strangers.push(
            soon("a stranger", knocker.connect(server.address))
                .await
                .unwrap(),
        );
        silent.push(TcpStream::connect(server.address).await.unwrap());
    }
    for _ in 0..2 {
        calls_are_answered(&standing, &knocker, &server).await;
    }
    drop((standing, strangers, silent));
    server.stop().await;
}
