//! A typical pod of a kubelet, and what each change of it makes of the spec.

use super::{
    Container, Error, Facts, HostDevice, Kind, MountSource, Namespaces, Record, SandboxFiles,
    Volume, Wanted, container, find_by_prefix, limits, sandbox, seccomp_path, signal_number,
    stop_signal, volumes,
};
use crate::planner::seccomp::Kernel;
use cri_proto::runtime::{
    Capability, ContainerConfig, ContainerMetadata, Device, HugepageLimit, IdMapping, ImageSpec,
    Int64Value, KeyValue, LinuxContainerConfig, LinuxContainerResources,
    LinuxContainerSecurityContext, LinuxPodSandboxConfig, LinuxSandboxSecurityContext, Mount,
    MountPropagation, NamespaceMode, NamespaceOption, PodSandboxConfig, PodSandboxMetadata,
    SecurityProfile, Signal, SupplementalGroupsPolicy, UserNamespace, WindowsContainerConfig,
    security_profile::ProfileType,
};
use oci_spec::image::ImageConfiguration;
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n# a line that is none\nweb:x:33:44::/var/www:/bin/sh\n\
                      1000:x:7:8::/:/bin/sh\n";
const GROUP: &str = "root:x:0:\nwww:x:44:\naudio:x:29:web,root\nvideo:x:28:other, web\nempty:x:9\n";

/// What a test changes.
struct Case {
    config: ContainerConfig,
    sandbox: PodSandboxConfig,
    image: Value,
    mounts: Vec<MountSource>,
    volumes: Vec<Volume>,
    devices: Vec<HostDevice>,
    profile: Option<&'static str>,
    cgroup_v2: bool,
    swap: bool,
    apparmor: bool,
    user_namespace: bool,
}

impl Case {
    fn security(&mut self) -> &mut LinuxContainerSecurityContext {
        self.config
            .linux
            .get_or_insert_default()
            .security_context
            .get_or_insert_default()
    }

    fn resources(&mut self) -> &mut LinuxContainerResources {
        self.config
            .linux
            .get_or_insert_default()
            .resources
            .get_or_insert_default()
    }

    fn namespaces(&mut self) -> &mut NamespaceOption {
        self.security().namespace_options.get_or_insert_default()
    }

    /// In a pod with a user namespace of its own.
    fn in_user_namespace(&mut self, mapping: &IdMapping) {
        self.user_namespace = true;
        let own = Some(UserNamespace {
            mode: NamespaceMode::Pod.into(),
            uids: vec![*mapping],
            gids: vec![*mapping],
        });
        self.namespaces().userns_options.clone_from(&own);
        let linux = self.sandbox.linux.get_or_insert_default();
        let security = linux.security_context.get_or_insert_default();
        let options = security.namespace_options.get_or_insert_default();
        options.userns_options = own;
        options.pid = NamespaceMode::Container.into();
    }

    fn mount(&mut self, at: &str, mount: Mount) {
        self.mounts
            .push(MountSource::Host(PathBuf::from(&mount.host_path)));
        self.config.mounts.push(Mount {
            container_path: at.to_owned(),
            ..mount
        });
    }
}

/// As a kubelet asks for the container of a plain pod.
fn typical() -> Case {
    let strings = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    Case {
        config: ContainerConfig {
            metadata: Some(ContainerMetadata {
                name: "web".into(),
                attempt: 0,
            }),
            linux: Some(LinuxContainerConfig {
                resources: Some(LinuxContainerResources {
                    cpu_period: 100_000,
                    cpu_quota: 50_000,
                    cpu_shares: 256,
                    memory_limit_in_bytes: 64 << 20,
                    oom_score_adj: 968,
                    ..LinuxContainerResources::default()
                }),
                security_context: Some(LinuxContainerSecurityContext {
                    namespace_options: Some(NamespaceOption {
                        pid: NamespaceMode::Container.into(),
                        ..NamespaceOption::default()
                    }),
                    masked_paths: strings(&["/proc/kcore", "/sys/firmware"]),
                    readonly_paths: strings(&["/proc/sys"]),
                    seccomp: Some(SecurityProfile {
                        profile_type: ProfileType::Unconfined.into(),
                        ..SecurityProfile::default()
                    }),
                    ..LinuxContainerSecurityContext::default()
                }),
            }),
            ..ContainerConfig::default()
        },
        sandbox: PodSandboxConfig {
            metadata: Some(PodSandboxMetadata {
                name: "web-1".into(),
                uid: "u-1".into(),
                namespace: "default".into(),
                attempt: 0,
            }),
            hostname: "web-1".into(),
            linux: Some(LinuxPodSandboxConfig {
                cgroup_parent: "/kubepods/burstable/podu-1".into(),
                ..LinuxPodSandboxConfig::default()
            }),
            ..PodSandboxConfig::default()
        },
        image: json!({
            "Entrypoint": ["/entry"],
            "Cmd": ["serve", "-v"],
            "Env": ["PATH=/bin", "A=image"],
        }),
        mounts: Vec::new(),
        volumes: Vec::new(),
        devices: Vec::new(),
        profile: None,
        cgroup_v2: true,
        swap: true,
        apparmor: false,
        user_namespace: false,
    }
}

fn image(config: &Value) -> ImageConfiguration {
    serde_json::from_value(json!({
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": []},
        "config": config,
    }))
    .expect("an image's config")
}

