#!/usr/bin/env python3
"""nuscenes-devkit 1.2.0 beside us: fixtures, live comparisons, and speeds in interleaved pairs.

Needs Python 3.9–3.11 with nuscenes-devkit==1.2.0, motmetrics==1.4.0, pandas<2.3 and numpy<2 (PyPI). From the workspace root:

    cargo build --release -p apprentice-data --example nuscenes_sets
    python3 bench/nuscenes_devkit.py fixtures ../shared/data       # rewrites crates/data/tests/fixtures/nuscenes_devkit.json
    python3 bench/nuscenes_devkit.py compare ROOT SPLIT            # a data set that `apprentice data export` wrote
    python3 bench/nuscenes_devkit.py render ROOT                   # the devkit loads, renders and queries ROOT
    python3 bench/nuscenes_devkit.py motion UNIAD ROOT SPLIT       # UNIAD: a copy of github.com/OpenDriveLab/UniAD; needs PyTorch
    python3 bench/nuscenes_devkit.py speed ../shared/data          # medians of interleaved pairs

`compare`, `motion` and `speed` also need `target/release/apprentice`. Each prints one JSON document.
"""

import argparse, contextlib, io, json, math, os, pathlib, random, statistics, subprocess, sys, tempfile, time

EXAMPLE = "target/release/examples/nuscenes_sets"
APPRENTICE = "target/release/apprentice"
FIXTURE = "crates/data/tests/fixtures/nuscenes_devkit.json"


def quiet(call):
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return call()


