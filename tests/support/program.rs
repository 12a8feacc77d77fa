//! The real program, with what it prints kept.

use std::fs::File;
use std::process::ExitStatus;
use std::thread;

use tempfile::NamedTempFile;

use super::*;

/// A running process. It is killed when this is dropped.
pub struct Program {
    child: Child,
    output: NamedTempFile,
}

/// A process that has ended.
pub struct Ended {
    pub status: ExitStatus,
    /// What it printed, on either stream.
    pub output: String,
}

/// `credd`, with nothing of the caller's configuration.
pub fn credd(wrapper: &[&str]) -> Command {
    let mut line: Vec<&str> = wrapper.to_vec();
    line.push(env!("CARGO_BIN_EXE_credd"));
    let mut command = Command::new(line[0]);
    command.args(&line[1..]);
    for (name, _) in std::env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"CREDD_") {
            command.env_remove(name);
        }
    }
    command
}

/// `credd serve` on this data directory and any port.
pub fn serve(wrapper: &[&str], data_dir: &Path) -> Command {
    let mut command = credd(wrapper);
    command
        .arg("serve")
        .args(["--listen", "127.0.0.1:0", "--disk-reserve-mib", "16"])
        .arg("--data-dir")
        .arg(data_dir);
    command
}

/// A configuration in which the first administrator has every permission.
pub const EVERYTHING: &str = "
    [[roles]]
    name = \"everything\"
    permissions = [\"credd.*\"]
    [[bindings]]
    principal = \"credd:admin\"
    role = \"everything\"
    tenant = \"*\"
";

/// The same, where the first administrator has every permission.
pub fn serve_everything(wrapper: &[&str], data_dir: &Path) -> Command {
    let file = data_dir.join("credd.toml");
    std::fs::write(&file, EVERYTHING).unwrap();
    let mut command = serve(wrapper, data_dir);
    command.arg("--config").arg(file);
    command
}

impl Program {
    /// Starts a command.
    pub fn start(mut command: Command) -> Self {
        let output = NamedTempFile::new().unwrap();
        let append = || File::options().append(true).open(output.path()).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(append())
            .stderr(append())
            .spawn()
            .unwrap();
        Self { child, output }
    }

    /// Starts a server and waits until it says that it is serving; returns also
    /// where.
    pub fn serve(command: Command) -> (Self, SocketAddr) {
        let mut program = Self::start(command);
        let address = wait_for("the server to be serving", || {
            let output = program.output();
            if let Some(status) = program.child.try_wait().unwrap() {
                panic!("the server ended with {status}: {output}");
            }
            served_address(&output)
        });
        (program, address)
    }

    /// Its process id: of the wrapper, if there is one.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The process ids of its children.
    pub fn children(&self) -> Vec<u32> {
        let parent = format!("PPid:\t{}", self.id());
        let processes = std::fs::read_dir("/proc").unwrap();
        processes
            .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok())
            .filter(|id| {
                let status = std::fs::read_to_string(format!("/proc/{id}/status"));
                status.is_ok_and(|status| status.lines().any(|line| line == parent))
            })
            .collect()
    }

    /// Whether it has not ended.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// What it has printed so far.
    pub fn output(&self) -> String {
        std::fs::read_to_string(self.output.path()).unwrap()
    }

    /// Waits until it has ended.
    pub fn end(mut self) -> Ended {
        let status = wait_for("the program to end", || self.child.try_wait().unwrap());
        Ended {
            status,
            output: self.output(),
        }
    }

    /// Sends it SIGKILL and waits until it is gone.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends it SIGTERM and waits until it is gone.
    pub fn terminate(self) -> Ended {
        signal("TERM", self.id());
        self.end()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            // What strace runs would outlive it.
            for child in self.children() {
                let _ = Command::new("kill")
                    .args(["-s", "KILL", &child.to_string()])
                    .status();
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal to one process.
pub fn signal(name: &str, id: u32) {
    let sent = Command::new("kill")
        .args(["-s", name, &id.to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
}

/// Waits until there is a value, blocking the thread.
pub fn wait_for<T>(what: &str, mut value: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(value) = value() {
            return value;
        }
        assert!(begin.elapsed() < STUCK, "stuck: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// The address in the line that says that the server is serving.
fn served_address(output: &str) -> Option<SocketAddr> {
    let line = output
        .lines()
        .find(|line| line.contains(r#""message":"serving""#))?;
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    line["address"].as_str()?.parse().ok()
}
