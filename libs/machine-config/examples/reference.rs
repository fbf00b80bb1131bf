//! Writes the generated reference of the machine config into a directory, by default
//! `docs/reference`: `cargo run --release -p orlop-machine-config --example reference -- DIRECTORY`.

use std::io;
use std::path::PathBuf;

fn main() -> io::Result<()> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference");
    let directory = std::env::args_os()
        .nth(1)
        .map_or_else(|| PathBuf::from(default), PathBuf::from);
    for (name, content) in orlop_machine_config::reference_files() {
        let path = directory.join(name);
        std::fs::write(&path, content)?;
        println!("wrote {}", path.display());
    }
    Ok(())
}