fn made(case: &Case) -> Result<Container, Error> {
    let image = image(&case.image);
    let path = Path::new;
    container(
        &case.config,
        &case.sandbox,
        &Facts {
            id: "c1",
            rootfs: path("/run/c1/rootfs"),
            image: &image,
            passwd: PASSWD,
            group: GROUP,
            namespaces: Namespaces {
                network: Some(path("/ns/net")),
                ipc: Some(path("/ns/ipc")),
                uts: Some(path("/ns/uts")),
                user: case.user_namespace.then_some(path("/ns/user")),
                pid: Some(path("/ns/pid")),
            },
            files: SandboxFiles {
                hostname: path("/sb/hostname"),
                hosts: path("/sb/hosts"),
                resolv_conf: path("/sb/resolv.conf"),
                shm: path("/sb/shm"),
            },
            mounts: &case.mounts,
            volumes: &case.volumes,
            devices: &case.devices,
            seccomp_profile: case.profile.map(str::as_bytes),
            kernel: Kernel {
                major: 6,
                minor: 12,
            },
            capability_last: 40,
            cgroup_v2: case.cgroup_v2,
            swap_accounting: case.swap,
            apparmor: case.apparmor,
            node_name: "node-1",
        },
    )
}

/// A part of the spec's JSON after a change; sets of capabilities are sorted, as they have no order.
fn check(change: impl FnOnce(&mut Case), part: &str, expect: Value) {
    let mut case = typical();
    change(&mut case);
    let made = made(&case).expect("it can be made");
    let mut spec = serde_json::to_value(&made.spec).expect("JSON");
    if let Some(Value::Object(sets)) = spec.pointer_mut("/process/capabilities") {
        for set in sets.values_mut().filter_map(Value::as_array_mut) {
            set.sort_by_key(ToString::to_string);
        }
    }
    let found = spec.pointer(part).cloned().unwrap_or(Value::Null);
    assert_eq!(found, expect, "{part}: {found:#}");
}

fn check_error(change: impl FnOnce(&mut Case), expect: &str) {
    let mut case = typical();
    change(&mut case);
    let error = made(&case).expect_err("it cannot be made");
    assert_eq!(error.to_string(), expect);
}

#[test]
fn a_typical_pod_as_containerd_makes_it() {
    let bind = |at: &str, source: &str, options: &[&str]| {
        let options: Vec<_> = ["rbind"].iter().chain(options).collect();
        json!({"destination": at, "type": "bind", "source": source, "options": options})
    };
    check(
        |_| (),
        "",
        json!({
            "ociVersion": "1.2.0",
            "root": {"path": "/run/c1/rootfs", "readonly": false},
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc",
                    "options": ["nosuid", "noexec", "nodev"]},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
                    "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
                {"destination": "/sys", "type": "sysfs", "source": "sysfs",
                    "options": ["nosuid", "noexec", "nodev", "ro"]},
                {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
                    "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
                {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue",
                    "options": ["nosuid", "noexec", "nodev"]},
                bind("/etc/hostname", "/sb/hostname", &["rprivate", "rw"]),
                bind("/etc/hosts", "/sb/hosts", &["rprivate", "rw"]),
                bind("/etc/resolv.conf", "/sb/resolv.conf", &["rprivate", "rw"]),
                bind("/dev/shm", "/sb/shm", &["rprivate", "nosuid", "noexec", "nodev", "rw"]),
                {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
                    "options": ["nosuid", "noexec", "nodev", "relatime", "ro"]},
            ],
            "process": {
                "terminal": false,
                "user": {"uid": 0, "gid": 0, "additionalGids": [0, 29]},
                "args": ["/entry", "serve", "-v"],
                "env": ["PATH=/bin", "HOSTNAME=web-1", "A=image"],
                "cwd": "/",
                "capabilities": capability_sets(&DEFAULT),
                "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 524_288, "soft": 1024}],
                "oomScoreAdj": 968,
            },
            "annotations": {
                "io.kubernetes.container.name": "web",
                "io.kubernetes.pod.name": "web-1",
                "io.kubernetes.pod.namespace": "default",
                "io.kubernetes.pod.uid": "u-1",
            },
            "linux": {
                "resources": {
                    "devices": [
                        {"allow": false, "type": "a", "access": "rwm"},
                        {"allow": true, "type": "c", "access": "m"},
                        {"allow": true, "type": "b", "access": "m"},
                        {"allow": true, "type": "c", "major": 1, "minor": 3, "access": "rwm"},
                        {"allow": true, "type": "c", "major": 1, "minor": 5, "access": "rwm"},
                        {"allow": true, "type": "c", "major": 1, "minor": 7, "access": "rwm"},
                        {"allow": true, "type": "c", "major": 1, "minor": 8, "access": "rwm"},
                        {"allow": true, "type": "c", "major": 1, "minor": 9, "access": "rwm"},
                        {"allow": true, "type": "c", "major": 5, "minor": 0, "access": "rwm"},
                        {"allow": true, "type": "c", "major": 5, "minor": 1, "access": "rwm"},
                        {"allow": true, "type": "c", "major": 5, "minor": 2, "access": "rwm"},
                        {"allow": true, "type": "c", "major": 136, "access": "rwm"},
                    ],
                    "memory": {"limit": 67_108_864, "swap": 67_108_864},
                    "cpu": {"shares": 256, "quota": 50_000, "period": 100_000},
                },
                "cgroupsPath": "/kubepods/burstable/podu-1/c1",
                "namespaces": [
                    {"type": "mount"},
                    {"type": "cgroup"},
                    {"type": "network", "path": "/ns/net"},
                    {"type": "uts", "path": "/ns/uts"},
                    {"type": "ipc", "path": "/ns/ipc"},
                    {"type": "pid"},
                ],
                "devices": [],
                "maskedPaths": ["/proc/kcore", "/sys/firmware"],
                "readonlyPaths": ["/proc/sys"],
            },
        }),
    );
}

