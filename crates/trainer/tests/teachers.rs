//! `teacher info | run | embed | import` through the program: documents of the committed schemas, dumps that agree with
//! `transformers`, torchvision and timm, and one clear error for whatever is wrong.
#![allow(clippy::unwrap_used)]

#[path = "../../cli/tests/common/mod.rs"]
mod common;
#[path = "../../teacher/tests/formula/mod.rs"]
mod formula;
#[path = "../../eval/tests/schema/mod.rs"]
mod schema;
mod small;

use apprentice_nn::{TensorFile, read_tensors, write_tensors};
use common::{refused, succeed};
use formula::{Layout, fixture};
use serde_json::Value;
use small::{PROGRAM, STUDENT, Stage, short};
use std::collections::BTreeMap;
use std::path::Path;
use tch::{Device, Kind, Tensor};

const PROMPT: &str = "The light ahead is red. What must the car do?";

/// Run with `--json`, and hold what is printed against its schema.
fn document(arguments: &[&str], folder: &Path, schema: &str) -> Value {
    let printed = succeed(PROGRAM, &[arguments, &["--json"]].concat(), folder);
    let value = serde_json::from_str(&printed).unwrap();
    schema::check(schema, &value);
    value
}

fn close(what: &str, ours: &Tensor, theirs: &Tensor, tolerance: f64) {
    assert_eq!(ours.size(), theirs.size(), "{what}");
    let wide = |t: &Tensor| t.to_kind(Kind::Double);
    let far = ((wide(ours) - wide(theirs)).abs().max() / wide(theirs).abs().max()).double_value(&[]);
    assert!(far <= tolerance, "{what}: {far:e}");
}

fn path(name: &str) -> String {
    fixture(name).to_str().unwrap().to_string()
}

fn reference(name: &str) -> TensorFile {
    read_tensors(&fixture(name).join("reference.safetensors")).unwrap()
}

/// The pictures of a fixture as files.
fn pictures(theirs: &TensorFile, folder: &Path) -> Vec<String> {
    let mut names = vec![];
    while let Some(tensor) = theirs.tensors.get(&format!("image.{}", names.len())) {
        let name = format!("{}.png", names.len());
        let [height, width, 3] = tensor.size()[..] else { panic!("a picture is [H, W, 3]") };
        let file = std::fs::File::create(folder.join(&name)).unwrap();
        let mut encoder = png::Encoder::new(file, width as u32, height as u32);
        encoder.set_color(png::ColorType::Rgb);
        let bytes = Vec::<u8>::try_from(tensor.flatten(0, -1)).unwrap();
        encoder.write_header().unwrap().write_image_data(&bytes).unwrap();
        names.push(name);
    }
    names
}

#[test]
fn info_of_every_family() {
    let place = tempfile::tempdir().unwrap();
    for (name, architecture, loads) in [
        ("llama2", "LlamaForCausalLM", "answers"),
        ("qwen2", "Qwen2ForCausalLM", "answers"),
        ("qwen3", "Qwen3ForCausalLM", "answers"),
        ("llava", "LlavaForConditionalGeneration", "answers"),
        ("qwen2_5_vl", "Qwen2_5_VLForConditionalGeneration", "answers"),
        ("blip2", "Blip2ForConditionalGeneration", "answers"),
        ("blip2_t5", "Blip2ForConditionalGeneration", "answers"),
        ("flan_t5", "T5ForConditionalGeneration", "answers"),
        ("bert", "BertModel", "embeds"),
        ("clip", "CLIPModel", "embeds"),
        ("siglip", "SiglipModel", "embeds"),
    ] {
        let info = document(&["teacher", "info", &path(name)], place.path(), "teacher-info-1");
        assert_eq!((&info["architecture"], &info["loads"]), (&architecture.into(), &loads.into()), "{name}");
        assert!(info["vocabulary"].as_u64() > Some(90) && info["parameters"].as_u64() > Some(20_000), "{info}");
    }
    let shards = document(&["teacher", "info", &path("llama3")], place.path(), "teacher-info-1");
    assert_eq!(shards["files"].as_array().unwrap().len(), 3);
    let kinds = document(&["teacher", "info", &path("qwen2")], place.path(), "teacher-info-1");
    assert_eq!(kinds["dtypes"][0][0], "BFloat16");
    let file = document(&["teacher", "info", &path("backbones/narrow.pth")], place.path(), "teacher-info-1");
    assert_eq!((&file["architecture"], &file["loads"]), (&"ResNet-10".into(), &"sees".into()));
}

