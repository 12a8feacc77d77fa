//! The ways between the members of etcd: those of one of them can be cut or made slow,
//! while clients reach it as before.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use crate::etcd::Cluster;

/// The ways between the members of a cluster.
pub(crate) struct Peers(watch::Sender<Between>);

/// How they are.
#[derive(Clone, Copy)]
enum Between {
    Open,
    /// Nothing gets to this member or comes from it.
    Cut(usize),
    /// What gets to this member or comes from it takes so long.
    Slow(usize, Duration),
}

/// The two members that a connection is between; who has made it is not always known.
#[derive(Clone, Copy)]
struct Ends {
    from: Option<usize>,
    to: usize,
}

impl Between {
    /// Whether a connection may not be. One of which it is not known whose it is does not
    /// matter between the others either: members ask for one another's versions on it.
    fn forbids(self, Ends { from, to }: Ends) -> bool {
        match self {
            Self::Cut(member) => to == member || from.is_none_or(|from| from == member),
            Self::Open | Self::Slow(..) => false,
        }
    }

    fn delay(self, Ends { from, to }: Ends) -> Duration {
        match self {
            Self::Slow(member, by) if to == member || from == Some(member) => by,
            Self::Open | Self::Cut(_) | Self::Slow(..) => Duration::ZERO,
        }
    }
}

impl Peers {
    /// Three members, and the ways between them.
    pub(crate) fn start(etcd: &Path) -> (Cluster, Self) {
        let (between, _) = watch::channel(Between::Open);
        let cluster = Cluster::start_reached(etcd, |members| {
            let listeners = members.iter().map(|_| {
                let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
                listener.set_nonblocking(true).unwrap();
                TcpListener::from_std(listener).unwrap()
            });
            let listeners: Vec<_> = listeners.collect();
            let addresses = listeners.iter().map(|it| it.local_addr().unwrap());
            let addresses: Vec<_> = addresses.collect();
            for (to, listener) in listeners.into_iter().enumerate() {
                let (target, ways) = (members[to], addresses.clone());
                tokio::spawn(accept(listener, to, target, ways, between.subscribe()));
            }
            addresses
        });
        (cluster, Self(between))
    }

    /// Cuts a member off from the others.
    pub(crate) fn cut(&self, member: usize) {
        self.0.send_replace(Between::Cut(member));
    }

    /// Has all between a member and the others take longer.
    pub(crate) fn slow(&self, member: usize, by: Duration) {
        self.0.send_replace(Between::Slow(member, by));
    }

    /// Lets all reach all.
    pub(crate) fn heal(&self) {
        self.0.send_replace(Between::Open);
    }
}

/// Passes on connections to a member, until the cluster is gone.
async fn accept(
    listener: TcpListener,
    to: usize,
    target: SocketAddr,
    ways: Vec<SocketAddr>,
    mut between: watch::Receiver<Between>,
) {
    loop {
        let near = tokio::select! {
            near = listener.accept() => near,
            _ = between.wait_for(|_| false) => return,
        };
        let Ok((near, _)) = near else { continue };
        let (ways, between) = (ways.clone(), between.clone());
        tokio::spawn(async move { pass(near, to, target, &ways, between).await });
    }
}

async fn pass(
    mut near: TcpStream,
    to: usize,
    target: SocketAddr,
    ways: &[SocketAddr],
    mut between: watch::Receiver<Between>,
) -> io::Result<()> {
    let head = head(&mut near).await?;
    let ends = Ends {
        from: maker(&head, ways),
        to,
    };
    let looked_at = between.clone();
    let delay = || looked_at.borrow().delay(ends);
    let passing = async {
        let mut far = TcpStream::connect(target).await?;
        near.set_nodelay(true)?;
        far.set_nodelay(true)?;
        sleep_until(Instant::now() + delay()).await;
        far.write_all(&head).await?;
        let ((near_read, near_write), (far_read, far_write)) =
            (near.into_split(), far.into_split());
        tokio::try_join!(
            pass_late(near_read, far_write, delay),
            pass_late(far_read, near_write, delay)
        )?;
        Ok(())
    };
    tokio::select! {
        biased;
        _ = between.wait_for(|between| between.forbids(ends)) => Ok(()),
        passed = passing => passed,
    }
}

/// The most bytes of a head.
const HEAD_BYTES: usize = 16 << 10;

/// The head of the first request, and what came with it.
async fn head(near: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if near.read_buf(&mut head).await? == 0 || head.len() > HEAD_BYTES {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    Ok(head)
}

/// Which member has made a connection: with messages of the consensus it says where it is
/// reached itself. All later requests on the connection are its, too.
fn maker(head: &[u8], ways: &[SocketAddr]) -> Option<usize> {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let mut fields = head.lines().filter_map(|line| line.split_once(": "));
    let (_, urls) = fields.find(|(name, _)| *name == "x-peerurls")?;
    ways.iter()
        .position(|way| urls.trim() == format!("http://{way}"))
}

/// How many pieces may be on their way.
const ON_THE_WAY: usize = 4096;

/// Passes bytes on, each as late as is said when it comes.
async fn pass_late(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    delay: impl Fn() -> Duration,
) -> io::Result<()> {
    let (sender, mut pieces) = mpsc::channel(ON_THE_WAY);
    let read = async move {
        loop {
            let mut piece = Vec::with_capacity(16 << 10);
            let is_over = from.read_buf(&mut piece).await? == 0;
            let sent = sender.send((Instant::now() + delay(), piece)).await;
            if is_over || sent.is_err() {
                return Ok(());
            }
        }
    };
    let write = async move {
        while let Some((due, piece)) = pieces.recv().await {
            sleep_until(due).await;
            to.write_all(&piece).await?;
        }
        to.shutdown().await
    };
    tokio::try_join!(read, write)?;
    Ok(())
}