const DEFAULT: [&str; 14] = [
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

fn capability_sets(set: &[&str]) -> Value {
    json!({"bounding": set, "effective": set, "permitted": set, "inheritable": [], "ambient": []})
}

#[test]
fn commands() {
    let words = |words: &[&str]| {
        words
            .iter()
            .map(|word| (*word).to_owned())
            .collect::<Vec<_>>()
    };
    let check = |command: &[&str], args: &[&str], expect: Value| {
        check(
            |case| {
                case.config.command = words(command);
                case.config.args = words(args);
            },
            "/process/args",
            expect,
        );
    };
    check(&[], &[], json!(["/entry", "serve", "-v"]));
    check(&[], &["stop"], json!(["/entry", "stop"]));
    check(&["/bin/sh"], &[], json!(["/bin/sh"]));
    check(
        &["/bin/sh"],
        &["-c", "true"],
        json!(["/bin/sh", "-c", "true"]),
    );
    check_error(
        |case| case.image = json!({}),
        "a command in ContainerConfig or the image is missing",
    );
    check_error(
        |case| case.config.command = words(&[""]),
        "ContainerConfig.command \"\" is not valid: a program has a name",
    );
}

#[test]
fn environments_and_directories() {
    let env = |key: &str, value: &str| KeyValue {
        key: key.into(),
        value: value.into(),
    };
    check(
        |case| {
            case.config.envs = vec![env("A", "1"), env("B", "a=b"), env("A", "2")];
            case.config.tty = true;
        },
        "/process/env",
        json!(["PATH=/bin", "HOSTNAME=web-1", "TERM=xterm", "A=2", "B=a=b"]),
    );
    check(
        |case| {
            case.image = json!({"Cmd": ["/a"]});
            case.sandbox.hostname = String::new();
        },
        "/process/env",
        json!([
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOSTNAME=node-1"
        ]),
    );
    check_error(
        |case| case.config.envs = vec![env("A=B", "1")],
        "ContainerConfig.envs \"A=B\" is not valid: it is no variable's name, or its value has a zero byte",
    );
    let cwd = |of_image: &'static str, asked: &'static str, expect: &str| {
        check(
            |case| {
                case.image["WorkingDir"] = json!(of_image);
                case.config.working_dir = asked.into();
            },
            "/process/cwd",
            json!(expect),
        );
    };
    cwd("", "", "/");
    cwd("/srv", "", "/srv");
    cwd("srv", "", "/srv");
    cwd("/srv", "/tmp/", "/tmp");
    check_error(
        |case| case.config.working_dir = "tmp".into(),
        "ContainerConfig.working_dir \"tmp\" is not valid: it is no absolute path",
    );
}

#[test]
fn users() {
    let id = |value| Some(Int64Value { value });
    let check = |change: &dyn Fn(&mut Case), expect: (u32, u32, &[u32])| {
        check(
            change,
            "/process/user",
            json!({"uid": expect.0, "gid": expect.1, "additionalGids": expect.2}),
        );
    };
    let of_image = |user: &'static str, expect| {
        check(&move |case| case.image["User"] = json!(user), expect);
    };
    of_image("", (0, 0, &[0, 29]));
    of_image("web", (33, 44, &[44, 28, 29]));
    of_image("33", (33, 44, &[44, 28, 29]));
    // A number is a number, also where a user is named so.
    of_image("1000", (1000, 0, &[0]));
    of_image("web:audio", (33, 29, &[29, 28]));
    of_image("web:5000", (33, 5000, &[5000, 28, 29]));
    of_image("5000:5001", (5000, 5001, &[5001]));
    of_image(":audio", (0, 29, &[29]));
    check(
        &|case| case.security().run_as_user = id(33),
        (33, 44, &[44, 28, 29]),
    );
    check(
        &|case| {
            case.image["User"] = json!("web");
            case.security().run_as_user = id(0);
        },
        (0, 0, &[0, 29]),
    );
    check(
        &|case| {
            case.security().run_as_username = "web".into();
            case.security().run_as_group = id(3000);
            case.security().supplemental_groups = vec![2000, 29];
        },
        (33, 3000, &[3000, 28, 29, 2000]),
    );
    check(
        &|case| {
            case.security().run_as_user = id(33);
            case.security().supplemental_groups = vec![2000];
            case.security().supplemental_groups_policy = SupplementalGroupsPolicy::Strict.into();
        },
        (33, 44, &[44, 2000]),
    );
    check_error(
        |case| case.image["User"] = json!("nobody"),
        "no user \"nobody\" in the image",
    );
    check_error(
        |case| case.image["User"] = json!("web:none"),
        "no group \"none\" in the image",
    );
    check_error(
        |case| case.security().run_as_group = id(1),
        "LinuxContainerSecurityContext.run_as_group is not supported: it is given without a user",
    );
    check_error(
        |case| {
            case.security().run_as_user = id(1);
            case.security().run_as_username = "web".into();
        },
        "LinuxContainerSecurityContext.run_as_username is not supported: run_as_user is given too",
    );
    check_error(
        |case| case.security().run_as_user = id(-1),
        "LinuxContainerSecurityContext.run_as_user \"-1\" is not valid: IDs are from 0 to 4294967294",
    );
    let mut case = typical();
    case.image["User"] = json!("web");
    let user = made(&case).expect("it can be made").user;
    assert_eq!(
        (user.uid, user.gid, user.supplemental_groups),
        (33, 44, vec![44, 28, 29])
    );
}

