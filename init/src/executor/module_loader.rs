//! Loads kernel modules: those of the initrd, those that devices ask for, those of the plan, and, when
//! the kernel runs `init` as its modprobe, those that the kernel asks for.

use crate::planner::modules::{Index, canonical};
use rustix::fs::{Mode, OFlags};
use std::collections::BTreeSet;
use std::ffi::CString;
use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// Directory of the modules that the initrd carries, and the file in it that lists their absolute paths
/// in loading order, one per line.
pub(crate) const EARLY: &str = "/early";
/// Its list of what the hardware watchdog needs, in load order (image/README.md).
pub(crate) const EARLY_WATCHDOG: &str = "/early/watchdog.list";
/// Its list of what mounting the root needs, in load order.
pub(crate) const EARLY_MODULES: &str = "/early/modules.list";
/// linux/module.h: the file is compressed, the kernel unpacks it.
const MODULE_INIT_COMPRESSED_FILE: i32 = 4;
/// Device aliases looked at in one coldplug pass.
const ALIASES_MAX: usize = 16_384;

/// The modules of the running kernel.
#[derive(Debug, Default)]
pub(crate) struct Loader {
    directory: PathBuf,
    index: Index,
    loaded: BTreeSet<String>,
    cmdline: String,
}

impl Loader {
    /// Reads the index of the running kernel's modules.
    pub(crate) fn open(cmdline: &str) -> Self {
        let release = rustix::system::uname();
        let release = release.release().to_string_lossy().into_owned();
        let directory = Path::new("/usr/lib/modules").join(release);
        let read = |name: &str| fs::read_to_string(directory.join(name)).unwrap_or_default();
        let index = Index::parse(
            &read("modules.dep"),
            &read("modules.alias"),
            &read("modules.softdep"),
            &read("modules.builtin"),
        );
        Self {
            directory,
            index,
            loaded: loaded_now(),
            cmdline: cmdline.to_owned(),
        }
    }

    /// Modules to load for a device alias or a name, in order.
    pub(crate) fn wanted(&self, alias: &str) -> Vec<String> {
        let mut out: Vec<String> = Vec::new();
        for name in self.index.resolve(alias) {
            for module in self.index.order(&name, &self.loaded) {
                if !out.contains(&module) {
                    out.push(module);
                }
            }
        }
        out
    }

    /// Whether there is a module or a built-in of this name or alias.
    pub(crate) fn knows(&self, name: &str) -> bool {
        !self.index.resolve(name).is_empty() || self.loaded.contains(&canonical(name))
    }

    /// Loads one module; its dependencies must be loaded. A module is tried once only.
    pub(crate) fn load(&mut self, name: &str, parameters: &[String]) -> Result<(), String> {
        let Some(path) = self.index.path(name) else {
            return Err(format!("kernel module {name} is not in this release"));
        };
        let path = self.directory.join(path);
        self.loaded.insert(name.to_owned());
        let mut all = kernel_parameters(&self.cmdline, name);
        all.extend_from_slice(parameters);
        insert(&path, &all.join(" ")).map_err(|error| format!("kernel module {name}: {error}"))
    }

    /// Looks at what is loaded now, by whomever.
    pub(crate) fn refresh(&mut self) {
        self.loaded.append(&mut loaded_now());
    }

    /// Whether the release's modules carry signatures: a locked-down kernel takes no others. Looks at
    /// the first one only, since one tool has put them all there.
    pub(crate) fn signed(&self) -> bool {
        const MARK: &[u8] = b"~Module signature appended~\n";
        let end_of = |path: &str| {
            let file = fs::File::open(self.directory.join(path))?;
            let start = file.metadata()?.len().saturating_sub(MARK.len() as u64);
            let mut end = vec![0; MARK.len()];
            file.read_exact_at(&mut end, start)?;
            std::io::Result::Ok(end)
        };
        self.index
            .first_path()
            .is_some_and(|path| end_of(path).is_ok_and(|end| end == MARK))
    }

