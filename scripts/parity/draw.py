"""Draws models, adapters and runs at random, within what graft supports."""

import json
import math

import torch
import transformers

from common import randomise

LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def rope(draw, head_dim):
    theta = round(math.exp(draw.uniform(math.log(50), math.log(1e6))), 3)
    kind = draw.choice(["default", "default", "linear", "llama3", "yarn"])
    parameters = {"rope_theta": theta, "rope_type": kind}
    if kind != "default":
        parameters["factor"] = round(draw.uniform(1.5, 9), 2)
    if kind == "llama3":
        parameters.update(low_freq_factor=draw.choice([1.0, 1.5]), high_freq_factor=draw.choice([3.0, 4.0]),
                          original_max_position_embeddings=draw.choice([32, 64, 200]))
    if kind == "yarn":
        parameters["original_max_position_embeddings"] = draw.choice([64, 300, 1024])
        if draw.random() < 0.5:
            parameters.update(beta_fast=draw.choice([8.0, 16.0]), beta_slow=draw.choice([1.0, 2.0]))
        if draw.random() < 0.3:
            parameters["attention_factor"] = round(draw.uniform(0.8, 1.4), 3)
    return parameters


def config(draw):
    family = draw.choice(["Llama", "Mistral", "Qwen2", "Qwen3"])
    heads = draw.choice([1, 2, 3, 4, 6])
    hidden = heads * draw.choice([4, 6, 8, 10])
    head_dim = hidden // heads
    values = dict(
        vocab_size=draw.randrange(40, 400), hidden_size=hidden, intermediate_size=draw.randrange(8, 90),
        num_hidden_layers=draw.randrange(1, 4), num_attention_heads=heads,
        num_key_value_heads=draw.choice([n for n in range(1, heads + 1) if heads % n == 0]),
        max_position_embeddings=draw.choice([512, 2048]), rms_norm_eps=draw.choice([1e-6, 1e-5, 1e-2]),
        tie_word_embeddings=draw.random() < 0.5, bos_token_id=1, eos_token_id=2)
    if family == "Qwen3" or (family != "Qwen2" and draw.random() < 0.5):
        values["head_dim"] = head_dim = draw.choice([4, 6, 8, 12, 16])
    values["rope_parameters"] = rope(draw, head_dim)
    window = draw.choice([None, 1, 3, 8])
    if family == "Llama":
        values.update(attention_bias=draw.random() < 0.3, mlp_bias=draw.random() < 0.3)
    elif family == "Mistral":
        values["sliding_window"] = window
    else:
        values.update(use_sliding_window=window is not None, sliding_window=window or 4,
                      max_window_layers=draw.randrange(0, 3))
        if family == "Qwen3":
            values["attention_bias"] = draw.random() < 0.3
    return family, values


def old_keys(path):
    """Rewrites config.json as transformers 4 wrote it."""
    values = json.loads(path.read_text())
    parameters = values.pop("rope_parameters")
    values["rope_theta"] = parameters.pop("rope_theta")
    values["rope_scaling"] = None if parameters["rope_type"] == "default" else parameters
    values["torch_dtype"] = values.pop("dtype")
    values.pop("layer_types", None)
    path.write_text(json.dumps(values, indent=2))


def model(draw, folder):
    """Saves a model with random weights; returns a line that says what it is."""
    family, values = config(draw)
    generator = torch.Generator().manual_seed(draw.randrange(1 << 30))
    made = getattr(transformers, family + "ForCausalLM")(getattr(transformers, family + "Config")(**values))
    randomise(made, generator)
    dtype = draw.choice(["float32", "float32", "float32", "bfloat16", "float16"])
    made = made.to(getattr(torch, dtype))
    shards = draw.random() < 0.3
    made.save_pretrained(folder, max_shard_size="15KB" if shards else "1GB")
    old = draw.random() < 0.5
    if old:
        old_keys(folder / "config.json")
    shown = {k: v for k, v in values.items() if k not in ("bos_token_id", "eos_token_id", "max_position_embeddings")}
    return f"{family} {dtype}{' sharded' if shards else ''}{' v4' if old else ''} {json.dumps(shown)}"


def adapter(draw, config):
    """Options of a PEFT LoraConfig for a model of this config."""
    targets = draw.sample(LINEAR, draw.randrange(1, 8))
    options = dict(r=draw.randrange(1, 9), lora_alpha=draw.randrange(1, 17), use_rslora=draw.random() < 0.3)
    whole = []
    if draw.random() < 0.3:
        whole = draw.sample(["lm_head", "norm", "input_layernorm"] if not config.tie_word_embeddings
                            else ["input_layernorm", "post_attention_layernorm"], 1)
        options["modules_to_save"] = whole
    if draw.random() < 0.3:
        targets.append("embed_tokens")
    if draw.random() < 0.3 and "lm_head" not in whole and not config.tie_word_embeddings:
        targets.append("lm_head")
    layers = config.num_hidden_layers
    if draw.random() < 0.3 and not {"embed_tokens", "lm_head"} & set(targets):
        options["layers_to_transform"] = sorted(draw.sample(range(layers), draw.randrange(1, layers + 1)))
    if draw.random() < 0.3:
        options["rank_pattern"] = {draw.choice(targets): draw.randrange(1, 7)}
    if draw.random() < 0.3:
        options["alpha_pattern"] = {draw.choice(targets): draw.randrange(1, 20)}
    options["target_modules"] = targets
    return options


