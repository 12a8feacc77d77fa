//! `credd keyring`: makes, shows and extends a keyring file. It shows versions and
//! check values, and never a key.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use data_encoding::HEXLOWER;
use zeroize::Zeroizing;

use super::config::{Flags, Layers, OfLog, OfPlace, Problems};
use super::data_dir::{DataDir, FileError};
use super::keyring_file::{self, AddError, InvalidKeyringFile};
use super::telemetry;
use crate::domain::keyring::{KeyKind, KeyVersion};
use crate::domain::random::{RandomUnavailable, SystemRandom};
use crate::store::sled::SledStore;

/// What can be done with a keyring file.
#[derive(Clone, Debug, Subcommand)]
pub enum KeyringCommand {
    /// Writes a fresh file, for its owner alone; never over another.
    Init(KeyringFile),
    /// Shows the versions of the keys and their check values, never the keys.
    Show(KeyringFile),
    /// Adds the next version of a key, which a server then reads by itself.
    Add {
        /// Which key.
        kind: KindArg,
        /// The file.
        #[command(flatten)]
        file: KeyringFile,
    },
}

/// Which file.
#[derive(Clone, Debug, Args)]
pub struct KeyringFile {
    /// The keyring file. Unset: the one that is configured, or that of the data
    /// directory.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    configured: Layers<OfPlace>,
}

/// The file, once it is found.
struct Place {
    directory: DataDir,
    path: PathBuf,
    /// Whether it was looked for in the configuration.
    is_configured: bool,
}

/// A kind of key, as it is named on the command line.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum KindArg {
    /// The key that secrets are hashed under.
    Pepper,
    /// The key that texts are sealed with.
    Sealing,
}

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// A file can't be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// There is a file.
    #[error("{0} exists already: a keyring is never written over")]
    Exists(PathBuf),
    /// There is a store, which was made with another keyring.
    #[error("there is a store in {0}: it can't be used without the keyring that it was made with")]
    HasStore(PathBuf),
    /// There is no file.
    #[error("{0} is missing: make one with `credd keyring init`")]
    Missing(PathBuf),
    /// The file is no keyring.
    #[error("{path}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Why.
        source: InvalidKeyringFile,
    },
    /// No key can be added.
    #[error("{path}")]
    Add {
        /// The file.
        path: PathBuf,
        /// Why.
        source: AddError,
    },
    /// The system has no random bytes.
    #[error(transparent)]
    Random(#[from] RandomUnavailable),
    /// The configuration is wrong.
    #[error("{0}")]
    Configuration(Problems),
    /// What was done can't be told.
    #[error("can't write to the standard output")]
    Output(#[source] io::Error),
}

impl KeyringCommand {
    /// Does it, and tells what was done.
    #[must_use]
    pub fn run(&self, log: &Flags<OfLog>) -> ExitCode {
        let done = match self {
            Self::Init(file) => file.place(log).and_then(|place| init(&place)),
            Self::Show(file) => file.place(log).and_then(|place| show(&place)),
            Self::Add { kind, file } => file
                .place(log)
                .and_then(|place| add((*kind).into(), &place)),
        };
        let told = done.and_then(|told| {
            let mut out = io::stdout().lock();
            let written = out.write_all(told.as_bytes()).and_then(|()| out.flush());
            written.map_err(KeyringError::Output)
        });
        match told {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{}", telemetry::chain(&error));
                ExitCode::FAILURE
            }
        }
    }
}

impl KeyringFile {
    fn place(&self, log: &Flags<OfLog>) -> Result<Place, KeyringError> {
        if let Some(path) = self.file.clone() {
            let parent = path.parent().unwrap_or_else(|| Path::new("."));
            return Ok(Place {
                directory: DataDir::new(parent.to_owned()),
                path,
                is_configured: false,
            });
        }
        let settings = self.configured.settings(log);
        let settings = settings.map_err(KeyringError::Configuration)?;
        let directory = DataDir::new(settings.store.data_dir.clone());
        let path = settings.keyring.file.clone();
        Ok(Place {
            path: path.unwrap_or_else(|| directory.keyring()),
            directory,
            is_configured: true,
        })
    }
}

