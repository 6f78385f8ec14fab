#!/usr/bin/env python3
"""Runs graft on a golden case and compares it with what transformers and PEFT said.

  check.py --graft build/bin/graft --case tests/golden/data/cases/NAME --backend ref

Prints the worst deviation of everything compared; exit status 1 where one is above its tolerance.
Needs nothing but Python.
"""

import argparse
import array
import io
import json
import math
import pathlib
import pickle
import struct
import subprocess
import sys
import tempfile
import zipfile


def read_jsonl(text):
    return [json.loads(line) for line in text.splitlines() if line.strip()]


def read_safetensors(path):
    """Name -> (shape, list of floats)."""
    data = pathlib.Path(path).read_bytes()
    (size,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8:8 + size])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        raw = data[8 + size + begin:8 + size + end]
        if entry["dtype"] == "F32":
            values = array.array("f", raw)
        elif entry["dtype"] == "F16":
            values = [v for (v,) in struct.iter_unpack("<e", raw)]
        elif entry["dtype"] == "BF16":
            values = array.array("f", b"".join(b"\0\0" + raw[i:i + 2] for i in range(0, len(raw), 2)))
        else:
            raise SystemExit(f"check: tensor '{name}' in '{path}' is {entry['dtype']}; F32, F16 or BF16 is expected")
        tensors[name] = (entry["shape"], list(values))
    return tensors


class _Unpickler(pickle.Unpickler):
    """Of a dict of tensors as torch.save writes it: shapes and floats instead of tensors."""

    def __init__(self, archive, root):
        super().__init__(io.BytesIO(archive.read(f"{root}/data.pkl")))
        self.archive, self.root = archive, root

    def find_class(self, module, name):
        known = {"collections.OrderedDict": dict, "torch.FloatStorage": "f",
                 "torch._utils._rebuild_tensor_v2": lambda storage, offset, shape, *rest: (list(shape), list(storage))}
        return known[f"{module}.{name}"]

    def persistent_load(self, saved):
        return array.array(saved[1], self.archive.read(f"{self.root}/data/{saved[2]}"))


def read_torch(path):
    """As read_safetensors; of F32 tensors that lie in order, each in a storage of its own."""
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        return _Unpickler(archive, archive.namelist()[0].split("/")[0]).load()


# Names of adapters' files: PEFT's, and the adapters library's with what it writes unless it is told otherwise.
SAFE = ("adapter_model.safetensors", "adapter.safetensors", "model_adapter_fusion.safetensors")
PICKLED = ("pytorch_adapter.bin", "pytorch_model_adapter_fusion.bin")
CONFIGS = ("adapter_config.json", "adapter_fusion_config.json")


def first_of(folder, names):
    return next((folder / name for name in names if (folder / name).exists()), None)


def read_adapter(folder):
    path = first_of(folder, SAFE)
    return read_safetensors(path) if path else read_torch(first_of(folder, PICKLED))


class Report:
    """Collects the worst deviation per subject and says which are too large."""

    def __init__(self):
        self.worst = {}
        self.failures = []

    def within(self, subject, deviation, tolerance, where):
        if not deviation <= tolerance:  # a NaN fails
            self.failures.append(f"{subject}: {where} differs by {deviation:.3g}, tolerance {tolerance:g}")
        if subject not in self.worst or not deviation <= self.worst[subject][0]:
            self.worst[subject] = (deviation, tolerance, where)

    def require(self, condition, message):
        if not condition:
            self.failures.append(message)
        return bool(condition)

    def print(self):
        for subject, (deviation, tolerance, where) in self.worst.items():
            print(f"{subject:28} worst {deviation:.2e}  tolerance {tolerance:g}  ({where})")
        for failure in self.failures[:20]:
            print(f"FAILED  {failure}")
        if len(self.failures) > 20:
            print(f"FAILED  and {len(self.failures) - 20} more")
        return 1 if self.failures else 0


def run(command):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=900)
    if done.returncode != 0:
        print(" ".join(str(c) for c in command))
        print(done.stderr[-4000:])
        raise SystemExit(f"check: graft ended with status {done.returncode}")
    return done.stdout


def number(value):
    return float(value) if isinstance(value, (int, float)) else math.nan


