//! What is seen on a real terminal: a table, a bar, a secret, completions, an error, and
//! asking. The command has the terminal as its standard input, output and error.

use std::process::Command;

use serde_json::json;

use crate::World;
use crate::screen::{Terminal, masked};
use crate::support::program::credd;

/// What is left on a terminal of 80 columns when a command has ended.
fn shown(command: Command) -> (String, i32) {
    let mut terminal = Terminal::start(command, 80);
    let code = terminal.end();
    (masked(&terminal.screen()), code)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_fits() {
    let world = World::start().await;
    let (id, _) = world.issue("the nightly build of everything");
    world.issue("ci");
    world.ok(&["update", &id, "--expires", "30d"]);
    world.ok(&["lock", &id]);
    let (screen, code) = shown(world.command(&["list", "--tenant", "acme"]));
    assert_eq!(code, 0);
    let expected = "\
ID                                    LABEL    TENANT  OWNER  STATE   EXPIRES
xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx  the ni…  acme    jo     locked  in 30 days
xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx  ci       acme    jo     active  never
";
    assert_eq!(screen, expected);

    let mut terminal = Terminal::start(world.command(&["list", "--tenant", "acme"]), 160);
    terminal.end();
    let wide = terminal.screen();
    assert!(
        wide.contains("the nightly build of everything  acme    jo     api-token"),
        "{wide}"
    );
    // In colours: bold headings, what is locked in yellow.
    let raw = terminal.raw();
    assert!(raw.contains("\u{1b}[1mID\u{1b}[0m"), "{raw:?}");
    assert!(raw.contains("\u{1b}[33mlocked\u{1b}[0m"), "{raw:?}");
    let mut plain = world.command(&["list", "--tenant", "acme"]);
    plain.env("NO_COLOR", "1");
    let mut terminal = Terminal::start(plain, 80);
    terminal.end();
    assert!(!terminal.raw().contains('\u{1b}'));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bar_shows_how_far_it_has_come() {
    let world = World::start().await;
    let items: Vec<_> = (0..250)
        .map(|number| {
            json!({
                "owner": "jo", "profile": "api-token", "label": "x", "entropyBits": 128,
                "plain": format!("secret-of-{number:020}"),
            })
        })
        .collect();
    let file = world.file("import.json");
    std::fs::write(&file, serde_json::to_string(&items).unwrap()).unwrap();
    let import = [
        "import-credentials",
        "--tenant",
        "acme",
        "--file",
        file.to_str().unwrap(),
    ];
    let mut terminal = Terminal::start(world.command(&import), 80);
    assert_eq!(terminal.end(), 0);
    let screen = terminal.screen();
    assert_eq!(
        screen,
        "importing ████████████████████████ 100 %\nimported 250 credentials\n"
    );
    let raw = terminal.raw();
    let steps: Vec<_> = raw
        .split('\r')
        .filter(|it| it.starts_with("importing"))
        .collect();
    assert_eq!(
        steps,
        [
            "importing █████████░░░░░░░░░░░░░░░  40 %",
            "importing ███████████████████░░░░░  80 %",
            "importing ████████████████████████ 100 %",
        ]
    );

    let path = world.file("nightly.backup");
    let backup = world.command(&["backup", path.to_str().unwrap()]);
    let mut terminal = Terminal::start(backup, 80);
    assert_eq!(terminal.end(), 0);
    let screen = terminal.screen();
    assert!(screen.starts_with("writing the backup "), "{screen}");
    assert!(screen.contains("iB\n"), "{screen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_shown_this_once() {
    let world = World::start().await;
    let issue = [
        "issue",
        "--tenant",
        "acme",
        "--owner",
        "jo",
        "--label",
        "nightly build",
    ];
    let (screen, code) = shown(world.command(&[&issue[..], &["--expires", "30d"]].concat()));
    assert_eq!(code, 0);
    let expected = "\
issued xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx

Id:           xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx
Label:        nightly build
Tenant:       acme
Owner:        jo
Profile:      api-token (API token)
Kind:         api token
State:        active
Token:        creddt_xxxxxxxxxxxxxxxxxxxxxxx…
Created:      issued xxxx-xx-xxxxx:xx:xxx (lately) by credd:admin
Expires:      xxxx-xx-xxxxx:xx:xxx (in 30 days)
Last used:    never
Secret:       generation 1, never used
Last change:  issued xxxx-xx-xxxxx:xx:xxx (lately) by credd:admin
Revision:     xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx:N

creddt_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
this secret is shown this once: keep it now
";
    assert_eq!(screen, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_says_what_to_do_next() {
    let world = World::start().await;
    let (screen, code) = shown(world.stranger(&["list"]));
    assert_eq!(code, 5);
    let expected = "\
error: present a good credential of credd's own tenant or a token of a trusted issuer \
as `authorization: Bearer TOKEN`, or a certificate that names you [CALLER_UNKNOWN]
hint: say who you are with --token-file FILE, CREDD_TOKEN_FILE, CREDD_TOKEN or a client \
certificate; the first administrator's token is in `admin.token` of the server's data directory
";
    assert_eq!(screen, expected);
    let mut terminal = Terminal::start(world.stranger(&["list"]), 80);
    terminal.end();
    assert!(
        terminal.raw().starts_with("\u{1b}[31merror:\u{1b}[0m "),
        "{}",
        terminal.raw()
    );
}

#[test]
fn commands_and_flags_are_completed() {
    let Ok(version) = Command::new("bash").arg("--version").output() else {
        eprintln!("skipped: there is no bash");
        return;
    };
    assert!(version.status.success());
    let program = credd(&[]).get_program().to_owned();
    let directory = std::path::Path::new(&program).parent().unwrap().to_owned();
    let path = std::env::var("PATH").unwrap();
    let mut bash = credd(&[]);
    bash = {
        let mut shell = Command::new("bash");
        for (name, value) in bash.get_envs() {
            if value.is_none() {
                shell.env_remove(name);
            }
        }
        shell
    };
    bash.args(["--noprofile", "--norc", "-i"])
        .env("PATH", format!("{}:{path}", directory.display()))
        .env("PS1", "$ ")
        .env("TERM", "xterm")
        .env("INPUTRC", "/dev/null")
        .env("HISTFILE", "");
    let mut terminal = Terminal::start(bash, 80);
    terminal.wait("$");
    terminal.press("source <(credd completions bash); echo re''ady\n");
    terminal.wait("\nready\n$");
    terminal.press("credd rep\t");
    terminal.wait("$ credd report-leak");
    terminal.press("--sec\t");
    terminal.wait("$ credd report-leak --secret-file");
    terminal.press("\u{15}credd audit \t\t");
    for command in ["list", "export", "verify", "erase"] {
        terminal.wait(command);
    }
    terminal.press("\u{15}exit\n");
    terminal.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_asked_for_unseen() {
    let world = World::start().await;
    let (_, token) = world.issue("a");
    let mut terminal = Terminal::start(world.command(&["verify", "--tenant", "acme"]), 100);
    terminal.wait("Token:");
    terminal.press(&format!("{token}\n"));
    assert_eq!(terminal.end(), 0);
    let screen = terminal.screen();
    assert!(
        screen.starts_with("Token:\nVerdict:     ACTIVE\n"),
        "{screen}"
    );
    assert!(!screen.contains(&token), "{screen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_typed_unseen_wherever_errors_go_and_whatever_asks_for_it() {
    let world = World::start().await;
    let (_, token) = world.issue("a");
    for arguments in [
        &["verify", "--any-tenant"][..],
        &["verify", "--any-tenant", "--secret-file", "-"],
    ] {
        let command = world.command(arguments);
        let mut shell = Command::new("sh");
        shell.args(["-c", "exec \"$0\" \"$@\" 2>/dev/null"]);
        shell.arg(command.get_program()).args(command.get_args());
        for (name, value) in command
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?)))
        {
            shell.env(name, value);
        }
        let mut terminal = Terminal::start(shell, 100);
        terminal.wait("Token:");
        terminal.press(&format!("{token}\n"));
        assert_eq!(terminal.end(), 0);
        let screen = terminal.screen();
        assert!(screen.contains("ACTIVE"), "{screen}");
        assert!(!screen.contains(&token), "{screen}");
    }
    let import = ["import-credentials", "--tenant", "acme", "--file", "-"];
    let mut terminal = Terminal::start(world.command(&import), 100);
    terminal.wait("end with Ctrl-D");
    terminal.press("- plain: a-secret-of-elsewhere\n\u{4}");
    assert_eq!(terminal.end(), 2);
    let screen = terminal.screen();
    assert!(!screen.contains("elsewhere"), "{screen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_are_denied_only_after_a_yes() {
    let world = World::start().await;
    let (id, _) = world.issue("a");
    world.issue("b");
    let revoke = ["revoke", "--tenant", "acme", "--fence"];
    let mut terminal = Terminal::start(world.command(&revoke), 80);
    terminal.wait("revoke 2 credentials? [y/N]");
    terminal.press("\n");
    assert_eq!(terminal.end(), 1);
    assert!(terminal.screen().contains("error: nothing was done"));
    assert!(world.ok(&["get", &id]).contains("active"));
    let mut terminal = Terminal::start(world.command(&revoke), 80);
    terminal.wait("[y/N]");
    terminal.press("y\n");
    assert_eq!(terminal.end(), 0);
    let screen = terminal.screen();
    assert!(
        screen.contains("\nrevoked 2 credentials of 2 that match\nfenced: "),
        "{screen}"
    );
    assert!(world.ok(&["get", &id]).contains("revoked"));
}
