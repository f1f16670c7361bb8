//! Published families against `transformers` and `peft`: the fixtures are made by `bench/fixtures/general_models.py`.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // a test may panic

use apprentice_core::Image;
use apprentice_nn::{Lora, Precision, TensorFile, read_tensors};
use apprentice_teacher::TeacherError;
use apprentice_teacher::general::image::Preprocess;
use apprentice_teacher::general::{
    Ask, ChatTemplate, Choice, Ending, LanguageModel, LoadOptions, Message, ModelFolder, Part,
};
use apprentice_teacher::general::{Encoder, ModelTokenizer, TextStream, Woven};
use std::path::{Path, PathBuf};
use tch::{Kind, Tensor};

const PROMPT: &str = "The light ahead is red. What must the car do?";
const DECODERS: [&str; 4] = ["llama2", "llama3", "qwen2", "qwen3"];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/general").join(name)
}

fn reference(name: &str) -> TensorFile {
    read_tensors(&fixture(name).join("reference.safetensors")).unwrap()
}

fn open(name: &str) -> LanguageModel {
    apprentice_nn::set_threads(1);
    LanguageModel::open(&fixture(name), &LoadOptions::default()).unwrap()
}

fn ask(text: &str) -> Ask {
    Ask { text: text.into(), chat: false, max_tokens: 16, choice: Choice::default() }
}

/// Largest difference, relative to the largest value.
fn far(ours: &Tensor, theirs: &Tensor) -> f64 {
    assert_eq!(ours.size(), theirs.size());
    let wide = |t: &Tensor| t.to_kind(Kind::Double);
    ((wide(ours) - wide(theirs)).abs().max() / wide(theirs).abs().max()).double_value(&[])
}

fn close(what: &str, ours: &Tensor, theirs: &Tensor, tolerance: f64) {
    let far = far(ours, theirs);
    assert!(far <= tolerance, "{what}: {far:e}");
}

fn ids(tensor: &Tensor) -> Vec<i64> {
    Vec::try_from(tensor.to_kind(Kind::Int64)).unwrap()
}

#[test]
fn decoders_agree_on_every_layer_and_every_generated_token() {
    for name in DECODERS {
        let (model, theirs) = (open(name), reference(name));
        let ask = ask(PROMPT);
        let woven = model.weave(&model.parts(&ask, &[]).unwrap()).unwrap();
        assert_eq!(woven.ids, ids(&theirs.tensors["tokens"]), "{name}");
        let study = model.study(&woven);
        for (key, ours) in study.named() {
            close(&format!("{name} {key}"), &ours, &theirs.tensors[&key], 1e-4);
        }
        for layer in 0..study.hidden.len() {
            let alone = tch::no_grad(|| woven.hidden_at(&model.language, layer));
            close(&format!("{name} layer {layer}"), &alone, &study.hidden[layer], 1e-5);
        }
        let mut heard = String::new();
        let answer = model
            .answer(woven, &ask, |piece| {
                heard.push_str(piece);
                Ok(())
            })
            .unwrap();
        let generated = ids(&theirs.tensors["generated"]);
        assert_eq!(answer.said, generated, "{name}");
        assert_eq!(heard.chars().count(), answer.text.chars().count(), "{name}");
        let last = generated.last().unwrap();
        assert_eq!(answer.ending == Ending::End, model.ends().contains(last), "{name}");
    }
}

