"""Draws models, adapters and runs at random, within what graft supports."""

import json
import math

import torch
import transformers

from common import randomise

LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]

WIDE = 400  # no text is so long

# Where the modules of a family are called otherwise: linear layers, norms, embedding.
LINEARS = {
    "phi3": ["qkv_proj", "o_proj", "gate_up_proj", "down_proj"],
    "gpt2": ["c_attn", "attn.c_proj", "c_fc", "mlp.c_proj"],
    "gpt_neox": ["query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"],
}
NORMS = {
    "gpt2": ["ln_1", "ln_2", "ln_f"],
    "gpt_neox": ["input_layernorm", "post_attention_layernorm", "final_layer_norm"],
    "olmo2": ["post_attention_layernorm", "post_feedforward_layernorm", "norm"],
}
EMBEDDINGS = {"gpt2": "wte", "gpt_neox": "embed_in"}


def linear(config):
    return LINEARS.get(config.model_type, LINEAR)


def norms(config):
    return NORMS.get(config.model_type, ["input_layernorm", "post_attention_layernorm", "norm"])


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


def longrope(draw, rotary, theta):
    factors = lambda most: [round(draw.uniform(1, most), 3) for _ in range(rotary // 2)]  # noqa: E731
    return {"rope_type": "longrope", "rope_theta": theta, "short_factor": factors(1.5), "long_factor": factors(9)}


def windows(draw):
    """Sizes of attention windows: wide where a method is drawn whose prefixes PEFT's masks of a window do not count, and
    of more than one key for training, as no gradient reaches queries and keys of one."""
    return [None, WIDE] if getattr(draw, "wide", False) else [None, 2 if getattr(draw, "trains", False) else 1, 3, 8]


def newer(draw, family, values, heads, head_dim):
    """What the families of models differ in beside sizes."""
    window = draw.choice(windows(draw))
    layers = values["num_hidden_layers"]
    theta = round(math.exp(draw.uniform(math.log(50), math.log(1e6))), 3)
    if family.startswith("Gemma"):
        values["head_dim"] = head_dim = draw.choice([4, 6, 8, 12])
        values.update(attention_bias=draw.random() < 0.3, pad_token_id=None)
    if family == "Gemma":
        values["rope_parameters"] = rope(draw, head_dim)
    elif family in ("Gemma2", "Gemma3Text"):
        values.update(query_pre_attn_scalar=draw.randrange(3, 40), sliding_window=window or (WIDE if getattr(draw, "wide", False) else 5),
                      final_logit_softcapping=draw.choice([None, 2.0, 30.0]))
        if draw.random() < 0.5:
            values["layer_types"] = [draw.choice(["sliding_attention", "full_attention"]) for _ in range(layers)]
        if family == "Gemma2":
            values.update(attn_logit_softcapping=draw.choice([None, 1.5, 50.0]), rope_parameters=rope(draw, head_dim))
        else:
            values["rope_parameters"] = {"full_attention": rope(draw, head_dim),
                                         "sliding_attention": {"rope_type": "default", "rope_theta": theta}}
    elif family == "Phi3":
        values.update(pad_token_id=None, sliding_window=window)
        parts = [p for p in (0.25, 0.5, 0.75, 1.0) if int(head_dim * p) % 2 == 0 and int(head_dim * p) > 0]
        part = draw.choice(parts)
        values["rope_parameters"] = {"rope_type": "default", "rope_theta": theta}
        if draw.random() < 0.6:
            values["rope_parameters"] = longrope(draw, int(head_dim * part), theta)
            values["original_max_position_embeddings"] = draw.choice([8, 16, 40, 100])
        values["rope_parameters"]["partial_rotary_factor"] = part
    elif family == "GPTNeoX":
        del values["num_key_value_heads"], values["rms_norm_eps"]
        parts = [p for p in (0.25, 0.5, 1.0) if int(head_dim * p) % 2 == 0 and int(head_dim * p) > 0]
        values.update(layer_norm_eps=draw.choice([1e-6, 1e-5, 1e-2]), use_parallel_residual=draw.random() < 0.6,
                      attention_bias=draw.random() < 0.7, hidden_act=draw.choice(["gelu", "gelu_new", "relu"]))
        values["rope_parameters"] = {**rope(draw, 2), "rope_type": "default", "partial_rotary_factor": draw.choice(parts)}
        values["rope_parameters"] = {k: v for k, v in values["rope_parameters"].items()
                                     if k in ("rope_type", "rope_theta", "partial_rotary_factor")}
    elif family == "Olmo2":
        values.update(pad_token_id=None, attention_bias=draw.random() < 0.3, rope_parameters=rope(draw, head_dim))
    elif family == "SmolLM3":
        values.update(pad_token_id=None, attention_bias=draw.random() < 0.3, mlp_bias=draw.random() < 0.3,
                      rope_parameters=rope(draw, head_dim), use_sliding_window=window is not None,
                      sliding_window=window, no_rope_layer_interval=draw.choice([2, 3, 4]))
        if draw.random() < 0.5:
            values["no_rope_layers"] = [draw.randrange(2) for _ in range(layers)]
    elif family == "GPT2":
        return dict(vocab_size=values["vocab_size"], n_embd=values["hidden_size"], n_layer=layers, n_head=heads,
                    n_inner=draw.choice([None, values["intermediate_size"]]), n_positions=draw.choice([96, 130]),
                    layer_norm_epsilon=draw.choice([1e-6, 1e-5, 1e-2]), bos_token_id=1, eos_token_id=2,
                    tie_word_embeddings=values["tie_word_embeddings"], scale_attn_weights=draw.random() < 0.8,
                    scale_attn_by_inverse_layer_idx=draw.random() < 0.3, resid_pdrop=0.0, embd_pdrop=0.0,
                    attn_pdrop=0.0, activation_function=draw.choice(["gelu_new", "gelu", "quick_gelu", "gelu_fast", "relu"]))
    return values


OLD = ["Llama", "Mistral", "Qwen2", "Qwen3"]
FAMILIES = OLD + ["Gemma", "Gemma2", "Gemma3Text", "Phi3", "GPT2", "GPTNeoX", "Olmo2", "SmolLM3"]
CLASSES = {"Gemma3Text": "Gemma3ForCausalLM", "GPT2": "GPT2LMHeadModel"}


def config(draw, families):
    family = draw.choice(families)
    heads = draw.choice([1, 2, 3, 4, 6])
    hidden = heads * draw.choice([4, 6, 8, 10])
    head_dim = hidden // heads
    values = dict(
        vocab_size=draw.randrange(40, 400), hidden_size=hidden, intermediate_size=draw.randrange(8, 90),
        num_hidden_layers=draw.randrange(1, 4), num_attention_heads=heads,
        num_key_value_heads=draw.choice([n for n in range(1, heads + 1) if heads % n == 0]),
        max_position_embeddings=draw.choice([512, 2048]), rms_norm_eps=draw.choice([1e-6, 1e-5, 1e-2]),
        tie_word_embeddings=draw.random() < 0.5, bos_token_id=1, eos_token_id=2)
    if family not in OLD:
        return family, newer(draw, family, values, heads, head_dim)
    if family == "Qwen3" or (family != "Qwen2" and draw.random() < 0.5):
        values["head_dim"] = head_dim = draw.choice([4, 6, 8, 12, 16])
    values["rope_parameters"] = rope(draw, head_dim)
    window = draw.choice(windows(draw))
    if family == "Llama":
        values.update(attention_bias=draw.random() < 0.3, mlp_bias=draw.random() < 0.3)
    elif family == "Mistral":
        values["sliding_window"] = window
    else:
        values.update(use_sliding_window=window is not None, sliding_window=window or (WIDE if getattr(draw, "wide", False) else 4),
                      max_window_layers=draw.randrange(0, 3))
        if family == "Qwen3":
            values["attention_bias"] = draw.random() < 0.3
    return family, values


def old_keys(path):
    """Rewrites config.json as transformers 4 wrote it."""
    values = json.loads(path.read_text())
    values["torch_dtype"] = values.pop("dtype")
    parameters = values.pop("rope_parameters", None)
    if parameters is not None and "full_attention" in parameters:  # Gemma 3
        values["rope_local_base_freq"] = parameters["sliding_attention"]["rope_theta"]
        parameters = parameters["full_attention"]
    elif values["model_type"] not in ("gemma2", "smollm3"):
        values.pop("layer_types", None)
    if parameters is not None:
        theta, part = parameters.pop("rope_theta"), parameters.pop("partial_rotary_factor", None)
        values["rotary_emb_base" if values["model_type"] == "gpt_neox" else "rope_theta"] = theta
        if part is not None:
            values["rotary_pct" if values["model_type"] == "gpt_neox" else "partial_rotary_factor"] = part
        values["rope_scaling"] = None if parameters["rope_type"] == "default" else parameters
    path.write_text(json.dumps(values, indent=2))


def model(draw, folder, families=OLD):
    """Saves a model with random weights; returns a line that says what it is."""
    family, values = config(draw, families)
    generator = torch.Generator().manual_seed(draw.randrange(1 << 30))
    made = getattr(transformers, CLASSES.get(family, family + "ForCausalLM"))(
        getattr(transformers, family + "Config")(**values))
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
    names = linear(config)
    targets = draw.sample(names, draw.randrange(1, len(names) + 1))
    embedding, head = EMBEDDINGS.get(config.model_type, "embed_tokens"), "lm_head"
    options = dict(r=draw.randrange(1, 9), lora_alpha=draw.randrange(1, 17), use_rslora=draw.random() < 0.3)
    if config.model_type == "gpt2":
        options["fan_in_fan_out"] = True
    whole = []
    if draw.random() < 0.3:
        whole = draw.sample(norms(config)[:-1] + ([] if config.tie_word_embeddings else [head, norms(config)[-1]]), 1)
        options["modules_to_save"] = whole
    if draw.random() < 0.3:
        targets.append(embedding)
    if draw.random() < 0.3 and head not in whole and not config.tie_word_embeddings:
        targets.append(head)
    layers = config.num_hidden_layers
    if draw.random() < 0.3 and not {embedding, head} & set(targets):
        options["layers_to_transform"] = sorted(draw.sample(range(layers), draw.randrange(1, layers + 1)))
    if draw.random() < 0.3:
        options["rank_pattern"] = {draw.choice(targets): draw.randrange(1, 7)}
    if draw.random() < 0.3:
        options["alpha_pattern"] = {draw.choice(targets): draw.randrange(1, 20)}
    options["target_modules"] = targets
    return options


def method(draw, name, config):
    """Options of another method of PEFT for a model of this config; a text for one that PEFT has no format for."""
    targets = draw.sample(linear(config), draw.randrange(1, len(linear(config)) + 1))
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    inner = getattr(config, "intermediate_size", None) or getattr(config, "n_inner", None) or 4 * config.hidden_size
    widths = [config.hidden_size, config.num_attention_heads * head_dim, inner]
    transposed = {"fan_in_fan_out": True} if config.model_type == "gpt2" else {}
    rank = dict(r=draw.randrange(1, 7), alpha=draw.randrange(1, 12), target_modules=targets)
    tokens = dict(num_virtual_tokens=draw.randrange(1, 9))
    if name == "dora":
        return dict(r=rank["r"], lora_alpha=rank["alpha"], use_dora=True, use_rslora=draw.random() < 0.3,
                    target_modules=targets + draw.choice([[], [EMBEDDINGS.get(config.model_type, "embed_tokens")]]),
                    **transposed)
    if name == "vera":
        return dict(peft_type="VERA", r=draw.randrange(1, 20), d_initial=draw.choice([0.1, 0.5]), target_modules=targets,
                    projection_prng_key=draw.randrange(1 << 32), save_projection=draw.random() < 0.5, **transposed)
    if name == "ia3":
        return dict(peft_type="IA3", target_modules=targets,
                    feedforward_modules=draw.sample(targets, draw.randrange(len(targets) + 1)), **transposed)
    if name == "ln_tuning":
        first, *others = norms(config)
        return dict(peft_type="LN_TUNING", target_modules=draw.choice([[first], others]))
    if name == "adalora":
        least = draw.randrange(1, 4)
        return dict(peft_type="ADALORA", init_r=least + draw.randrange(1, 4), target_r=least, lora_alpha=rank["alpha"],
                    tinit=draw.randrange(3), tfinal=draw.randrange(3), deltaT=draw.choice([1, 2]), total_step=STEPS,
                    orth_reg_weight=draw.choice([0.1, 0.5]), target_modules=targets, **transposed)
    if name == "randlora":
        return dict(peft_type="RANDLORA", r=draw.randrange(2, 9), randlora_alpha=draw.randrange(1, 12), target_modules=targets,
                    **transposed)
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


METHODS = ["dora", "vera", "ia3", "ln_tuning", "loha", "lokr", "oft", "adalora", "randlora", "bitfit", "prompt", "prefix",
           "p_tuning", "full"]
STEPS = 8  # of a run of AdaLoRA, whose options say so


def applies(name, family):
    """False where there is nothing to train, or where PEFT has no such layers."""
    if name == "bitfit":  # Mistral, Gemma and the like may have biases nowhere
        return family in ("Llama", "Qwen2", "Qwen3", "Gemma", "Gemma2", "Gemma3Text", "GPT2", "GPTNeoX", "Olmo2", "SmolLM3")
    return not (family == "GPT2" and name in ("loha", "lokr", "oft"))


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
