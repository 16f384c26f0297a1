//! Where output goes: data to standard output, everything else to standard error.

use std::io::{self, IsTerminal as _, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use modelzoo::net::Permissions;
use modelzoo::sources::{Grant, PermissionRequest};
use modelzoo::text::{MAX_MESSAGE, escape_lines, shorten};
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

/// The most lines of a message about the command line.
const MAX_LINES: usize = 64;

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

    /// Standard output, for data: nothing that a terminal would act on gets there.
    pub(crate) fn stdout(&self) -> impl Write {
        Safe(self.raw_stdout())
    }

    /// Standard output, for text of modelzoo's own.
    pub(crate) fn raw_stdout(&self) -> impl Write {
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

    /// Prints the path of a file as one line of data.
    pub(crate) fn print_path(&self, path: &Path) -> Result<(), Failure> {
        self.print_line(&modelzoo::text::escape_path(path))
    }

    /// Prints lines of data.
    fn print_line(&self, line: &str) -> Result<(), Failure> {
        let mut out = self.stdout();
        writeln!(out, "{line}")?;
        Ok(out.flush()?)
    }

    /// Prints a message that is not data.
    pub(crate) fn note(&self, message: &str) {
        if !self.global.quiet {
            let _ = writeln!(self.stderr(), "{}", shown(message));
        }
    }

    pub(crate) fn warn(&self, message: &str) {
        let _ = writeln!(self.stderr(), "warning: {}", shown(message));
    }

    /// Prints a failure, and what can be done about it.
    pub(crate) fn fail(&self, message: &str, hint: Option<&str>) {
        let [red, cyan, off] = self.colours();
        let mut err = self.stderr();
        let _ = writeln!(err, "{red}error:{off} {}", shown(message));
        if let Some(hint) = hint {
            let _ = writeln!(err, "{cyan}hint:{off} {}", shown(hint));
        }
    }

    /// Prints what can be done about something that was printed already.
    pub(crate) fn hint(&self, hint: &Hint) {
        let [_, cyan, off] = self.colours();
        let _ = writeln!(self.stderr(), "{cyan}hint:{off} {}", shown(&hint.text()));
    }

    /// Red, cyan, and the end of either; all empty where colour is not wanted.
    fn colours(&self) -> [&'static str; 3] {
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
        let _ = write!(err, "{} [y/N] ", shown(question));
        let _ = err.flush();
        let mut answer = String::new();
        let read = io::stdin().read_line(&mut answer);
        read.is_ok() && matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
    }

    /// Asks before something is lost. Where nobody can be asked, the command line has to say it.
    pub(crate) fn agree(&self, question: &str) -> Result<(), Failure> {
        if !self.interactive() {
            return Err(Failure::usage(
                "nothing was deleted: this asks first",
                Hint::AgreeBeforehand,
            ));
        }
        match self.confirm(question) {
            true => Ok(()),
            false => Err(Failure::plain("nothing was deleted")),
        }
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
        let mut err = self.stderr();
        let _ = writeln!(err, "{} asks to reach:", shown(request.source.as_str()));
        for permission in request.network.iter() {
            let _ = writeln!(err, "  {}", shown(&permission.to_string()));
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

/// Text as it is printed: on one line, without what a terminal would act on, and not too long.
pub(crate) fn shown(text: &str) -> String {
    shorten(text, MAX_MESSAGE)
}

/// Prints what the parser of the command line says. Errors repeat what was typed.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    let text = error.to_string();
    let unsafe_or_long = text.lines().any(|line| shown(line) != line);
    if error.use_stderr() && unsafe_or_long {
        let lines: Vec<_> = text.lines().take(MAX_LINES).map(shown).collect();
        let _ = writeln!(io::stderr(), "{}", lines.join("\n"));
    } else {
        let _ = error.print();
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

/// Escapes what a terminal would act on, except for the ends of lines. Who prints a part of a line
/// escapes those too, with [`shown`].
struct Safe<W>(W);

impl<W: Write> Write for Safe<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        self.0.write_all(escape_lines(&text).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

fn permissions(texts: &[String]) -> Result<Permissions, Failure> {
    texts
        .iter()
        .map(|text| {
            text.parse().map_err(|e| {
                Failure::usage(format!("--{}: {e}", flag::GRANT), Hint::FormsOfPermissions)
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
        writeln!(writer, "{level}: {}", shown(&text))
    }
}
