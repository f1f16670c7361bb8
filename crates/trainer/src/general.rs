//! `teacher info | run | embed | import`: published models from the command line.

use crate::device::choose;
use crate::pictures;
use apprentice_cli::arguments::{Common, DtypeName, TeacherEmbed, TeacherImport, TeacherInfo, TeacherRun, TeacherVerb};
use apprentice_cli::{CliError, Console};
use apprentice_core::{BoxedError, Image};
use apprentice_nn::{Precision, Weights, write_tensors};
use apprentice_teacher::general::{
    Ask, Choice, Encoder, Ending, LanguageModel, LoadOptions, ModelFolder, ModelTokenizer, NameMap, VisionEncoder,
};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;
use tch::{Device, Kind};

/// One of the verbs.
pub fn run(verb: &TeacherVerb, common: &Common, console: &Console) -> Result<(), BoxedError> {
    match verb {
        TeacherVerb::Info(info) => self::info(info, console),
        TeacherVerb::Run(run) => ask(run, common, console),
        TeacherVerb::Embed(embed) => self::embed(embed, console),
        TeacherVerb::Import(import) => self::import(import, console),
    }
}

/// How a published model is held.
pub fn options(dtype: DtypeName, device: Device) -> LoadOptions {
    let precision = match dtype {
        DtypeName::Stored => Precision::Stored,
        DtypeName::F32 => Precision::Cast(Kind::Float),
        DtypeName::Bf16 => Precision::Cast(Kind::BFloat16),
        DtypeName::F16 => Precision::Cast(Kind::Half),
        DtypeName::Int8 => Precision::Int8,
    };
    LoadOptions { precision, device }
}

fn pictures(paths: &[PathBuf]) -> Result<Vec<Image>, BoxedError> {
    paths.iter().map(|path| pictures::read(path)).collect()
}

#[derive(Serialize)]
struct Info {
    schema: &'static str,
    folder: PathBuf,
    architecture: String,
    parameters: u64,
    /// Kinds of number in the files, each with its count of values.
    dtypes: Vec<(String, u64)>,
    files: Vec<PathBuf>,
    bytes: u64,
    /// Tensors.
    tensors: usize,
    /// Entries of the tokenizer; 0 for an image backbone.
    vocabulary: usize,
    /// Whether the model, built from these files in 32 bits, is whole.
    loads: &'static str,
}

fn info(arguments: &TeacherInfo, console: &Console) -> Result<(), BoxedError> {
    let place = &arguments.folder;
    let size = |path: &PathBuf| std::fs::metadata(path).map_or(0, |m| m.len());
    let stored = LoadOptions { precision: Precision::Stored, ..LoadOptions::default() };
    // Building the model is the check; nothing is copied.
    let (weights, architecture, vocabulary, loads) = if place.is_file() {
        let encoder = VisionEncoder::open(place, &stored, None)?;
        (Weights::open(place)?, encoder.backbone.architecture(), 0, "sees")
    } else {
        let folder = ModelFolder::open(place)?;
        let loads = if folder.family().embeds() {
            Encoder::open(place, &stored).map(|_| "embeds")?
        } else {
            LanguageModel::open(place, &stored).map(|_| "answers")?
        };
        let vocabulary = ModelTokenizer::open(place)?.vocab_size();
        (folder.weights()?, folder.family().architecture().to_string(), vocabulary, loads)
    };
    let info = Info {
        schema: "apprentice.teacher-info/1",
        folder: arguments.folder.clone(),
        architecture,
        parameters: weights.parameters(),
        dtypes: weights.kinds().into_iter().map(|(kind, count)| (format!("{kind:?}"), count)).collect(),
        files: weights.files().to_vec(),
        bytes: weights.files().iter().map(size).sum(),
        tensors: weights.names().count(),
        vocabulary,
        loads,
    };
    console.answer(&info, || {
        let words = if info.vocabulary > 0 { format!(" {} tokens;", info.vocabulary) } else { String::new() };
        let kinds: Vec<String> = info.dtypes.iter().map(|(kind, n)| format!("{n} {kind}")).collect();
        format!(
            "{}: {} parameters ({}) in {} tensors, {} files, {:.1} MB;{words} {}",
            info.architecture,
            info.parameters,
            kinds.join(", "),
            info.tensors,
            info.files.len(),
            info.bytes as f64 / 1e6,
            info.loads
        )
    });
    Ok(())
}

#[derive(Serialize)]
struct Answered {
    schema: &'static str,
    model: PathBuf,
    architecture: &'static str,
    text: String,
    ending: Ending,
    /// Ids read: prompt and pictures.
    prompt: Vec<i64>,
    /// Ids said, the end token included.
    generated: Vec<i64>,
    /// Where vectors stand in the prompt: name, first place, place after the last.
    spans: Vec<(String, usize, usize)>,
    dump: Option<PathBuf>,
    /// Time to the model ready, to the first token, to the last.
    seconds: [f64; 3],
}

