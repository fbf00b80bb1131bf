//! CNI configurations and plugins of one test.

use crate::{node::Node, place::within};
use std::{
    fs::{self, File},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

pub(crate) struct Plugins {
    directory: tempfile::TempDir,
}

impl Plugins {
    /// With Debian's plugins, and `iptables` for portmap.
    pub(crate) fn new() -> Self {
        let made = Self {
            directory: tempfile::tempdir().unwrap(),
        };
        for name in ["conf", "bin", "own", "leases"] {
            fs::create_dir(made.path(name)).unwrap();
        }
        let tree = xtask::peers::containers().unwrap();
        let libraries = tree.join("usr/lib/x86_64-linux-gnu");
        for name in ["iptables", "ip6tables"] {
            // With the C library that it was built for, not the host's.
            let script = format!(
                "#!/bin/sh\nXTABLES_LIBDIR={libraries}/xtables exec {libraries}/ld-linux-x86-64.so.2 --library-path {libraries} \
                 {tree}/usr/sbin/xtables-nft-multi {name} \"$@\"\n",
                libraries = libraries.display(),
                tree = tree.display(),
            );
            program(&made.path("bin").join(name), &script);
        }
        made
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn config(&self, name: &str, content: &str) {
        let scratch = self.path("scratch");
        fs::write(&scratch, content).unwrap();
        fs::rename(scratch, self.path("conf").join(name)).unwrap();
    }

    /// A plugin of the test's own: a shell script.
    pub(crate) fn plugin(&self, name: &str, script: &str) {
        program(&self.path("own").join(name), script);
    }

    /// Real ones wait for addresses of IPv6 to be no longer tentative, which takes seconds on a busy machine.
    pub(crate) async fn node(&self) -> Node {
        self.impatient_node("30").await
    }

    /// Plugins may take so many seconds.
    pub(crate) async fn impatient_node(&self, seconds: &str) -> Node {
        let debian = xtask::peers::containers().unwrap().join("usr/lib/cni");
        let text = |path: PathBuf| path.display().to_string();
        let arguments = vec![
            "--cni-conf-dir".to_owned(),
            text(self.path("conf")),
            "--cni-bin-dir".to_owned(),
            text(self.path("own")),
            "--cni-bin-dir".to_owned(),
            text(debian),
            "--cni-plugin-timeout".to_owned(),
            seconds.to_owned(),
        ];
        let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", text(self.path("bin")));
        Node::with(arguments, vec![("PATH".to_owned(), path)]).await
    }

    /// Lists that `host-local` has: files named by addresses.
    pub(crate) fn leases(&self, network: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path("leases").join(network));
        let mut names: Vec<_> = entries
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .filter(|name| name.starts_with(|letter: char| letter.is_ascii_digit()))
            .collect();
        names.sort();
        names
    }
}

fn program(path: &Path, script: &str) {
    fs::write(path, script).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Rules of iptables in a namespace that name a sandbox.
pub(crate) fn rules_of(namespace: &File, plugins: &Plugins, sandbox: &str) -> usize {
    let iptables = plugins.path("bin/iptables");
    let listed = within(namespace, || {
        std::process::Command::new(iptables)
            .args(["-t", "nat", "-S"])
            .output()
            .unwrap()
    });
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    text.lines().filter(|line| line.contains(sandbox)).count()
}
