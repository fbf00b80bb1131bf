//! The acting half: each file turns a decided action into system calls and their outcome into a value.

pub(crate) mod cgroups;
pub(crate) mod config_store;
pub(crate) mod connections;
pub(crate) mod console;
pub(crate) mod devices;
pub(crate) mod log_files;
pub(crate) mod module_loader;
pub(crate) mod mounts;
pub(crate) mod notify_socket;
pub(crate) mod poller;
pub(crate) mod probes;
pub(crate) mod processes;
pub(crate) mod spawn;
pub(crate) mod sys;
pub(crate) mod time;
pub(crate) mod uevents;
pub(crate) mod watchdog;
