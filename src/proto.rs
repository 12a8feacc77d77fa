//! The generated types of the contract in `proto/`.

/// Messages and services of the package `credd.v1`.
pub mod v1 {
    #![allow(
        missing_docs,
        unreachable_pub,
        clippy::all,
        clippy::pedantic,
        reason = "generated code"
    )]
    tonic::include_proto!("credd.v1");
}

/// Records of the package `credd.store.v1`.
pub mod store {
    #![allow(
        missing_docs,
        unreachable_pub,
        clippy::all,
        clippy::pedantic,
        reason = "generated code"
    )]
    tonic::include_proto!("credd.store.v1");
}

/// What is used of Envoy's own contract; see `proto/envoy`.
pub mod envoy {
    pub use self::generated::envoy::config::core::v3 as core;
    pub use self::generated::envoy::service::auth::v3 as auth;
    pub use self::generated::envoy::r#type::v3 as r#type;

    mod generated {
        #![allow(
            missing_docs,
            unreachable_pub,
            clippy::all,
            clippy::pedantic,
            reason = "generated code"
        )]
        tonic::include_proto!("envoy");
    }

    /// The encoded descriptors, for the tests that walk them.
    pub const FILE_DESCRIPTOR_SET: &[u8] = tonic::include_file_descriptor_set!("envoy_descriptor");
}

pub use self::etcd::{etcdserverpb, mvccpb};

/// What is used of etcd's own contract; see `proto/etcd`.
mod etcd {
    #![allow(
        missing_docs,
        unreachable_pub,
        clippy::all,
        clippy::pedantic,
        reason = "generated code"
    )]
    tonic::include_proto!("etcd");
}

/// The encoded descriptors of the contract, for reflection and for the tests
/// that walk them.
pub const FILE_DESCRIPTOR_SET: &[u8] = tonic::include_file_descriptor_set!("credd_descriptor");