def compare_scores(report, subject, actual, expected, tolerance):
    if not report.require(len(actual) == len(expected),
                          f"{subject}: {len(actual)} lines, {len(expected)} are expected"):
        return
    for i, (got, want) in enumerate(zip(actual, expected)):
        line = f"line {i + 1}"
        report.require(got["input_ids"] == want["input_ids"], f"{subject}: {line} has other input_ids")
        if not report.require(len(got["logprobs"]) == len(want["logprobs"]) and got["logprobs"][0] is None,
                              f"{subject}: {line} has {len(got['logprobs'])} logprobs, the first "
                              f"{got['logprobs'][:1]}; {len(want['logprobs'])}, the first null, are expected"):
            continue
        for t in range(1, len(want["logprobs"])):
            deviation = abs(number(got["logprobs"][t]) - want["logprobs"][t])
            report.within(subject, deviation, tolerance, f"{line}, token {t}")
        if want["loss"] is None:
            report.require(got["loss"] is None, f"{subject}: {line} has loss {got['loss']}; nothing is predicted "
                                                "in a line of one token, so null is expected")
        else:
            report.within(subject, abs(number(got["loss"]) - want["loss"]), tolerance, f"{line}, loss")
        if "next_top" in got and "next_top" in want:
            for rank, ((id_a, p_a), (id_b, p_b)) in enumerate(zip(got["next_top"], want["next_top"])):
                report.within(subject, abs(number(p_a) - p_b), tolerance, f"{line}, next_top {rank}")
                ties = [p for token, p in want["next_top"] if token == id_a]
                report.require(id_a == id_b or (ties and abs(ties[0] - p_b) < 2 * tolerance),
                               f"{subject}: {line} has token {id_a} at place {rank} of next_top, {id_b} is expected")
            report.require(len(got["next_top"]) == len(want["next_top"]),
                           f"{subject}: {line} has {len(got['next_top'])} entries in next_top")


def compare_metrics(report, actual, expected, tolerance, subject="metrics"):
    for kind, fields in (("loss", ("loss", "grad_norm", "lr", "tokens")), ("eval_loss", ("eval_loss",))):
        want_lines = [m for m in expected if kind in m]
        got_lines = {m["step"]: m for m in actual if kind in m and "step" in m}
        if kind == "loss":
            report.require(sorted(got_lines) == [m["step"] for m in want_lines],
                           f"{subject}: steps {sorted(got_lines)}, {len(want_lines)} steps from 1 are expected")
        for want in want_lines:
            got = got_lines.get(want["step"])
            if not report.require(got, f"{subject}: no line with {kind} for step {want['step']}"):
                continue
            for field in fields:
                scale = abs(want[field]) or 1e-12
                report.within(f"{subject}: {field}", abs(number(got.get(field)) - want[field]) / scale,
                              0 if field == "tokens" else tolerance, f"step {want['step']}")


def compare_weights(report, actual, expected, tolerance, subject="weights"):
    """By the norm of the difference per tensor. Copies of base weights may be there or not."""
    def counts(name):
        of_a_module = name.startswith("base_model.model.")  # PEFT repeats RandLoRA's shared pair at each
        return not (name.endswith(".base_layer.weight") or of_a_module and name.endswith((".randlora_A", ".randlora_B")))

    wanted, found = set(filter(counts, expected)), set(filter(counts, actual))
    report.require(found == wanted, f"{subject}: missing {sorted(wanted - found)}, unexpected {sorted(found - wanted)}")
    for name in sorted(wanted & found):
        (got_shape, got), (want_shape, want) = actual[name], expected[name]
        if not report.require(got_shape == want_shape, f"{subject}: {name} is {got_shape}, {want_shape} is expected"):
            continue
        difference = math.sqrt(sum((a - b) ** 2 for a, b in zip(got, want)))
        norm = math.sqrt(sum(b * b for b in want))
        report.within(subject, difference / (norm or 1), tolerance, name)


# Keys of adapter_config.json that change the numbers.
CONFIG_KEYS = (
    "peft_type", "r", "lora_alpha", "use_rslora", "use_dora", "rank_pattern", "alpha_pattern", "modules_to_save",
    "layers_to_transform", "bias", "lora_dropout", "vera_dropout", "d_initial", "projection_prng_key",
    "save_projection", "feedforward_modules", "alpha", "rank_dropout", "module_dropout", "decompose_both",
    "decompose_factor", "oft_block_size", "use_cayley_neumann", "num_cayley_neumann_terms", "coft", "block_share",
    "num_virtual_tokens", "token_dim", "num_layers", "num_attention_heads", "num_transformer_submodules",
    "trainable_token_indices", "init_r", "target_r", "total_step", "tinit", "tfinal", "deltaT", "beta1", "beta2", "orth_reg_weight",
    "encoder_hidden_size", "encoder_num_layers", "encoder_reparameterization_type", "prefix_projection")


