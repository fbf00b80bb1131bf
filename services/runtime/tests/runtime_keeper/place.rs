//! A keeper of its own, and bundles whose root is the host's /usr.

use oci_spec::runtime::{
    Capability, LinuxBuilder, LinuxCapabilities, LinuxNamespaceBuilder, LinuxNamespaceType, Mount,
    MountBuilder, Process, ProcessBuilder, RootBuilder, Spec, SpecBuilder, UserBuilder,
    get_default_mounts,
};
use orlop_runtime::{
    executor::keeper::{
        bundle,
        client::{Keeper, KeeperCallError, Running},
    },
    planner::keeper::frames::{Exit, Streams},
};
use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// Between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) keeper: Keeper,
    inner: Arc<Inner>,
}

struct Inner {
    directory: tempfile::TempDir,
    /// Not two tests' cgroups.
    name: String,
    pid: i32,
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Its containers end with their keeper's signal or by themselves: no test leaves one that runs for ever.
        if let Some(pid) = rustix::process::Pid::from_raw(self.pid) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

impl Place {
    pub(crate) async fn new() -> Self {
        let directory = tempfile::Builder::new()
            .prefix("orlop-keeper-")
            .tempdir()
            .unwrap();
        let program = Path::new(env!("CARGO_BIN_EXE_runtime_alone"));
        let keeper = Keeper::find_or_start(directory.path(), program)
            .await
            .unwrap();
        let pid = keeper.hello().await.unwrap();
        let name = directory
            .path()
            .file_name()
            .unwrap()
            .to_string_lossy()
            .into_owned();
        Self {
            keeper,
            inner: Arc::new(Inner {
                directory,
                name,
                pid,
            }),
        }
    }

    pub(crate) fn bundle(&self, id: &str) -> PathBuf {
        self.inner.directory.path().join("containers").join(id)
    }

    pub(crate) fn log(&self, id: &str) -> PathBuf {
        self.inner.directory.path().join(format!("{id}.log"))
    }

    pub(crate) fn streams(&self, id: &str) -> Streams {
        Streams {
            log: Some(self.log(id).display().to_string()),
            stdin: false,
            terminal: false,
        }
    }

    pub(crate) async fn run(
        &self,
        id: &str,
        arguments: &[&str],
        change: impl FnOnce(&mut Process),
    ) -> Result<Running, KeeperCallError> {
        self.run_with(id, arguments, self.streams(id), change).await
    }

    pub(crate) async fn run_with(
        &self,
        id: &str,
        arguments: &[&str],
        streams: Streams,
        change: impl FnOnce(&mut Process),
    ) -> Result<Running, KeeperCallError> {
        let mut process = process(arguments);
        change(&mut process);
        self.write(id, process, &[]);
        self.keeper.run(id, &self.bundle(id), streams).await
    }

    pub(crate) async fn run_filtered(
        &self,
        id: &str,
        arguments: &[&str],
        filter: &[u8],
    ) -> Result<Running, KeeperCallError> {
        self.write(id, process(arguments), filter);
        self.keeper
            .run(id, &self.bundle(id), self.streams(id))
            .await
    }

    pub(crate) fn process(&self, id: &str, number: u32, arguments: &[&str]) -> PathBuf {
        let path = self.bundle(id).join(format!("exec-{number}.json"));
        bundle::write_process(&path, &process(arguments), &[]).unwrap();
        path
    }

    fn write(&self, id: &str, process: Process, filter: &[u8]) {
        let bundle = self.bundle(id);
        let root = bundle.join("rootfs");
        for name in ["usr", "proc", "dev", "sys", "tmp", "etc"] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        for name in ["bin", "lib", "lib64", "sbin"] {
            let _ = symlink(format!("usr/{name}"), root.join(name));
        }
        bundle::write(&bundle, &self.spec(id, &root, process), filter, &[]).unwrap();
    }

