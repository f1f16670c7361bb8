//! `harvest`: our own teacher, a published model that answers, or one that embeds.

use crate::device::choose;
use crate::general::options;
use crate::teach::{teacher_file, worlds};
use apprentice_cli::arguments::{Common, DtypeName, Harvest, HarvestPublished, PlacesName, StoreName};
use apprentice_cli::{CliError, Console};
use apprentice_core::BoxedError;
use apprentice_core::hash::content_hash;
use apprentice_core::sample::SampleId;
use apprentice_data::{Part, View};
use apprentice_distill::load_teacher;
use apprentice_teacher::general::{Encoder, LanguageModel, ModelFolder, folder};
use apprentice_teacher::harvest::{self, Embedding, Giver, Layers, Places, Published, PublishedConfig, TextSource};
use apprentice_teacher::questions::Asking;
use apprentice_teacher::{GuidanceCache, Precision, Tap};
use std::path::Path;
use tch::Device;

/// `harvest`
pub fn run(arguments: &Harvest, common: &Common, console: &Console) -> Result<(), BoxedError> {
    let device = choose(arguments.device, console)?;
    let path = teacher_file(arguments.teacher.as_deref())?;
    let set = worlds(&arguments.data)?;
    let parts = parts(&arguments.part)?;
    let mut ids: Vec<SampleId> = parts.iter().flat_map(|&part| set.ids(part)).collect();
    ids.truncate(arguments.limit.unwrap_or(usize::MAX));
    if ids.is_empty() {
        let problem = format!("{} has no samples in {}", set.root().display(), arguments.part.join(", "));
        return Err(CliError::new(problem, "name other parts with --part, or make more worlds").into());
    }
    if !path.is_dir() {
        if !arguments.published.is_default() {
            let problem = format!("{} is a teacher of our own, which gives what it gives", path.display());
            let hint = "the options of published models (--layers, --store, --questions, …) go with --teacher FOLDER";
            return Err(CliError::new(problem, hint).into());
        }
        let (teacher, teacher_hash) = load_teacher(&path, device)?;
        let (guide, taps) = (&teacher, &Tap::ALL);
        let giver = harvest::Harvest { guide, teacher_hash: &teacher_hash, set: &set, ids: &ids, taps };
        return give(&giver, &ids, &arguments.out, common, console);
    }
    let asked = &arguments.published;
    let view = asked.appearance.map_or(View::Plain, View::Augmented);
    let teacher = identity(&path, asked)?;
    let size = size(&asked.size)?;
    let store = match asked.store {
        StoreName::F32 => Precision::F32,
        StoreName::F16 => Precision::F16,
        StoreName::Int8 => Precision::Int8,
    };
    if ModelFolder::open(&path)?.family().embeds() {
        let encoder = Encoder::open(&path, &options(asked.dtype, device))?;
        let texts = asked.texts.iter().map(|text| source(text)).collect::<Result<Vec<_>, _>>()?;
        let held_out = parts.iter().find(|part| part.is_held_out());
        let knowing = asked.texts.iter().find(|t| t.starts_with("corrected:") || t.starts_with("world:"));
        if let (Some(part), Some(text)) = (held_out, knowing) {
            let problem =
                format!("`{text}` knows the truth, and the part `{}` is where drivers are judged", part.name());
            return Err(CliError::new(problem, "embed said:DIR there; labels are for training alone").into());
        }
        let cameras = cameras(&asked.cameras, texts.is_empty());
        let giver = Embedding::new(&encoder, &teacher, &set, texts, &cameras, size, view, store)?;
        return give(&giver, &ids, &arguments.out, common, console);
    }
    if !asked.texts.is_empty() {
        let problem = format!("{} is not an encoder of texts", path.display());
        return Err(CliError::new(problem, "leave out --texts, or name CLIP, SigLIP or a sentence encoder").into());
    }
    let model = open(&path, asked, device)?;
    let asking = match &asked.prompt {
        Some(prompt) => Asking::own(prompt),
        None if asked.draw => Asking::sets(&asked.questions)?.drawn(common.seed()),
        None => Asking::sets(&asked.questions)?,
    };
    let config = PublishedConfig {
        layers: layers(&asked.layers)?,
        places: match asked.places {
            PlacesName::Last => Places::Last,
            PlacesName::Prompt => Places::Prompt,
            PlacesName::Pictures => Places::Pictures,
            PlacesName::Said => Places::Said,
        },
        pool: asked.pool,
        stop_after: asked.stop_after,
        answers: asked.answers,
        store,
        cameras: cameras(&asked.cameras, model.image_text()?.is_some()),
        size,
        frame: asked.frame.clone(),
        view,
        every: asked.every,
    };
    let giver = Published::new(&model, &teacher, &set, &ids, asking, config)?;
    give(&giver, &ids, &arguments.out, common, console)
}