fn ask(arguments: &TeacherRun, common: &Common, console: &Console) -> Result<(), BoxedError> {
    let begun = Instant::now();
    let since = || begun.elapsed().as_secs_f64();
    let model = LanguageModel::open(&arguments.folder, &options(arguments.dtype, choose(arguments.device, console)?))?;
    if let Some(folder) = &arguments.adapter {
        model.adapt(folder)?;
    }
    let ready = since();
    let choice = Choice {
        temperature: arguments.temperature,
        top_p: arguments.top_p,
        top_k: arguments.top_k,
        seed: common.seed(),
    };
    let ask = Ask { text: arguments.prompt.clone(), chat: arguments.chat, max_tokens: arguments.max_tokens, choice };
    let images = pictures(&arguments.image)?;
    let woven = tch::no_grad(|| model.weave(&model.parts(&ask, &images)?))?;
    let mut first = None;
    let answer = model.answer(woven, &ask, |piece| {
        first.get_or_insert_with(since);
        console.piece(piece);
        Ok(())
    })?;
    let last = since();
    if let Some(path) = &arguments.dump {
        let study = model.study(&answer.prompt.extended(&model.language, &answer.said));
        let metadata = BTreeMap::from([("prompt_tokens".to_string(), answer.prompt.ids.len().to_string())]);
        write_tensors(path, &study.named(), &metadata)?;
    }
    let answered = Answered {
        schema: "apprentice.teacher-run/1",
        model: arguments.folder.clone(),
        architecture: model.family().architecture(),
        text: answer.text,
        ending: answer.ending,
        prompt: answer.prompt.ids,
        generated: answer.said,
        spans: answer.prompt.spans.into_iter().map(|(name, span)| (name, span.start, span.end)).collect(),
        dump: arguments.dump.clone(),
        seconds: [ready, first.unwrap_or(last), last],
    };
    // Without --json the text was said already, piece by piece.
    console.answer(&answered, String::new);
    Ok(())
}

#[derive(Serialize)]
struct Embedded {
    schema: &'static str,
    model: PathBuf,
    texts: usize,
    images: usize,
    width: i64,
    dump: PathBuf,
    seconds: f64,
}

fn embed(arguments: &TeacherEmbed, console: &Console) -> Result<(), BoxedError> {
    let options = options(arguments.dtype, choose(arguments.device, console)?);
    let texts = arguments.texts.as_deref().map(lines).transpose()?;
    let images = pictures(&arguments.images)?;
    let mut tensors = vec![];
    let begun;
    if arguments.folder.is_file() {
        if texts.is_some() {
            let what = format!("{} is an image backbone: it embeds no texts", arguments.folder.display());
            return Err(CliError::new(what, "leave out --texts, or name a model's folder").into());
        }
        let encoder = VisionEncoder::open(&arguments.folder, &options, arguments.image_size)?;
        begun = Instant::now();
        let features = encoder.images(&images);
        tensors.push(("images".to_string(), features.pooled));
        tensors.extend(features.levels.into_iter().map(|(stride, grid)| (format!("level.{stride}"), grid)));
    } else {
        if arguments.image_size.is_some() {
            let what = format!("{} says itself how pictures enter it", arguments.folder.display());
            return Err(CliError::new(what, "leave out --image-size; it is for image backbones").into());
        }
        let encoder = Encoder::open(&arguments.folder, &options)?;
        begun = Instant::now();
        if let Some(texts) = &texts {
            tensors.push(("texts".to_string(), encoder.texts(texts)?));
        }
        if !images.is_empty() {
            tensors.push(("images".to_string(), encoder.images(&images)?));
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    write_tensors(&arguments.dump, &tensors, &BTreeMap::new())?;
    let embedded = Embedded {
        schema: "apprentice.teacher-embed/1",
        model: arguments.folder.clone(),
        texts: texts.map_or(0, |t| t.len()),
        images: images.len(),
        width: tensors.first().and_then(|(_, t)| t.size().last().copied()).unwrap_or(0),
        dump: arguments.dump.clone(),
        seconds,
    };
    console.answer(&embedded, || {
        let (texts, images) = (embedded.texts, embedded.images);
        format!(
            "{}: {texts} texts, {images} pictures, {} wide, {seconds:.1} s",
            embedded.dump.display(),
            embedded.width
        )
    });
    Ok(())
}

#[derive(Serialize)]
struct Imported {
    schema: &'static str,
    file: PathBuf,
    map: PathBuf,
    /// Which checkpoint the map is for.
    about: String,
    out: PathBuf,
    tensors: usize,
    parameters: u64,
    /// Keys of the checkpoint that the map leaves out.
    ignored: Vec<String>,
}

fn import(arguments: &TeacherImport, console: &Console) -> Result<(), BoxedError> {
    let map = NameMap::open(&arguments.map)?;
    let imported = map.import(&Weights::open(&arguments.file)?)?;
    let name = arguments.map.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let metadata = BTreeMap::from([("apprentice.name-map".to_string(), name)]);
    write_tensors(&arguments.out, &imported.tensors, &metadata)?;
    let answer = Imported {
        schema: "apprentice.teacher-import/1",
        file: arguments.file.clone(),
        map: arguments.map.clone(),
        about: map.about,
        out: arguments.out.clone(),
        tensors: imported.tensors.len(),
        parameters: imported.tensors.iter().map(|(_, tensor)| tensor.numel() as u64).sum(),
        ignored: imported.ignored,
    };
    console.answer(&answer, || {
        let (out, left) = (answer.out.display(), answer.ignored.len());
        format!("{out}: {} tensors, {} parameters; {left} left out", answer.tensors, answer.parameters)
    });
    Ok(())
}

fn lines(path: &Path) -> Result<Vec<String>, BoxedError> {
    let texts: Vec<String> = apprentice_store::read_text(path)?.lines().map(str::to_string).collect();
    if texts.is_empty() {
        return Err(CliError::new(format!("{} holds no text", path.display()), "write one text a line").into());
    }
    Ok(texts)
}
