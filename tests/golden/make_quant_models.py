#!/usr/bin/env python3
"""Makes the cases of quantized bases, by transformers, PEFT and bitsandbytes (0.50.2) on the CPU.

  data/cases/bnb-NAME/             a folder that transformers quantized and saved, scores of it
  data/cases/train-bnb-nf4/        LoRA over bnb-nf4, as make_training.py makes its cases
  data/cases/train-quantized/      the same numbers over the model that bnb-nf4 was made from: graft quantizes

Run with torch, transformers, peft and bitsandbytes installed.
"""

import json
import shutil
import zlib

import torch
import transformers
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

from common import CASES, largest_difference, random_ids, score, write_json, write_jsonl
from make_training import make_lines, run_json
from reference import load_adapter, load_model, random_adapter, save_adapter, train

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()

SOURCE = "llama-untied-v4"
FOUR = dict(load_in_4bit=True, bnb_4bit_compute_dtype=torch.float32)
KINDS = {
    "bnb-nf4": dict(FOUR, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True),
    "bnb-fp4": dict(FOUR, bnb_4bit_quant_type="fp4", bnb_4bit_use_double_quant=False),
}
SPEC = dict(model="bnb-nf4", examples=14, loop=dict(steps=6), adapter={
    "peft_type": "LORA", "r": 4, "lora_alpha": 6, "target_modules": "all-linear"})


def versions():
    import bitsandbytes
    import peft
    return (f"torch {torch.__version__}, transformers {transformers.__version__}, peft {peft.__version__}, "
            f"bitsandbytes {bitsandbytes.__version__}")


def quantized(options):
    return AutoModelForCausalLM.from_pretrained(
        CASES / SOURCE / "model", quantization_config=BitsAndBytesConfig(**options), dtype=torch.float32,
        attn_implementation="eager", device_map="cpu")


def make_scores(name, options):
    folder = CASES / name
    shutil.rmtree(folder, ignore_errors=True)
    model = quantized(options)
    model.save_pretrained(folder / "model")
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    rows = [{"input_ids": random_ids(generator, n, model.config.vocab_size)} for n in (1, 2, 7, 33, 16)]
    expected = score(load_model(folder / "model"), rows)
    write_jsonl(folder / "score.jsonl", rows)
    write_jsonl(folder / "expected.jsonl", expected)
    write_json(folder / "case.json", {"kind": "score", "about": f"weights that bitsandbytes quantized: {name[4:]}",
                                      "model": "model", "tolerance": 1e-4, "made_with": versions()})
    changed = largest_difference(expected, score(load_model(CASES / SOURCE / "model"), rows))
    print(f"{name:20} saved and loaded differs by {largest_difference(expected, score(model, rows)):.1e}, "
          f"unquantized by {changed:.2f}")
    assert changed > 0.01, name


def make_training():
    name = "train-bnb-nf4"
    folder, base = CASES / name, CASES / "bnb-nf4" / "model"
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    shutil.rmtree(folder, ignore_errors=True)
    vocab = load_model(CASES / SOURCE / "model").config.vocab_size
    write_jsonl(folder / "train.jsonl", make_lines(generator, SPEC["examples"], vocab, True))
    run = run_json(SPEC)
    write_json(folder / "run.json", run)
    random_adapter(CASES / SOURCE / "model", SPEC["adapter"], generator, folder / "adapter_before", SOURCE)
    rows = [{"input_ids": random_ids(generator, n, vocab)} for n in (2, 11, 25)]
    write_jsonl(folder / "score.jsonl", rows)

    def loaded(adapter, trainable):
        return load_adapter(load_model(base), folder / adapter, trainable)

    write_jsonl(folder / "expected_before.jsonl", score(loaded("adapter_before", False), rows))
    model = loaded("adapter_before", True)
    metrics = train(model, run, folder)
    save_adapter(model, folder / "adapter_after")
    write_jsonl(folder / "expected_metrics.jsonl", metrics)
    write_jsonl(folder / "expected_after.jsonl", score(loaded("adapter_after", False), rows))
    case = {"kind": "train", "about": "LoRA over weights that bitsandbytes quantized", "model": "../bnb-nf4/model",
            "tolerance": 1e-4, "metrics_tolerance": 1e-4, "weights_tolerance": 1e-3, "made_with": versions()}
    write_json(folder / "case.json", case)
    plain = load_adapter(load_model(CASES / SOURCE / "model"), folder / "adapter_before", True)
    other = train(plain, run, folder)
    print(f"{name:20} loss {metrics[0]['loss']:.4f} to {[m for m in metrics if 'loss' in m][-1]['loss']:.4f}, "
          f"unquantized {other[0]['loss']:.4f}")

    again = CASES / "train-quantized"
    shutil.rmtree(again, ignore_errors=True)
    shutil.copytree(folder, again)
    run["model"] = {"path": f"../{SOURCE}/model", "dtype": "f32", "quantization": {"format": "nf4"}}
    write_json(again / "run.json", run)
    write_json(again / "case.json", dict(case, about="LoRA over a base that is quantized while it is loaded",
                                         model=f"../{SOURCE}/model", quantize="nf4"))


if __name__ == "__main__":
    for kind, options in KINDS.items():
        make_scores(kind, options)
    make_training()
