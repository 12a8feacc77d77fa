//! Every RPC that is served, by a number: what is counted by method looks nothing up by
//! its name.

use std::collections::HashMap;
use std::sync::LazyLock;

use prost::Message as _;

use crate::proto::{FILE_DESCRIPTOR_SET, envoy};

/// An RPC, or any that there is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Method(usize);

/// What there is to know of one.
#[derive(Clone, Debug)]
struct Known {
    /// Its full name.
    name: String,
    is_stream: bool,
}

/// All of them, by their numbers, and their numbers, by full names.
static METHODS: LazyLock<(
    Vec<Known>,
    HashMap<String, Method, foldhash::fast::RandomState>,
)> = LazyLock::new(|| {
    let others = [
        (VERIFY, false),
        ("credd.v1.VerificationService/VerifyStream", true),
        (UNKNOWN, false),
    ];
    let mut all: Vec<Known> = others.map(known).into();
    for descriptors in [
        FILE_DESCRIPTOR_SET,
        envoy::FILE_DESCRIPTOR_SET,
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
    ] {
        let set = prost_types::FileDescriptorSet::decode(descriptors).unwrap_or_default();
        for (file, service) in set.file.iter().flat_map(|file| {
            let services = file.service.iter();
            services.map(move |service| (file, service))
        }) {
            for method in &service.method {
                let (package, service) = (file.package(), service.name());
                let name = format!("{package}.{service}/{}", method.name());
                if !all.iter().any(|it| it.name == name) {
                    let is_stream = method.client_streaming() || method.server_streaming();
                    all.push(Known { name, is_stream });
                }
            }
        }
    }
    let numbers = all.iter().enumerate();
    let numbers = numbers.map(|(number, it)| (it.name.clone(), Method(number)));
    let numbers = numbers.collect();
    (all, numbers)
});

const VERIFY: &str = "credd.v1.VerificationService/Verify";
/// Stands for every RPC that there is not.
const UNKNOWN: &str = "credd.unknown-rpc";

fn known((name, is_stream): (&str, bool)) -> Known {
    Known {
        name: name.to_owned(),
        is_stream,
    }
}

impl Method {
    /// `Verify`.
    pub const VERIFY: Self = Self(0);
    /// `VerifyStream`.
    pub const VERIFY_STREAM: Self = Self(1);
    /// One that there is not.
    pub const UNKNOWN: Self = Self(2);

    /// The one at a path.
    #[must_use]
    pub fn of(path: &str) -> Self {
        let Some(name) = path.strip_prefix('/') else {
            return Self::UNKNOWN;
        };
        // There are more of them than of all others.
        if name == VERIFY {
            return Self::VERIFY;
        }
        METHODS.1.get(name).copied().unwrap_or(Self::UNKNOWN)
    }

    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..METHODS.0.len()).map(Self)
    }

    /// Its number: less than there are of them.
    #[must_use]
    pub const fn number(self) -> usize {
        self.0
    }

    /// Its full name: `credd.v1.VerificationService/Verify`.
    #[must_use]
    pub fn name(self) -> &'static str {
        METHODS.0.get(self.0).map_or(UNKNOWN, |it| &it.name)
    }

    /// Whether one side sends more than one message.
    #[must_use]
    pub fn is_stream(self) -> bool {
        METHODS.0.get(self.0).is_some_and(|it| it.is_stream)
    }

    /// Whether it is of credd's contract, and not what tells of health or of the
    /// contract.
    #[must_use]
    pub fn is_credds(self) -> bool {
        self != Self::UNKNOWN && self.name().starts_with("credd.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rpc_has_its_full_name_and_what_is_none_has_not() {
        for (method, name) in [
            (Method::VERIFY, "credd.v1.VerificationService/Verify"),
            (
                Method::VERIFY_STREAM,
                "credd.v1.VerificationService/VerifyStream",
            ),
        ] {
            assert_eq!(Method::of(&format!("/{name}")), method);
            assert_eq!(method.name(), name);
        }
        for method in Method::all().filter(|method| *method != Method::UNKNOWN) {
            assert_eq!(Method::of(&format!("/{}", method.name())), method);
        }
        for name in [
            "credd.v1.AuditService/ListEvents",
            "envoy.service.auth.v3.Authorization/Check",
            "grpc.health.v1.Health/Check",
            "grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        ] {
            assert_eq!(Method::of(&format!("/{name}")).name(), name);
        }
        for none in ["", "/", "credd.v1.AuditService/ListEvents", "/x/y"] {
            assert_eq!(Method::of(none), Method::UNKNOWN);
        }
    }

    #[test]
    fn streams_are_told_from_unary_rpcs() {
        let is_stream = |name: &str| Method::of(&format!("/credd.v1.{name}")).is_stream();
        for name in [
            "VerificationService/VerifyStream",
            "VerificationService/Watch",
            "AuditService/ListEvents",
        ] {
            assert!(is_stream(name), "{name}");
        }
        for name in ["VerificationService/Verify", "CredentialService/Issue"] {
            assert!(!is_stream(name), "{name}");
        }
    }
}
