//! Compiles the machine API's .proto, and lists its RPCs as an enum, so that a table over them that
//! misses one does not compile.

use std::{env, fmt::Write as _, fs, path::PathBuf};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = "proto/orlop/machine/v1alpha1/machine.proto";
    println!("cargo:rerun-if-changed={file}");
    let descriptors = protox::compile([file], ["proto"])?;
    let mut rpcs = Vec::new();
    for proto in &descriptors.file {
        for service in proto
            .service
            .iter()
            .filter(|_| proto.package() == "orlop.machine.v1alpha1")
        {
            for method in &service.method {
                let path = format!("/{}.{}/{}", proto.package(), service.name(), method.name());
                rpcs.push((method.name().to_owned(), path));
            }
        }
    }
    fs::write(
        PathBuf::from(env::var("OUT_DIR")?).join("rpc.rs"),
        rpc_enum(&rpcs)?,
    )?;
    tonic_prost_build::configure()
        .build_transport(false)
        .compile_fds(descriptors)?;
    Ok(())
}

fn rpc_enum(rpcs: &[(String, String)]) -> Result<String, std::fmt::Error> {
    let mut out = String::from(
        "/// Every RPC of the machine API.\n#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]\npub enum Rpc {\n",
    );
    for (name, path) in rpcs {
        writeln!(out, "    /// `{path}`.\n    {name},")?;
    }
    out.push_str(
        "}\nimpl Rpc {\n    /// All, in the order of the .proto.\n    pub const ALL: &[Self] = &[",
    );
    for (name, _) in rpcs {
        write!(out, "Self::{name}, ")?;
    }
    out.push_str("];\n    /// The HTTP/2 path of the call.\n    #[must_use]\n    pub const fn path(self) -> &'static str {\n        match self {\n");
    for (name, path) in rpcs {
        writeln!(out, "            Self::{name} => {path:?},")?;
    }
    out.push_str("        }\n    }\n    /// Its name.\n    #[must_use]\n    pub const fn name(self) -> &'static str {\n        match self {\n");
    for (name, _) in rpcs {
        writeln!(out, "            Self::{name} => {name:?},")?;
    }
    out.push_str("        }\n    }\n    /// The RPC of this path, if it is one.\n    #[must_use]\n    pub fn from_path(path: &str) -> Option<Self> {\n        Self::ALL.iter().copied().find(|rpc| rpc.path() == path)\n    }\n}\n");
    Ok(out)
}
