//! The `apprentice-torch` program: the verbs that need libtorch. `apprentice` starts it with the user's own arguments.

mod bench;
mod device;
mod export;
mod general;
mod harvest;
mod pictures;
mod prove;
mod teach;

use apprentice_cli::arguments::{EngineName, EvalVerb, TrainVerb, Verb};
use apprentice_cli::{Arguments, Console, commands};
use apprentice_core::{BoxedError, Driver};
use apprentice_distill::shared_vision::SHARED_KIND;
use apprentice_distill::{SharedDriver, SharedVision};
use apprentice_planner::StudentDriver;
use apprentice_teacher::TeacherDriver;
use clap::Parser;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let console = Console::new(arguments.common.json, arguments.common.quiet);
    if let Some(threads) = arguments.common.threads.filter(|&threads| threads > 0) {
        apprentice_nn::set_threads(threads);
    }
    console.exit(commands::check_settings(&arguments).and_then(|()| run(&arguments, &console)))
}

fn run(arguments: &Arguments, console: &Console) -> Result<(), BoxedError> {
    let common = &arguments.common;
    match &arguments.verb {
        Verb::Train(TrainVerb::Planner(train)) => teach::planner(train, common, console),
        Verb::Train(TrainVerb::Teacher(train)) => teach::teacher(train, common, console),
        Verb::Teacher(teacher) => general::run(teacher, common, console),
        Verb::Harvest(harvest) => harvest::run(harvest, common, console),
        Verb::Distill(distill) => teach::distill(distill, common, console),
        Verb::Export(export) => export::run(export, console),
        Verb::Prove(prove) => prove::run(prove, common, console),
        Verb::Bench(what) => {
            let mut measured = commands::bench::measure(what)?;
            measured.extend(bench::run(what, common, console)?);
            commands::bench::answer(&measured, console);
            Ok(())
        }
        Verb::Eval(EvalVerb::Planning(eval)) => commands::planning_with(eval, &driver, console),
        Verb::Drive(drive) => commands::drive_with(drive, common, &driver, console),
        _ => commands::run(arguments, console),
    }
}

/// A driver from a checkpoint of any kind, or one that needs no libtorch.
fn driver(name: &str, engine: EngineName) -> Result<Box<dyn Driver>, BoxedError> {
    if !name.ends_with(".safetensors") {
        return commands::light_driver(name, engine);
    }
    let path = Path::new(name);
    let stem = path.file_stem().map_or_else(|| "student".into(), |s| s.to_string_lossy().into_owned());
    // One vehicle is driven at a time; routes are driven in parallel.
    apprentice_nn::set_threads(1);
    Ok(match apprentice_distill::evaluate::kind_of(path)?.as_str() {
        "teacher" => Box::new(TeacherDriver::open(path)?),
        SHARED_KIND => Box::new(SharedDriver::new(&stem, SharedVision::load(path, tch::Device::Cpu)?.0)),
        _ => Box::new(StudentDriver::open(path)?),
    })
}
