//! What the machine is at this moment, from the kernel.

use crate::planner::Facts;
use std::{fs, path::Path};

/// Where the kernel shows links.
const LINKS: &str = "/sys/class/net";
/// linux/if_arp.h: Ethernet, as `type` shows it.
const ARPHRD_ETHER: &str = "1";
/// Links that are looked at.
const LINKS_MAX: usize = 1024;

/// The facts; `uuid` and `serial` come from who may read them.
#[must_use]
pub fn facts(uuid: Option<&String>, serial: Option<&String>) -> Facts {
    let hostname = rustix::system::uname();
    let hostname = hostname.nodename().to_string_lossy().into_owned();
    Facts {
        uuid: uuid.cloned(),
        serial: serial.cloned(),
        mac: mac(Path::new(LINKS)),
        hostname: Some(hostname).filter(|name| !name.is_empty()),
    }
}

/// Hardware address of the Ethernet link with the lowest number that is up.
fn mac(links: &Path) -> Option<String> {
    let word = |path: &Path, name: &str| {
        let text = fs::read_to_string(path.join(name)).ok()?;
        Some(text.trim().to_owned())
    };
    fs::read_dir(links)
        .ok()?
        .flatten()
        .take(LINKS_MAX)
        .filter_map(|entry| {
            let path = entry.path();
            let up = word(&path, "operstate")? == "up" && word(&path, "type")? == ARPHRD_ETHER;
            let number: u32 = word(&path, "ifindex")?.parse().ok()?;
            up.then_some((number, word(&path, "address")?))
        })
        .min()
        .map(|(_, address)| address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_ethernet_link_that_is_up_counts() {
        let directory = tempfile::tempdir().unwrap();
        for (name, index, kind, state) in [
            ("lo", "1", "772", "unknown"),
            ("eth0", "2", "1", "down"),
            ("eth1", "10", "1", "up"),
            ("eth2", "4", "1", "up"),
        ] {
            let link = directory.path().join(name);
            fs::create_dir(&link).unwrap();
            for (file, text) in [
                ("ifindex", index),
                ("type", kind),
                ("operstate", state),
                ("address", name),
            ] {
                fs::write(link.join(file), format!("{text}\n")).unwrap();
            }
        }
        assert_eq!(mac(directory.path()).as_deref(), Some("eth2"));
        assert_eq!(mac(&directory.path().join("none")), None);
    }
}
