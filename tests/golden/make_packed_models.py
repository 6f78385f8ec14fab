#!/usr/bin/env python3
"""Makes data/cases/gptq-* and awq: folders whose weights are packed as GPTQ and AWQ store them, and what
transformers computes with the same values unpacked.

The integers are packed here, in numpy, from the description of the formats: no package of theirs is needed, and
nothing is optimised, only rounded. Run with torch, transformers and numpy installed.
"""

import json
import shutil
import tempfile
import zlib

import numpy
import torch
from safetensors.numpy import save_file
from transformers import LlamaConfig, LlamaForCausalLM

from common import CASES, largest_difference, random_ids, randomise, score, write_json, write_jsonl
from reference import load_model

AWQ_ORDER = [0, 2, 4, 6, 1, 3, 5, 7]  # nibble n of a word is that of output 8 c + AWQ_ORDER[n]
CASES_OF = {
    "gptq-symmetric": dict(bits=4, group_size=32, desc_act=False, sym=True, checkpoint_format="gptq"),
    "gptq-act-order": dict(bits=4, group_size=16, desc_act=True, sym=False, checkpoint_format="gptq_v2"),
    "gptq-8-bit": dict(bits=8, group_size=-1, desc_act=False, sym=True, checkpoint_format="gptq"),
    "gptq-2-bit": dict(bits=2, group_size=16, desc_act=False, sym=False, checkpoint_format="gptq"),
    "awq": dict(bits=4, group_size=32, zero_point=True, version="gemm"),
}


def quantize(weight, groups, bits, symmetric):
    """Codes [out, in], zeros and scales [groups, out] of weight [out, in]; groups: that of each input."""
    count, top = int(groups.max()) + 1, 2 ** bits - 1
    scales = numpy.zeros((count, weight.shape[0]), numpy.float16)
    zeros = numpy.zeros((count, weight.shape[0]), numpy.int64)
    codes = numpy.zeros(weight.shape, numpy.int64)
    for g in range(count):
        part = weight[:, groups == g]
        low, high = numpy.minimum(part.min(1), 0), numpy.maximum(part.max(1), 0)
        if symmetric:
            scale = numpy.float16(numpy.maximum(-low, high) / (top // 2))
            zero = numpy.full(len(low), (top + 1) // 2)
        else:
            scale = numpy.float16((high - low) / top)
            zero = numpy.clip(numpy.round(-low / numpy.float32(scale)), 1, top).astype(int)
        scales[g], zeros[g] = scale, zero
        rounded = numpy.round(part / numpy.float32(scale)[:, None]) + zero[:, None]
        codes[:, groups == g] = numpy.clip(rounded, 0, top)
    return codes, zeros, scales


def words(values, bits, order=None):
    """Packs along the last axis, lowest bits first."""
    per_word = 32 // bits
    lanes = values.reshape(*values.shape[:-1], -1, per_word).astype(numpy.uint64)
    out = numpy.zeros(lanes.shape[:-1], numpy.uint64)
    for lane in range(per_word):
        out |= lanes[..., order[lane] if order else lane] << numpy.uint64(bits * lane)
    return out.astype(numpy.uint32).view(numpy.int32)


def packed(name, weight, options, random):
    """Tensors of the file, and the weight that they stand for."""
    inputs, bits = weight.shape[1], options["bits"]
    size = options["group_size"] if options["group_size"] > 0 else inputs
    groups = numpy.arange(inputs) // size
    if options.get("desc_act"):
        random.shuffle(groups)
    codes, zeros, scales = quantize(weight, groups, bits, options.get("sym", False))
    values = numpy.float32(scales)[groups].T * (codes - zeros[groups].T).astype(numpy.float32)
    module = name.removesuffix(".weight")
    if "version" in options:  # AWQ
        return {module + ".qweight": words(codes.T, bits, AWQ_ORDER), module + ".qzeros": words(zeros, bits, AWQ_ORDER),
                module + ".scales": scales}, values
    less = 1 if options["checkpoint_format"] == "gptq" else 0
    return {module + ".qweight": numpy.ascontiguousarray(words(codes, bits).T),
            module + ".qzeros": words(zeros - less, bits), module + ".scales": scales,
            module + ".g_idx": groups.astype(numpy.int32)}, values


def make(name, options):
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    random = numpy.random.default_rng(zlib.crc32(name.encode()))
    config = LlamaConfig(vocab_size=67, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
                         num_key_value_heads=2, max_position_embeddings=128, tie_word_embeddings=False,
                         bos_token_id=1, eos_token_id=2, pad_token_id=None)
    model = randomise(LlamaForCausalLM(config), generator)
    folder = CASES / name
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "model").mkdir(parents=True)
    tensors = {}
    state = model.state_dict()
    for key, value in state.items():
        if key.endswith("_proj.weight"):
            parts, values = packed(key, value.numpy(), options, random)
            tensors.update(parts)
            state[key] = torch.from_numpy(values)
        else:
            tensors[key] = value.numpy().astype(numpy.float16)
            state[key] = torch.from_numpy(tensors[key].astype(numpy.float32))
    save_file({k: numpy.ascontiguousarray(v) for k, v in tensors.items()}, folder / "model" / "model.safetensors",
              metadata={"format": "pt"})
    rows = [{"input_ids": random_ids(generator, n, config.vocab_size)} for n in (2, 7, 33)]
    write_jsonl(folder / "score.jsonl", rows)
    with tempfile.TemporaryDirectory() as plain:
        before = score(model, rows)
        model.load_state_dict(state)
        model.save_pretrained(plain)
        expected = score(load_model(plain), rows)
        described = json.loads((CASES / "bnb-nf4" / "model" / "config.json").read_text())  # the same class
        described.update({k: v for k, v in config.to_dict().items() if k in described}, dtype="float16")
        described["quantization_config"] = {"quant_method": name.split("-")[0], **options}
    write_json(folder / "model" / "config.json", described)
    write_jsonl(folder / "expected.jsonl", expected)
    write_json(folder / "case.json", {"kind": "score", "about": f"weights packed as in {name}", "model": "model",
                                      "tolerance": 1e-4, "made_with": f"torch {torch.__version__}"})
    changed = largest_difference(expected, before)
    print(f"{name:16} unpacked differs from the original by {changed:.2f}")
    assert changed > 0.01, name


if __name__ == "__main__":
    for case, case_options in CASES_OF.items():
        make(case, case_options)
