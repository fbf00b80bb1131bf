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
    /// Loaded first from the initrd, in this order: what the hardware watchdog needs.
    pub watchdog: Vec<String>,
    /// Loaded then from the initrd, in this order: what mounting the root needs.
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
    /// What a module would like to have loaded too, by names or aliases.
    wishes: BTreeMap<String, Vec<String>>,
    /// Modules by their exact aliases; patterns are for hardware and left out.
    aliases: BTreeMap<String, Vec<String>>,
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
    let offer = offer(
        &read("modules.dep")?,
        &read("modules.builtin")?,
        &read("modules.softdep")?,
        &read("modules.alias")?,
    );
    let mut names = Names::default();
    let lists: &[&str] = match flavour {
        Flavour::Vm => &["modules.vm"],
        Flavour::Metal => &["modules.vm", "modules.metal"],
    };
    for list in lists {
        for set in sets::read(&workspace::root().join("image").join(list))? {
            match set.name.as_str() {
                "watchdog" => names.watchdog.extend(set.packages),
                "early" => names.early.extend(set.packages),
                "root" => names.root.extend(set.packages),
                other => bail!("image/{list}: there is no part [{other}]"),
            }
        }
    }
    pick(&offer, &names)
}

/// The names of the lists, by part.
#[derive(Debug, Default)]
struct Names {
    watchdog: Vec<String>,
    early: Vec<String>,
    root: Vec<String>,
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

/// Copies the early modules out of a staged root to `<initrd>/early/`, and writes two lists there, one
/// absolute path per line in load order: `watchdog.list` and `modules.list`.
///
/// # Errors
/// A file cannot be copied or written.
pub fn stage_early(base: &Base, choice: &Choice, root: &Path, initrd: &Path) -> Result<()> {
    let source = root.join("usr/lib/modules").join(&base.kernel_version);
    let directory = initrd.join("early");
    fs::create_dir_all(&directory).with_context(|| format!("make {}", directory.display()))?;
    for (list, modules) in [
        ("watchdog.list", &choice.watchdog),
        ("modules.list", &choice.early),
    ] {
        let mut text = String::new();
        for module in modules {
            let name = file_name(module);
            fs::copy(source.join(module), directory.join(name))
                .with_context(|| format!("copy {module}"))?;
            text.push_str(&format!("/early/{name}\n"));
        }
        fs::write(directory.join(list), text).with_context(|| format!("write early/{list}"))?;
    }
    Ok(())
}

/// Reads the four indexes of a kernel.
fn offer(dependencies: &str, built_in: &str, wishes: &str, aliases: &str) -> Offer {
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
    for line in wishes.lines() {
        let mut words = line.split_whitespace();
        if let (Some("softdep"), Some(name)) = (words.next(), words.next()) {
            let wished = words.filter(|word| !matches!(*word, "pre:" | "post:"));
            let list = offer.wishes.entry(module_name(name)).or_default();
            list.extend(wished.map(str::to_string));
        }
    }
    for line in aliases.lines() {
        if let ["alias", alias, name] = line.split_whitespace().collect::<Vec<_>>()[..]
            && !alias.contains(['*', '[', '?'])
        {
            let list = offer.aliases.entry(alias.to_string()).or_default();
            list.push(module_name(name));
        }
    }
    offer
}

/// The pure half of [`choose`].
fn pick(offer: &Offer, names: &Names) -> Result<Choice> {
    let in_order = |names: &[String]| -> Result<Vec<String>> {
        let mut order: Vec<String> = Vec::new();
        for name in names {
            for module in with_needs(offer, name)? {
                let (path, _) = &offer.modules[&module];
                if !order.contains(path) {
                    order.push(path.clone());
                }
            }
        }
        Ok(order)
    };
    let watchdog = in_order(&names.watchdog)?;
    let mut early = in_order(&names.early)?;
    early.retain(|path| !watchdog.contains(path));
    Ok(Choice {
        root: closure(offer, names)?,
        watchdog,
        early,
    })
}

/// All named modules with everything that they need or wish for.
fn closure(offer: &Offer, names: &Names) -> Result<BTreeSet<String>> {
    let mut seen = BTreeSet::new();
    let mut paths = BTreeSet::new();
    let mut waiting: Vec<String> = Vec::new();
    for name in [&names.watchdog, &names.early, &names.root]
        .into_iter()
        .flatten()
    {
        waiting.extend(with_needs(offer, name)?);
    }
    while let Some(name) = waiting.pop() {
        if !seen.insert(name.clone()) {
            continue;
        }
        paths.insert(offer.modules[&name].0.clone());
        for wish in offer.wishes.get(&name).into_iter().flatten() {
            let by_alias = offer.aliases.get(wish).cloned().unwrap_or_default();
            for module in by_alias.into_iter().chain([module_name(wish)]) {
                // A wish that this kernel cannot grant is no fault: it may be built in, or of another CPU.
                if offer.modules.contains_key(&module) {
                    waiting.extend(with_needs(offer, &module)?);
                }
            }
        }
    }
    Ok(paths)
}

/// What `name` needs, and then `name`, in load order. Depmod's dependency lists are complete and in reverse
/// load order. Nothing for what is built in.
fn with_needs(offer: &Offer, name: &str) -> Result<Vec<String>> {
    let name = name.replace('-', "_");
    let Some((_, needs)) = offer.modules.get(&name) else {
        if offer.built_in.contains(&name) {
            return Ok(Vec::new());
        }
        bail!("the kernel has no module `{name}`: correct image/modules.*");
    };
    for need in needs {
        if !offer.modules.contains_key(need) {
            bail!("`{name}` needs `{need}`, which the kernel does not have");
        }
    }
    Ok(needs.iter().rev().cloned().chain([name]).collect())
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
             kernel/d/alone.ko.xz:\n\
             kernel/e/sum-fast.ko.xz:\n\
             kernel/e/sum.ko.xz:\n",
            "kernel/fs/ext4/ext4.ko\n",
            "softdep alone pre: crypto-sum post: nowhere\n",
            "alias crypto-sum sum_fast\nalias crypto-sum sum\nalias pci:v*d* top\n",
        )
    }

    fn check(early: &[&str], root: &[&str], expect: Result<(&[&str], &[&str]), &str>) {
        let strings = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let names = Names {
            early: strings(early),
            root: strings(root),
            ..Names::default()
        };
        match (pick(&example(), &names), expect) {
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
            &["mid-dle"],
            Ok((
                &["kernel/c/low.ko", "kernel/b/mid-dle.ko", "kernel/a/top.ko"],
                &["kernel/a/top.ko", "kernel/b/mid-dle.ko", "kernel/c/low.ko"],
            )),
        );
    }

    #[test]
    fn wishes_enter_the_root_by_alias_and_unknown_ones_do_not_matter() {
        check(
            &[],
            &["alone"],
            Ok((
                &[],
                &[
                    "kernel/d/alone.ko",
                    "kernel/e/sum-fast.ko",
                    "kernel/e/sum.ko",
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

    #[test]
    fn the_watchdog_is_first_and_not_loaded_twice() {
        let names = Names {
            watchdog: vec!["low".into()],
            early: vec!["mid-dle".into()],
            root: Vec::new(),
        };
        let choice = pick(&example(), &names).expect("a choice");
        assert_eq!(choice.watchdog, ["kernel/c/low.ko"]);
        assert_eq!(choice.early, ["kernel/b/mid-dle.ko"]);
    }
}
