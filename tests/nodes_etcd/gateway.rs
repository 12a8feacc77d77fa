//! What only etcd itself can be asked: its gateway speaks JSON.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

use crate::etcd::Cluster;
use crate::support::program::wait_for;

/// How long a member may be silent.
const PATIENCE: Duration = Duration::from_secs(1);

/// Posts to a member; `None`: it did not answer.
pub(crate) fn post(to: SocketAddr, path: &str, body: &str) -> Option<String> {
    post_as("", to, path, body)
}

/// The same, as the user that has this token; empty: as nobody.
pub(crate) fn post_as(token: &str, to: SocketAddr, path: &str, body: &str) -> Option<String> {
    let user = match token {
        "" => String::new(),
        token => format!("authorization: {token}\r\n"),
    };
    let mut stream = TcpStream::connect(to).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: etcd\r\ncontent-length: {}\r\nconnection: close\r\n{user}\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

/// How a member stands.
struct Status {
    leads: bool,
    term: u64,
    revision: u64,
}

fn status(member: SocketAddr) -> Option<Status> {
    let answer = post(member, "/v3/maintenance/status", "{}")?;
    let (_, body) = answer.split_once("\r\n\r\n")?;
    let status: Value = serde_json::from_str(body).ok()?;
    let header = status.get("header")?;
    // The gateway writes numbers of 64 bits as text.
    let number = |of: &Value, name: &str| of.get(name)?.as_str()?.parse::<u64>().ok();
    Some(Status {
        leads: number(&status, "leader")? == number(header, "member_id")?,
        term: number(header, "raft_term")?,
        revision: number(header, "revision")?,
    })
}

/// Which member leads. Waits until one does, and blocks the thread.
pub(crate) fn leader(cluster: &Cluster) -> usize {
    wait_for("a leader", || {
        let members = cluster.addresses().into_iter().enumerate();
        let standing = members.filter_map(|(at, member)| Some((at, status(member)?)));
        // One that was cut off may not know yet that it leads no longer.
        let leading = standing.filter(|(_, status)| status.leads);
        leading
            .max_by_key(|(_, status)| status.term)
            .map(|(at, _)| at)
    })
}

/// The revision that the leader has reached. Blocks the thread.
pub(crate) fn revision(cluster: &Cluster) -> u64 {
    wait_for("a revision", || {
        let leader = cluster.addresses()[leader(cluster)];
        Some(status(leader)?.revision)
    })
}

/// Has etcd forget what was before a revision. Blocks the thread.
pub(crate) fn compact(cluster: &Cluster, revision: u64) {
    wait_for("a compaction", || {
        let leader = cluster.addresses()[leader(cluster)];
        let body = format!(r#"{{"revision":"{revision}"}}"#);
        let answer = post(leader, "/v3/kv/compaction", &body)?;
        // Or it was made, and the answer got lost.
        let is_made = answer.starts_with("HTTP/1.1 200") || answer.contains("compacted");
        is_made.then_some(())
    });
}
