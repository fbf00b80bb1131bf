//! Compiles the interface definition.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = "proto/runtime.proto";
    println!("cargo:rerun-if-changed={file}");
    tonic_prost_build::configure()
        .build_transport(false)
        // Its secrets are not for logs: `Debug` is written by hand.
        .skip_debug(["runtime.v1.AuthConfig"])
        .compile_fds(protox::compile([file], ["proto"])?)?;
    Ok(())
}