#[test]
fn eight_bit_weights_stay_near_and_bfloat16_is_itself() {
    let eight = LoadOptions { precision: Precision::Int8, ..LoadOptions::default() };
    for name in ["llama2", "qwen3"] {
        let (model, theirs) = (LanguageModel::open(&fixture(name), &eight).unwrap(), reference(name));
        let woven = model.weave(&model.parts(&ask(PROMPT), &[]).unwrap()).unwrap();
        close(name, &model.study(&woven).logits, &theirs.tensors["logits"], 0.03);
        // The kernel for single steps and the one for prompts are the same function.
        let mut steps = ask(PROMPT);
        steps.max_tokens = 6;
        let answer = model.answer(woven, &steps, |_| Ok(())).unwrap();
        let all = answer.prompt.extended(&model.language, &answer.said);
        let read = model.study(&all).logits.argmax(-1, false);
        let from = answer.prompt.ids.len() as i64 - 1;
        assert_eq!(ids(&read.narrow(0, from, answer.said.len() as i64)), answer.said, "{name}");
    }
    let stored = LoadOptions { precision: Precision::Stored, ..LoadOptions::default() };
    let model = LanguageModel::open(&fixture("qwen2"), &stored).unwrap();
    let woven = model.weave(&model.parts(&ask(PROMPT), &[]).unwrap()).unwrap();
    assert_eq!(woven.embeddings.kind(), Kind::BFloat16);
    close("qwen2", &model.study(&woven).logits, &reference("qwen2").tensors["logits"], 0.05);
}

#[test]
fn two_thousand_strings_become_the_same_tokens() {
    let texts: Vec<String> = serde_json::from_slice(&std::fs::read(fixture("tokens/texts.json")).unwrap()).unwrap();
    assert!(texts.len() >= 2000);
    let theirs = reference("tokens");
    for name in DECODERS.into_iter().chain(["flan_t5", "clip", "bert"]) {
        let tokenizer = ModelTokenizer::open(&fixture(name)).unwrap();
        let (flat, lengths) =
            (ids(&theirs.tensors[&format!("{name}.ids")]), ids(&theirs.tensors[&format!("{name}.lengths")]));
        let mut start = 0;
        for (text, length) in texts.iter().zip(lengths) {
            let end = start + length as usize;
            assert_eq!(tokenizer.encode(text, true).unwrap(), flat[start..end], "{name}: {text:?}");
            start = end;
        }
        assert_eq!(start, flat.len());
    }
}

#[test]
fn a_stream_gives_whole_characters_and_in_the_end_everything() {
    let text = "slow down 🚦 中文 für Zürich 👩‍👩‍👧, 50 %";
    for name in DECODERS {
        let tokenizer = ModelTokenizer::open(&fixture(name)).unwrap();
        let mut stream = TextStream::default();
        let mut heard = String::new();
        for id in tokenizer.encode(text, false).unwrap() {
            let piece = stream.push(&tokenizer, id).unwrap();
            assert!(!piece.contains('\u{fffd}'), "{name}: {piece:?}");
            heard.push_str(&piece);
        }
        heard.push_str(&stream.finish(&tokenizer).unwrap());
        assert_eq!(heard, text, "{name}");
    }
}

#[derive(serde::Deserialize)]
struct Chat {
    model: String,
    messages: Vec<Message>,
    prompt: bool,
    text: String,
}

#[test]
fn conversations_become_the_same_prompts() {
    let chats: Vec<Chat> = serde_json::from_slice(&std::fs::read(fixture("tokens/chats.json")).unwrap()).unwrap();
    assert!(chats.len() >= 400);
    for name in DECODERS {
        let template = ChatTemplate::open(&ModelFolder::open(&fixture(name)).unwrap()).unwrap().unwrap();
        for chat in chats.iter().filter(|c| c.model == name) {
            assert_eq!(template.apply(&chat.messages, chat.prompt).unwrap(), chat.text, "{name}");
        }
    }
    let template = ChatTemplate::open(&ModelFolder::open(&fixture("llama3")).unwrap()).unwrap().unwrap();
    let twice = vec![Message::user("a", 0, false), Message::user("b", 0, false)];
    assert!(template.apply(&twice, true).unwrap_err().to_string().contains("roles must alternate"));
}

