//! What to boot, typed, and the QEMU arguments it becomes. Pure: no files are touched here.

use crate::sandbox::lab::Place;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Where the machine API is on a guest with a user-mode network.
const GUEST_ADDRESS: &str = "10.0.2.15";

/// How it boots.
#[derive(Debug, Clone)]
pub enum Boot {
    /// QEMU loads kernel and initrd: fast, no firmware in the way.
    Direct {
        /// The kernel.
        kernel: PathBuf,
        /// The initrd.
        initrd: PathBuf,
        /// The whole kernel command line.
        command_line: String,
    },
    /// UEFI firmware boots the first disk.
    Firmware {
        /// `OVMF_CODE`, read-only.
        code: PathBuf,
        /// A copy of `OVMF_VARS` of this machine's own.
        variables: PathBuf,
    },
}

/// A virtio disk.
#[derive(Debug, Clone)]
pub enum Disk {
    /// A raw image.
    Raw(PathBuf),
    /// A qcow2 image.
    Qcow2(PathBuf),
    /// A raw image whose writes are recorded: every write and flush, in order.
    Recorded {
        /// The image.
        image: PathBuf,
        /// The log, see [`crate::qemu::log_writes`].
        log: PathBuf,
    },
}

/// A virtio network device.
#[derive(Debug, Clone)]
pub enum Network {
    /// QEMU's own DHCP server and a loopback port to the machine API; no way out.
    User,
    /// A tap device on a lab's bridge, see [`super::Guest::start_in`].
    Lab(Place),
    /// A cable to one other guest: datagrams over a pair of Unix sockets.
    Cable {
        /// This guest's socket.
        here: PathBuf,
        /// The other guest's socket.
        there: PathBuf,
        /// Hardware address.
        hardware_address: [u8; 6],
    },
}

/// A virtual machine.
#[derive(Debug, Clone)]
pub struct Machine {
    /// How it boots.
    pub boot: Boot,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// Processors.
    pub processors: u32,
    /// Disks, the boot disk first.
    pub disks: Vec<Disk>,
    /// Network devices.
    pub networks: Vec<Network>,
    /// Whether it has an i6300esb watchdog, which resets it.
    pub watchdog: bool,
    /// fw_cfg items: name and file.
    pub fw_cfg: Vec<(String, PathBuf)>,
    /// SMBIOS type 11 strings.
    pub oem_strings: Vec<String>,
    /// SMBIOS UUID; None: none.
    pub uuid: Option<String>,
}

impl Machine {
    /// Two processors, 512 MiB, a watchdog and a user-mode network.
    #[must_use]
    pub fn new(boot: Boot) -> Self {
        Self {
            boot,
            memory_mib: 512,
            processors: 2,
            disks: Vec::new(),
            networks: vec![Network::User],
            watchdog: true,
            fw_cfg: Vec::new(),
            oem_strings: Vec::new(),
            uuid: None,
        }
    }

    /// QEMU's arguments. `qmp` is where the control socket will be; the serial port is standard output.
    #[must_use]
    pub fn arguments(&self, accelerator: &str, qmp: &Path) -> Vec<OsString> {
        let mut arguments = Arguments::default();
        arguments.words(
            "-nodefaults -no-user-config -display none -serial stdio -rtc base=utc -vga none",
        );
        arguments.pair("-machine", format!("q35,accel={accelerator}"));
        // Every processor feature that the accelerator can give: the crypto library's fast paths are then
        // those of real machines.
        arguments.pair("-cpu", "max".to_owned());
        arguments.pair("-m", self.memory_mib.to_string());
        arguments.pair("-smp", self.processors.to_string());
        arguments.pair(
            "-chardev",
            format!("socket,id=qmp,path={},server=on,wait=off", qmp.display()),
        );
        arguments.pair("-mon", "chardev=qmp,mode=control".to_owned());
        arguments.words("-object rng-builtin,id=rng -device virtio-rng-pci,rng=rng");
        if self.watchdog {
            arguments.words("-device i6300esb -action watchdog=reset");
        }
        self.boot_arguments(&mut arguments);
        for (number, disk) in self.disks.iter().enumerate() {
            disk_arguments(
                &mut arguments,
                number,
                disk,
                matches!(self.boot, Boot::Firmware { .. }),
            );
        }
        for (number, network) in self.networks.iter().enumerate() {
            network_arguments(&mut arguments, number, network);
        }
        for (name, file) in &self.fw_cfg {
            arguments.pair("-fw_cfg", format!("name={name},file={}", file.display()));
        }
        if !self.oem_strings.is_empty() {
            let values: Vec<String> = self
                .oem_strings
                .iter()
                .map(|text| format!("value={text}"))
                .collect();
            arguments.pair("-smbios", format!("type=11,{}", values.join(",")));
        }
        if let Some(uuid) = &self.uuid {
            arguments.pair("-uuid", uuid.clone());
        }
        arguments.0
    }

