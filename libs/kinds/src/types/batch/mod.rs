//! Rules of the group's types.

pub mod cron_job;
mod indexes;
pub mod job;
mod job_spec;
mod job_status;
pub mod schedule;
