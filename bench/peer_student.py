#!/usr/bin/env python3
"""The nano student in PyTorch eager, with our weights: the peer of `apprentice bench student|onnx`, which starts it.

    peer_student.py FOLDER THREADS

FOLDER holds `student.safetensors` and `fixture.safetensors`. The first line of the answer is the largest difference of any output
to the fixture's, relative to the largest value in it; then every word on standard input (`train`, `infer`) is answered with
the milliseconds of one such piece of work, after a run-up of the same work untimed. Inference computes what the plan needs and
no other head. A training step is forward, the mean square of every output as the loss, backward and AdamW with clipping.
"""

import json, pathlib, struct, sys, time

import torch
import torch.nn.functional as F

# As in `crates/trainer/src/bench.rs`.
RUN_UP_S = 0.05


def load(path):
    """Read a safetensors file (the package need not be installed)."""
    raw = pathlib.Path(path).read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + length])
    kinds = {"F32": torch.float32, "I64": torch.int64, "U8": torch.uint8}
    meta = header.pop("__metadata__", {})
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        flat = torch.frombuffer(bytearray(raw[8 + length + begin : 8 + length + end]), dtype=kinds[entry["dtype"]])
        tensors[name] = flat.reshape(entry["shape"])
    return tensors, meta


class Student:
    """Functional: every parameter is looked up by its checkpoint key."""

    def __init__(self, weights, config, fixture):
        buffers = ("running_mean", "running_var")
        self.w = {k: v.clone().requires_grad_(not k.endswith(buffers)) for k, v in weights.items()}
        self.c = config
        self.index = fixture["lift.index"]
        self.tap_weight = fixture["lift.weight"]
        counts = torch.bincount(fixture["lift.cell"], minlength=self.cells()[0] * self.cells()[1])
        self.offsets = torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)])
        self.train = False
        bev = config["bev"]
        rows, columns = self.cells()
        self.bev_positions = self.grid(rows // 2, columns // 2)
        self.references = self.grid(*config["agent_grid"])
        ranges = torch.tensor([bev["x_range_m"], bev["y_range_m"]])
        self.center, self.half = ranges.mean(1), (ranges[:, 1] - ranges[:, 0]) / 2

    def parameters(self):
        return [v for v in self.w.values() if v.requires_grad]

    def cells(self):
        bev = self.c["bev"]
        return [round((r[1] - r[0]) / bev["cell_m"]) for r in (bev["x_range_m"], bev["y_range_m"])]

    def grid(self, rows, columns):
        (x0, x1), (y0, y1) = self.c["bev"]["x_range_m"], self.c["bev"]["y_range_m"]
        x = x0 + (torch.arange(rows) + 0.5) * (x1 - x0) / rows
        y = y0 + (torch.arange(columns) + 0.5) * (y1 - y0) / columns
        return torch.stack(torch.meshgrid(x, y, indexing="ij"), -1).reshape(-1, 2).float()

    def linear(self, k, x):
        return F.linear(x, self.w[k + ".weight"], self.w.get(k + ".bias"))

    def mlp(self, k, x, activation=F.relu):
        i = 0
        while f"{k}.{i}.weight" in self.w:
            x = self.linear(f"{k}.{i}", activation(x) if i else x)
            i += 1
        return x

    def conv(self, k, x, stride=1):
        weight = self.w[k + ".weight"]
        return F.conv2d(x, weight, self.w.get(k + ".bias"), stride, weight.shape[-1] // 2)

    def bn(self, k, x):
        w = self.w
        return F.batch_norm(
            x, w[k + ".running_mean"], w[k + ".running_var"], w[k + ".weight"], w[k + ".bias"], self.train, 0.05, 1e-5
        )

    def conv_bn(self, k, x, stride=1):
        return self.bn(k + ".bn", self.conv(k + ".conv", x, stride))

    def block(self, k, x, stride=1):
        branch = self.conv_bn(k + ".conv2", self.conv_bn(k + ".conv1", x, stride).relu_())
        if k + ".shortcut.conv.weight" in self.w:
            x = self.conv_bn(k + ".shortcut", F.avg_pool2d(x, 2) if stride == 2 else x)
        return (branch + x).relu_()

    def norm(self, k, x):
        return F.layer_norm(x, x.shape[-1:], self.w[k + ".weight"], self.w[k + ".bias"], 1e-5)

    def attention(self, k, q, keys, values):
        heads = self.c["heads"]
        split = lambda t: t.reshape(t.shape[0], t.shape[1], heads, -1).transpose(1, 2)
        q, keys, values = (
            split(self.linear(f"{k}.{n}_proj", t)) for n, t in (("q", q), ("k", keys), ("v", values))
        )
        mixed = F.scaled_dot_product_attention(q, keys, values).transpose(1, 2)
        return self.linear(k + ".o_proj", mixed.reshape(mixed.shape[0], mixed.shape[1], -1))

    def decoder(self, k, x, place, keys, memory):
        at = lambda t: t if place is None else t + place
        if k + ".norm1.weight" in self.w:
            n = self.norm(k + ".norm1", x)
            x = x + self.attention(k + ".self_attn", at(n), at(n), n)
        x = x + self.attention(k + ".cross_attn", at(self.norm(k + ".norm2", x)), keys, memory)
        return x + self.mlp(k + ".mlp", self.norm(k + ".norm3", x), F.gelu)

    def backbone(self, x):
        c, k = self.c["backbone"], "encoder.backbone"
        x = self.conv_bn(k + ".stem", x, c["stem_stride"]).relu_()
        levels = []
        for i, stage in enumerate(c["stages"]):
            for j in range(stage["blocks"]):
                same = j > 0 or (i == 0 and c["stem_stride"] == 4)
                x = self.block(f"{k}.stages.{i}.{j}", x, 1 if same else 2)
            levels.append(x)
        top = x
        for i in range(len(levels) - 2, 0, -1):
            up = F.interpolate(self.conv_bn(f"{k}.lateral.{i + 1}", top), size=levels[i].shape[2:], mode="nearest")
            top = (levels[i] + up).relu_()
        return levels[0], top

    def lift(self, features, cameras):
        p = self.conv("encoder.lift.project", features)
        heights = len(self.c["bev"]["heights_m"])
        images, channels, h, w = p.shape
        batch, width = images // cameras, channels // heights
        table = p.permute(0, 2, 3, 1).reshape(batch, cameras * h * w * heights, width)
        table = table.transpose(0, 1).reshape(-1, batch * width)
        lifted = F.embedding_bag(
            self.index, table, self.offsets, mode="sum", per_sample_weights=self.tap_weight, include_last_offset=True
        )
        rows, columns = self.cells()
        lifted = lifted.reshape(rows * columns, batch, width).transpose(0, 1).contiguous()
        return lifted.reshape(batch, rows, columns, width).permute(0, 3, 1, 2)

    def bev(self, x):
        k = "encoder.bev"
        fine = (self.bn(k + ".entry", x) + self.w[k + ".place"]).relu_()
        for i in range(self.c["bev"]["blocks"]):
            fine = self.block(f"{k}.fine.{i}", fine)
        coarse = self.conv_bn(k + ".down", fine, 2).relu_()
        for i in range(self.c["bev"]["coarse_blocks"]):
            coarse = self.block(f"{k}.coarse.{i}", coarse)
        up = F.interpolate(self.conv_bn(k + ".up", coarse), size=fine.shape[2:], mode="nearest")
        return (fine + up).relu_(), coarse

    def planner(self, latent, speed, future=None, noise=None):
        k, c = "planner", self.c["planner"]
        batch, width = latent.shape
        s = self.norm(k + ".latent_norm", latent)
        split = lambda raw: (raw.chunk(2, -1)[0], raw.chunk(2, -1)[1].clamp(-5, 5))
        mean, _ = split(self.mlp(k + ".present", s))
        z, extra = mean, {}
        if future is not None:
            y = future.reshape(batch, -1) / 10.0
            q_mean, q_log_std = split(self.mlp(k + ".future", torch.cat([s, y], 1)))
            z, extra = q_mean + q_log_std.exp() * noise, {"posterior_mean": q_mean}
        layers = c["gru_layers"]
        n = width // layers
        h = list(s.reshape(batch, layers, n).transpose(0, 1))
        first = self.linear(k + ".gru.0.input", z)
        states = []
        for _ in range(6):
            for i in range(layers):
                gates = first if i == 0 else self.linear(f"{k}.gru.{i}.input", h[i - 1])
                hidden = self.linear(f"{k}.gru.{i}.hidden", h[i])
                both = (gates[:, : 2 * n] + hidden[:, : 2 * n]).sigmoid()
                new = (gates[:, 2 * n :] + both[:, :n] * hidden[:, 2 * n :]).tanh()
                h[i] = new + both[:, n:] * (h[i] - new)
            states.append(h[-1])
        states = self.mlp(k + ".state", torch.stack(states, 1))
        context = s.unsqueeze(1).expand(batch, 6, width)
        offsets = self.mlp(k + ".offsets", torch.cat([context, states], 2)) * 2.0
        offsets = offsets.reshape(batch, 6, 6, 2).transpose(1, 2)
        if c["relative_to_speed"]:
            ahead = (speed * 0.5).reshape(batch, 1, 1, 1)
            offsets = offsets + torch.cat([ahead, torch.zeros_like(ahead)], 3)
        return {"latent": latent, "trajectories": offsets.cumsum(2), "present_mean": mean, **extra}

    def forward(self, images, speed, command, future=None, noise=None, plan_only=False):
        w, c, k = self.w, self.c, "encoder"
        batch, cameras = images.shape[:2]
        stride4, stride8 = self.backbone(images.flatten(0, 1))
        fine, coarse = self.bev(self.lift(stride8, cameras))
        code = lambda points: self.mlp(k + ".position.mlp", points / 20.0)
        bev = coarse.flatten(2, 3).transpose(1, 2).contiguous()
        bev_keys = bev + code(self.bev_positions)

        rows, columns = c["agent_grid"]
        pooled = F.adaptive_avg_pool2d(coarse, (rows, columns)).flatten(2, 3).transpose(1, 2)
        agents = self.linear(k + ".agents.start", pooled) + w[k + ".agents.query"]
        for i in range(c["agent_layers"]):
            agents = self.decoder(f"{k}.agents.layers.{i}", agents, code(self.references), bev_keys, bev)
        raw = self.mlp(k + ".agents.box", agents)
        boxes = torch.cat([raw[..., :2] * 4 + self.references, raw[..., 2:8], raw[..., 8:] * 4], 2)

        instances, points = c["map_instances"], c["map_points"]
        reference = w[k + ".map.reference"]
        query = (w[k + ".map.instance"] + w[k + ".map.point"]).flatten(0, 1)
        tokens = query.unsqueeze(0).expand(batch, -1, -1)
        for i in range(c["map_layers"]):
            place = code(reference * self.half + self.center)
            tokens = self.decoder(f"{k}.map.layers.{i}", tokens, place, bev_keys, bev)
        lines = (self.mlp(k + ".map.points", tokens) + reference) * self.half + self.center
        lines = lines.reshape(batch, instances, points, 2)
        elements = tokens.reshape(batch, instances, points, -1).mean(2)
        map_tokens = self.mlp(k + ".map.pool", elements)

        first = lambda t: t.unflatten(0, (batch, cameras))[:, 0]
        front = self.linear(k + ".front", first(stride8).flatten(2, 3).transpose(1, 2))
        x = self.conv_bn(k + ".light.conv", first(stride4)).relu_()
        weight = self.conv(k + ".light.score", x).flatten(2, 3).softmax(-1)
        light = self.mlp(k + ".light.token", (weight @ x.flatten(2, 3).transpose(1, 2)).flatten(1, 2))

        kind = w[k + ".kind"]
        keys = torch.cat(
            [
                bev_keys + kind[0],
                agents + code(boxes.detach()[..., :2]) + kind[1],
                map_tokens + code(lines.detach().mean(2)) + kind[2],
                front + w[k + ".front_place"] + kind[3],
                light.unsqueeze(1) + kind[4],
            ],
            1,
        )
        memory = torch.cat([bev, agents, map_tokens, front, light.unsqueeze(1)], 1)
        one_hot = F.one_hot(command, 6).float()
        state = self.mlp(k + ".ego.state", torch.cat([(speed / 10).unsqueeze(1), one_hot], 1))
        state = self.norm(k + ".ego.state_norm", state)
        ego = state.unsqueeze(1) + w[k + ".ego.query"]
        for i in range(c["ego_layers"]):
            ego = self.decoder(f"{k}.ego.layers.{i}", ego, None, keys, memory)
        ego = self.norm(k + ".ego.norm", ego)
        flat = self.linear(k + ".ego.flat", self.conv_bn(k + ".ego.squeeze", coarse).relu_().flatten(1, 3)).relu()
        latent = self.mlp(k + ".ego.latent", torch.cat([ego.squeeze(1), state, light, flat], 1))
        plan = self.planner(latent, speed, future, noise)
        if plan_only:
            return plan
        motion = self.mlp(k + ".agents.motion", agents)
        modes = c["motion_modes"]
        return {
            "bev": self.conv(k + ".bev_head", fine),
            "image": self.conv(k + ".image_head", stride8).unflatten(0, (batch, cameras)),
            "light_logits": self.mlp(k + ".light.class", light),
            "agent_logits": self.mlp(k + ".agents.class", agents),
            "boxes": boxes,
            "motion": (motion[..., : modes * 12] * 2).reshape(batch, -1, modes, 6, 2).cumsum(3),
            "motion_logits": motion[..., modes * 12 :],
            "map_logits": self.mlp(k + ".map.class", elements),
            "map_points": lines,
            **plan,
        }


def main():
    folder, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    weights, meta = load(folder + "/student.safetensors")
    fixture, _ = load(folder + "/fixture.safetensors")
    student = Student(weights, json.loads(meta["apprentice.contract"])["model"], fixture)
    given = [fixture["input." + n] for n in ("images", "speed", "command")]
    # Images lie channels-last in memory on our side; the same layout here.
    given[0] = given[0].permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)
    posterior = [fixture["input." + n] for n in ("future", "noise")]
    one = [t[:1] for t in given]

    worst = 0.0
    with torch.no_grad():
        for name, value in student.forward(*given).items():
            wanted = fixture["output." + name]
            worst = max(worst, ((value - wanted).abs().max() / wanted.abs().max().clamp_min(1.0)).item())
    print(worst, flush=True)

    optimizer = torch.optim.AdamW(student.parameters(), lr=1e-3, weight_decay=0.01)

    def train():
        student.train = True
        outputs = student.forward(*given, *posterior)
        loss = torch.stack([t.square().mean() for t in outputs.values()]).sum()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(student.parameters(), 5.0)
        optimizer.step()
        loss.item()

    def infer():
        student.train = False
        with torch.no_grad():
            student.forward(*one, plan_only=True)["trajectories"][0, 0, 0, 0].item()

    work = {"train": train, "infer": infer}
    for line in sys.stdin:
        once = work[line.strip()]
        turn = time.perf_counter()
        while time.perf_counter() - turn < RUN_UP_S:
            once()
        start = time.perf_counter()
        once()
        print((time.perf_counter() - start) * 1e3, flush=True)


main()
