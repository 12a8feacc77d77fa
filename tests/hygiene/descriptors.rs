//! No message that has a field marked `debug_redact`, or that reaches one, can be
//! printed: the compiler says so of each type.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::marker::PhantomData;

use credd::proto::envoy::{auth, core};
use credd::proto::v1;
use credd::proto::{FILE_DESCRIPTOR_SET, envoy};
use prost::Message as _;
use wire::{DescriptorProto, FileDescriptorSet};

/// What is read here of `google/protobuf/descriptor.proto`, whose generated types
/// do not know `debug_redact`.
mod wire {
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct FileDescriptorSet {
        #[prost(message, repeated, tag = "1")]
        pub(super) file: Vec<FileDescriptorProto>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct FileDescriptorProto {
        #[prost(string, tag = "2")]
        pub(super) package: String,
        #[prost(message, repeated, tag = "4")]
        pub(super) message_type: Vec<DescriptorProto>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct DescriptorProto {
        #[prost(string, tag = "1")]
        pub(super) name: String,
        #[prost(message, repeated, tag = "2")]
        pub(super) field: Vec<FieldDescriptorProto>,
        #[prost(message, repeated, tag = "3")]
        pub(super) nested_type: Vec<DescriptorProto>,
        #[prost(message, repeated, tag = "8")]
        pub(super) oneof_decl: Vec<OneofDescriptorProto>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct FieldDescriptorProto {
        #[prost(string, tag = "1")]
        pub(super) name: String,
        #[prost(string, tag = "6")]
        pub(super) type_name: String,
        #[prost(message, optional, tag = "8")]
        pub(super) options: Option<FieldOptions>,
        #[prost(int32, optional, tag = "9")]
        pub(super) oneof_index: Option<i32>,
        #[prost(bool, tag = "17")]
        pub(super) proto3_optional: bool,
    }

    impl FieldDescriptorProto {
        pub(super) fn is_marked(&self) -> bool {
            let options = self.options.as_ref();
            options.is_some_and(|options| options.debug_redact)
        }
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct FieldOptions {
        #[prost(bool, tag = "16")]
        pub(super) debug_redact: bool,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct OneofDescriptorProto {
        #[prost(string, tag = "1")]
        pub(super) name: String,
    }
}

/// Whether a type has `Debug`: the constant of the impl, where its bound holds,
/// comes before that of the trait.
struct Probe<T>(PhantomData<T>);

impl<T: Debug> Probe<T> {
    const HAS_DEBUG: bool = true;
}

trait HasNone {
    const HAS_DEBUG: bool = false;
}

impl<T> HasNone for Probe<T> {}

macro_rules! probe {
    ($($name:literal: $type:ty,)*) => {
        BTreeMap::from([$(($name, <Probe<$type>>::HAS_DEBUG)),*])
    };
}

/// Of each message and oneof that may hold a secret, whether it has `Debug`.
fn types() -> BTreeMap<&'static str, bool> {
    probe! {
        "IssueResponse": v1::IssueResponse,
        "IssuedSecret": v1::IssuedSecret,
        "IssuedSecret.secret": v1::issued_secret::Secret,
        "UsernamePassword": v1::UsernamePassword,
        "KeyPair": v1::KeyPair,
        "HttpHeader": v1::HttpHeader,
        "RotateResponse": v1::RotateResponse,
        "RevealResponse": v1::RevealResponse,
        "ReportLeakRequest": v1::ReportLeakRequest,
        "ImportCredentialsRequest": v1::ImportCredentialsRequest,
        "ImportedCredential": v1::ImportedCredential,
        "ImportedCredential.expiry": v1::imported_credential::Expiry,
        "ImportedCredential.secret": v1::imported_credential::Secret,
        "VerifyRequest": v1::VerifyRequest,
        "VerifyStreamRequest": v1::VerifyStreamRequest,
        "Presented": v1::Presented,
        "Presented.credential": v1::presented::Credential,
        "RawHeader": v1::RawHeader,
        "RawHeader.value": v1::raw_header::Value,
        "BackupResponse": v1::BackupResponse,
    }
}

/// The same of Envoy's.
fn envoy_types() -> BTreeMap<&'static str, bool> {
    probe! {
        "service.auth.v3.CheckRequest": auth::CheckRequest,
        "service.auth.v3.CheckResponse": auth::CheckResponse,
        "service.auth.v3.CheckResponse.http_response": auth::check_response::HttpResponse,
        "service.auth.v3.OkHttpResponse": auth::OkHttpResponse,
        "service.auth.v3.DeniedHttpResponse": auth::DeniedHttpResponse,
        "service.auth.v3.AttributeContext": auth::AttributeContext,
        "service.auth.v3.AttributeContext.Request": auth::attribute_context::Request,
        "service.auth.v3.AttributeContext.HttpRequest": auth::attribute_context::HttpRequest,
        "config.core.v3.HeaderMap": core::HeaderMap,
        "config.core.v3.HeaderValue": core::HeaderValue,
        "config.core.v3.HeaderValueOption": core::HeaderValueOption,
    }
}

/// Whether a field of a message is marked `debug_redact`.
fn is_marked(message: &DescriptorProto) -> bool {
    message
        .field
        .iter()
        .any(wire::FieldDescriptorProto::is_marked)
}

/// The names of the messages and oneofs that may hold a secret, without what all of
/// them begin with.
fn secret(descriptors: &[u8], begin: &str) -> BTreeSet<String> {
    let set = FileDescriptorSet::decode(descriptors).unwrap();
    let mut messages: BTreeMap<String, &DescriptorProto> = BTreeMap::new();
    for file in &set.file {
        let package = format!(".{}.", file.package);
        let mut open: Vec<_> = file
            .message_type
            .iter()
            .map(|message| (format!("{package}{}", message.name), message))
            .collect();
        while let Some((name, message)) = open.pop() {
            let nested = message.nested_type.iter();
            open.extend(nested.map(|inner| (format!("{name}.{}", inner.name), inner)));
            messages.insert(name, message);
        }
    }
    let marked = messages.iter().filter(|(_, message)| is_marked(message));
    let mut secret: BTreeSet<String> = marked.map(|(name, _)| name.clone()).collect();
    loop {
        let reaching = messages.iter().filter(|(name, message)| {
            let mut fields = message.field.iter();
            !secret.contains(*name) && fields.any(|field| secret.contains(&field.type_name))
        });
        let reaching: Vec<_> = reaching.map(|(name, _)| name.clone()).collect();
        if reaching.is_empty() {
            break;
        }
        secret.extend(reaching);
    }
    let mut all = BTreeSet::new();
    for name in secret {
        let short = name.strip_prefix(begin).unwrap();
        for (at, oneof) in (0..).zip(&messages[&name].oneof_decl) {
            let members = messages[&name].field.iter();
            let mut members = members.filter(|field| field.oneof_index == Some(at));
            if !members.all(|field| field.proto3_optional) {
                all.insert(format!("{short}.{}", oneof.name));
            }
        }
        all.insert(short.to_owned());
    }
    all
}

#[test]
fn no_type_that_may_hold_a_secret_has_debug() {
    for (types, descriptors, begin) in [
        (types(), FILE_DESCRIPTOR_SET, ".credd.v1."),
        (envoy_types(), envoy::FILE_DESCRIPTOR_SET, ".envoy."),
    ] {
        let known: BTreeSet<_> = types.keys().map(ToString::to_string).collect();
        let secret = secret(descriptors, begin);
        assert_eq!(secret, known, "list what is new above");
        for (name, has_debug) in types {
            assert!(!has_debug, "{name} has Debug");
        }
    }
}

#[test]
fn the_probe_tells_types_apart() {
    let others = probe! {
        "Credential": v1::Credential,
        "IssueRequest": v1::IssueRequest,
        "a manual one": credd::domain::secret::Secret,
    };
    assert!(others.values().all(|has_debug| *has_debug));
}

/// Fields whose names sound of a secret are marked, or are known to be none.
#[test]
fn what_sounds_like_a_secret_is_marked() {
    const HARMLESS: [&str; 5] = [
        "page_token",
        "next_page_token",
        "resume_token",
        "token_start",
        "secret_parameter",
    ];

    let set = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap();
    let files = set.file.iter().filter(|file| file.package == "credd.v1");
    let mut marked = 0;
    for message in files.flat_map(|file| &file.message_type) {
        for field in &message.field {
            let is_text = field.type_name.is_empty();
            let sounds = ["token", "secret", "password", "sha256", "plain"]
                .iter()
                .any(|word| field.name.contains(word));
            let is_marked = field.is_marked();
            marked += usize::from(is_marked);
            let harmless = HARMLESS.contains(&field.name.as_str());
            assert!(
                !is_text || !sounds || harmless || is_marked,
                "{}.{}",
                message.name,
                field.name
            );
        }
    }
    assert!(marked >= 10);
}
