//! The container of a sandbox whose containers share a PID namespace: its only process is this program, which waits.

use super::{Namespaces, VERSION, namespace};
use oci_spec::runtime::{
    LinuxBuilder, LinuxCapabilities, LinuxNamespaceType, MountBuilder, ProcessBuilder, RootBuilder,
    Spec, SpecBuilder, UserBuilder,
};
use std::path::Path;

/// Where the program is in the container.
const PROGRAM: &str = "/orlop";
/// Nobody, as other pause processes.
const USER: u32 = 65535;

/// What the container is made of.
#[derive(Debug, Clone, Copy)]
pub struct Pause<'a> {
    /// An empty directory with the directories `proc` and `dev`, and the empty file `orlop`.
    pub rootfs: &'a Path,
    /// The program on the host.
    pub program: &'a Path,
    /// Its argument.
    pub argument: &'a str,
    /// The sandbox's.
    pub namespaces: Namespaces<'a>,
    /// Its cgroup, below the cgroup mount.
    pub cgroup: &'a Path,
}

/// Its spec.
#[must_use]
pub fn pause(pause: &Pause<'_>) -> Spec {
    const BUILT: &str = "no field of it is required";
    let mut namespaces = vec![
        namespace(LinuxNamespaceType::Mount, None),
        namespace(LinuxNamespaceType::Pid, None),
    ];
    let pinned = [
        (LinuxNamespaceType::Network, pause.namespaces.network),
        (LinuxNamespaceType::Ipc, pause.namespaces.ipc),
        (LinuxNamespaceType::Uts, pause.namespaces.uts),
        (LinuxNamespaceType::User, pause.namespaces.user),
    ];
    for (kind, path) in pinned {
        if path.is_some() {
            namespaces.push(namespace(kind, path));
        }
    }
    let mount = |destination: &str, kind: &str, source: &Path, options: &[&str]| {
        MountBuilder::default()
            .destination(destination)
            .typ(kind)
            .source(source)
            .options(
                options
                    .iter()
                    .map(|word| (*word).to_owned())
                    .collect::<Vec<_>>(),
            )
            .build()
            .expect(BUILT)
    };
    let process = ProcessBuilder::default()
        .user(
            UserBuilder::default()
                .uid(USER)
                .gid(USER)
                .build()
                .expect(BUILT),
        )
        .args([PROGRAM.to_owned(), pause.argument.to_owned()])
        .env(["PATH=/".to_owned()])
        .cwd("/")
        .capabilities({
            let mut none = LinuxCapabilities::default();
            none.set_bounding(None)
                .set_effective(None)
                .set_permitted(None)
                .set_inheritable(None)
                .set_ambient(None);
            none
        })
        .no_new_privileges(true)
        .build()
        .expect(BUILT);
    let linux = LinuxBuilder::default()
        .namespaces(namespaces)
        .cgroups_path(pause.cgroup)
        .masked_paths(Vec::<String>::new())
        .readonly_paths(Vec::<String>::new())
        .build()
        .expect(BUILT);
    let mut spec = SpecBuilder::default()
        .version(VERSION)
        .root(
            RootBuilder::default()
                .path(pause.rootfs)
                .readonly(true)
                .build()
                .expect(BUILT),
        )
        .mounts([
            mount(
                "/proc",
                "proc",
                Path::new("proc"),
                &["nosuid", "noexec", "nodev"],
            ),
            mount(
                "/dev",
                "tmpfs",
                Path::new("tmpfs"),
                &["nosuid", "strictatime", "mode=755", "size=64k"],
            ),
            mount(
                PROGRAM,
                "bind",
                pause.program,
                &["bind", "ro", "nosuid", "nodev"],
            ),
        ])
        .process(process)
        .linux(linux)
        .build()
        .expect(BUILT);
    spec.set_hostname(None);
    spec
}
