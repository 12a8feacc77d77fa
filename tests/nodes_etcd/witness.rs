//! One who asks a node about one credential all the time, and counts what it is told.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tonic::Status;
use tonic::transport::{Channel, Endpoint};
use tonic_types::StatusExt as _;

use crate::calls::Held;
use crate::support::{Client, until};

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// That a credential is good.
pub(crate) const ACTIVE: &str = "VERDICT_ACTIVE";
/// That it was revoked.
pub(crate) const REVOKED: &str = "VERDICT_REVOKED";
/// That the node has no lease, and so says of nothing that it is good.
pub(crate) const LAPSED: &str = "LEASE_LAPSED";
/// No answer, or none of credd's.
const NOTHING: &str = "nothing";

/// Who asks. It stops when this is dropped.
pub(crate) struct Witness {
    heard: Arc<Mutex<Heard>>,
    asking: JoinHandle<()>,
}

/// What was told in each phase, in which it was *asked*: verdicts, and reasons of
/// refusals.
type Heard = Vec<(&'static str, BTreeMap<String, usize>)>;

impl Witness {
    /// Asks as the caller with this token; `phase` begins.
    pub(crate) fn of(held: &Held, at: SocketAddr, token: &str, phase: &'static str) -> Self {
        let endpoint = Endpoint::from_shared(format!("http://{at}")).unwrap();
        Self::over(endpoint.connect_lazy(), held, token, phase)
    }

    /// The same, over a connection.
    pub(crate) fn over(channel: Channel, held: &Held, token: &str, phase: &'static str) -> Self {
        let client = Client::over(channel, token);
        let heard = Arc::new(Mutex::new(vec![(phase, BTreeMap::new())]));
        let (noting, held) = (Arc::clone(&heard), held.clone());
        let asking = tokio::spawn(async move {
            loop {
                // Before it is asked.
                let phase = noting.lock().len() - 1;
                let said = ask(&client, &held).await;
                let is_nothing = said == NOTHING;
                *noting.lock()[phase].1.entry(said).or_default() += 1;
                if is_nothing {
                    sleep(Duration::from_millis(5)).await;
                }
            }
        });
        Self { heard, asking }
    }

    /// Begins another phase.
    pub(crate) fn begin(&self, phase: &'static str) {
        self.heard.lock().push((phase, BTreeMap::new()));
    }

    /// How often it was told something in a phase.
    pub(crate) fn heard(&self, phase: &str, said: &str) -> usize {
        let heard = self.heard.lock();
        let phase = heard.iter().find(|(name, _)| *name == phase);
        let (_, told) = phase.expect("a phase that has begun");
        told.get(said).copied().unwrap_or_default()
    }

    /// Sees that it was told of no yes in a phase.
    pub(crate) fn assert_no_yes(&self, phase: &str) {
        assert_eq!(self.heard(phase, ACTIVE), 0, "{}", self.story());
    }

    /// Waits until it is told something, in the phase that has begun last.
    pub(crate) async fn until_told(&self, said: &str) {
        until(said, || async {
            let heard = self.heard.lock();
            heard
                .last()
                .is_some_and(|(_, told)| told.contains_key(said))
        })
        .await;
    }

    /// Waits until it has asked so often in the phase that has begun last.
    pub(crate) async fn until_asked(&self, times: usize) {
        until("questions", || async { self.answers() >= times }).await;
    }

    /// Waits until it was answered so often in the phase that has begun last, whatever it
    /// was told.
    pub(crate) async fn until_answered(&self, times: usize) {
        until("answers", || async {
            self.count(|said| said != NOTHING) >= times
        })
        .await;
    }

    /// How often it was told something, or nothing, in the phase that has begun last.
    pub(crate) fn answers(&self) -> usize {
        self.count(|_| true)
    }

    /// Counts what it was told in the phase that has begun last.
    fn count(&self, counts: impl Fn(&str) -> bool) -> usize {
        let heard = self.heard.lock();
        let told = heard.last().into_iter().flat_map(|(_, told)| told);
        let counted = told.filter(|(said, _)| counts(said));
        counted.map(|(_, count)| count).sum()
    }

    /// What it was told, phase by phase.
    pub(crate) fn story(&self) -> String {
        let heard = self.heard.lock();
        let phases = heard.iter().map(|(phase, told)| {
            let told = told.iter().map(|(said, count)| format!("{said} {count}"));
            format!("{phase}: {}", told.collect::<Vec<_>>().join(", "))
        });
        phases.collect::<Vec<_>>().join("; ")
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.asking.abort();
    }
}

async fn ask(client: &Client, held: &Held) -> String {
    let mut verification = client.verification.clone();
    match timeout(PATIENCE, verification.verify(held.question())).await {
        Ok(Ok(answer)) => answer.get_ref().verdict().as_str_name().to_owned(),
        Ok(Err(status)) => reason(&status).unwrap_or_else(|| NOTHING.to_owned()),
        Err(_) => NOTHING.to_owned(),
    }
}

/// The stable reason of a refusal, if it is one of credd's.
fn reason(status: &Status) -> Option<String> {
    let details = status.get_error_details();
    Some(details.error_info()?.reason.clone())
}
