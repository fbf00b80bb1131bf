//! Which kernel modules serve a device, and in which order they must be loaded.
//!
//! Reads the text files that depmod(8) makes (`modules.dep`, `modules.alias`, `modules.softdep`,
//! `modules.builtin`). The files are part of the sealed root, yet nothing in them can do more harm than
//! a module that is not found.

use std::collections::{BTreeMap, BTreeSet};

/// Modules pulled in by one request at most; a longer chain is a broken `modules.dep`.
const CHAIN_MAX: usize = 128;

/// The index of one `/usr/lib/modules/<release>` directory.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// Module name -> path relative to the directory.
    paths: BTreeMap<String, String>,
    /// Module name -> names it needs, as `modules.dep` lists them (nearest first).
    needs: BTreeMap<String, Vec<String>>,
    /// Module name -> names to load before it where they exist.
    before: BTreeMap<String, Vec<String>>,
    /// Module name -> names to load after it where they exist.
    after: BTreeMap<String, Vec<String>>,
    /// Aliases by their text before the first `:`, so that a device meets its own bus only.
    aliases: BTreeMap<String, Vec<(String, String)>>,
    /// Linked into the kernel.
    builtin: BTreeSet<String>,
}

/// `virtio-blk.ko.xz` and `virtio_blk` are the same module.
pub(crate) fn canonical(name: &str) -> String {
    let file = name.rsplit('/').next().unwrap_or(name);
    let stem = file.split(".ko").next().unwrap_or(file);
    stem.replace('-', "_")
}

/// Whether a device alias is one of network hardware, so that neither a disk nor a config source waits for its
/// driver: PCI class 02 (the kernel's Documentation/ABI/testing/sysfs-bus-pci: `bc` and `sc` are class and
/// subclass), virtio device 1 (VIRTIO 1.3 section 5), Xen's virtual interface.
pub(crate) fn serves_network(alias: &str) -> bool {
    match bus(alias) {
        "pci" => alias.contains("bc02sc"),
        "virtio" => alias.starts_with("virtio:d00000001v"),
        "xen" => alias == "xen:vif",
        _ => false,
    }
}

impl Index {
    /// Builds the index from the four files' text; a missing file is an empty text.
    pub(crate) fn parse(dep: &str, alias: &str, softdep: &str, builtin: &str) -> Self {
        let mut index = Self::default();
        for line in dep.lines() {
            let Some((path, needs)) = line.split_once(':') else {
                continue;
            };
            let name = canonical(path);
            index.needs.insert(
                name.clone(),
                needs.split_whitespace().map(canonical).collect(),
            );
            index.paths.insert(name, path.to_owned());
        }
        for line in alias.lines() {
            let mut words = line.split_whitespace();
            if let (Some("alias"), Some(pattern), Some(module)) =
                (words.next(), words.next(), words.next())
            {
                index
                    .aliases
                    .entry(bus(pattern).to_owned())
                    .or_default()
                    .push((pattern.to_owned(), canonical(module)));
            }
        }
        index.parse_softdep(softdep);
        index.builtin = builtin.lines().map(canonical).collect();
        index
    }

