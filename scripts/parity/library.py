#!/usr/bin/env python3
"""Compares graft with the `adapters` library on random models and bottleneck adapters that nobody has seen.

For each drawn case the library saves an adapter (or two and an AdapterFusion), graft computes with it, goes on training it
(losses, gradient norms, weights), and the library loads what graft saved, both of its files, and computes the same;
then an adapter that graft begins itself. Run by parity.sh --only adapters in an environment with adapters and transformers 4.
"""

import argparse
import json
import pathlib
import random
import shutil
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "golden")]

import torch
import transformers
from transformers import GPT2Config, LlamaConfig, MistralConfig

import check
import make_adapters
import reference
from common import largest_difference, random_ids, randomise, score, write_json, write_jsonl

SCORE, METRICS, WEIGHTS = 1e-4, 1e-4, 1e-3
KINDS = ("seq_bn", "double_seq_bn", "par_bn", "seq_bn_inv", "switches", "fusion", "fusion_static")


def draw_model(draw, folder):
    kind = draw.choice(["llama", "mistral", "gpt2"])
    heads, tied = draw.choice([2, 4]), draw.random() < 0.5
    hidden, layers, vocab = heads * draw.choice([6, 8, 10]), draw.choice([2, 3]), draw.randrange(60, 130)
    if kind == "gpt2":
        config = GPT2Config(n_embd=hidden, n_head=heads, n_layer=layers, vocab_size=vocab, n_positions=128, bos_token_id=1,
                            eos_token_id=2, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0)
    else:
        common = dict(hidden_size=hidden, num_attention_heads=heads, num_key_value_heads=heads // 2, vocab_size=vocab,
                      num_hidden_layers=layers, intermediate_size=2 * hidden, tie_word_embeddings=tied,
                      max_position_embeddings=128)
        config = LlamaConfig(**common) if kind == "llama" else MistralConfig(**common, sliding_window=None)
    model = transformers.AutoModelForCausalLM.from_config(config)
    randomise(model, torch.Generator().manual_seed(draw.randrange(1 << 30))).save_pretrained(folder)
    return kind, vocab


def draw_adapter(draw, kind, model):
    """Configuration of the library, and of a fusion or None."""
    config = dict(make_adapters.BASE, reduction_factor=draw.choice([2, 3, 4.5]),
                  non_linearity=draw.choice(["relu", "gelu", "gelu_new", "swish", "tanh", "leakyrelu", "sigmoid"]))
    if kind == "double_seq_bn" or draw.random() < 0.3:
        config.update(mh_adapter=True, original_ln_before=kind != "double_seq_bn")
    if kind == "par_bn":
        config.update(is_parallel=True, original_ln_before=False, scaling=draw.choice([4.0, "learned", "channel"]),
                      init_weights="mam_adapter")
    if kind == "seq_bn_inv" and model != "gpt2":
        config.update(inv_adapter="nice", inv_adapter_reduction_factor=draw.choice([1, 2]))
    if kind == "switches":
        config.update({k: draw.random() < 0.5 for k in ("ln_before", "ln_after", "residual_before_ln", "original_ln_after",
                                                        "adapter_residual_before_ln")},
                      scaling=draw.choice([1.0, 0.6, "learned", "channel"]))
    if kind == "fusion_static":
        return config, dict(value=False, value_initialized=False, regularization=False)
    if kind == "fusion":
        return config, {k: draw.random() < 0.5 for k in ("query_before_ln", "residual_before", "value_before_softmax",
                                                         "value_initialized", "regularization")}
    return config, None


def compare(report, graft, folder, rows, model, folders, safe, run):
    """Both compute the same with what graft has saved, and graft's two files hold the same."""
    out = folders[-1]
    pickled = check.first_of(out, check.PICKLED)
    report.require(check.read_torch(pickled) == check.read_adapter(out), f"{pickled.name} holds other tensors")
    expected = score(make_adapters.load(model, folders, safe).eval(), rows)
    check.compare_scores(report, f"graft's adapter in the library, {'safetensors' if safe else 'bin'}",
                         graft.score(model, folder / "score.jsonl", folders), expected, SCORE)