#[test]
fn answers_and_dumps_of_every_family() {
    let place = tempfile::tempdir().unwrap();
    let (folder, mut whole_texts) = (place.path(), 0);
    for name in ["llama2", "llama3", "qwen2", "qwen3", "llava", "qwen2_5_vl", "blip2", "flan_t5", "blip2_t5"] {
        let theirs = reference(name);
        let question = std::fs::read(fixture(name).join("texts.json")).ok();
        let question = question.map_or(PROMPT.to_string(), |bytes| serde_json::from_slice(&bytes).unwrap());
        let images = pictures(&theirs, folder);
        let t5 = name.contains("t5");
        let place = path(name);
        let mut words = vec!["teacher", "run", &place, "--prompt", &question];
        words.extend(["--max-tokens", if t5 { "12" } else { "16" }, "--device", "cpu"]);
        words.extend(images.iter().flat_map(|image| ["--image", image]));
        let answered = document(&[&words[..], &["--dump", "d.safetensors"]].concat(), folder, "teacher-run-1");
        let ids =
            |field: &str| answered[field].as_array().unwrap().iter().map(|id| id.as_i64().unwrap()).collect::<Vec<_>>();
        let of = |key: &str| Vec::<i64>::try_from(theirs.tensors[key].to_kind(Kind::Int64)).unwrap();
        assert_eq!(ids("generated"), of("generated"), "{name}");
        assert_eq!(ids("prompt"), of(if t5 { "encoder.tokens" } else { "tokens" }), "{name}");
        assert_eq!(answered["spans"].as_array().unwrap().len(), images.len(), "{name}");

        // The first piece was handed out before the last token was there.
        let times: Vec<f64> = answered["seconds"].as_array().unwrap().iter().map(|t| t.as_f64().unwrap()).collect();
        assert!(times[0] <= times[1] && times[1] < times[2], "{name}: {times:?}");

        // The dump holds the reference's places first, then what was said.
        let dump = read_tensors(&folder.join("d.safetensors")).unwrap();
        assert_eq!(dump.metadata["prompt_tokens"], of(if t5 { "encoder.tokens" } else { "tokens" }).len().to_string());
        let keys = |file: &TensorFile| {
            let mine = |key: &&String| {
                ["tokens", "logits"].contains(&key.as_str()) || key.contains("hidden.") || key.starts_with("encoder.")
            };
            file.tensors.keys().filter(mine).filter(|key| !key.starts_with("lora")).cloned().collect::<Vec<_>>()
        };
        assert_eq!(keys(&dump), keys(&theirs), "{name}");
        for key in keys(&theirs) {
            let theirs = &theirs.tensors[&key];
            let ours = dump.tensors[&key].narrow(0, 0, theirs.size()[0]);
            close(&format!("{name} {key}"), &ours.to_kind(Kind::Float), &theirs.to_kind(Kind::Float), 1e-4);
        }
        let said = if t5 { 1 } else { of("tokens").len() };
        let whole = Vec::<i64>::try_from(&dump.tensors["tokens"]).unwrap();
        assert_eq!(whole[said..], ids("generated"), "{name}");

        // Without --json the same text comes piece by piece. Bytes that are no character may have been shown as one before they
        // were whole (`TextStream`); their count stays.
        let (streamed, text) = (succeed(PROGRAM, &words, folder), answered["text"].as_str().unwrap());
        let [streamed, text] = [&streamed, text].map(|t| t.trim_end_matches('\n').to_string());
        assert_eq!(streamed.chars().count(), text.chars().count(), "{name}");
        if !text.contains('\u{fffd}') {
            assert_eq!(streamed, text, "{name}");
            whole_texts += 1;
        }
    }
    assert!(whole_texts >= 3, "{whole_texts}");
    // The prompt is raw unless the template is asked for.
    let chat = ["teacher", "run", &path("llama2"), "--prompt", "stop", "--max-tokens", "1"];
    let raw = document(&chat, folder, "teacher-run-1");
    let templated = document(&[&chat[..], &["--chat"]].concat(), folder, "teacher-run-1");
    assert!(templated["prompt"].as_array().unwrap().len() > raw["prompt"].as_array().unwrap().len());
}

