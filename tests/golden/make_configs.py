"""Writes data/configs.json: config.json files and what transformers makes of them.

Each entry: "config", and under "expected" sizes, biases, windows, rope frequencies and their
scaling, taken from the configuration and from the modules of the model (without weights).
"""

import json
import pathlib

import torch
import transformers
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

OUT = pathlib.Path(__file__).resolve().parent / "data" / "configs.json"

SMALL = dict(hidden_size=64, intermediate_size=96, num_hidden_layers=4, num_attention_heads=4,
             num_key_value_heads=2, vocab_size=100)
LLAMA3 = dict(rope_type="llama3", factor=32.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=8192)

CONFIGS = {
    "llama-empty": dict(model_type="llama"),
    "mistral-empty": dict(model_type="mistral"),
    "qwen2-empty": dict(model_type="qwen2"),
    "qwen3-empty": dict(model_type="qwen3"),
    "llama-biases": dict(model_type="llama", **SMALL, attention_bias=True, mlp_bias=True),
    "llama-tied-nulls": dict(model_type="llama", **SMALL, tie_word_embeddings=True, head_dim=None,
                             rope_scaling=None, pad_token_id=None),
    "mistral-null-window": dict(model_type="mistral", **SMALL, sliding_window=None, head_dim=24),
    "mistral-window": dict(model_type="mistral", **SMALL, sliding_window=7),
    "qwen2-window": dict(model_type="qwen2", **SMALL, use_sliding_window=True, sliding_window=9,
                         max_window_layers=3),
    "qwen2-window-off": dict(model_type="qwen2", **SMALL, sliding_window=9, max_window_layers=1),
    "qwen3-layer-types": dict(model_type="qwen3", **SMALL, head_dim=20, attention_bias=True,
                              use_sliding_window=True, sliding_window=5,
                              layer_types=["full_attention", "sliding_attention",
                                           "sliding_attention", "full_attention"]),
    "llama-3.2-1b": dict(model_type="llama", hidden_size=2048, intermediate_size=8192,
                         num_hidden_layers=16, num_attention_heads=32, num_key_value_heads=8,
                         head_dim=64, vocab_size=128256, max_position_embeddings=131072,
                         rope_theta=500000.0, rope_scaling=LLAMA3, tie_word_embeddings=True,
                         eos_token_id=[128001, 128008, 128009], bos_token_id=128000),
    "llama-v5-llama3": dict(model_type="llama", **SMALL, max_position_embeddings=4096,
                            rope_parameters=dict(rope_type="llama3", rope_theta=3000.0, factor=5.0,
                                                 low_freq_factor=1.5, high_freq_factor=6.0,
                                                 original_max_position_embeddings=700)),
    "llama-linear-old-type": dict(model_type="llama", **SMALL, rope_theta=2500.0,
                                  rope_scaling=dict(type="linear", factor=3.0)),
    "qwen2.5-yarn": dict(model_type="qwen2", hidden_size=3584, num_attention_heads=28,
                         num_key_value_heads=4, max_position_embeddings=131072,
                         rope_theta=1000000.0,
                         rope_scaling=dict(type="yarn", factor=4.0,
                                           original_max_position_embeddings=32768)),
    "qwen3-yarn-all": dict(model_type="qwen3", **SMALL, head_dim=48, max_position_embeddings=2048,
                           rope_parameters=dict(rope_type="yarn", rope_theta=50000.0, factor=2.5,
                                                beta_fast=20.0, beta_slow=2.0,
                                                attention_factor=0.8,
                                                original_max_position_embeddings=512)),
    "llama-yarn-mscale": dict(model_type="llama", **SMALL, max_position_embeddings=900,
                              rope_parameters=dict(rope_type="yarn", rope_theta=100.0, factor=5.0,
                                                   mscale=1.4, mscale_all_dim=0.4,
                                                   truncate=False)),
    "gemma-empty": dict(model_type="gemma"),
    "gemma2-empty": dict(model_type="gemma2"),
    "gemma3-empty": dict(model_type="gemma3_text"),
    "phi3-empty": dict(model_type="phi3"),
    "gpt2-empty": dict(model_type="gpt2"),
    "gpt_neox-empty": dict(model_type="gpt_neox"),
    "olmo2-empty": dict(model_type="olmo2"),
    "smollm3-empty": dict(model_type="smollm3"),
    "gemma2-small": dict(model_type="gemma2", **SMALL, head_dim=20, sliding_window=9, query_pre_attn_scalar=33,
                         final_logit_softcapping=None, attn_logit_softcapping=7.0,
                         layer_types=["full_attention", "sliding_attention", "full_attention", "full_attention"]),
    "gemma3-1b": dict(model_type="gemma3_text", vocab_size=262144, hidden_size=1152, intermediate_size=6912,
                      num_hidden_layers=26, num_attention_heads=4, num_key_value_heads=1, head_dim=256,
                      sliding_window=512, sliding_window_pattern=6, rope_theta=1000000.0,
                      rope_local_base_freq=10000.0, rope_scaling=dict(rope_type="linear", factor=8.0),
                      eos_token_id=[1, 106]),
    "phi-3.5": dict(model_type="phi3", hidden_size=96, intermediate_size=80, num_hidden_layers=2,
                    num_attention_heads=4, vocab_size=100, pad_token_id=0, max_position_embeddings=131072,
                    original_max_position_embeddings=4096, sliding_window=2047, partial_rotary_factor=0.75,
                    rope_scaling=dict(type="longrope", short_factor=[1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 2.0, 2.5, 2.6],
                                      long_factor=[1.0, 2.0, 3.0, 5.0, 9.0, 17.0, 33.0, 64.0, 64.5])),
    "pythia": dict(model_type="gpt_neox", hidden_size=128, intermediate_size=512, num_hidden_layers=6,
                   num_attention_heads=8, vocab_size=50304, rotary_pct=0.25, rotary_emb_base=10000,
                   use_parallel_residual=True, bos_token_id=0, eos_token_id=0),
    "smollm3-nope": dict(model_type="smollm3", **SMALL, no_rope_layers=[0, 1, 1, 0], use_sliding_window=True,
                         sliding_window=17, attention_bias=True, pad_token_id=0),
    "gpt2-scaled": dict(model_type="gpt2", n_embd=64, n_layer=3, n_head=4, n_inner=100, vocab_size=90,
                        n_positions=77, scale_attn_by_inverse_layer_idx=True, scale_attn_weights=False,
                        activation_function="gelu_pytorch_tanh"),
    "llama-yarn-top-length": dict(model_type="llama", **SMALL, max_position_embeddings=4000,
                                  original_max_position_embeddings=1000, rope_theta=10000.0,
                                  rope_scaling=dict(rope_type="yarn", factor=4.0)),
}


