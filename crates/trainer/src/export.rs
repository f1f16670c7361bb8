//! `apprentice export`: ONNX with its contract, or nothing: both engines must agree with the training graph first.

use crate::teach::worlds;
use apprentice_cli::arguments::Export;
use apprentice_cli::{CliError, Console};
use apprentice_core::driver::Observation;
use apprentice_core::{BoxedError, Driver, Plan, Progress};
use apprentice_data::{CameraWork, Part, View};
use apprentice_planner::{Student, StudentDriver, export};
use apprentice_runtime::{EngineKind, OnnxDriver};
use serde::Serialize;

/// Largest difference allowed, relative to 1 m or the value, whichever is larger.
const TOLERANCE: f32 = 1e-4;

#[derive(Serialize)]
struct Exported {
    schema: &'static str,
    file: std::path::PathBuf,
    bytes: usize,
    samples: usize,
    /// Per engine, the largest relative difference over all samples, commands and waypoints.
    largest_difference: Vec<(&'static str, f32)>,
}

/// Write and check.
pub fn run(arguments: &Export, console: &Console) -> Result<(), BoxedError> {
    if arguments.samples < 64 {
        return Err(CliError::new("an export is checked on at least 64 samples", "raise --samples").into());
    }
    let set = worlds(&arguments.data)?;
    let (student, contract) = Student::load(&arguments.checkpoint, tch::Device::Cpu)?;
    let bytes = export::onnx(&student, &contract)?;
    let mut reference = StudentDriver::new("reference", student, contract.clone())?;

    // The file is checked beside its place and renamed only when it is right.
    let beside = arguments.out.with_extension("onnx.tmp");
    apprentice_store::write_atomic(&beside, &bytes)?;
    let checked = check(arguments, &set, &contract, &mut reference, &beside, console);
    let largest_difference = match checked {
        Ok(differences) => differences,
        Err(error) => {
            std::fs::remove_file(&beside).ok();
            return Err(error);
        }
    };
    std::fs::rename(&beside, &arguments.out).map_err(|e| {
        CliError::new(
            format!("cannot rename to {}: {e}", arguments.out.display()),
            "check that the folder may be written",
        )
    })?;
    let exported = Exported {
        schema: "apprentice.export/1",
        file: arguments.out.clone(),
        bytes: bytes.len(),
        samples: arguments.samples,
        largest_difference,
    };
    console.answer(&exported, || {
        let engines: Vec<String> =
            exported.largest_difference.iter().map(|(e, d)| format!("{e} differs by {d:.1e}")).collect();
        format!(
            "{}: {} bytes; on {} samples {}",
            exported.file.display(),
            exported.bytes,
            exported.samples,
            engines.join(", ")
        )
    });
    Ok(())
}

fn check(
    arguments: &Export,
    set: &std::sync::Arc<apprentice_data::WorldSet>,
    contract: &apprentice_core::Contract,
    reference: &mut StudentDriver,
    file: &std::path::Path,
    console: &Console,
) -> Result<Vec<(&'static str, f32)>, BoxedError> {
    let all = set.ids(Part::Design);
    if all.len() < arguments.samples {
        return Err(CliError::new(
            format!("the design part has {} samples, {} are needed", all.len(), arguments.samples),
            "make more worlds, for instance `worlds make --size minutes`",
        )
        .into());
    }
    let mut cameras = CameraWork::new(set.clone(), contract.preprocessing.rig.clone());
    let kinds = [EngineKind::OnnxRuntime, EngineKind::Tract];
    let mut engines = kinds.map(|kind| OnnxDriver::open(file, kind, 1)).into_iter().collect::<Result<Vec<_>, _>>()?;
    let mut worst = [0f32; 2];
    console.start("check the export", arguments.samples as u64);
    for id in all.iter().step_by(all.len() / arguments.samples).take(arguments.samples) {
        let frame = cameras.frame(id, View::Plain)?;
        let sample = &frame.sample;
        let observation =
            Observation { time_s: sample.time_s, images: &frame.images, ego: sample.ego, command: sample.command };
        let want = reference.plan(&observation)?;
        for (engine, worst) in engines.iter_mut().zip(&mut worst) {
            *worst = worst.max(difference(&engine.plan(&observation)?, &want));
        }
        console.advance(1);
    }
    console.finish();
    for (kind, &worst) in kinds.iter().zip(&worst) {
        if worst > TOLERANCE {
            return Err(CliError::new(
                format!("{} differs from the training graph by {worst:.2e}, more than {TOLERANCE:.0e}", kind.name()),
                "nothing was written; this is a defect of the export, please report it with the checkpoint",
            )
            .into());
        }
    }
    Ok(kinds.iter().map(|k| k.name()).zip(worst).collect())
}

fn difference(got: &Plan, want: &Plan) -> f32 {
    let values = |plan: &Plan| plan.per_command.iter().flat_map(|t| t.0.into_iter().flatten()).collect::<Vec<f32>>();
    values(got)
        .iter()
        .zip(values(want))
        .map(|(g, w)| (g - w).abs() / w.abs().max(1.0))
        .fold(0.0, |worst, d| if d.is_finite() { worst.max(d) } else { f32::INFINITY })
}
