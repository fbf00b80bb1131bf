//! Rules of the group's types.

pub mod cron_job;
pub mod job;
