//! Whether a sidecar can answer, as the health service says it.

use std::convert::Infallible;
use std::time::Duration;

use tokio::time::interval;
use tokio_util::sync::CancellationToken;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use super::cells::Cells;
use crate::server::supervise::Failure;

/// How often it is looked whether it can answer.
const LOOK: Duration = Duration::from_millis(100);
/// The health of these is whether it can answer at all.
const READY: [&str; 2] = ["", "credd.v1.VerificationService"];

/// What is said of it.
pub(super) struct Readiness {
    cells: Cells,
    reporter: HealthReporter,
    /// Of all cells together, then of each that has a name.
    parts: Vec<Part>,
}

/// Some services whose health is the same.
struct Part {
    services: Vec<String>,
    /// Which cell it is of; `None`: any will do.
    cell: Option<usize>,
    is_ready: bool,
}

impl Readiness {
    /// Says of all that they can't answer yet.
    pub(super) async fn new(cells: &Cells, reporter: HealthReporter) -> Self {
        let mut parts = vec![Part {
            services: READY.map(str::to_owned).to_vec(),
            cell: None,
            is_ready: false,
        }];
        for (place, cell) in cells.all().iter().enumerate() {
            parts.extend(cell.name.as_ref().map(|name| Part {
                services: vec![format!("cell:{name}")],
                cell: Some(place),
                is_ready: false,
            }));
        }
        for part in &parts {
            part.report(&reporter).await;
        }
        Self {
            cells: cells.clone(),
            reporter,
            parts,
        }
    }

    /// Says it as it changes, and at the end that none can.
    pub(super) async fn follow(mut self, stopping: CancellationToken) -> Result<(), Failure> {
        let look = async {
            let mut ticks = interval(LOOK);
            loop {
                ticks.tick().await;
                for part in &mut self.parts {
                    let is_ready = match part.cell {
                        None => self.cells.can_answer(),
                        Some(place) => self.cells.all()[place].client.can_answer(),
                    };
                    if is_ready != part.is_ready {
                        tracing::info!(service = part.services[0], is_ready, "readiness");
                        part.is_ready = is_ready;
                        part.report(&self.reporter).await;
                    }
                }
            }
        };
        // It never ends by itself.
        let _: Option<Infallible> = stopping.run_until_cancelled(look).await;
        for part in &mut self.parts {
            part.is_ready = false;
            part.report(&self.reporter).await;
        }
        Ok(())
    }
}

impl Part {
    async fn report(&self, reporter: &HealthReporter) {
        let status = if self.is_ready {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        for service in &self.services {
            reporter.set_service_status(service, status).await;
        }
    }
}