#[test]
fn embeddings_of_texts_and_pictures() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    for name in ["clip", "siglip", "bert"] {
        let theirs = reference(name);
        let texts: Vec<String> =
            serde_json::from_slice(&std::fs::read(fixture(name).join("texts.json")).unwrap()).unwrap();
        std::fs::write(folder.join("texts.txt"), texts.join("\n")).unwrap();
        let images = pictures(&theirs, folder);
        let model = path(name);
        let mut words = vec!["teacher", "embed", &model, "--texts", "texts.txt", "--dump", "e.safetensors"];
        if !images.is_empty() {
            words.push("--images");
            words.extend(images.iter().map(String::as_str));
        }
        let embedded = document(&words, folder, "teacher-embed-1");
        assert_eq!(
            (embedded["texts"].as_u64(), embedded["images"].as_u64()),
            (Some(texts.len() as u64), Some(images.len() as u64))
        );
        let dump = read_tensors(&folder.join("e.safetensors")).unwrap();
        close(name, &dump.tensors["texts"], &theirs.tensors["texts"], 1e-4);
        for i in 0..images.len() {
            close(name, &dump.tensors["images"].get(i as i64), &theirs.tensors[&format!("embedding.{i}")], 1e-4);
        }
    }
}

/// The reference of a backbone, by names as the dump has them.
fn features(dump: &TensorFile, name: &str) {
    let theirs = reference("backbones");
    let prefix = format!("{name}.level.");
    close(name, &dump.tensors["images"].get(0), &theirs.tensors[&format!("{name}.pooled")], 1e-4);
    for (key, level) in theirs.tensors.iter().filter(|(key, _)| key.starts_with(&prefix)) {
        let ours = dump.tensors[&format!("level.{}", &key[prefix.len()..])].get(0).slice(
            0,
            0,
            i64::MAX,
            formula::sampled(name),
        );
        close(key, &ours, level, 1e-4);
    }
}

#[test]
fn features_of_a_backbones_file() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    let layouts = formula::layouts();
    for (name, side) in [
        ("torchvision.resnet18", 64),
        ("timm.resnet50", 64),
        ("timm.efficientnet_b4", 96),
        ("timm.eva02_large", 70),
        ("eva_orion", 160),
    ] {
        let layout = layouts.get(&format!("{name}.small")).unwrap_or(&layouts[name]);
        write_tensors(&folder.join("b.safetensors"), &formula::weights(layout), &BTreeMap::new()).unwrap();
        let (picture, size) = (path(&format!("backbones/{side}.png")), format!("{side}x{side}"));
        let words = [
            "teacher",
            "embed",
            "b.safetensors",
            "--images",
            &picture,
            "--image-size",
            &size,
            "--dump",
            "e.safetensors",
        ];
        let embedded = document(&words, folder, "teacher-embed-1");
        assert_eq!(embedded["images"], 1);
        features(&read_tensors(&folder.join("e.safetensors")).unwrap(), name);
    }
    let (file, picture) = (path("backbones/narrow.pth"), path("backbones/64.png"));
    let narrow = ["teacher", "embed", &file, "--images", &picture, "--dump", "e.safetensors", "--image-size", "64x64"];
    document(&narrow, folder, "teacher-embed-1");
    features(&read_tensors(&folder.join("e.safetensors")).unwrap(), "narrow");

    std::fs::write(folder.join("t.txt"), "stop").unwrap();
    refused(PROGRAM, &[&narrow[..7], &["--texts", "t.txt"]].concat(), folder, &["narrow.pth", "texts"]);
    let eva =
        ["teacher", "embed", "b.safetensors", "--images", &picture, "--image-size", "70x64", "--dump", "e.safetensors"];
    refused(PROGRAM, &eva, folder, &["70×64", "multiples of 16"]);
    let language = path("llama2/model.safetensors");
    refused(PROGRAM, &["teacher", "info", &language], folder, &["model.safetensors", "ResNet", "lm_head.weight"]);
}

