//! Every task and thread of the process has a name, and when one ends that was
//! not to end, the process ends with its name.

use std::collections::HashMap;
use std::error::Error;
use std::thread;

use tokio::sync::oneshot;
use tokio::task::{Id, JoinSet};

tokio::task_local! {
    static NAME: &'static str;
}

/// The name of the supervised task that this code runs in, or that of the
/// thread.
#[must_use]
pub fn current_name() -> String {
    NAME.try_with(|name| (*name).to_owned())
        .unwrap_or_else(|_| thread::current().name().unwrap_or("unnamed").to_owned())
}

/// What a task ends with when it can't go on.
pub type Failure = Box<dyn Error + Send + Sync>;

/// A task ended that was to run as long as the process.
#[derive(Debug, thiserror::Error)]
#[error("the task `{name}` ended")]
pub struct TaskEnded {
    /// The task.
    pub name: &'static str,
    /// Why, if it said so.
    #[source]
    pub source: Option<Failure>,
}

/// The tasks and threads of a process. Tasks are aborted when it is dropped.
#[derive(Debug, Default)]
pub struct Supervisor {
    tasks: JoinSet<Result<(), Failure>>,
    names: HashMap<Id, &'static str>,
}

impl Supervisor {
    /// A supervisor of nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a task.
    pub fn task<F>(&mut self, name: &'static str, task: F)
    where
        F: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        let handle = self.tasks.spawn(NAME.scope(name, task));
        self.names.insert(handle.id(), name);
    }

    /// Starts a thread, for work that blocks.
    ///
    /// # Errors
    ///
    /// The system's, if it has no thread to give.
    pub fn thread<F>(&mut self, name: &'static str, work: F) -> std::io::Result<()>
    where
        F: FnOnce() -> Result<(), Failure> + Send + 'static,
    {
        let (ended, end) = oneshot::channel();
        let run = move || {
            // Dropped without a word if the work panics.
            let _ = ended.send(work());
        };
        thread::Builder::new().name(name.to_owned()).spawn(run)?;
        self.task(name, async move {
            end.await
                .unwrap_or_else(|_| Err("the thread panicked".into()))
        });
        Ok(())
    }

    /// Waits until the first of them ends; for ever, if there are none.
    pub async fn first_end(&mut self) -> TaskEnded {
        let (id, source) = match self.tasks.join_next_with_id().await {
            Some(Ok((id, outcome))) => (id, outcome.err()),
            Some(Err(error)) => (error.id(), Some(error.into())),
            None => return std::future::pending().await,
        };
        TaskEnded {
            name: self.names.get(&id).copied().unwrap_or("unnamed"),
            source,
        }
    }

    /// Waits until all have ended.
    pub async fn all_ends(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_and_a_thread_know_their_names() {
        let mut supervisor = Supervisor::new();
        let is = |name: &str| Err(if current_name() == name { "yes" } else { "no" }.into());
        supervisor.task("a task", async move { is("a task") });
        let said = |ended: TaskEnded| ended.source.map(|source| source.to_string());
        assert_eq!(said(supervisor.first_end().await).as_deref(), Some("yes"));
        supervisor
            .thread("a thread", move || is("a thread"))
            .unwrap();
        assert_eq!(said(supervisor.first_end().await).as_deref(), Some("yes"));
    }

    #[tokio::test]
    async fn the_end_of_a_task_or_thread_has_its_name_and_its_reason() {
        let mut supervisor = Supervisor::new();
        supervisor.task("endless", std::future::pending());
        supervisor.task("panicking", async { panic!("on purpose") });
        let ended = supervisor.first_end().await;
        assert_eq!(ended.name, "panicking");
        assert!(ended.source.is_some());

        supervisor.thread("failing", || Err("why".into())).unwrap();
        let ended = supervisor.first_end().await;
        assert_eq!(ended.name, "failing");
        assert_eq!(ended.source.unwrap().to_string(), "why");

        supervisor.thread("dying", || panic!("on purpose")).unwrap();
        assert_eq!(supervisor.first_end().await.name, "dying");

        supervisor.task("done", async { Ok(()) });
        let ended = supervisor.first_end().await;
        assert_eq!(ended.name, "done");
        assert!(ended.source.is_none());
    }
}