    fn parse_softdep(&mut self, text: &str) {
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let (Some("softdep"), Some(module)) = (words.next(), words.next()) else {
                continue;
            };
            let module = canonical(module);
            let mut early = true;
            for word in words {
                match word {
                    "pre:" => early = true,
                    "post:" => early = false,
                    name => {
                        let map = if early {
                            &mut self.before
                        } else {
                            &mut self.after
                        };
                        map.entry(module.clone()).or_default().push(canonical(name));
                    }
                }
            }
        }
    }

    /// Path of a module relative to the directory, if there is a file.
    pub(crate) fn path(&self, name: &str) -> Option<&str> {
        self.paths.get(name).map(String::as_str)
    }

    /// Path of any module.
    pub(crate) fn first_path(&self) -> Option<&str> {
        self.paths.values().next().map(String::as_str)
    }

    /// Names of the modules that a `modalias` or a name asks for; empty where there is none.
    pub(crate) fn resolve(&self, wanted: &str) -> Vec<String> {
        let name = canonical(wanted);
        if self.paths.contains_key(&name) || self.builtin.contains(&name) {
            return vec![name];
        }
        let mut found = Vec::new();
        let own = self.aliases.get(bus(wanted));
        let any = self.aliases.get(ANY_BUS).filter(|_| bus(wanted) != ANY_BUS);
        for (pattern, module) in own.into_iter().chain(any).flatten() {
            if !found.contains(module) && glob(pattern.as_bytes(), wanted.as_bytes()) {
                found.push(module.clone());
            }
        }
        found
    }

    /// Names to load for `name`, in loading order, without what is built in or in `loaded`.
    pub(crate) fn order(&self, name: &str, loaded: &BTreeSet<String>) -> Vec<String> {
        let mut out = Vec::new();
        self.visit(&canonical(name), loaded, &mut BTreeSet::new(), &mut out);
        out
    }

    fn visit(
        &self,
        name: &str,
        loaded: &BTreeSet<String>,
        seen: &mut BTreeSet<String>,
        out: &mut Vec<String>,
    ) {
        if seen.len() >= CHAIN_MAX
            || loaded.contains(name)
            || self.builtin.contains(name)
            || !self.paths.contains_key(name)
            || !seen.insert(name.to_owned())
        {
            return;
        }
        for early in self.before.get(name).into_iter().flatten() {
            self.visit(early, loaded, seen, out);
        }
        // depmod lists the nearest first; the farthest must be loaded first.
        for needed in self.needs.get(name).into_iter().flatten().rev() {
            self.visit(needed, loaded, seen, out);
        }
        out.push(name.to_owned());
        for late in self.after.get(name).into_iter().flatten() {
            self.visit(late, loaded, seen, out);
        }
    }
}

/// Key of aliases without a bus, and of those whose bus is a pattern itself ("acpi*:LNXPWRBN:*").
const ANY_BUS: &str = "";

fn bus(alias: &str) -> &str {
    alias
        .split_once(':')
        .map(|(bus, _)| bus)
        .filter(|bus| !bus.contains(['*', '?', '[']))
        .unwrap_or(ANY_BUS)
}

/// Shell-style match with `*`, `?` and `[a-z]`, as the kernel's aliases use them. Takes time
/// proportional to both lengths: only the last `*` is ever retried.
pub(crate) fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        let step = match pattern.get(p) {
            Some(b'*') => {
                star = Some((p + 1, t));
                p += 1;
                continue;
            }
            Some(b'?') => Some(1),
            Some(b'[') => class(&pattern[p..], text[t]),
            Some(byte) if *byte == text[t] => Some(1),
            _ => None,
        };
        if let Some(step) = step {
            p += step;
            t += 1;
        } else if let Some((after, from)) = star {
            star = Some((after, from + 1));
            p = after;
            t = from + 1;
        } else {
            return false;
        }
    }
    pattern[p.min(pattern.len())..]
        .iter()
        .all(|byte| *byte == b'*')
}

