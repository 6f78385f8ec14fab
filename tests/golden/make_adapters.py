#!/usr/bin/env python3
"""Makes the training cases of bottleneck adapters and AdapterFusion, as make_training.py does for PEFT's methods, from
the `adapters` library and in its files: data/cases/train-adapter-*.

Run with torch, transformers 4 and adapters installed: make_adapters.py [NAME ...].
"""

import shutil
import sys
import zlib

import adapters
import torch
import transformers
from adapters import BnConfig
from adapters.composition import Fuse
from adapters.configuration import DynamicAdapterFusionConfig
from transformers import AutoModelForCausalLM

import reference
from common import CASES, largest_difference, random_ids, score, write_json, write_jsonl
from make_training import make_lines, relative

transformers.logging.set_verbosity_error()
BASE = dict(mh_adapter=False, output_adapter=True, reduction_factor=5, non_linearity="relu", original_ln_before=True,
            original_ln_after=True, inv_adapter=None)
HOULSBY = dict(BASE, mh_adapter=True, original_ln_before=False, non_linearity="swish")
PARALLEL = dict(BASE, original_ln_before=False, is_parallel=True, scaling="learned", non_linearity="gelu",
                init_weights="mam_adapter")
FUSION = {}  # the library's defaults
MODEL = "llama-biases-v4"
# Name: model, configuration, whether its file is safetensors, and of AdapterFusion where it is one.
CASES_OF = {
    "adapter-pfeiffer": (MODEL, BASE, False, None),
    "adapter-houlsby": (MODEL, dict(HOULSBY, reduction_factor={"0": 4, "default": 6}), True, None),
    "adapter-gpt2": ("gpt2-tied", dict(HOULSBY, leave_out=[1], non_linearity="tanh"), False, None),
    "adapter-parallel": (MODEL, PARALLEL, True, None),
    "adapter-parallel-plain": (MODEL, dict(PARALLEL, original_ln_after=False, scaling=2.0, mh_adapter=True), False, None),
    "adapter-switches": (MODEL, dict(BASE, mh_adapter=True, ln_before=True, ln_after=True, residual_before_ln=False,
                                     original_ln_after=False, adapter_residual_before_ln=True, scaling="channel",
                                     non_linearity="gelu_new"), False, None),
    "adapter-invertible": (MODEL, dict(BASE, inv_adapter="nice", inv_adapter_reduction_factor=2, scaling=1.7,
                                       non_linearity="leakyrelu"), False, None),
    "adapter-fusion": (MODEL, BASE, False, FUSION),
    "adapter-fusion-switches": ("gpt2-tied", dict(HOULSBY, ln_before=True, scaling="learned"), False,
                                dict(FUSION, query_before_ln=True, residual_before=True, value_before_softmax=False,
                                     value_initialized=False, key=False)),
    "adapter-fusion-static": (MODEL, PARALLEL, True, dict(FUSION, value=False, regularization=False)),
}
LOOP = dict(steps=6, batch_size=2, accumulate=2, schedule="cosine", warmup_steps=2, clip=2.0)
OPTIMIZER = dict(type="adamw", lr=5e-2, betas=[0.9, 0.999], eps=1e-8, weight_decay=0.1)


def optimizer(fusion):
    """The same bias in all keys of a fusion changes nothing: with a small eps AdamW would blow rounding up there."""
    return OPTIMIZER if fusion is None else dict(OPTIMIZER, lr=2e-2, eps=1e-3)


def open_model(folder):
    model = AutoModelForCausalLM.from_pretrained(folder, torch_dtype=torch.float32, attn_implementation="eager")
    adapters.init(model)
    model.config.name_or_path = folder.parent.name  # what the library notes as the model's name
    model.eval()
    return model


def own(model):
    """Of what is trained: parameters by their names in the library's files."""
    return {n: p for n, p in model.named_parameters() if p.requires_grad}


def randomise_adapter(model, generator):
    """Values that matter, for what is trained."""
    with torch.no_grad():
        for key, parameter in own(model).items():
            noise = torch.randn(parameter.shape, generator=generator)
            if "norm" in key or "scaling" in key:
                parameter.copy_(1 + 0.3 * noise)
            elif "fusion" in key and parameter.dim() == 2:
                start = torch.eye(parameter.shape[0]) if "value" in key else 0
                parameter.copy_(start + 0.6 * noise / parameter.shape[-1] ** 0.5)
            else:
                parameter.copy_(0.5 * noise / parameter.shape[-1] ** 0.5)


