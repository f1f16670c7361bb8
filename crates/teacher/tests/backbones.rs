//! Image backbones and foreign checkpoints against what torchvision, timm and the published code make of them. The fixtures are
//! made by `bench/fixtures/general_models.py` and `bench/fixtures/published_planners.py`.

#![allow(clippy::unwrap_used)] // a test may panic

mod formula;

use apprentice_nn::vision::VisionBackbone;
use apprentice_nn::{Precision, TensorFile, Weights, read_tensors};
use apprentice_teacher::general::{LoadOptions, NameMap, VisionEncoder};
use formula::{Layout, fixture, layouts, weights};
use std::path::Path;
use tch::{Device, Kind, Tensor};

/// Largest difference, relative to the largest value.
fn close(what: &str, ours: &Tensor, theirs: &Tensor) {
    assert_eq!(ours.size(), theirs.size(), "{what}");
    let wide = |t: &Tensor| t.to_kind(Kind::Double);
    let far = ((wide(ours) - wide(theirs)).abs().max() / wide(theirs).abs().max()).double_value(&[]);
    assert!(far <= 1e-4, "{what}: {far:e}");
}

fn reference() -> TensorFile {
    read_tensors(&fixture("backbones/reference.safetensors")).unwrap()
}

fn over(name: &str, layout: &Layout) -> VisionBackbone {
    let weights = Weights::in_memory(name, weights(layout));
    VisionBackbone::over(weights, Precision::Cast(Kind::Float), Device::Cpu).unwrap()
}

/// A picture as bytes, by its side.
fn picture(side: usize) -> apprentice_core::Image {
    formula::picture(side)
}

#[test]
fn features_agree_with_torchvision_timm_and_orions_code() {
    apprentice_nn::set_threads(1);
    let (layouts, theirs) = (layouts(), reference());
    let names: Vec<&String> = layouts.keys().filter(|name| !name.ends_with(".small")).collect();
    assert_eq!(names.len(), 12);
    for name in names {
        let layout = layouts.get(&format!("{name}.small")).unwrap_or(&layouts[name]);
        let side = match name.as_str() {
            "eva_orion" => 160,
            n if n.contains("efficientnet") => 96,
            n if n.contains("eva") => 70,
            _ => 64,
        };
        let encoder = VisionEncoder { backbone: over(name, layout), size: [side, side] };
        let features = encoder.images(&[picture(side)]);
        close(&format!("{name} pooled"), &features.pooled.get(0), &theirs.tensors[&format!("{name}.pooled")]);
        for (stride, level) in &features.levels {
            let sampled = level.get(0).slice(0, 0, i64::MAX, formula::sampled(name));
            close(&format!("{name} level {stride}"), &sampled, &theirs.tensors[&format!("{name}.level.{stride}")]);
        }
        let count = theirs.tensors.keys().filter(|key| key.starts_with(&format!("{name}.level."))).count();
        assert_eq!(features.levels.len(), count, "{name}");
    }
}

/// A layout without numbers: no memory.
fn empty(layout: &Layout) -> impl Iterator<Item = (String, Tensor)> + '_ {
    let zero = Tensor::from(0f32);
    layout.iter().map(move |(name, shape)| (name.clone(), zero.expand(shape, false)))
}

