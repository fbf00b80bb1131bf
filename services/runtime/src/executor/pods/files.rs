//! Files that a sandbox has for its containers: host name, hosts, resolvers, shared memory.

use super::{Inner, PodsError, text};
use cri_proto::runtime::PodSandboxConfig;
use rustix::mount::MountFlags;
use std::{fs, io, net::IpAddr, path::PathBuf};

/// Of /dev/shm, as containerd has it.
const SHM: &std::ffi::CStr = c"mode=1777,size=67108864";
/// Names and options of resolv.conf(5): lines longer than that are cut by C libraries.
const LINE_MAX: usize = 4096;

/// Where they are.
#[derive(Debug, Clone)]
pub(super) struct Files {
    pub hostname: PathBuf,
    pub hosts: PathBuf,
    pub resolv_conf: PathBuf,
    pub shm: PathBuf,
}

impl Inner {
    pub(super) fn sandbox_files(&self, id: &str) -> Files {
        let directory = self.sandbox_state(id);
        Files {
            hostname: directory.join("hostname"),
            hosts: directory.join("hosts"),
            resolv_conf: directory.join("resolv.conf"),
            shm: directory.join("shm"),
        }
    }

    /// Writes them. The sandbox's directory is there.
    pub(super) fn write_sandbox_files(
        &self,
        id: &str,
        config: &PodSandboxConfig,
        hostname: &str,
        own_ipc: bool,
        addresses: &[IpAddr],
    ) -> Result<(), PodsError> {
        let files = self.sandbox_files(id);
        let write = |path: &PathBuf, content: String| {
            fs::write(path, content).map_err(PodsError::at(format!("write {}", text(path))))
        };
        let name = match hostname {
            "" => self.host.node_name.as_str(),
            name => name,
        };
        write(&files.hostname, format!("{name}\n"))?;
        write(&files.hosts, hosts(name, addresses))?;
        write(&files.resolv_conf, self.resolv_conf(config)?)?;
        if own_ipc {
            let made = fs::create_dir_all(&files.shm).and_then(|()| {
                let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
                rustix::mount::mount("shm", &files.shm, "tmpfs", flags, SHM)
                    .map_err(io::Error::from)
            });
            made.map_err(PodsError::at("mount the sandbox's shared memory"))?;
        }
        Ok(())
    }

    fn resolv_conf(&self, config: &PodSandboxConfig) -> Result<String, PodsError> {
        let Some(dns) = &config.dns_config else {
            let own = &self.place.resolv_conf;
            return match fs::read_to_string(own) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
                read => read.map_err(PodsError::at(format!("read {}", text(own)))),
            };
        };
        let mut content = String::new();
        let mut line = |word: &str, values: &[String]| {
            let line = format!("{word} {}", values.join(" "));
            if line.len() > LINE_MAX || line.contains(['\n', '\0']) {
                return Err(PodsError::InvalidArgument(format!(
                    "DNSConfig is not valid: a {word} line of it"
                )));
            }
            content.push_str(&line);
            content.push('\n');
            Ok(())
        };
        if !dns.searches.is_empty() {
            line("search", &dns.searches)?;
        }
        for server in &dns.servers {
            line("nameserver", std::slice::from_ref(server))?;
        }
        if !dns.options.is_empty() {
            line("options", &dns.options)?;
        }
        Ok(content)
    }
}

fn hosts(name: &str, addresses: &[IpAddr]) -> String {
    let mut content = String::from(
        "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n",
    );
    for address in addresses {
        content.push_str(&format!("{address}\t{name}\n"));
    }
    content
}