    fn boot_arguments(&self, arguments: &mut Arguments) {
        match &self.boot {
            Boot::Direct {
                kernel,
                initrd,
                command_line,
            } => {
                arguments.pair("-kernel", kernel.display().to_string());
                arguments.pair("-initrd", initrd.display().to_string());
                arguments.pair("-append", command_line.clone());
            }
            Boot::Firmware { code, variables } => {
                arguments.pair(
                    "-drive",
                    format!("if=pflash,format=raw,readonly=on,file={}", code.display()),
                );
                arguments.pair(
                    "-drive",
                    format!("if=pflash,format=raw,file={}", variables.display()),
                );
            }
        }
    }
}

#[derive(Debug, Default)]
struct Arguments(Vec<OsString>);

impl Arguments {
    fn words(&mut self, text: &str) {
        self.0.extend(text.split_whitespace().map(Into::into));
    }

    fn pair(&mut self, name: &str, value: String) {
        self.0.push(name.into());
        self.0.push(value.into());
    }
}

fn disk_arguments(arguments: &mut Arguments, number: usize, disk: &Disk, boots_from_disk: bool) {
    let file = |path: &Path| format!("driver=file,filename={},discard=unmap", path.display());
    match disk {
        Disk::Raw(image) => {
            arguments.pair(
                "-blockdev",
                format!("{},node-name=file{number}", file(image)),
            );
            arguments.pair(
                "-blockdev",
                format!("driver=raw,node-name=disk{number},file=file{number},discard=unmap"),
            );
        }
        Disk::Qcow2(image) => {
            arguments.pair(
                "-blockdev",
                format!("{},node-name=file{number}", file(image)),
            );
            arguments.pair(
                "-blockdev",
                format!("driver=qcow2,node-name=disk{number},file=file{number},discard=unmap"),
            );
        }
        Disk::Recorded { image, log } => {
            arguments.pair(
                "-blockdev",
                format!("{},node-name=file{number}", file(image)),
            );
            arguments.pair(
                "-blockdev",
                format!(
                    "driver=file,filename={},node-name=log{number}",
                    log.display()
                ),
            );
            arguments.pair(
                "-blockdev",
                format!("driver=blklogwrites,node-name=disk{number},file=file{number},log=log{number},log-sector-size=512"),
            );
        }
    }
    let first = if number == 0 && boots_from_disk {
        ",bootindex=0"
    } else {
        ""
    };
    // blklogwrites puts two buffers of its own before a request's; more than IOV_MAX (1024) in all is EINVAL, which
    // the guest sees as an I/O error. QEMU merges neighbouring requests up to just that number.
    let unmerged = match disk {
        Disk::Recorded { .. } => ",request-merging=off",
        _ => "",
    };
    arguments.pair(
        "-device",
        format!("virtio-blk-pci,drive=disk{number}{first}{unmerged}"),
    );
}

fn network_arguments(arguments: &mut Arguments, number: usize, network: &Network) {
    match network {
        Network::User => {
            // Port 0: the host chooses a free one, and QEMU tells which.
            arguments.pair(
                "-netdev",
                format!(
                    "user,id=net{number},restrict=on,hostfwd=tcp:127.0.0.1:0-{GUEST_ADDRESS}:50000"
                ),
            );
            arguments.pair(
                "-device",
                format!("virtio-net-pci,netdev=net{number},romfile="),
            );
        }
        Network::Lab(place) => {
            arguments.pair(
                "-netdev",
                format!(
                    "tap,id=net{number},ifname={},script=no,downscript=no",
                    tap(place)
                ),
            );
            arguments.pair(
                "-device",
                format!(
                    "virtio-net-pci,netdev=net{number},romfile=,mac={}",
                    colons(place.hardware_address)
                ),
            );
        }
        Network::Cable {
            here,
            there,
            hardware_address,
        } => {
            arguments.pair(
                "-netdev",
                format!(
                    "dgram,id=net{number},local.type=unix,local.path={},remote.type=unix,remote.path={}",
                    here.display(),
                    there.display()
                ),
            );
            arguments.pair(
                "-device",
                format!(
                    "virtio-net-pci,netdev=net{number},romfile=,mac={}",
                    colons(*hardware_address)
                ),
            );
        }
    }
}

/// Name of a guest's tap device, unique in its lab.
pub(super) fn tap(place: &Place) -> String {
    format!("tap{}", place.number)
}

/// A hardware address as people write it.
#[must_use]
pub fn colons(hardware_address: [u8; 6]) -> String {
    hardware_address.map(|byte| format!("{byte:02x}")).join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_has_no_way_out() {
        let boot = Boot::Direct {
            kernel: "/k".into(),
            initrd: "/i".into(),
            command_line: "quiet".into(),
        };
        let arguments = Machine::new(boot).arguments("tcg", Path::new("/q"));
        let text: Vec<String> = arguments
            .iter()
            .map(|word| word.to_string_lossy().into_owned())
            .collect();
        let networks: Vec<&String> = text
            .iter()
            .filter(|word| word.starts_with("user,"))
            .collect();
        assert_eq!(networks.len(), 1);
        assert!(networks[0].contains("restrict=on") && networks[0].contains("tcp:127.0.0.1:0-"));
        assert!(
            text.contains(&"-nodefaults".to_owned()),
            "QEMU's default devices include an open network"
        );
    }
}
