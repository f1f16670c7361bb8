//! `teacher info | run | embed`: published models from the command line.

use crate::device::choose;
use crate::pictures;
use apprentice_cli::arguments::{Common, DtypeName, TeacherEmbed, TeacherInfo, TeacherRun, TeacherVerb};
use apprentice_cli::{CliError, Console};
use apprentice_core::{BoxedError, Image};
use apprentice_nn::{Precision, write_tensors};
use apprentice_teacher::general::{
    Ask, Choice, Encoder, Ending, LanguageModel, LoadOptions, ModelFolder, ModelTokenizer,
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
    architecture: &'static str,
    parameters: u64,
    /// Kinds of number in the files, each with its count of values.
    dtypes: Vec<(String, u64)>,
    files: Vec<PathBuf>,
    bytes: u64,
    /// Tensors.
    tensors: usize,
    /// Entries of the tokenizer.
    vocabulary: usize,
    /// Whether the model, built from these files in 32 bits, is whole.
    loads: &'static str,
}

fn info(arguments: &TeacherInfo, console: &Console) -> Result<(), BoxedError> {
    let folder = ModelFolder::open(&arguments.folder)?;
    let weights = folder.weights()?;
    let size = |path: &PathBuf| std::fs::metadata(path).map_or(0, |m| m.len());
    let stored = LoadOptions { precision: Precision::Stored, ..LoadOptions::default() };
    // Building the model is the check; nothing is copied.
    let loads = if folder.family().embeds() {
        Encoder::open(&arguments.folder, &stored).map(|_| "embeds")?
    } else {
        LanguageModel::open(&arguments.folder, &stored).map(|_| "answers")?
    };
    let info = Info {
        schema: "apprentice.teacher-info/1",
        folder: arguments.folder.clone(),
        architecture: folder.family().architecture(),
        parameters: weights.parameters(),
        dtypes: weights.kinds().into_iter().map(|(kind, count)| (format!("{kind:?}"), count)).collect(),
        files: weights.files().to_vec(),
        bytes: weights.files().iter().map(size).sum(),
        tensors: weights.names().count(),
        vocabulary: ModelTokenizer::open(&arguments.folder)?.vocab_size(),
        loads,
    };
    console.answer(&info, || {
        let kinds: Vec<String> = info.dtypes.iter().map(|(kind, n)| format!("{n} {kind}")).collect();
        format!(
            "{}: {} parameters ({}) in {} tensors, {} files, {:.1} MB; {} tokens; {}",
            info.architecture,
            info.parameters,
            kinds.join(", "),
            info.tensors,
            info.files.len(),
            info.bytes as f64 / 1e6,
            info.vocabulary,
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
        seed: common.seed,
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
    let encoder = Encoder::open(&arguments.folder, &options(arguments.dtype, choose(arguments.device, console)?))?;
    let texts = arguments.texts.as_deref().map(lines).transpose()?;
    let images = pictures(&arguments.images)?;
    let begun = Instant::now();
    let mut tensors = vec![];
    if let Some(texts) = &texts {
        tensors.push(("texts".to_string(), encoder.texts(texts)?));
    }
    if !images.is_empty() {
        tensors.push(("images".to_string(), encoder.images(&images)?));
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

fn lines(path: &Path) -> Result<Vec<String>, BoxedError> {
    let texts: Vec<String> = apprentice_store::read_text(path)?.lines().map(str::to_string).collect();
    if texts.is_empty() {
        return Err(CliError::new(format!("{} holds no text", path.display()), "write one text a line").into());
    }
    Ok(texts)
}
