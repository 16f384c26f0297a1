"""Times the same networks, weights and inputs in PyTorch, ONNX Runtime and modelzoo.

`cargo xtask bench models` runs this. The engines take turns, so that a machine whose speed drifts
drifts for all of them; each turn begins with a run that does not count. Times are medians.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime
import torch
import torchvision
import transformers
from safetensors.numpy import load_file, save_file

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "parity"))
import recipe  # noqa: E402

SEED = 1
CLASSES = 1000
TOKENS = 128
VOCABULARY = 30522
SPECIAL = 5
# How far apart the engines' outputs may be, relative to the largest of them.
TOLERANCE = 1e-3
# Pause between turns, in seconds: the threads of the last engine spin for a while.
PAUSE = 0.25
# The approximate longest time of a turn, in seconds, and the most runs of a turn.
TURN = 1.0
MOST_RUNS = 20


class Clip(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.vision_model = model.vision_model
        self.visual_projection = model.visual_projection

    def forward(self, x):
        return self.visual_projection(self.vision_model(pixel_values=x).pooler_output)


class Vit(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model(pixel_values=x).logits


class MiniLm(torch.nn.Module):
    """With the mean over the tokens, like sentence-transformers for texts without padding."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, ids):
        mask = torch.ones_like(ids)
        return self.model(input_ids=ids, attention_mask=mask).last_hidden_state.mean(1)


def published(kind, config, **options):
    """A model of transformers with tensors by the recipe, from their names in checkpoints.

    transformers renames them while it loads, so they are given to it in a file.
    """
    with tempfile.TemporaryDirectory() as folder:
        kind(config, **options).save_pretrained(folder)
        path = f"{folder}/model.safetensors"
        state = {name: recipe.tensor(name, tuple(old.shape), SEED) for name, old in load_file(path).items()}
        save_file(state, path, {"format": "pt"})
        return kind.from_pretrained(folder, **options).eval()


def resnet50():
    model = torchvision.models.resnet50(num_classes=CLASSES)
    recipe.fill(model, SEED)
    return model


def vit_b16():
    return Vit(published(transformers.ViTForImageClassification, transformers.ViTConfig(num_labels=CLASSES)))


def clip_vit_b32():
    # A minimal text tower, which is not measured.
    texts = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "vocab_size": 64,
        "num_attention_heads": 1,
        "max_position_embeddings": 8,
        "eos_token_id": 63,
    }
    return Clip(published(transformers.CLIPModel, transformers.CLIPConfig(text_config=texts)))


def minilm_l6():
    sizes = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536}
    config = transformers.BertConfig(vocab_size=VOCABULARY, **sizes)
    return MiniLm(published(transformers.BertModel, config, add_pooling_layer=False))


def images(batch):
    return torch.from_numpy(recipe.tensor("x", (batch, 3, 224, 224), SEED))


def texts(batch):
    at = np.arange(batch)[:, None] * TOKENS + np.arange(TOKENS - 2)[None]
    ids = SPECIAL + at * 7919 % (VOCABULARY - SPECIAL)
    return torch.from_numpy(np.pad(ids, ((0, 0), (1, 1)), constant_values=((0, 0), (2, 3))).astype(np.int64))


# Name, module, inputs, the batches that are measured.
MODELS = [
    ("resnet50", resnet50, images, [1, 8]),
    ("clip_vit_b32", clip_vit_b32, images, [1, 8]),
    ("vit_b16", vit_b16, images, [1, 8]),
    ("minilm_l6", minilm_l6, texts, [1, 8, 32]),
]


class PyTorch:
    name = "PyTorch"

    def __init__(self, module, threads, clock):
        self.module, self.threads, self.clock = module, threads, clock

    def turn(self, x, runs):
        torch.set_num_threads(self.threads)
        with torch.inference_mode():
            return timed(lambda: self.module(x).numpy(), runs, self.clock)


class OnnxRuntime:
    name = "ONNX Runtime"

    def __init__(self, path, threads, clock):
        self.clock = clock
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def turn(self, x, runs):
        feed = {"x": x.numpy()}
        return timed(lambda: self.session.run(None, feed)[0], runs, self.clock)


