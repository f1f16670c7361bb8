//! `apprentice score bench2drive FILE…`

use super::sheet::read;
use crate::arguments::ScoreBench2drive;
use crate::{CliError, Console};
use apprentice_core::BoxedError;
use apprentice_eval::bench2drive::{ROUTES, ResultFile, Score, VERSIONS, comfort, read_ticks, score, score_file};
use apprentice_road::{RoadNetwork, Route};
use apprentice_sim::routes::parse_routes;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

/// Score result files over the benchmark's routes.
pub fn bench2drive(of: &ScoreBench2drive, console: &Console) -> Result<(), BoxedError> {
    let version = VERSIONS.iter().find(|version| **version == of.benchmark).ok_or_else(|| {
        CliError::new(
            format!("there is no Bench2Drive `{}`", of.benchmark),
            "the versions are 0.0.3 (bench2drive220.xml) and 0.0.4",
        )
    })?;
    let junctions = match (&of.maps, &of.routes) {
        (Some(maps), Some(routes)) => past_junctions(maps, routes)?,
        _ => Junctions::default(),
    };
    let routes = match *version {
        "0.0.3" => ROUTES,
        _ if junctions.routes > 0 => junctions.routes,
        _ => {
            return Err(CliError::new(
                "the number of routes of Bench2Drive 0.0.4 is not built in",
                "add --maps DIR --routes bench2drive_0.0.4_val.xml, whose routes are counted",
            )
            .into());
        }
    };
    let mut scores = Vec::with_capacity(of.files.len());
    for file in &of.files {
        let result = ResultFile::read(file)?;
        let mut scored = score(&result.file, &result.records, routes, &|id| junctions.past.get(id).copied())?;
        if routes == ROUTES {
            // With what the file states about itself and its records do not bear out.
            scored.warnings = score_file(file)?.warnings;
        }
        scored.benchmark = (*version).into();
        if let Some(folder) = &of.metrics {
            scored.comfort = Some(mean_comfort(folder, &result)?);
        }
        scores.push(scored);
    }
    for warning in scores.iter().flat_map(|s| s.warnings.iter().map(move |w| format!("{}: {w}", s.file))) {
        console.say(&warning);
    }
    console.answer(&scores, || table(&scores));
    Ok(())
}

/// Routes of a route file, and how far each must be driven to be past its first junction.
#[derive(Default)]
struct Junctions {
    routes: usize,
    past: BTreeMap<String, f64>,
}

/// (index of the first junction point + 8) / points of the 1 m route, by route id, for the towns with a map.
fn past_junctions(maps: &Path, routes: &Path) -> Result<Junctions, BoxedError> {
    let (_, text) = read(routes)?;
    let specs = parse_routes(&text)?;
    let mut nets: BTreeMap<String, Option<RoadNetwork>> = BTreeMap::new();
    let mut past = BTreeMap::new();
    for spec in &specs {
        let file = maps.join(format!("{}.xodr", spec.town));
        let net = match nets.entry(spec.town.clone()) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(if file.is_file() { Some(RoadNetwork::load(&file)?) } else { None })
            }
        };
        let Some(net) = net else { continue };
        let Ok(route) = Route::plan(net, &spec.waypoints) else { continue };
        let first = route.points.iter().position(|point| point.in_junction).unwrap_or(route.points.len());
        past.insert(spec.id.clone(), (first + 8) as f64 / route.points.len() as f64);
    }
    Ok(Junctions { routes: specs.len(), past })
}

fn mean_comfort(folder: &Path, result: &ResultFile) -> Result<f64, BoxedError> {
    let each = result.records.iter().map(|record| {
        let (file, text) = read(&folder.join(&record.save_name).join("metric_info.json"))?;
        Ok(comfort(&read_ticks(&file, &text)?))
    });
    let each: Vec<f64> = each.collect::<Result<_, apprentice_eval::EvalError>>()?;
    Ok(each.iter().sum::<f64>() / each.len().max(1) as f64)
}

fn table(scores: &[Score]) -> String {
    let mut text =
        format!("{:32} {:>8} {:>9} {:>8} {:>8} {:>10}\n", "file", "DS", "successes", "SR %", "records", "efficiency");
    for s in scores {
        let efficiency = s.efficiency.map_or_else(|| "-".into(), |e| format!("{e:.2}"));
        writeln!(
            text,
            "{:32} {:8.4} {:>9} {:8.2} {:>8} {efficiency:>10}",
            s.file,
            s.driving_score,
            s.successes,
            s.success_rate * 100.0,
            s.records
        )
        .expect("writing to a string");
    }
    for s in scores {
        let of = |value: Option<f64>| value.map_or_else(|| "-".into(), |v| format!("{:.2}", v * 100.0));
        let abilities = s.abilities.named().map(|(name, value)| format!("{name} {}", of(value))).join("  ");
        writeln!(text, "{}: comfort {}  {abilities}  mean {}", s.file, of(s.comfort), of(s.abilities.mean))
            .expect("writing to a string");
    }
    let first = scores.first();
    let (version, routes) = first.map_or(("", 0), |s| (s.benchmark.as_str(), s.routes));
    text + &format!("Bench2Drive {version}; denominator: its {routes} routes; a missing route counts zero.")
}
