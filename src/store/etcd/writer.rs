//! Making commits, and finding out what became of one.

use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use tokio::time::sleep;
use tonic::{Code, Status};

use super::connection::Connection;
use super::layout::Layout;
use super::log;
use crate::domain::random::{self, Random, RandomUnavailable};
use crate::domain::revision::StoreId;
use crate::proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use crate::proto::etcdserverpb::request_op::Request as Operation;
use crate::proto::etcdserverpb::response_op::Response as Outcome;
use crate::proto::etcdserverpb::{
    Compare, DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, ResponseOp, TxnRequest,
    TxnResponse,
};
use crate::proto::mvccpb::KeyValue;
use crate::proto::store::EtcdNodeRecord;
use crate::store::{Batch, Expect, Guard, StoreError, Write};

/// Who writes, one transaction after the other.
#[derive(Debug)]
pub(super) struct Writer {
    /// The key of this process.
    key: Bytes,
    /// What overwrote it last.
    revision: i64,
    /// Counts what this process has tried.
    operation: u64,
}

/// What became of a transaction.
enum Settled {
    /// It was made, at this revision.
    Made(i64),
    /// It was not, and never will be.
    Never,
}

/// Which store is there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Identity {
    /// `None`: it can't be read.
    pub(super) id: Option<StoreId>,
    /// The revision at which it was created.
    pub(super) created: i64,
    /// The cluster's.
    pub(super) cluster: u64,
}

/// Creates the store under this identity, if there is none.
pub(super) async fn create(
    connection: &Connection,
    layout: &Layout,
    id: StoreId,
) -> Result<(), StoreError> {
    let key = layout.id();
    let create = TxnRequest {
        compare: vec![modified(key.clone(), 0)],
        success: vec![put(key, Bytes::copy_from_slice(id.as_bytes()))],
        failure: Vec::new(),
    };
    // Whether it was made or not, by whom, and how often: what is there then stays.
    while let Err(status) = connection.try_txn(create.clone()).await {
        connection.again(&status, "can't write to etcd").await?;
    }
    Ok(())
}

/// Which store is there, if there is one.
pub(super) async fn identify(
    connection: &Connection,
    layout: &Layout,
) -> Result<Option<Identity>, StoreError> {
    let request = RangeRequest {
        key: layout.id(),
        ..RangeRequest::default()
    };
    let response = connection.range(request).await?;
    let cluster = response.header.map_or(0, |header| header.cluster_id);
    Ok(response.kvs.first().map(|kv| Identity {
        id: <[u8; 16]>::try_from(&kv.value[..])
            .ok()
            .map(StoreId::from_bytes),
        created: kv.create_revision,
        cluster,
    }))
}

/// Removes the keys of processes that have not written for so long, other than this one.
/// A process that is there all the same can't commit any more, and ends. What can't be
/// done is done by the next process that is opened.
pub(super) async fn forget_others(
    connection: &Connection,
    layout: &Layout,
    own: &Bytes,
    after: Duration,
) {
    let range = layout.nodes();
    let request = RangeRequest {
        key: range.start,
        range_end: range.end,
        keys_only: true,
        ..RangeRequest::default()
    };
    let Ok(found) = connection.range(request).await else {
        return;
    };
    sleep(after).await;
    for kv in found.kvs.into_iter().filter(|kv| kv.key != *own) {
        let remove = DeleteRangeRequest {
            key: kv.key.clone(),
            range_end: Bytes::new(),
        };
        let request = TxnRequest {
            compare: vec![modified(kv.key, kv.mod_revision)],
            success: vec![operation(Operation::RequestDeleteRange(remove))],
            failure: Vec::new(),
        };
        if let Err(status) = connection.try_txn(request).await {
            let (code, error) = (status.code(), status.message());
            tracing::debug!(?code, error, "the key of a process that is gone stays");
        }
    }
}

impl Writer {
    /// The key of this process.
    pub(super) fn key(&self) -> Bytes {
        self.key.clone()
    }

    /// Registers this process.
    pub(super) async fn register(
        connection: &Connection,
        layout: &Layout,
        random: &dyn Random,
    ) -> Result<Result<Self, StoreError>, RandomUnavailable> {
        let mut writer = Self {
            key: layout.node(random::bytes(random)?),
            revision: 0,
            operation: 0,
        };
        Ok(writer.overwrite(connection).await.map(|()| writer))
    }

    /// Overwrites the key of this process, and nothing else.
    async fn overwrite(&mut self, connection: &Connection) -> Result<(), StoreError> {
        loop {
            match self
                .attempt(connection, Vec::new(), Vec::new(), Vec::new())
                .await
            {
                Ok(response) if response.succeeded => return Ok(()),
                Ok(response) => {
                    // One that was not answered may have been made.
                    let node = self.node(&response)?;
                    self.revision = node.mod_revision;
                    return Ok(());
                }
                Err(status) => connection.again(&status, "can't write to etcd").await?,
            }
        }
    }

    /// Makes a commit. Returns its revision.
    pub(super) async fn commit(
        &mut self,
        connection: &Connection,
        layout: &Layout,
        batch: &Batch,
    ) -> Result<i64, StoreError> {
        let Batch {
            at,
            guards,
            writes,
            vital: _,
        } = batch;
        let compare: Vec<_> = guards.iter().map(|it| holds(layout, it)).collect();
        let writing = writes.iter().map(|it| write(layout, it));
        let log = put(layout.log(), log::record(*at, writes).into());
        let success: Vec<_> = writing.chain([log]).collect();
        let failure: Vec<_> = guards.iter().map(|it| look(layout.data(&it.key))).collect();
        loop {
            let attempt = self.attempt(
                connection,
                compare.clone(),
                success.clone(),
                failure.clone(),
            );
            match attempt.await {
                Ok(response) if response.succeeded => return Ok(self.revision),
                Ok(response) => return Err(self.refused(guards, &response)?),
                Err(status) if is_full(&status) => {
                    return Err(StoreError::Full {
                        free: 0,
                        reserve: 0,
                    });
                }
                Err(status) => {
                    connection.again(&status, "can't write to etcd").await?;
                    if let Settled::Made(revision) = self.settle(connection).await? {
                        return Ok(revision);
                    }
                }
            }
        }
    }

