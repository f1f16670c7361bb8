//! The teacher as a whole, on a made-up scene whose answer is in its picture.

#![allow(clippy::unwrap_used)] // a test may panic

use apprentice_core::sample::{LightState, QuestionAnswer, SampleId, Tier};
use apprentice_core::{Command, EgoState, Image, Rig, Rng, Sample, Trajectory};
use apprentice_nn::{AdamW, AdamWConfig, noise};
use apprentice_planner::{Batch, Item, StudentConfig, collate};
use apprentice_teacher::{
    Lesson, Prompt, Question, Quiz, Teacher, TeacherConfig, TeacherWeights, TextBatch, TextTokenizer, draw_lessons,
    teacher_loss,
};
use tch::{Device, no_grad};

fn small() -> TeacherConfig {
    apprentice_nn::set_threads(1);
    let mut config = TeacherConfig::nano();
    config.vision = StudentConfig::nano();
    config.vision.backbone.image_width = 64;
    config.vision.backbone.image_height = 32;
    config.tokens.front_grid = [2, 4];
    config.lm.hidden_size = 64;
    config.lm.intermediate_size = 96;
    config.lm.num_hidden_layers = 2;
    config.vocabulary = 300;
    config
}

/// Bright pictures: the light is green and the car drives on. Dark ones: it is red and the car stops.
fn scene(bright: bool, index: u32) -> (Sample, Vec<Image>) {
    let mut rng = Rng::new(&[u64::from(index), 7]);
    let rig = Rig::bench2drive(64, 32);
    let images = rig
        .cameras
        .iter()
        .map(|c| {
            let mut image = Image::black(c.width, c.height);
            let base = if bright { 170.0 } else { 60.0 };
            image.rgb.iter_mut().for_each(|v| *v = (base + rng.normal() * 10.0) as u8);
            image
        })
        .collect();
    let say = |kind: &str, question: &str, answer: &str| QuestionAnswer {
        kind: kind.into(),
        question: question.into(),
        answer: answer.into(),
    };
    let sample = Sample {
        id: SampleId { world: "w".into(), index },
        tier: Tier::Common,
        family: "Cruise".into(),
        time_s: 0.0,
        ego: EgoState { speed_mps: 5.0, ..EgoState::default() },
        command: Command::LaneFollow,
        future: Trajectory::constant_speed(if bright { 6.0 } else { 1.0 }),
        future_steps: 6,
        agents: vec![],
        map: vec![],
        light: if bright { LightState::Green } else { LightState::Red },
        language: vec![
            say("light", "what does the light show?", if bright { "green" } else { "red" }),
            say("action", "what do you do now?", if bright { "drive on" } else { "stop at the line" }),
        ],
    };
    (sample, images)
}

fn batch(config: &TeacherConfig, first: u32) -> (Batch, Vec<Sample>) {
    let scenes: Vec<_> = (0..8).map(|i| scene(i % 2 == 0, first + i)).collect();
    let items: Vec<_> = scenes.iter().map(|(s, i)| Item::labelled(s, i)).collect();
    let batch = collate(&config.vision, &items, Device::Cpu).unwrap();
    (batch, scenes.into_iter().map(|s| s.0).collect())
}

fn teacher(seed: u64) -> Teacher {
    let words = ["what does the light show? green red", "what do you do now? drive on stop at the line"];
    let config = small();
    let tokenizer = TextTokenizer::train(words.into_iter(), config.vocabulary).unwrap();
    Teacher::new(&config, tokenizer, seed, Device::Cpu).unwrap()
}

fn text(teacher: &Teacher, samples: &[Sample]) -> TextBatch {
    let lessons: Vec<_> = samples.iter().map(|s| draw_lessons(teacher, s, 2, &[1]).unwrap()).collect();
    TextBatch::new(&lessons, teacher.tokenizer.special().pad, Device::Cpu).unwrap()
}

fn far(a: &tch::Tensor, b: &tch::Tensor) -> f64 {
    (a - b).abs().max().double_value(&[])
}

#[test]
fn what_is_said_about_the_scene_does_not_reach_the_plan() {
    let teacher = teacher(1);
    let (batch, samples) = batch(&teacher.config, 0);
    let text = text(&teacher, &samples);
    no_grad(|| {
        let (scene, tokens) = teacher.see(&batch.inputs, false);
        assert_eq!(tokens.size(), [8, teacher.config.vision_tokens(), 64]);
        let with = teacher.think(&scene, &tokens, Some(&text));
        let without = teacher.think(&scene, &tokens, None);
        assert!(far(&with.latent, &without.latent) < 1e-5);
        assert_eq!(with.answer_logits.unwrap().size()[0], text.targets.size()[0]);
        // Rows do not mix: a batch of one gives the same plan.
        let one = apprentice_planner::Inputs {
            images: batch.inputs.images.narrow(0, 3, 1),
            speed: batch.inputs.speed.narrow(0, 3, 1),
            command: batch.inputs.command.narrow(0, 3, 1),
            raster: None,
            light: None,
        };
        let (scene, tokens) = teacher.see(&one, false);
        let alone = teacher.think(&scene, &tokens, None);
        assert!(far(&alone.latent.get(0), &without.latent.get(3)) < 1e-4);
    });
}