fn open(path: &Path, asked: &HarvestPublished, device: Device) -> Result<LanguageModel, BoxedError> {
    let model = LanguageModel::open(path, &options(asked.dtype, device))?;
    if let Some(adapter) = &asked.adapter {
        model.adapt(adapter)?;
    }
    Ok(model)
}

/// What a published model is: its files, its adapter's, and the precision it computes in.
fn identity(path: &Path, asked: &HarvestPublished) -> Result<String, BoxedError> {
    let base = ModelFolder::open(path)?.identity()?;
    if asked.dtype == DtypeName::F32 && asked.adapter.is_none() {
        return Ok(base);
    }
    let adapter = asked.adapter.as_deref().map(folder::identity).transpose()?.unwrap_or_default();
    Ok(content_hash(format!("{base} {adapter} {:?}", asked.dtype).as_bytes())[..16].to_string())
}

fn parts(names: &[String]) -> Result<Vec<Part>, BoxedError> {
    let known = || Part::ALL.map(Part::name).join(", ");
    let part = |name: &String| {
        let found = Part::ALL.into_iter().find(|part| part.name() == name);
        found.ok_or_else(|| CliError::new(format!("there is no part `{name}`"), format!("parts are: {}", known())))
    };
    let mut parts: Vec<Part> = names.iter().map(part).collect::<Result<_, _>>()?;
    parts.sort();
    parts.dedup();
    Ok(parts)
}

fn size(text: &str) -> Result<[usize; 2], BoxedError> {
    let number = |n: &str| n.parse::<usize>().ok().filter(|n| (8..=8192).contains(n));
    match text.split_once('x').map(|(w, h)| (number(w), number(h))) {
        Some((Some(width), Some(height))) => Ok([width, height]),
        _ => Err(CliError::new(format!("--size: `{text}` is no size"), "write it as 448x252, in pixels").into()),
    }
}

fn layers(words: &[String]) -> Result<Option<Layers>, BoxedError> {
    let hint = "write `all`, `none`, or numbers such as 0,16,-1";
    match words {
        [word] if word == "all" => Ok(Some(Layers::All)),
        [word] if word == "none" => Ok(None),
        words => {
            let number = |word: &String| {
                word.parse::<i64>().map_err(|_| CliError::new(format!("--layers: `{word}` is no layer"), hint))
            };
            Ok(Some(Layers::These(words.iter().map(number).collect::<Result<_, _>>()?)))
        }
    }
}

fn cameras(names: &[String], looks: bool) -> Vec<String> {
    match names {
        [] if looks => vec!["front".into()],
        [name] if name == "none" => vec![],
        names => names.to_vec(),
    }
}

fn source(text: &str) -> Result<TextSource, BoxedError> {
    let (kind, place) = text.split_once(':').unwrap_or((text, ""));
    let cache = || Ok::<_, BoxedError>(Box::new(GuidanceCache::open(Path::new(place))?));
    Ok(match kind {
        "said" => TextSource::Said(cache()?, false),
        "said+command" => TextSource::Said(cache()?, true),
        "corrected" => TextSource::Corrected(cache()?),
        "world" if !place.is_empty() => TextSource::World(place.into()),
        _ => {
            let hint = "write said:DIR, said+command:DIR, corrected:DIR or world:KIND";
            return Err(CliError::new(format!("--texts: `{text}` is no source of texts"), hint).into());
        }
    })
}

/// Price it or do it.
fn give(giver: &dyn Giver, ids: &[SampleId], out: &Path, common: &Common, console: &Console) -> Result<(), BoxedError> {
    if common.dry_run {
        let price = harvest::price(giver, ids, Some(out))?;
        console.answer(&price, || {
            let bytes: u64 = price.bytes.iter().map(|(_, b)| b).sum();
            let mut lines = format!(
                "{} samples, {} of them missing: {:.3} GB in all, about {:.2} h for what is missing",
                price.samples,
                price.missing,
                bytes as f64 / 1e9,
                price.seconds / 3600.0
            );
            for (tap, bytes) in &price.bytes {
                lines.push_str(&format!("\n  {tap}: {:.3} GB", *bytes as f64 / 1e9));
                for miss in price.misses.iter().filter(|m| m.tap == *tap) {
                    lines.push_str(&format!("\n    {} missing: {}", miss.samples, miss.why));
                }
            }
            lines
        });
        return Ok(());
    }
    let caches = harvest::run(giver, ids, out, console)?;
    let taps = giver.taps()?;
    let listed: Vec<_> = taps
        .iter()
        .zip(&caches)
        .map(|((tap, _), cache)| {
            serde_json::json!({ "tap": tap, "samples": cache.len(), "bytes": cache.bytes(), "hash": cache.hash() })
        })
        .collect();
    console.answer(&serde_json::json!({ "schema": "apprentice.harvest/1", "taps": listed }), || {
        let names: Vec<_> = taps.iter().map(|(tap, _)| tap.as_str()).collect();
        format!("{}: {} samples, taps {}", out.display(), ids.len(), names.join(", "))
    });
    Ok(())
}
