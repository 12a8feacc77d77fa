//! Lists that a server answers in pages.

use clap::Args;

use super::failure::{Done, Failure, note};
use super::session::Session;
use super::show::Listed;

/// The most that is asked for at once.
const PAGE: u64 = 500;

/// How much of a list.
#[derive(Clone, Debug, Args)]
pub struct Extent {
    /// The most to list. Unset: all.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
}

impl Extent {
    /// Prints a list, page after page, as the pages come: `fetch` asks for one of so many
    /// items at most, with a token, and returns the items and the next token.
    pub(super) async fn print<T: Listed>(
        &self,
        session: &Session,
        mut fetch: impl AsyncFnMut(i32, String) -> Result<(Vec<T>, String), Failure>,
    ) -> Result<Done, Failure> {
        let mut rows = session.out.list::<T>();
        let mut left = self.limit.unwrap_or(u64::MAX);
        let mut token = String::new();
        loop {
            let size = i32::try_from(left.min(PAGE)).unwrap_or(i32::MAX);
            let (items, next) = fetch(size, token).await?;
            rows.push(&items)?;
            left = left.saturating_sub(items.len() as u64);
            token = next;
            if token.is_empty() || left == 0 {
                break;
            }
        }
        rows.end()?;
        if !token.is_empty() {
            note("more follow: raise --limit");
        }
        Ok(Done::Yes)
    }
}
