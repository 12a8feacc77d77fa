//! `credd audit verify`.

use std::collections::VecDeque;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;
use serde_json::Value;

use crate::cli::change::count;
use crate::cli::failure::{Done, Failure, note};
use crate::cli::secret;
use crate::cli::session::Session;
use crate::cli::show::word;
use crate::cli::terminal::{BAD, GOOD};
use crate::proto::v1;

/// The most heads that a server compares at once.
const MOST_HEADS: usize = 100;

/// What is known of the log.
#[derive(Debug, Args)]
pub struct VerifyChain {
    /// A head that was kept: SEQUENCE:HASH; may be repeated.
    #[arg(long = "head", value_name = "HEAD")]
    heads: Vec<Head>,
    /// Heads that were kept, in a file of JSON: an earlier answer of this command, or lines
    /// of `--audit-file` or of `credd audit export`; of more than a hundred, the last. The
    /// end of it may be cut.
    #[arg(long, value_name = "FILE")]
    heads_file: Option<PathBuf>,
}

/// A head, as it is written: `SEQUENCE:HASH`.
#[derive(Clone, Debug, PartialEq)]
struct Head(v1::AuditHead);

impl FromStr for Head {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = text.split_once(':').and_then(|(sequence, hash)| {
            Some(Self(v1::AuditHead {
                chain: 0,
                sequence: sequence.parse().ok()?,
                hash: hash.to_owned(),
            }))
        });
        read.ok_or_else(|| "must be SEQUENCE:HASH, as it is shown".to_owned())
    }
}

impl VerifyChain {
    pub(super) async fn run(self, session: &Session) -> Result<Done, Failure> {
        let mut expected: Vec<_> = self.heads.into_iter().map(|head| head.0).collect();
        if let Some(path) = &self.heads_file {
            expected.extend(heads(path)?);
        }
        let too_many = expected.len().saturating_sub(MOST_HEADS);
        expected.drain(..too_many);
        let request = session
            .caller
            .long_request(v1::VerifyChainRequest { expected })?;
        let answer = session.ask(session.audit().verify_chain(request)).await?;
        let name = answer.head.as_ref().map(shown).unwrap_or_default();
        session.out.answer(&answer, &name, |page| {
            match &answer.broken {
                None => page.styled("Log", "as it was written", GOOD),
                Some(broken) => {
                    let flaw = word(broken.flaw().as_str_name(), "CHAIN_FLAW_");
                    page.styled("Log", format!("broken at record {}", broken.sequence), BAD);
                    page.field("Flaw", format!("{flaw}: {}", broken.description));
                }
            }
            page.field("Records", answer.records.to_string());
            page.field("Erased", answer.erased.to_string());
            if answer.unchecked > 0 {
                let what = count(answer.unchecked, "head", "heads");
                page.field("Unchecked", format!("{what} from before the log begins"));
            }
            page.field(
                "Begins after",
                answer.start.as_ref().map(shown).unwrap_or_default(),
            );
            page.field("Head", &name);
        })?;
        Ok(if answer.broken.is_none() {
            Done::Yes
        } else {
            Done::No
        })
    }
}

/// A head as it is written.
fn shown(head: &v1::AuditHead) -> String {
    let v1::AuditHead {
        chain: _,
        sequence,
        hash,
    } = head;
    format!("{sequence}:{hash}")
}

/// The last heads in a file.
fn heads(path: &Path) -> Result<VecDeque<v1::AuditHead>, Failure> {
    let wrong = |what: &str| Failure::Usage(format!("{}: {what}", path.display()));
    let read = secret::read_with(Some(path), |input| Ok(last_heads(input)))?;
    let Read { heads, is_cut } = read.map_err(|error| wrong(&error))?;
    if heads.is_empty() {
        return Err(wrong("has no heads: nothing would be compared"));
    }
    if is_cut {
        note(&format!(
            "{}: its end is cut, and passed over",
            path.display()
        ));
    }
    Ok(heads)
}

/// What a file has.
struct Read {
    heads: VecDeque<v1::AuditHead>,
    /// Whether it ends in the middle of something.
    is_cut: bool,
}

/// Reads values of JSON, one after the other, and keeps the last of them.
fn last_heads(input: &mut dyn io::Read) -> Result<Read, String> {
    let values = serde_json::Deserializer::from_reader(BufReader::new(input)).into_iter::<Value>();
    let mut heads = VecDeque::new();
    for value in values {
        let value = match value {
            Ok(value) => value,
            Err(error) if error.is_eof() => {
                let is_cut = true;
                return Ok(Read { heads, is_cut });
            }
            Err(error) => return Err(error.to_string()),
        };
        if heads.len() == MOST_HEADS {
            heads.pop_front();
        }
        heads.push_back(head(&value).ok_or("has no `sequence` and `hash`")?);
    }
    let is_cut = false;
    Ok(Read { heads, is_cut })
}

/// The head that a value says.
fn head(value: &Value) -> Option<v1::AuditHead> {
    let value = value.get("head").unwrap_or(value);
    Some(v1::AuditHead {
        chain: value.get("chain").and_then(number).unwrap_or(0),
        sequence: number(value.get("sequence")?)?,
        hash: value.get("hash")?.as_str()?.to_owned(),
    })
}

/// A number, which stands in quotes in JSON of messages.
fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_in_every_form_in_which_they_are_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("heads");
        let lines = concat!(
            "{\"head\": {\"sequence\": \"7\", \"hash\": \"ab\"}, \"records\": \"7\"}\n",
            "{\"chain\": 1, \"sequence\": 8, \"hash\": \"cd\", \"action\": \"x\"}\n",
        );
        std::fs::write(&path, lines).unwrap();
        let read: Vec<_> = heads(&path).unwrap().iter().map(shown).collect();
        assert_eq!(read, ["7:ab", "8:cd"]);
        std::fs::write(&path, format!("{lines}{{\"chain\": 1, \"sequ")).unwrap();
        assert_eq!(heads(&path).unwrap().len(), 2);
        for wrong in ["{}", "", "{\"sequence\": 8", "no JSON"] {
            std::fs::write(&path, wrong).unwrap();
            assert!(heads(&path).is_err(), "{wrong}");
        }
        let head: Head = "7:ab".parse().unwrap();
        assert_eq!(shown(&head.0), "7:ab");
        assert!("7".parse::<Head>().is_err());
    }
}
