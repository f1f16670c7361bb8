#!/usr/bin/env python3
"""LoRA adapters that Apprentice writes, loaded by `peft`: the logits must be the same.

    cargo build --release --workspace --example adapter
    python3 bench/peft_adapter.py       (with transformers, peft and torch 2.11)

Prints one JSON document: the largest difference, relative to the largest logit, for an adapter that was read and written again and
for a fresh one. Exits with 1 above 1e-4.
"""

import json, pathlib, subprocess, sys, tempfile

import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

ROOT = pathlib.Path(__file__).resolve().parents[1]
MODEL = ROOT / "crates/teacher/tests/fixtures/general/llama2"

with tempfile.TemporaryDirectory() as out:
    subprocess.run([str(ROOT / "target/release/examples/adapter"), str(MODEL), str(MODEL / "adapter"), out], check=True)
    ours = load_file(f"{out}/logits.safetensors")
    ids = torch.tensor([[i * 37 % 400 for i in range(24)]])
    far = {}
    for name, folder in [("saved", out), ("fresh", f"{out}/fresh")]:
        model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32), folder).eval()
        with torch.no_grad():
            theirs = model(ids).logits[0]
        far[name] = ((ours[name] - theirs).abs().max() / theirs.abs().max()).item()
print(json.dumps(far))
sys.exit(max(far.values()) > 1e-4)
