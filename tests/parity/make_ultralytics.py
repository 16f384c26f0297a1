"""Writes fixtures/yolo-*: networks of Ultralytics with few channels, and what it finds with them.

Each case has the network's numbers before places are computed, and in `found.json` what its predictor
makes of a photograph, the whole way from the file: boxes in pixels, confidences, classes, and masks,
points or corners. `yolo-pickled` has a checkpoint as Ultralytics saves it.
"""

import copy
import json
import os
import sys
import tempfile
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")
os.environ.setdefault("YOLO_CONFIG_DIR", tempfile.mkdtemp())
os.environ.setdefault("YOLO_OFFLINE", "1")

import numpy as np
import torch
import ultralytics
from ultralytics import YOLO
from ultralytics.utils import YAML

import case
import recipe

torch.set_num_threads(1)
MODELS = Path(ultralytics.__file__).parent / "cfg" / "models"
PHOTOGRAPH = "china.png"
# The height and the width of the images of numbers.
SIZE = (32, 64)
# The frame of the photograph.
FRAME = 128
SEED = 26
# SiLU makes values smaller, and shortcuts make them larger: a case's gain keeps the outputs in this
# range.
RANGE = (3, 9)
# Where images look too much alike to a network with random weights, they have more contrast.
CONTRAST = {"yolo-12": 4}

# The case, the description, its depth and width, and what of it is changed.
CASES = [
    ("yolo-v5u", "v5/yolov5.yaml", [0.33, 0.0625], {}),
    ("yolo-v8", "v8/yolov8.yaml", [0.33, 0.0625], {}),
    ("yolo-v9t", "v9/yolov9t.yaml", None, {}),
    ("yolo-v9c", "v9/yolov9c.yaml", None, {}),
    ("yolo-v9e", "v9/yolov9e.yaml", None, {}),
    ("yolo-v10", "v10/yolov10s.yaml", [0.33, 0.0625], {}),
    ("yolo-11", "11/yolo11.yaml", [0.5, 0.0625], {}),
    ("yolo-12", "12/yolo12.yaml", [0.5, 0.25], {}),
    ("yolo-26", "26/yolo26.yaml", [0.5, 0.0625], {}),
    ("yolo-v8-seg", "v8/yolov8-seg.yaml", [0.33, 0.0625], {}),
    ("yolo-26-seg", "26/yolo26-seg.yaml", [0.5, 0.0625], {}),
    ("yolo-v8-pose", "v8/yolov8-pose.yaml", [0.33, 0.0625], {"kpt_shape": [5, 3]}),
    ("yolo-26-pose", "26/yolo26-pose.yaml", [0.5, 0.0625], {"kpt_shape": [5, 3]}),
    ("yolo-v8-obb", "v8/yolov8-obb.yaml", [0.33, 0.0625], {}),
    ("yolo-26-obb", "26/yolo26-obb.yaml", [0.5, 0.0625], {}),
    ("yolo-11-cls", "11/yolo11-cls.yaml", [0.5, 0.0625], {}),
]
# What a checkpoint of Ultralytics is like, in few bytes.
PICKLED = {
    "nc": 3,
    "reg_max": 4,
    "backbone": [
        [-1, 1, "Conv", [8, 3, 2]],
        [-1, 1, "Conv", [16, 3, 2]],
        [-1, 1, "C2f", [16, True]],
        [-1, 1, "Conv", [16, 3, 2]],
        [-1, 1, "SPPF", [16, 5]],
    ],
    "head": [
        [-1, 1, "nn.Upsample", [None, 2, "nearest"]],
        [[-1, 2], 1, "Concat", [1]],
        [[6, 4], 1, "Detect", ["nc"]],
    ],
}
TASKS = {"seg": "segment", "pose": "pose", "obb": "obb", "cls": "classify"}


