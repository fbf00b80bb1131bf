//! The half that touches the kernel: each module does one kind of input or output and decides nothing.

pub mod dhcp;
pub mod files;
pub mod monitor;
pub mod netlink;
pub mod packet_socket;
pub mod readable;
