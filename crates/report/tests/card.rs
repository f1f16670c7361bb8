//! A model card says what the contract promises and how the file was made.
#![allow(clippy::unwrap_used)]

#[path = "../examples/sample_pages/sample.rs"]
mod sample;

use apprentice_core::contract::{ChannelOrder, Preprocessing};
use apprentice_core::{Contract, Rig};
use apprentice_report::ModelCard;

#[test]
fn a_card_names_file_data_command_and_figures() {
    let preprocessing = Preprocessing {
        rig: Rig::bench2drive(160, 64),
        channel_order: ChannelOrder::Rgb,
        mean: [0.0; 3],
        std: [255.0; 3],
        jpeg_quality: None,
    };
    let empty = serde_json::json!({});
    let contract = Contract::new("student", preprocessing, "orion-lite/own-encoder", empty.clone(), empty, "data0");
    let card = ModelCard {
        name: "nano".into(),
        summary: "A small driver.".into(),
        file: "nano.safetensors".into(),
        file_hash: "hash0".into(),
        parameters: 412_345,
        command: "apprentice distill a|b".into(),
        seed: 3,
        arms: sample::report().arms,
        sections: vec![("Answers".into(), "Right: 3 of 4.".into())],
        limits: vec!["It has seen no snow.".into()],
    };
    let text = card.markdown(&contract);
    for part in [
        "# nano",
        "orion-lite/own-encoder",
        "hash0",
        "data0",
        "412 k",
        "6 of 160 × 64",
        "no snow",
        "## Answers\n\nRight: 3 of 4.\n",
        "valid-starts",
        "a\\|b",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    assert!(!sample::replay().frames.is_empty());
}
