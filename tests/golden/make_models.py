#!/usr/bin/env python3
"""Makes the score cases: small models with random weights and what transformers says of them.

  data/cases/NAME/model/           a Hugging Face folder
  data/cases/NAME/score.jsonl      input of `graft score`
  data/cases/NAME/expected.jsonl   its output, by transformers in float32, attn_implementation="eager"
  data/cases/NAME/case.json        what the case is for

Run with torch and transformers installed: make_models.py [NAME ...]. The same versions give the same
bytes; other versions change the expected numbers in the last digits only.
"""

import json
import shutil
import sys
import tempfile
import warnings
import zlib

import torch
import transformers
from transformers import AutoModelForCausalLM

from common import CASES, largest_difference, random_ids, randomise, score, write_json, write_jsonl

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
warnings.filterwarnings("ignore")

BASE = dict(vocab_size=83, hidden_size=24, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, max_position_embeddings=256, rms_norm_eps=1e-5, bos_token_id=1,
            eos_token_id=2)

LENGTHS = (1, 2, 7, 33, 16)


def v4(**changes):
    """Says that config.json is to be written with the rope keys of transformers 4."""
    return {"drop": ["rope_parameters", "dtype", "layer_types"], "set": {"torch_dtype": "float32", **changes}}


# about: what the case shows. config: over BASE. file: edits of the saved config.json.
# without: edits of config.json that must change the scores, or the case shows nothing.
MODELS = {
    "llama-gqa-tied": dict(
        about="grouped heads, tied embeddings, rope keys of transformers 5",
        family="Llama", config=dict(tie_word_embeddings=True, rope_parameters=dict(rope_theta=500.0, rope_type="default")),
        without={"rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"}}),
    "llama-untied-v4": dict(
        about="own head, one key/value head, rope_theta at the top as in transformers 4, a large eps",
        family="Llama", config=dict(num_key_value_heads=1, rms_norm_eps=0.05, rope_parameters=dict(rope_theta=700.0)),
        file=v4(rope_theta=700.0), without={"rope_theta": 10000.0}),
    "llama-biases-v4": dict(
        about="biases on all linear layers, no num_key_value_heads, no head_dim, no rope key at all",
        family="Llama", config=dict(attention_bias=True, mlp_bias=True, num_key_value_heads=4, vocab_size=101),
        file={"drop": ["rope_parameters", "dtype", "num_key_value_heads", "head_dim"], "set": {}},
        without={"rms_norm_eps": 0.5}),
    "llama-head-dim": dict(
        about="head_dim unequal to hidden_size / heads, three layers",
        family="Llama", config=dict(head_dim=10, num_hidden_layers=3, rope_parameters=dict(rope_theta=10000.0)),
        without={"rms_norm_eps": 0.5}),
    "llama-linear-v4": dict(
        about="linear rope scaling under the old key `type`",
        family="Llama", config=dict(head_dim=8),
        file=v4(rope_theta=300.0, rope_scaling={"type": "linear", "factor": 2.5}), lengths=(1, 2, 7, 33, 70),
        without={"rope_scaling": None}),
    "llama-linear": dict(
        about="linear rope scaling, rope keys of transformers 5",
        family="Llama", config=dict(head_dim=8, tie_word_embeddings=True, rope_parameters=dict(
            rope_theta=300.0, rope_type="linear", factor=4.0)), lengths=(1, 2, 7, 33, 70),
        without={"rope_parameters": {"rope_theta": 300.0, "rope_type": "default"}}),
    "llama-llama3-v4": dict(
        about="llama3 rope scaling with all three ranges of wavelengths, rope keys of transformers 4",
        family="Llama", config=dict(head_dim=16, hidden_size=32, tie_word_embeddings=True),
        file=v4(rope_theta=1000.0, rope_scaling={
            "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64, "rope_type": "llama3"}), lengths=(1, 2, 7, 33, 90),
        without={"rope_scaling": None}),
    "llama-llama3": dict(
        about="llama3 rope scaling, rope keys of transformers 5",
        family="Llama", config=dict(head_dim=12, tie_word_embeddings=True, rope_parameters=dict(
            rope_theta=2000.0, rope_type="llama3", factor=6.0, low_freq_factor=1.5, high_freq_factor=5.0,
            original_max_position_embeddings=96)), lengths=(1, 2, 7, 33, 90),
        without={"rope_parameters": {"rope_theta": 2000.0, "rope_type": "default"}}),
    "llama-yarn": dict(
        about="yarn with its defaults, rope keys of transformers 5",
        family="Llama", config=dict(head_dim=16, max_position_embeddings=4096, tie_word_embeddings=True,
                                    rope_parameters=dict(rope_theta=100.0, rope_type="yarn", factor=4.0,
                                                         original_max_position_embeddings=1024)),
        lengths=(1, 2, 7, 33, 90),
        without={"rope_parameters": {"rope_theta": 100.0, "rope_type": "default"}}),
    "qwen2-yarn-v4": dict(
        about="yarn with attention_factor, beta_fast and beta_slow, rope keys of transformers 4",
        family="Qwen2", config=dict(hidden_size=48, intermediate_size=32, num_attention_heads=3, num_key_value_heads=1,
                                    max_position_embeddings=512),
        file=v4(rope_theta=200.0, rope_scaling={
            "type": "yarn", "rope_type": "yarn", "factor": 3.0, "attention_factor": 1.3, "beta_fast": 9.0,
            "beta_slow": 2.0, "original_max_position_embeddings": 170}),
        lengths=(1, 2, 7, 33, 90), without={"rope_scaling": None}),
    "llama-yarn-mscale": dict(
        about="yarn with mscale, mscale_all_dim and truncate false; no original length",
        family="Llama", config=dict(head_dim=16, max_position_embeddings=900, tie_word_embeddings=True,
                                    rope_parameters=dict(rope_theta=100.0, rope_type="yarn", factor=5.0, mscale=1.4,
                                                         mscale_all_dim=0.4, truncate=False)),
        file={"drop_rope": ["original_max_position_embeddings"]}, lengths=(1, 2, 7, 33, 90),
        without={"rope_parameters": {"rope_theta": 100.0, "rope_type": "yarn", "factor": 5.0}}),
    "mistral-window": dict(
        about="sliding window on all layers, rope keys of transformers 5",
        family="Mistral", config=dict(sliding_window=5, num_hidden_layers=3), lengths=(1, 2, 5, 6, 7, 33),
        without={"sliding_window": None}),
    "mistral-head-dim-v4": dict(
        about="sliding_window null, head_dim unequal to hidden_size / heads, rope keys of transformers 4",
        family="Mistral", config=dict(sliding_window=None, head_dim=10),
        file=v4(rope_theta=900.0), without={"sliding_window": 3}),
    "qwen2-tied": dict(
        about="biases on q, k and v, tied embeddings; layer_types written by transformers 5",
        family="Qwen2", config=dict(tie_word_embeddings=True, use_sliding_window=False, sliding_window=4),
        without={"rope_parameters": {"rope_theta": 77.0, "rope_type": "default"}}),
    "qwen2-window-v4": dict(
        about="window on the layers from max_window_layers on, no layer_types",
        family="Qwen2", config=dict(num_hidden_layers=3, use_sliding_window=True, sliding_window=4, max_window_layers=1),
        file=v4(rope_theta=1000000.0), lengths=(1, 2, 4, 5, 7, 33), without={"max_window_layers": 0}),
    "qwen2-window-off-v4": dict(
        about="a sliding_window that is not used, as in the files of Qwen2.5",
        family="Qwen2", config=dict(), file=v4(rope_theta=1000000.0, sliding_window=3, use_sliding_window=False,
                                               max_window_layers=1),
        without={"use_sliding_window": True}),
    "qwen3-tied": dict(
        about="norms of q and k per head, head_dim, tied embeddings",
        family="Qwen3", config=dict(head_dim=8, tie_word_embeddings=True, rope_parameters=dict(rope_theta=5000.0)),
        without={"rms_norm_eps": 0.5}),
    "qwen3-window": dict(
        about="layer_types with a window on the first of three layers, biases on q, k, v and o",
        family="Qwen3", config=dict(head_dim=6, num_hidden_layers=3, attention_bias=True, use_sliding_window=True,
                                    sliding_window=4, layer_types=["sliding_attention", "full_attention",
                                                                   "full_attention"]),
        lengths=(1, 2, 4, 5, 7, 33),
        without={"layer_types": ["full_attention", "full_attention", "sliding_attention"]}),
    "qwen3-v4": dict(
        about="rope keys of transformers 4, head_dim unequal to hidden_size / heads, own head",
        family="Qwen3", config=dict(head_dim=14, num_key_value_heads=1), file=v4(rope_theta=1000000.0),
        without={"rope_theta": 50.0}),
    "llama-sharded": dict(
        about="weights in several files",
        family="Llama", config=dict(), shard="20KB", without={"rms_norm_eps": 0.5}),
    "llama-bf16": dict(
        about="bf16 weights, computed in f32",
        family="Llama", config=dict(tie_word_embeddings=True), dtype=torch.bfloat16, without={"rms_norm_eps": 0.5}),
    "qwen2-f16-v4": dict(
        about="f16 weights, computed in f32",
        family="Qwen2", config=dict(vocab_size=64), dtype=torch.float16,
        file={"drop": ["rope_parameters", "dtype", "layer_types"], "set": {"torch_dtype": "float16"}},
        without={"rms_norm_eps": 0.5}),
}


def edit_config(path, edit):
    config = json.loads(path.read_text())
    for key in edit.get("drop", []):
        config.pop(key, None)
    for key in edit.get("drop_rope", []):
        config["rope_parameters"].pop(key, None)
    config.update(edit.get("set", {}))
    path.write_text(json.dumps(config, indent=2) + "\n")


def load(folder):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")


def make(name, spec):
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    family = spec["family"]
    config_class = getattr(transformers, family + "Config")
    model_class = getattr(transformers, family + "ForCausalLM")
    config = config_class(**{**BASE, **spec["config"]})
    model = randomise(model_class(config), generator)
    if "dtype" in spec:
        model = model.to(spec["dtype"])

    folder = CASES / name
    shutil.rmtree(folder, ignore_errors=True)
    saved = folder / "model"
    model.save_pretrained(saved, max_shard_size=spec.get("shard", "1GB"))
    edit_config(saved / "config.json", spec.get("file", {}))

    rows = [{"input_ids": random_ids(generator, n, config.vocab_size)} for n in spec.get("lengths", LENGTHS)]
    expected = score(load(saved), rows)
    write_jsonl(folder / "score.jsonl", rows)
    write_jsonl(folder / "expected.jsonl", expected)
    write_json(folder / "case.json", {"kind": "score", "about": spec["about"], "model": "model", "tolerance": 1e-4,
                                      "made_with": f"torch {torch.__version__}, transformers {transformers.__version__}"})

    rounding = largest_difference(expected, score(load(saved).double(), rows))
    with tempfile.TemporaryDirectory() as other:
        shutil.copytree(saved, other, dirs_exist_ok=True)
        edit_config(CASES.__class__(other) / "config.json", {"set": spec["without"]})
        changed = largest_difference(expected, score(load(other), rows))
    size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
    mean = sum(r["loss"] for r in expected if r["loss"]) / (len(expected) - 1)
    print(f"{name:24} {size / 1024:6.0f} KiB  loss {mean:5.2f}  float64 differs by {rounding:.1e}  "
          f"without it by {changed:.2f}")
    assert rounding < 2e-5 and changed > 0.01, name


if __name__ == "__main__":
    for case in sys.argv[1:] or MODELS:
        make(case, MODELS[case])
