//! `apprentice eval captions|qa|tod3cap|nu-x|drivelm`

use super::sheet::{finish, read};
use crate::Console;
use crate::arguments::{EvalCaptions, EvalDrivelm, EvalNuX, EvalQa, EvalTod3cap, MeteorOption, Tod3capMode};
use apprentice_core::BoxedError;
use apprentice_eval::EvalError;
use apprentice_eval::language::tod3cap as boxes;
use apprentice_eval::language::tod3cap::{CaptionedBox, Mode, TrueBox};
use apprentice_eval::language::{MeteorFiles, captions as caption_metrics, drivelm as lm, nu_x as nu, qa as questions};
use std::path::{Path, PathBuf};

/// METEOR's files, unless it is left out.
fn meteor_files(option: &MeteorOption) -> Result<Option<MeteorFiles>, EvalError> {
    if option.no_meteor {
        return Ok(None);
    }
    option.meteor.as_deref().map_or_else(fetched_meteor, MeteorFiles::find).map(Some)
}

/// What `cargo xtask setup --captions` linked above the program or in the current folder.
pub(super) fn fetched_meteor() -> Result<MeteorFiles, EvalError> {
    const FETCHED: &str = ".pycocoevalcap/pycocoevalcap/meteor";
    let program = std::env::current_exe().ok();
    let near = program.iter().flat_map(|p| p.ancestors().skip(1).map(Path::to_path_buf));
    let found = near.chain(std::env::current_dir().ok()).map(|folder| folder.join(FETCHED)).find(|f| f.is_dir());
    MeteorFiles::find(&found.unwrap_or_else(|| PathBuf::from(FETCHED)))
}

/// `eval captions`
pub(super) fn captions(eval: &EvalCaptions, console: &Console) -> Result<(), BoxedError> {
    let files = meteor_files(&eval.meteor)?;
    let (file, text) = read(&eval.pairs)?;
    finish(&caption_metrics::sheet(&file, &text, files.as_ref())?, &eval.out, console)
}

/// `eval qa`
pub(super) fn qa(eval: &EvalQa, console: &Console) -> Result<(), BoxedError> {
    let (file, text) = read(&eval.questions)?;
    let (subject, answers) = read(&eval.answers)?;
    let asked = questions::read_questions(&file, &text)?;
    let answers = questions::read_answers(&subject, &answers)?;
    finish(&questions::score((&file, &text), &asked, (&subject, &answers))?, &eval.out, console)
}

/// `eval tod3cap`
pub(super) fn tod3cap(eval: &EvalTod3cap, console: &Console) -> Result<(), BoxedError> {
    let files = meteor_files(&eval.meteor)?;
    let (file, text) = read(&eval.captions)?;
    let captions = boxes::read_captions(&file, &text)?;
    let (box_file, box_text) = read(&eval.boxes)?;
    let truth = boxes::read_boxes::<TrueBox>(&box_file, &box_text, |b| &b.place)?;
    let (subject, predicted) = read(&eval.predictions)?;
    let predicted = boxes::read_boxes::<CaptionedBox>(&subject, &predicted, |b| &b.place)?;
    let mode = match eval.mode {
        Tod3capMode::Paper => Mode::Paper,
        Tod3capMode::Repo => Mode::Repo,
    };
    let sheet = boxes::score(mode, (&file, &text), &captions, &truth, (&subject, &predicted), files.as_ref())?;
    finish(&sheet, &eval.out, console)
}

/// `eval nu-x`
pub(super) fn nu_x(eval: &EvalNuX, console: &Console) -> Result<(), BoxedError> {
    let files = meteor_files(&eval.meteor)?;
    let (file, text) = read(&eval.truth)?;
    let (subject, answers) = read(&eval.answers)?;
    let (truth, answers) = (nu::read(&file, &text)?, nu::read(&subject, &answers)?);
    finish(&nu::score((&file, &text), &truth, (&subject, &answers), files.as_ref())?, &eval.out, console)
}

/// `eval drivelm`
pub(super) fn drivelm(eval: &EvalDrivelm, console: &Console) -> Result<(), BoxedError> {
    let (file, text) = read(&eval.questions)?;
    let (subject, answers) = read(&eval.answers)?;
    let asked = lm::read_questions(&file, &text)?;
    let answers = lm::read_answers(&subject, &answers)?;
    finish(&lm::score((&file, &text), &asked, (&subject, &answers))?, &eval.out, console)
}