fn init(place: &Place) -> Result<String, KeyringError> {
    let (directory, path) = (&place.directory, place.path.clone());
    if place.is_configured {
        directory.create()?;
        if SledStore::exists(&directory.store()).unwrap_or(true) && !path.exists() {
            return Err(KeyringError::HasStore(directory.path().to_owned()));
        }
    }
    let text = keyring_file::generate(&SystemRandom::new())?;
    let new = beside(&path);
    let written = write_new(&new, &text, 0o600, None)
        // Unlike a renaming it fails where there is a file.
        .and_then(|()| fs::hard_link(&new, &path))
        .and_then(|()| sync_directory(&path));
    let _ = fs::remove_file(&new);
    match written {
        Ok(()) => Ok(format!(
            "made {path} with a pepper and a sealing key\n\
             Back it up, apart from the store: without it no credential works.\n",
            path = path.display()
        )),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Err(KeyringError::Exists(path))
        }
        Err(source) => Err(FileError { path, source }.into()),
    }
}

fn show(place: &Place) -> Result<String, KeyringError> {
    use std::fmt::Write as _;

    let path = place.path.clone();
    let text = read(&place.directory, &path)?;
    let keyring = keyring_file::parse(&text);
    let checks = keyring
        .map_err(|source| KeyringError::Invalid { path, source })?
        .checks();
    let mut told = String::from("kind     version  check value\n");
    for kind in KeyKind::ALL {
        for (version, check) in checks.of(kind) {
            // Writing to a String does not fail.
            let _ = writeln!(
                told,
                "{:<7}  {:<7}  {}",
                kind.name(),
                version.0,
                HEXLOWER.encode(check)
            );
        }
    }
    Ok(told)
}

fn add(kind: KeyKind, place: &Place) -> Result<String, KeyringError> {
    // What a link points to is replaced, not the link.
    let path = fs::canonicalize(&place.path).unwrap_or_else(|_| place.path.clone());
    let text = read(&place.directory, &path)?;
    let added = keyring_file::add(&text, kind, &SystemRandom::new());
    let (text, version) = added.map_err(|source| KeyringError::Add {
        path: path.clone(),
        source,
    })?;
    let new = beside(&path);
    let replaced = fs::metadata(&path).and_then(|before| {
        let mode = before.permissions().mode() & 0o7777;
        write_new(&new, &text, mode, Some((before.uid(), before.gid())))?;
        fs::rename(&new, &path)?;
        sync_directory(&path)
    });
    if let Err(source) = replaced {
        let _ = fs::remove_file(&new);
        return Err(FileError { path, source }.into());
    }
    Ok(next_steps(kind, version, &path))
}

fn next_steps(kind: KeyKind, version: KeyVersion, path: &Path) -> String {
    let moves = match kind {
        KeyKind::Pepper => "Secrets move to it as they are presented",
        KeyKind::Sealing => "Sealed secrets move to it in the background",
    };
    format!(
        "added {kind} version {version} to {path}\n\
         Nothing uses it yet. Next:\n\
         1. Back the file up, and see that every server has it: a running server reads it\n   \
            again within seconds, and `credd key list` then says that the version is loaded.\n\
         2. `credd key rotate {kind} {version}` makes it the active one.\n\
         3. {moves}; `credd key list` says how many remain.\n\
         4. `credd key retire {kind}` with the version before, when nothing remains on it.\n\
         5. Take the retired version out of the file.\n",
        path = path.display()
    )
}

fn read(directory: &DataDir, path: &Path) -> Result<Zeroizing<String>, KeyringError> {
    let text = directory.read(path)?;
    text.ok_or_else(|| KeyringError::Missing(path.to_owned()))
}

/// Where the file is written before it is put in its place.
fn beside(path: &Path) -> PathBuf {
    path.with_extension(format!("new-{}", std::process::id()))
}

/// Writes a file that is not there, durably, with a mode and, unless it is the
/// caller's anyway, for an owner and a group.
fn write_new(path: &Path, text: &str, mode: u32, owner: Option<(u32, u32)>) -> io::Result<()> {
    // What a process with the same number left that was killed here.
    let _ = fs::remove_file(path);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    if let Some((uid, gid)) = owner {
        let own = file.metadata()?;
        if (own.uid(), own.gid()) != (uid, gid) {
            fchown(&file, Some(uid), Some(gid))?;
        }
    }
    file.write_all(text.as_bytes())?;
    // Whatever the umask.
    file.set_permissions(Permissions::from_mode(mode))?;
    file.sync_all()
}

fn sync_directory(of: &Path) -> io::Result<()> {
    let parent = of.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or_else(|| Path::new(".")))?.sync_all()
}

impl From<KindArg> for KeyKind {
    fn from(kind: KindArg) -> Self {
        match kind {
            KindArg::Pepper => Self::Pepper,
            KindArg::Sealing => Self::Sealing,
        }
    }
}
