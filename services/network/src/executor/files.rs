//! Files: what sysfs says of links, IPv6 sysctls, the runtime directory's files, host name, leases.

use crate::planner::{
    dhcp::lease::Lease,
    model::{Link, RouterAdvertisements},
    resolv::{RESOLV_CONF, TIME_SERVERS},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs, io,
    io::{Read as _, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

const SYSFS_NET: &str = "/sys/class/net";
const IPV6_CONF: &str = "/proc/sys/net/ipv6/conf";
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// Largest file of ours that is read back; a lease file has at most some KiB.
const FILE_MAX: u64 = 256 * 1024;

/// Why a file could not be written.
#[derive(Debug, thiserror::Error)]
#[error("write {path}")]
pub struct FileError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// Fills in what netlink does not tell of a link: driver, place on the bus, IPv6 settings.
pub fn describe(link: &mut Link) {
    let device = Path::new(SYSFS_NET).join(&link.name).join("device");
    let name_of = |path: PathBuf| {
        path.file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default()
    };
    link.driver = fs::read_link(device.join("driver"))
        .map(name_of)
        .unwrap_or_default();
    link.bus_path = fs::canonicalize(&device)
        .map(|path| bus_path(&path))
        .unwrap_or_default();
    link.router_advertisements = router_advertisements(&link.name);
}

/// The last part of a device's path that names a place: behind a PCI function, virtio only counts.
fn bus_path(device: &Path) -> String {
    let parts = device.iter().rev().map(|part| part.to_string_lossy());
    let mut parts = parts.filter(|part| !part.strip_prefix("virtio").is_some_and(is_number));
    parts
        .next()
        .map(|part| part.into_owned())
        .unwrap_or_default()
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The file of an IPv6 setting of a link, where the name can be part of a path.
fn ipv6_setting(link: &str, setting: &str) -> Option<PathBuf> {
    let harmless = !link.is_empty() && link != "." && link != ".." && !link.contains('/');
    harmless.then(|| Path::new(IPV6_CONF).join(link).join(setting))
}

fn router_advertisements(link: &str) -> Option<RouterAdvertisements> {
    let read = |setting| {
        Some(
            fs::read_to_string(ipv6_setting(link, setting)?)
                .ok()?
                .trim()
                .to_owned(),
        )
    };
    match (read("accept_ra")?.as_str(), read("autoconf")?.as_str()) {
        ("0", "0") => Some(RouterAdvertisements::Ignored),
        ("2", "1") => Some(RouterAdvertisements::Accepted),
        _ => Some(RouterAdvertisements::Other),
    }
}

/// Sets whether router advertisements are accepted on a link. Writable for CAP_NET_ADMIN.
///
/// # Errors
/// [`FileError`].
pub fn set_router_advertisements(link: &str, accept: bool) -> Result<(), FileError> {
    let values = if accept {
        [("accept_ra", "2"), ("autoconf", "1")]
    } else {
        [("accept_ra", "0"), ("autoconf", "0")]
    };
    for (setting, value) in values {
        if let Some(path) = ipv6_setting(link, setting) {
            fs::write(&path, value).map_err(|source| FileError { path, source })?;
        }
    }
    Ok(())
}

/// The host name of the service's UTS namespace.
#[must_use]
pub fn hostname() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}

/// Sets it. Needs CAP_SYS_ADMIN.
///
/// # Errors
/// [`FileError`] with the file that the call stands for.
pub fn set_hostname(name: &str) -> Result<(), FileError> {
    rustix::system::sethostname(name.as_bytes()).map_err(|error| FileError {
        path: "/proc/sys/kernel/hostname".into(),
        source: error.into(),
    })
}

/// The runtime directory: what other services read.
#[derive(Debug, Clone)]
pub struct RuntimeFiles {
    directory: PathBuf,
}

impl RuntimeFiles {
    /// Opens the directory to other users: they may pass through it to the files that they know by
    /// name, but not list it. The config in it keeps its own mode.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn open(directory: &Path) -> Result<Self, FileError> {
        let fail = |source| FileError {
            path: directory.to_owned(),
            source,
        };
        fs::create_dir_all(directory).map_err(fail)?;
        fs::set_permissions(directory, fs::Permissions::from_mode(0o751)).map_err(fail)?;
        Ok(Self {
            directory: directory.to_owned(),
        })
    }

    /// The files that this service wrote.
    #[must_use]
    pub fn read(&self) -> BTreeMap<&'static str, String> {
        let read = |name| read_bounded(&self.directory.join(name)).map(|content| (name, content));
        [RESOLV_CONF, TIME_SERVERS]
            .into_iter()
            .filter_map(read)
            .collect()
    }

    /// Writes one, whole or not at all.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn write(&self, name: &str, content: &str) -> Result<(), FileError> {
        replace(&self.directory.join(name), content.as_bytes(), 0o644)
    }
}