#[test]
fn published_sizes_are_recognised_and_nothing_is_left_over() {
    let layouts = layouts();
    for (name, architecture) in [
        ("torchvision.resnet18", "ResNet-18"),
        ("timm.resnet34", "ResNet-34"),
        ("torchvision.resnet50", "ResNet-50"),
        ("torchvision.efficientnet_b4", "EfficientNet-b4"),
        ("timm.efficientnet_b4", "EfficientNet-b4"),
        ("timm.eva02_large", "EVA-02-L/14"),
        ("timm.eva02_tiny", "EVA-02-Ti/14"),
        ("eva_orion", "EVA-02-L/16 with windows"),
    ] {
        let weights = Weights::in_memory(name, empty(&layouts[name]));
        let backbone = VisionBackbone::over(weights, Precision::Stored, Device::Cpu).unwrap();
        assert_eq!(backbone.architecture(), architecture);
        assert_eq!(
            backbone.image_size()[0],
            match name {
                "eva_orion" => 640,
                "timm.eva02_large" => 448,
                n if n.contains("b4") => 380,
                _ => 224,
            }
        );
        // As part of a larger model, and with a tensor too many, too few and of another shape.
        let within = |change: &dyn Fn(&str, Tensor) -> Option<Tensor>| {
            let moved =
                empty(&layouts[name]).filter_map(|(key, t)| Some((format!("img_backbone.{key}"), change(&key, t)?)));
            let more = [("head.weight".to_string(), Tensor::zeros([3], (Kind::Float, Device::Cpu)))];
            VisionBackbone::over(Weights::in_memory("whole.pth", moved.chain(more)), Precision::Stored, Device::Cpu)
                .map(|backbone| backbone.prefix)
        };
        assert_eq!(within(&|_, t| Some(t)).unwrap(), "img_backbone.");
        let victim = layouts[name]
            .iter()
            .find(|(key, shape)| key.ends_with("bias") && shape[0] > 2 && !key.starts_with("classifier"))
            .unwrap()
            .0;
        let less = within(&|key, t| (key != victim).then_some(t)).unwrap_err().to_string();
        assert!(less.contains("missing") && less.contains(&format!("img_backbone.{victim}")), "{less}");
        let other = within(&|key, t| Some(if key == victim { t.narrow(0, 0, 2) } else { t })).unwrap_err().to_string();
        assert!(other.contains("shape") && other.contains(victim.as_str()), "{other}");
    }
    let strange = Weights::in_memory("x.pth", [("a.b".to_string(), Tensor::zeros([3], (Kind::Float, Device::Cpu)))]);
    let error = VisionBackbone::over(strange, Precision::Stored, Device::Cpu).unwrap_err();
    assert!(error.to_string().contains("a.b") && apprentice_core::Hint::hint(&error).is_some());
}

#[test]
fn a_file_of_torch_save_gives_the_same_features() {
    let encoder =
        VisionEncoder::open(&fixture("backbones/narrow.pth"), &LoadOptions::default(), Some([64, 64])).unwrap();
    assert_eq!(encoder.backbone.architecture(), "ResNet-10");
    let (features, theirs) = (encoder.images(&[picture(64), picture(64)]), reference());
    assert_eq!(features.pooled.size(), [2, 32]);
    close("narrow", &features.pooled.get(1), &theirs.tensors["narrow.pooled"]);
}

#[test]
fn name_maps_fit_the_published_planners_exactly() {
    for (name, count) in [("vad-tiny", 693), ("vad-base", 1009), ("orion", 1649)] {
        let bytes = std::fs::read(fixture(&format!("planners/{name}.json"))).unwrap();
        let layout: Layout = serde_json::from_slice(&bytes).unwrap();
        let map = NameMap::open(Path::new(name)).unwrap();
        let imported = map.import(&Weights::in_memory(name, empty(&layout))).unwrap();
        assert_eq!(imported.tensors.len(), count, "{name}");
        assert_eq!(imported.tensors.len() + imported.ignored.len(), layout.len(), "{name}");
        // What came over is a backbone again.
        let weights = Weights::in_memory(name, imported.tensors);
        let backbone = VisionBackbone::over(weights, Precision::Stored, Device::Cpu).unwrap();
        assert_eq!(backbone.prefix, "backbone.");

        let less = empty(&layout)
            .filter(|(key, _)| key != "img_backbone.blocks.3.norm1.weight" && key != "img_backbone.bn1.bias");
        let other = less
            .map(|(key, t)| if key.ends_with("ego_fut_decoder.4.bias") { (key, t.narrow(0, 0, 5)) } else { (key, t) });
        let more = [("img_backbone.fc.weight".to_string(), Tensor::zeros([3], (Kind::Float, Device::Cpu)))];
        let error = map.import(&Weights::in_memory("a.pth", other.chain(more))).unwrap_err().to_string();
        let wanted = [
            format!("1 of {count} tensors of {name} are missing, 1 are of another shape, 1 are not expected"),
            "unexpected  img_backbone.fc.weight [3]".into(),
            "has [5]".into(),
        ];
        assert!(error.contains("a.pth") && wanted.iter().all(|line| error.contains(line)), "{error}");
    }
}
