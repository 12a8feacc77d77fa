//! The real program as a process of its own.

use super::*;

/// A `credd serve` process.
pub struct Process {
    pub address: SocketAddr,
    child: Child,
}

impl Process {
    /// Starts the program on a data directory and a free port, and waits until
    /// it is serving.
    pub async fn start(data_dir: &Path) -> Self {
        Self::start_under(data_dir, &[]).await
    }

    /// The same, under a command such as strace.
    pub async fn start_under(data_dir: &Path, wrapper: &[&str]) -> Self {
        let address = free_address();
        let program = env!("CARGO_BIN_EXE_credd");
        let mut line: Vec<&str> = wrapper.to_vec();
        line.push(program);
        let mut command = Command::new(line[0]);
        command
            .args(&line[1..])
            .arg("serve")
            .args(["--listen", &address.to_string()])
            .args(["--disk-reserve-mib", "16"])
            .arg("--data-dir")
            .arg(data_dir)
            .env("CREDD_LOG", "warn")
            .stdin(Stdio::null());
        let child = command.spawn().unwrap();
        let process = Self { address, child };
        serving(address).await;
        process
    }

    /// The process id: of the wrapper, if there is one.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Kills it with SIGKILL and waits until it is gone.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends SIGTERM and waits until it is gone; returns whether it succeeded.
    pub fn terminate(mut self) -> bool {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status().unwrap();
        assert!(sent.success());
        self.child.wait().unwrap().success()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A loopback address that was free a moment ago.
fn free_address() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}
