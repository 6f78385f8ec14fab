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
NAMES = ["llama-gqa-tied", "llama-biases-v4", "llama-head-dim", "llama-llama3-v4", "llama-llama3", "qwen2-tied",
         "qwen3-tied", "gemma-mqa", "gemma2", "gemma3-v4", "phi3-longrope", "phi3-window", "gpt2-tied", "gpt_neox",
         "olmo2", "smollm3"]

ARCHITECTURES = {"gemma3_text": "gemma3", "gpt_neox": "gptneox"}


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


def by_kind(rows, heads):
    """q, k, v of one head after the other to all queries, all keys, all values."""
    shape = rows.shape
    return rows.reshape(heads, 3, -1, *shape[1:]).swapaxes(0, 1).reshape(shape).copy()


def size(config, *keys, default=None):
    return next((config[k] for k in keys if config.get(k) is not None), default)


def add_rope(writer, config, kind, head_dim):
    rope = config.get("rope_scaling") or config.get("rope_parameters") or {}
    theta = size(config, "rope_theta", "rotary_emb_base") or rope.get("rope_theta", 10000.0)
    writer.add_rope_freq_base(theta)
    if kind == "gemma3":
        writer.add_rope_freq_base_swa(config["rope_local_base_freq"])
    if kind in ("phi3", "gptneox"):
        part = size(config, "partial_rotary_factor", "rotary_pct") or rope.get("partial_rotary_factor", 1.0)
        writer.add_rope_dimension_count(int(head_dim * part))
    if rope.get("rope_type") == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(rope["factor"])
    if rope.get("rope_type") == "llama3":
        writer.add_tensor("rope_freqs.weight", llama3_factors(rope, theta, head_dim))
    if kind == "phi3":
        length = rope.get("original_max_position_embeddings") or config["original_max_position_embeddings"]
        writer.add_rope_scaling_orig_ctx_len(length)
        if rope.get("rope_type") == "longrope":
            scale = config["max_position_embeddings"] / length
            writer.add_rope_scaling_attn_factors(math.sqrt(1 + math.log(scale) / math.log(length)))
            for which in ("long", "short"):
                writer.add_tensor(f"rope_factors_{which}.weight", numpy.array(rope[f"{which}_factor"], numpy.float32))


def write(name, folder=None, target=None):
    folder = folder or DATA / "cases" / name / "model"
    config = json.loads((folder / "config.json").read_text())
    layers, hidden = size(config, "num_hidden_layers", "n_layer"), size(config, "hidden_size", "n_embd")
    heads = size(config, "num_attention_heads", "n_head")
    kv_heads = size(config, "num_key_value_heads", default=heads)
    head_dim = size(config, "head_dim", default=hidden // heads)
    kind = ARCHITECTURES.get(config["model_type"], config["model_type"])
    writer = gguf.GGUFWriter(target or DATA / "gguf" / f"{name}.gguf", kind)
    writer.add_block_count(layers)
    writer.add_context_length(size(config, "max_position_embeddings", "n_positions"))
    writer.add_embedding_length(hidden)
    writer.add_feed_forward_length(size(config, "intermediate_size", "n_inner", default=4 * hidden))
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    if kind not in ("phi3", "gpt2", "gptneox"):
        writer.add_key_length(head_dim)
        writer.add_value_length(head_dim)
    if kind in ("gpt2", "gptneox"):
        writer.add_layer_norm_eps(size(config, "layer_norm_epsilon", "layer_norm_eps"))
    else:
        writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    if kind != "gpt2":
        add_rope(writer, config, kind, head_dim)
    if kind == "gptneox":
        writer.add_parallel_residual(config["use_parallel_residual"])
    if kind in ("gemma2", "gemma3", "phi3"):
        writer.add_sliding_window(config["sliding_window"] or 0)
    if kind == "gemma3":
        writer.add_sliding_window_pattern(config["sliding_window_pattern"])
    for key, add in (("attn_logit_softcapping", writer.add_attn_logit_softcapping),
                     ("final_logit_softcapping", writer.add_final_logit_softcapping)):
        if config.get(key) is not None:
            add(config[key])
    writer.add_bos_token_id(config["bos_token_id"])
    writer.add_eos_token_id(config["eos_token_id"])
    (architecture,) = [a for a, n in gguf.MODEL_ARCH_NAMES.items() if n == kind]
    names = gguf.get_tensor_name_map(architecture, layers)
    for key, tensor in load_file(folder / "model.safetensors").items():
        if kind in ("llama", "smollm3") and "q_proj" in key:
            tensor = interleave(tensor, heads)
        if kind in ("llama", "smollm3") and "k_proj" in key:
            tensor = interleave(tensor, kv_heads)
        if kind == "gptneox" and "query_key_value" in key:
            tensor = by_kind(tensor, heads)
        if kind == "gpt2" and key.endswith((".c_attn.weight", ".c_proj.weight", ".c_fc.weight")):
            tensor = tensor.T.copy()
        if kind.startswith("gemma") and key.endswith("norm.weight"):
            tensor = tensor + numpy.float32(1)
        writer.add_tensor(names.get_name(key, try_suffixes=(".weight", ".bias")), tensor)
        if kind == "gpt2" and "wte" in key:  # files of this kind have a copy
            writer.add_tensor("output.weight", tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    (DATA / "gguf").mkdir(parents=True, exist_ok=True)
    for model in NAMES:
        write(model)
