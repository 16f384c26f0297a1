use std::process::ExitCode;

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::args::Cli;
use crate::console::Console;
use crate::failure::Failure;

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  modelzoo completions bash > ~/.local/share/bash-completion/completions/modelzoo"
)]
pub(crate) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(args: &CompletionsArgs, console: &Console) -> Result<ExitCode, Failure> {
    clap_complete::generate(
        args.shell,
        &mut Cli::command(),
        "modelzoo",
        &mut console.stdout(),
    );
    Ok(ExitCode::SUCCESS)
}
