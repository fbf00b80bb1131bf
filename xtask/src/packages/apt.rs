//! A private apt: its own lists and an empty package database below the cache, the host's own mirror,
//! the suites of Debian 13. It never touches the host's packages, whatever release the host runs.

use crate::command;
use crate::packages::lock::Locked;
use crate::packages::sets::Set;
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

/// The Debian release that images and tools are made from.
const RELEASE: &str = "trixie";
/// Archive areas: firmware and microcode live in `non-free-firmware`.
const COMPONENTS: &str = "main non-free-firmware";
/// Keys of the Debian archive on the host, from the package debian-archive-keyring.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// Package lists older than this are refreshed before a download.
const LISTS_AGE_MAX: Duration = Duration::from_secs(24 * 3600);

/// The private apt.
#[derive(Debug)]
pub struct Apt {
    directory: PathBuf,
}

impl Apt {
    /// Prepares `<cache>/apt` with a sources file made from the host's configuration.
    ///
    /// # Errors
    /// The host's apt knows no Debian mirror, or a file cannot be written.
    pub fn open(cache: &Path) -> Result<Self> {
        let directory = cache.join("apt");
        for name in ["lists/partial", "cache/archives/partial", "state", "log"] {
            let path = directory.join(name);
            std::fs::create_dir_all(&path).with_context(|| format!("make {}", path.display()))?;
        }
        std::fs::write(directory.join("status"), "").context("write an empty package database")?;
        let targets = command::output(Command::new("apt-get").args([
            "indextargets",
            "--format",
            "$(CREATED_BY) $(REPO_URI) $(RELEASE)",
        ]))
        .context("ask apt for the host's mirrors")?;
        let sources = sources(&targets)?;
        std::fs::write(directory.join("sources.list"), sources).context("write sources.list")?;
        Ok(Self { directory })
    }

    /// A command of apt on the private directories.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let at = |name: &str| self.directory.join(name).display().to_string();
        for option in [
            format!("Dir::State={}", at("state")),
            format!("Dir::State::Lists={}", at("lists")),
            format!("Dir::State::status={}", at("status")),
            format!("Dir::Cache={}", at("cache")),
            format!("Dir::Cache::archives={}", at("cache/archives")),
            format!("Dir::Log={}", at("log")),
            format!("Dir::Etc::SourceList={}", at("sources.list")),
            "Dir::Etc::SourceParts=/dev/null".into(),
            "Dir::Etc::Preferences=/dev/null".into(),
            "Dir::Etc::PreferencesParts=/dev/null".into(),
            // The unprivileged user of apt cannot read a cache in a home directory.
            "APT::Sandbox::User=root".into(),
            "APT::Architecture=amd64".into(),
            "APT::Architectures::=amd64".into(),
            "APT::Install-Recommends=false".into(),
            "Acquire::Languages=none".into(),
            "Acquire::Retries=3".into(),
        ] {
            command.arg("-o").arg(option);
        }
        command
            .env("LC_ALL", "C.UTF-8")
            .env("DEBIAN_FRONTEND", "noninteractive");
        command
    }

    /// Refreshes the package lists.
    ///
    /// # Errors
    /// The mirror cannot be reached or its signature does not hold.
    pub fn update(&self) -> Result<()> {
        command::output(self.command("apt-get").args(["--quiet", "update"]))
            .context("fetch the package lists")?;
        std::fs::write(self.directory.join("updated"), "").context("note the time of the update")
    }

    /// Refreshes the package lists unless that was done within [`LISTS_AGE_MAX`].
    ///
    /// # Errors
    /// Those of [`Apt::update`].
    pub fn update_if_old(&self) -> Result<()> {
        let age = self
            .directory
            .join("updated")
            .metadata()
            .and_then(|metadata| metadata.modified())
            .ok()
            .and_then(|time| SystemTime::now().duration_since(time).ok());
        match age {
            Some(age) if age < LISTS_AGE_MAX => Ok(()),
            _ => self.update(),
        }
    }

    /// Resolves all sets at the versions that the mirror has now.
    ///
    /// # Errors
    /// A package does not exist or cannot be installed.
    pub fn resolve(&self, sets: &[Set]) -> Result<Vec<Locked>> {
        let mut chosen: BTreeMap<String, (Candidate, Vec<String>)> = BTreeMap::new();
        for set in sets {
            for candidate in self.resolve_set(set)? {
                let entry = chosen
                    .entry(candidate.name.clone())
                    .or_insert_with(|| (candidate, Vec::new()));
                entry.1.push(set.name.clone());
            }
        }
        let mut show = self.command("apt-cache");
        show.arg("show");
        for (candidate, _) in chosen.values() {
            show.arg(format!("{}={}", candidate.name, candidate.version));
        }
        let records = records(&command::output(&mut show)?);
        chosen
            .into_values()
            .map(|(candidate, mut sets)| {
                sets.sort();
                let key = (candidate.name.clone(), candidate.version.clone());
                let record = records
                    .get(&key)
                    .with_context(|| format!("apt shows no record of {} {}", key.0, key.1))?;
                Ok(Locked {
                    name: candidate.name,
                    version: candidate.version,
                    architecture: record.architecture.clone(),
                    size: record.size,
                    sha256: record.sha256.clone(),
                    suite: candidate.suite,
                    sets,
                })
            })
            .collect()
    }

    /// What apt would install for `set`. A metapackage of the kernel stands for the package with the
    /// kernel's version in its name.
    fn resolve_set(&self, set: &Set) -> Result<Vec<Candidate>> {
        let simulated = command::output(
            self.command("apt-get")
                .args(["install", "--simulate"])
                .args(&set.packages),
        )
        .with_context(|| format!("resolve the set [{}] of image/packages", set.name))?;
        let candidates: Vec<Candidate> = simulated.lines().filter_map(candidate).collect();
        if set.with_dependencies() {
            return Ok(candidates);
        }
        let mut named = Vec::new();
        for name in &set.packages {
            let is_wanted = |candidate: &&Candidate| match kernel_flavour(name) {
                Some(flavour) => is_kernel(&candidate.name, flavour),
                None => candidate.name == *name,
            };
            let Some(found) = candidates.iter().find(is_wanted) else {
                bail!("[{}]: apt would not install `{name}`", set.name);
            };
            named.push(found.clone());
        }
        Ok(named)
    }

    /// Fetches exactly these packages into `directory`.
    ///
    /// # Errors
    /// The mirror does not have one of them.
    pub fn download(&self, directory: &Path, packages: &[&Locked]) -> Result<()> {
        let mut command = self.command("apt-get");
        command.current_dir(directory).args(["--quiet", "download"]);
        for locked in packages {
            command.arg(format!("{}={}", locked.name, locked.version));
        }
        command::output(&mut command).map(drop)
    }
}

