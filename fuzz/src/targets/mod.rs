//! The table of targets.

mod config;
mod disk;
mod images;
mod memory;
mod network;
mod node;
mod object_bytes;
mod object_protobuf;
mod objects;
mod pod_networks;
mod store;
mod streams;
mod volumes;

use crate::Target;

/// All targets.
pub const TARGETS: &[Target] = &[
    Target {
        name: "machine_config",
        about: "the machine config, from whoever may apply one",
        run: config::machine_config,
        made: Vec::new,
        runs: 10_000,
    },
    Target {
        name: "certificate_request",
        about: "a certificate signing request, from a client of the machine API",
        run: config::certificate_request,
        made: Vec::new,
        runs: 100_000,
    },
    Target {
        name: "fat",
        about: "a FAT volume that may hold a config, from whoever plugs it in",
        run: volumes::fat,
        made: volumes::fat_volumes,
        runs: 50_000,
    },
    Target {
        name: "iso9660",
        about: "an ISO 9660 volume that may hold a config",
        run: volumes::iso9660,
        made: volumes::iso9660_volumes,
        runs: 200_000,
    },
    Target {
        name: "smbios",
        about: "OEM strings of the firmware or hypervisor",
        run: node::smbios,
        made: Vec::new,
        runs: 500_000,
    },
    Target {
        name: "kernel_command_line",
        about: "the kernel's command line",
        run: node::kernel_command_line,
        made: Vec::new,
        runs: 500_000,
    },
    Target {
        name: "partition_table",
        about: "a GUID partition table of a disk of unknown content",
        run: disk::partition_table,
        made: disk::partition_tables,
        runs: 20_000,
    },
    Target {
        name: "disk_content",
        about: "first and last bytes of a disk of unknown content, a boot loader's EFI variable",
        run: disk::content,
        made: disk::contents,
        runs: 200_000,
    },
    Target {
        name: "meta",
        about: "META's two copies, which a power cut may have torn",
        run: disk::meta,
        made: disk::metas,
        runs: 500_000,
    },
    Target {
        name: "config_generation",
        about: "the two generations of the config on STATE",
        run: disk::config_generation,
        made: disk::config_generations,
        runs: 500_000,
    },
    Target {
        name: "dhcp",
        about: "an IPv4 packet with a DHCP answer, from anybody on the link",
        run: network::dhcp,
        made: network::dhcp_packets,
        runs: 500_000,
    },
    Target {
        name: "ntp",
        about: "an NTP answer, from anybody",
        run: network::ntp,
        made: network::ntp_packets,
        runs: 500_000,
    },
    Target {
        name: "init_frames",
        about: "requests, answers, events and plans between init and its services",
        run: node::init_frames,
        made: node::frames,
        runs: 500_000,
    },
    Target {
        name: "notify",
        about: "sd_notify datagrams, from any process of the node",
        run: node::notify,
        made: Vec::new,
        runs: 500_000,
    },
    Target {
        name: "log_lines",
        about: "what services write",
        run: node::log_lines,
        made: Vec::new,
        runs: 500_000,
    },
    Target {
        name: "uevent",
        about: "the kernel's announcements, which name what was plugged in",
        run: node::uevent,
        made: Vec::new,
        runs: 500_000,
    },
    Target {
        name: "kernel_log",
        about: "records of /dev/kmsg, which devices and programs can write to",
        run: node::kernel_log,
        made: Vec::new,
        runs: 500_000,
    },
    Target {
        name: "cni",
        about: "configurations of pods' networks, and what plugins answer",
        run: pod_networks::cni,
        made: Vec::new,
        runs: 200_000,
    },
    Target {
        name: "streams_spdy",
        about: "frames of SPDY/3.1 from clients of exec, attach and port-forward",
        run: streams::spdy,
        made: streams::conversations,
        runs: 100_000,
    },
    Target {
        name: "streams_channels",
        about: "messages of their WebSockets, and sizes of their terminals",
        run: streams::channels,
        made: Vec::new,
        runs: 200_000,
    },
    Target {
        name: "store_log",
        about: "a segment of the store's log, which a power cut may have torn",
        run: store::log,
        made: store::logs,
        runs: 50_000,
    },
    Target {
        name: "store_cell",
        about: "the store's vote, purged position and identity",
        run: store::cell,
        made: store::cells,
        runs: 200_000,
    },
    Target {
        name: "store_entry",
        about: "an entry of the store's log",
        run: store::entry,
        made: store::entries,
        runs: 200_000,
    },
    Target {
        name: "store_peer",
        about: "what members of the store send each other, and where their records stand",
        run: store::peer_messages,
        made: store::messages,
        runs: 200_000,
    },
    Target {
        name: "store_commands",
        about: "commands that every member of the store applies",
        run: store::commands,
        made: store::command_lists,
        runs: 50_000,
    },
    Target {
        name: "store_gateway",
        about: "JSON of the store's clients",
        run: store::gateway,
        made: Vec::new,
        runs: 20_000,
    },
    Target {
        name: "store_arguments",
        about: "the command line of the store and its URLs",
        run: store::arguments,
        made: Vec::new,
        runs: 5_000,
    },
    Target {
        name: "objects_selectors",
        about: "selectors of labels and fields, from a client of the Kubernetes API",
        run: objects::selectors,
        made: Vec::new,
        runs: 200_000,
    },
    Target {
        name: "objects_grammars",
        about: "quantities, times, durations, names and addresses in objects of the Kubernetes API",
        run: objects::small_grammars,
        made: Vec::new,
        runs: 200_000,
    },
    Target {
        name: "objects_patches",
        about: "an object and a patch of it, from a client of the Kubernetes API",
        run: objects::patches,
        made: Vec::new,
        runs: 100_000,
    },
    Target {
        name: "object_json",
        about: "JSON of a client of the Kubernetes API",
        run: object_bytes::json,
        made: Vec::new,
        runs: 50_000,
    },
    Target {
        name: "object_yaml",
        about: "YAML of a client of the Kubernetes API",
        run: object_bytes::yaml,
        made: Vec::new,
        runs: 20_000,
    },
    Target {
        name: "object_protobuf",
        about: "protobuf of a client of the Kubernetes API",
        run: object_protobuf::object,
        made: object_protobuf::objects,
        runs: 100_000,
    },
    Target {
        name: "object_splice",
        about: "a stored object, which another API server may have written",
        run: object_bytes::spliced,
        made: Vec::new,
        runs: 200_000,
    },
    Target {
        name: "image_layer",
        about: "a layer of an image, from whoever has built it",
        run: images::image_layer,
        made: images::layers,
        runs: 20_000,
    },
    Target {
        name: "image_documents",
        about: "manifests, configs, challenges and tokens, from a registry; its file, and references",
        run: images::image_documents,
        made: images::documents,
        runs: 100_000,
    },
];
