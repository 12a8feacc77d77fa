//! Profiles.

use super::{Listed, Shown, kind, last_change, word};
use crate::cli::change::revision;
use crate::cli::page::Page;
use crate::cli::table::{Cell, Column};
use crate::cli::time;
use crate::proto::v1;
use crate::proto::v1::header_rule::Format;

impl Listed for v1::Profile {
    const COLUMNS: &'static [Column] = &[
        Column::whole("NAME"),
        Column::new("TENANT", 4, 4),
        Column::new("KIND", 8, 1),
        Column::new("HEADER", 12, 2),
        Column::new("SECRET", 6, 3),
        Column::new("AN OWNER HAS", 12, 5),
        Column::new("DISPLAY NAME", 12, 6),
    ];

    fn name(&self) -> String {
        self.name.clone()
    }

    fn row(&self) -> Vec<Cell> {
        let headers: Vec<_> = self.headers.iter().map(header).collect();
        vec![
            Cell::from(&self.name),
            Cell::from(&self.tenant),
            Cell::from(kind(self.kind())),
            Cell::from(headers.join(", ")),
            Cell::from(word(self.visibility().as_str_name(), "SECRET_VISIBILITY_")),
            Cell::from(word(self.multiplicity().as_str_name(), "MULTIPLICITY_")),
            Cell::from(&self.display_name),
        ]
    }
}

impl Shown for v1::Profile {
    fn page(&self, page: &mut Page) {
        let Self {
            tenant,
            name,
            display_name,
            kind: _,
            headers,
            visibility: _,
            expiry,
            multiplicity: _,
            required_fields: _,
            default_label,
            roles,
            owner_may_issue,
            max_overlap,
            unlisted,
            built_in,
            version,
            last_change: change,
            revision: last_revision,
            accepted_headers,
        } = self;
        page.field("Name", name);
        page.field("Tenant", if tenant.is_empty() { "all" } else { tenant });
        page.field("Display name", display_name);
        page.field("Kind", kind(self.kind()));
        page.field("Headers", lines(headers));
        if accepted_headers.len() > headers.len() {
            page.field("Accepted", lines(accepted_headers));
        }
        let visibility = word(self.visibility().as_str_name(), "SECRET_VISIBILITY_");
        page.field("Secret shown", visibility);
        page.field("Expiry", expiry_rule(expiry.as_ref()));
        let multiplicity = word(self.multiplicity().as_str_name(), "MULTIPLICITY_");
        page.field("An owner has", multiplicity);
        let fields = self.required_fields();
        let fields: Vec<_> = fields
            .map(|it| word(it.as_str_name(), "REQUIRED_FIELD_"))
            .collect();
        page.list("Required", &fields);
        page.field("Default label", default_label);
        if let Some(v1::RoleRule {
            allowed,
            least,
            most,
        }) = roles
        {
            let allowed = if allowed.is_empty() {
                "any".to_owned()
            } else {
                allowed.join(", ")
            };
            let most = most.map_or_else(|| "16".to_owned(), |most| most.to_string());
            page.field("Roles", format!("{least} to {most} of: {allowed}"));
        }
        let by = if *owner_may_issue {
            "owners and administrators"
        } else {
            "administrators"
        };
        page.field("Issued by", by);
        page.field("Longest overlap", time::span(max_overlap.as_ref()));
        page.field(
            "On lists",
            if *unlisted {
                "only where it is named"
            } else {
                "yes"
            },
        );
        page.field("Built in", if *built_in { "yes" } else { "no" });
        page.field("Version", version.to_string());
        page.field("Last change", last_change(change.as_ref()));
        page.field("Revision", revision(last_revision.as_ref()));
    }
}

fn lines(headers: &[v1::HeaderRule]) -> String {
    headers.iter().map(header).collect::<Vec<_>>().join("\n")
}

fn header(rule: &v1::HeaderRule) -> String {
    let v1::HeaderRule { name, format } = rule;
    match format {
        Some(Format::Bare(_)) | None => name.clone(),
        Some(Format::Scheme(scheme)) => format!("{name}: {scheme}"),
        Some(Format::Basic(_)) => format!("{name}: Basic"),
        Some(Format::Pair(v1::PairFormat {
            public_parameter,
            secret_parameter,
        })) => format!("{name}: {public_parameter}=; {secret_parameter}="),
    }
}

fn expiry_rule(rule: Option<&v1::ExpiryRule>) -> String {
    let Some(v1::ExpiryRule {
        default_period,
        max_period,
        allowed_periods,
        never: _,
        fixed,
    }) = rule
    else {
        return String::new();
    };
    let mut facts = Vec::new();
    match rule.map(v1::ExpiryRule::never).unwrap_or_default() {
        v1::NeverRule::Always => facts.push("never".to_owned()),
        v1::NeverRule::Allowed => facts.push("may be never".to_owned()),
        v1::NeverRule::Forbidden | v1::NeverRule::Unspecified => (),
    }
    for (what, period) in [("default", default_period), ("at most", max_period)] {
        if !period.is_empty() {
            facts.push(format!("{what} {period}"));
        }
    }
    if !allowed_periods.is_empty() {
        facts.push(format!("one of {}", allowed_periods.join(" ")));
    }
    if *fixed {
        facts.push("fixed".to_owned());
    }
    facts.join(", ")
}
