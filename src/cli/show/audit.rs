//! Events of the audit log.

use super::Listed;
use crate::cli::table::{Cell, Column};
use crate::cli::terminal::{BAD, GOOD};
use crate::cli::time;
use crate::proto::v1;

/// What the names of most actions begin with.
const SERVICES: &str = "credd.v1.";

impl Listed for v1::AuditEvent {
    const COLUMNS: &'static [Column] = &[
        Column::new("NUMBER", 6, 4),
        Column::new("TIME", 20, 1),
        Column::new("PRINCIPAL", 12, 0),
        Column::new("ACTION", 16, 0),
        Column::new("TENANT", 6, 3),
        Column::new("OUTCOME", 7, 2),
        Column::new("COUNT", 5, 6),
        Column::new("ABOUT", 12, 5),
        Column::new("REASON", 10, 7),
    ];

    fn name(&self) -> String {
        self.sequence.to_string()
    }

    fn row(&self) -> Vec<Cell> {
        let action = self.action.strip_prefix(SERVICES).unwrap_or(&self.action);
        let is_ok = self.outcome == "OK";
        let about = [
            &self.owner,
            &self.profile,
            &self.role,
            &self.bound_principal,
        ];
        let about = about.into_iter().chain(self.credential_ids.first());
        let about: Vec<_> = about.filter(|it| !it.is_empty()).cloned().collect();
        vec![
            Cell::from(self.sequence.to_string()),
            Cell::from(
                time::read(self.recorded_at.as_ref())
                    .map(time::seconds)
                    .unwrap_or_default(),
            ),
            Cell::from(&self.principal),
            Cell::from(match self.state() {
                v1::AuditEventState::Erased => "(erased)",
                v1::AuditEventState::Damaged => "(damaged)",
                _ => action,
            }),
            Cell::from(&self.tenant),
            Cell::new(&self.outcome, if is_ok { GOOD } else { BAD }),
            Cell::from(self.count.to_string()),
            Cell::from(about.join(" ")),
            Cell::from(&self.reason),
        ]
    }
}
