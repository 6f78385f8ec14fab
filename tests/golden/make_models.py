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
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from common import CASES, largest_difference, random_ids, randomise, score, write_json, write_jsonl

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
warnings.filterwarnings("ignore")

BASE = dict(vocab_size=83, hidden_size=24, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, max_position_embeddings=256, rms_norm_eps=1e-5, bos_token_id=1,
            eos_token_id=2)

# Families that call their sizes otherwise.
GPT2 = dict(vocab_size=83, n_embd=24, n_inner=40, n_layer=2, n_head=4, n_positions=128, bos_token_id=1, eos_token_id=2,
            resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0)
NEOX = dict(vocab_size=83, hidden_size=32, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4,
            max_position_embeddings=256, layer_norm_eps=1e-5, bos_token_id=1, eos_token_id=2)

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
    "gemma-mqa": dict(
        about="norm weights stored less 1, scaled embeddings, one key/value head, tied",
        family="Gemma", config=dict(num_key_value_heads=1, head_dim=10, pad_token_id=None, tie_word_embeddings=True,
                                    rope_parameters=dict(rope_theta=700.0, rope_type="default")),
        without={"rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"}}),
    "gemma-v4": dict(
        about="`gelu` that means its approximation, biases, an own head, rope keys of transformers 4",
        family="Gemma", config=dict(head_dim=8, attention_bias=True, tie_word_embeddings=False, pad_token_id=0),
        file=v4(rope_theta=10000.0, hidden_act="gelu", hidden_activation=None), without={"rope_theta": 70.0}),
    "gemma2": dict(
        about="norms before and behind, a window on every second layer, both softcaps at work, a scale of queries",
        family="Gemma2", config=dict(num_hidden_layers=3, head_dim=8, sliding_window=5, query_pre_attn_scalar=8,
                                     attn_logit_softcapping=3.0, final_logit_softcapping=2.5, pad_token_id=0),
        lengths=(1, 2, 5, 6, 7, 33), without={"attn_logit_softcapping": 50.0}),
    "gemma2-v4": dict(
        about="no layer_types, no final softcap, untied, rope keys of transformers 4",
        family="Gemma2", config=dict(num_hidden_layers=2, head_dim=10, num_key_value_heads=4, sliding_window=4,
                                     query_pre_attn_scalar=30, attn_logit_softcapping=2.0,
                                     final_logit_softcapping=None, tie_word_embeddings=False, pad_token_id=0),
        file=v4(rope_theta=400.0), lengths=(1, 2, 4, 5, 7, 33), without={"sliding_window": 40}),
    "gemma3": dict(
        about="rotations of their own for layers with a window, scaled ones for the others; norms of q and k",
        family="Gemma3Text", config=dict(
            num_hidden_layers=3, head_dim=8, sliding_window=4, query_pre_attn_scalar=11, pad_token_id=0,
            layer_types=["sliding_attention", "full_attention", "sliding_attention"],
            rope_parameters={"full_attention": dict(rope_theta=3000.0, rope_type="linear", factor=4.0),
                             "sliding_attention": dict(rope_theta=50.0, rope_type="default")}),
        model="Gemma3", lengths=(1, 2, 4, 5, 7, 33, 60),
        without={"layer_types": ["full_attention", "sliding_attention", "sliding_attention"]}),
    "gemma3-v4": dict(
        about="sliding_window_pattern, rope_local_base_freq and rope_scaling of transformers 4, a final softcap",
        family="Gemma3Text", config=dict(
            num_hidden_layers=4, head_dim=6, num_key_value_heads=1, sliding_window=5, query_pre_attn_scalar=6,
            final_logit_softcapping=3.0, pad_token_id=0),
        model="Gemma3", file=v4(sliding_window_pattern=2, rope_theta=500.0, rope_local_base_freq=30.0,
                                rope_scaling={"rope_type": "linear", "factor": 3.0}),
        lengths=(1, 2, 4, 5, 7, 33, 60), without={"rope_local_base_freq": 10000.0}),
    "phi3-longrope": dict(
        about="fused layers, longrope: texts longer than the original length have other frequencies",
        family="Phi3", config=dict(
            pad_token_id=0, max_position_embeddings=256, original_max_position_embeddings=24,
            rope_parameters=dict(rope_type="longrope", rope_theta=500.0, short_factor=[1.0, 1.3, 2.1],
                                 long_factor=[1.5, 3.0, 7.0])),
        lengths=(1, 2, 24, 25, 33, 70), without={"original_max_position_embeddings": 60}),
    "phi3-su-v4": dict(
        about="longrope under its old name `su`, rope keys of transformers 4, tied",
        family="Phi3", config=dict(hidden_size=32, num_key_value_heads=1, pad_token_id=0, tie_word_embeddings=True,
                                   max_position_embeddings=128),
        file=v4(rope_theta=900.0, original_max_position_embeddings=32, rope_scaling={
            "type": "su", "original_max_position_embeddings": 32, "short_factor": [1.1, 1.0, 1.2, 1.4], "long_factor": [2.0, 1.5, 4.0, 9.0]}),
        lengths=(1, 2, 31, 32, 33, 50), without={"rope_scaling": None}),
    "phi3-window": dict(
        about="a part of each head turns, a window on all layers",
        family="Phi3", config=dict(hidden_size=32, sliding_window=5, pad_token_id=0, rope_parameters=dict(
            rope_type="default", rope_theta=700.0, partial_rotary_factor=0.75)), lengths=(1, 2, 5, 6, 33),
        without={"rope_parameters": {"rope_type": "default", "rope_theta": 700.0, "partial_rotary_factor": 0.5}}),
    "gpt2-tied": dict(
        about="learned positions, transposed and fused layers, layer norms with biases",
        family="GPT2", model="GPT2LMHead", base=GPT2, config=dict(), without={"layer_norm_epsilon": 0.5}),
    "gpt2-untied": dict(
        about="names without prefix, an own head, scores divided by the layer's number, quick_gelu",
        family="GPT2", model="GPT2LMHead", base=GPT2, bare=True, config=dict(
            tie_word_embeddings=False, scale_attn_by_inverse_layer_idx=True, activation_function="quick_gelu", n_inner=None),
        without={"scale_attn_by_inverse_layer_idx": False}),
    "gpt_neox": dict(
        about="parallel residual, queries, keys and values by head, a quarter of each head turns",
        family="GPTNeoX", base=NEOX, config=dict(rope_parameters=dict(
            rope_type="default", rope_theta=300.0, partial_rotary_factor=0.25)),
        without={"use_parallel_residual": False}),
    "gpt_neox-v4": dict(
        about="residuals one after the other, rotary_pct and rotary_emb_base, no biases of attention, tied",
        family="GPTNeoX", base=NEOX, config=dict(
            use_parallel_residual=False, attention_bias=False, hidden_act="gelu_new", tie_word_embeddings=True),
        file=v4(rotary_pct=0.5, rotary_emb_base=200), without={"rotary_pct": 0.25}),
    "olmo2": dict(
        about="norms behind the sublayers alone, norms of q and k over all heads",
        family="Olmo2", config=dict(pad_token_id=0, rope_parameters=dict(rope_type="default", rope_theta=900.0)),
        without={"rms_norm_eps": 0.5}),
    "olmo2-v4": dict(
        about="as many key/value heads as heads, tied, biases, rope keys of transformers 4",
        family="Olmo2", config=dict(num_key_value_heads=4, num_hidden_layers=3, attention_bias=True, pad_token_id=0,
                                    tie_word_embeddings=True),
        file=v4(rope_theta=5000.0), without={"rope_theta": 10.0}),
    "smollm3": dict(
        about="every fourth layer without rotation, the class's frequencies",
        family="SmolLM3", config=dict(num_hidden_layers=4, rms_norm_eps=1e-3, pad_token_id=0),
        file={"drop": ["no_rope_layers"]}, without={"no_rope_layer_interval": 2}),
    "smollm3-window": dict(
        about="no_rope_layers, a window on the layers without rotation, biases, untied, rope keys of transformers 4",
        family="SmolLM3", config=dict(num_hidden_layers=3, no_rope_layers=[0, 1, 0], use_sliding_window=True,
                                      sliding_window=4, attention_bias=True, mlp_bias=True,
                                      tie_word_embeddings=False, pad_token_id=0),
        file=v4(rope_theta=800.0), lengths=(1, 2, 4, 5, 7, 33), without={"no_rope_layers": [1, 1, 0]}),
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
    model_class = getattr(transformers, spec.get("model", family) + ("Model" if family == "GPT2" else "ForCausalLM"))
    config = config_class(**{**spec.get("base", BASE), **spec["config"]})
    model = randomise(model_class(config), generator)
    if "dtype" in spec:
        model = model.to(spec["dtype"])

    folder = CASES / name
    shutil.rmtree(folder, ignore_errors=True)
    saved = folder / "model"
    model.save_pretrained(saved, max_shard_size=spec.get("shard", "1GB"))
    edit_config(saved / "config.json", spec.get("file", {}))
    if spec.get("bare"):
        path = saved / "model.safetensors"
        save_file({k.removeprefix("transformer."): v for k, v in load_file(path).items()}, path, {"format": "pt"})

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