    /// Tries a transaction that overwrites the key of this process, if nobody did since
    /// it did itself.
    async fn attempt(
        &mut self,
        connection: &Connection,
        mut compare: Vec<Compare>,
        mut success: Vec<RequestOp>,
        mut failure: Vec<RequestOp>,
    ) -> Result<TxnResponse, Status> {
        self.operation += 1;
        let record = EtcdNodeRecord {
            operation: self.operation,
        };
        compare.push(modified(self.key.clone(), self.revision));
        // What is put last ends the events of a commit: this comes first.
        success.insert(0, put(self.key.clone(), record.encode_to_vec().into()));
        failure.push(look(self.key.clone()));
        let request = TxnRequest {
            compare,
            success,
            failure,
        };
        let response = connection.try_txn(request).await?;
        if response.succeeded {
            self.revision = response.header.as_ref().map_or(0, |header| header.revision);
        }
        Ok(response)
    }

    /// Finds out what became of the transaction that was tried last.
    async fn settle(&mut self, connection: &Connection) -> Result<Settled, StoreError> {
        let tried = self.operation;
        loop {
            match self
                .attempt(connection, Vec::new(), Vec::new(), Vec::new())
                .await
            {
                Ok(response) if response.succeeded => return Ok(Settled::Never),
                Ok(response) => {
                    let node = self.node(&response)?;
                    let record = EtcdNodeRecord::decode(node.value.clone());
                    let record =
                        record.map_err(|_| poisoned("the key of this process can't be read"))?;
                    self.revision = node.mod_revision;
                    return Ok(if record.operation == tried {
                        Settled::Made(node.mod_revision)
                    } else {
                        Settled::Never
                    });
                }
                Err(status) => connection.again(&status, "can't write to etcd").await?,
            }
        }
    }

    /// What a transaction that was not made has found under the key of this process.
    fn node<'a>(&self, response: &'a TxnResponse) -> Result<&'a KeyValue, StoreError> {
        let node = response.responses.last().and_then(found);
        let node = node.filter(|node| node.key == self.key);
        node.ok_or_else(|| poisoned("another process has removed the key of this one"))
    }

    /// Why a transaction was not made.
    fn refused(&self, guards: &[Guard], response: &TxnResponse) -> Result<StoreError, StoreError> {
        if self.node(response)?.mod_revision != self.revision {
            return Err(poisoned(
                "another process has overwritten the key of this one",
            ));
        }
        let looked = guards.iter().zip(&response.responses);
        let failed = looked.map(|(guard, outcome)| (guard, found(outcome)));
        let failed = failed.filter(|(guard, found)| match guard.expect {
            Expect::Absent => found.is_some(),
            Expect::Revision(expected) => found
                .is_none_or(|kv| u64::try_from(kv.mod_revision).ok() != Some(expected.number())),
        });
        let first = failed.map(|(guard, _)| guard.key.clone()).next();
        let first = first.ok_or_else(|| poisoned("etcd refused a commit whose guards hold"))?;
        Ok(StoreError::Conflict { key: first })
    }
}

fn poisoned(what: &str) -> StoreError {
    StoreError::Poisoned(what.into())
}

/// Whether there is no room for it.
fn is_full(status: &Status) -> bool {
    status.code() == Code::ResourceExhausted && status.message().contains("space exceeded")
}

fn found(outcome: &ResponseOp) -> Option<&KeyValue> {
    match outcome.response.as_ref()? {
        Outcome::ResponseRange(range) => range.kvs.first(),
        Outcome::ResponsePut(_) | Outcome::ResponseDeleteRange(_) => None,
    }
}

/// Whether a key was written last by the transaction of a revision; 0: it is not there.
fn modified(key: Bytes, revision: i64) -> Compare {
    Compare {
        result: CompareResult::Equal.into(),
        target: CompareTarget::Mod.into(),
        key,
        target_union: Some(TargetUnion::ModRevision(revision)),
    }
}

fn holds(layout: &Layout, guard: &Guard) -> Compare {
    // No key has a revision of -1.
    const NEVER: i64 = -1;

    let revision = match guard.expect {
        Expect::Absent => 0,
        Expect::Revision(revision) => match i64::try_from(revision.number()) {
            Ok(0) | Err(_) => NEVER,
            Ok(revision) => revision,
        },
    };
    modified(layout.data(&guard.key), revision)
}

fn write(layout: &Layout, write: &Write) -> RequestOp {
    let key = layout.data(&write.key);
    match &write.value {
        Some(value) => put(key, value.clone()),
        None => operation(Operation::RequestDeleteRange(DeleteRangeRequest {
            key,
            range_end: Bytes::new(),
        })),
    }
}

fn put(key: Bytes, value: Bytes) -> RequestOp {
    operation(Operation::RequestPut(PutRequest { key, value }))
}

/// Reads a key.
fn look(key: Bytes) -> RequestOp {
    operation(Operation::RequestRange(RangeRequest {
        key,
        ..RangeRequest::default()
    }))
}

const fn operation(request: Operation) -> RequestOp {
    RequestOp {
        request: Some(request),
    }
}