def method(draw, name, config):
    """Options of another method of PEFT for a model of this config; a text for one that PEFT has no format for."""
    targets = draw.sample(LINEAR, draw.randrange(1, 8))
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    widths = [config.hidden_size, config.num_attention_heads * head_dim, config.intermediate_size]
    rank = dict(r=draw.randrange(1, 7), alpha=draw.randrange(1, 12), target_modules=targets)
    tokens = dict(num_virtual_tokens=draw.randrange(1, 9))
    if name == "dora":
        return dict(r=rank["r"], lora_alpha=rank["alpha"], use_dora=True, use_rslora=draw.random() < 0.3,
                    target_modules=targets + draw.choice([[], ["embed_tokens"]]))
    if name == "vera":
        return dict(peft_type="VERA", r=draw.randrange(1, 20), d_initial=draw.choice([0.1, 0.5]), target_modules=targets,
                    projection_prng_key=draw.randrange(1 << 32), save_projection=draw.random() < 0.5)
    if name == "ia3":
        return dict(peft_type="IA3", target_modules=targets,
                    feedforward_modules=draw.sample(targets, draw.randrange(len(targets) + 1)))
    if name == "ln_tuning":
        return dict(peft_type="LN_TUNING", target_modules=draw.choice([["input_layernorm", "norm"],
                                                                       ["post_attention_layernorm"]]))
    if name == "loha":
        return dict(peft_type="LOHA", **rank)
    if name == "lokr":
        return dict(peft_type="LOKR", **rank, decompose_both=draw.random() < 0.5,
                    decompose_factor=draw.choice([-1, -1, 2, 3, 5]), init_weights=draw.choice([True, "lycoris"]))
    if name == "oft":
        sizes = [b for b in (2, 3, 4, 5, 6, 8) if all(w % b == 0 for w in widths)] or [1]
        return dict(peft_type="OFT", r=0, oft_block_size=draw.choice(sizes) if sizes != [1] else 2,
                    use_cayley_neumann=draw.random() < 0.7, num_cayley_neumann_terms=draw.randrange(2, 8),
                    block_share=draw.random() < 0.3, target_modules=targets) if sizes != [1] else None
    if name == "prompt":
        return dict(peft_type="PROMPT_TUNING", **tokens)
    if name == "prefix":
        return dict(peft_type="PREFIX_TUNING", **tokens, prefix_projection=draw.random() < 0.5,
                    encoder_hidden_size=draw.randrange(3, 20))
    if name == "p_tuning":
        return dict(peft_type="P_TUNING", **tokens, encoder_hidden_size=draw.randrange(3, 20),
                    encoder_num_layers=draw.randrange(1, 3),
                    encoder_reparameterization_type=draw.choice(["MLP", "LSTM"]))
    return name


METHODS = ["dora", "vera", "ia3", "ln_tuning", "loha", "lokr", "oft", "prompt", "prefix", "p_tuning", "full"]


def lines(draw, count, vocab):
    """Lines of a `tokens` file; in half of them a prompt without loss."""
    out = []
    for _ in range(count):
        ids = [draw.randrange(vocab) for _ in range(draw.randrange(2, 24))]
        line = {"input_ids": ids}
        if draw.random() < 0.5:
            hidden = draw.randrange(1, len(ids))
            line["labels"] = [-100] * hidden + ids[hidden:]
        out.append(line)
    return out


def run(draw):
    """A run.json without its paths and methods."""
    if draw.random() < 0.7:
        optimizer = dict(type="adamw", lr=draw.choice([2e-3, 1e-2]), betas=draw.choice([[0.9, 0.999], [0.8, 0.95]]),
                         eps=draw.choice([1e-8, 1e-5]), weight_decay=draw.choice([0.0, 0.1, 0.3]))
    else:
        optimizer = dict(type="sgd", lr=0.03, momentum=draw.choice([0.0, 0.9]), weight_decay=draw.choice([0.0, 0.1]))
    loop = dict(steps=draw.randrange(6, 11), accumulate=draw.randrange(1, 4), clip=draw.choice([1.0, 2.0, 5.0]),
                schedule=draw.choice(["constant", "linear", "cosine"]))
    loop.update(draw.choice([{"warmup_steps": 2}, {"warmup_steps": 0}, {"warmup_ratio": 0.21}]))
    loop.update(draw.choice([{"batch_size": 1}, {"batch_size": 3}, {"batch_tokens": 50}]))
    return {"data": {"train": "train.jsonl", "format": "tokens", "max_length": draw.choice([12, 64]), "shuffle": False},
            "optimizer": optimizer, "train": loop, "output": {"dir": "out"}}
