//! Where output goes: data to standard output, everything else to standard error.

use std::io::{self, IsTerminal as _, Write};
use std::sync::Arc;

use modelzoo::net::Permissions;
use modelzoo::sources::{Grant, PermissionRequest};
use modelzoo::{Config, Zoo};
use serde::Serialize;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::args::{Global, GrantArgs};
use crate::failure::Failure;
use crate::hints::Hint;
use crate::names::flag;
use crate::progress::Bars;

/// The terminal, or the files and pipes in its place.
pub(crate) struct Console {
    global: Global,
    bars: Arc<Bars>,
}

impl Console {
    pub(crate) fn new(global: &Global) -> Self {
        Self {
            bars: Arc::new(Bars::new(global)),
            global: global.clone(),
        }
    }

    /// Sends the host's own log events to standard error.
    pub(crate) fn init_tracing(&self) {
        use tracing_subscriber::EnvFilter;
        let level = match (self.global.quiet, self.global.verbose) {
            (true, _) => "error",
            (_, true) => "debug",
            _ => "warn",
        };
        let filter = EnvFilter::new(format!(
            "off,modelzoo={level},modelzoo_net={level},modelzoo_sandbox={level},modelzoo_runtime={level},modelzoo_data={level}"
        ));
        let bars = Arc::clone(&self.bars);
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .event_format(Plain)
            .with_writer(move || bars.writer())
            .init();
    }

    /// The user's zoo, reporting to this console.
    pub(crate) fn zoo(&self) -> Result<Zoo, Failure> {
        let mut config = Config::from_env()?;
        config.offline |= self.global.offline;
        config.locked = self.global.locked;
        config.frozen = self.global.frozen;
        config.compiler = crate::commands::compile::compiler();
        Ok(Zoo::open(config)
            .with_progress(self.bars.clone())
            .with_messages(self.bars.clone()))
    }

    pub(crate) fn json(&self) -> bool {
        self.global.json
    }

    pub(crate) fn bars(&self) -> &Bars {
        &self.bars
    }

    pub(crate) fn stdout(&self) -> impl Write {
        io::BufWriter::new(io::stdout().lock())
    }

    pub(crate) fn stderr(&self) -> impl Write {
        self.bars.writer()
    }

    /// Prints a value as JSON, with escapes for what a terminal would act on.
    pub(crate) fn print_json(&self, value: &impl Serialize) -> Result<(), Failure> {
        let json = serde_json::to_string_pretty(value)?;
        self.print_line(&modelzoo_base::json::escape(&json))
    }

    /// Prints one line of data.
    pub(crate) fn print_line(&self, line: &str) -> Result<(), Failure> {
        let mut out = self.stdout();
        writeln!(out, "{line}")?;
        Ok(out.flush()?)
    }

    /// Prints a message that is not data.
    pub(crate) fn note(&self, message: &str) {
        if !self.global.quiet {
            let _ = writeln!(self.stderr(), "{}", modelzoo::text::escape(message));
        }
    }

    pub(crate) fn warn(&self, message: &str) {
        let _ = writeln!(
            self.stderr(),
            "warning: {}",
            modelzoo::text::escape(message)
        );
    }

    /// Red, cyan, and the end of either; all empty where colour is not wanted.
    pub(crate) fn colours(&self) -> [&'static str; 3] {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        if io::stderr().is_terminal() && !plain {
            ["\x1b[1;31m", "\x1b[1;36m", "\x1b[0m"]
        } else {
            [""; 3]
        }
    }

    /// Whether somebody can answer questions.
    pub(crate) fn interactive(&self) -> bool {
        io::stdin().is_terminal() && io::stderr().is_terminal()
    }

    /// Asks a yes-or-no question; no is the default.
    pub(crate) fn confirm(&self, question: &str) -> bool {
        let mut err = self.stderr();
        let _ = write!(err, "{question} [y/N] ");
        let _ = err.flush();
        let mut answer = String::new();
        let read = io::stdin().read_line(&mut answer);
        read.is_ok() && matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
    }

    /// Calls `then` with the source of permissions: the flags, or the person at the terminal.
    pub(crate) async fn with_grant<T>(
        &self,
        args: &GrantArgs,
        then: impl AsyncFnOnce(Grant<'_>) -> T,
    ) -> Result<T, Failure> {
        if args.grant.iter().any(|p| p == "all") {
            return Ok(then(Grant::All).await);
        }
        if !args.grant.is_empty() {
            return Ok(then(Grant::Only(permissions(&args.grant)?)).await);
        }
        if !self.interactive() {
            return Ok(then(Grant::Nothing).await);
        }
        let mut ask = |request: &PermissionRequest| self.ask_permission(request);
        Ok(then(Grant::Ask(&mut ask)).await)
    }

    fn ask_permission(&self, request: &PermissionRequest) -> bool {
        use modelzoo::text::escape;
        let mut err = self.stderr();
        let _ = writeln!(err, "{} asks to reach:", escape(request.source.as_str()));
        for permission in request.network.iter() {
            let _ = writeln!(err, "  {}", permission);
        }
        if let Some(bytes) = request.max_download_bytes {
            let _ = writeln!(
                err,
                "and to download at most {}",
                indicatif::DecimalBytes(bytes)
            );
        }
        drop(err);
        self.confirm("Grant this?")
    }
}

fn permissions(texts: &[String]) -> Result<Permissions, Failure> {
    texts
        .iter()
        .map(|text| {
            text.parse().map_err(|e| {
                Failure::usage(
                    format!("--{} {text}: {e}", flag::GRANT),
                    Hint::FormsOfPermissions,
                )
            })
        })
        .collect()
}

/// Prints the host's own log events in the form of the command's warnings.
struct Plain;

impl<S, N> FormatEvent<S, N> for Plain
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &tracing::Event<'_>,
    ) -> std::fmt::Result {
        let mut text = String::new();
        context.format_fields(Writer::new(&mut text), event)?;
        let level = match *event.metadata().level() {
            tracing::Level::ERROR => "error",
            tracing::Level::WARN => "warning",
            tracing::Level::INFO => "info",
            _ => "debug",
        };
        writeln!(writer, "{level}: {}", modelzoo::text::escape(&text))
    }
}
