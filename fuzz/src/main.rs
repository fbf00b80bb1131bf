//! `orlop-fuzz`: lists the targets, writes a target's seeds as files, and tries files on a target again.

use anyhow::{Context as _, Result, bail};
use orlop_fuzz::{TARGETS, Target};
use std::path::Path;

const HELP: &str = "orlop-fuzz list | seeds TARGET DIRECTORY | replay TARGET FILE...";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["list"] => {
            for target in TARGETS {
                println!("{}\t{}", target.name, target.about);
            }
        }
        ["seeds", target, directory] => {
            std::fs::create_dir_all(directory).with_context(|| format!("make {directory}"))?;
            for (number, seed) in find(target)?.seeds()?.iter().enumerate() {
                let path = Path::new(directory).join(format!("seed-{number}"));
                std::fs::write(&path, seed).with_context(|| format!("write {}", path.display()))?;
            }
        }
        ["replay", target, files @ ..] => {
            for file in files {
                let bytes = std::fs::read(file).with_context(|| format!("read {file}"))?;
                (find(target)?.run)(&bytes);
                println!("{file}: holds");
            }
        }
        _ => bail!("usage: {HELP}"),
    }
    Ok(())
}

fn find(name: &str) -> Result<&'static Target> {
    Target::find(name)
        .with_context(|| format!("there is no target {name}; `orlop-fuzz list` shows them"))
}
