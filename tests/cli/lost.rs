//! A connection that is lost once a request was sent: what came of it can be learned.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::interrupted::{ended, piped};
use crate::session::Session;
use crate::support::program::{Program, credd, serve_everything, wait_for};
use crate::support::{Client, read_token};
use crate::{Ran, World};

/// How an answer is lost.
#[derive(Clone, Copy, Debug)]
enum Cut {
    /// The connection is closed.
    End,
    /// The same, within a frame.
    Torn,
    /// It is reset.
    Reset,
}

/// A server whose answers are passed on but for the first, and lost once that is said.
async fn lossy(server: SocketAddr, cut: Cut) -> (String, oneshot::Sender<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (now, told) = oneshot::channel();
    tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut server = tokio::net::TcpStream::connect(server).await.unwrap();
        let mut settings = [0; 9];
        server.read_exact(&mut settings).await.unwrap();
        let mut rest = vec![0; usize::from(u16::from_be_bytes([settings[1], settings[2]]))];
        server.read_exact(&mut rest).await.unwrap();
        client.write_all(&settings).await.unwrap();
        client.write_all(&rest).await.unwrap();
        let (mut from, mut to) = client.split();
        let (mut back, mut there) = server.split();
        let mut nobody = tokio::io::sink();
        tokio::select! {
            _ = tokio::io::copy(&mut from, &mut there) => (),
            _ = tokio::io::copy(&mut back, &mut nobody) => (),
            _ = told => (),
        }
        match cut {
            Cut::End => (),
            Cut::Torn => to.write_all(&[0, 0, 99, 0, 0]).await.unwrap(),
            Cut::Reset => client.set_zero_linger().unwrap(),
        }
    });
    (address, now)
}

/// The id under which a request can be sent again, of one whose connection was lost.
fn id_of(lost: &Ran) -> String {
    assert_eq!(lost.code, 6, "{lost:?}");
    assert!(!lost.err.contains("is the server running"), "{lost:?}");
    let (_, id) = lost.err.split_once("--request-id ").expect(&lost.err);
    id.split('`').next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_whose_answer_was_cut_off_is_asked_for_again() {
    let world = World::start().await;
    for (number, cut) in [Cut::End, Cut::Torn, Cut::Reset].into_iter().enumerate() {
        let issue = [
            "issue", "--tenant", "acme", "--owner", "jo", "--label", "x", "--output", "secret",
        ];
        let (server, now) = lossy(world.server.address, cut).await;
        let child = piped(world.command(&[&issue[..], &["--server", &server]].concat()));
        wait_for("the credential", || {
            let list = ["list", "--tenant", "acme", "--output", "name"];
            (world.ok(&list).lines().count() == number + 1).then_some(())
        });
        now.send(()).unwrap();
        let id = id_of(&ended(child));
        let again = world.ok(&[&issue[..], &["--request-id", &id]].concat());
        assert_eq!(again.len(), 86, "{cut:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_whose_answer_was_cut_off_may_have_been_made() {
    let world = World::start().await;
    let (id, _) = world.issue("a");
    let (server, now) = lossy(world.server.address, Cut::End).await;
    let child = piped(world.command(&["lock", &id, "--server", &server]));
    wait_for("the lock", || {
        world.ok(&["get", &id]).contains("locked").then_some(())
    });
    now.send(()).unwrap();
    let lost = ended(child);
    assert_eq!(lost.code, 6, "{lost:?}");
    assert!(lost.err.contains("may have been made"), "{lost:?}");
    assert!(!lost.err.contains("is the server running"), "{lost:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_of_a_server_that_was_killed_is_asked_for_again() {
    let directory = tempfile::tempdir().unwrap();
    let serve = || Program::serve(serve_everything(&[], directory.path()));
    let command = |address: SocketAddr, arguments: &[&str]| {
        let mut command = credd(&[]);
        command
            .args(arguments)
            .env("CREDD_SERVER", format!("http://{address}"))
            .env("CREDD_TOKEN_FILE", directory.path().join("admin.token"));
        command
    };
    let (server, address) = serve();
    let admin = Client::connect(address, &read_token(directory.path())).await;
    let (id, _) = admin.issue_token("acme").await;
    let mut session = Session::start(&admin).await;
    session.renew().await;
    let rotate = ["rotate", &id, "--output", "secret"];
    // The fence waits for the session.
    let child = piped(command(address, &[&rotate[..], &["--fence"]].concat()));
    session.until_fenced().await;
    server.kill();
    let request = id_of(&ended(child));
    let (_server, address) = serve();
    let again = command(
        address,
        &[&rotate[..], &["--fence", "--request-id", &request]].concat(),
    );
    let again = ended(piped(again));
    assert_eq!((again.code, again.out.len()), (0, 86), "{again:?}");
}
