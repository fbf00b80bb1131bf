//! PID 1 of an Orlop node: boots, supervises, reaps, shuts down. Nothing else.
//!
//! ```text
//!   planner/    pure: phases' inputs, supervisor, log lines, module order, exits, filters
//!   executor/   system calls, one file per kind of thing
//!   machine/    the wiring: one state, one closed enum of events, one loop
//! ```
//!
//! It has one thread, never panics (every event is handled behind a barrier), never exits on a whole
//! machine, and parses nothing that comes from outside: the machine config is read by the unprivileged
//! one-shot `orlop plan`, which answers with a typed frame.

mod executor;
mod machine;
mod planner;

use planner::options::{Options, from_arguments};
use std::process::ExitCode;
use std::time::Duration;

/// Exit code for arguments that are not understood.
const EXIT_USAGE: u8 = 2;
/// Wait before a machine whose kernel gives no descriptors is reset.
const HOPELESS_WAIT: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args_os()
        .skip(1)
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect();
    if std::process::id() != 1 {
        return beside(&arguments);
    }
    let sandboxed = arguments.iter().any(|argument| argument == "--sandbox");
    let options = match (sandboxed, from_arguments(arguments)) {
        (true, Ok(options)) => options,
        (true, Err(error)) => {
            eprintln!("orlop-init: {error}");
            return ExitCode::from(EXIT_USAGE);
        }
        // The kernel hands over words of its command line that are not for `init`.
        (false, _) => Options::default(),
    };
    executor::console::install_panic_hook(sandboxed);
    match machine::Machine::new(options) {
        Ok(machine) => ExitCode::from(u8::try_from(machine.run()).unwrap_or(u8::MAX)),
        Err(error) => {
            executor::console::Console::open(sandboxed)
                .say(0, &format!("the kernel gives init no descriptors: {error}"));
            if !sandboxed {
                let wait = executor::time::timespec(HOPELESS_WAIT);
                let _ = rustix::thread::nanosleep(&wait);
                let _ = rustix::system::reboot(rustix::system::RebootCommand::Restart);
            }
            ExitCode::FAILURE
        }
    }
}

/// Started by somebody else: the kernel, which asks for a module, or a person, who is mistaken.
fn beside(arguments: &[String]) -> ExitCode {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["-q", "--", module] if executor::module_loader::modprobe(module) => ExitCode::SUCCESS,
        ["-q", "--", _] => ExitCode::FAILURE,
        _ => {
            eprintln!(
                "orlop-init: this is PID 1 of an Orlop node. Boot the image, or start a node on this \
                 host: orlopctl cluster create --provisioner host"
            );
            ExitCode::from(EXIT_USAGE)
        }
    }
}