#[test]
fn adapters_are_pefts_and_their_gradients_autograds() {
    let (model, theirs) = (open("llama2"), reference("llama2"));
    let lora = Lora::load(&model.vs, &fixture("llama2/adapter")).unwrap();
    let tokens = ids(&theirs.tensors["tokens"]);
    let read = |woven: &Woven| tch::no_grad(|| woven.study(&model.language).0);
    let plain = model.weave(&[Part::Tokens(tokens.clone())]).unwrap();
    close("adapted", &read(&plain), &theirs.tensors["lora.logits"], 1e-4);

    let scene = theirs.tensors["lora.scene"].set_requires_grad(true);
    let woven = model
        .weave(&[
            Part::Tokens(tokens[..2].to_vec()),
            Part::Vectors { name: "scene".into(), token: 0, vectors: scene.shallow_clone(), grid: None },
            Part::Tokens(tokens[4..].to_vec()),
        ])
        .unwrap();
    assert_eq!(woven.spans, [("scene".to_string(), 2..4)]);
    let (logits, _) = woven.study(&model.language);
    let count = tokens.len() as i64;
    let targets = Tensor::from_slice(&tokens[1..]);
    let loss = logits.narrow(0, 0, count - 1).cross_entropy_for_logits(&targets);
    close("loss", &loss.detach().reshape([1]), &theirs.tensors["lora.loss"], 1e-5);
    loss.backward();
    close("scene gradient", &scene.grad(), &theirs.tensors["lora.scene_gradient"], 1e-3);
    let parameters = lora.parameters();
    assert_eq!(parameters.len(), 2 * 3 * 2);
    for (name, parameter) in &parameters {
        close(name, &parameter.grad(), &theirs.tensors[&format!("lora.gradient.{name}")], 1e-3);
    }

    lora.merge().unwrap();
    close("merged", &read(&plain), &theirs.tensors["lora.logits"], 1e-4);
    lora.unmerge().unwrap();
    close("unmerged", &read(&plain), &theirs.tensors["lora.logits"], 1e-4);
    let folder = tempfile::tempdir().unwrap();
    lora.save(folder.path(), "llama2").unwrap();
    let again = open("llama2");
    again.adapt(folder.path()).unwrap();
    close(
        "saved",
        &tch::no_grad(|| again.weave(&[Part::Tokens(tokens)]).unwrap().study(&again.language).0),
        &read(&plain),
        1e-5,
    );
}

#[test]
fn adapter_prompts_are_pefts_and_their_gradients_autograds() {
    use apprentice_nn::AdapterPrompts;
    use apprentice_nn::llama::Reading;
    use apprentice_teacher::general::Language;
    let model = open("llama2");
    let Language::Llama(llama) = &model.language else { panic!("llama2 is a Llama") };
    let adapter =
        AdapterPrompts::load(&model.vs, llama.config(), &fixture("llama2/prompts/prompts.safetensors")).unwrap();
    let theirs = read_tensors(&fixture("llama2/prompts/reference.safetensors")).unwrap();
    let woven = model.weave(&[Part::Tokens(ids(&theirs.tensors["tokens"]))]).unwrap();
    let prompts = adapter.read(None);
    let reading = || Reading { prompts: Some(&prompts), ..Reading::causal(&woven.positions) };
    let logits = tch::no_grad(|| llama.logits(&llama.read(&woven.embeddings, reading()))).squeeze_dim(0);
    close("prompted", &logits, &theirs.tensors["logits"], 1e-4);
    let last = woven.ids.len() as i64 - 1;
    let targets = Tensor::from_slice(&woven.ids[1..]);
    let reached: Vec<Tensor> = adapter.parameters().iter().map(|(_, t)| t.shallow_clone()).collect();
    let loss = llama.learn(&woven.embeddings, &reading(), &reached, |hidden| {
        llama.entropy(&hidden.get(0).narrow(0, 0, last), &targets)
    });
    close("loss", &loss.detach().reshape([1]), &theirs.tensors["loss"], 1e-5);
    let found = Tensor::run_backward(&[&loss], &reached, false, false);
    for ((name, parameter), gradient) in adapter.parameters().iter().zip(found) {
        let short = name.trim_start_matches("adapter_prompts.");
        // Their gate is one number, and without the tanh.
        let gradient = if name.ends_with("gate") {
            (gradient / (parameter.tanh().square().neg() + 1.0)).sum(Kind::Float).reshape([1]).detach()
        } else {
            gradient
        };
        close(name, &gradient, &theirs.tensors[&format!("gradient.{short}")], 1e-3);
    }
}

