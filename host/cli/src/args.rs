//! The command line: FiftyOne's verbs and flags, and more.

use clap::{Args, Parser, Subcommand};

use crate::commands::{
    apply, audit, bundle, completions, delete, delete_source, download, embed, find, gc, info,
    inspect, list, register_source, requirements, update_source, verify, view,
};
use crate::names::{flag, verb};

const ABOUT: &str =
    "A model zoo whose sources are remote and untrusted, and whose models run natively";

/// The text below the options of `modelzoo --help`.
fn after_help() -> String {
    let mut text = "Environment:\n".to_owned();
    for (name, meaning) in modelzoo::ENVIRONMENT {
        text += &format!("  {name:<23} {meaning}\n");
    }
    text + "\nExit status:\n  0 done, 1 failed, 2 wrong usage, 3 some samples failed, 4 permission needed"
}

/// Everything that was typed.
#[derive(Debug, Parser)]
#[command(name = "modelzoo", version, about = ABOUT, after_help = after_help(), max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The options of every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Print JSON to standard output
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Open no socket
    #[arg(long = flag::OFFLINE, global = true)]
    pub(crate) offline: bool,
    /// Use only sources that modelzoo.lock names, exactly as it pins them
    #[arg(long = flag::LOCKED, global = true)]
    pub(crate) locked: bool,
    /// Download only what was downloaded before, with the same digests
    #[arg(long = flag::FROZEN, global = true)]
    pub(crate) frozen: bool,
    /// Show no progress and no messages of sources
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Show the debug messages of modelzoo and of sources
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the models of all registered sources
    #[command(name = verb::LIST)]
    List(list::ListArgs),
    /// Print where a downloaded model is
    Find(find::FindArgs),
    /// Show what is known about a model
    Info(info::InfoArgs),
    /// Download a model through its source's hook
    #[command(name = verb::DOWNLOAD)]
    Download(download::DownloadArgs),
    /// Apply a model to a dataset and write the labels
    Apply(apply::ApplyArgs),
    /// Compute embeddings of a dataset's images or texts and write them
    #[command(name = verb::EMBED)]
    Embed(embed::EmbedArgs),
    /// Write a page that shows a dataset and its labels
    View(view::ViewArgs),
    /// Delete the files of a downloaded model
    Delete(delete::DeleteArgs),
    /// List the registered sources
    #[command(name = verb::LIST_SOURCES)]
    ListSources,
    /// Register a source: a directory, an archive or a GitHub repository
    #[command(name = verb::REGISTER_SOURCE)]
    RegisterSource(register_source::RegisterArgs),
    /// Remove a source and its models
    DeleteSource(delete_source::DeleteSourceArgs),
    /// Fetch registered sources again, and show what changes
    #[command(name = verb::UPDATE_SOURCE)]
    UpdateSource(update_source::UpdateArgs),
    /// Show what a model requires
    Requirements(requirements::RequirementsArgs),
    /// Show what a source is and asks for, without running or keeping anything of it
    Inspect(inspect::InspectArgs),
    /// Show what sources did and were denied, and the least permissions that they needed
    #[command(name = verb::AUDIT)]
    Audit(audit::AuditArgs),
    /// Check every stored byte against what was recorded
    #[command(name = verb::VERIFY)]
    Verify(verify::VerifyArgs),
    /// Show what the store uses
    Du,
    /// Remove from the store what nothing needs
    #[command(name = verb::GC)]
    Gc(gc::GcArgs),
    /// Carry a source and its models, in one checked file, to a machine without a network
    #[command(name = verb::BUNDLE)]
    Bundle(bundle::BundleArgs),
    /// Show what this machine offers, and whether anything is broken
    #[command(name = verb::DOCTOR)]
    Doctor,
    /// Print a completion script for a shell
    Completions(completions::CompletionsArgs),
}

/// The permissions that a source gets.
#[derive(Debug, Clone, Args)]
pub(crate) struct GrantArgs {
    /// Let the source reach this host, for example https://huggingface.co; `all` for every host
    /// that its manifest declares. Without it a terminal is asked
    #[arg(long = flag::GRANT, value_name = "PERMISSION")]
    pub(crate) grant: Vec<String>,
}
