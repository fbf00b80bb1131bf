//! The places that `init` and the services agree on. All are inside the node's own root; a sandboxed
//! node has the same paths in its own mount namespace.

/// `init`'s control socket: a Unix stream socket, [`crate::frame`] frames. Who may ask what is decided
/// by the peer's user id (`SO_PEERCRED`), see [`crate::control::Request::allowed_for`].
pub const CONTROL_SOCKET: &str = "/run/orlop/init.sock";
/// sd_notify(3) datagram socket, handed to services as `NOTIFY_SOCKET`.
pub const NOTIFY_SOCKET: &str = "/run/orlop/notify.sock";
/// Per-service runtime directories: `<RUN_SERVICES>/<service>/`, owned by the service's user, mode 0750.
/// `config` in it is the service's own part of the machine config (mode 0400), written by `init`
/// before the start and before each `SIGHUP`.
pub const RUN_SERVICES: &str = "/run/orlop/services";
/// Name of the config file in a service's runtime directory.
pub const SERVICE_CONFIG: &str = "config";
/// The node's identity: 32 lowercase hex digits and a newline, as machine-id(5). World-readable.
pub const MACHINE_ID: &str = "/run/orlop/machine-id";
/// Written by the network service, in its own runtime directory, which it lets others pass through;
/// `/etc/resolv.conf` in the image links here.
pub const RESOLV_CONF: &str = "/run/orlop/services/network/resolv.conf";
/// Time servers that DHCP gave, one address per line; written beside it.
pub const TIME_SERVERS: &str = "/run/orlop/services/network/time-servers";
/// Where STATE is mounted (a tmpfs directory while there is no STATE partition).
pub const STATE: &str = "/system/state";
/// Where the ESP is mounted, read-only.
pub const ESP: &str = "/system/esp";
/// Where DATA is mounted.
pub const DATA: &str = "/var";
/// Rotated log files of the services: `<LOGS>/<service>.log`, `.log.1`, ...
pub const LOGS: &str = "/var/log/orlop";
/// First config generation on STATE, see [`crate::generation`].
pub const CONFIG_A: &str = "/system/state/config-a";
/// Second config generation on STATE.
pub const CONFIG_B: &str = "/system/state/config-b";
/// Persisted machine id on STATE.
pub const STATE_MACHINE_ID: &str = "/system/state/machine-id";
/// Per-service private state: `<STATE_SERVICES>/<service>/`, owned by the service's user, mode 0700.
pub const STATE_SERVICES: &str = "/system/state/services";
/// A sandboxed node's injected config (the counterpart of QEMU's fw_cfg file), if present.
pub const SANDBOX_CONFIG: &str = "/run/orlop-config.yaml";
/// The one program of all services.
pub const ORLOP: &str = "/usr/bin/orlop";
/// QEMU fw_cfg key of the machine config: `-fw_cfg name=opt/io.orlop/config,file=...`.
pub const FW_CFG_CONFIG: &str = "/sys/firmware/qemu_fw_cfg/by_name/opt/io.orlop/config/raw";
/// SMBIOS type 11 (OEM strings) as the kernel shows them; the config is the concatenation of the
/// strings that begin with [`SMBIOS_PREFIX`], base64-decoded.
pub const SMBIOS_OEM_STRINGS: &str = "/sys/firmware/dmi/entries/11-0/raw";
/// The machine's SMBIOS UUID, readable by root only.
pub const SMBIOS_UUID: &str = "/sys/class/dmi/id/product_uuid";
/// The machine's SMBIOS serial number, readable by root only.
pub const SMBIOS_SERIAL: &str = "/sys/class/dmi/id/product_serial";
/// Prefix of an OEM string that carries a piece of the config in base64.
pub const SMBIOS_PREFIX: &str = "io.orlop.config=";
/// File name of the config on the ESP and its path on a NoCloud volume.
pub const ESP_CONFIG: &str = "orlop.yaml";
/// The authorities of public servers, in PEM.
pub const CA_BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";
/// Key on the kernel command line whose value is a URL of the machine config.
pub const CMDLINE_CONFIG_URL: &str = "orlop.config";
/// GPT partition names made by the installer.
pub const PARTITION_ESP: &str = "ORLOP-ESP";
/// Tiny partition with two copies of slots, reasons and the last good time.
pub const PARTITION_META: &str = "ORLOP-META";
/// Machine config, node identity and keys.
pub const PARTITION_STATE: &str = "ORLOP-STATE";
/// `/var`: store, images, pods, logs.
pub const PARTITION_DATA: &str = "ORLOP-DATA";
