//! Compiles the contract in `proto/` to Rust, without protoc.

use std::collections::BTreeSet;
use std::env;
use std::error::Error;
use std::fs;
use std::path::PathBuf;

use protox::prost_reflect::{DescriptorPool, FieldDescriptor, MessageDescriptor};
use tonic_prost_build::Config;

const FILES: &[&str] = &[
    "proto/credd/v1/credential.proto",
    "proto/credd/v1/directory.proto",
    "proto/credd/v1/directory_service.proto",
    "proto/credd/v1/credential_service.proto",
    "proto/credd/v1/operations_service.proto",
    "proto/credd/v1/verification_service.proto",
    "proto/credd/v1/audit_service.proto",
    "proto/credd/store/v1/record.proto",
    "proto/credd/store/v1/backup.proto",
];

/// What Envoy asks of a sidecar. Its descriptors are none of what the authority
/// tells of itself by reflection.
const ENVOY_FILES: &[&str] = &["proto/envoy/service/auth/v3/external_auth.proto"];

/// What is asked of etcd.
const ETCD_FILES: &[&str] = &["proto/etcd/etcdserverpb/rpc.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");

    let compiler = compile(FILES, "credd_descriptor.bin")?;
    // By which a message is found among the descriptors.
    let mut config = Config::new();
    config.enable_type_names();
    tonic_prost_build::configure()
        .extern_path(".google.rpc", "::tonic_types::pb")
        .bytes(".credd.store.v1")
        .btree_map(".credd.v1")
        .skip_debug(messages_with_secrets(&compiler.descriptor_pool()))
        .compile_fds_with_config(compiler.file_descriptor_set(), config)?;

    let compiler = compile(ENVOY_FILES, "envoy_descriptor.bin")?;
    tonic_prost_build::configure()
        .extern_path(".google.rpc", "::tonic_types::pb")
        .build_client(false)
        .btree_map(".envoy")
        .include_file("envoy.rs")
        .skip_debug(messages_with_secrets(&compiler.descriptor_pool()))
        .compile_fds(compiler.file_descriptor_set())?;

    let compiler = compile(ETCD_FILES, "etcd_descriptor.bin")?;
    tonic_prost_build::configure()
        .build_server(false)
        .bytes(".")
        .include_file("etcd.rs")
        .skip_debug(messages_with_secrets(&compiler.descriptor_pool()))
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}

/// Reads files and what they import, and writes their descriptors to a file.
fn compile(files: &[&str], descriptors: &str) -> Result<protox::Compiler, Box<dyn Error>> {
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_imports(true);
    compiler.include_source_info(true);
    compiler.open_files(files)?;
    let descriptors = PathBuf::from(env::var("OUT_DIR")?).join(descriptors);
    fs::write(descriptors, compiler.encode_file_descriptor_set())?;
    Ok(compiler)
}

/// The messages that have a field marked `debug_redact` or that reach one that
/// has, and their oneofs: they derive no `Debug`, so that no secret can be
/// printed by accident.
fn messages_with_secrets(pool: &DescriptorPool) -> BTreeSet<String> {
    let messages: Vec<MessageDescriptor> = pool.all_messages().collect();
    let mut secret = BTreeSet::new();
    loop {
        let reaching: Vec<&MessageDescriptor> = messages
            .iter()
            .filter(|message| !secret.contains(&path(message.full_name())))
            .filter(|message| {
                message.fields().any(|field| {
                    let inner = field.kind().as_message().map(|m| path(m.full_name()));
                    is_redacted(&field) || inner.is_some_and(|inner| secret.contains(&inner))
                })
            })
            .collect();
        if reaching.is_empty() {
            break;
        }
        secret.extend(reaching.iter().map(|message| path(message.full_name())));
    }
    let oneofs: Vec<String> = messages
        .iter()
        .filter(|message| secret.contains(&path(message.full_name())))
        .flat_map(MessageDescriptor::oneofs)
        .map(|oneof| path(oneof.full_name()))
        .collect();
    secret.extend(oneofs);
    secret
}

fn is_redacted(field: &FieldDescriptor) -> bool {
    let options = field.options();
    options
        .get_field_by_name("debug_redact")
        .is_some_and(|value| value.as_bool() == Some(true))
}

fn path(full_name: &str) -> String {
    format!(".{full_name}")
}