#[test]
fn capabilities() {
    let check = |add: &[&str], drop: &[&str], ambient: &[&str], part: &str, expect: &[&str]| {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let asked = Capability {
            add_capabilities: words(add),
            drop_capabilities: words(drop),
            add_ambient_capabilities: words(ambient),
        };
        check(
            |case| case.security().capabilities = Some(asked),
            &format!("/process/capabilities/{part}"),
            json!(expect),
        );
    };
    check(&[], &["ALL"], &[], "bounding", &[]);
    check(
        &["NET_ADMIN"],
        &["all"],
        &[],
        "effective",
        &["CAP_NET_ADMIN"],
    );
    check(&["CAP_NET_ADMIN"], &["ALL"], &[], "inheritable", &[]);
    let kept: Vec<_> = DEFAULT
        .into_iter()
        .filter(|name| !["CAP_KILL", "CAP_CHOWN"].contains(name))
        .collect();
    check(&[], &["KILL", "CHOWN"], &[], "bounding", &kept);
    check(&[], &["ALL"], &["NET_RAW"], "ambient", &["CAP_NET_RAW"]);
    check(&[], &["ALL"], &["NET_RAW"], "inheritable", &["CAP_NET_RAW"]);
    check(&[], &["ALL"], &["NET_RAW"], "permitted", &["CAP_NET_RAW"]);
    let mut case = typical();
    case.security().privileged = true;
    let spec = made(&case).expect("it can be made").spec;
    let every = spec.process().as_ref().and_then(|process| {
        process
            .capabilities()
            .as_ref()?
            .bounding()
            .as_ref()
            .map(std::collections::HashSet::len)
    });
    assert_eq!(every, Some(41));
    check_error(
        |case| {
            case.security().capabilities = Some(Capability {
                add_capabilities: vec!["FLY".into()],
                ..Capability::default()
            });
        },
        "Capability.add_capabilities \"FLY\" is not valid: it is no capability",
    );
}

#[test]
fn no_new_privileges_is_true_or_absent() {
    check(|_| (), "/process/noNewPrivileges", Value::Null);
    check(
        |case| case.security().no_new_privs = true,
        "/process/noNewPrivileges",
        json!(true),
    );
}

#[test]
fn namespaces() {
    let check = |change: &dyn Fn(&mut Case), expect: &[&str]| {
        let mut case = typical();
        change(&mut case);
        let spec = made(&case).expect("it can be made").spec;
        let found: Vec<String> = spec
            .linux()
            .iter()
            .filter_map(|linux| linux.namespaces().as_ref())
            .flatten()
            .map(|one| match one.path() {
                Some(path) => path.display().to_string(),
                None => one.typ().to_string(),
            })
            .collect();
        assert_eq!(found, expect);
    };
    let shared = ["/ns/net", "/ns/uts", "/ns/ipc"];
    let with = |before: &[&'static str], after: &[&'static str]| [before, &shared, after].concat();
    check(&|_| (), &with(&["mnt", "cgroup"], &["pid"]));
    check(&|case| case.cgroup_v2 = false, &with(&["mnt"], &["pid"]));
    check(
        &|case| case.security().privileged = true,
        &with(&["mnt"], &["pid"]),
    );
    check(
        &|case| case.namespaces().pid = NamespaceMode::Pod.into(),
        &with(&["mnt", "cgroup"], &["/ns/pid"]),
    );
    check(
        &|case| {
            case.namespaces().pid = NamespaceMode::Target.into();
            case.namespaces().target_id = "c0".into();
        },
        &with(&["mnt", "cgroup"], &["/ns/pid"]),
    );
    check(
        &|case| {
            let node = NamespaceMode::Node.into();
            *case.namespaces() = NamespaceOption {
                network: node,
                pid: node,
                ipc: node,
                ..NamespaceOption::default()
            };
        },
        &["mnt", "cgroup"],
    );
    let mapping = || IdMapping {
        host_id: 65_536,
        container_id: 0,
        length: 65_536,
    };
    check(
        &|case| case.in_user_namespace(&mapping()),
        &with(&["mnt", "cgroup"], &["pid", "/ns/user"]),
    );
    check_error(
        |case| case.namespaces().pid = NamespaceMode::Target.into(),
        "NamespaceOption.target_id is missing",
    );
    check_error(
        |case| case.namespaces().network = NamespaceMode::Container.into(),
        "NamespaceOption.network \"CONTAINER\" is not valid: only POD and NODE are possible",
    );
    check_error(
        |case| case.namespaces().ipc = 9,
        "NamespaceOption.ipc \"9\" is not valid: it is no NamespaceMode",
    );
}

#[test]
fn privileged_containers() {
    let privileged = |case: &mut Case| case.security().privileged = true;
    check(privileged, "/linux/maskedPaths", json!([]));
    check(privileged, "/linux/readonlyPaths", json!([]));
    check(privileged, "/mounts/2/options/3", json!("rw"));
    check(privileged, "/mounts/9/options/4", json!("rw"));
    check(
        privileged,
        "/linux/resources/devices",
        json!([{"allow": true, "type": "a", "access": "rwm"}]),
    );
    let device = |path: &str| HostDevice {
        path: path.into(),
        kind: Kind::Block,
        major: 8,
        minor: 1,
        mode: 0o660,
        uid: 0,
        gid: 6,
    };
    check(
        |case| {
            privileged(case);
            case.devices = vec![
                device("/dev/null"),
                device("/dev/pts/0"),
                device("/dev/sda1"),
                device("/srv/dev/sda1"),
            ];
        },
        "/linux/devices",
        json!([{"path": "/dev/sda1", "type": "b", "major": 8, "minor": 1, "fileMode": 0o660, "uid": 0, "gid": 6}]),
    );
    // Whatever profiles it names, it has none.
    check(
        |case| {
            privileged(case);
            case.apparmor = true;
            case.security().seccomp = Some(SecurityProfile::default());
            case.security().apparmor = Some(SecurityProfile::default());
        },
        "/linux/seccomp",
        Value::Null,
    );
}