def compare_config(report, actual, expected):
    if "config" in expected:  # of the adapters library
        for key in ("hidden_size", "model_type", "name", "adapter_names"):
            report.require(actual.get(key) == expected.get(key),
                           f"configuration: {key} is {actual.get(key)}, {expected.get(key)} is expected")
        for key, got in actual["config"].items():
            want = expected["config"].get(key)
            if key == "inv_adapter_reduction_factor" and not expected["config"]["inv_adapter"]:
                continue  # without a meaning there
            report.require(got == want and type(got) in (type(want), float) or not got and not want,
                           f"configuration: {key} is {got!r}, {want!r} is expected")
        return
    for key in CONFIG_KEYS:
        if key == "r" and expected.get("peft_type") == "ADALORA":
            continue  # without a meaning there
        want = expected.get(key)
        got = actual.get(key)
        if isinstance(want, list) and isinstance(got, list):
            want, got = sorted(want), sorted(got)
        if key == "trainable_token_indices":  # a list without tokens is not null to PEFT
            report.require((got is None) == (want is None), f"adapter_config.json: {key} is {got}, {want} is expected")
        report.require(got == want or (not got and not want),
                       f"adapter_config.json: {key} is {got}, {want} is expected")


class Graft:
    def __init__(self, program, backend, threads, quantize=None):
        self.program = program
        self.quantize = ["--quantize", quantize] if quantize else []
        self.common = ["--backend", backend, "--quiet"] + (["--threads", threads] if threads else [])

    def score(self, model, rows, adapters=(), top=3, dtype="f32"):
        command = [self.program, "score", model, "--input", rows, "--dtype", dtype, "--top", top]
        for adapter in adapters:
            command += ["--adapter", adapter]
        command += self.quantize
        return read_jsonl(run(command + self.common))

    def train(self, run_json, out, extra=()):
        run([self.program, "train", run_json, "--output.dir", out, *extra] + self.common)
        return read_jsonl((pathlib.Path(out) / "metrics.jsonl").read_text())


def check_score(graft, case, spec, report):
    actual = graft.score(case / spec["model"], case / "score.jsonl")
    expected = read_jsonl((case / "expected.jsonl").read_text())
    compare_scores(report, "log-probabilities", actual, expected, spec["tolerance"])
    file = case.parent.parent / "gguf" / f"{case.name}.gguf"
    if file.exists():
        compare_scores(report, "log-probabilities, GGUF", graft.score(file, case / "score.jsonl"), expected,
                       spec["tolerance"])


def check_train(graft, case, spec, report):
    model, rows = case / spec["model"], case / "score.jsonl"
    before = read_jsonl((case / "expected_before.jsonl").read_text())
    after = read_jsonl((case / "expected_after.jsonl").read_text())
    others = [case / name for name in spec.get("with", [])]
    compare_scores(report, "before", graft.score(model, rows, others + [case / "adapter_before"]), before,
                   spec["tolerance"])
    compare_scores(report, "after, PEFT's adapter", graft.score(model, rows, others + [case / "adapter_after"]), after,
                   spec["tolerance"])
    with tempfile.TemporaryDirectory() as temporary:
        out = pathlib.Path(temporary) / "out"
        metrics = graft.train(case / "run.json", out)
        compare_metrics(report, metrics, read_jsonl((case / "expected_metrics.jsonl").read_text()),
                        spec["metrics_tolerance"])
        expected, beside = case / "adapter_after", "graft_parameters.safetensors"
        compare_weights(report, read_adapter(out), read_adapter(expected), spec["weights_tolerance"])
        if (expected / beside).exists():
            compare_weights(report, read_safetensors(out / beside), read_safetensors(expected / beside),
                            spec["weights_tolerance"])
        pickled = first_of(out, PICKLED)
        if pickled:
            report.require(read_torch(pickled) == read_adapter(out), f"{pickled.name} holds other tensors")
        config = first_of(expected, CONFIGS)
        if config:
            compare_config(report, json.loads((out / config.name).read_text()), json.loads(config.read_text()))
        compare_scores(report, "after, graft's adapter", graft.score(model, rows, [out]), after,
                       10 * spec["tolerance"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--graft", required=True, help="the graft command")
    parser.add_argument("--case", required=True, type=pathlib.Path, help="a folder with a case.json")
    parser.add_argument("--backend", required=True)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()

    spec = json.loads((options.case / "case.json").read_text())
    graft = Graft(options.graft, options.backend, options.threads, spec.get("quantize"))
    report = Report()
    print(f"{options.case.name} on {options.backend}: {spec['about']}")
    {"score": check_score, "train": check_train}[spec["kind"]](graft, options.case, spec, report)
    return report.print()


if __name__ == "__main__":
    sys.exit(main())
