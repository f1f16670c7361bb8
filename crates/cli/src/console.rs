//! Where output goes: documents and tables to stdout, progress and notes to stderr.

use crate::CliError;
use apprentice_core::{BoxedError, Progress};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Duration;

/// The user's terminal, and a progress bar on it.
pub struct Console {
    json: bool,
    quiet: bool,
    bar: Mutex<Option<ProgressBar>>,
    unsaid: Mutex<Option<std::io::Error>>,
}

impl Console {
    /// `json`: one JSON document on stdout. `quiet`: no progress.
    pub fn new(json: bool, quiet: bool) -> Self {
        Self { json, quiet, bar: Mutex::new(None), unsaid: Mutex::new(None) }
    }

    /// Whether the user asked for JSON.
    pub fn json(&self) -> bool {
        self.json
    }

    /// The command's answer: the document with `--json`, else the text.
    pub fn answer(&self, document: &impl Serialize, text: impl FnOnce() -> String) {
        let text = match self.json {
            true => serde_json::to_string_pretty(document).expect("answers are plain data"),
            false => text().trim_end().to_string(),
        };
        self.heed(writeln!(std::io::stdout().lock(), "{text}"));
    }

    /// A piece of an answer that comes bit by bit; not with `--json`.
    pub fn piece(&self, text: &str) {
        if !self.json {
            let mut out = std::io::stdout().lock();
            self.heed(write!(out, "{text}").and_then(|()| out.flush()));
        }
    }

    /// A reader that has seen enough (`| head`) is no failure; a full disk is one, in the end.
    fn heed(&self, written: std::io::Result<()>) {
        if let Err(error) = written
            && error.kind() != std::io::ErrorKind::BrokenPipe
        {
            *self.unsaid.lock().expect("no panic while holding it") = Some(error);
        }
    }

    /// The program's exit code: whatever went wrong is printed with its hint, an answer that could not be written among it.
    pub fn exit(&self, outcome: Result<(), BoxedError>) -> ExitCode {
        let unsaid = self.unsaid.lock().expect("no panic while holding it").take().map_or(Ok(()), |e| {
            Err(CliError::new(format!("the answer could not be written: {e}"), "make room, and run it again").into())
        });
        outcome.and(unsaid).map_or_else(|e| fail(&e), |()| ExitCode::SUCCESS)
    }

    /// A remark on stderr.
    pub fn say(&self, text: &str) {
        match &*self.bar.lock().expect("no panic while holding the bar") {
            Some(bar) if !bar.is_hidden() => bar.println(text),
            _ => eprintln!("{text}"),
        }
    }
}

/// Print an error with its chain and hint; the exit code of the program.
fn fail(error: &BoxedError) -> ExitCode {
    eprintln!("error: {error}");
    let mut cause = std::error::Error::source(error.as_ref());
    while let Some(inner) = cause {
        if !error.to_string().contains(&inner.to_string()) {
            eprintln!("  because: {inner}");
        }
        cause = inner.source();
    }
    if let Some(hint) = error.hint() {
        eprintln!("hint: {hint}");
    }
    ExitCode::FAILURE
}

impl Progress for Console {
    fn start(&self, stage: &str, total: u64) {
        self.finish();
        if self.quiet {
            return;
        }
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr_with_hz(5));
        let style = ProgressStyle::with_template("{msg:24} {bar:28} {pos}/{len}  {elapsed} gone, {eta} left  {prefix}");
        if let Ok(style) = style {
            bar.set_style(style.progress_chars("━╸─"));
        }
        bar.set_message(stage.to_string());
        bar.enable_steady_tick(Duration::from_millis(500));
        if bar.is_hidden() {
            eprintln!("{stage}: {total} to do");
        }
        *self.bar.lock().expect("no panic while holding the bar") = Some(bar);
    }

    fn advance(&self, n: u64) {
        if let Some(bar) = &*self.bar.lock().expect("no panic while holding the bar") {
            bar.inc(n);
        }
    }

    fn skip(&self, n: u64) {
        if let Some(bar) = &*self.bar.lock().expect("no panic while holding the bar") {
            bar.inc(n);
            bar.reset_eta();
        }
    }

    fn note(&self, text: &str) {
        if let Some(bar) = &*self.bar.lock().expect("no panic while holding the bar") {
            bar.set_prefix(text.to_string());
        }
    }

    fn finish(&self) {
        if let Some(bar) = self.bar.lock().expect("no panic while holding the bar").take() {
            if bar.is_hidden() {
                eprintln!("{}: done in {:.1} s  {}", bar.message(), bar.elapsed().as_secs_f64(), bar.prefix());
            }
            bar.finish();
        }
    }
}
