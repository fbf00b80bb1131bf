//! `init` is a program and has no library: these of its files stand alone, and are taken as they are.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "only the parsers of these files are tried"
)]

#[path = "../../init/src/planner/lines.rs"]
pub(crate) mod lines;
#[path = "../../init/src/planner/notify.rs"]
pub(crate) mod notify;
#[path = "../../init/src/planner/uevents.rs"]
pub(crate) mod uevents;
