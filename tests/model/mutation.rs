//! The rules, each left out or broken in one way.

/// One rule of the protocol left out or broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mutation {
    /// The protocol as it is.
    None,

    // 1. Lease from send, counted on answer.
    /// The holder's lease runs from when the answer is received.
    LeaseFromReceipt,
    /// The holder's lease runs as soon as it was asked for.
    LeaseWithoutAnswer,
    /// All take their clocks to be exact.
    NoDrift,
    /// The grantor counts no longer than the lease.
    NoDriftAtGrantor,
    /// The holder counts no shorter than the lease.
    NoDriftAtHolder,
    /// The holder's clock stops while its machine sleeps.
    ClockStopsInSleep,

    // 2. The floor.
    /// A fenced commit does not raise the authority's floor.
    NoFloor,
    /// Who has not applied what the floor asks for gets a lease all the same.
    LeaseBelowFloor,
    /// The floor of an authority that was started is not what it has loaded.
    NoFloorAtStart,
    /// A fenced commit does not raise the relay's floor.
    NoFloorAtRelay,

    // 3. A session outlives its connection.
    /// A session ends with its connection.
    ForgetOnCut,
    /// Who connects anew has a new session in place of the one before.
    ReplaceOnConnect,
    /// A relay that was started anew takes its predecessor's session up.
    RelayTakesSessionUp,

    // 4. The wait after a restart.
    /// A restarted authority does not wait for the leases of before.
    NoWaitAfterRestart,
    /// It waits for the lease that is configured now.
    WaitOnlyConfigured,
    /// It waits for the largest lease of a session, not for that of the process.
    WaitOnlyForSessions,

    // 5. Entries are checked when read.
    /// A kept answer is not looked at when it is read.
    UncheckedEntry,
    /// An answer is looked at when it arrives, and not when it is read.
    CheckedOnArrival,
    /// Who joined a flight takes what it brings.
    UncheckedJoin,
    /// Forgetting a change does not raise the level.
    NoLevel,
    /// A stream that can't be taken up goes on as if nothing was missed.
    NoReset,
    /// Who was reset keeps its lease.
    ResetKeepsLease,
    /// A kept answer is used without a lease.
    NoLease,

    // 6. Relays.
    /// A relay acknowledges what it has applied itself.
    RelayAcknowledgesOwn,
    /// A relay grants leases that end after its own.
    RelayGrantsLonger,
    /// A relay that lost continuity does not tell those that follow it.
    RelayKeepsReset,

    // 7. Answers that write nothing.
    /// A change that is there already is answered without a fence of its own.
    NoopWithoutFence,
    /// One is answered once all have acknowledged it, though it is not durable.
    NoopBeforeDurable,
    /// One is answered once it is durable, though the node has not applied it.
    NoopBeforeApplied,

    // 8. Acknowledgements.
    /// A message acknowledges what was received and not applied yet.
    AcknowledgeBeforeApply,

    // The store.
    /// A commit is fenced and acknowledged before it is durable.
    ReturnBeforeDurable,
    /// What a start finds in the log is served before it is synced.
    ServeUnsyncedTail,

    // The process's own lease.
    /// A node answers yes without a lease of its own.
    AnswerWithoutTenure,
    /// A node grants leases that end after its own.
    GrantBeyondTenure,
    /// The node's lease runs from when its heartbeat has returned.
    TenureFromReturn,
}
