//! Following the files.
//!
//! They are told apart by their contents, so that it does not matter how they
//! are replaced: in place, by a rename, or by a symbolic link to a directory that
//! is changed to point to another one, as Kubernetes does. Whoever replaces them
//! one by one lets certificate and key be seen that do not belong together: what
//! was loaded before stays, until they do.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::time::{Duration, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::files::{Digest, Files};
use super::loaded::{LoadError, Loaded};
use super::peers::Peers;
use super::{Tls, TlsSettings};
use crate::domain::time::{Clock, SystemClock};
use crate::server::supervise::Failure;
use crate::server::telemetry::chain;

/// The shortest time from one look to the next.
const LEAST_PERIOD: Duration = Duration::from_millis(10);

/// Looks at the files, and loads what is new and good.
#[derive(Debug)]
pub struct Reloader {
    settings: TlsSettings,
    tls: Arc<Tls>,
    /// Of what is in use.
    digest: Digest,
    /// Why the last look found nothing that can be used, as it was said.
    failure: Option<String>,
}

/// What a look came to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Look {
    /// Nothing else than the last one.
    Same,
    /// The files are in use now, and were not before the look.
    Loaded,
    /// They are in use, and were something that can't be used before the look.
    Restored,
    /// They can't be used, for a reason that is new.
    Failed(String),
}

impl Reloader {
    pub(super) fn begin(settings: TlsSettings) -> Result<(Arc<Tls>, Self), LoadError> {
        let files = Files::read(&settings)?;
        let loaded = Loaded::from_files(&files, &settings, SystemClock.now())?;
        say_loaded(&settings, &loaded);
        let tls = Arc::new(Tls {
            current: ArcSwap::from_pointee(loaded),
            peers: Peers::default(),
            handshake: settings.handshake,
        });
        let reloader = Self {
            settings,
            tls: Arc::clone(&tls),
            digest: files.digest(),
            failure: None,
        };
        Ok((tls, reloader))
    }

    /// Looks again and again, until `stopping`.
    ///
    /// # Errors
    ///
    /// A look panicked.
    pub async fn run(self, stopping: CancellationToken) -> Result<(), Failure> {
        let mut ticks = interval(self.settings.reload.max(LEAST_PERIOD));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut reloader = self;
        while stopping.run_until_cancelled(ticks.tick()).await.is_some() {
            let look = move || {
                reloader.look_and_say();
                reloader
            };
            reloader = tokio::task::spawn_blocking(look).await?;
        }
        Ok(())
    }

    /// Looks, and says what is new. What stays wrong is said once.
    fn look_and_say(&mut self) {
        match self.look() {
            Look::Same => (),
            Look::Loaded => say_loaded(&self.settings, &self.tls.current.load()),
            Look::Restored => tracing::info!(
                certificate = %self.settings.certificate.display(),
                "the certificate's files are those in use again"
            ),
            Look::Failed(error) => tracing::warn!(
                error,
                "can't reload the certificate: what was loaded before stays"
            ),
        }
    }

    fn look(&mut self) -> Look {
        match self.load() {
            Ok(None) if self.failure.take().is_some() => Look::Restored,
            Ok(None) => Look::Same,
            Ok(Some((loaded, digest))) => {
                self.tls.replace(loaded);
                self.digest = digest;
                self.failure = None;
                Look::Loaded
            }
            Err(error) => {
                let error = chain(&error);
                if self.failure.as_ref() == Some(&error) {
                    return Look::Same;
                }
                self.failure = Some(error.clone());
                Look::Failed(error)
            }
        }
    }

    /// What the files make; `None` if it is in use. What could not be used the
    /// last time is tried again: the reason may have been the time of day.
    fn load(&self) -> Result<Option<(Loaded, Digest)>, LoadError> {
        let files = Files::read(&self.settings)?;
        let digest = files.digest();
        if digest == self.digest {
            return Ok(None);
        }
        let loaded = Loaded::from_files(&files, &self.settings, SystemClock.now())?;
        Ok(Some((loaded, digest)))
    }
}

fn say_loaded(settings: &TlsSettings, loaded: &Loaded) {
    let not_after = jiff::Timestamp::from_second(loaded.facts.not_after)
        .map_or_else(|_| "unknown".to_owned(), |moment| moment.to_string());
    tracing::info!(
        certificate = %settings.certificate.display(),
        serial = loaded.facts.serial,
        not_after,
        "loaded the certificate"
    );
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    /// Writes a new pair; returns the certificate's text.
    fn write_pair(directory: &Path) -> String {
        let pair = rcgen::generate_simple_self_signed(["credd.test".to_owned()]).unwrap();
        fs::write(directory.join("key"), pair.signing_key.serialize_pem()).unwrap();
        let certificate = pair.cert.pem();
        fs::write(directory.join("certificate"), &certificate).unwrap();
        certificate
    }

    fn failure(look: &Look) -> &str {
        match look {
            Look::Failed(error) => error,
            _ => panic!("{look:?}"),
        }
    }

    #[test]
    fn what_is_wrong_is_said_once_and_that_it_is_right_again_too() {
        let directory = tempfile::tempdir().unwrap();
        let [certificate, key] = ["certificate", "key"].map(|name| directory.path().join(name));
        let settings = TlsSettings {
            certificate: certificate.clone(),
            key,
            client_ca: None,
            require_client_certificate: false,
            handshake: Duration::MAX,
            reload: Duration::MAX,
        };
        let first = write_pair(directory.path());
        let (tls, mut reloader) = Tls::load(settings).unwrap();
        let config = || Arc::as_ptr(&tls.current.load().config);
        let began_with = config();
        assert_eq!(reloader.look(), Look::Same);

        let mut fails_once = |says: &str| {
            assert!(failure(&reloader.look()).contains(says));
            for _ in 0..3 {
                assert_eq!(reloader.look(), Look::Same);
            }
            assert_eq!(config(), began_with);
        };
        fs::write(&certificate, "nothing").unwrap();
        fails_once("in PEM");
        fs::remove_file(&certificate).unwrap();
        fails_once("can't be read");
        fs::write(&certificate, &first).unwrap();
        assert_eq!(reloader.look(), Look::Restored);
        assert_eq!(reloader.look(), Look::Same);
        assert_eq!(config(), began_with);

        let second = write_pair(directory.path());
        fs::write(&certificate, first).unwrap();
        assert!(failure(&reloader.look()).contains("is not that of the certificate"));
        assert_eq!(config(), began_with);
        fs::write(&certificate, second).unwrap();
        assert_eq!(reloader.look(), Look::Loaded);
        assert_eq!(reloader.look(), Look::Same);
        assert_ne!(config(), began_with);
    }
}
