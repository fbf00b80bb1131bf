//! What touches the world: sockets, TLS, `init`, the kernel, files.

pub mod addresses;
pub mod convert;
pub mod credentials;
pub mod events;
pub mod gate;
pub mod init;
pub mod kernel_log;
pub mod listener;
pub mod logs;
pub mod machine;
pub mod metrics;
pub mod resources;
pub mod streams;
