//! Harvesting published models on the worlds' own pictures: what lies in the cache is what the model gives, sample by sample.

#![allow(clippy::unwrap_used)] // a test may panic

use apprentice_core::GuidanceSource;
use apprentice_core::Silent;
use apprentice_core::sample::SampleId;
use apprentice_data::{CameraWork, MakeConfig, Part, Size, View, WorldSet, make};
use apprentice_teacher::general::{Ask, Choice, Encoder, LanguageModel, LoadOptions, ModelFolder};
use apprentice_teacher::harvest::{self, Embedding, Giver, Layers, Places, Published, PublishedConfig, TextSource};
use apprentice_teacher::questions::Asking;
use apprentice_teacher::words::Observed;
use apprentice_teacher::{GuidanceCache, Precision};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use tch::{Kind, Tensor, no_grad};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/general").join(name)
}

fn open(name: &str) -> LanguageModel {
    apprentice_nn::set_threads(1);
    LanguageModel::open(&fixture(name), &LoadOptions::default()).unwrap()
}

fn worlds() -> &'static Arc<WorldSet> {
    static WORLDS: OnceLock<Arc<WorldSet>> = OnceLock::new();
    WORLDS.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("harvest-worlds");
        let _ = std::fs::remove_dir_all(&folder);
        make(&MakeConfig { out: folder.clone(), size: Size::Tiny, seed: 5, threads: 1 }, &Silent).unwrap();
        Arc::new(WorldSet::open(&folder).unwrap())
    })
}

/// A few samples of two worlds.
fn samples() -> Vec<SampleId> {
    let all = worlds().ids(Part::Driving);
    let second = all.iter().position(|id| id.world != all[0].world).unwrap();
    [&all[..7], &all[second..second + 4]].concat()
}

fn run(giver: &dyn Giver, folder: &Path) -> Vec<GuidanceCache> {
    harvest::run(giver, &samples(), folder, &Silent).unwrap()
}

/// What the model gives for one sample alone: hidden states of every layer over the prompt, and its first words.
fn alone(model: &LanguageModel, id: &SampleId, prompt: &str, words: usize) -> (Vec<Tensor>, Vec<i64>, usize) {
    let mut front = apprentice_core::Rig::bench2drive(64, 36);
    front.cameras.retain(|camera| camera.name == "CAM_FRONT");
    let frame = CameraWork::new(worlds().clone(), front).frame(id, View::Plain).unwrap();
    let ask = Ask { text: prompt.into(), chat: false, max_tokens: words, choice: Choice::default() };
    let woven = no_grad(|| model.weave(&model.parts(&ask, &frame.images).unwrap()).unwrap());
    let length = woven.ids.len();
    let answer = model.answer(woven, &ask, |_| Ok(())).unwrap();
    let study = model.study(&answer.prompt.extended(&model.language, &answer.said));
    (study.hidden, answer.said, length)
}

fn close(what: &str, ours: &[f32], theirs: &Tensor, tolerance: f64) {
    let ours = Tensor::from_slice(ours);
    let theirs = theirs.contiguous().flatten(0, -1).to_kind(Kind::Float);
    assert_eq!(ours.size(), theirs.size(), "{what}");
    let far = ((&ours - &theirs).abs().max() / theirs.abs().max()).double_value(&[]);
    assert!(far <= tolerance, "{what}: {far:e}");
}

fn config(places: Places, stop_after: usize) -> PublishedConfig {
    PublishedConfig {
        layers: Some(Layers::All),
        places,
        stop_after,
        store: Precision::F32,
        cameras: vec!["front".into()],
        size: [64, 36],
        frame: Some("{images} {question}".into()),
        ..PublishedConfig::default()
    }
}

