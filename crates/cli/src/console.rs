//! Where output goes: documents and tables to stdout, progress and notes to stderr.

use apprentice_core::{BoxedError, Progress};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use std::io::Write;
use std::sync::Mutex;
use std::time::Duration;

/// The user's terminal, and a progress bar on it.
pub struct Console {
    json: bool,
    quiet: bool,
    bar: Mutex<Option<ProgressBar>>,
}

impl Console {
    /// `json`: one JSON document on stdout. `quiet`: no progress.
    pub fn new(json: bool, quiet: bool) -> Self {
        Self { json, quiet, bar: Mutex::new(None) }
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
        // A reader that has seen enough (`| head`) is no failure.
        let _ = writeln!(std::io::stdout().lock(), "{text}");
    }

    /// A piece of an answer that comes bit by bit; not with `--json`.
    pub fn piece(&self, text: &str) {
        if !self.json {
            let mut out = std::io::stdout().lock();
            let _ = write!(out, "{text}").and_then(|()| out.flush());
        }
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
pub fn fail(error: &BoxedError) -> std::process::ExitCode {
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
    std::process::ExitCode::FAILURE
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
