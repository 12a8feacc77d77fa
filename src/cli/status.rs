//! `credd status`.

use clap::Args;

use super::change::revision;
use super::failure::{Done, Failure};
use super::key;
use super::page::Page;
use super::session::{Run, Session};
use super::table::{Cell, Column};
use super::terminal::WARN;
use super::time;
use crate::proto::v1;

/// The state of the server.
#[derive(Debug, Args)]
pub struct ShowStatus {}

impl Run for ShowStatus {
    async fn run(self, session: &Session) -> Result<Done, Failure> {
        let Self {} = self;
        let request = session.caller.request(v1::GetStatusRequest {})?;
        let answer = session
            .ask(session.operations().get_status(request))
            .await?;
        session.out.view(&answer, &answer.store_id, |page| {
            page.field("Server", session.caller.server.to_string());
            show(&answer, page);
        })?;
        Ok(Done::Yes)
    }
}

const COLUMNS: &[Column] = &[
    Column::whole("ID"),
    Column::new("STARTED", 10, 1),
    Column::new("LEASE", 5, 4),
    Column::new("FORMAT", 6, 3),
    Column::new("SETTLED", 7, 2),
];

fn show(status: &v1::GetStatusResponse, page: &mut Page) {
    let v1::GetStatusResponse {
        version,
        store_id,
        revision: applied,
        started_at,
        credentials,
        keyring,
        sessions,
        servers,
        format,
    } = status;
    page.field("Version", version);
    page.field("Started", time::exact(started_at.as_ref()));
    page.field("Store", store_id);
    page.field("Revision", revision(applied.as_ref()));
    page.field("Format", format.to_string());
    page.field("Credentials", credentials.to_string());
    if let Some(sessions) = sessions {
        let v1::SessionsStatus {
            lease,
            leases,
            behind,
            behind_callers,
        } = sessions;
        page.field(
            "Sessions",
            format!("{leases}, with leases of {}", time::span(lease.as_ref())),
        );
        if *behind > 0 {
            let who = behind_callers.join(", ");
            page.styled("Behind", format!("{behind}: {who}"), WARN);
        }
    }
    if let Some(keyring) = keyring {
        page.heading("Keys");
        key::keys(keyring, page);
    }
    if !servers.is_empty() {
        page.heading("Servers");
        let rows = servers.iter().map(|server| {
            let v1::ServerStatus {
                id,
                started_at,
                lease,
                settled,
                format,
            } = server;
            vec![
                Cell::from(id),
                Cell::from(time::short(started_at.as_ref(), "")),
                Cell::from(time::span(lease.as_ref())),
                Cell::from(format.to_string()),
                Cell::from(settled.as_ref().map_or(0, |it| it.number).to_string()),
            ]
        });
        page.table(COLUMNS, rows.collect());
    }
}