#[test]
fn groups_of_scene_tokens_stand_at_their_places_and_learn() {
    use apprentice_nn::qformer::QFormerConfig;
    use apprentice_nn::{VarStore, noise};
    use apprentice_teacher::general::{GroupConfig, GroupKind, SceneAdapters};
    let model = open("llama2");
    let store = VarStore::new(tch::Device::Cpu, 4);
    let group = |name: &str, width, kind| GroupConfig { name: name.into(), width, kind };
    let former = QFormerConfig { queries: 3, width: 16, layers: 1, heads: 2 };
    let groups = [group("bev", 12, GroupKind::QFormer(former)), group("ego", 8, GroupKind::Mlp(16))];
    let adapters = SceneAdapters::new(&store.root(), model.language.width(), &groups).unwrap();
    let bev = noise(&[1], &[20, 12]).set_requires_grad(true);
    let ego = noise(&[2], &[1, 8]).set_requires_grad(true);
    let prompt = "the scene is <bev> and we are <ego>: slow down?";
    let weave = |bev: &Tensor, ego: &Tensor| {
        let scene = [("ego", ego), ("bev", bev)];
        model.weave(&adapters.parts(&model.tokenizer, prompt, &scene).unwrap()).unwrap()
    };
    let woven = weave(&bev, &ego);
    assert_eq!(woven.spans[0].0, "bev");
    assert_eq!((woven.spans[0].1.len(), woven.spans[1].1.len()), (3, 1));
    let before = model.tokenizer.encode("the scene is ", true).unwrap();
    assert_eq!(woven.spans[0].1.start, before.len());
    assert_eq!(woven.ids[..before.len()], before[..]);
    // The ego token's state at the last but one layer, and what it teaches.
    let layer = model.language.layers() - 1;
    let state = woven.state(&model.language, "ego", layer).unwrap();
    let study = tch::no_grad(|| model.study(&woven)).hidden.swap_remove(layer);
    close("ego", &state.detach(), &study.narrow(0, woven.spans[1].1.start as i64, 1), 1e-5);
    assert!(woven.state(&model.language, "agents", layer).is_none());
    let loss = |bev: &Tensor, ego: &Tensor| {
        weave(bev, ego).state(&model.language, "ego", layer).unwrap().square().mean(Kind::Float)
    };
    let adapted: Vec<Tensor> = store.variables().into_iter().map(|v| v.tensor).collect();
    let all: Vec<&Tensor> = [&bev, &ego].into_iter().chain(&adapted).collect();
    let found = Tensor::run_backward(&[&loss(&bev, &ego)], &all, false, false);
    assert!(found.iter().all(Tensor::defined) && found[..2].iter().all(|g| g.abs().max().double_value(&[]) > 0.0));
    let direction = noise(&[3], &[20, 12]);
    let along = (&found[0] * &direction).sum(Kind::Float).double_value(&[]);
    let step = |h: f64| tch::no_grad(|| loss(&(&bev + &direction * h), &ego).double_value(&[]));
    let slope = (step(1e-2) - step(-1e-2)) / 2e-2;
    assert!((along - slope).abs() < 5e-3 * slope.abs(), "{along} {slope}");

    let refused = |prompt: &str, scene: &[(&str, &Tensor)], words: &str| {
        let text = adapters.parts(&model.tokenizer, prompt, scene).unwrap_err().to_string();
        assert!(text.contains(words), "{text}");
    };
    refused("<bev> alone", &[("bev", &bev), ("ego", &ego)], "<ego>");
    refused("<bev> <bev> <ego>", &[("bev", &bev), ("ego", &ego)], "2 times");
    refused(prompt, &[("bev", &bev)], "no tokens are given for `<ego>`");
    refused(prompt, &[("bev", &ego), ("ego", &ego)], "[n, 12]");
    refused(prompt, &[("bev", &bev), ("ego", &ego), ("map", &bev)], "map");
    let fresh = VarStore::new(tch::Device::Cpu, 4);
    let twice = SceneAdapters::new(&fresh.root(), 32, &[groups[0].clone(), groups[0].clone()]).unwrap_err().to_string();
    assert!(twice.contains("bev") && twice.contains("twice"), "{twice}");
}

