//! Which server is asked, and as whom.

use std::env;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use tonic::Request;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;
use zeroize::Zeroizing;

use super::failure::Failure;
use super::interrupt;
use super::time;
use crate::client::first::Beginning;
use crate::client::{Address, Config, TlsFiles, connect, token};

/// A token, in the environment.
const TOKEN: &str = "CREDD_TOKEN";

/// For how long an answer is waited for where nothing is said.
const PATIENCE: Duration = Duration::from_mins(1);

/// Which server is asked, and as whom.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Connection")]
pub(super) struct Connection {
    /// Where the server is: `https://HOST:PORT`, `http://HOST:PORT` or `unix:/PATH`. A
    /// sidecar answers `verify`, `watch` and `profile list`.
    #[arg(
        long,
        global = true,
        value_name = "ADDRESS",
        env = "CREDD_SERVER",
        default_value = "http://127.0.0.1:7420"
    )]
    server: Address,
    /// The certificates, in PEM, that sign the server's. Unset: those that the system
    /// trusts.
    #[arg(long, global = true, value_name = "FILE", env = "CREDD_CA_FILE")]
    ca_file: Option<PathBuf>,
    /// The client's certificate, in PEM, to be known by; with --key-file.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "CREDD_CERTIFICATE_FILE"
    )]
    certificate_file: Option<PathBuf>,
    /// The key of the client's certificate, in PEM.
    #[arg(long, global = true, value_name = "FILE", env = "CREDD_KEY_FILE")]
    key_file: Option<PathBuf>,
    /// A file with the token to be known by. Unset: the variable `CREDD_TOKEN` has the
    /// token, or none is sent.
    #[arg(long, global = true, value_name = "FILE", env = "CREDD_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    /// In whose name to call, such as `credd:jo`. Needs `credd.on-behalf-of`.
    #[arg(long, global = true, value_name = "PRINCIPAL")]
    on_behalf_of: Option<MetadataValue<Ascii>>,
    /// Sends secrets in plaintext to another machine.
    #[arg(long, global = true)]
    allow_plaintext: bool,
    /// For how long an answer is waited for, such as `30s`. Unset: a minute, or as long as
    /// it takes where that may be long. What goes on until it is interrupted, such as
    /// `watch`, goes on after that, too.
    #[arg(long, global = true, value_name = "DURATION", value_parser = time::patience)]
    timeout: Option<Duration>,
}

/// A connection, and who asks over it.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) channel: Channel,
    /// How the connection began.
    pub(super) beginning: Beginning,
    pub(super) server: Address,
    /// Whether there is a client's certificate to be known by.
    pub(super) has_certificate: bool,
    token: Token,
    on_behalf_of: Option<MetadataValue<Ascii>>,
    timeout: Option<Duration>,
}

/// Where the token is.
#[derive(Debug)]
enum Token {
    None,
    /// Shows nothing of itself.
    Given(MetadataValue<Ascii>),
    /// A file, which is read for each request: it may be replaced.
    InFile(PathBuf),
}

impl Connection {
    /// A connection, which is made when it is first used.
    pub(super) fn caller(self) -> Result<Caller, Failure> {
        let Self {
            server,
            ca_file: ca,
            certificate_file,
            key_file,
            token_file,
            on_behalf_of,
            allow_plaintext,
            timeout,
        } = self;
        let identity = match (certificate_file, key_file) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => {
                let text = "--certificate-file and --key-file belong together";
                return Err(Failure::Usage(text.to_owned()));
            }
        };
        let tls = TlsFiles { ca, identity };
        let mut read = None;
        if matches!(server, Address::Tcp { tls: true, .. }) {
            let files = tls.clone();
            // What is wrong with them is no fault of the connection.
            let checked = interrupt::wait(move || connect::check(&files))?;
            read = checked.map_err(|error| Failure::Usage(error.to_string()))?;
        }
        let mut config = Config::new([server.clone()]);
        config.allow_plaintext = allow_plaintext;
        config.check().map_err(|_| {
            Failure::Usage(format!(
                "secrets would be sent to {server} in plaintext\nhint: use `https`, or say \
                 --allow-plaintext"
            ))
        })?;
        let (channel, beginning) = connect::observed(&server, &tls, read);
        let caller = Caller {
            channel,
            beginning,
            server,
            has_certificate: tls.identity.is_some(),
            token: Token::find(token_file)?,
            on_behalf_of,
            timeout,
        };
        // A file that can't be read is better told before anything is done.
        caller.token.value()?;
        Ok(caller)
    }
}

impl Token {
    fn find(file: Option<PathBuf>) -> Result<Self, Failure> {
        if let Some(file) = file {
            // A pipe or the like can't be read again.
            return if file.is_file() {
                Ok(Self::InFile(file))
            } else {
                read(&file).map(Self::Given)
            };
        }
        let Some(text) = env::var_os(TOKEN).filter(|text| !text.is_empty()) else {
            return Ok(Self::None);
        };
        let text = text.into_string().ok().map(Zeroizing::new);
        let value = text.and_then(|text| token::bearer(&text));
        let value = value.ok_or_else(|| Failure::Usage(format!("{TOKEN} holds no token")))?;
        Ok(Self::Given(value))
    }

    fn value(&self) -> Result<Option<MetadataValue<Ascii>>, Failure> {
        match self {
            Self::None => Ok(None),
            Self::Given(value) => Ok(Some(value.clone())),
            Self::InFile(file) => read(file).map(Some),
        }
    }
}

/// The token in a file.
fn read(file: &Path) -> Result<MetadataValue<Ascii>, Failure> {
    let path = file.to_owned();
    let read = interrupt::wait(move || token::read(&path))?;
    read.map_err(|error| {
        Failure::Usage(format!(
            "the token can't be read from {}: {error}",
            file.display()
        ))
    })
}

impl Caller {
    /// Whether a token is sent.
    pub(super) const fn has_token(&self) -> bool {
        !matches!(self.token, Token::None)
    }

    /// A request that is answered soon.
    pub(super) fn request<T>(&self, message: T) -> Result<Request<T>, Failure> {
        self.within(self.timeout.unwrap_or(PATIENCE), message)
    }

    /// A request that may take long.
    pub(super) fn long_request<T>(&self, message: T) -> Result<Request<T>, Failure> {
        match self.timeout {
            Some(timeout) => self.within(timeout, message),
            None => self.signed(message),
        }
    }

    fn within<T>(&self, timeout: Duration, message: T) -> Result<Request<T>, Failure> {
        let mut request = self.signed(message)?;
        request.set_timeout(timeout);
        Ok(request)
    }

    fn signed<T>(&self, message: T) -> Result<Request<T>, Failure> {
        let mut request = Request::new(message);
        let metadata = request.metadata_mut();
        if let Some(value) = self.token.value()? {
            metadata.insert("authorization", value);
        }
        if let Some(value) = &self.on_behalf_of {
            metadata.insert("credd-on-behalf-of", value.clone());
        }
        Ok(request)
    }
}
