//! Chooses kernel modules: the names in `image/modules.*`, and all that they depend on. Modules are stored
//! uncompressed, with their signatures: the root is compressed as a whole, and `init` needs no decompressor.

use crate::command;
use crate::image::Flavour;
use crate::image::base::Base;
use crate::packages::sets;
use crate::tools;
use crate::workspace;
use anyhow::{Context, Result, bail};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Text files that depmod makes and `init` reads; its binary indexes are left out.
const INDEXES: &[&str] = &[
    "modules.alias",
    "modules.builtin",
    "modules.dep",
    "modules.softdep",
];
/// What depmod reads besides the modules.
const DEPMOD_INPUTS: &[&str] = &[
    "modules.builtin",
    "modules.builtin.modinfo",
    "modules.order",
];

/// The modules of a release, as paths relative to the kernel's module directory, without `.xz`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// Loaded from the initrd, in this order.
    pub early: Vec<String>,
    /// In the root, early ones included.
    pub root: BTreeSet<String>,
}

/// What the kernel offers: modules with their dependencies, and built-in names.
#[derive(Debug, Default)]
struct Offer {
    /// Path and dependencies by name, `-` written as `_`.
    modules: BTreeMap<String, (String, Vec<String>)>,
    built_in: BTreeSet<String>,
}

/// Chooses the modules of `flavour`.
///
/// # Errors
/// A list cannot be read, or names a module that the kernel does not have.
pub fn choose(flavour: Flavour, base: &Base) -> Result<Choice> {
    let read = |name: &str| {
        let path = base.modules().join(name);
        fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
    };
    let offer = offer(&read("modules.dep")?, &read("modules.builtin")?);
    let mut early = Vec::new();
    let mut root = Vec::new();
    let lists: &[&str] = match flavour {
        Flavour::Vm => &["modules.vm"],
        Flavour::Metal => &["modules.vm", "modules.metal"],
    };
    for list in lists {
        for set in sets::read(&workspace::root().join("image").join(list))? {
            match set.name.as_str() {
                "early" => early.extend(set.packages),
                "root" => root.extend(set.packages),
                other => bail!("image/{list}: [{other}] is neither [early] nor [root]"),
            }
        }
    }
    pick(&offer, &early, &root)
}

/// Copies the chosen modules uncompressed to `directory` (which becomes the kernel's module directory in
/// the root) and makes its index.
///
/// # Errors
/// A module cannot be copied or unpacked, or depmod fails.
pub fn stage(base: &Base, choice: &Choice, root: &Path) -> Result<()> {
    let directory = root.join("usr/lib/modules").join(&base.kernel_version);
    let mut compressed = Vec::new();
    for module in &choice.root {
        let target = directory.join(format!("{module}.xz"));
        make_parent(&target)?;
        let source = base.modules().join(format!("{module}.xz"));
        fs::copy(&source, &target).with_context(|| format!("copy {}", source.display()))?;
        compressed.push(target);
    }
    command::output(tools::program("xz")?.arg("--decompress").args(&compressed))?;
    for name in DEPMOD_INPUTS {
        let source = base.modules().join(name);
        fs::copy(&source, directory.join(name))
            .with_context(|| format!("copy {}", source.display()))?;
    }
    command::output(
        tools::program("depmod")?
            .arg("-b")
            .arg(root.join("usr"))
            .arg(&base.kernel_version),
    )?;
    for entry in
        fs::read_dir(&directory).with_context(|| format!("list {}", directory.display()))?
    {
        let entry = entry.context("list the module directory")?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_file() && !INDEXES.contains(&name.as_str()) {
            fs::remove_file(entry.path()).with_context(|| format!("remove {name}"))?;
        }
    }
    Ok(())
}

/// Copies the early modules out of a staged root to `<initrd>/early/`, and writes `modules.list` there:
/// one absolute path per line, in load order.
///
/// # Errors
/// A file cannot be copied or written.
pub fn stage_early(base: &Base, choice: &Choice, root: &Path, initrd: &Path) -> Result<()> {
    let source = root.join("usr/lib/modules").join(&base.kernel_version);
    let directory = initrd.join("early");
    fs::create_dir_all(&directory).with_context(|| format!("make {}", directory.display()))?;
    let mut list = String::new();
    for module in &choice.early {
        let name = file_name(module);
        fs::copy(source.join(module), directory.join(name))
            .with_context(|| format!("copy {module}"))?;
        list.push_str(&format!("/early/{name}\n"));
    }
    fs::write(directory.join("modules.list"), list).context("write early/modules.list")
}

