//! The program of all services: the first argument chooses one.
//!
//! One static file, so that the services share their pages; each runs as a process of its own. This is
//! the only program that may import the services' crates. Adding a service is one line in [`SERVICES`].

use clap::Parser as _;
use std::{
    env,
    ffi::OsString,
    process::{ExitCode, Termination as _},
};

/// Servers allocate and free by the hundred thousand a second: glibc's allocator took a seventh of the store's time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Exit code for wrong arguments, as clap's own.
const USAGE_ERROR: u8 = 2;

struct Service {
    name: &'static str,
    about: &'static str,
    run: fn(Vec<OsString>) -> ExitCode,
}

/// A service's arguments as a whole command line.
#[derive(clap::Parser)]
struct CommandLine<A: clap::Args> {
    #[command(flatten)]
    service: A,
}

/// Makes the table: the crate or module of each line has `Args` (clap) and `run(Args)`.
macro_rules! services {
    ($($name:literal, $about:literal, $($place:ident)::+;)+) => {
        /// The one table of services.
        const SERVICES: &[Service] = &[$(Service {
            name: $name,
            about: $about,
            run: |arguments| {
                let line = CommandLine::<$($place)::+::Args>::parse_from(arguments);
                $($place)::+::run(line.service).report()
            },
        }),+];
    };
}

// In the order of their names.
services! {
    "apiserver", "Kubernetes API", orlop_apiserver;
    "fetch-config", "In maintenance mode: fetches the machine config from a URL", orlop_fetch_config;
    "installer", "One-shot: partitions and file systems of the system's disk", orlop_installer;
    "machine-api", "Management API: gRPC over mutual TLS on port 50000", orlop_machine_api;
    "network", "Links, addresses, routes, DHCP, resolvers, host name", orlop_network;
    "plan", "One-shot: finds and validates the machine config for init", orlop_plan;
    "runtime", "Container runtime: CRI v1", orlop_runtime;
    "runtime-keeper", "Makes containers for the runtime, and keeps their logs and ends", orlop_runtime::executor::keeper;
    "runtime-pause", "Holds a PID namespace that containers share", orlop_runtime::executor::pause;
    "store", "Cluster store: etcd v3 on Raft", orlop_store;
    "time", "NTP, clock floor", orlop_time;
}

fn main() -> ExitCode {
    let mut arguments = env::args_os().skip(1);
    let Some(first) = arguments.next() else {
        eprint!("{}", help());
        return ExitCode::from(USAGE_ERROR);
    };
    match first.to_str() {
        Some("--help" | "-h" | "help") => {
            print!("{}", help());
            ExitCode::SUCCESS
        }
        Some("--version" | "-V") => {
            println!("orlop {}", service::version());
            ExitCode::SUCCESS
        }
        name => match SERVICES.iter().find(|service| Some(service.name) == name) {
            Some(service) => {
                let program = OsString::from(format!("orlop {}", service.name));
                (service.run)(std::iter::once(program).chain(arguments).collect())
            }
            None => {
                eprint!("orlop: {first:?} is not a service\n\n{}", help());
                ExitCode::from(USAGE_ERROR)
            }
        },
    }
}

fn help() -> String {
    let mut text = format!(
        "orlop {}: the services of a node, in one program\n\n\
         Usage: orlop <SERVICE> [ARGUMENTS]\n       orlop --version\n\nServices:\n",
        service::version()
    );
    for service in SERVICES {
        text.push_str(&format!("  {:<14} {}\n", service.name, service.about));
    }
    text.push_str("\n`orlop <SERVICE> --help` shows a service's arguments.\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_in_order() {
        let names: Vec<_> = SERVICES.iter().map(|service| service.name).collect();
        let sorted: Vec<_> = names
            .iter()
            .copied()
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect();
        assert_eq!(names, sorted);
    }

    #[test]
    fn every_supervised_service_is_in_the_program() {
        let specs = init_proto::services::table()
            .into_iter()
            .map(|entry| entry.spec)
            .chain([init_proto::services::installer()]);
        for spec in specs {
            assert!(
                SERVICES
                    .iter()
                    .any(|service| service.name == spec.command[1]),
                "{} is supervised and not in the program",
                spec.name
            );
        }
    }
}
