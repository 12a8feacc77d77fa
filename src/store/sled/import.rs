//! Filling a fresh database with the keys of another store.

use std::ops::ControlFlow;

use super::Options;
use super::database::Database;
use super::error::OpenError;
use super::format::{Head, data_key, data_range, data_value, decode_revision};
use super::home::{Generation, Home};
use super::rewrite::{Pending, close, finish};
use crate::domain::revision::{Position, Revision, StoreId};
use crate::store::{Contents, KeyRange, Write};

/// A database that is being filled.
#[derive(Debug)]
pub struct Import<'a> {
    database: &'a Database,
    pending: Pending<'a>,
}

impl Import<'_> {
    /// Puts or deletes a key, as the commit of this revision did. A later write of a key
    /// takes the place of an earlier.
    ///
    /// # Errors
    ///
    /// [`OpenError`] if it can't be written, or if too little room is left.
    pub fn write(&mut self, write: &Write, revision: Revision) -> Result<(), OpenError> {
        let key = data_key(&write.key);
        let mut bytes = key.len();
        match &write.value {
            Some(value) => {
                bytes += value.len();
                self.pending.batch.insert(key, data_value(revision, value));
            }
            None => self.pending.batch.remove(key),
        }
        let path = self.database.path();
        self.pending.added(1, bytes).map_err(OpenError::fault(path))
    }
}

/// Makes a database of what `fill` writes.
pub(super) fn run<E: From<OpenError>>(
    home: &Home,
    generation: Generation,
    options: &Options,
    (id, at): (StoreId, Position),
    fill: impl FnOnce(&mut Import<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let path = home.database(generation);
    let database = Database::create(&path, options)?;
    let mut import = Import {
        database: &database,
        pending: Pending::new(&database, options.reserve_bytes),
    };
    fill(&mut import)?;
    let fault = || OpenError::fault(&path);
    import.pending.finish().map_err(fault())?;
    let mut contents = Contents::default();
    let (from, to) = data_range(&KeyRange::all());
    let counted = database.range(&from, &to, |key, value| {
        contents.add(key.get(1..).unwrap_or_default(), decode_revision(&value)?);
        Ok(ControlFlow::Continue(()))
    });
    counted.map_err(fault())?;
    let head = Head {
        position: at,
        contents,
    };
    finish(&database, id, &head, at).map_err(fault())?;
    close(database, &path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;

    use super::super::SledStore;
    use super::*;
    use crate::domain::revision::ChainHash;
    use crate::store::{Batch, PageLimit, Store as _, StoreError};

    const PAGE: PageLimit = PageLimit {
        commits: 10,
        bytes: 1 << 20,
    };

    fn write(key: &'static str, value: Option<&'static str>) -> Write {
        Write {
            key: Bytes::from_static(key.as_bytes()),
            value: value.map(|value| Bytes::from_static(value.as_bytes())),
        }
    }

    fn options() -> Options {
        Options {
            reserve_bytes: 1 << 20,
            ..Options::default()
        }
    }

    #[test]
    fn what_is_put_in_is_there_with_its_revisions_and_commits_go_on() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store");
        let id = StoreId::from_random([1; 16]);
        let at = Position {
            revision: Revision::new(7),
            chain: ChainHash([3; 32]),
        };
        SledStore::import(&path, &options(), id, at, |import| {
            for n in 0..2000 {
                let key = Write {
                    key: format!("many {n:04}").into(),
                    value: Some(Bytes::from_static(b"value")),
                };
                import.write(&key, Revision::new(1))?;
            }
            import.write(&write("a", Some("old")), Revision::new(2))?;
            import.write(&write("b", Some("gone")), Revision::new(3))?;
            import.write(&write("a", Some("new")), Revision::new(5))?;
            import.write(&write("b", None), Revision::new(7))?;
            Ok::<_, OpenError>(())
        })
        .unwrap();
        for _ in 0..2 {
            let store = SledStore::open(&path, &options()).unwrap();
            assert_eq!((store.id(), store.verify().unwrap().keys), (id, 2001));
            let first = store.scan(&KeyRange::all(), 1).unwrap().remove(0);
            assert_eq!((&first.key[..], &first.value[..]), (&b"a"[..], &b"new"[..]));
            assert_eq!(first.revision, Revision::new(5));
            let before = store.changes(Revision::new(6), PAGE, Duration::ZERO);
            assert_eq!(before.unwrap_err(), StoreError::Compacted { floor: at });
        }
        let store = SledStore::open(&path, &options()).unwrap();
        assert_eq!(store.snapshot().unwrap(), at);
        let batch = Batch {
            writes: vec![write("c", Some("more"))],
            ..Batch::default()
        };
        assert_eq!(store.commit(batch).unwrap(), Revision::new(8));
        let changes = store.changes(at.revision, PAGE, Duration::ZERO).unwrap();
        assert_eq!((changes.from, changes.commits.len()), (at, 1));
        drop(store);
        let verified = SledStore::rewrite(&path, &options()).unwrap();
        assert_eq!(verified.keys, 2002);
    }

    #[test]
    fn an_import_that_fails_leaves_no_store_and_can_be_done_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store");
        let (id, at) = (StoreId::from_random([1; 16]), Position::START);
        let import = |fails: bool| {
            SledStore::import(&path, &options(), id, at, |import| {
                import.write(&write("a", Some("1")), Revision::new(1))?;
                let failed = OpenError::damaged(&path, "on purpose");
                if fails { Err(failed) } else { Ok(()) }
            })
        };
        import(true).unwrap_err();
        assert!(!SledStore::exists(&path).unwrap());
        let refused = SledStore::open(&path, &options()).unwrap_err();
        assert!(matches!(refused, OpenError::NotFound { .. }), "{refused}");
        import(false).unwrap();
        let refused = import(false).unwrap_err();
        assert!(matches!(refused, OpenError::Exists { .. }), "{refused}");
        let full = Options {
            reserve_bytes: u64::MAX,
            ..options()
        };
        let path = directory.path().join("full");
        let refused = SledStore::import(&path, &full, id, at, |import| {
            for n in 0..1000 {
                let write = Write {
                    key: format!("{n}").into(),
                    value: None,
                };
                import.write(&write, Revision::new(1))?;
            }
            Ok::<_, OpenError>(())
        });
        let Err(OpenError::Io { source, .. }) = refused else {
            panic!("{refused:?}");
        };
        assert!(source.to_string().contains("kept in reserve"), "{source}");
    }
}
