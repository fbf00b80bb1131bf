//! What stands in for `protoc` while etcd-client is built: as much of its command line as prost-build uses, on the compiler
//! that the store's own messages are compiled by.
//!
//! ```text
//!   protoc --include_imports --include_source_info -o DESCRIPTORS -I DIRECTORY ... FILE ...
//! ```

use std::{env, error::Error, fs, io, path::PathBuf};

/// How it is called.
#[derive(Default)]
struct Arguments {
    imports: bool,
    source: bool,
    output: Option<PathBuf>,
    directories: Vec<PathBuf>,
    files: Vec<PathBuf>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = parse(env::args_os().skip(1).map(PathBuf::from))?;
    let output = arguments.output.ok_or_else(|| wrong("no -o FILE"))?;
    let mut compiler = protox::Compiler::new(arguments.directories)?;
    compiler
        .include_imports(arguments.imports)
        .include_source_info(arguments.source)
        .open_files(arguments.files)?;
    fs::write(output, compiler.encode_file_descriptor_set())?;
    Ok(())
}

fn parse(mut words: impl Iterator<Item = PathBuf>) -> io::Result<Arguments> {
    let mut arguments = Arguments::default();
    while let Some(word) = words.next() {
        match word.to_str() {
            Some("--include_imports") => arguments.imports = true,
            Some("--include_source_info") => arguments.source = true,
            Some("-o") => arguments.output = words.next(),
            Some("-I") => arguments.directories.extend(words.next()),
            // Another plug-in or form of output: what would come of it is not what was asked for.
            Some(flag) if flag.starts_with('-') => return Err(wrong(flag)),
            _ => arguments.files.push(word),
        }
    }
    Ok(arguments)
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("this stand-in for protoc does not know how: {what}"),
    )
}
