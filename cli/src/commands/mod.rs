//! The commands, by what they are about.

mod config;
mod convert;
mod generate;
mod machine;
mod resources;
mod services;
mod streams;

use crate::{
    arguments::{Arguments, Command},
    failure::Failure,
    output::Output,
};
use clap::CommandFactory as _;

/// Does what the arguments say.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let global = &arguments.global;
    let output = Output::new(global.output);
    match arguments.command {
        Command::Version { client } => machine::version(global, output, client).await,
        Command::ApplyConfig(given) => machine::apply(global, output, &given).await,
        Command::Get(given) => resources::get(global, output, given).await,
        Command::BootPhases => machine::boot_phases(global, output).await,
        Command::Services => services::list(global, output).await,
        Command::Service { name, action } => services::act(global, name, action).await,
        Command::Logs(given) => streams::logs(global, output, given).await,
        Command::Dmesg { follow, tail } => streams::dmesg(global, output, follow, tail).await,
        Command::Events(given) => streams::events(global, output, given).await,
        Command::Reboot => machine::reboot(global).await,
        Command::Shutdown => machine::shutdown(global).await,
        Command::Config(command) => config::run(global, output, command).await,
        Command::Gen(command) => generate::run(command),
        Command::Validate { file } => generate::validate(&file),
        Command::Completion { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "orlopctl", &mut script);
            output.text(&String::from_utf8_lossy(&script))
        }
    }
}