class Ours:
    name = "modelzoo"

    def __init__(self, program, model, threads, clock):
        self.model, self.cpu = model, clock is time.process_time
        command = [program, "--serve", "--threads", str(threads)]
        self.child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, batch, runs):
        self.child.stdin.write(f"{self.model} {batch} {runs}\n")
        self.child.stdin.flush()
        return json.loads(self.child.stdout.readline())

    def clock(self):
        """The CPU time of the child process, in seconds (Linux only)."""
        return time.clock_gettime((~self.child.pid << 3) | 2)

    def turn(self, x, runs):
        if not self.cpu:
            answer = self.ask(len(x), runs)
            times = answer["milliseconds"]
        else:
            # Without runs, this is the rest: the inputs and the warm-up run.
            self.ask(len(x), 0)
            begin = self.clock()
            self.ask(len(x), 0)
            between = self.clock()
            answer = self.ask(len(x), runs)
            rest = between - begin
            times = [(self.clock() - between - rest) / runs * 1e3]
        return times, np.array(answer["output"], dtype=np.float32)

    def close(self):
        self.child.stdin.close()
        self.child.wait()


def timed(run, runs, clock):
    output = run()
    times = []
    for _ in range(runs):
        begin = clock()
        run()
        times.append((clock() - begin) * 1e3)
    return times, output[0]


def export(name, module, x, folder):
    path = folder / f"{name}.onnx"
    with torch.inference_mode():
        torch.onnx.export(
            module, (x,), str(path), input_names=["x"], dynamic_axes={"x": {0: "batch"}}, opset_version=17, dynamo=False
        )
    return str(path)


def measure(engines, x, rounds):
    first = engines[0].turn(x, 1)[0][0] / 1e3
    runs = max(1, min(MOST_RUNS, int(TURN / first)))
    times = {engine.name: [] for engine in engines}
    outputs = {}
    for _ in range(rounds):
        for engine in engines:
            time.sleep(PAUSE)
            measured, outputs[engine.name] = engine.turn(x, runs)
            times[engine.name] += measured
    reference = outputs[engines[0].name]
    for name, output in outputs.items():
        error = abs(output - reference[: len(output)]).max() / abs(reference).max()
        if not error <= TOLERANCE:
            sys.exit(f"{name} computes something else: outputs are apart by {error:.1e}")
    return {name: statistics.median(values) for name, values in times.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", required=True, help="the benchmark of modelzoo's runtime")
    parser.add_argument("--folder", type=Path, required=True, help="where exported networks go")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall", help="cpu: for a machine that others use")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("models", nargs="*", help="all by default")
    arguments = parser.parse_args()
    os.makedirs(arguments.folder, exist_ok=True)
    clock = time.perf_counter if arguments.clock == "wall" else time.process_time
    what = "Times" if arguments.clock == "wall" else "Processor times of all threads"
    print(f"{what} in milliseconds; in brackets relative to PyTorch.\n")
    print("| model | batch | threads | PyTorch | ONNX Runtime | modelzoo |")
    print("|---|---|---|---|---|---|", flush=True)
    for name, build, inputs, batches in MODELS:
        if arguments.models and name not in arguments.models:
            continue
        module = build().eval()
        path = export(name, module, inputs(2), arguments.folder)
        for threads in map(int, arguments.threads.split(",")):
            ours = Ours(arguments.program, name, threads, clock)
            engines = [PyTorch(module, threads, clock), OnnxRuntime(path, threads, clock), ours]
            for batch in batches:
                times = measure(engines, inputs(batch), arguments.rounds)
                reference = times["PyTorch"]
                cells = [f"{reference:.1f}"]
                for engine in engines[1:]:
                    cells.append(f"{times[engine.name]:.1f} ({times[engine.name] / reference:.2f})")
                print(f"| {name} | {batch} | {threads} | {' | '.join(cells)} |", flush=True)
            ours.close()


if __name__ == "__main__":
    main()
