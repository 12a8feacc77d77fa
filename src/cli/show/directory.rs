//! Tenants, owners, roles and bindings.

use super::{Listed, Shown, last_change, standing};
use crate::cli::change::revision;
use crate::cli::page::Page;
use crate::cli::table::{Cell, Column};
use crate::proto::v1;

impl Listed for v1::Tenant {
    const COLUMNS: &'static [Column] = &[
        Column::whole("NAME"),
        Column::new("STATE", 8, 1),
        Column::new("DISPLAY NAME", 12, 2),
        Column::new("DESCRIPTION", 11, 3),
    ];

    fn name(&self) -> String {
        self.name.clone()
    }

    fn row(&self) -> Vec<Cell> {
        let (word, style) = standing(self.disabled);
        vec![
            Cell::from(&self.name),
            Cell::new(word, style),
            Cell::from(&self.display_name),
            Cell::from(self.description.lines().next().unwrap_or_default()),
        ]
    }
}

impl Shown for v1::Tenant {
    fn page(&self, page: &mut Page) {
        let Self {
            name,
            display_name,
            description,
            disabled,
            last_change: change,
            revision: last_revision,
        } = self;
        page.field("Name", name);
        page.field("Display name", display_name);
        page.field("Description", description);
        let (word, style) = standing(*disabled);
        page.styled("State", word, style);
        page.field("Last change", last_change(change.as_ref()));
        page.field("Revision", revision(last_revision.as_ref()));
    }
}

impl Listed for v1::Owner {
    const COLUMNS: &'static [Column] = &[
        Column::whole("NAME"),
        Column::new("TENANT", 4, 4),
        Column::new("STATE", 8, 1),
        Column::new("ROLES", 8, 2),
        Column::new("GROUPS", 8, 3),
        Column::new("PRINCIPALS", 10, 5),
    ];

    fn name(&self) -> String {
        self.name.clone()
    }

    fn row(&self) -> Vec<Cell> {
        let (word, style) = standing(self.disabled);
        vec![
            Cell::from(&self.name),
            Cell::from(&self.tenant),
            Cell::new(word, style),
            Cell::from(self.roles.join(",")),
            Cell::from(self.groups.join(",")),
            Cell::from(self.principals.join(",")),
        ]
    }
}

impl Shown for v1::Owner {
    fn page(&self, page: &mut Page) {
        let Self {
            tenant,
            name,
            display_name,
            principals,
            groups,
            roles,
            chosen_source,
            default_source,
            disabled,
            last_change: change,
            revision: last_revision,
        } = self;
        page.field("Name", name);
        page.field("Tenant", tenant);
        page.field("Display name", display_name);
        let (word, style) = standing(*disabled);
        page.styled("State", word, style);
        page.list("Principals", principals);
        page.list("Groups", groups);
        page.list("Roles", roles);
        let is_chosen = !chosen_source.is_empty();
        let how = if is_chosen {
            " (chosen)"
        } else {
            " (the first group)"
        };
        if !default_source.is_empty() {
            page.field("Default source", format!("{default_source}{how}"));
        }
        page.field("Last change", last_change(change.as_ref()));
        page.field("Revision", revision(last_revision.as_ref()));
    }
}

impl Listed for v1::Role {
    const COLUMNS: &'static [Column] = &[
        Column::whole("NAME"),
        Column::new("PERMISSIONS", 11, 1),
        Column::new("BUILT IN", 8, 3),
        Column::new("DESCRIPTION", 11, 2),
    ];

    fn name(&self) -> String {
        self.name.clone()
    }

    fn row(&self) -> Vec<Cell> {
        vec![
            Cell::from(&self.name),
            Cell::from(self.permissions.join(",")),
            Cell::from(if self.built_in { "yes" } else { "no" }),
            Cell::from(self.description.lines().next().unwrap_or_default()),
        ]
    }
}

impl Shown for v1::Role {
    fn page(&self, page: &mut Page) {
        let Self {
            tenant,
            name,
            description,
            permissions,
            built_in,
            last_change: change,
            revision: last_revision,
        } = self;
        page.field("Name", name);
        page.field("Tenant", tenant);
        page.field("Description", description);
        page.field("Permissions", permissions.join("\n"));
        page.field("Built in", if *built_in { "yes" } else { "no" });
        page.field("Last change", last_change(change.as_ref()));
        page.field("Revision", revision(last_revision.as_ref()));
    }
}

impl Listed for v1::Binding {
    const COLUMNS: &'static [Column] = &[
        Column::whole("PRINCIPAL"),
        Column::new("ROLE", 8, 1),
        Column::new("TENANT", 4, 1),
        Column::new("CONFIGURED", 10, 2),
    ];

    fn name(&self) -> String {
        format!("{} {} {}", self.principal, self.role, self.tenant)
    }

    fn row(&self) -> Vec<Cell> {
        vec![
            Cell::from(&self.principal),
            Cell::from(&self.role),
            Cell::from(&self.tenant),
            Cell::from(if self.configured { "yes" } else { "no" }),
        ]
    }
}

impl Shown for v1::Binding {
    fn page(&self, page: &mut Page) {
        let Self {
            principal,
            role,
            tenant,
            configured,
            last_change: change,
            revision: last_revision,
        } = self;
        page.field("Principal", principal);
        page.field("Role", role);
        page.field("Tenant", tenant);
        page.field("Configured", if *configured { "yes" } else { "no" });
        page.field("Last change", last_change(change.as_ref()));
        page.field("Revision", revision(last_revision.as_ref()));
    }
}
