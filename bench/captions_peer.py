"""Caption metrics: `apprentice bench captions` against pycocoevalcap 1.2, in turns.

    python bench/captions_peer.py target/release/apprentice PAIRS.jsonl [TURNS]

Needs Java and `pip install pycocoevalcap==1.2`. Java's start and the reading of METEOR's tables are not counted on either
side: METEOR's process is started and warm before the clock runs, and what Java takes to tokenise one word is subtracted twice.
"""

import json
import statistics
import subprocess
import sys
import time

from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.meteor.meteor import Meteor
from pycocoevalcap.rouge.rouge import Rouge
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

program, path = sys.argv[1:3]
turns = int(sys.argv[3]) if len(sys.argv) > 3 else 10
pairs = [json.loads(line) for line in open(path)]
references = {i: [{"caption": r} for r in p["references"]] for i, p in enumerate(pairs)}
candidates = {i: [{"caption": p["candidate"]}] for i, p in enumerate(pairs)}
meteor = Meteor()
meteor.compute_score({0: ["a"]}, {0: ["a"]})


def timed(call):
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def peer():
    tokenizer = PTBTokenizer()
    start = timed(lambda: tokenizer.tokenize({0: [{"caption": "a"}]}))

    def score():
        gts, res = tokenizer.tokenize(references), tokenizer.tokenize(candidates)
        Bleu(4).compute_score(gts, res, verbose=0)
        Rouge().compute_score(gts, res)
        Cider().compute_score(gts, res)
        meteor.compute_score(gts, res)

    return timed(score) - 2 * start


def ours():
    out = subprocess.run([program, "bench", "captions", "--pairs", path, "--json"], check=True, capture_output=True)
    return json.loads(out.stdout)[0]["value"] / 1e3


ratios = []
for turn in range(turns):
    a, b = ours(), peer()
    ratios.append(b / a)
    print(f"turn {turn}: {a:.3f} s against {b:.3f} s, ratio {b / a:.1f}", file=sys.stderr)
print(f"median ratio over {turns} turns, {len(pairs)} pairs: {statistics.median(ratios):.1f} [{min(ratios):.1f}, {max(ratios):.1f}]")
