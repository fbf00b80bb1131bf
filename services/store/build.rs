//! Compiles what members say to each other.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(["proto/peer.proto"], ["proto"])?;
    tonic_prost_build::configure()
        .build_transport(false)
        // Entries are slices of the buffer that came in.
        .bytes(".")
        .compile_fds(descriptors)?;
    Ok(())
}