fn texts(name: &str) -> Vec<String> {
    serde_json::from_slice(&std::fs::read(fixture(name).join("texts.json")).unwrap()).unwrap()
}

#[test]
fn sentence_encoders_agree_one_by_one_and_together() {
    let encoder = Encoder::open(&fixture("bert"), &LoadOptions::default()).unwrap();
    let ours = encoder.texts(&texts("bert")).unwrap();
    close("bert", &ours, &reference("bert").tensors["texts"], 1e-5);
    assert!(encoder.images(&[]).unwrap_err().to_string().contains("BertModel"));

    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.sentence-encoder");
    if !folder.is_dir() {
        println!("SKIPPED: all-MiniLM-L6-v2 is not here; fetch it with `cargo xtask sentence-encoder`");
        return;
    }
    let theirs = reference("minilm");
    let sentences: Vec<String> = texts("tokens")[6..518].to_vec();
    let ours = Encoder::open(&folder, &LoadOptions::default()).unwrap().texts(&sentences).unwrap();
    assert_eq!(ours.size(), [512, 384]);
    close("MiniLM", &ours.slice(1, 0, 384, 3), &theirs.tensors["texts"], 1e-5);
    close("MiniLM norms", &ours.norm_scalaropt_dim(2, [1i64].as_slice(), false), &theirs.tensors["norms"], 1e-5);
}

/// A picture kept as `[H, W, 3]` bytes.
fn image(tensor: &Tensor) -> Image {
    let [height, width, 3] = tensor.size()[..] else { panic!("a picture is [H, W, 3]") };
    Image { width: width as usize, height: height as usize, rgb: Vec::try_from(tensor.flatten(0, -1)).unwrap() }
}

#[test]
fn towers_agree_on_texts_pixels_and_pictures() {
    for name in ["clip", "siglip"] {
        let folder = ModelFolder::open(&fixture(name)).unwrap();
        let (encoder, theirs) = (Encoder::open(&fixture(name), &LoadOptions::default()).unwrap(), reference(name));
        close(name, &encoder.texts(&texts(name)).unwrap(), &theirs.tensors["texts"], 1e-4);
        let preprocess = Preprocess::open(&folder).unwrap();
        for i in 0..3 {
            let picture = image(&theirs.tensors[&format!("image.{i}")]);
            // Pillow's pixels to the bit, but for the last rounding.
            close("pixels", &preprocess.pixels(&picture), &theirs.tensors[&format!("pixels.{i}")], 1e-6);
            let embedding = encoder.images(&[picture]).unwrap().squeeze_dim(0);
            close(&format!("{name} {i}"), &embedding, &theirs.tensors[&format!("embedding.{i}")], 1e-4);
        }
    }
}