#[test]
fn devices() {
    let device = |path: &str, minor| HostDevice {
        path: path.into(),
        kind: Kind::Character,
        major: 226,
        minor,
        mode: 0o660,
        uid: 0,
        gid: 44,
    };
    let asked = |host: &str, container: &str, permissions: &str| Device {
        host_path: host.into(),
        container_path: container.into(),
        permissions: permissions.into(),
    };
    let two = |case: &mut Case| {
        case.devices = vec![
            device("/dev/dri/card0", 0),
            device("/dev/dri/renderD128", 128),
        ];
    };
    let node = |path: &str, minor: u32| json!({"path": path, "type": "c", "major": 226, "minor": minor, "fileMode": 0o660, "uid": 0, "gid": 44});
    check(
        |case| {
            two(case);
            case.config.devices = vec![asked("/dev/dri/card0", "/dev/card", "rw")];
        },
        "/linux/devices",
        json!([node("/dev/card", 0)]),
    );
    check(
        |case| {
            two(case);
            case.config.devices = vec![asked("/dev/dri/card0", "/dev/card", "rw")];
        },
        "/linux/resources/devices/12",
        json!({"allow": true, "type": "c", "major": 226, "minor": 0, "access": "rw"}),
    );
    check(
        |case| {
            two(case);
            case.config.devices = vec![asked("/dev/dri", "", "")];
        },
        "/linux/devices",
        json!([node("/dev/dri/card0", 0), node("/dev/dri/renderD128", 128)]),
    );
    check_error(
        |case| case.config.devices = vec![asked("/dev/kvm", "/dev/kvm", "rwm")],
        "ContainerConfig.devices \"/dev/kvm\" is not valid: there is no device on the node",
    );
    check_error(
        |case| {
            two(case);
            case.config.devices = vec![asked("/dev/dri", "", "rwx")];
        },
        "Device.permissions \"rwx\" is not valid: it is some of r, w and m",
    );
}

/// Where each mount is, from where, and with which options but `rbind`.
fn mounts_of(change: impl FnOnce(&mut Case)) -> Vec<String> {
    let mut case = typical();
    change(&mut case);
    let spec = made(&case).expect("it can be made").spec;
    spec.mounts()
        .iter()
        .flatten()
        .filter(|mount| mount.typ().as_deref() == Some("bind"))
        .map(|mount| {
            let source = mount.source().clone().unwrap_or_default();
            let options = mount.options().clone().unwrap_or_default()[1..].join(",");
            format!(
                "{} {} {options}",
                mount.destination().display(),
                source.display()
            )
        })
        .collect()
}

#[test]
fn mounts_in_the_order_of_depth() {
    let from = |host: &str| Mount {
        host_path: host.into(),
        ..Mount::default()
    };
    assert_eq!(
        mounts_of(|case| {
            case.security().readonly_rootfs = true;
            case.mount("/data/deep/er", from("/h/1"));
            case.mount("/etc/hosts", from("/h/hosts"));
            case.mount(
                "/data/deep/",
                Mount {
                    readonly: true,
                    propagation: MountPropagation::PropagationHostToContainer.into(),
                    ..from("/h/2")
                },
            );
            case.mount(
                "/data",
                Mount {
                    propagation: MountPropagation::PropagationBidirectional.into(),
                    ..from("/h/3")
                },
            );
            case.mount("/dev/shm", from("/h/shm"));
            case.volumes = vec![Volume {
                source: "/vol/1".into(),
                destination: "/var/lib/db".into(),
            }];
        }),
        [
            "/data /h/3 rshared,rw",
            "/etc/hostname /sb/hostname rprivate,ro",
            "/etc/resolv.conf /sb/resolv.conf rprivate,ro",
            "/etc/hosts /h/hosts rprivate,rw",
            "/data/deep /h/2 rslave,ro",
            "/dev/shm /h/shm rprivate,rw",
            "/var/lib/db /vol/1 rprivate,rw",
            "/data/deep/er /h/1 rprivate,rw",
        ]
    );
    let propagation = |propagation: MountPropagation| {
        move |case: &mut Case| {
            case.mount(
                "/a",
                Mount {
                    propagation: propagation.into(),
                    ..from("/h")
                },
            );
        }
    };
    let part = "/linux/rootfsPropagation";
    check(
        propagation(MountPropagation::PropagationPrivate),
        part,
        Value::Null,
    );
    check(
        propagation(MountPropagation::PropagationHostToContainer),
        part,
        json!("slave"),
    );
    check(
        propagation(MountPropagation::PropagationBidirectional),
        part,
        json!("shared"),
    );
}

#[test]
fn a_mount_over_dev_replaces_all_below() {
    let mut case = typical();
    case.mount(
        "/dev",
        Mount {
            host_path: "/dev".into(),
            ..Mount::default()
        },
    );
    let spec = made(&case).expect("it can be made").spec;
    let below: Vec<_> = spec
        .mounts()
        .iter()
        .flatten()
        .filter(|mount| mount.destination().starts_with("/dev"))
        .map(|mount| mount.typ().clone().unwrap_or_default())
        .collect();
    assert_eq!(below, ["bind"]);
}

