#!/usr/bin/env python3
"""Writes a Llama of random weights in the shape of a known model: an HF folder of bf16 safetensors in shards, in
bounded memory, with nothing but Python's standard library.

  bench/random_model.py 8B FOLDER
"""

import argparse
import array
import json
import pathlib
import random

SHAPES = {
    "135M": dict(hidden_size=576, num_hidden_layers=30, num_attention_heads=9, num_key_value_heads=3,
                 intermediate_size=1536, vocab_size=49152, tie_word_embeddings=True, rope_theta=100000.0),
    "1B": dict(hidden_size=2048, num_hidden_layers=16, num_attention_heads=32, num_key_value_heads=8,
               intermediate_size=8192, vocab_size=128256, tie_word_embeddings=True, rope_theta=500000.0),
    "8B": dict(hidden_size=4096, num_hidden_layers=32, num_attention_heads=32, num_key_value_heads=8,
               intermediate_size=14336, vocab_size=128256, tie_word_embeddings=False, rope_theta=500000.0),
}
SHARD_BYTES = 1 << 31
BLOCK = (1 << 21) + 1  # numbers that are drawn; tensors repeat them, each from another place


def tensors(shape):
    """Name and extents of every tensor, in the order of the layers."""
    width, inner = shape["hidden_size"], shape["intermediate_size"]
    keys = width // shape["num_attention_heads"] * shape["num_key_value_heads"]
    yield "model.embed_tokens.weight", (shape["vocab_size"], width)
    for layer in range(shape["num_hidden_layers"]):
        at = f"model.layers.{layer}."
        yield at + "input_layernorm.weight", (width,)
        for name, extents in (("q", (width, width)), ("k", (keys, width)), ("v", (keys, width)), ("o", (width, width))):
            yield f"{at}self_attn.{name}_proj.weight", extents
        yield at + "post_attention_layernorm.weight", (width,)
        for name, extents in (("gate", (inner, width)), ("up", (inner, width)), ("down", (width, inner))):
            yield f"{at}mlp.{name}_proj.weight", extents
    yield "model.norm.weight", (width,)
    if not shape["tie_word_embeddings"]:
        yield "lm_head.weight", (shape["vocab_size"], width)


def elements(extents):
    n = 1
    for extent in extents:
        n *= extent
    return n


def bf16(values):
    """The upper halves of f32."""
    wide = array.array("f", values).tobytes()
    half = bytearray(len(wide) // 2)
    half[0::2], half[1::2] = wide[2::4], wide[3::4]
    return bytes(half)


def write_shard(path, members, matrix, norm, draw):
    header, end = {}, 0
    for name, extents in members:
        begin, end = end, end + 2 * elements(extents)
        header[name] = {"dtype": "BF16", "shape": list(extents), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for _, extents in members:
            source = matrix if len(extents) == 2 else norm
            left, at = 2 * elements(extents), 2 * draw.randrange(len(source) // 2)
            while left:
                piece = source[at:at + left]
                file.write(piece)
                left, at = left - len(piece), 0


def write(shape, folder, seed=1):
    """The folder; returns the bytes of its weights."""
    folder.mkdir(parents=True)
    draw = random.Random(seed)
    matrix = bf16(draw.gauss(0, 0.02) for _ in range(BLOCK))
    norm = bf16(1 + draw.gauss(0, 0.1) for _ in range(1 << 16))
    shards, size = [[]], 0
    for name, extents in tensors(shape):
        n = 2 * elements(extents)
        if shards[-1] and size + n > SHARD_BYTES:
            shards.append([])
            size = 0
        shards[-1].append((name, extents))
        size += n
    index = {}
    for i, members in enumerate(shards):
        file = f"model-{i + 1:05}-of-{len(shards):05}.safetensors"
        write_shard(folder / file, members, matrix, norm, draw)
        index.update((name, file) for name, _ in members)
    total = sum(2 * elements(extents) for _, extents in tensors(shape))
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {"total_size": total}, "weight_map": index}, indent=1) + "\n")
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "rms_norm_eps": 1e-5,
              "max_position_embeddings": 8192, "torch_dtype": "bfloat16", "bos_token_id": 0, "eos_token_id": 1,
              "attention_bias": False, "mlp_bias": False, **shape}
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    return total


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("folder", type=pathlib.Path)
    options = parser.parse_args()
    print(f"{write(SHAPES[options.shape], options.folder)} bytes of weights in {options.folder}")


if __name__ == "__main__":
    main()