def train_it(model, names):
    """Only the adapter, or the fusion of several, is trained and active."""
    if len(names) == 1:
        model.train_adapter(names[0])
    else:
        model.train_adapter_fusion(Fuse(*names))
    return model


def load(model_folder, folders, safe, dtype=torch.float32):
    """A model with the adapters in the folders, of which the last is an AdapterFusion where there are several."""
    model = open_model(model_folder)
    names = [model.load_adapter(str(folder), use_safetensors=safe, with_head=False)
             for folder in (folders[:-1] if len(folders) > 1 else folders)]
    if len(folders) > 1:
        model.load_adapter_fusion(str(folders[-1]), use_safetensors=safe, with_head=False)
    return train_it(model, names).to(dtype)


def save(model, folder, names, safe):
    folder.mkdir(parents=True, exist_ok=True)
    if len(names) == 1:
        model.save_adapter(str(folder), names[0], with_head=False, use_safetensors=safe)
    else:
        model.save_adapter_fusion(str(folder), names, with_head=False, use_safetensors=safe)


def begin(model_folder, config, fusion, safe, folder, generator, before):
    """Random adapters in the library's files; the folders to load, the one that is trained last."""
    model = open_model(model_folder)
    names = ["a"] if fusion is None else ["first", "second"]
    for name in names:
        model.add_adapter(name, config=BnConfig(**config))
        randomise_adapter(train_it(model, [name]), generator)
        save(model, folder / (before if fusion is None else name), [name], safe)
    if fusion is None:
        return [folder / before]
    model.add_adapter_fusion(names, DynamicAdapterFusionConfig(**fusion))
    randomise_adapter(train_it(model, names), generator)
    save(model, folder / before, names, safe)
    return [folder / name for name in names] + [folder / before]


def loss_term(model):
    """What the library's trainer adds to the loss of a fusion."""
    fusions = model.adapters_config.fusions
    if not any(model.adapters_config.get_fusion(name)[0].regularization for name in fusions):
        return None
    return model.base_model.get_fusion_regularization_loss()


def make(name):
    model_name, config, safe, fusion = CASES_OF[name]
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    torch.manual_seed(0)
    folder, model_folder = CASES / f"train-{name}", CASES / model_name / "model"
    shutil.rmtree(folder, ignore_errors=True)
    folders = begin(model_folder, config, fusion, safe, folder, generator, "adapter_before")
    model = load(model_folder, folders, safe)
    names = list(model.adapters_config.adapters)
    start = {n: p.detach().clone() for n, p in own(model).items()}
    vocab = model.config.vocab_size
    write_jsonl(folder / "train.jsonl", make_lines(generator, 8, vocab, True))
    run = {"model": {"path": f"../{model_name}/model", "dtype": "f32"}, "methods": [{"load": f.name} for f in folders],
           "data": {"train": "train.jsonl", "format": "tokens", "max_length": 64, "shuffle": False},
           "optimizer": optimizer(fusion), "train": LOOP, "output": {"dir": "out"}}
    write_json(folder / "run.json", run)
    rows = [{"input_ids": random_ids(generator, n, vocab)} for n in (2, 11, 25)]
    write_jsonl(folder / "score.jsonl", rows)
    before = score(model, rows)
    write_jsonl(folder / "expected_before.jsonl", before)
    made = {}
    for dtype in (torch.float32, torch.float64):
        model = load(model_folder, folders, safe, dtype)
        metrics = reference.train(model, run, folder, loss_term)
        made[dtype] = metrics, {n: p.detach().double() for n, p in own(model).items()}
        if dtype == torch.float32:
            save(model, folder / "adapter_after", names, safe)
            write_jsonl(folder / "expected_metrics.jsonl", metrics)
            after = score(model, rows)
            write_jsonl(folder / "expected_after.jsonl", after)
    about = {**{k: v for k, v in config.items() if BASE.get(k) != v}, **(fusion or {})}
    write_json(folder / "case.json", {
        "kind": "train", "about": f"{'bottleneck adapter' if fusion is None else 'AdapterFusion'}, "
                                  f"{', '.join(f'{k} {v}' for k, v in about.items())}",
        "model": f"../{model_name}/model", "tolerance": 1e-4, "metrics_tolerance": 1e-4, "weights_tolerance": 1e-3,
        "with": [f.name for f in folders[:-1]],
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