/// One line of a simulated installation.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Candidate {
    name: String,
    version: String,
    suite: String,
}

/// What `apt-cache show` says of one version.
#[derive(Debug)]
struct Record {
    architecture: String,
    size: u64,
    sha256: String,
}

/// The sources file for Debian 13 on the mirrors that the host uses for its own release.
fn sources(targets: &str) -> Result<String> {
    let mut main = None;
    let mut security = None;
    for line in targets.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let ["Packages", uri, suite] = fields[..] else {
            continue;
        };
        match suite.split_once('-') {
            None if is_debian(suite) => main = main.or(Some(uri)),
            Some((release, "security")) if is_debian(release) => security = security.or(Some(uri)),
            _ => {}
        }
    }
    let Some(main) = main else {
        bail!(
            "the host's apt configuration names no mirror of Debian 12 or 13; \
             add one under /etc/apt/sources.list.d and try again"
        );
    };
    let line =
        |uri: &str, suite: &str| format!("deb [signed-by={KEYRING}] {uri} {suite} {COMPONENTS}\n");
    let mut text = line(main, RELEASE) + &line(main, &format!("{RELEASE}-updates"));
    if let Some(security) = security {
        text.push_str(&line(security, &format!("{RELEASE}-security")));
    }
    Ok(text)
}

/// Whether `release` is the name of a Debian release whose mirror also carries [`RELEASE`].
fn is_debian(release: &str) -> bool {
    matches!(
        release,
        "bookworm" | "trixie" | "stable" | "oldstable" | "testing" | "sid"
    )
}