/// Length of the `[...]` at the front of `pattern` where it holds `byte`.
fn class(pattern: &[u8], byte: u8) -> Option<usize> {
    let end = pattern.iter().position(|b| *b == b']')?;
    let inside = &pattern[1..end];
    let mut at = 0;
    let mut hit = false;
    while at < inside.len() {
        if inside.get(at + 1) == Some(&b'-') && at + 2 < inside.len() {
            hit |= (inside[at]..=inside[at + 2]).contains(&byte);
            at += 3;
        } else {
            hit |= inside[at] == byte;
            at += 1;
        }
    }
    hit.then_some(end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn network_hardware_is_known_by_its_class() {
        for network in [
            "pci:v00001AF4d00001000sv00001AF4sd00000001bc02sc00i00",
            "pci:v00008086d000010D3sv00008086sd00000000bc02sc00i00",
            "virtio:d00000001v00001AF4",
            "xen:vif",
        ] {
            assert!(serves_network(network), "{network}");
        }
        for other in [
            "pci:v00001AF4d00001001sv00001AF4sd00000002bc01sc00i00",
            "pci:v00001B36d0000000Dsv00001AF4sd00001100bc0Csc03i30",
            "virtio:d00000002v00001AF4",
            "virtio:d00000010v00001AF4",
            "usb:v0BDAp8153d3000dc00dsc00dp00icFFisc02ip02in00",
            "xen:vbd",
        ] {
            assert!(!serves_network(other), "{other}");
        }
    }

    fn index() -> Index {
        Index::parse(
            "kernel/fs/ext4/ext4.ko.xz: kernel/fs/jbd2/jbd2.ko.xz kernel/lib/crc16.ko.xz\n\
             kernel/fs/jbd2/jbd2.ko.xz:\n\
             kernel/lib/crc16.ko.xz:\n\
             kernel/arch/crc32c-intel.ko.xz:\n\
             kernel/drivers/block/virtio_blk.ko:\n",
            "# comment\n\
             alias virtio:d00000002v* virtio_blk\n\
             alias fs-ext4 ext4\n\
             alias acpi*:LNXPWRBN:* virtio-blk\n\
             alias pci:v00008086d000025ABsv*sd*bc*sc*i* i6300esb\n",
            "softdep ext4 pre: crc32c-intel post: nothing\n",
            "kernel/drivers/tty/serial/8250.ko\n",
        )
    }

    fn check_order(name: &str, loaded: &[&str], expect: &[&str]) {
        let loaded = loaded.iter().map(ToString::to_string).collect();
        assert_eq!(index().order(name, &loaded), expect, "{name}");
    }

    #[test]
    fn dependencies_come_first_and_only_once() {
        check_order("ext4", &[], &["crc32c_intel", "crc16", "jbd2", "ext4"]);
        check_order("ext4", &["jbd2"], &["crc32c_intel", "crc16", "ext4"]);
        check_order("virtio-blk", &[], &["virtio_blk"]);
        check_order("8250", &[], &[]);
        check_order("absent", &[], &[]);
    }

    #[test]
    fn a_cycle_in_a_broken_file_ends() {
        let index = Index::parse("a.ko: b.ko\nb.ko: a.ko\n", "", "softdep a pre: b\n", "");
        assert_eq!(index.order("a", &BTreeSet::new()), ["b", "a"]);
    }

    #[test]
    fn a_device_finds_its_module() {
        assert_eq!(index().resolve("virtio:d00000002v00001AF4"), ["virtio_blk"]);
        assert_eq!(index().resolve("fs-ext4"), ["ext4"]);
        assert_eq!(index().resolve("acpi:LNXPWRBN:"), ["virtio_blk"]);
        assert!(index().resolve("acpi:LNXSLPBN:").is_empty());
        assert!(index().resolve("virtio:d00000001v00001AF4").is_empty());
        assert_eq!(index().resolve("virtio-blk"), ["virtio_blk"]);
    }

    fn check_glob(pattern: &str, text: &str, expect: bool) {
        assert_eq!(
            glob(pattern.as_bytes(), text.as_bytes()),
            expect,
            "{pattern} {text}"
        );
    }

    #[test]
    fn globs() {
        check_glob("pci:v*d*", "pci:v1d2", true);
        check_glob("a*b*c", "aXbYbZc", true);
        check_glob("a*b*c", "aXbYbZ", false);
        check_glob("usb:v*[0-4]", "usb:v3", true);
        check_glob("usb:v[0-4]*", "usb:v9", false);
        check_glob("a?c", "abc", true);
        check_glob("[a", "a", false);
        check_glob("", "", true);
        check_glob("*", "", true);
    }

    proptest! {
        #[test]
        fn hostile_files_never_panic(text in "[ -~\n]{0,300}", name in "[ -~]{0,20}") {
            let index = Index::parse(&text, &text, &text, &text);
            for module in index.resolve(&name) {
                index.order(&module, &BTreeSet::new());
            }
        }

        #[test]
        fn a_star_in_place_of_any_middle_matches(a in "[a-z]{0,5}", b in "[a-z]{0,9}", c in "[a-z]{0,5}") {
            let (pattern, text) = (format!("{a}*{c}"), format!("{a}{b}{c}"));
            prop_assert!(glob(pattern.as_bytes(), text.as_bytes()));
        }
    }
}