/// Leases on STATE, one file per hardware address.
#[derive(Debug, Clone)]
pub struct LeaseFiles {
    directory: Option<PathBuf>,
    boot_id: String,
}

/// What is known of an earlier lease.
#[derive(Debug, Clone, Default)]
pub struct Earlier {
    /// It was granted in this boot and may still hold.
    pub held: Option<Lease>,
    /// Its address, whichever boot it was from.
    pub address: Option<std::net::Ipv4Addr>,
}

/// The file's form. Version 1; a file of another version is as good as none.
#[derive(Serialize, Deserialize)]
struct Saved {
    version: u32,
    boot_id: String,
    lease: Lease,
}

const SAVED_VERSION: u32 = 1;

impl LeaseFiles {
    /// Leases in `directory`; without one nothing is kept.
    #[must_use]
    pub fn new(directory: Option<PathBuf>) -> Self {
        let boot_id = fs::read_to_string(BOOT_ID)
            .unwrap_or_default()
            .trim()
            .to_owned();
        Self { directory, boot_id }
    }

    fn path(&self, mac: [u8; 6]) -> Option<PathBuf> {
        let name: String = mac.iter().map(|byte| format!("{byte:02x}")).collect();
        self.directory
            .as_ref()
            .map(|directory| directory.join(format!("dhcp4-{name}.json")))
    }

    /// The lease that was saved for a hardware address. A file that cannot be read is as good as none:
    /// the client then asks for any address.
    #[must_use]
    pub fn load(&self, mac: [u8; 6]) -> Earlier {
        let saved = self.path(mac).and_then(|path| read_bounded(&path));
        let saved = saved.and_then(|text| serde_json::from_str::<Saved>(&text).ok());
        let Some(saved) = saved.filter(|saved| saved.version == SAVED_VERSION) else {
            return Earlier::default();
        };
        let address = Some(saved.lease.address);
        // Moments count from the boot, so they mean nothing in another one.
        let held =
            (!self.boot_id.is_empty() && saved.boot_id == self.boot_id).then_some(saved.lease);
        Earlier { held, address }
    }

    /// Saves a lease, whole or not at all.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn save(&self, mac: [u8; 6], lease: &Lease) -> Result<(), FileError> {
        let Some(path) = self.path(mac) else {
            return Ok(());
        };
        let saved = Saved {
            version: SAVED_VERSION,
            boot_id: self.boot_id.clone(),
            lease: lease.clone(),
        };
        let text = serde_json::to_vec(&saved).map_err(|error| FileError {
            path: path.clone(),
            source: error.into(),
        })?;
        replace(&path, &text, 0o600)
    }

    /// Forgets a lease: a server refused it.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn forget(&self, mac: [u8; 6]) -> Result<(), FileError> {
        let Some(path) = self.path(mac) else {
            return Ok(());
        };
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(FileError { path, source })
            }
            _ => Ok(()),
        }
    }
}

/// A file's text, where it is text of at most [`FILE_MAX`] bytes.
#[must_use]
pub fn read_bounded(path: &Path) -> Option<String> {
    let mut text = String::new();
    let mut file = fs::File::open(path).ok()?.take(FILE_MAX + 1);
    file.read_to_string(&mut text).ok()?;
    u64::try_from(text.len())
        .is_ok_and(|length| length <= FILE_MAX)
        .then_some(text)
}

fn replace(path: &Path, content: &[u8], mode: u32) -> Result<(), FileError> {
    let fail = |source| FileError {
        path: path.to_owned(),
        source,
    };
    let fresh = path.with_extension("new");
    let mut file = fs::File::create(&fresh).map_err(fail)?;
    file.set_permissions(fs::Permissions::from_mode(mode))
        .map_err(fail)?;
    file.write_all(content).map_err(fail)?;
    file.sync_data().map_err(fail)?;
    fs::rename(&fresh, path).map_err(fail)
}