#[test]
fn greedy_answers_with_memory_equal_reading_everything_again() {
    let teacher = teacher(2);
    let (batch, samples) = batch(&teacher.config, 0);
    let (_, tokens) = no_grad(|| teacher.see(&batch.inputs, false));
    let prompts: Vec<_> =
        samples[0].language.iter().map(|t| Prompt::ask(&teacher.tokenizer, &Question::of(t)).unwrap()).collect();
    // Different lengths in one batch, and each alone.
    let together = teacher.answer(&tokens, &[(0, &prompts[0]), (1, &prompts[1]), (5, &prompts[0])]).unwrap();
    let apart: Vec<_> =
        [(0, 0), (1, 1), (5, 0)].map(|(r, p)| teacher.answer(&tokens, &[(r, &prompts[p])]).unwrap()[0].clone()).into();
    assert_eq!(together, apart);
    assert!(teacher.answer(&tokens, &[]).unwrap().is_empty());
}

#[test]
fn it_learns_to_drive_and_to_answer_from_pictures_and_survives_its_file() {
    let teacher = teacher(3);
    let config = AdamWConfig { learning_rate: 2e-3, ..AdamWConfig::default() };
    let mut optimiser = AdamW::new(&teacher.vs, config, |_| Some(1.0));
    let weights = TeacherWeights::default();
    let mut terms = vec![];
    for step in 0..60 {
        let (batch, samples) = batch(&teacher.config, 8 * (step % 4));
        let noise = noise(&[3, u64::from(step)], &[8, teacher.config.vision.planner.z]);
        let (loss, now) = teacher_loss(&teacher, &batch, Some(&text(&teacher, &samples)), &noise, &weights);
        assert!(optimiser.step(&loss, 1.0).applied);
        terms = now;
    }
    let term = |name: &str| terms.iter().find(|t| t.0 == name).unwrap().1;
    assert!(term("answer_token_accuracy") > 0.9, "{terms:?}");
    assert!(term("plan_l1") < 1.0, "{terms:?}");

    let (batch, samples) = batch(&teacher.config, 1000);
    let (scene, tokens) = no_grad(|| teacher.see(&batch.inputs, false));
    let mut quiz = Quiz::default();
    quiz.ask(&teacher, &tokens, &samples.iter().collect::<Vec<_>>()).unwrap();
    let report = quiz.report();
    assert_eq!(report.beaten(), 2, "{report:?}");

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("teacher.safetensors");
    let contract = teacher.contract("teacher", serde_json::json!({}), "data");
    teacher.save(&path, &contract).unwrap();
    let (again, read, _hash) = Teacher::load(&path, Device::Cpu).unwrap();
    assert_eq!(read, contract);
    no_grad(|| {
        let (scene2, tokens2) = again.see(&batch.inputs, false);
        let (a, b) = (teacher.think(&scene, &tokens, None), again.think(&scene2, &tokens2, None));
        assert_eq!(far(&a.latent, &b.latent), 0.0);
    });
    // Cut files and other kinds are told apart from good ones.
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    assert!(Teacher::load(&path, Device::Cpu).unwrap_err().to_string().contains("teacher.safetensors"));
}

#[test]
fn lessons_are_drawn_without_replacement() {
    let teacher = teacher(4);
    let (sample, _) = scene(true, 0);
    let drawn = draw_lessons(&teacher, &sample, 5, &[9]).unwrap();
    assert_eq!(drawn.len(), 2);
    let all: Vec<_> = sample.language.iter().map(|t| Lesson::new(&teacher.tokenizer, t).unwrap()).collect();
    assert!(all.iter().all(|l| drawn.contains(l)));
}

#[test]
fn the_shipped_teacher_is_the_one_on_its_card() {
    let models = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models");
    let file = models.join("nano-teacher.safetensors");
    let card = std::fs::read_to_string(models.join("nano-teacher.md")).unwrap();
    assert!(card.contains(&apprentice_store::hash_file(&file).unwrap()), "the card names another file");
    let (teacher, contract, _) = Teacher::load(&file, Device::Cpu).unwrap();
    assert_eq!(teacher.config.vision.preprocessing(), contract.preprocessing);
    assert!(card.contains(&contract.data_hash), "the card names other data");
}
