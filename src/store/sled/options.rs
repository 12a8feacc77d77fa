//! How a store is opened.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::Path;
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
    /// The disk: in production [`SystemDisk`], in tests one that is slow, full or
    /// failing.
    pub disk: Arc<dyn Disk>,
}

impl Default for Options {
    /// 256 MiB of cache, 256 MiB of reserve, 1,024 recent commits,
    /// [`SystemDisk`].
    fn default() -> Self {
        Self {
            cache_bytes: 256 << 20,
            reserve_bytes: 256 << 20,
            recent_commits: 1024,
            disk: Arc::new(SystemDisk),
        }
    }
}

/// What a store asks of the disk beneath sled: the seam at which tests put
/// slow, full and failing ones.
pub trait Disk: fmt::Debug + Send + Sync + 'static {
    /// Returns once everything written to the file outlives a power cut.
    ///
    /// # Errors
    ///
    /// Any: what was written since the last success is then in doubt, and
    /// stays so even if a later call succeeds.
    fn sync(&self, file: &File) -> io::Result<()>;

    /// How many bytes this process may still write to the file system that
    /// this path is on.
    ///
    /// # Errors
    ///
    /// If that can't be told.
    fn free(&self, path: &Path) -> io::Result<u64>;
}

/// `fdatasync` (the content, and the length where it is needed to read it) and
/// `statvfs`.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemDisk;

impl Disk for SystemDisk {
    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    fn free(&self, path: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(path)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}
