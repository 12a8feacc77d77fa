//! An interrupt ends every command at once, with 130, and leaves nothing half done unsaid.

use std::fs;
use std::io::Read as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;

use serde_json::json;

use crate::screen::Terminal;
use crate::support::program::{signal, wait_for};
use crate::{Ran, World};

/// One that takes connections, and says nothing.
fn silent() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    (listener, address)
}

/// A server behind one who passes on so many bytes of each connection to it.
fn slow(server: SocketAddr, most: u64) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for client in listener.incoming() {
            let client = client.unwrap();
            let behind = TcpStream::connect(server).unwrap();
            let (mut back, mut there) = (behind.try_clone().unwrap(), client.try_clone().unwrap());
            thread::spawn(move || std::io::copy(&mut back, &mut there));
            thread::spawn(move || {
                let mut behind = &behind;
                let _ = std::io::copy(&mut (&client).take(most), &mut behind);
                // The connection stays open.
                thread::park();
            });
        }
    });
    address
}

pub(crate) fn piped(mut command: Command) -> Child {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The signals that end a command, with their numbers.
const SIGNALS: [(&str, u32); 4] = [("INT", 2), ("TERM", 15), ("HUP", 1), ("QUIT", 3)];

/// Waits until a process hears interrupts, and sends it one.
fn interrupt(id: u32) {
    send("INT", 2, id);
}

/// The same, of another signal.
fn send(name: &str, number: u32, id: u32) {
    wait_for("signals to be heard", || {
        let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        let caught = u64::from_str_radix(caught?.trim(), 16).unwrap();
        (caught >> (number - 1) & 1 != 0).then_some(())
    });
    signal(name, id);
}

pub(crate) fn ended(mut child: Child) -> Ran {
    let status = wait_for("the command to end", || child.try_wait().unwrap());
    let (mut out, mut err) = (Vec::new(), String::new());
    child.stdout.take().unwrap().read_to_end(&mut out).unwrap();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut err)
        .unwrap();
    Ran {
        code: status.code().unwrap(),
        out: String::from_utf8_lossy(&out).into_owned(),
        err,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_secret_is_told_how_to_ask_again() {
    let world = World::start().await;
    for (name, number) in SIGNALS {
        told_how_to_ask_again(&world, name, number);
    }
}

fn told_how_to_ask_again(world: &World, name: &str, number: u32) {
    let (listener, server) = silent();
    let path = world.file(&format!("token-{name}"));
    let issue = [
        "issue",
        "--tenant",
        "acme",
        "--owner",
        "jo",
        "--label",
        "x",
        "--secret-file",
        path.to_str().unwrap(),
    ];
    let child = piped(world.command(&[&issue[..], &["--server", &server]].concat()));
    let _connection = listener.accept().unwrap();
    assert!(path.exists());
    send(name, number, child.id());
    let ran = ended(child);
    assert_eq!(ran.code.cast_unsigned(), 128 + number, "{ran:?}");
    assert!(!path.exists());
    let (_, id) = ran.err.split_once("--request-id ").unwrap();
    let id = id.split('`').next().unwrap();
    world.ok(&[&issue[..], &["--request-id", id]].concat());
    assert_eq!(fs::read_to_string(&path).unwrap().len(), 86);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_takes_away_what_there_is_of_a_backup() {
    let world = World::start().await;
    let (listener, server) = silent();
    let path = world.file("all");
    let child = piped(world.command(&["backup", path.to_str().unwrap(), "--server", &server]));
    let _connection = listener.accept().unwrap();
    let partial = world.file("all.partial");
    assert!(partial.exists());
    send("TERM", 15, child.id());
    assert_eq!(ended(child).code, 143);
    assert!(!partial.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_that_is_ignored_ends_nothing() {
    let world = World::start().await;
    let (listener, server) = silent();
    let command = world.command(&["list", "--server", &server]);
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' HUP; exec \"$0\" \"$@\""]);
    shell.arg(command.get_program()).args(command.get_args());
    let child = piped(shell);
    let _connection = listener.accept().unwrap();
    signal("HUP", child.id());
    send("TERM", 15, child.id());
    assert_eq!(ended(child).code, 143);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_typed_is_shown_again_after_any_signal() {
    let world = World::start().await;
    for (name, number) in SIGNALS {
        let mut terminal = Terminal::start(world.command(&["verify", "--any-tenant"]), 100);
        terminal.wait("Token:");
        assert!(!terminal.has_echo());
        send(name, number, terminal.id());
        // The second comes before the first has ended it, or finds it gone.
        let _ = Command::new("kill")
            .args(["-s", name, &terminal.id().to_string()])
            .status();
        assert_eq!(terminal.end().cast_unsigned(), 128 + number);
        assert!(terminal.has_echo(), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_ends_what_waits_after_a_hidden_line() {
    let world = World::start().await;
    for (command, question, lines) in [
        (
            &["verify", "--any-tenant"][..],
            "Token: ",
            &["a-secret"][..],
        ),
        (&["report-leak"], "all): ", &["a-secret", ""]),
    ] {
        let (listener, server) = silent();
        let command = world.command(&[command, &["--server", &server]].concat());
        let mut terminal = Terminal::start(command, 100);
        for (at, line) in lines.iter().enumerate() {
            wait_for("a question", || {
                (terminal.raw().matches(question).count() == at + 1).then_some(())
            });
            terminal.press(&format!("{line}\n"));
        }
        let _connection = listener.accept().unwrap();
        interrupt(terminal.id());
        assert_eq!(terminal.end(), 130);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_ends_what_is_asked_and_what_is_read() {
    let world = World::start().await;
    world.issue("a");
    for (command, asked) in [
        (&["verify", "--any-tenant"][..], "Token:"),
        (&["revoke", "--tenant", "acme"], "[y/N]"),
    ] {
        let mut terminal = Terminal::start(world.command(command), 100);
        terminal.wait(asked);
        interrupt(terminal.id());
        assert_eq!(terminal.end(), 130, "{command:?}");
    }
    let child = piped(world.command(&["verify", "--any-tenant"]));
    interrupt(child.id());
    // Whose standard input is still open.
    let code = ended(child).code;
    assert_eq!(code, 130);
    for command in [&["watch"][..], &["audit", "list", "--follow"], &["list"]] {
        let (listener, server) = silent();
        let child = piped(world.command(&[command, &["--server", &server]].concat()));
        let _connection = listener.accept().unwrap();
        interrupt(child.id());
        assert_eq!(ended(child).code, 130, "{command:?}");
    }
}

fn credentials(world: &World, number: usize) -> String {
    let items: Vec<_> = (0..number)
        .map(|number| {
            json!({
                "owner": "jo", "profile": "api-token", "label": "x", "entropyBits": 128,
                "description": "x".repeat(500), "plain": format!("secret-of-{number:020}"),
            })
        })
        .collect();
    let file = world.file("import.json");
    fs::write(&file, serde_json::to_string(&items).unwrap()).unwrap();
    file.to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_ends_a_backup_that_nobody_reads() {
    let world = World::start().await;
    let file = credentials(&world, 500);
    world.ok(&["import-credentials", "--tenant", "acme", "--file", &file]);
    let child = piped(world.command(&["backup", "-"]));
    let pipe = child.stdout.as_ref().unwrap();
    wait_for("the pipe to be full", || {
        (rustix::io::ioctl_fionread(pipe).unwrap() > 60_000).then_some(())
    });
    interrupt(child.id());
    assert_eq!(ended(child).code, 130);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_import_says_how_many_were_brought() {
    let world = World::start().await;
    let file = credentials(&world, 200);
    // Between one request and two of them.
    let server = slow(world.server.address, 90_000);
    let import = ["import-credentials", "--tenant", "acme", "--file", &file];
    let child = piped(world.command(&[&import[..], &["--server", &server]].concat()));
    wait_for("the first hundred", || {
        let list = ["list", "--tenant", "acme", "--output", "name"];
        (world.ok(&list).lines().count() == 100).then_some(())
    });
    // Their answer is there once the next are sent.
    thread::sleep(std::time::Duration::from_millis(500));
    interrupt(child.id());
    let ran = ended(child);
    assert_eq!(ran.code, 130, "{ran:?}");
    assert!(
        ran.err.contains("the first 100 of the list were imported"),
        "{ran:?}"
    );
}