#[test]
fn special_mounts() {
    assert_eq!(
        mounts_of(|case| {
            case.namespaces().ipc = NamespaceMode::Node.into();
            case.mount(
                "/r",
                Mount {
                    host_path: "/h".into(),
                    readonly: true,
                    recursive_read_only: true,
                    ..Mount::default()
                },
            );
            case.config.mounts.push(Mount {
                container_path: "/model".into(),
                image: Some(ImageSpec::default()),
                ..Mount::default()
            });
            case.mounts.push(MountSource::Image("/images/1".into()));
        })
        .into_iter()
        .filter(|mount| !mount.starts_with("/etc"))
        .collect::<Vec<_>>(),
        [
            "/r /h rprivate,rro",
            "/model /images/1 rprivate,ro,noexec",
            "/dev/shm /dev/shm rprivate,nosuid,noexec,nodev,rw",
        ]
    );
    let mapping = || IdMapping {
        host_id: 1000,
        container_id: 0,
        length: 2,
    };
    let mapped = || Mount {
        host_path: "/h".into(),
        uid_mappings: vec![mapping()],
        gid_mappings: vec![mapping()],
        ..Mount::default()
    };
    check(
        |case| {
            case.in_user_namespace(&mapping());
            case.mount("/a", mapped());
        },
        "/mounts/3/uidMappings",
        json!([{"hostID": 1000, "containerID": 0, "size": 2}]),
    );
    check(
        |case| case.in_user_namespace(&mapping()),
        "/linux/gidMappings",
        json!([{"hostID": 1000, "containerID": 0, "size": 2}]),
    );
    let check_error = |mount: Mount, expect: &str| {
        check_error(
            |case| {
                case.mount(
                    "/a",
                    Mount {
                        host_path: "/h".into(),
                        ..mount
                    },
                );
            },
            expect,
        );
    };
    check_error(
        Mount {
            recursive_read_only: true,
            ..Mount::default()
        },
        "Mount.recursive_read_only is not supported: the mount is not read-only and private",
    );
    check_error(
        mapped(),
        "Mount.uidMappings is not supported: it is not that of the pod's user namespace",
    );
    check_error(
        Mount {
            uid_mappings: vec![mapping()],
            ..Mount::default()
        },
        "one of Mount.uidMappings and Mount.gidMappings is missing",
    );
    check_error(
        Mount {
            propagation: 7,
            ..Mount::default()
        },
        "Mount.propagation \"7\" is not valid: it is no MountPropagation",
    );
    self::check_error(
        |case| {
            case.config.mounts.push(Mount {
                container_path: "/a/../b".into(),
                ..Mount::default()
            })
        },
        "Mount.container_path \"/a/../b\" is not valid: it leaves its directory",
    );
    self::check_error(
        |case| {
            case.config.mounts.push(Mount {
                container_path: "/a".into(),
                ..Mount::default()
            })
        },
        "what is behind ContainerConfig.mounts is missing",
    );
}

#[test]
fn volumes_of_the_image() {
    let mut case = typical();
    case.image["Volumes"] = json!({"/data": {}, "/cache/": {}, "/mounted": {}});
    case.mount("/mounted", Mount::default());
    let found = volumes(&case.config, &image(&case.image)).expect("good paths");
    assert_eq!(found, [Path::new("/cache"), Path::new("/data")]);
    case.image["Volumes"] = json!({"data": {}});
    let error = volumes(&case.config, &image(&case.image)).expect_err("a bad path");
    assert_eq!(
        error.to_string(),
        "the image's Volumes \"data\" is not valid: it is no absolute path"
    );
}

#[test]
fn resources() {
    let check = |asked: LinuxContainerResources, expect: Value| {
        let found = limits(&asked, true, true).expect("they can be had");
        assert_eq!(serde_json::to_value(found).expect("JSON"), expect);
    };
    let none = LinuxContainerResources::default;
    check(none(), json!({"memory": {}, "cpu": {}}));
    check(
        LinuxContainerResources {
            cpu_quota: -1,
            cpuset_cpus: "0-1".into(),
            cpuset_mems: "0".into(),
            memory_limit_in_bytes: 4096,
            memory_swap_limit_in_bytes: 8192,
            hugepage_limits: vec![HugepageLimit {
                page_size: "2MB".into(),
                limit: 1 << 21,
            }],
            unified: HashMap::from([("memory.high".into(), "2048".into())]),
            ..none()
        },
        json!({
            "memory": {"limit": 4096, "swap": 8192},
            "cpu": {"quota": -1, "cpus": "0-1", "mems": "0"},
            "hugepageLimits": [{"pageSize": "2MB", "limit": 2_097_152}],
            "unified": {"memory.high": "2048"},
        }),
    );
    let check_error = |asked: LinuxContainerResources, v2, expect: &str| {
        let error = limits(&asked, v2, true).expect_err("they cannot be had");
        assert_eq!(error.to_string(), expect);
    };
    check_error(
        LinuxContainerResources {
            unified: HashMap::from([("memory.high".into(), "1".into())]),
            ..none()
        },
        false,
        "LinuxContainerResources.unified is not supported: this node has cgroup v1",
    );
    check_error(
        LinuxContainerResources {
            unified: HashMap::from([("cgroup.procs".into(), "1".into())]),
            ..none()
        },
        true,
        "LinuxContainerResources.unified \"cgroup.procs\" is not valid: it is no controller's file, as memory.high is",
    );
    check_error(
        LinuxContainerResources {
            memory_limit_in_bytes: 4096,
            memory_swap_limit_in_bytes: 1024,
            ..none()
        },
        true,
        "LinuxContainerResources.memory_swap_limit_in_bytes \"1024\" is not valid: it counts memory too, and is below \
         the memory's limit",
    );
    check_error(
        LinuxContainerResources {
            hugepage_limits: vec![HugepageLimit {
                page_size: "../x".into(),
                limit: 1,
            }],
            ..none()
        },
        true,
        "HugepageLimit.page_size \"../x\" is not valid: it is as 2MB or 1GB",
    );
    check_error(
        LinuxContainerResources {
            cpu_shares: -5,
            ..none()
        },
        true,
        "LinuxContainerResources.cpu_shares \"-5\" is not valid: it is negative",
    );
    self::check(
        |case| case.swap = false,
        "/linux/resources/memory",
        json!({"limit": 67_108_864}),
    );
    self::check_error(
        |case| case.resources().oom_score_adj = 1001,
        "LinuxContainerResources.oom_score_adj \"1001\" is not valid: it is from -1000 to 1000",
    );
}

