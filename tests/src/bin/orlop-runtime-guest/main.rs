//! The whole of a guest in which the container runtime shows what needs cgroup v2 with all its controllers.
//!
//! ```text
//!   the kernel ──/init──> [`machine`]: a root of its own, file systems, cgroups ──> /guest checks
//!   /guest checks ──> an image of this very program, in a registry of its own ([`image`])
//!                 ──> `orlop runtime`, over CRI ([`node`]) ──> a line for each check on the console ([`checks`])
//!   in containers: /guest hog, burn, forks, devices, ... ([`toys`])
//! ```
//!
//! The host's side, `qemu_runtime`, reads the lines.

mod checks;
mod image;
mod machine;
mod node;
mod toys;

use anyhow::Result;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let words: Vec<&str> = arguments.iter().skip(1).map(String::as_str).collect();
    match words.as_slice() {
        // The kernel starts /init without words, or with those of its command line that it does not know.
        _ if arguments.first().is_some_and(|name| name == "/init") => machine::begin(),
        ["checks"] => {
            if let Err(error) = checks::all() {
                println!("checks: failed {error:#}");
            }
            machine::off()
        }
        words => toys::run(words),
    }
}
