//! The way between processes: connections that can be cut, and are counted.

#![allow(dead_code, reason = "each suite uses a part of it")]

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use tokio::task::JoinHandle;

/// Passes on connections to an address.
pub(crate) struct Way {
    pub(crate) address: SocketAddr,
    target: SocketAddr,
    cut: broadcast::Sender<()>,
    passed: Arc<Passed>,
    /// `None`: it is closed, and who comes is refused.
    accepting: Option<JoinHandle<()>>,
}

/// What was passed on.
#[derive(Default)]
struct Passed {
    connections: AtomicUsize,
    calls: AtomicUsize,
}

impl Way {
    pub(crate) async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (cut, _) = broadcast::channel(1);
        let mut way = Self {
            address: listener.local_addr().unwrap(),
            target,
            cut,
            passed: Arc::default(),
            accepting: None,
        };
        way.accept(listener);
        way
    }

    fn accept(&mut self, listener: TcpListener) {
        let (target, passed, cuts) = (self.target, Arc::clone(&self.passed), self.cut.clone());
        self.accepting = Some(tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let (mut cut, passed) = (cuts.subscribe(), Arc::clone(&passed));
                tokio::spawn(async move {
                    tokio::select! {
                        _ = pass(near, target, &passed) => (),
                        _ = cut.recv() => (),
                    }
                });
            }
        }));
    }

    /// What a sidecar is told.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Cuts every connection that there is.
    pub(crate) fn cut(&self) {
        let _ = self.cut.send(());
    }

    /// Cuts every connection, and lets nobody in, until it is opened.
    pub(crate) async fn close(&mut self) {
        if let Some(accepting) = self.accepting.take() {
            accepting.abort();
            let _ = accepting.await;
        }
        self.cut();
    }

    /// Lets in who comes, where it was.
    pub(crate) async fn open(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.accept(listener);
    }

    /// How many connections it passed on.
    pub(crate) fn connections(&self) -> usize {
        self.passed.connections.load(Ordering::SeqCst)
    }

    /// How many calls began on those, if they speak HTTP/2 in plaintext.
    pub(crate) fn calls(&self) -> usize {
        self.passed.calls.load(Ordering::SeqCst)
    }
}

async fn pass(near: TcpStream, target: SocketAddr, passed: &Passed) -> io::Result<()> {
    let far = TcpStream::connect(target).await?;
    passed.connections.fetch_add(1, Ordering::SeqCst);
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let (near_read, mut near_write) = near.into_split();
    let (mut far_read, far_write) = far.into_split();
    let back = async {
        copy(&mut far_read, &mut near_write).await?;
        near_write.shutdown().await
    };
    tokio::try_join!(pass_calls(near_read, far_write, &passed.calls), back)?;
    Ok(())
}

async fn pass_calls(
    mut near: OwnedReadHalf,
    mut far: OwnedWriteHalf,
    calls: &AtomicUsize,
) -> io::Result<()> {
    let (mut frames, mut buffer) = (Frames::default(), vec![0; 16 << 10]);
    loop {
        let read = near.read(&mut buffer).await?;
        if read == 0 {
            return far.shutdown().await;
        }
        // Before whoever is called can answer.
        calls.fetch_add(frames.calls_in(&buffer[..read]), Ordering::SeqCst);
        far.write_all(&buffer[..read]).await?;
    }
}

/// Where one is among the frames of a client of HTTP/2 (RFC 9113 sections 3.4, 4.1).
struct Frames {
    /// How many bytes to pass over: the preface, or the rest of a frame.
    skip: usize,
    /// What there is of the head of the next one.
    head: Vec<u8>,
}

impl Default for Frames {
    fn default() -> Self {
        Self {
            skip: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len(),
            head: Vec::with_capacity(HEAD),
        }
    }
}

/// How long the head of a frame is: length, type, flags, stream.
const HEAD: usize = 9;
/// The type of the frame with which a call begins.
const HEADERS: u8 = 1;

impl Frames {
    /// How many calls begin in the next bytes.
    fn calls_in(&mut self, mut bytes: &[u8]) -> usize {
        let mut calls = 0;
        loop {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            let taken = (HEAD - self.head.len()).min(bytes.len() - skipped);
            let (head, rest) = bytes[skipped..].split_at(taken);
            self.head.extend_from_slice(head);
            bytes = rest;
            if self.head.len() < HEAD {
                return calls;
            }
            calls += usize::from(self.head[3] == HEADERS);
            let length = &self.head[..3];
            self.skip = length
                .iter()
                .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
            self.head.clear();
        }
    }
}