#[test]
fn cgroup_parents() {
    let check = |parent: &'static str, expect: &str| {
        let part = "/linux/cgroupsPath";
        check(
            |case| case.sandbox.linux.get_or_insert_default().cgroup_parent = parent.into(),
            part,
            json!(expect),
        );
    };
    check("", "/runtime/c1");
    check("/kubepods/pod1/", "/kubepods/pod1/c1");
    check("kubepods", "/kubepods/c1");
    let check_error = |parent: &'static str, expect: &str| {
        check_error(
            |case| case.sandbox.linux.get_or_insert_default().cgroup_parent = parent.into(),
            expect,
        );
    };
    let systemd = "LinuxPodSandboxConfig.cgroup_parent is not supported: it is a name for systemd, and the cgroup \
                   driver is cgroupfs";
    check_error("kubepods-burstable-pod1.slice", systemd);
    check_error("system.slice:cri:c1", systemd);
    check_error(
        "/a/../..",
        "LinuxPodSandboxConfig.cgroup_parent \"/a/../..\" is not valid: it leaves its directory",
    );
}

#[test]
fn seccomp() {
    let with = |kind: ProfileType, path: &str| {
        let profile = SecurityProfile {
            profile_type: kind.into(),
            localhost_ref: path.into(),
        };
        move |case: &mut Case| case.security().seccomp = Some(profile)
    };
    #[allow(deprecated, reason = "older kubelets send it")]
    let old = |path: &'static str| {
        move |case: &mut Case| {
            case.security().seccomp = None;
            case.security().seccomp_profile_path = path.into();
        }
    };
    let part = "/linux/seccomp/defaultAction";
    check(with(ProfileType::Unconfined, ""), part, Value::Null);
    check(
        with(ProfileType::RuntimeDefault, ""),
        part,
        json!("SCMP_ACT_ERRNO"),
    );
    check(old(""), part, Value::Null);
    check(old("runtime/default"), part, json!("SCMP_ACT_ERRNO"));
    check_error(
        with(ProfileType::Localhost, "/p.json"),
        "the seccomp profile of localhost_ref is missing",
    );
    check_error(
        with(ProfileType::Localhost, "p.json"),
        "SecurityProfile.localhost_ref \"p.json\" is not valid: it is no absolute path",
    );
    check_error(
        old("mine"),
        "LinuxContainerSecurityContext.seccomp_profile_path \"mine\" is not valid: it is no kind of profile",
    );
    let mut case = typical();
    with(ProfileType::Localhost, "/p.json")(&mut case);
    assert_eq!(
        seccomp_path(&case.config).expect("a path"),
        Some(PathBuf::from("/p.json"))
    );
    case.profile = Some(r#"{"defaultAction": "SCMP_ACT_LOG"}"#);
    let made = made(&case).expect("it can be made");
    assert!(made.filter.is_some());
    check_error(
        |case| {
            with(ProfileType::Localhost, "/p.json")(case);
            case.profile = Some(r#"{"defaultAction": "SCMP_ACT_NOTIFY"}"#);
        },
        "container's seccomp profile",
    );
}

#[test]
fn apparmor() {
    let with = |kind: ProfileType, on: bool| {
        move |case: &mut Case| {
            case.apparmor = on;
            case.security().apparmor = Some(SecurityProfile {
                profile_type: kind.into(),
                ..SecurityProfile::default()
            });
        }
    };
    let none = "/process/apparmorProfile";
    check(|case| case.apparmor = true, none, Value::Null);
    check(with(ProfileType::RuntimeDefault, false), none, Value::Null);
    check(with(ProfileType::Unconfined, true), none, Value::Null);
    check_error(
        with(ProfileType::RuntimeDefault, true),
        "LinuxContainerSecurityContext.apparmor is not supported: this runtime has no profile of its own",
    );
    check_error(
        with(ProfileType::Localhost, false),
        "LinuxContainerSecurityContext.apparmor is not supported: this runtime loads no profiles",
    );
}

#[test]
fn what_is_refused() {
    check_error(
        |case| case.config.metadata = None,
        "ContainerConfig.metadata is missing",
    );
    check_error(
        |case| case.config.windows = Some(WindowsContainerConfig::default()),
        "ContainerConfig.windows is not supported: this is a Linux node",
    );
    check_error(
        |case| {
            case.config
                .cdi_devices
                .push(cri_proto::runtime::CdiDevice::default())
        },
        "ContainerConfig.CDI_devices is not supported: there is no device specification",
    );
}

#[test]
fn stop_signals() {
    let check = |of_image: Value, asked: Signal, expect: Option<(Signal, i32)>| {
        let mut case = typical();
        case.image["StopSignal"] = of_image;
        case.config.stop_signal = asked.into();
        let found = stop_signal(&case.config, &image(&case.image)).ok();
        assert_eq!(found.map(|signal| (signal, signal_number(signal))), expect);
    };
    let none = Signal::RuntimeDefault;
    check(Value::Null, none, Some((Signal::Sigterm, 15)));
    check(json!(""), none, Some((Signal::Sigterm, 15)));
    check(json!("SIGQUIT"), none, Some((Signal::Sigquit, 3)));
    check(json!("quit"), none, Some((Signal::Sigquit, 3)));
    check(json!("3"), none, Some((Signal::Sigquit, 3)));
    check(json!("SIGRTMIN+3"), none, Some((Signal::Sigrtminplus3, 37)));
    check(json!("37"), none, Some((Signal::Sigrtminplus3, 37)));
    check(
        json!("SIGRTMAX-1"),
        none,
        Some((Signal::Sigrtmaxminus1, 63)),
    );
    check(
        json!("SIGRTMAX-14"),
        none,
        Some((Signal::Sigrtmaxminus14, 50)),
    );
    check(json!("64"), none, Some((Signal::Sigrtmax, 64)));
    check(json!("SIGQUIT"), Signal::Sighup, Some((Signal::Sighup, 1)));
    check(json!("SIGNIFICANT"), none, None);
    check(json!("0"), none, None);
}

/// A sandbox's sysctls and the rest of it.
fn check_sandbox(
    change: impl FnOnce(&mut LinuxPodSandboxConfig),
    expect: Result<&[(&str, &str)], &str>,
) {
    let mut config = typical().sandbox;
    change(config.linux.get_or_insert_default());
    match (sandbox(&config), expect) {
        (Ok(made), Ok(expect)) => {
            let found: Vec<_> = made
                .sysctls
                .iter()
                .map(|sysctl| (sysctl.path.to_str().expect("UTF-8"), sysctl.value.as_str()))
                .collect();
            assert_eq!(found, expect);
        }
        (Err(error), Err(expect)) => assert_eq!(error.to_string(), expect),
        (made, expect) => panic!("{made:?} is not {expect:?}"),
    }
}

#[test]
fn sysctls() {
    let with = |name: &'static str, value: &'static str| {
        move |linux: &mut LinuxPodSandboxConfig| {
            linux.sysctls.insert(name.into(), value.into());
        }
    };
    let node = |name: &'static str| {
        move |linux: &mut LinuxPodSandboxConfig| {
            linux.sysctls.insert(name.into(), "1".into());
            linux.security_context = Some(LinuxSandboxSecurityContext {
                namespace_options: Some(NamespaceOption {
                    network: NamespaceMode::Node.into(),
                    ipc: NamespaceMode::Node.into(),
                    ..NamespaceOption::default()
                }),
                ..LinuxSandboxSecurityContext::default()
            });
        }
    };
    let ping = ("net/ipv4/ping_group_range", "0 2147483647");
    let ports = ("net/ipv4/ip_unprivileged_port_start", "0");
    check_sandbox(|_| (), Ok(&[ports, ping]));
    check_sandbox(
        with("net.ipv4.ip_unprivileged_port_start", "1024"),
        Ok(&[("net/ipv4/ip_unprivileged_port_start", "1024"), ping]),
    );
    check_sandbox(
        with("kernel.shm_rmid_forced", "1"),
        Ok(&[("kernel/shm_rmid_forced", "1"), ports, ping]),
    );
    check_sandbox(
        with("net/ipv4/conf/eth0.1/forwarding", "1"),
        Ok(&[("net/ipv4/conf/eth0.1/forwarding", "1"), ports, ping]),
    );
    check_sandbox(
        with("net.ipv4.conf.eth0/1.forwarding", "1"),
        Ok(&[("net/ipv4/conf/eth0.1/forwarding", "1"), ports, ping]),
    );
    let refused = |name: &str, why: &str| {
        format!("LinuxPodSandboxConfig.sysctls {name:?} is not valid: {why}")
    };
    let not_own = "it is no setting of a namespace that is the pod's own";
    for name in [
        "kernel.panic",
        "vm.swappiness",
        "kernel.hostname",
        "user.max_user_namespaces",
    ] {
        check_sandbox(with(name, "1"), Err(&refused(name, not_own)));
    }
    check_sandbox(
        node("net.core.somaxconn"),
        Err(&refused("net.core.somaxconn", not_own)),
    );
    check_sandbox(
        node("kernel.msgmax"),
        Err(&refused("kernel.msgmax", not_own)),
    );
    for name in ["net/../kernel/panic", "net", "", "net..a"] {
        check_sandbox(
            with(name, "1"),
            Err(&refused(name, "it is no setting's name")),
        );
    }
}

