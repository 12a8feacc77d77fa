//! How a store is opened.

use std::fmt;
use std::fs::File;
use std::io;
use std::sync::Arc;

/// How to open a [`SledStore`](super::SledStore). None of it is stored.
#[derive(Clone, Debug)]
pub struct Options {
    /// What sled may keep in its page cache. It takes this for a hint: while a
    /// million records were loaded it used several hundred MiB with 32 allowed.
    pub cache_bytes: u64,
    /// What must stay free on the file system. Commits that would leave less
    /// are refused before sled sees them; compaction, which makes room, may use
    /// half of it. It must be more than sled can write in one commit.
    pub reserve_bytes: u64,
    /// How many of the last commits are kept in memory (fewer if they are
    /// large), so that who follows closely does not read the disk.
    pub recent_commits: usize,
    /// What makes the file durable: in production [`DataSync`], in tests
    /// something that waits or fails.
    pub sync: Arc<dyn Syncer>,
}

impl Default for Options {
    /// 256 MiB of cache, 256 MiB of reserve, 1,024 recent commits,
    /// [`DataSync`].
    fn default() -> Self {
        Self {
            cache_bytes: 256 << 20,
            reserve_bytes: 256 << 20,
            recent_commits: 1024,
            sync: Arc::new(DataSync),
        }
    }
}

/// Makes what was written to a file durable: the seam at which tests put slow
/// and failing disks.
pub trait Syncer: fmt::Debug + Send + Sync + 'static {
    /// Returns once everything written to the file outlives a power cut.
    ///
    /// # Errors
    ///
    /// Any: what was written since the last success is then in doubt, and
    /// stays so even if a later call succeeds.
    fn sync(&self, file: &File) -> io::Result<()>;
}

/// `fdatasync`: the content, and the length where it is needed to read it.
#[derive(Clone, Copy, Debug, Default)]
pub struct DataSync;

impl Syncer for DataSync {
    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }
}