    fn spec(&self, id: &str, root: &Path, process: Process) -> Spec {
        let namespaces = [
            LinuxNamespaceType::Pid,
            LinuxNamespaceType::Network,
            LinuxNamespaceType::Ipc,
            LinuxNamespaceType::Uts,
            LinuxNamespaceType::Mount,
        ];
        let namespaces =
            namespaces.map(|typ| LinuxNamespaceBuilder::default().typ(typ).build().unwrap());
        let mut mounts: Vec<Mount> = get_default_mounts();
        mounts.retain(|mount| mount.destination() != Path::new("/sys/fs/cgroup"));
        mounts.push(
            MountBuilder::default()
                .destination("/usr")
                .typ("bind")
                .source("/usr")
                .options(["rbind".to_owned(), "ro".to_owned()])
                .build()
                .unwrap(),
        );
        SpecBuilder::default()
            .version("1.0.2")
            .root(
                RootBuilder::default()
                    .path(root)
                    .readonly(false)
                    .build()
                    .unwrap(),
            )
            .process(process)
            .hostname("test")
            .mounts(mounts)
            .linux(
                LinuxBuilder::default()
                    .namespaces(namespaces)
                    .cgroups_path(format!("/{}/{id}", self.inner.name))
                    .build()
                    .unwrap(),
            )
            .build()
            .unwrap()
    }

    /// Waits for its end.
    pub(crate) async fn ended(&self, id: &str) -> Exit {
        let ended = async {
            loop {
                let known = self.keeper.list().await.unwrap();
                if let Some(exit) = known
                    .iter()
                    .find(|one| one.id == id)
                    .and_then(|one| one.exit)
                {
                    return exit;
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        tokio::time::timeout(super::PATIENCE, ended).await.unwrap()
    }

    pub(crate) async fn wait_for_log(&self, id: &str, text: &str) {
        let there = async {
            while !fs::read_to_string(self.log(id)).is_ok_and(|log| log.contains(text)) {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        tokio::time::timeout(super::PATIENCE, there).await.unwrap();
    }

    /// No process, directory or cgroup of a container.
    pub(crate) fn nothing_is_left(&self) {
        let oci = self.inner.directory.path().join("oci");
        let left: Vec<_> = fs::read_dir(oci).unwrap().flatten().collect();
        assert!(left.is_empty(), "{left:?}");
        for hierarchy in fs::read_dir("/sys/fs/cgroup").unwrap().flatten() {
            let path = hierarchy.path().join(&self.inner.name);
            let left: Vec<_> = fs::read_dir(&path)
                .into_iter()
                .flatten()
                .flatten()
                .filter(|entry| entry.path().is_dir())
                .collect();
            assert!(left.is_empty(), "{left:?}");
        }
    }
}

fn process(arguments: &[&str]) -> Process {
    let two: std::collections::HashSet<_> = [Capability::Chown, Capability::Kill].into();
    let mut capabilities = LinuxCapabilities::default();
    capabilities
        .set_bounding(Some(two.clone()))
        .set_effective(Some(two.clone()))
        .set_permitted(Some(two))
        .set_inheritable(None)
        .set_ambient(None);
    let mut process = ProcessBuilder::default()
        .user(
            UserBuilder::default()
                .uid(0_u32)
                .gid(0_u32)
                .build()
                .unwrap(),
        )
        .args(
            arguments
                .iter()
                .map(|word| (*word).to_owned())
                .collect::<Vec<_>>(),
        )
        .env(["PATH=/usr/sbin:/usr/bin:/sbin:/bin".to_owned()])
        .cwd("/")
        .capabilities(capabilities)
        .build()
        .unwrap();
    // Left out and not false: libcontainer takes them for two things.
    process.set_no_new_privileges(None);
    process
}

/// mkdir(2) and mkdirat(2) give EPERM, all else goes.
pub(crate) fn deny_mkdir() -> Vec<u8> {
    const LOAD_WORD: u16 = 0x20;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    const ERRNO_EPERM: u32 = 0x0005_0001;
    const ALLOW: u32 = 0x7fff_0000;
    let instructions: [(u16, u8, u8, u32); 5] = [
        (LOAD_WORD, 0, 0, 0),
        (JUMP_IF_EQUAL, 2, 0, 83),
        (JUMP_IF_EQUAL, 1, 0, 258),
        (RETURN, 0, 0, ALLOW),
        (RETURN, 0, 0, ERRNO_EPERM),
    ];
    let mut bytes = Vec::new();
    for (code, yes, no, value) in instructions {
        bytes.extend(code.to_ne_bytes());
        bytes.extend([yes, no]);
        bytes.extend(value.to_ne_bytes());
    }
    bytes
}
