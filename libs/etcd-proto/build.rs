//! Compiles etcd's interface definition.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(["proto/rpc.proto"], ["proto"])?;
    tonic_prost_build::configure()
        .build_transport(false)
        // Keys and values are slices of the buffer that came in: a request of a megabyte is not copied.
        .bytes(".")
        .compile_fds(descriptors)?;
    Ok(())
}
