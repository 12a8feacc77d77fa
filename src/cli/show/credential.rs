//! Credentials.

use super::{Listed, Shown, kind, said, state, word};
use crate::cli::change::revision;
use crate::cli::page::Page;
use crate::cli::table::{Cell, Column};
use crate::cli::terminal::BAD;
use crate::cli::time;
use crate::proto::v1;
use crate::proto::v1::public_part::Part;

impl Listed for v1::Credential {
    const COLUMNS: &'static [Column] = &[
        Column::whole("ID"),
        Column::new("LABEL", 6, 1),
        Column::new("TENANT", 4, 5),
        Column::new("OWNER", 4, 3),
        Column::new("PROFILE", 6, 6),
        Column::new("STATE", 7, 2),
        Column::new("EXPIRES", 10, 4),
        Column::new("LAST USED", 10, 7),
    ];

    fn name(&self) -> String {
        self.id.clone()
    }

    fn row(&self) -> Vec<Cell> {
        let (word, style) = state(self.state());
        vec![
            Cell::from(&self.id),
            Cell::from(&self.label),
            Cell::from(&self.tenant),
            Cell::from(&self.owner),
            Cell::from(&self.profile),
            Cell::new(word, style),
            Cell::from(time::short(self.expires_at.as_ref(), "never")),
            Cell::from(time::short(self.last_used_at.as_ref(), "never")),
        ]
    }
}

impl Shown for v1::Credential {
    fn page(&self, page: &mut Page) {
        let Self {
            id,
            tenant,
            owner,
            profile,
            profile_display_name,
            kind: _,
            label,
            description,
            roles,
            attributes,
            language,
            time_zone,
            state: _,
            leaked_at,
            public_part,
            secrets,
            viewable,
            created_at,
            created_by,
            expires_at,
            days_left: _,
            last_used_at,
            last_used_by,
            last_change,
            state_revision: _,
            revision: last_revision,
        } = self;
        // A dry run has none.
        page.field("Id", id);
        page.field("Label", label);
        page.field("Description", description);
        page.field("Tenant", tenant);
        page.field("Owner", owner);
        page.field("Profile", format!("{profile} ({profile_display_name})"));
        page.field("Kind", kind(self.kind()));
        let (word_of_state, style) = state(self.state());
        page.styled("State", word_of_state, style);
        page.styled("Leaked", time::exact(leaked_at.as_ref()), BAD);
        public(public_part.as_ref(), page);
        page.list("Roles", roles);
        let attributes: Vec<_> = attributes.iter().map(|(k, v)| format!("{k}={v}")).collect();
        page.field("Attributes", attributes.join("\n"));
        page.field("Language", language);
        page.field("Time zone", time_zone);
        page.field(
            "Created",
            said("issued", created_at.as_ref(), created_by, ""),
        );
        let expires = time::exact(expires_at.as_ref());
        page.field(
            "Expires",
            if expires.is_empty() {
                "never"
            } else {
                &expires
            },
        );
        let used = time::exact(last_used_at.as_ref());
        page.field(
            "Last used",
            if used.is_empty() {
                "never".to_owned()
            } else {
                format!("{used} by {last_used_by}")
            },
        );
        for secret in secrets {
            page.field("Secret", generation(secret, *viewable));
        }
        page.field("Last change", change(last_change.as_ref()));
        page.field("Revision", revision(last_revision.as_ref()));
    }
}

fn public(part: Option<&v1::PublicPart>, page: &mut Page) {
    match part.and_then(|part| part.part.as_ref()) {
        Some(Part::TokenStart(start)) if start.is_empty() => (),
        Some(Part::TokenStart(start)) => page.field("Token", format!("{start}…")),
        Some(Part::Username(username)) => page.field("Username", username),
        Some(Part::AccessKey(key)) => page.field("Access key", key),
        None => (),
    }
}

/// What is known of a secret.
fn generation(secret: &v1::SecretInfo, is_viewable: bool) -> String {
    let v1::SecretInfo {
        generation,
        ends_at,
        last_used_at,
        imported,
    } = secret;
    let mut facts = vec![format!("generation {generation}")];
    let ends = time::exact(ends_at.as_ref());
    match (ends.is_empty(), is_viewable) {
        (false, _) => facts.push(format!("ends {ends}")),
        (true, true) => facts.push("can be shown again".to_owned()),
        (true, false) => (),
    }
    if *imported {
        facts.push("imported".to_owned());
    }
    facts.push(match time::short(last_used_at.as_ref(), "") {
        used if used.is_empty() => "never used".to_owned(),
        used => format!("used {used}"),
    });
    facts.join(", ")
}

fn change(change: Option<&v1::CredentialChange>) -> String {
    let Some(v1::CredentialChange { at, by, reason, .. }) = change else {
        return String::new();
    };
    let what = change.map(v1::CredentialChange::r#type).unwrap_or_default();
    said(
        &word(what.as_str_name(), "CHANGE_TYPE_"),
        at.as_ref(),
        by,
        reason,
    )
}