/// Reads the two indexes of a kernel.
fn offer(dependencies: &str, built_in: &str) -> Offer {
    let mut offer = Offer::default();
    for line in dependencies.lines() {
        let Some((path, needs)) = line.split_once(':') else {
            continue;
        };
        let needs = needs.split_whitespace().map(module_name).collect();
        let path = path.trim_end_matches(".xz").to_string();
        offer.modules.insert(module_name(&path), (path, needs));
    }
    offer.built_in = built_in.lines().map(module_name).collect();
    offer
}

/// The pure half of [`choose`].
fn pick(offer: &Offer, early: &[String], root: &[String]) -> Result<Choice> {
    let mut choice = Choice {
        early: Vec::new(),
        root: BTreeSet::new(),
    };
    for name in early {
        add(offer, name, &mut |path| {
            if !choice.early.iter().any(|chosen| chosen == path) {
                choice.early.push(path.to_string());
            }
        })?;
    }
    choice.root.extend(choice.early.iter().cloned());
    for name in root {
        add(offer, name, &mut |path| {
            choice.root.insert(path.to_string());
        })?;
    }
    Ok(choice)
}

/// Hands `name`'s dependencies and then `name` to `take`, each as a path. Depmod's dependency lists are
/// complete and in reverse load order.
fn add(offer: &Offer, name: &str, take: &mut dyn FnMut(&str)) -> Result<()> {
    let name = name.replace('-', "_");
    let Some((path, needs)) = offer.modules.get(&name) else {
        if offer.built_in.contains(&name) {
            return Ok(());
        }
        bail!("the kernel has no module `{name}`: correct image/modules.*");
    };
    for need in needs.iter().rev() {
        let (path, _) = offer
            .modules
            .get(need)
            .with_context(|| format!("`{name}` needs `{need}`, which the kernel does not have"))?;
        take(path);
    }
    take(path);
    Ok(())
}

/// `kernel/fs/nls/nls_iso8859-1.ko.xz` is the module `nls_iso8859_1`.
fn module_name(path: &str) -> String {
    let name = file_name(path);
    let name = name.split(".ko").next().unwrap_or(name);
    name.replace('-', "_")
}

/// What stands behind the last `/`.
fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Makes the directory in which `path` is.
fn make_parent(path: &Path) -> Result<()> {
    let parent: PathBuf = path.parent().unwrap_or(Path::new("/")).to_path_buf();
    fs::create_dir_all(&parent).with_context(|| format!("make {}", parent.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Offer {
        offer(
            "kernel/a/top.ko.xz: kernel/b/mid-dle.ko.xz kernel/c/low.ko.xz\n\
             kernel/b/mid-dle.ko.xz: kernel/c/low.ko.xz\n\
             kernel/c/low.ko.xz:\n\
             kernel/d/alone.ko.xz:\n",
            "kernel/fs/ext4/ext4.ko\n",
        )
    }

    fn check(early: &[&str], root: &[&str], expect: Result<(&[&str], &[&str]), &str>) {
        let strings = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        match (pick(&example(), &strings(early), &strings(root)), expect) {
            (Ok(choice), Ok((early, root))) => {
                assert_eq!(choice.early, early);
                assert_eq!(choice.root.into_iter().collect::<Vec<_>>(), root);
            }
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
            (found, expect) => panic!("{found:?} instead of {expect:?}"),
        }
    }

    #[test]
    fn dependencies_come_first_and_once() {
        check(
            &["top", "low"],
            &["alone"],
            Ok((
                &["kernel/c/low.ko", "kernel/b/mid-dle.ko", "kernel/a/top.ko"],
                &[
                    "kernel/a/top.ko",
                    "kernel/b/mid-dle.ko",
                    "kernel/c/low.ko",
                    "kernel/d/alone.ko",
                ],
            )),
        );
    }

    #[test]
    fn hyphens_and_underscores_are_one() {
        check(
            &[],
            &["mid_dle"],
            Ok((&[], &["kernel/b/mid-dle.ko", "kernel/c/low.ko"])),
        );
    }

    #[test]
    fn built_in_is_fine_and_unknown_is_not() {
        check(&["ext4"], &[], Ok((&[], &[])));
        check(&[], &["nowhere"], Err("no module `nowhere`"));
    }
}