/// Reads a line such as `Inst libacl1 (2.3.2-2+b1 Debian:13.1/stable [amd64])`.
fn candidate(line: &str) -> Option<Candidate> {
    let rest = line.strip_prefix("Inst ")?;
    let (name, rest) = rest.split_once(" (")?;
    let (version, origin) = rest.split_once(' ')?;
    let suite = if origin.contains("stable-security") || origin.contains("Debian-Security") {
        format!("{RELEASE}-security")
    } else if origin.starts_with("Debian:") && origin.contains("-updates") {
        format!("{RELEASE}-updates")
    } else {
        RELEASE.to_string()
    };
    Some(Candidate {
        name: name.to_string(),
        version: version.to_string(),
        suite,
    })
}

/// `linux-image-cloud-amd64` is the metapackage of the flavour `cloud-amd64`.
fn kernel_flavour(name: &str) -> Option<&str> {
    let flavour = name.strip_prefix("linux-image-")?;
    flavour
        .starts_with(|c: char| c.is_ascii_alphabetic())
        .then_some(flavour)
}

/// `linux-image-6.12.1+deb13-cloud-amd64` is a kernel of the flavour `cloud-amd64`, not of `amd64`.
fn is_kernel(name: &str, flavour: &str) -> bool {
    name.strip_prefix("linux-image-")
        .and_then(|rest| rest.strip_suffix(flavour))
        .and_then(|version| version.strip_suffix('-'))
        .is_some_and(|version| {
            version.starts_with(|c: char| c.is_ascii_digit()) && !version.contains('-')
        })
}

/// Reads the stanzas of `apt-cache show`, by name and version.
fn records(text: &str) -> BTreeMap<(String, String), Record> {
    let mut found = BTreeMap::new();
    for stanza in text.split("\n\n") {
        let field = |name: &str| {
            stanza.lines().find_map(|line| {
                line.strip_prefix(name)
                    .and_then(|rest| rest.strip_prefix(": "))
                    .map(str::to_string)
            })
        };
        let (Some(name), Some(version)) = (field("Package"), field("Version")) else {
            continue;
        };
        let (Some(architecture), Some(sha256)) = (field("Architecture"), field("SHA256")) else {
            continue;
        };
        let Some(size) = field("Size").and_then(|size| size.parse().ok()) else {
            continue;
        };
        found.insert(
            (name, version),
            Record {
                architecture,
                size,
                sha256,
            },
        );
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_is_the_host_s_own() {
        let text = sources(
            "Packages http://mirror.example/debian/ bookworm\n\
             DEP-11 http://mirror.example/debian/ bookworm\n\
             Packages http://mirror.example/debian/ bookworm-updates\n\
             Packages http://other.example/sec/ bookworm-security\n\
             Packages http://vendor.example/apt/ nodistro\n",
        )
        .expect("a mirror");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(lines[0].contains("] http://mirror.example/debian/ trixie main"));
        assert!(lines[2].contains("] http://other.example/sec/ trixie-security main"));
    }

    #[test]
    fn a_host_without_debian_is_told_so() {
        let error =
            sources("Packages http://vendor.example/apt/ nodistro\n").expect_err("no mirror");
        assert!(error.to_string().contains("names no mirror"));
    }

    #[test]
    fn simulated_lines_carry_the_suite() {
        let check = |line: &str, expect: Option<(&str, &str, &str)>| {
            let found = candidate(line);
            let found = found
                .as_ref()
                .map(|c| (c.name.as_str(), c.version.as_str(), c.suite.as_str()));
            assert_eq!(found, expect, "{line}");
        };
        check(
            "Inst linux-base (4.12.1 Debian:13.7/stable [all])",
            Some(("linux-base", "4.12.1", "trixie")),
        );
        check(
            "Inst x (1:2 Debian-Security:13/stable-security [amd64])",
            Some(("x", "1:2", "trixie-security")),
        );
        check("Conf x (1:2 Debian:13.7/stable [amd64])", None);
    }

    #[test]
    fn kernels_are_told_apart_by_flavour() {
        assert_eq!(
            kernel_flavour("linux-image-cloud-amd64"),
            Some("cloud-amd64")
        );
        assert_eq!(kernel_flavour("linux-image-6.12.1+deb13-amd64"), None);
        assert!(is_kernel("linux-image-6.12.1+deb13-amd64", "amd64"));
        assert!(!is_kernel("linux-image-6.12.1+deb13-cloud-amd64", "amd64"));
        assert!(is_kernel(
            "linux-image-6.12.1+deb13-cloud-amd64",
            "cloud-amd64"
        ));
        assert!(!is_kernel("linux-image-amd64", "amd64"));
    }
}