def expected(values):
    values = dict(values)
    config = transformers.AutoConfig.for_model(values.pop("model_type"), **values)
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(config)
    kind = config.model_type
    base = getattr(model, {"gpt2": "transformer", "gpt_neox": "gpt_neox"}.get(kind, "model"))
    layer = (base.h if kind == "gpt2" else base.layers)[0]
    names = FUSED.get(kind, [f"self_attn.{n}_proj" for n in "qkvo"] + ["mlp.up_proj"])
    attention = layer.attn if kind == "gpt2" else layer.attention if kind == "gpt_neox" else layer.self_attn
    windows = [0] * config.num_hidden_layers
    if getattr(config, "sliding_window", None) is not None:
        kinds = getattr(config, "layer_types", None) or ["sliding_attention"] * len(windows)
        windows = [config.sliding_window if k == "sliding_attention" else 0 for k in kinds]
    heads, eps = config.num_attention_heads, [k for k in EPS if hasattr(config, k)]
    return {
        "hidden": config.hidden_size, "layers": config.num_hidden_layers, "heads": heads,
        "kv_heads": getattr(config, "num_key_value_heads", heads),
        "head_dim": getattr(attention, "head_dim", config.hidden_size // heads),
        "intermediate": layer.mlp.c_fc.nf if kind == "gpt2" else config.intermediate_size,
        "vocab": config.vocab_size, "max_positions": config.max_position_embeddings,
        "norm_eps": getattr(config, eps[0]), "tied_head": config.tie_word_embeddings,
        "biases": [getattr(layer.get_submodule(n), "bias", None) is not None for n in names],
        "qk_norm": hasattr(attention, "q_norm"), "window": windows,
        "bos": config.bos_token_id, "eos": config.eos_token_id, "pad": config.pad_token_id,
        "ropes": [] if kind == "gpt2" else ropes(type(base.rotary_emb)(config), config),
        "layer_rope": layer_ropes(config),
        "scales": [getattr(m, "self_attn", None) and m.self_attn.scaling or
                   getattr(m, "attn", None) and m.attn.scaling or m.attention.scaling
                   for m in (base.h if kind == "gpt2" else base.layers)],
        "softcaps": [(config.attn_logit_softcapping if kind == "gemma2" else None) or 0,
                     getattr(config, "final_logit_softcapping", None) or 0],
        "embedding_scale": getattr(base.get_input_embeddings(), "scalar_embed_scale", 1.0),
    }


FUSED = {
    "phi3": ["self_attn.qkv_proj"] * 3 + ["self_attn.o_proj", "mlp.gate_up_proj"],
    "gpt2": ["attn.c_attn"] * 3 + ["attn.c_proj", "mlp.c_fc"],
    "gpt_neox": ["attention.query_key_value"] * 3 + ["attention.dense", "mlp.dense_h_to_4h"],
}
EPS = ["rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon"]


def ropes(rotary, config):
    """The rotations, built again, with numbers in them."""
    if config.model_type == "gemma3_text":
        return [{"inv_freq": getattr(rotary, f"{k}_inv_freq").tolist(),
                 "attention_scaling": getattr(rotary, f"{k}_attention_scaling")}
                for k in ("full_attention", "sliding_attention")]
    found = {"inv_freq": rotary.inv_freq.tolist(), "attention_scaling": rotary.attention_scaling}
    if rotary.rope_type == "longrope":
        length = config.rope_parameters["original_max_position_embeddings"]
        longer, _ = ROPE_INIT_FUNCTIONS["longrope"](config, "cpu", seq_len=length + 1)
        found.update(long_inv_freq=longer.tolist(), original_length=length)
    return [found]


def layer_ropes(config):
    if config.model_type == "gpt2":
        return [-1] * config.num_hidden_layers
    if config.model_type == "gemma3_text":
        return [int(k == "sliding_attention") for k in config.layer_types]
    turns = getattr(config, "no_rope_layers", None) or [1] * config.num_hidden_layers
    return [0 if on else -1 for on in turns]


def main():
    lines = [f"{json.dumps(name)}: {json.dumps({'config': config, 'expected': expected(config)})}"
             for name, config in CONFIGS.items()]
    OUT.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
