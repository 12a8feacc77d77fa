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

/// The encoded descriptors of the contract, for reflection and for the tests
/// that walk them.
pub const FILE_DESCRIPTOR_SET: &[u8] = tonic::include_file_descriptor_set!("credd_descriptor");