#[test]
fn early_stop_at_every_layer_is_what_the_model_gives_alone() {
    // One question a sample, of different lengths: sequences are padded and bucketed.
    let asking = Asking::sets(&["behaviour".into(), "prediction".into()]).unwrap().drawn(3);
    for name in ["llava", "qwen2_5_vl"] {
        let model = open(name);
        let folder = tempfile::tempdir().unwrap();
        let frame = format!("{{images}}{}", if name == "llava" { " q {question}" } else { "{question}" });
        let config = PublishedConfig { answers: true, frame: Some(frame.clone()), ..config(Places::Said, 4) };
        // Room for the questions in the fixtures' 128 places.
        let asking = if name == "llava" { Asking::own("at {speed} and {command}?") } else { asking.clone() };
        let asking = if fits(&model, &asking, &config) { asking } else { Asking::own("at {speed} and {command}?") };
        let giver = Published::new(&model, "t", worlds(), &samples(), asking.clone(), config).unwrap();
        let caches = run(&giver, folder.path());
        let [layers, width] = [model.language.layers() + 1, model.language.width() as usize];
        assert_eq!(caches[0].spec().shape, [4, layers, width]);
        for id in &samples() {
            let observed = Observed::of(&worlds().sample(id).unwrap());
            let text = asking.ask(0, id, &observed).as_str().to_string();
            let images = model.image_text().unwrap().unwrap();
            let prompt = frame.replace("{images}", &images).replace("{question}", &text);
            let (hidden, said, length) = alone(&model, id, &prompt, 4);
            let guidance = caches[0].guidance(id).unwrap().unwrap();
            let count = guidance.mask.iter().filter(|&&m| m).count();
            assert_eq!(count, said.len(), "{name} {id}");
            // The last of the prompt, then each word but the last: [T, layers, D].
            let stacked = Tensor::stack(&hidden, 1).narrow(0, length as i64 - 1, count as i64);
            close(&format!("{name} {id}"), &guidance.values[..count * layers * width], &stacked, 1e-4);
            assert!(guidance.values[count * layers * width..].iter().all(|&v| v == 0.0));
            let words: Vec<f32> = said.iter().map(|&w| w as f32).collect();
            assert_eq!(caches[1].values(id).unwrap().unwrap()[..said.len()], words[..], "{name} {id}");
            let heard = model.tokenizer.decode(&said).unwrap();
            assert_eq!(caches[1].text(id).unwrap().unwrap(), heard.trim());
        }
    }
}

fn fits(model: &LanguageModel, asking: &Asking, config: &PublishedConfig) -> bool {
    Published::new(model, "t", worlds(), &samples(), asking.clone(), config.clone()).is_ok()
}

#[test]
fn one_layer_pooled_or_whole_at_any_places() {
    let model = open("llava");
    let ask = || Asking::own("go?");
    let ids = samples();
    let prompt = format!("{} go?", model.image_text().unwrap().unwrap());
    let layer = 1;
    let of = |places, pool, store| {
        let layers = Some(Layers::These(vec![layer]));
        let config = PublishedConfig { layers, pool, store, ..config(places, 1) };
        let folder = tempfile::tempdir().unwrap();
        let giver = Published::new(&model, "t", worlds(), &ids, ask(), config).unwrap();
        let price = harvest::price(&giver, &ids, Some(folder.path())).unwrap();
        assert_eq!((price.missing, price.misses[0].why.as_str()), (ids.len(), "not harvested yet"));
        let caches = run(&giver, folder.path());
        assert_eq!(harvest::price(&giver, &ids, Some(folder.path())).unwrap().missing, 0);
        assert_eq!(caches[0].len(), ids.len());
        (folder, caches)
    };
    let (_a, last) = of(Places::Last, false, Precision::F32);
    let (_b, whole) = of(Places::Prompt, false, Precision::F16);
    let (_c, pooled) = of(Places::Prompt, true, Precision::F32);
    let (_d, pictures) = of(Places::Pictures, false, Precision::Int8);
    for id in &ids {
        let (hidden, _, length) = alone(&model, id, &prompt, 1);
        let states = hidden[layer as usize].narrow(0, 0, length as i64);
        close("last", &last[0].values(id).unwrap().unwrap(), &states.get(length as i64 - 1), 1e-4);
        close("prompt", &whole[0].values(id).unwrap().unwrap(), &states, 1e-3);
        close("pooled", &pooled[0].values(id).unwrap().unwrap(), &states.mean_dim(0, false, Kind::Float), 1e-4);
        let ask = Ask { text: prompt.clone(), chat: false, max_tokens: 1, choice: Choice::default() };
        let black = [apprentice_core::Image::black(64, 36)];
        let span = no_grad(|| model.weave(&model.parts(&ask, &black).unwrap()).unwrap()).spans[0].1.clone();
        let (tokens, at) = (span.len(), span.start as i64);
        assert_eq!(pictures[0].spec().shape, [tokens, 1, 32]);
        close("pictures", &pictures[0].values(id).unwrap().unwrap(), &states.narrow(0, at, tokens as i64), 1e-2);
    }
}