#[test]
fn models_with_eyes_agree_on_every_layer_and_every_generated_token() {
    for (name, count) in [("llava", 2), ("qwen2_5_vl", 2), ("blip2", 1)] {
        let (model, theirs) = (open(name), reference(name));
        let pictures: Vec<Image> = (0..count).map(|i| image(&theirs.tensors[&format!("image.{i}")])).collect();
        let question: String =
            serde_json::from_slice(&std::fs::read(fixture(name).join("texts.json")).unwrap()).unwrap();
        let ask = ask(&question);
        let woven = tch::no_grad(|| model.weave(&model.parts(&ask, &pictures).unwrap()).unwrap());
        assert_eq!(woven.ids, ids(&theirs.tensors["tokens"]), "{name}");
        assert_eq!(woven.spans.len(), count);
        for (index, (_, span)) in woven.spans.iter().enumerate() {
            let ours = woven.embeddings.get(0).narrow(0, span.start as i64, span.len() as i64);
            close(&format!("{name} picture {index}"), &ours, &theirs.tensors[&format!("features.{index}")], 1e-4);
        }
        for (key, ours) in model.study(&woven).named() {
            close(&format!("{name} {key}"), &ours, &theirs.tensors[&key], 1e-4);
        }
        let answer = model.answer(woven, &ask, |_| Ok(())).unwrap();
        assert_eq!(answer.said, ids(&theirs.tensors["generated"]), "{name}");
        // What is said stands at the positions it was said at.
        let all = answer.prompt.extended(&model.language, &answer.said);
        let read = model.study(&all).logits.argmax(-1, false);
        let from = answer.prompt.ids.len() as i64 - 1;
        assert_eq!(ids(&read.narrow(0, from, answer.said.len() as i64)), answer.said, "{name}");
        if count == 2 {
            assert!(model.parts(&ask, &pictures[..1]).unwrap_err().to_string().contains("2 times"));
        }
    }
    let blind = open("llama2").parts(&ask(PROMPT), &[Image::black(4, 4)]).unwrap_err();
    assert!(blind.to_string().contains("LlamaForCausalLM reads no pictures"));
}

#[test]
fn an_encoder_reads_and_a_decoder_speaks() {
    for (name, count) in [("flan_t5", 0), ("blip2_t5", 1)] {
        let (model, theirs) = (open(name), reference(name));
        let pictures: Vec<Image> = (0..count).map(|i| image(&theirs.tensors[&format!("image.{i}")])).collect();
        let question = match std::fs::read(fixture(name).join("texts.json")) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap(),
            Err(_) => PROMPT.to_string(),
        };
        let ask = Ask { max_tokens: 12, ..ask(&question) };
        let woven = tch::no_grad(|| model.weave(&model.parts(&ask, &pictures).unwrap()).unwrap());
        assert_eq!(woven.ids, ids(&theirs.tensors["encoder.tokens"]), "{name}");
        let answer = model.answer(woven, &ask, |_| Ok(())).unwrap();
        assert_eq!(answer.said, ids(&theirs.tensors["generated"]), "{name}");
        let all = answer.prompt.extended(&model.language, &answer.said);
        let named = model.study(&all).named();
        assert_eq!(named.len(), 2 + 3 + 1 + 3);
        for (key, ours) in named {
            close(&format!("{name} {key}"), &ours, &theirs.tensors[&key], 1e-4);
        }
        for layer in 0..3 {
            let alone = tch::no_grad(|| all.hidden_at(&model.language, layer));
            close(name, &alone, &theirs.tensors[&format!("encoder.hidden.{layer}")], 1e-4);
        }
    }
    // The first version of T5 scales what its output matrix reads.
    let folder = copy("flan_t5");
    edit(folder.path(), "config.json", "\"tie_word_embeddings\": false", "\"tie_word_embeddings\": true");
    let (first, later) = (LanguageModel::open(folder.path(), &LoadOptions::default()).unwrap(), open("flan_t5"));
    let logits = |model: &LanguageModel| model.study(&model.weave(&[Part::Tokens(vec![5, 9, 1])]).unwrap()).logits;
    close("scaled", &(logits(&first) * 32f64.sqrt()), &logits(&later), 1e-5);
}

