//! Compiles etcd's interface definition, and keeps its descriptors for those who treat messages as data.

use protox::{
    Compiler,
    prost_reflect::prost_types::{DescriptorProto, FileDescriptorSet},
};
use std::{env, fs, path::PathBuf};

/// What leads from a file to the `json_name` of a field, by the numbers of `descriptor.proto`.
const MESSAGE_OF_FILE: i32 = 4;
const FIELD_OF_MESSAGE: i32 = 2;
const JSON_NAME: i32 = 10;

/// Servers have its pairs encoded already.
const RANGE_RESPONSE: &str = ".etcdserverpb.RangeResponse";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let mut compiler = Compiler::new(["proto"])?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_file("rpc.proto")?;
    let mut descriptors = compiler.file_descriptor_set();
    let out = PathBuf::from(env::var("OUT_DIR")?);
    tonic_prost_build::configure()
        .build_transport(false)
        .build_server(false)
        // Keys and values are slices of the buffer that came in: a request of a megabyte is not copied.
        .bytes(".")
        .codec_path("crate::codec::MessageCodec")
        .compile_fds(descriptors.clone())?;
    let servers = out.join("servers");
    fs::create_dir_all(&servers)?;
    tonic_prost_build::configure()
        .build_transport(false)
        .build_client(false)
        .out_dir(&servers)
        .extern_path(".etcdserverpb", "crate::etcdserverpb")
        // The same on the wire.
        .extern_path(RANGE_RESPONSE, "crate::encoded::EncodedRangeResponse")
        .codec_path("crate::codec::MessageCodec")
        .compile_fds(served(descriptors.clone()))?;
    name_as_published(&mut descriptors);
    let mut bytes = Vec::new();
    // Through the compiler's own prost: no second dependency for one call.
    protox::prost_reflect::prost::Message::encode(&descriptors, &mut bytes)?;
    fs::write(out.join("etcd.descriptors"), bytes)?;
    Ok(())
}

/// Without the service that needs no generated server: all but one of its methods have one answer.
fn served(mut descriptors: FileDescriptorSet) -> FileDescriptorSet {
    for file in &mut descriptors.file {
        file.service.retain(|service| service.name() != "Auth");
    }
    descriptors
}

/// In etcd's JSON a field has its own name, not protobuf's lower camel case, but where `json_name` is written. The
/// compiler fills in `json_name` everywhere; only the positions of the source tell which were written.
fn name_as_published(descriptors: &mut FileDescriptorSet) {
    for file in &mut descriptors.file {
        let written: Vec<Vec<i32>> = file
            .source_code_info
            .take()
            .into_iter()
            .flat_map(|info| info.location)
            .map(|location| location.path)
            .filter(|path| path.last() == Some(&JSON_NAME))
            .collect();
        for (at, message) in (0..).zip(&mut file.message_type) {
            name_fields(message, &[MESSAGE_OF_FILE, at], &written);
        }
    }
}

/// The messages here have no messages within them, so that a path is always as long.
fn name_fields(message: &mut DescriptorProto, path: &[i32], written: &[Vec<i32>]) {
    assert!(
        message.nested_type.is_empty(),
        "a nested message needs a longer path"
    );
    for (at, field) in (0..).zip(&mut message.field) {
        let path = [path, &[FIELD_OF_MESSAGE, at, JSON_NAME]].concat();
        if !written.contains(&path) {
            field.json_name.clone_from(&field.name);
        }
    }
}
