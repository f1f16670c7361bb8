//! One module per verb that needs no libtorch.

pub mod bench;
mod compare;
mod data;
mod doctor;
mod drive;
mod drivers;
mod eval;
mod language;
mod perception;
mod report;
mod score;
mod sheet;
mod table;
mod worlds;

pub use drive::{drive_with, world_jobs};
pub use drivers::{Factory, light_driver};
pub use eval::planning_with;
pub use worlds::{part_named, size_named};

use crate::arguments::{Arguments, DataVerb, EvalVerb, ScoreVerb, Verb, WorldsVerb};
use crate::{CliError, Console};
use apprentice_core::BoxedError;

/// Whether a verb must be run by `apprentice-torch`.
pub fn needs_libtorch(verb: &Verb) -> bool {
    let checkpoint = |driver: &str| driver.ends_with(".safetensors");
    match verb {
        Verb::Train(_) | Verb::Teacher(_) | Verb::Harvest(_) | Verb::Distill(_) | Verb::Export(_) | Verb::Prove(_) => {
            true
        }
        Verb::Eval(EvalVerb::Planning(eval)) => eval.driver.as_deref().is_some_and(checkpoint),
        Verb::Drive(drive) => drive.driver.as_deref().is_some_and(checkpoint),
        Verb::Bench(bench) => bench::needs_libtorch(bench),
        Verb::Eval(_)
        | Verb::Doctor
        | Verb::Worlds(_)
        | Verb::Score(_)
        | Verb::Report(_)
        | Verb::Compare(_)
        | Verb::Table(_)
        | Verb::Data(_) => false,
    }
}

/// Refuse settings that a verb would not read.
///
/// # Errors
/// When `--config` or `--set` stand beside a verb that has no configuration, or `--dry-run` beside one that would act all the same.
pub fn check_settings(arguments: &Arguments) -> Result<(), BoxedError> {
    let configured = matches!(arguments.verb, Verb::Train(_) | Verb::Distill(_) | Verb::Prove(_));
    let common = &arguments.common;
    let makes = matches!(arguments.verb, Verb::Worlds(_) | Verb::Harvest(_) | Verb::Drive(_));
    if common.dry_run && !configured && !makes {
        let hint = "only `worlds make`, `train`, `harvest`, `distill`, `prove` and `drive` take --dry-run";
        return Err(CliError::new("this command has nothing to say beforehand with --dry-run", hint).into());
    }
    let (name, given) = match (&common.config, common.set.first()) {
        (Some(path), _) => ("--config", path.display().to_string()),
        (None, Some(setting)) => ("--set", setting.clone()),
        (None, None) => return Ok(()),
    };
    if configured {
        return Ok(());
    }
    let problem = format!("this command has no configuration to change with {name} {given}");
    Err(CliError::new(problem, "only `train`, `distill` and `prove` take --config and --set").into())
}

/// Run a verb that needs no libtorch.
///
/// # Errors
/// Whatever went wrong, with a hint.
pub fn run(arguments: &Arguments, console: &Console) -> Result<(), BoxedError> {
    if let Some(threads) = arguments.common.threads {
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build_global()
            .map_err(|e| CliError::new(format!("cannot use {threads} threads: {e}"), "leave out --threads"))?;
    }
    match &arguments.verb {
        Verb::Doctor => doctor::run(console),
        Verb::Worlds(WorldsVerb::Make(make)) => worlds::make(make, &arguments.common, console),
        Verb::Eval(EvalVerb::Planning(eval)) => planning_with(eval, &light_driver, console),
        Verb::Eval(EvalVerb::Detection(eval)) => perception::detection(eval, console),
        Verb::Eval(EvalVerb::Tracking(eval)) => perception::tracking(eval, console),
        Verb::Eval(EvalVerb::Prediction(eval)) => perception::prediction(eval, console),
        Verb::Data(DataVerb::Info(read)) => data::info(read, console),
        Verb::Data(DataVerb::Check(read)) => data::check(read, console),
        Verb::Data(DataVerb::Export(export)) => data::export(export, console),
        Verb::Eval(EvalVerb::Captions(eval)) => language::captions(eval, console),
        Verb::Eval(EvalVerb::Qa(eval)) => language::qa(eval, console),
        Verb::Eval(EvalVerb::Tod3cap(eval)) => language::tod3cap(eval, console),
        Verb::Eval(EvalVerb::NuX(eval)) => language::nu_x(eval, console),
        Verb::Eval(EvalVerb::Drivelm(eval)) => language::drivelm(eval, console),
        Verb::Eval(EvalVerb::Map(eval)) => sheet::map(eval, console),
        Verb::Eval(EvalVerb::Segmentation(eval)) => sheet::segmentation(eval, console),
        Verb::Table(of) => table::run(of, console),
        Verb::Drive(drive) => drive_with(drive, &arguments.common, &light_driver, console),
        Verb::Score(ScoreVerb::Bench2drive(of)) => score::bench2drive(of, console),
        Verb::Compare(pair) => compare::run(pair, console),
        Verb::Bench(what) => bench::measure(what).map(|measured| bench::answer(&measured, console)),
        Verb::Report(what) => report::run(what, console),
        Verb::Train(_) | Verb::Teacher(_) | Verb::Harvest(_) | Verb::Distill(_) | Verb::Export(_) | Verb::Prove(_) => {
            Err(CliError::new("this verb needs libtorch", "start it as `apprentice`, which hands it over").into())
        }
    }
}