#[test]
fn a_published_planner_is_taken_over() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    let bytes = std::fs::read(fixture("planners/vad-tiny.json")).unwrap();
    let layout: Layout = serde_json::from_slice(&bytes).unwrap();
    tch::manual_seed(5);
    let random = |shape: &[i64]| Tensor::randn(shape, (Kind::Float, Device::Cpu)).to_kind(Kind::Half);
    let mut checkpoint: Vec<_> = layout.iter().map(|(name, shape)| (name.clone(), random(shape))).collect();
    let write = |tensors: &[(String, Tensor)]| {
        write_tensors(&folder.join("vad.safetensors"), tensors, &BTreeMap::new()).unwrap()
    };
    write(&checkpoint);
    let words = ["teacher", "import", "vad.safetensors", "--map", "vad-tiny", "--out", "ours.safetensors"];
    let imported = document(&words, folder, "teacher-import-1");
    assert_eq!((&imported["tensors"], imported["ignored"].as_array().unwrap().len()), (&693.into(), 53));
    let ours = read_tensors(&folder.join("ours.safetensors")).unwrap();
    assert_eq!(ours.tensors.len(), 693);
    for (theirs, name) in [
        ("img_backbone.layer3.2.conv2.weight", "backbone.layer3.2.conv2.weight"),
        ("pts_bbox_head.transformer.encoder.layers.1.norms.0.bias", "bev.layers.1.norms.0.bias"),
        ("pts_bbox_head.ego_fut_decoder.4.weight", "planner.4.weight"),
        ("pts_bbox_head.ego_query.weight", "head.ego_query.weight"),
    ] {
        let original = &checkpoint.iter().find(|(key, _)| key == theirs).unwrap().1;
        assert!(ours.tensors[name].equal(original), "{name}");
    }
    let backbone = document(&["teacher", "info", "ours.safetensors"], folder, "teacher-info-1");
    assert_eq!(backbone["architecture"], "ResNet-50");

    // Another map, a map that is not there, and a checkpoint that was changed.
    let base = ["teacher", "import", "vad.safetensors", "--map", "vad-base", "--out", "other.safetensors"];
    refused(
        PROGRAM,
        &base,
        folder,
        &["vad.safetensors", "vad-base", "missing", "more", "needs [40000, 256], has [10000, 256]"],
    );
    let nowhere = ["teacher", "import", "vad.safetensors", "--map", "gone.toml", "--out", "other.safetensors"];
    refused(PROGRAM, &nowhere, folder, &["gone.toml"]);
    let at = checkpoint.iter().position(|(key, _)| key == "pts_bbox_head.ego_query.weight").unwrap();
    checkpoint[at].0 = "pts_bbox_head.ego_token.weight".into();
    checkpoint[at + 1].1 = Tensor::zeros([7, 7], (Kind::Half, Device::Cpu));
    write(&checkpoint);
    let changed = ["teacher", "import", "vad.safetensors", "--map", "vad-tiny", "--out", "other.safetensors"];
    let wanted = [
        "1 of 693 tensors of vad-tiny are missing, 1 are of another shape, 1 are not expected",
        "missing     pts_bbox_head.ego_query.weight [1, 256]",
        "has [7, 7]",
        "unexpected  pts_bbox_head.ego_token.weight [1, 256]",
    ];
    refused(PROGRAM, &changed, folder, &wanted);

    // A map of one's own, with one mistake and without.
    let map = "schema = \"apprentice.name-map/1\"\nabout = \"x\"\n[layout]\n\"fc.{weight,bias}\" = [3]\n[rename]\n\"fc.\" = \"head.\"\n";
    let small =
        [("fc.weight", 1.0), ("fc.bias", 2.0)].map(|(key, value)| (key.to_string(), Tensor::from_slice(&[value; 3])));
    write(&small);
    std::fs::write(folder.join("own.toml"), map.replace("layout", "layuot")).unwrap();
    let own = ["teacher", "import", "vad.safetensors", "--map", "own.toml", "--out", "own.safetensors"];
    refused(PROGRAM, &own, folder, &["own.toml", "layuot"]);
    std::fs::write(folder.join("own.toml"), map).unwrap();
    document(&own, folder, "teacher-import-1");
    let own = read_tensors(&folder.join("own.safetensors")).unwrap();
    assert_eq!(own.tensors["head.bias"].double_value(&[1]), 2.0);
    assert_eq!(own.metadata["apprentice.name-map"], "own.toml");
}

