//! Compiles the contract in `proto/` to Rust, without protoc.

use std::collections::BTreeSet;
use std::env;
use std::error::Error;
use std::fs;
use std::path::PathBuf;

use protox::prost_reflect::{DescriptorPool, FieldDescriptor, MessageDescriptor};

const FILES: &[&str] = &[
    "proto/credd/v1/credential.proto",
    "proto/credd/v1/directory.proto",
    "proto/credd/v1/directory_service.proto",
    "proto/credd/v1/credential_service.proto",
    "proto/credd/v1/operations_service.proto",
    "proto/credd/v1/verification_service.proto",
    "proto/credd/v1/audit_service.proto",
    "proto/credd/store/v1/record.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");

    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_imports(true);
    compiler.include_source_info(true);
    compiler.open_files(FILES)?;

    let descriptors = PathBuf::from(env::var("OUT_DIR")?).join("credd_descriptor.bin");
    fs::write(descriptors, compiler.encode_file_descriptor_set())?;

    tonic_prost_build::configure()
        .extern_path(".google.rpc", "::tonic_types::pb")
        .bytes(".credd.store.v1")
        .btree_map(".credd.v1")
        .skip_debug(messages_with_secrets(&compiler.descriptor_pool()))
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
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
