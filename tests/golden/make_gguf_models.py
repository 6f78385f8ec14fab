"""Writes data/gguf/NAME.gguf from data/cases/NAME/model, as llama.cpp's converter stores them.

Rows of q and k are reordered for the llama architecture, llama3 scaling becomes a tensor of
factors, a tied head is left out. Needs numpy, safetensors and gguf (0.19.0).
"""

import json
import math
import pathlib

import gguf
import numpy
from safetensors.numpy import load_file

DATA = pathlib.Path(__file__).resolve().parent / "data"
NAMES = ["llama-gqa-tied", "llama-biases-v4", "llama-head-dim", "llama-llama3-v4",
         "llama-llama3", "qwen2-tied", "qwen3-tied"]

MODULES = {
    "model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output",
    "input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
    "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def gguf_name(name):
    module, suffix = name.rsplit(".", 1)
    if module.startswith("model.layers."):
        layer, module = module[len("model.layers."):].split(".", 1)
        return f"blk.{layer}.{MODULES[module]}.{suffix}"
    return f"{MODULES[module]}.{suffix}"


def interleave(rows, heads):
    """Half-split order of each head's rows to adjacent pairs."""
    shape = rows.shape
    return rows.reshape(heads, 2, -1, *shape[1:]).swapaxes(1, 2).reshape(shape).copy()


def llama3_factors(scaling, theta, head_dim):
    old = scaling["original_max_position_embeddings"]
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    factors = []
    for i in range(0, head_dim, 2):
        wavelength = 2 * math.pi * theta ** (i / head_dim)
        if wavelength < old / high:
            factors.append(1.0)
        elif wavelength > old / low:
            factors.append(scaling["factor"])
        else:
            smooth = (old / wavelength - low) / (high - low)
            factors.append(1 / ((1 - smooth) / scaling["factor"] + smooth))
    return numpy.array(factors, numpy.float32)


def write(name):
    folder = DATA / "cases" / name / "model"
    config = json.loads((folder / "config.json").read_text())
    rope = config.get("rope_parameters") or {}
    theta = rope.get("rope_theta", config.get("rope_theta", 10000.0))
    heads = config["num_attention_heads"]
    kv_heads = config.get("num_key_value_heads", heads)
    head_dim = config.get("head_dim") or config["hidden_size"] // heads
    kind = config["model_type"]
    writer = gguf.GGUFWriter(DATA / "gguf" / f"{name}.gguf", kind)
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_key_length(head_dim)
    writer.add_value_length(head_dim)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(theta)
    writer.add_bos_token_id(config["bos_token_id"])
    writer.add_eos_token_id(config["eos_token_id"])
    scaling = config.get("rope_scaling") or rope
    if scaling.get("rope_type") == "llama3":
        writer.add_tensor("rope_freqs.weight", llama3_factors(scaling, theta, head_dim))
    for key, tensor in load_file(folder / "model.safetensors").items():
        if kind == "llama" and "q_proj" in key:
            tensor = interleave(tensor, heads)
        if kind == "llama" and "k_proj" in key:
            tensor = interleave(tensor, kv_heads)
        writer.add_tensor(gguf_name(key), tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    (DATA / "gguf").mkdir(parents=True, exist_ok=True)
    for model in NAMES:
        write(model)
