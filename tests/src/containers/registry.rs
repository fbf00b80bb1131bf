//! Debian's docker-registry on a free port of loopback, and a client that pushes: curl.

use super::image::{Image, MANIFEST};
use crate::api::free_port;
use crate::guard::Guarded;
use crate::wait::{Lines, eventually};
use anyhow::{Context as _, Result, ensure};
use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Usual time until it listens.
const STARTS: Duration = Duration::from_secs(3);

/// Who may push and pull, and by which certificate the registry is known.
#[derive(Debug, Clone)]
pub struct Locked {
    /// Its certificate (PEM), which is its own authority.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// A line of htpasswd(1), with bcrypt.
    pub passwords: PathBuf,
    /// `USER:PASSWORD` of that line.
    pub credentials: String,
}

/// A registry that runs; killed when dropped.
#[derive(Debug)]
pub struct Registry {
    port: u16,
    locked: Option<Locked>,
    log: Lines,
    _guard: Guarded,
}

impl Registry {
    /// Starts one with its data below `directory`: plain and open, or with TLS and a password.
    ///
    /// # Errors
    /// The program cannot be fetched, or does not listen.
    pub fn start(directory: &Path, locked: Option<Locked>) -> Result<Self> {
        fs::create_dir_all(directory).with_context(|| format!("make {}", directory.display()))?;
        let port = free_port()?;
        let (mut tls, mut auth) = (String::new(), String::new());
        if let Some(locked) = &locked {
            tls = format!(
                "  tls:\n    certificate: {}\n    key: {}\n",
                locked.certificate.display(),
                locked.key.display()
            );
            auth = format!(
                "auth:\n  htpasswd:\n    realm: tests\n    path: {}\n",
                locked.passwords.display()
            );
        }
        let config = format!(
            "version: 0.1\nlog:\n  level: warn\n  accesslog:\n    disabled: true\nstorage:\n  filesystem:\n    \
             rootdirectory: {}\n  delete:\n    enabled: true\nhttp:\n  addr: 127.0.0.1:{port}\n{tls}{auth}",
            directory.join("data").display()
        );
        let file = directory.join("registry.yml");
        fs::write(&file, config).with_context(|| format!("write {}", file.display()))?;
        let program = xtask::peers::containers()?.join("usr/bin/docker-registry");
        let mut guard = Guarded::start(
            Command::new(program)
                .arg("serve")
                .arg(&file)
                .env("OTEL_TRACES_EXPORTER", "none"),
        )?;
        let log = Lines::follow(
            "docker-registry",
            guard.stderr()?,
            &directory.join("registry.log"),
        )?;
        eventually("docker-registry to listen", STARTS, || {
            Ok(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok())
        })
        .with_context(|| log.tail())?;
        Ok(Self {
            port,
            locked,
            log,
            _guard: guard,
        })
    }

    /// The full name of an image in it.
    #[must_use]
    pub fn name(&self, image: &str) -> String {
        format!("127.0.0.1:{}/{image}", self.port)
    }

    /// Host and port.
    #[must_use]
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Uploads an image as `repository:tag`.
    ///
    /// # Errors
    /// It is refused; the error has what the registry said.
    pub fn push(&self, repository: &str, tag: &str, image: &Image) -> Result<()> {
        let base = format!("{}/v2/{repository}", self.url());
        for blob in &image.blobs {
            let begun = self.curl(
                &format!("{base}/blobs/uploads/"),
                &["-X", "POST", "-o", "/dev/null", "-w", "%header{location}"],
            )?;
            let sign = if begun.contains('?') { '&' } else { '?' };
            let to = format!("{begun}{sign}digest={}", blob.digest);
            let file = blob.path.display().to_string();
            let kind = "Content-Type: application/octet-stream";
            self.curl(&to, &["-X", "PUT", "-H", kind, "-T", &file])?;
        }
        let kind = format!("Content-Type: {MANIFEST}");
        self.curl(
            &format!("{base}/manifests/{tag}"),
            &["-X", "PUT", "-H", &kind, "--data-binary", &image.manifest],
        )?;
        Ok(())
    }

    fn url(&self) -> String {
        let scheme = if self.locked.is_some() {
            "https"
        } else {
            "http"
        };
        format!("{scheme}://{}", self.host())
    }

    /// One request; what curl writes.
    fn curl(&self, url: &str, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new("curl");
        command.args([
            "-sS",
            "--fail-with-body",
            "--noproxy",
            "*",
            "--max-time",
            "120",
        ]);
        if let Some(locked) = &self.locked {
            command.arg("--cacert").arg(&locked.certificate);
            command.arg("-u").arg(&locked.credentials);
        }
        let out = command
            .args(arguments)
            .arg(url)
            .output()
            .context("run curl")?;
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        ensure!(
            out.status.success(),
            "{url}: {text}{}\n{}",
            String::from_utf8_lossy(&out.stderr),
            self.log.tail()
        );
        Ok(text)
    }
}
