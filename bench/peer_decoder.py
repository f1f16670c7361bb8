#!/usr/bin/env python3
"""A published decoder in `transformers` on PyTorch eager, with the same folder: both sides are timed in turns.

    cargo build --release --workspace --example peer
    python3 bench/peer_decoder.py [--size 100M|1GB] [--threads 2] [--pairs 10]      (with transformers, peft and torch 2.11)
    python3 bench/peer_decoder.py --size 1GB --dtype bfloat16 --only first          (time to first token alone, as stored)

Prompt processing, cached greedy generation, a training step of a LoRA adapter (rank 8 on queries and values, AdamW), the same step
with gradient checkpointing, the time from the program's start to the logits after a short prompt, and the most memory held. Prints
one JSON document: milliseconds of either side, and the median of Rust / PyTorch over pairs of turns.
"""

import argparse, json, os, pathlib, random, resource, statistics, subprocess, sys, tempfile, time

ROOT = pathlib.Path(__file__).resolve().parents[1]
PROMPT, NEW, TRAIN = 512, 64, 256
SIZES = {
    "100M": dict(hidden_size=768, intermediate_size=2048, num_hidden_layers=14, num_attention_heads=12, num_key_value_heads=4),
    "1GB": dict(hidden_size=1024, intermediate_size=3072, num_hidden_layers=18, num_attention_heads=16, num_key_value_heads=16),
}


def make(folder, size, dtype):
    """A random model with a tokenizer that knows only bytes; of half the width of number, twice as deep, so that it is as large."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    torch.manual_seed(0)
    shape = dict(SIZES[size])
    shape["num_hidden_layers"] *= 1 if dtype == "float32" else 2
    config = LlamaConfig(**shape, vocab_size=16000, max_position_embeddings=2048, bos_token_id=None, eos_token_id=None)
    LlamaForCausalLM(config).to(getattr(torch, dtype)).save_pretrained(folder, max_shard_size="300MB")
    tokenizer = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}, merges=[]))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(folder)


def serve(folder, threads, dtype):
    """The PyTorch side, obeying the same commands as the Rust side."""
    begun = time.perf_counter()
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(threads)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype)).eval()
    ids = lambda n: torch.tensor([[i * 37 % 400 for i in range(n)]])
    answer = lambda: print((time.perf_counter() - begun) * 1e3, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, flush=True)
    with torch.no_grad():
        model(ids(16), logits_to_keep=1)
    print("first ", end="")
    answer()
    adapted = optimiser = None
    for line in sys.stdin:
        begun = time.perf_counter()
        if line.strip() == "prompt":
            with torch.no_grad():
                model(ids(PROMPT), logits_to_keep=1, use_cache=True)
        elif line.strip() == "generate":
            with torch.no_grad():
                model.generate(ids(16), attention_mask=torch.ones(1, 16, dtype=torch.long), do_sample=False, max_new_tokens=NEW,
                               min_new_tokens=NEW, pad_token_id=0)
        else:
            if adapted is None:
                from peft import LoraConfig, get_peft_model

                adapted = get_peft_model(model, LoraConfig(r=8, lora_alpha=16, target_modules=["q_proj", "v_proj"])).train()
                if line.strip() == "recompute":
                    adapted.enable_input_require_grads()
                    adapted.gradient_checkpointing_enable({"use_reentrant": False})
                chosen = [p for p in adapted.parameters() if p.requires_grad]
                optimiser = torch.optim.AdamW(chosen, lr=1e-3)
            loss = adapted(ids(TRAIN), labels=ids(TRAIN)).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(chosen, 5.0)
            optimiser.step()
            optimiser.zero_grad()
        answer()


class Side:
    def __init__(self, command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ)
        while not (line := self.process.stdout.readline()).startswith("first"):
            assert line, "the program ended"
        self.first, self.peak_start = map(float, line.split()[1:])
        self.peak = {}

    def turn(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        milliseconds, self.peak[command] = map(float, self.process.stdout.readline().split())
        return milliseconds

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", default="100M", choices=SIZES)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16", "float16"])
    parser.add_argument("--only", nargs="*", choices=["prompt", "generate", "train", "recompute", "first"])
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        return serve(options.serve, options.threads, options.dtype)
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT / 'bench')!r}); import peer_decoder; "
                        f"peer_decoder.make({folder!r}, {options.size!r}, {options.dtype!r})"], check=True)
        numbers = [str(n) for n in (PROMPT, NEW, TRAIN, options.threads)]
        commands = {
            "rust": [str(ROOT / "target/release/examples/peer"), folder, *numbers],
            "torch": [sys.executable, __file__, "--serve", folder, "--threads", str(options.threads), "--dtype", options.dtype],
        }
        bytes_ = sum(f.stat().st_size for f in pathlib.Path(folder).glob("*.safetensors"))
        result = {"size": options.size, "checkpoint_bytes": bytes_, "dtype": options.dtype, "threads": options.threads, "pairs": options.pairs}
        wanted = options.only or ["prompt", "generate", "train", "recompute", "first"]
        for name in [name for name in wanted if name != "first"]:
            sides = {side: Side(command) for side, command in commands.items()}  # fresh, so that memory is that command's
            [sides[s].turn(name) for s in sides]
            times = {side: [] for side in sides}
            for _ in range(options.pairs):
                for side in random.sample(list(sides), 2):
                    times[side].append(sides[side].turn(name))
            result[name] = {f"{side}_ms": round(statistics.median(t), 2) for side, t in times.items()}
            result[name]["ratio"] = round(statistics.median(r / t for r, t in zip(times["rust"], times["torch"])), 3)
            result[name]["peak_mib"] = {side: round(sides[side].peak[name]) for side in sides}
            [side.end() for side in sides.values()]
        if "first" not in wanted:
            return print(json.dumps(result, indent=2))
        first = {side: [] for side in commands}
        for _ in range(5):
            for side in random.sample(list(commands), 2):
                begun = time.perf_counter()
                started = Side(commands[side])
                first[side].append((time.perf_counter() - begun) * 1e3)
                started.end()
        result["first_token"] = {f"{side}_ms": round(statistics.median(t)) for side, t in first.items()}
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