#[test]
fn sandboxes() {
    let mut config = typical().sandbox;
    let made = sandbox(&config).expect("it can be made");
    assert!(made.network && made.ipc && made.shared_pid && made.user.is_none());
    assert_eq!(made.hostname, "web-1");
    assert_eq!(made.cgroup_parent, Path::new("/kubepods/burstable/podu-1"));
    config.hostname = "a/b".into();
    assert_eq!(
        sandbox(&config).expect_err("no name").to_string(),
        "PodSandboxConfig.hostname \"a/b\" is not valid: it has at most 64 letters, digits, hyphens and dots"
    );
    let security = config
        .linux
        .get_or_insert_default()
        .security_context
        .get_or_insert_default();
    security.run_as_group = Some(Int64Value { value: 1 });
    assert_eq!(
        sandbox(&config).expect_err("no user").to_string(),
        "LinuxSandboxSecurityContext.run_as_group is not supported: it is given without a user"
    );
}

#[test]
fn filters() {
    let labels = HashMap::from([("app".to_owned(), "web".to_owned())]);
    let other = HashMap::from([("app".to_owned(), "db".to_owned())]);
    let record = Record {
        id: "abcdef",
        sandbox: "012345",
        state: 1,
        labels: &labels,
    };
    let check = |wanted: Wanted<'_>, expect| assert_eq!(wanted.has(&record), expect, "{wanted:?}");
    let any = Wanted::default();
    check(any, true);
    check(Wanted { id: "abc", ..any }, true);
    check(Wanted { id: "bc", ..any }, false);
    check(
        Wanted {
            sandbox: "012345",
            ..any
        },
        true,
    );
    check(
        Wanted {
            sandbox: "1",
            ..any
        },
        false,
    );
    check(
        Wanted {
            state: Some(1),
            ..any
        },
        true,
    );
    check(
        Wanted {
            state: Some(0),
            ..any
        },
        false,
    );
    check(
        Wanted {
            labels: Some(&labels),
            ..any
        },
        true,
    );
    check(
        Wanted {
            labels: Some(&other),
            ..any
        },
        false,
    );

    let ids = ["aa", "aab", "abc", "abd"];
    assert_eq!(find_by_prefix(ids, "abc"), Some("abc"));
    assert_eq!(find_by_prefix(ids, "aa"), Some("aa"));
    assert_eq!(find_by_prefix(ids, "ab"), None);
    assert_eq!(find_by_prefix(ids, "aab"), Some("aab"));
    assert_eq!(find_by_prefix(ids, "a"), None);
    assert_eq!(find_by_prefix(ids, ""), None);
    assert_eq!(find_by_prefix(ids, "x"), None);
}