def one(draw, kind, graft, folder, report):
    model = folder / "model"
    family, vocab = draw_model(draw, model)
    config, fusion = draw_adapter(draw, kind, family)
    safe = draw.random() < 0.5 and not config.get("ln_before")  # the library cannot write that
    generator = torch.Generator().manual_seed(draw.randrange(1 << 30))
    folders = make_adapters.begin(model, config, fusion, safe, folder, generator, "before")
    rows = [{"input_ids": random_ids(generator, n, vocab)} for n in (2, 9, 31)]
    write_jsonl(folder / "score.jsonl", rows)
    write_jsonl(folder / "train.jsonl", make_adapters.make_lines(generator, 6, vocab, True))
    loaded = make_adapters.load(model, folders, safe)
    names = list(loaded.adapters_config.adapters)
    before = score(loaded, rows)
    check.compare_scores(report, "the library's adapter in graft", graft.score(model, folder / "score.jsonl", folders),
                         before, SCORE)
    run = {"model": {"path": "model", "dtype": "f32"}, "methods": [{"load": f.name} for f in folders],
           "data": {"train": "train.jsonl", "format": "tokens", "max_length": 48, "shuffle": False},
           "optimizer": dict(make_adapters.optimizer(fusion), lr=draw.choice([3e-3, 1e-2])),
           "train": dict(make_adapters.LOOP, steps=4), "output": {"dir": "out"}}
    write_json(folder / "run.json", run)
    loaded.train()
    metrics = reference.train(loaded, run, folder, make_adapters.loss_term)
    make_adapters.save(loaded, folder / "after", names, safe)
    wide = reference.train(make_adapters.load(model, folders, safe, torch.float64), run, folder, make_adapters.loss_term)
    if make_adapters.relative(metrics, wide) > METRICS / 4:
        return None  # its own rounding is near the tolerance: such a case shows nothing
    check.compare_metrics(report, graft.train(folder / "run.json", folder / "out"), metrics, METRICS)
    check.compare_weights(report, check.read_adapter(folder / "out"), check.read_adapter(folder / "after"), WEIGHTS)
    for as_safe in (True, False):
        if fusion is not None:  # the library looks for one kind of file in all folders
            for other in folders[:-1]:
                resave(model, other, as_safe)
        compare(report, graft, folder, rows, model, folders[:-1] + [folder / "out"], as_safe, run)
    fresh(draw, graft, folder, report, run, rows, model, folders, fusion, before)
    return f"{family}: {json.dumps({k: v for k, v in config.items() if make_adapters.BASE.get(k) != v})} {fusion or ''}"


def resave(model, folder, safe):
    if (folder / ("adapter.safetensors" if safe else "pytorch_adapter.bin")).exists():
        return
    loaded = make_adapters.open_model(model)
    name = loaded.load_adapter(str(folder), use_safetensors=not safe, with_head=False)
    if safe and loaded.adapters_config.get(name).ln_before:
        shutil.copy(folder / "pytorch_adapter.bin", folder / "adapter.bin")  # falls back to the pickle by itself
        return
    make_adapters.save(loaded, folder, [name], safe)


def fresh(draw, graft, folder, report, run, rows, model, folders, fusion, base):
    """What graft begins with its own options."""
    method = {"type": "adapter", "name": "mine", "attention": True, "residual_first": draw.random() < 0.5,
              "reduction": draw.choice([2, 4]), "scaling": draw.choice([1, "learned"]), "leave_out": [0]}
    if fusion is not None:
        method = {"type": "adapter_fusion", "adapters": [f.name for f in folders[:-1]]}
    write_json(folder / "fresh.json", {**run, "methods": [method]})
    graft.train(folder / "fresh.json", folder / "mine")
    compare(report, graft, folder, rows, model, folders[:-1] + [folder / "mine"], False, run)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--graft", required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--backends", nargs="+", default=["cpu"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    options = parser.parse_args()
    draw, failed = random.Random(options.seed), 0
    for kind in options.kinds:
        for backend in options.backends:
            graft, about = check.Graft(options.graft, backend, options.threads), None
            while about is None:
                report = check.Report()
                with tempfile.TemporaryDirectory() as temporary:
                    try:
                        about = one(draw, kind, graft, pathlib.Path(temporary), report)
                    except SystemExit as stopped:
                        report.failures.append(str(stopped))
                        about = "stopped"
            print(f"\nadapters: {kind} on {backend}: {about}", flush=True)
            failed += report.print()
    print(f"\nseed {options.seed}: {failed} cases failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
