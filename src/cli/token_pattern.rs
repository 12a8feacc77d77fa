//! `credd token-pattern`.

use clap::Args;

use super::failure::{Done, Failure};
use super::output::{Format, Printer, print};
use crate::domain::token::Kind;

/// How to print the patterns.
#[derive(Debug, Args)]
pub struct TokenPattern {
    /// How to print them. `table`: one in a line, as for `grep -Ef`.
    #[arg(
        long,
        short,
        value_enum,
        value_name = "FORMAT",
        env = "CREDD_OUTPUT",
        default_value = "table"
    )]
    output: Format,
}

impl TokenPattern {
    pub(super) fn run(self) -> Result<Done, Failure> {
        let out = Printer::new(self.output);
        let patterns = Kind::ALL.map(|kind| (name(kind), kind.secret_pattern()));
        match self.output {
            Format::Json | Format::Yaml => {
                let items = patterns
                    .map(|(name, pattern)| serde_json::json!({"name": name, "pattern": pattern}));
                out.document(&serde_json::Value::Array(items.into()))?;
            }
            Format::Name => print(&patterns.map(|(name, _)| format!("{name}\n")).concat())?,
            Format::Table | Format::Secret | Format::Header => {
                print(&patterns.map(|(_, pattern)| pattern + "\n").concat())?;
            }
        }
        Ok(Done::Yes)
    }
}

/// What a scanner calls it.
const fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::ApiToken => "credd-api-token",
        Kind::Basic => "credd-password",
        Kind::KeyPair => "credd-secret-key",
    }
}