#[test]
fn a_student_starts_from_a_published_backbone() {
    let stage = Stage::worlds();
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    let weights = formula::weights(&formula::layouts()["torchvision.resnet18"]);
    write_tensors(&folder.join("resnet18.safetensors"), &weights, &BTreeMap::new()).unwrap();
    let train = short(&["train", "planner", "--data", &stage.data, "--out", "run"], STUDENT);
    let with = |settings: &[&'static str]| {
        [&train[..], &settings.iter().flat_map(|s| ["--set", s]).collect::<Vec<_>>()].concat()
    };
    let published =
        ["model.backbone.resnet=18", "train.backbone=resnet18.safetensors", "train.optimiser.learning_rate=1e-9"];
    succeed(PROGRAM, &with(&published), folder);
    let student = read_tensors(&folder.join("run/student.safetensors")).unwrap();
    for (name, tensor) in weights.iter().filter(|(name, _)| name.contains("conv")) {
        close(name, &student.tensors[&format!("encoder.backbone.resnet.{name}")], tensor, 1e-5);
    }
    std::fs::remove_dir_all(folder.join("run")).unwrap();
    refused(PROGRAM, &with(&published[1..]), folder, &["train.backbone", "model.backbone.resnet"]);
    refused(PROGRAM, &with(&["model.backbone.resnet=19"]), folder, &["backbone.resnet", "19"]);
    let other = ["model.backbone.resnet=34", "train.backbone=resnet18.safetensors"];
    refused(PROGRAM, &with(&other), folder, &["resnet18.safetensors", "missing", "resnet.layer1.2.conv1.weight"]);
    refused(PROGRAM, &with(&["model.backbone.resnet=18", "train.backbone=gone.pth"]), folder, &["gone.pth"]);
}

/// A copy of a fixture that can be broken.
fn copy(name: &str, place: &Path) -> String {
    let folder = place.join(format!("{name}-{}", std::fs::read_dir(place).unwrap().count()));
    std::fs::create_dir(&folder).unwrap();
    for entry in std::fs::read_dir(fixture(name)).unwrap().flatten().filter(|e| e.path().is_file()) {
        std::fs::copy(entry.path(), folder.join(entry.file_name())).unwrap();
    }
    folder.to_str().unwrap().to_string()
}

fn edit(folder: &str, file: &str, from: &str, to: &str) {
    let path = Path::new(folder).join(file);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{text}");
    std::fs::write(&path, text.replace(from, to)).unwrap();
}

#[test]
fn whatever_is_wrong_with_a_model_is_one_clear_error() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    let info = |model: &str, words: &[&str]| refused(PROGRAM, &["teacher", "info", model], folder, words);

    let model = copy("llama2", folder);
    edit(&model, "config.json", "LlamaForCausalLM", "MambaForCausalLM");
    info(&model, &["config.json", "MambaForCausalLM", "LlamaForCausalLM", "T5ForConditionalGeneration", "hint"]);

    let model = copy("llama3", folder);
    std::fs::remove_file(Path::new(&model).join("model-00002-of-00003.safetensors")).unwrap();
    info(&model, &["model-00002-of-00003.safetensors", "missing", "model.safetensors.index.json", "3 shards", "hint"]);

    let model = copy("flan_t5", folder);
    let weights = Path::new(&model).join("model.safetensors");
    let packed: Vec<_> = (read_tensors(&weights).unwrap().tensors.into_iter())
        .map(|(name, t)| if name.ends_with("wo.weight") { (name, t.to_kind(Kind::Int)) } else { (name, t) })
        .collect();
    write_tensors(&weights, &packed, &BTreeMap::new()).unwrap();
    info(&model, &["model.safetensors", "DenseReluDense.wo.weight", "needs floating-point numbers, has Int", "hint"]);

    let model = copy("blip2_t5", folder);
    edit(&model, "config.json", "\"vocab_size\": 100", "\"vocab_size\": 90");
    info(&model, &["tokenizer.json", "ids below 90", "<image>", "95", "hint"]);

    let long = "yield ".repeat(200);
    for (name, words) in
        [("llama2", ["128 tokens", "max_position_embeddings"]), ("flan_t5", ["512 tokens", "n_positions"])]
    {
        let (model, long) = (path(name), if name == "llama2" { long.clone() } else { long.repeat(3) });
        let ask = ["teacher", "run", &model, "--prompt", &long];
        refused(PROGRAM, &ask, folder, &["config.json", "prompt", words[0], words[1], "hint"]);
    }
    let model = copy("blip2_t5", folder);
    edit(&model, "config.json", "gated-gelu", "gated-wave");
    info(&model, &["config.json", "text_config.feed_forward_proj", "gated-wave"]);
}