#[test]
fn key_frames_age_and_augmented_views_stay_apart() {
    let model = open("llava");
    let ids = samples();
    let make = |every, view| {
        let config = PublishedConfig { every, view, ..config(Places::Last, 1) };
        Published::new(&model, "t", worlds(), &ids, Asking::own("go?"), config).unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    let plain = run(&make(1, View::Plain), &folder.path().join("plain"));
    let aged = run(&make(3, View::Plain), &folder.path().join("aged"));
    let dt = worlds().sample(&ids[1]).unwrap().time_s - worlds().sample(&ids[0]).unwrap().time_s;
    for id in &ids {
        let key = SampleId { index: id.index / 3 * 3, ..id.clone() };
        let guidance = aged[0].guidance(id).unwrap().unwrap();
        assert!((f64::from(guidance.age_s) - dt * f64::from(id.index % 3)).abs() < 1e-4, "{id} {}", guidance.age_s);
        if let Some(fresh) = plain[0].values(&key).unwrap() {
            assert_eq!(guidance.values, fresh, "{id}");
        }
    }
    // The same samples in another light: other values, another key, and the plain folder takes none of them.
    let other = make(1, View::Augmented(7));
    let augmented = run(&other, &folder.path().join("augmented"));
    assert_ne!(augmented[0].values(&ids[0]).unwrap(), plain[0].values(&ids[0]).unwrap());
    let keys = [&augmented, &plain].map(|c| c[0].guidance(&ids[0]).unwrap().unwrap().key);
    assert_ne!(keys[0], keys[1]);
    let error = harvest::run(&other, &ids, &folder.path().join("plain"), &Silent).unwrap_err().to_string();
    assert!(error.contains("augmentation"), "{error}");
    let misses = harvest::price(&other, &ids, Some(&folder.path().join("plain"))).unwrap().misses;
    assert!(misses[0].why.contains("augmentation") && misses[0].samples == ids.len(), "{misses:?}");
}

#[test]
fn what_was_said_is_embedded_and_truth_is_marked() {
    let folder = tempfile::tempdir().unwrap();
    let model = open("blip2");
    let config = PublishedConfig { layers: None, answers: true, frame: None, ..config(Places::Last, 6) };
    let said = Published::new(&model, "t", worlds(), &samples(), Asking::own("what?"), config).unwrap();
    let answers = run(&said, &folder.path().join("said"));
    assert_eq!(answers.len(), 1);
    let encoder = Encoder::open(&fixture("clip"), &LoadOptions::default()).unwrap();
    let cache = || Box::new(GuidanceCache::open(&folder.path().join("said/answer.prompt")).unwrap());
    let texts =
        vec![TextSource::Said(cache(), true), TextSource::Corrected(cache()), TextSource::World("weather".into())];
    let cameras = ["front".to_string(), "back".to_string()];
    let giver =
        Embedding::new(&encoder, "c", worlds(), texts, &cameras, [64, 36], View::Plain, Precision::F32).unwrap();
    let caches = run(&giver, &folder.path().join("clip"));
    let names: Vec<_> = giver.taps().unwrap().into_iter().map(|(name, _)| name).collect();
    let embedded = ["said", "corrected", "world.weather"].map(|of| format!("text-embedding.{of}"));
    assert_eq!(names, [&embedded[..], &["image-embedding".to_string()]].concat());
    let knows: Vec<_> = caches.iter().map(|c| c.spec().knows_truth).collect();
    assert_eq!(knows, [false, true, true, false]);
    for id in &samples() {
        let sample = worlds().sample(id).unwrap();
        let text = caches[0].text(id).unwrap().unwrap();
        assert!(text.ends_with(&format!("The route says: {}.", sample.command.words())), "{text}");
        let weather = &sample.language.iter().find(|qa| qa.kind == "weather").unwrap().answer;
        assert_eq!(caches[2].text(id).unwrap(), Some(weather.as_str()));
        let alone = no_grad(|| encoder.texts(std::slice::from_ref(weather)).unwrap());
        close("text", &caches[2].values(id).unwrap().unwrap(), &alone, 1e-5);
        assert_eq!(caches[3].values(id).unwrap().unwrap().len(), 2 * 20);
    }
    let mut caches = caches.into_iter();
    assert!(caches.next().unwrap().at_test().is_ok());
    assert!(caches.next().unwrap().at_test().unwrap_err().to_string().contains("ground truth"));
}

#[test]
fn an_encoder_with_a_decoder_reads_alone_and_answers() {
    let folder = tempfile::tempdir().unwrap();
    let model = open("flan_t5");
    let asking = Asking::own("at {speed} and {command}?");
    let layers = Some(Layers::These(vec![-1]));
    let ask = |places| PublishedConfig { layers: layers.clone(), cameras: vec![], answers: true, ..config(places, 4) };
    let giver = Published::new(&model, "t", worlds(), &samples(), asking.clone(), ask(Places::Prompt)).unwrap();
    let caches = run(&giver, folder.path());
    for id in &samples() {
        let observed = Observed::of(&worlds().sample(id).unwrap());
        let text = format!(" {}", asking.ask(0, id, &observed).as_str());
        let ask = Ask { text, chat: false, max_tokens: 4, choice: Choice::default() };
        let woven = model.weave(&model.parts(&ask, &[]).unwrap()).unwrap();
        let states = no_grad(|| woven.hidden_at(&model.language, model.language.layers()));
        let values = caches[0].values(id).unwrap().unwrap();
        close("encoder", &values[..states.numel()], &states, 1e-4);
        let said = model.answer(woven, &ask, |_| Ok(())).unwrap().said;
        let words: Vec<f32> = said.iter().map(|&w| w as f32).collect();
        assert_eq!(caches[1].values(id).unwrap().unwrap()[..said.len()], words[..]);
    }
    assert!(Published::new(&model, "t", worlds(), &samples(), asking, ask(Places::Said)).is_err());
}

#[test]
fn what_cannot_be_harvested_is_told_before_work_begins() {
    let model = open("llava");
    let refused = |config: PublishedConfig, asking: Asking, words: &[&str]| {
        let error = Published::new(&model, "t", worlds(), &samples(), asking, config).err().unwrap();
        let text = error.to_string();
        assert!(words.iter().all(|w| text.contains(w)), "{text}");
        assert!(apprentice_core::Hint::hint(&error).is_some());
    };
    let ask = || Asking::own("go?");
    let layers = |list: &[i64]| Some(Layers::These(list.to_vec()));
    refused(PublishedConfig { layers: layers(&[3]), ..config(Places::Last, 1) }, ask(), &["layers", "0 to 2"]);
    refused(PublishedConfig { layers: None, ..config(Places::Last, 1) }, ask(), &["layers"]);
    refused(PublishedConfig { cameras: vec!["roof".into()], ..config(Places::Last, 1) }, ask(), &["roof", "front"]);
    refused(PublishedConfig { cameras: vec![], ..config(Places::Pictures, 1) }, ask(), &["places", "cameras"]);
    refused(PublishedConfig { frame: Some("{images}".into()), ..config(Places::Last, 1) }, ask(), &["{question}"]);
    refused(config(Places::Said, 0), ask(), &["stop_after"]);
    refused(config(Places::Last, 1), Asking::own(&"yield ".repeat(200)), &["longest prompt", "128"]);
    // A model without eyes is shown nothing.
    let blind = open("llama2");
    assert!(Published::new(&blind, "t", worlds(), &samples(), ask(), config(Places::Last, 1)).is_err());
    let reads = PublishedConfig { cameras: vec![], ..config(Places::Last, 1) };
    assert!(Published::new(&blind, "t", worlds(), &samples(), ask(), reads).is_ok());
    // The identity of a folder is that of its bytes.
    let a = ModelFolder::open(&fixture("llama2")).unwrap().identity().unwrap();
    assert_ne!(a, ModelFolder::open(&fixture("llama3")).unwrap().identity().unwrap());
    assert_eq!(a, ModelFolder::open(&fixture("llama2")).unwrap().identity().unwrap());
}