def narrowed(value, by):
    """Widths of a description that has no factors, divided."""
    if isinstance(value, bool) or not isinstance(value, int):
        return [narrowed(part, by) for part in value] if isinstance(value, list) else value
    return max(8, value // by // 8 * 8) if value >= 16 else value


def description(path, factors, changes):
    d = YAML.load(MODELS / path)
    if factors is None:
        for line in d["backbone"] + d["head"][:-1]:
            # Repeats and kernels are less than 16.
            line[3] = narrowed(line[3], 8)
            if line[2] == "RepNCSPELAN4":
                line[3][3] = 1
    else:
        d["scales"] = {"t": [*factors, 1024]}
        d["scale"] = "t"
    head = d["head"][-1]
    if head[2] in ("Segment", "Segment26"):
        head[3][1:] = [8, 512]
    d["nc"] = 3
    d.update(changes)
    return d


def rows(head, predicted):
    """The numbers of a head before places are computed: [batch, places, numbers]."""
    parts = ["boxes", "scores", "mask_coefficient", "angle", "kpts"]
    return torch.cat([predicted[part] for part in parts if part in predicted], 1).permute(0, 2, 1)


def run(model, inputs):
    """The rows of a detector, or the logits of a classifier, and the first and the last map."""
    network = model.model
    values = {}

    def keep(name):
        def hook(module, given, got):
            values[name] = got

        return hook

    last = len(network) - 2
    hooks = [network[at].register_forward_hook(keep(f"layer:model.{at}")) for at in (2, last)]
    head = network[-1]
    angle = type(head).__name__ == "OBB"
    found = model(inputs["x"])
    for hook in hooks:
        hook.remove()
    if type(head).__name__ == "Classify":
        values["y"] = found[1]
        return values
    predicted = found[1]
    if "one2one" in predicted:
        predicted = predicted["one2one" if head.end2end else "one2many"]
    predicted = dict(predicted)
    if angle:
        # Older heads give the angle, newer ones its number.
        ratio = predicted["angle"] / torch.pi + 0.25
        predicted["angle"] = torch.log(ratio / (1 - ratio))
    values["y"] = rows(head, predicted)
    return values


def restore(network):
    """The recipe gives random values to what is fixed."""
    for module in network.modules():
        if type(module).__name__ == "DFL":
            places = torch.arange(module.c1, dtype=module.conv.weight.dtype)
            module.conv.weight.data[:] = places.view(1, module.c1, 1, 1)


def found(wrapper, network, image):
    """What the predictor finds in a file, from the pixels on."""
    restore(network)
    wrapper.model = network.float()
    options = {"imgsz": FRAME, "conf": 0.3, "iou": 0.6, "max_det": 40, "verbose": False, "retina_masks": True}
    (result,) = wrapper.predict(str(image), device="cpu", save=False, **options)
    height, width = result.orig_shape
    answer = {"image": image.name, "size": [height, width], **{key: options[key] for key in ("conf", "iou", "max_det", "imgsz")}}
    numbers = lambda tensor: np.asarray(tensor.cpu(), dtype="float64").round(4).tolist()
    if result.probs is not None:
        answer["probabilities"] = numbers(result.probs.data)
        return answer
    boxes = result.obb if result.obb is not None else result.boxes
    answer["confidences"], answer["classes"] = numbers(boxes.conf), [int(c) for c in boxes.cls]
    if result.obb is not None:
        answer["corners"] = numbers(boxes.xyxyxyxy)
    else:
        answer["boxes"] = numbers(boxes.xyxy)
    if result.masks is not None:
        # How many pixels are in each mask, in each eighth of the image's rows.
        masks = np.asarray(result.masks.data.cpu()) > 0.5
        answer["masks"] = [[int(part.sum()) for part in np.array_split(mask, 8)] for mask in masks]
    if result.keypoints is not None:
        answer["points"] = numbers(result.keypoints.xy)
        answer["seen"] = numbers(result.keypoints.conf)
    return answer


def gain(network, x):
    """The magnification of the weights with which the outputs are neither all alike nor huge."""
    least, most = 1.0, 3.0
    for _ in range(12):
        value = round((least + most) / 2, 3)
        model = copy.deepcopy(network)
        recipe.fill(model, SEED, value)
        with torch.inference_mode():
            values = run(model, {"x": torch.from_numpy(x)})
        y = values["y"].numpy()
        size = max(abs(y).max(), *(float(value.abs().max()) / 100 for value in values.values()))
        if size < RANGE[0] or case.apart(y, {}) < 2 * case.APART:
            least = value
        elif not size < RANGE[1]:
            most = value
        else:
            break
    return value


def main():
    image = case.FIXTURES / "preprocessing" / "images" / PHOTOGRAPH
    assert image.exists(), image
    for name, path, factors, changes in CASES:
        if len(sys.argv) > 1 and name not in sys.argv[1:]:
            continue
        task = TASKS.get(name.rsplit("-", 1)[-1], "detect")
        d = description(path, factors, changes)
        config = {key: d[key] for key in ("nc", "backbone", "head")}
        config.update({key: d[key] for key in ("end2end", "kpt_shape") if key in d})
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "model.yaml"
            YAML.save(file, d)
            wrapper = YOLO(file, task=task)
        network = wrapper.model
        if "end2end" in d or d["head"][-1][2] == "v10Detect":
            # As published checkpoints have it.
            network.model[-1].end2end = True
        config = json.loads(json.dumps(config))
        x = case.picture((2, 3, *SIZE), 7)
        x = (x - x.min()) / (x.max() - x.min())
        x = (x * CONTRAST.get(name, 1)).astype("float32")
        own = gain(network, x)
        print(f"{name}: gain {own}", flush=True)
        case.write(
            name, "yolo", config, copy.deepcopy(network), SEED, {"x": x}, run,
            ignore=("dfl.conv.weight", "num_batches_tracked"), gain=own,
        )
        recipe.fill(network, SEED, own)
        answer = found(wrapper, network, image)
        count = len(answer.get("confidences", [1]))
        print(f"{name}: {count} found in {image.name}", flush=True)
        assert count > 0
        (case.FIXTURES / name / "found.json").write_text(json.dumps(answer) + "\n")
    pickled(image)


def pickled(image):
    """A checkpoint as Ultralytics saves it, in half precision, and what is found with it."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "yolo.yaml"
        YAML.save(file, PICKLED)
        wrapper = YOLO(file, task="detect")
        network = wrapper.model
        x = case.picture((2, 3, *SIZE), 7)
        x = ((x - x.min()) / (x.max() - x.min())).astype("float32")
        recipe.fill(network, SEED, gain(network, x))
        restore(network)
        network.names = {0: "cat", 1: "dog", 2: "hen"}
        wrapper.save(Path(folder) / "yolo.pt")
        saved = torch.load(Path(folder) / "yolo.pt", weights_only=False)
    # Without what says where and when it was made.
    saved["model"].yaml["yaml_file"] = "yolo.yaml"
    saved["model"].args = {}
    kept = ("epoch", "best_fitness", "model", "ema", "updates", "optimizer")
    target = case.FIXTURES / "checkpoints-yolo"
    target.mkdir(exist_ok=True)
    torch.save({key: saved.get(key) for key in kept}, target / "yolo.pt")
    answer = found(wrapper, network.half(), image)
    (target / "found.json").write_text(json.dumps(answer) + "\n")
    print(f"pickled: {len(answer['boxes'])} found", flush=True)


if __name__ == "__main__":
    main()