def clean(value):
    """NaN is null, numpy numbers are numbers."""
    if isinstance(value, dict):
        return {str(k): clean(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [clean(v) for v in value]
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and math.isnan(value) else value


def open_set(root):
    from nuscenes import NuScenes

    version = sorted(p.name for p in pathlib.Path(root).glob("v1.0-*"))[0]
    return NuScenes(version=version, dataroot=str(root), verbose=False)


def detection(nusc, results, split):
    from nuscenes.eval.detection.config import config_factory
    from nuscenes.eval.detection.evaluate import DetectionEval

    with tempfile.TemporaryDirectory() as out:
        judge = DetectionEval(nusc, config_factory("detection_cvpr_2019"), str(results), split, out, verbose=False)
        metrics, _ = judge.evaluate()
    s = metrics.serialize()
    names = {"trans_err": "translation_m", "scale_err": "scale", "orient_err": "orientation_rad", "vel_err": "velocity_mps", "attr_err": "attribute"}
    errors = lambda e: {names[k]: v for k, v in e.items()}
    classes = [
        {"name": c, "ap": s["mean_dist_aps"][c], "ap_by_distance": list(s["label_aps"][c].values()), "errors": errors(s["label_tp_errors"][c])}
        for c in sorted(s["mean_dist_aps"])
    ]
    return clean({"mean_ap": s["mean_ap"], "nd_score": s["nd_score"], "errors": errors(s["tp_errors"]), "classes": classes})


def tracking(root, version, results, split):
    from nuscenes.eval.common.config import config_factory
    from nuscenes.eval.tracking.evaluate import TrackingEval

    with tempfile.TemporaryDirectory() as out:
        judge = TrackingEval(config_factory("tracking_nips_2019"), str(results), split, out, version, str(root), verbose=False)
        metrics, _ = judge.evaluate()
    s = metrics.serialize()
    figures = list(s["label_metrics"])
    classes = [{"name": c, **{f: s["label_metrics"][f][c] for f in figures}} for c in sorted(s["label_metrics"]["amota"])]
    return clean({"all": {f: s[f] for f in figures}, "classes": classes})


def prediction(nusc, results, with_maps):
    from nuscenes.eval.prediction.compute_metrics import compute_metrics
    from nuscenes.eval.prediction.config import PredictionConfig
    from nuscenes.eval.prediction import config as configs
    from nuscenes.prediction import PredictHelper

    path = pathlib.Path(configs.__file__).parent / "configs/predict_2020_icra.json"
    content = json.loads(path.read_text())
    if not with_maps:
        content["metrics"] = [m for m in content["metrics"] if m["name"] != "OffRoadRate"]
    helper = PredictHelper(nusc)
    found = compute_metrics(json.load(open(results)), helper, PredictionConfig.deserialize(content, helper))
    rows = {name: values["RowMean"] for name, values in found.items()}
    top = [
        {"k": k, "min_ade_m": rows["MinADEK"][i], "min_fde_m": rows["MinFDEK"][i], "miss_rate": rows["MissRateTopK_2"][i]}
        for i, k in enumerate([1, 5, 10])
    ]
    return clean({"top_k": top, "off_road_rate": rows["OffRoadRate"][0] if with_maps else None})


def devkit(root, results, split, with_maps):
    nusc = quiet(lambda: open_set(root))
    return {
        "detection": quiet(lambda: detection(nusc, results / "detection.json", split)),
        "tracking": quiet(lambda: tracking(root, nusc.version, results / "tracking.json", split)),
        "prediction": quiet(lambda: prediction(nusc, results / "prediction.json", with_maps)),
    }


def fixtures(shared):
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        subprocess.run([EXAMPLE, "mini-val", shared, folder], check=True)
        subprocess.run([EXAMPLE, "results", folder, "mini_val", folder], check=True)
        found = {"devkit": "1.2.0", "data": "mini_val", **devkit(root, root, "mini_val", False)}
    pathlib.Path(FIXTURE).parent.mkdir(parents=True, exist_ok=True)
    pathlib.Path(FIXTURE).write_text(json.dumps(found, indent=1) + "\n")
    return {"written": FIXTURE, "nd_score": found["detection"]["nd_score"], "amota": found["tracking"]["all"]["amota"]}


def apprentice(what, root, results, split):
    command = [APPRENTICE, "eval", what, "--data", f"nuscenes:{root}", "--results", str(results / f"{what}.json"), "--split", split, "--json"]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def differences(ours, theirs, at=""):
    """Every figure of the devkit against ours, by path."""
    if isinstance(theirs, dict):
        return [d for k, v in theirs.items() for d in differences(ours[k], v, f"{at}.{k}")]
    if isinstance(theirs, list):
        if theirs and isinstance(theirs[0], dict) and "name" in theirs[0]:
            by_name = {row["name"]: row for row in ours}
            return [d for row in theirs for d in differences(by_name[row["name"]], row, f"{at}.{row['name']}")]
        return [d for i, v in enumerate(theirs) for d in differences(ours[i], v, f"{at}[{i}]")]
    if isinstance(theirs, str):
        return [] if ours == theirs else [(math.inf, at)]
    if theirs is None or ours is None:
        return [] if ours is theirs else [(math.inf, at)]
    return [(abs(ours - theirs), at)]


def compare(root, split):
    root = pathlib.Path(root)
    with tempfile.TemporaryDirectory() as folder:
        results = pathlib.Path(folder)
        subprocess.run([EXAMPLE, "results", str(root), split, folder], check=True)
        theirs = devkit(root, results, split, True)
        out = {}
        for what in ("detection", "tracking", "prediction"):
            found = differences(apprentice(what, root, results, split), theirs[what])
            worst = max(found)
            out[what] = {"figures": len(found), "largest_difference": worst[0], "at": worst[1], "agree": worst[0] <= 1e-6}
    out["devkit"] = {"mean_ap": theirs["detection"]["mean_ap"], "amota": theirs["tracking"]["all"]["amota"], "off_road_rate": theirs["prediction"]["off_road_rate"]}
    return out


def motion(uniad, root, split):
    """UniAD's own matching and errors against ours. Its forecasts are in the lidar frame, ours in the world."""
    import importlib.util
    import numpy as np
    from nuscenes.eval.common.config import config_factory
    from nuscenes.eval.common.loaders import add_center_dist, filter_eval_boxes
    from nuscenes.eval.detection.algo import calc_tp
    from pyquaternion import Quaternion

    folder = pathlib.Path(uniad) / "projects/mmdet3d_plugin/datasets/eval_utils"
    sys.modules["uniad"] = importlib.util.module_from_spec(importlib.util.spec_from_loader("uniad", None, is_package=True))
    sys.modules["uniad"].__path__ = [str(folder)]
    theirs = importlib.import_module("uniad.eval_utils")
    root = pathlib.Path(root)
    nusc = quiet(lambda: open_set(root))
    with tempfile.TemporaryDirectory() as made:
        results = pathlib.Path(made)
        subprocess.run([EXAMPLE, "results", str(root), split, made], check=True)
        command = [APPRENTICE, "eval", "prediction", "--data", f"nuscenes:{root}", "--results", str(results / "motion-uniad.json")]
        ours = json.loads(subprocess.run([*command, "--protocol", "motion-uniad", "--split", split, "--json"], check=True, capture_output=True).stdout)
        document = json.loads((results / "motion-uniad.json").read_text())
        for token, boxes in document["results"].items():
            data = nusc.get("sample_data", nusc.get("sample", token)["data"]["LIDAR_TOP"])
            mounting, pose = nusc.get("calibrated_sensor", data["calibrated_sensor_token"]), nusc.get("ego_pose", data["ego_pose_token"])
            into = (Quaternion(pose["rotation"]) * Quaternion(mounting["rotation"])).inverse.rotation_matrix
            origin = Quaternion(pose["rotation"]).rotate(mounting["translation"]) + np.array(pose["translation"])
            for box in boxes:
                points = np.array(box.pop("futures"))
                height = np.full(points.shape[:2] + (1,), box["translation"][2])
                box["predict_traj"] = ((np.concatenate([points, height], axis=2) - origin) @ into.T)[..., :2].tolist()
                box["predict_traj_score"] = [0.0] * len(points)
        converted = results / "converted.json"
        converted.write_text(json.dumps(document))
        config = config_factory("detection_cvpr_2019")
        said, _ = quiet(lambda: theirs.load_prediction(str(converted), 500, theirs.DetectionMotionBox, category_convert_type="motion_category"))
        truth = quiet(lambda: theirs.load_gt(nusc, split, theirs.DetectionMotionBox_modified, category_convert_type="motion_category"))
    said, truth = (filter_eval_boxes(nusc, add_center_dist(nusc, boxes), config.class_range) for boxes in (said, truth))
    metric_utils = importlib.import_module("uniad.metric_utils")
    out = {}
    for row, name in zip(ours["groups"], ["car", "pedestrian"]):
        near, matched, missed, count = theirs.accumulate(truth, said, name, config.dist_fcn_callable, 2.0)
        _, hits, _, _ = theirs.accumulate_motion(truth, said, name, config.dist_fcn_callable, metric_utils.traj_fde, 2.0, 2.0)
        figures = {
            "agents": count, "matched": matched, "hits": hits, "false_positives": missed, "epa": (hits - 0.5 * missed) / (count + 1e-5),
            **{key: calc_tp(near, config.min_recall, metric) for key, metric in (("min_ade_m", "min_ade_err"), ("min_fde_m", "min_fde_err"), ("miss_rate", "miss_rate_err"))},
        }
        worst = max(differences(row, clean(figures)))
        out[row["name"]] = {"uniad": clean(figures), "largest_difference": worst[0], "at": worst[1]}
    return out


def render(root):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from nuscenes.can_bus.can_bus_api import NuScenesCanBus
    from nuscenes.map_expansion.map_api import NuScenesMap

    nusc = quiet(lambda: open_set(root))
    done = {"scenes": len(nusc.scene), "samples": len(nusc.sample), "annotations": len(nusc.sample_annotation)}
    sample = nusc.sample[len(nusc.sample) // 3]
    scene = nusc.get("scene", sample["scene_token"])
    location = nusc.get("log", scene["log_token"])["location"]
    with tempfile.TemporaryDirectory() as out:
        quiet(lambda: nusc.render_sample(sample["token"], out_path=f"{out}/sample.png", verbose=False))
        quiet(lambda: nusc.render_egoposes_on_map(location, [scene["token"]], out_path=f"{out}/poses.png"))
        done["rendered_bytes"] = sum(p.stat().st_size for p in pathlib.Path(out).iterdir())
    plt.close("all")
    boxes = [nusc.get_sample_data(token)[1] for channel, token in sample["data"].items() if channel.startswith("CAM")]
    done["boxes_in_cameras"] = sum(len(b) for b in boxes)
    pose = nusc.get("ego_pose", nusc.get("sample_data", sample["data"]["LIDAR_TOP"])["ego_pose_token"])
    x, y = pose["translation"][:2]
    town = NuScenesMap(dataroot=str(root), map_name=location)
    lane = town.get_closest_lane(x, y, radius=5)
    points = town.discretize_lanes([lane], 1.0)[lane]
    done["closest_lane_m"] = min(math.hypot(px - x, py - y) for px, py, _ in points)
    done["layers_on_ego"] = sorted(k for k, v in town.layers_on_point(x, y).items() if v)
    mask = town.get_map_mask((x, y, 60, 60), 0, ["drivable_area", "lane", "ped_crossing", "lane_divider"], (200, 200))
    done["map_mask_pixels"] = mask.sum(axis=(1, 2)).tolist()
    done["outgoing"] = len(town.get_outgoing_lane_ids(lane))
    can = NuScenesCanBus(dataroot=str(root))
    done["can_messages"] = {m: len(can.get_messages(scene["name"], m)) for m in ("pose", "steeranglefeedback", "vehicle_monitor", "ms_imu", "route", "meta")}
    return done


def larger(source, out, copies):
    """A data set `copies` times as large, with nine sweeps to a keyframe, as the original has. Tokens stay 32 digits."""
    folder = pathlib.Path(out) / "v1.0-mini"
    folder.mkdir(parents=True)
    (pathlib.Path(out) / "maps").mkdir()
    for mask in (pathlib.Path(source) / "maps").glob("*.png"):
        (pathlib.Path(out) / "maps" / mask.name).write_bytes(mask.read_bytes())
    renamed = {"instance", "log", "scene", "sample", "sample_data", "sample_annotation", "ego_pose"}
    for path in sorted((pathlib.Path(source) / "v1.0-mini").glob("*.json")):
        rows, table = json.loads(path.read_text()), path.stem
        named = {"token", "prev", "next", "sample_token", "instance_token", "scene_token", "log_token", "ego_pose_token", "first_sample_token", "last_sample_token", "first_annotation_token", "last_annotation_token"}
        rename = lambda token, c: token and f"{c:04x}{token[4:]}"
        grown = []
        for c in range(copies if table in renamed else 1):
            for row in rows:
                row = {k: rename(v, c) if table in renamed and k in named else v for k, v in row.items()}
                if table == "map":
                    row["log_tokens"] = [rename(t, k) for t in row["log_tokens"] for k in range(copies)]
                grown.append(row)
                for sweep in range(9 if table in ("sample_data", "ego_pose") else 0):
                    extra = dict(row, token=f"f{sweep:x}{row['token'][2:]}")
                    if table == "sample_data":
                        extra.update(is_key_frame=False, prev="", next="", ego_pose_token=f"f{sweep:x}{row['ego_pose_token'][2:]}")
                    grown.append(extra)
        (folder / path.name).write_text(json.dumps(grown, indent=0))


def loaded(root):
    """Seconds and megabytes of the devkit's load, in a process of its own, imports not counted."""
    code = f"""
import json, time
from nuscenes import NuScenes
def peak():
    return next(int(line.split()[1]) / 1024 for line in open('/proc/self/status') if line.startswith('VmHWM'))
before = peak()
begin = time.perf_counter()
NuScenes('v1.0-mini', {str(root)!r}, verbose=False)
print(json.dumps([time.perf_counter() - begin, peak() - before]))
"""
    return json.loads(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout)


def timed(command):
    """Seconds of a whole process of ours."""
    begin = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begin


def peak_mb(command):
    """Megabytes of a whole process of ours. A process inherits the peak of the one that starts it, so a small one does."""
    code = "import os, sys; pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ); print(os.wait4(pid, 0)[2].ru_maxrss / 1024)"
    found = subprocess.run([sys.executable, "-S", "-c", code, *command], check=True, capture_output=True).stdout
    return float(found.split()[-1])


def interval(ratios):
    """Median and its 95 % bootstrap interval."""
    rng = random.Random(0)
    medians = sorted(statistics.median(rng.choices(ratios, k=len(ratios))) for _ in range(2000))
    return {"median": statistics.median(ratios), "low": medians[50], "high": medians[1949]}


def speed(shared, pairs, copies):
    with tempfile.TemporaryDirectory() as folder:
        small, large = pathlib.Path(folder) / "small", pathlib.Path(folder) / "large"
        subprocess.run([EXAMPLE, "mini-val", shared, str(small)], check=True)
        subprocess.run([EXAMPLE, "results", str(small), "mini_val", str(small)], check=True)
        larger(small, large, copies)
        nusc = quiet(lambda: open_set(small))
        load, judge, mega = [], [], []
        for _ in range(pairs):
            theirs, memory = loaded(large)
            command = [APPRENTICE, "data", "info", f"nuscenes:{large}", "--json"]
            ours = timed(command)
            our_memory = peak_mb(command)
            load.append(theirs / ours)
            mega.append(memory / our_memory)
            begin = time.perf_counter()
            quiet(lambda: detection(nusc, small / "detection.json", "mini_val"))
            theirs_judge = time.perf_counter() - begin
            ours_judge = timed([APPRENTICE, "eval", "detection", "--data", f"nuscenes:{small}", "--results", str(small / "detection.json"), "--json"])
            judge.append(theirs_judge / ours_judge)
        size = sum(p.stat().st_size for p in (large / "v1.0-mini").iterdir()) / 1e6
    return {
        "pairs": pairs,
        "tables_mb": size,
        "load": {"ratio": interval(load), "devkit_s": theirs, "apprentice_s": ours},
        "load_memory": {"ratio": interval(mega), "devkit_mb": memory, "apprentice_mb": our_memory},
        "detection": {"ratio": interval(judge), "devkit_s": theirs_judge, "apprentice_s": ours_judge},
        "note": "ours: whole processes, loading the data set included; the devkit: without imports, detection without loading the data set",
    }


def main():
    parser = argparse.ArgumentParser()
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("fixtures").add_argument("shared")
    comparing = verbs.add_parser("compare")
    comparing.add_argument("root")
    comparing.add_argument("split")
    matching = verbs.add_parser("motion")
    matching.add_argument("uniad")
    matching.add_argument("root")
    matching.add_argument("split")
    verbs.add_parser("render").add_argument("root")
    timing = verbs.add_parser("speed")
    timing.add_argument("shared")
    timing.add_argument("--pairs", type=int, default=10)
    timing.add_argument("--copies", type=int, default=40)
    a = parser.parse_args()
    found = {
        "fixtures": lambda: fixtures(a.shared),
        "compare": lambda: compare(a.root, a.split),
        "motion": lambda: motion(a.uniad, a.root, a.split),
        "render": lambda: render(a.root),
        "speed": lambda: speed(a.shared, a.pairs, a.copies),
    }[a.verb]()
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
