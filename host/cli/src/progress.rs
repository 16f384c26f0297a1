//! Progress bars and messages, both on standard error without overwriting each other.

use std::io::{self, IsTerminal as _, Write};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use modelzoo::Messages;
use modelzoo::net::{Progress, Task};
use modelzoo::reference::SourceId;
use modelzoo::runs::Watch;
use modelzoo::sandbox::Level;
use modelzoo::text::{MAX_NAME, shorten};

use crate::args::Global;
use crate::console::shown;

/// The bars on the terminal, if standard error is one.
pub(crate) struct Bars {
    multi: MultiProgress,
    level: Level,
    quiet: bool,
}

impl Bars {
    pub(crate) fn new(global: &Global) -> Self {
        let multi = MultiProgress::new();
        if global.quiet || !io::stderr().is_terminal() {
            multi.set_draw_target(ProgressDrawTarget::hidden());
        }
        Self {
            multi,
            level: if global.verbose {
                Level::Debug
            } else {
                Level::Info
            },
            quiet: global.quiet,
        }
    }

    /// Standard error, written to without breaking the bars.
    pub(crate) fn writer(&self) -> BarWriter {
        BarWriter {
            multi: self.multi.clone(),
            line: Vec::new(),
        }
    }

    /// A bar that counts samples.
    pub(crate) fn samples(&self) -> SampleBar<'_> {
        let style = "{bar:30} {pos}/{len} samples  {per_sec}  {eta}";
        SampleBar {
            bar: self.multi.add(bar(style)),
            bars: self,
        }
    }
}

fn bar(template: &str) -> ProgressBar {
    let style =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(0).with_style(style)
}

impl Progress for Bars {
    fn start(&self, label: &str, total: Option<u64>) -> Box<dyn Task> {
        let style = "{msg:30!} {bar:30} {decimal_bytes}/{decimal_total_bytes}  {decimal_bytes_per_sec}  {eta}";
        let bar = self.multi.add(bar(style));
        bar.set_message(shorten(label, MAX_NAME));
        if let Some(total) = total {
            bar.set_length(total);
        }
        Box::new(DownloadBar(bar))
    }
}

struct DownloadBar(ProgressBar);

impl Task for DownloadBar {
    fn set_total(&mut self, total: u64) {
        self.0.set_length(total);
    }

    fn set(&mut self, done: u64) {
        self.0.set_position(done);
    }
}

impl Drop for DownloadBar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

impl Messages for Bars {
    fn message(&self, source: &SourceId, level: Level, text: &str) {
        if !self.quiet && level >= self.level {
            let _ = writeln!(self.writer(), "[{}] {text}", shown(source.as_str()));
        }
    }
}

/// The progress of one run over a dataset.
pub(crate) struct SampleBar<'a> {
    bar: ProgressBar,
    bars: &'a Bars,
}

impl Watch for SampleBar<'_> {
    fn progress(&self, done: usize, total: usize) {
        self.bar.set_length(total as u64);
        self.bar.set_position(done as u64);
    }

    fn failed(&self, sample: &str, reason: &str) {
        let _ = writeln!(
            self.bars.writer(),
            "failed: {}: {}",
            shorten(sample, MAX_NAME),
            shown(reason)
        );
    }
}

impl Drop for SampleBar<'_> {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Collects what is written and prints it above the bars.
pub(crate) struct BarWriter {
    multi: MultiProgress,
    line: Vec<u8>,
}

impl Write for BarWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.line.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let line = std::mem::take(&mut self.line);
        self.multi.suspend(|| io::stderr().lock().write_all(&line))
    }
}

impl Drop for BarWriter {
    fn drop(&mut self) {
        let _ = self.flush();
    }
}
