//! Who calls: a connection, with or without a certificate, and metadata.

use bytes::Bytes;
use credd::proto::v1::audit_service_client::AuditServiceClient;
use credd::proto::v1::credential_service_client::CredentialServiceClient;
use credd::proto::v1::directory_service_client::DirectoryServiceClient;
use credd::proto::v1::verification_service_client::VerificationServiceClient;
use http::{HeaderMap, HeaderName, HeaderValue};
use tonic::metadata::MetadataMap;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use crate::support::{raw, soon};

pub(crate) const ON_BEHALF_OF: &str = "credd-on-behalf-of";

/// A caller.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) name: &'static str,
    pub(crate) channel: Channel,
    metadata: HeaderMap,
}

/// What came of a call, in every byte that a client can see, without the date.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) code: Code,
    pub(crate) message: String,
    pub(crate) details: Vec<u8>,
    pub(crate) metadata: Vec<(String, Vec<u8>)>,
    pub(crate) body: Option<Bytes>,
}

pub(crate) type Called = InterceptedService<Channel, Metadata>;

/// Adds metadata to each call.
#[derive(Clone)]
pub(crate) struct Metadata(HeaderMap);

impl Interceptor for Metadata {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let mut headers = request.metadata().clone().into_headers();
        headers.extend(self.0.clone());
        *request.metadata_mut() = MetadataMap::from_headers(headers);
        Ok(request)
    }
}

impl Caller {
    /// One who is known by the connection, if at all.
    pub(crate) fn over(name: &'static str, channel: Channel) -> Self {
        Self {
            name,
            channel,
            metadata: HeaderMap::new(),
        }
    }

    /// The same with more metadata.
    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        self.metadata.append(HeaderName::from_static(name), value);
        self
    }

    pub(crate) fn bearing(self, token: &str) -> Self {
        self.with("authorization", &format!("Bearer {token}"))
    }

    pub(crate) fn on_behalf_of(self, principal: &str) -> Self {
        self.with(ON_BEHALF_OF, principal)
    }

    pub(crate) fn audit(&self) -> AuditServiceClient<Called> {
        AuditServiceClient::with_interceptor(self.channel.clone(), self.interceptor())
    }

    pub(crate) fn credentials(&self) -> CredentialServiceClient<Called> {
        CredentialServiceClient::with_interceptor(self.channel.clone(), self.interceptor())
    }

    pub(crate) fn directory(&self) -> DirectoryServiceClient<Called> {
        DirectoryServiceClient::with_interceptor(self.channel.clone(), self.interceptor())
    }

    pub(crate) fn verification(&self) -> VerificationServiceClient<Called> {
        VerificationServiceClient::with_interceptor(self.channel.clone(), self.interceptor())
    }

    fn interceptor(&self) -> Metadata {
        Metadata(self.metadata.clone())
    }

    /// Calls an RPC, `SERVICE/METHOD`, with one message; returns the first message
    /// of the answer.
    pub(crate) async fn call(&self, rpc: &str, message: impl Into<Bytes>) -> Result<Bytes, Status> {
        let mut request = Request::new(message.into());
        *request.metadata_mut() = MetadataMap::from_headers(self.metadata.clone());
        soon(rpc, raw::call(self.channel.clone(), rpc, request)).await
    }

    /// The code with which an RPC ends.
    pub(crate) async fn code(&self, rpc: &str, message: impl Into<Bytes>) -> Code {
        match self.call(rpc, message).await {
            Ok(_) => Code::Ok,
            Err(status) => status.code(),
        }
    }

    /// All that comes of a call.
    pub(crate) async fn answer(&self, rpc: &str, message: impl Into<Bytes>) -> Answer {
        match self.call(rpc, message).await {
            Ok(body) => Answer {
                code: Code::Ok,
                message: String::new(),
                details: Vec::new(),
                metadata: Vec::new(),
                body: Some(body),
            },
            Err(status) => Answer::of(&status),
        }
    }
}

impl Answer {
    fn of(status: &Status) -> Self {
        let headers = status.metadata().clone().into_headers();
        let mut metadata: Vec<_> = headers
            .iter()
            .filter(|(name, _)| *name != "date")
            .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
            .collect();
        metadata.sort();
        Self {
            code: status.code(),
            message: status.message().to_owned(),
            details: status.details().to_vec(),
            metadata,
            body: None,
        }
    }

    /// The same with one text in place of another that is as long.
    pub(crate) fn replacing(self, text: &str, by: &str) -> Self {
        assert_eq!(text.len(), by.len());
        let replaced = |bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            let (text, by) = (text.as_bytes(), by.as_bytes());
            for at in 0..bytes.len().saturating_sub(text.len() - 1) {
                if bytes[at..].starts_with(text) {
                    bytes[at..at + text.len()].copy_from_slice(by);
                }
            }
            bytes
        };
        Self {
            code: self.code,
            message: self.message.replace(text, by),
            details: replaced(&self.details),
            metadata: self.metadata,
            body: self.body.map(|body| replaced(&body).into()),
        }
    }
}