/// A copy of a fixture that can be broken.
fn copy(name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(fixture(name)).unwrap().flatten().filter(|e| e.path().is_file()) {
        std::fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
    }
    folder
}

fn edit(folder: &Path, file: &str, from: &str, to: &str) {
    let path = folder.join(file);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{text}");
    std::fs::write(&path, text.replace(from, to)).unwrap();
}

#[test]
fn what_is_wrong_is_named_with_its_file_and_what_was_expected() {
    let refused = |folder: &Path, words: &[&str]| {
        let error = LanguageModel::open(folder, &LoadOptions::default()).unwrap_err();
        let text = error.to_string();
        assert!(words.iter().all(|w| text.contains(w)), "{text}");
        assert!(apprentice_core::Hint::hint(&error).is_some(), "{text}");
    };
    let folder = copy("llama2");
    edit(folder.path(), "config.json", "LlamaForCausalLM", "MambaForCausalLM");
    refused(folder.path(), &["config.json", "MambaForCausalLM", "LlamaForCausalLM", "Qwen3ForCausalLM"]);

    let folder = copy("llama3");
    std::fs::remove_file(folder.path().join("model-00002-of-00003.safetensors")).unwrap();
    refused(
        folder.path(),
        &["model-00002-of-00003.safetensors", "missing", "model.safetensors.index.json", "3 shards"],
    );

    let folder = copy("llama2");
    edit(folder.path(), "config.json", "\"vocab_size\": 420", "\"vocab_size\": 400");
    refused(folder.path(), &["tokenizer.json", "below 400", "419"]);

    let folder = copy("llama2");
    edit(folder.path(), "config.json", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3");
    refused(folder.path(), &["missing", "model.layers.2.self_attn.q_proj.weight", "[32, 32]"]);

    let folder = copy("llama2");
    let path = folder.path().join("model.safetensors");
    let file = read_tensors(&path).unwrap();
    let packed: Vec<_> = (file.tensors.into_iter())
        .map(|(name, t)| if name.contains("1.mlp.up_proj") { (name, t.to_kind(Kind::Int)) } else { (name, t) })
        .collect();
    apprentice_nn::write_tensors(&path, &packed, &Default::default()).unwrap();
    refused(folder.path(), &["model.layers.1.mlp.up_proj.weight", "needs floating-point numbers", "Int"]);

    let folder = copy("llama2");
    let bytes = std::fs::read(folder.path().join("model.safetensors")).unwrap();
    std::fs::write(folder.path().join("model.safetensors"), &bytes[..bytes.len() - 100]).unwrap();
    refused(folder.path(), &["model.safetensors"]);

    let folder = copy("llama2");
    std::fs::remove_file(folder.path().join("model.safetensors")).unwrap();
    refused(folder.path(), &["pytorch_model.bin"]);

    let model = open("llama2");
    let long = ask(&"yield ".repeat(200));
    let error = model.weave(&model.parts(&long, &[]).unwrap()).unwrap_err();
    assert!(matches!(error, TeacherError::Model { .. }));
    assert!(error.to_string().contains("128") && error.to_string().contains("config.json"), "{error}");
    let mut near = ask(&"yield ".repeat(40));
    near.max_tokens = 500;
    let woven = model.weave(&model.parts(&near, &[]).unwrap()).unwrap();
    let length = woven.ids.len();
    let answer = model.answer(woven, &near, |_| Ok(())).unwrap();
    assert!(answer.ending == Ending::End || length + answer.said.len() == 128);
    let wide = Part::Vectors {
        name: "map".into(),
        token: 0,
        vectors: Tensor::zeros([2, 31], tch::kind::FLOAT_CPU),
        grid: None,
    };
    assert!(model.weave(&[wide]).unwrap_err().to_string().contains("`map`"));
}
