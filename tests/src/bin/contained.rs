//! What containers of tests run: small, static, and without a need of anything in its root.
//!
//! ```text
//!   pause            waits for SIGTERM or SIGINT
//!   exit CODE        ends
//!   say TEXT CODE    writes a line to both streams and ends
//! ```

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{SigSet, Signal};
use std::process::ExitCode;

fn main() -> Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["pause"] => {
            let signals = SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT]);
            signals.thread_block().context("block signals")?;
            signals.wait().context("wait for a signal")?;
            Ok(ExitCode::SUCCESS)
        }
        ["exit", code] => Ok(ExitCode::from(code.parse::<u8>().context("an exit code")?)),
        ["say", text, code] => {
            println!("{text}");
            eprintln!("{text}");
            Ok(ExitCode::from(code.parse::<u8>().context("an exit code")?))
        }
        _ => bail!("usage: contained pause | exit CODE | say TEXT CODE"),
    }
}
