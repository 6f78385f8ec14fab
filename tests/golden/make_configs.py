"""Writes data/configs.json: config.json files and what transformers makes of them.

Each entry: "config", and under "expected" sizes, biases, windows, rope frequencies and their
scaling, taken from the configuration and from the modules of the model (without weights).
"""

import json
import pathlib

import torch
import transformers

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
    "llama-yarn-top-length": dict(model_type="llama", **SMALL, max_position_embeddings=4000,
                                  original_max_position_embeddings=1000, rope_theta=10000.0,
                                  rope_scaling=dict(rope_type="yarn", factor=4.0)),
}


def expected(values):
    values = dict(values)
    config = transformers.AutoConfig.for_model(values.pop("model_type"), **values)
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(config)
    rotary = type(model.model.rotary_emb)(config)  # again, with numbers in it
    attention, mlp = model.model.layers[0].self_attn, model.model.layers[0].mlp
    windows = [0] * config.num_hidden_layers
    if getattr(config, "sliding_window", None) is not None:
        kinds = getattr(config, "layer_types", None) or ["sliding_attention"] * len(windows)
        windows = [config.sliding_window if k == "sliding_attention" else 0 for k in kinds]
    return {
        "hidden": config.hidden_size, "layers": config.num_hidden_layers,
        "heads": config.num_attention_heads, "kv_heads": config.num_key_value_heads,
        "head_dim": attention.head_dim, "intermediate": config.intermediate_size,
        "vocab": config.vocab_size, "max_positions": config.max_position_embeddings,
        "norm_eps": config.rms_norm_eps, "tied_head": config.tie_word_embeddings,
        "biases": [layer.bias is not None for layer in (
            attention.q_proj, attention.k_proj, attention.v_proj, attention.o_proj, mlp.up_proj)],
        "qk_norm": hasattr(attention, "q_norm"), "window": windows,
        "bos": config.bos_token_id, "eos": config.eos_token_id, "pad": config.pad_token_id,
        "inv_freq": rotary.inv_freq.tolist(), "attention_scaling": rotary.attention_scaling,
    }


def main():
    lines = [f"{json.dumps(name)}: {json.dumps({'config': config, 'expected': expected(config)})}"
             for name, config in CONFIGS.items()]
    OUT.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