    /// Aliases of all devices that the kernel knows now.
    pub(crate) fn device_aliases() -> BTreeSet<String> {
        let mut aliases = BTreeSet::new();
        let mut add = |path: PathBuf| {
            if aliases.len() < ALIASES_MAX
                && let Ok(text) = fs::read_to_string(path)
                && !text.trim().is_empty()
            {
                aliases.insert(text.trim().to_owned());
            }
        };
        add("/sys/class/dmi/id/modalias".into());
        for bus in fs::read_dir("/sys/bus").into_iter().flatten().flatten() {
            let devices = fs::read_dir(bus.path().join("devices"));
            for device in devices.into_iter().flatten().flatten() {
                add(device.path().join("modalias"));
            }
        }
        aliases
    }
}

fn loaded_now() -> BTreeSet<String> {
    loaded(&fs::read_to_string("/proc/modules").unwrap_or_default())
}

/// The modules of `/proc/modules` (proc_modules(5)) that are ready: name, size, users, who, state, address. One
/// that another process is still loading is not; who needs it loads it too, and the kernel makes it wait.
fn loaded(text: &str) -> BTreeSet<String> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split(' ');
            let name = words.next()?;
            (words.nth(3)? == "Live").then(|| canonical(name))
        })
        .collect()
}

/// `module.key=value` words of the kernel command line.
fn kernel_parameters(cmdline: &str, name: &str) -> Vec<String> {
    cmdline
        .split_ascii_whitespace()
        .filter_map(|word| {
            let (module, parameter) = word.split_once('.')?;
            (canonical(module) == name && !module.contains('=')).then(|| parameter.to_owned())
        })
        .collect()
}

fn insert(path: &Path, parameters: &str) -> std::io::Result<()> {
    let file = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let compressed = path.extension().is_some_and(|extension| extension != "ko");
    let flags = if compressed {
        MODULE_INIT_COMPRESSED_FILE
    } else {
        0
    };
    let parameters = CString::new(parameters).map_err(std::io::Error::other)?;
    match rustix::system::finit_module(&file, &parameters, flags) {
        // Loaded already, or the hardware is not there after all: nothing is wrong.
        Ok(()) | Err(rustix::io::Errno::EXIST | rustix::io::Errno::NODEV) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Loads what a list of the initrd names and gives the failures.
pub(crate) fn load_early(list: &str, cmdline: &str) -> Vec<String> {
    let mut failures = Vec::new();
    for line in fs::read_to_string(list).unwrap_or_default().lines() {
        let path = line.trim();
        let name = canonical(path);
        if path.is_empty() {
            continue;
        }
        let parameters = kernel_parameters(cmdline, &name).join(" ");
        if let Err(error) = insert(Path::new(path), &parameters) {
            failures.push(format!("kernel module {name}: {error}"));
        }
    }
    failures
}

/// What the kernel runs as `modprobe -q -- NAME`: loads the module and what it needs. True on success.
pub(crate) fn modprobe(name: &str) -> bool {
    let cmdline = fs::read_to_string("/proc/cmdline").unwrap_or_default();
    let mut loader = Loader::open(&cmdline);
    if !loader.knows(name) {
        return false;
    }
    let wanted = loader.wanted(name);
    wanted.iter().all(|module| loader.load(module, &[]).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_that_is_still_loading_is_not_loaded() {
        let text = "ext4 1064960 0 - Loading 0x0000000000000000 (E)\n\
                    jbd2 204800 1 ext4, Live 0x0000000000000000\n\
                    virtio-rng 12288 0 - Live 0x0000000000000000\nshort 1\n";
        let expected = ["jbd2", "virtio_rng"].map(str::to_owned);
        assert_eq!(loaded(text), BTreeSet::from(expected));
    }

    #[test]
    fn parameters_of_the_command_line() {
        let cmdline = "quiet i6300esb.heartbeat=10 root=a.b=c virtio-blk.x=1";
        assert_eq!(kernel_parameters(cmdline, "i6300esb"), ["heartbeat=10"]);
        assert_eq!(kernel_parameters(cmdline, "virtio_blk"), ["x=1"]);
        assert!(kernel_parameters(cmdline, "root=a").is_empty());
    }
}
