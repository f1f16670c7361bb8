//! The Rust side of `bench/peft_adapter.py`: `adapter MODEL ADAPTER OUT` reads a LoRA adapter, writes it again to OUT, and a
//! fresh one, moved from zero, to OUT/fresh; the logits of a fixed sequence under either go to OUT/logits.safetensors.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use apprentice_nn::{Lora, LoraConfig, noise, write_tensors};
use apprentice_teacher::general::{LanguageModel, LoadOptions, Part};
use std::path::PathBuf;
use tch::{Tensor, no_grad};

fn main() {
    let mut arguments = std::env::args().skip(1).map(PathBuf::from);
    let mut path = || arguments.next().expect("usage: adapter MODEL ADAPTER OUT");
    let (folder, adapter, out) = (path(), path(), path());
    let open = || LanguageModel::open(&folder, &LoadOptions::default()).unwrap();
    let logits = |model: &LanguageModel| -> Tensor {
        let woven = model.weave(&[Part::Tokens((0..24).map(|i| i * 37 % 400).collect())]).unwrap();
        no_grad(|| woven.study(&model.language).0)
    };
    let name = folder.display().to_string();
    let model = open();
    Lora::load(&model.vs, &adapter).unwrap().save(&out, &name).unwrap();
    let saved = logits(&model);
    let model = open();
    let fresh = Lora::attach(&model.vs, &LoraConfig::new(4, &["q_proj", "layers.*.up_proj"])).unwrap();
    no_grad(|| {
        for (index, (_, parameter)) in fresh.parameters().into_iter().enumerate() {
            parameter.shallow_clone().copy_(&(noise(&[index as u64], &parameter.size()) * 0.1));
        }
    });
    fresh.save(&out.join("fresh"), &name).unwrap();
    let both = [("saved".to_string(), saved), ("fresh".to_string(), logits(&model))];
    write_tensors(&out.join("logits.safetensors"), &both, &Default::default()).unwrap();
}
