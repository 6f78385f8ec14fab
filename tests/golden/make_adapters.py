#!/usr/bin/env python3
"""Makes the training cases of bottleneck adapters, as make_training.py does for PEFT's methods, from the `adapters`
library: data/cases/train-adapter-*. The adapters are stored in graft's own format.

Run with torch, transformers 4 and adapters installed: make_adapters.py [NAME ...].
"""

import json
import pathlib
import shutil
import sys
import zlib

import adapters
import torch
import transformers
from adapters import BnConfig
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from common import CASES, largest_difference, random_ids, score, write_json, write_jsonl
from make_training import make_lines, relative
from reference import train

transformers.logging.set_verbosity_error()
BASE = dict(mh_adapter=False, output_adapter=True, reduction_factor=5, non_linearity="relu", original_ln_before=True,
            original_ln_after=True, inv_adapter=None)
CASES_OF = {
    "adapter-pfeiffer": (BASE, dict(reduction=5)),
    "adapter-houlsby": (dict(BASE, mh_adapter=True, original_ln_before=False, non_linearity="swish"),
                        dict(reduction=5, attention=True, residual_first=False, activation="swish")),
    "adapter-parallel": (dict(BASE, original_ln_before=False, is_parallel=True, scaling="learned", non_linearity="gelu",
                              init_weights="mam_adapter"),
                         dict(reduction=5, residual_first=False, parallel=True, scaling="learned", activation="gelu")),
    "adapter-switches": (dict(BASE, mh_adapter=True, ln_before=True, ln_after=True, residual_before_ln=False,
                              original_ln_after=False, adapter_residual_before_ln=True, scaling="channel",
                              non_linearity="gelu_new"),
                         dict(reduction=5, attention=True, norm_before=True, norm_after=True, own_residual="input",
                              residual_last=False, residual_before_norm=True, scaling="channel",
                              activation="gelu_new")),
    "adapter-invertible": (dict(BASE, inv_adapter="nice", inv_adapter_reduction_factor=2, scaling=1.7,
                                non_linearity="leakyrelu"),
                           dict(reduction=5, invertible=True, undo=False, scaling=1.7, activation="leakyrelu")),
}
MODEL = "llama-biases-v4"
LOOP = dict(steps=6, batch_size=2, accumulate=2, schedule="cosine", warmup_steps=2, clip=2.0)
OPTIMIZER = dict(type="adamw", lr=5e-2, betas=[0.9, 0.999], eps=1e-8, weight_decay=0.1)


def graft_name(key):
    """model.layers.0.output_adapters.adapters.a.adapter_down.0.weight in graft's file."""
    parts = key.removeprefix("base_model.").split(".")
    if "invertible_adapters" in parts:
        network, layer, what = parts[-3:]
        return f"base_model.model.model.embed_tokens.invertible.{network}.{layer}.{what}"
    at = parts.index("adapters") + 2
    block = {"attention_adapters": "self_attn", "output_adapters": "mlp"}[parts[at - 3]]
    tail = [p for p in parts[at:] if not p.isdigit()]
    return ".".join(["base_model.model", *parts[:at - 3], block, "residual", *tail])


def load(model_name, config, values=None):
    model = AutoModelForCausalLM.from_pretrained(CASES / model_name / "model", torch_dtype=torch.float32,
                                                 attn_implementation="eager")
    adapters.init(model)
    model.add_adapter("a", config=BnConfig(**config))
    model.train_adapter("a")
    own = {graft_name(n): p for n, p in model.named_parameters() if p.requires_grad}
    if values is not None:
        with torch.no_grad():
            for name, parameter in own.items():
                parameter.copy_(values[name])
    return model, own


def save(own, options, folder):
    folder.mkdir(parents=True)
    save_file({n: p.detach().float().contiguous() for n, p in own.items()}, folder / "adapter_model.safetensors",
              {"format": "pt"})
    notes = {"format": 1, "method": "adapter", "options": options}
    (folder / "graft.json").write_text(json.dumps(notes, indent=2) + "\n")


def make(name):
    config, options = CASES_OF[name]
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    folder = CASES / f"train-{name}"
    shutil.rmtree(folder, ignore_errors=True)
    model, own = load(MODEL, config)
    vocab = model.config.vocab_size
    with torch.no_grad():
        for key, parameter in own.items():
            noise = torch.randn(parameter.shape, generator=generator)
            if "norm" in key or "scaling" in key:
                parameter.copy_(1 + 0.3 * noise)
            else:
                parameter.copy_(0.5 * noise / parameter.shape[-1] ** 0.5)
    write_jsonl(folder / "train.jsonl", make_lines(generator, 8, vocab, True))
    run = {"model": {"path": f"../{MODEL}/model", "dtype": "f32"}, "methods": [{"load": "adapter_before"}],
           "data": {"train": "train.jsonl", "format": "tokens", "max_length": 64, "shuffle": False},
           "optimizer": OPTIMIZER, "train": LOOP, "output": {"dir": "out"}}
    write_json(folder / "run.json", run)
    save(own, options, folder / "adapter_before")
    rows = [{"input_ids": random_ids(generator, n, vocab)} for n in (2, 11, 25)]
    write_jsonl(folder / "score.jsonl", rows)
    before = score(model, rows)
    write_jsonl(folder / "expected_before.jsonl", before)
    start = load_file(folder / "adapter_before" / "adapter_model.safetensors")
    made = {}
    for dtype in (torch.float32, torch.float64):
        model, own = load(MODEL, config, start)
        model = model.to(dtype)
        metrics = train(model, run, folder)
        made[dtype] = metrics, {n: p.detach().double() for n, p in own.items()}
        if dtype == torch.float32:
            save(own, options, folder / "adapter_after")
            write_jsonl(folder / "expected_metrics.jsonl", metrics)
            after = score(model, rows)
            write_jsonl(folder / "expected_after.jsonl", after)
    write_json(folder / "case.json", {
        "kind": "train", "about": f"bottleneck adapters, {', '.join(f'{k} {v}' for k, v in options.items())}",
        "model": f"../{MODEL}/model", "tolerance": 1e-4, "metrics_tolerance": 1e-4, "weights_tolerance": 1e-3,
        "made_with": f"torch {torch.__version__}, transformers {transformers.__version__}, "
                     f"adapters {adapters.__version__}"})
    rounding = relative(made[torch.float32][0], made[torch.float64][0])
    left, right = made[torch.float32][1], made[torch.float64][1]
    weights = max(((left[k] - right[k]).norm() / right[k].norm()).item() for k in left)
    moved = min(((left[k] - start[k]).norm() / start[k].norm()).item() for k in left)
    print(f"train-{name:20} float64: metrics {rounding:.1e} weights {weights:.1e}, moved {moved:.2f}, "
          f"scores moved {largest_difference(before, after):.2f}")
    assert rounding < 3e-5 and weights < 2e-4 and moved > 5e-3, name


if __name__ == "__main__":
    for case in sys.argv[1:] or CASES_OF:
        make(case)
