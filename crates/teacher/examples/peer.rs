//! The Rust side of `bench/peer_decoder.py`: opens a model's folder and obeys one-word commands on standard input, answering
//! each with milliseconds and the most memory held so far (MiB).
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use apprentice_nn::llama::Reading;
use apprentice_nn::{AdamW, AdamWConfig, Lora, LoraConfig, Precision};
use apprentice_teacher::general::decoder::speak;
use apprentice_teacher::general::{Language, LanguageModel, LoadOptions, Part};
use std::io::BufRead;
use std::path::PathBuf;
use std::time::Instant;
use tch::Tensor;

/// Most memory this process held, MiB.
fn peak_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

fn main() {
    let begun = Instant::now();
    let mut arguments = std::env::args().skip(1);
    let folder =
        PathBuf::from(arguments.next().expect("usage: peer FOLDER PROMPT_TOKENS NEW_TOKENS TRAIN_TOKENS THREADS"));
    let mut number = || arguments.next().unwrap().parse::<usize>().unwrap();
    let (prompt, new, train, threads) = (number(), number(), number(), number());
    apprentice_nn::set_threads(threads);
    // As it is stored: nothing is copied.
    let options = LoadOptions { precision: Precision::Stored, ..LoadOptions::default() };
    let mut model = LanguageModel::open(&folder, &options).unwrap();
    // The same ids on both sides.
    let ids = |count: usize| (0..count).map(|i| (i * 37 % 400) as i64).collect::<Vec<_>>();
    let weave = |model: &LanguageModel, count: usize| model.weave(&[Part::Tokens(ids(count))]).unwrap();
    let first = tch::no_grad(|| speak(&model.language, &weave(&model, 16), |_, _| Ok::<_, ()>(None)));
    assert_eq!(first, Ok(vec![]));
    println!("first {} {}", begun.elapsed().as_secs_f64() * 1e3, peak_mib());
    let mut adapter = None;
    for line in std::io::stdin().lock().lines() {
        let begun = Instant::now();
        match line.unwrap().as_str() {
            "prompt" => {
                let _guard = tch::no_grad_guard();
                let woven = weave(&model, prompt);
                speak(&model.language, &woven, |_, _| Ok::<_, ()>(None)).unwrap();
            }
            "generate" => {
                let woven = tch::no_grad(|| weave(&model, 16));
                let said = speak(&model.language, &woven, |logits, count| {
                    Ok::<_, ()>((count < new).then(|| logits.argmax(-1, false).int64_value(&[])))
                });
                assert_eq!(said.unwrap().len(), new);
            }
            word @ ("train" | "recompute") => {
                if let Language::Llama(llama) = &mut model.language {
                    llama.recompute(usize::from(word == "recompute"));
                }
                let (lora, optimiser) = adapter.get_or_insert_with(|| {
                    let lora = Lora::attach(&model.vs, &LoraConfig::new(8, &["q_proj", "v_proj"])).unwrap();
                    let optimiser =
                        AdamW::new(&model.vs, AdamWConfig::default(), |key| key.contains("lora_").then_some(1.0));
                    (lora, optimiser)
                });
                let woven = weave(&model, train);
                let Language::Llama(llama) = &model.language else { panic!("the model is a Llama") };
                let targets = Tensor::from_slice(&woven.ids[1..]);
                let last = train as i64 - 1;
                let reached: Vec<_> = lora.parameters().into_iter().map(|(_, t)| t).collect();
                let loss = llama.learn(&woven.embeddings, &Reading::causal(&woven.positions), &reached, |hidden| {
                    llama.entropy(&hidden.get(0).narrow(0, 0, last), &targets)
                });
                optimiser.step(&loss, 1.0);
            }
            other => panic!("no command {other}"),
        }
        println!("{} {}", begun.elapsed().as_secs_f64() * 1e3, peak_mib());
    }
}
