#!/usr/bin/env python3
"""Makes the training cases: a PEFT adapter, a run.json, and what PEFT + torch make of it.

  data/cases/NAME/adapter_before/          a PEFT adapter with random values, where the run starts
  data/cases/NAME/run.json, train.jsonl    the run; its model is that of a score case
  data/cases/NAME/expected_metrics.jsonl   loss, gradient norm before clipping, lr and tokens of each step
  data/cases/NAME/adapter_after/           the adapter after the last step
  data/cases/NAME/score.jsonl              input of `graft score --adapter`
  data/cases/NAME/expected_before.jsonl    its output with adapter_before
  data/cases/NAME/expected_after.jsonl     its output with adapter_after

Run with torch, transformers and peft installed, after make_models.py: make_training.py [NAME ...].
"""

import json
import pathlib
import shutil
import sys
import tempfile
import warnings
import zlib

import peft
import torch
import transformers
from safetensors.torch import load_file

from common import CASES, largest_difference, random_ids, score, write_json, write_jsonl
from reference import eva_adapter, load_adapter, load_model, random_adapter, save_adapter, train

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
warnings.filterwarnings("ignore")

ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
ADAMW = dict(type="adamw", lr=1e-2, betas=[0.9, 0.999], eps=1e-8, weight_decay=0.1)
LOOP = dict(steps=10, batch_size=2, accumulate=2, schedule="cosine", warmup_steps=2, clip=3.0)

# Six steps of every method.
SHORT = dict(steps=6, clip=2.0)
METHODS = {
    "dora": dict(
        about="DoRA on layers with biases and on the embeddings", model="llama-biases-v4", examples=8,
        optimizer=dict(lr=5e-2), adapter=dict(r=3, lora_alpha=5, use_dora=True, target_modules=[*ALL, "embed_tokens"])),
    "vera": dict(
        about="VeRA on layers of several shapes", model="llama-gqa-tied", examples=8, optimizer=dict(lr=5e-2),
        adapter=dict(peft_type="VERA", r=5, d_initial=0.3, projection_prng_key=7, target_modules=ALL)),
    "vera-key": dict(
        about="VeRA whose file has no projections: they are made anew from the key", model="qwen3-tied", examples=8,
        optimizer=dict(lr=5e-2), adapter=dict(peft_type="VERA", r=6, projection_prng_key=42, save_projection=False,
                                              target_modules=["q_proj", "o_proj", "down_proj"])),
    "ia3": dict(
        about="IA3 on outputs with biases and on inputs of feed-forward modules", model="llama-biases-v4", examples=8,
        optimizer=dict(lr=3e-2), adapter=dict(peft_type="IA3", target_modules=["k_proj", "v_proj", "up_proj", "down_proj"],
                                              feedforward_modules=["down_proj"])),
    "ln_tuning": dict(
        about="the norms of a Qwen3, those of q and k per head among them", model="qwen3-tied", examples=8,
        adapter=dict(peft_type="LN_TUNING", target_modules=["input_layernorm", "q_norm", "k_norm", "norm"])),
    "loha": dict(
        about="LoHa", model="qwen2-tied", examples=8,
        adapter=dict(peft_type="LOHA", r=3, alpha=5, target_modules=["q_proj", "v_proj", "down_proj"])),
    "lokr": dict(
        about="LoKr with a whole and a decomposed second factor", model="llama-gqa-tied", examples=8,
        adapter=dict(peft_type="LOKR", r=2, alpha=3, target_modules=["q_proj", "k_proj", "up_proj", "down_proj"])),
    "lokr-both": dict(
        about="LoKr with both factors decomposed, and a factor that does not divide everything", model="llama-gqa-tied",
        examples=8, adapter=dict(peft_type="LOKR", r=1, alpha=3, decompose_both=True, decompose_factor=6,
                                 target_modules=["q_proj", "gate_proj", "down_proj"])),
    "oft": dict(
        about="OFT by the Cayley-Neumann series", model="llama-biases-v4", examples=8,
        adapter=dict(peft_type="OFT", r=0, oft_block_size=4, target_modules=["q_proj", "o_proj", "down_proj"])),
    "oft-exact": dict(
        about="OFT by the exact inverse, one shared block", model="llama-gqa-tied", examples=8,
        adapter=dict(peft_type="OFT", r=0, oft_block_size=8, use_cayley_neumann=False, block_share=True,
                     target_modules=["k_proj", "up_proj", "down_proj"])),
    "prompt": dict(
        about="prompt tuning", model="llama-gqa-tied", examples=8, optimizer=dict(lr=3e-2),
        adapter=dict(peft_type="PROMPT_TUNING", num_virtual_tokens=5)),
    "prefix": dict(
        about="prefix tuning", model="llama-gqa-tied", examples=8, optimizer=dict(lr=3e-2),
        adapter=dict(peft_type="PREFIX_TUNING", num_virtual_tokens=4)),
    "prefix-projection": dict(
        about="prefix tuning with the projection, head_dim unequal to hidden_size / heads", model="llama-head-dim", examples=8,
        adapter=dict(peft_type="PREFIX_TUNING", num_virtual_tokens=3, prefix_projection=True, encoder_hidden_size=7)),
    "p_tuning": dict(
        about="P-tuning with its MLP", model="llama-gqa-tied", examples=8,
        adapter=dict(peft_type="P_TUNING", num_virtual_tokens=4, encoder_hidden_size=9)),
    "p_tuning-lstm": dict(
        about="P-tuning with a two-layer LSTM", model="llama-gqa-tied", examples=8,
        adapter=dict(peft_type="P_TUNING", num_virtual_tokens=4, encoder_hidden_size=6, encoder_num_layers=2,
                     encoder_reparameterization_type="LSTM")),
    "pissa": dict(
        about="LoRA that began as singular vectors: the base is less what it began as", model="llama-gqa-tied", examples=8,
        adapter=dict(r=3, lora_alpha=5, init_lora_weights="pissa", target_modules=["q_proj", "up_proj", "down_proj"])),
    "olora": dict(
        about="LoRA that began as Q and R", model="llama-biases-v4", examples=8,
        adapter=dict(r=4, lora_alpha=6, init_lora_weights="olora", target_modules=["k_proj", "up_proj", "down_proj"])),
    "eva": dict(
        about="LoRA that begins from the data: components of inputs, ranks where they explain most", model="llama-biases-v4",
        examples=24, loop=dict(batch_size=6, accumulate=1), eva=dict(rho=2.0, tau=0.9),
        adapter=dict(r=3, lora_alpha=5, target_modules=ALL, rank_pattern={"down_proj": 2})),
    "eva-all-tokens": dict(
        about="EVA over all tokens, whitened, on the head too, layers left with no rank, alphas as they were", model="llama-untied-v4",
        examples=24, loop=dict(batch_size=5, accumulate=1),
        eva=dict(rho=3.0, tau=0.8, use_label_mask=False, whiten=True, adjust_scaling_factors=False),
        adapter=dict(r=1, lora_alpha=5, use_rslora=True, target_modules=["q_proj", "o_proj", "up_proj", "down_proj", "lm_head"])),
    "adalora": dict(
        about="AdaLoRA over a run that prunes ranks: warm-up, allocation at every second step, final ranks",
        model="llama-biases-v4", examples=8, optimizer=dict(lr=5e-2), loop=dict(steps=10, clip=2.0),
        adapter=dict(peft_type="ADALORA", init_r=5, target_r=3, lora_alpha=9, tinit=2, tfinal=3, deltaT=2, total_step=10,
                     orth_reg_weight=0.3, target_modules=["q_proj", "v_proj", "down_proj"])),
    "adalora-bias": dict(
        about="AdaLoRA, and every bias of the model", model="llama-biases-v4", examples=8, loop=dict(steps=7),
        adapter=dict(peft_type="ADALORA", init_r=3, target_r=2, lora_alpha=9, tinit=1, tfinal=2, deltaT=2, total_step=7,
                     bias="all", target_modules=["q_proj", "down_proj"])),
    "dora-bias": dict(
        about="DoRA, and the biases of the layers that it is at", model="llama-biases-v4", examples=8,
        adapter=dict(r=2, lora_alpha=3, use_dora=True, bias="lora_only", target_modules=["v_proj", "down_proj", "up_proj"])),
    "randlora": dict(
        about="RandLoRA on layers of several shapes", model="llama-gqa-tied", examples=8, optimizer=dict(lr=3e-2),
        adapter=dict(peft_type="RANDLORA", r=5, randlora_alpha=7, target_modules=["q_proj", "k_proj", "down_proj"])),
    "bias-all": dict(
        about="LoRA, and every bias of the model", model="llama-biases-v4", examples=8,
        adapter=dict(r=2, lora_alpha=3, bias="all", target_modules=["q_proj", "up_proj"])),
    "bias-only": dict(
        about="LoRA, and the biases of the layers that it is at", model="llama-biases-v4", examples=8,
        adapter=dict(r=2, lora_alpha=3, bias="lora_only", target_modules=["v_proj", "down_proj"])),
    "tokens-tied": dict(
        about="LoRA, and the rows of some tokens in a table that is the head too", model="llama-gqa-tied", examples=8,
        adapter=dict(r=2, lora_alpha=3, trainable_token_indices=[5, 0, 17, 9], target_modules=["q_proj", "up_proj"])),
    "tokens-untied": dict(
        about="LoRA also on the head, and the rows of some tokens in the embedding alone", model="llama-untied-v4",
        examples=8,
        adapter=dict(r=2, lora_alpha=3, trainable_token_indices=[3, 11, 7], target_modules=["q_proj", "lm_head"])),
    "bitfit": dict(
        about="every bias of the model, no PEFT format", model="llama-biases-v4", examples=8, adapter="bitfit"),
    "full": dict(
        about="full fine-tuning of a tied model, no PEFT format", model="llama-gqa-tied", examples=8, adapter="full"),
}

# Six steps of LoRA on each further family, and what is its own in other methods.
CONV = dict(fan_in_fan_out=True)
FAMILIES = {
    "gemma": dict(
        about="LoRA on a Gemma, on its scaled embeddings, too", model="gemma-mqa",
        adapter=dict(r=3, lora_alpha=5, target_modules=[*ALL, "embed_tokens"])),
    "gemma-prompt": dict(
        about="virtual tokens before scaled embeddings", model="gemma-mqa", optimizer=dict(lr=3e-2),
        adapter=dict(peft_type="PROMPT_TUNING", num_virtual_tokens=4)),
    "gemma2": dict(
        about="LoRA on a Gemma 2 with softcaps, norms behind sublayers trained in full", model="gemma2",
        adapter=dict(r=3, lora_alpha=5, target_modules=ALL,
                     modules_to_save=["post_attention_layernorm", "pre_feedforward_layernorm"])),
    "gemma3": dict(
        about="LoRA on a Gemma 3", model="gemma3", adapter=dict(r=3, lora_alpha=5, target_modules=ALL)),
    "gemma3-ln_tuning": dict(
        about="every norm of a Gemma 3, stored less 1", model="gemma3-v4", adapter=dict(
            peft_type="LN_TUNING", target_modules=["q_norm", "k_norm", "input_layernorm", "post_feedforward_layernorm"])),
    "phi3": dict(
        about="LoRA on the fused layers of a Phi-3, texts on both sides of the original length", model="phi3-longrope",
        max_length=40, adapter=dict(r=3, lora_alpha=5, target_modules=["qkv_proj", "o_proj", "gate_up_proj", "down_proj"])),
    "gpt2": dict(
        about="LoRA on the transposed layers of a GPT-2, some of them trained in full", model="gpt2-tied",
        adapter=dict(r=3, lora_alpha=5, target_modules=["c_attn", "attn.c_proj", "mlp.c_proj"],
                     modules_to_save=["c_fc", "ln_1"], **CONV)),
    "gpt2-dora": dict(
        about="DoRA on transposed layers", model="gpt2-untied", optimizer=dict(lr=5e-2),
        adapter=dict(r=3, lora_alpha=5, use_dora=True, target_modules=["c_attn", "c_fc", "lm_head", "wte"], **CONV)),
    "gpt2-ia3": dict(
        about="IA3 on transposed layers", model="gpt2-tied", optimizer=dict(lr=3e-2),
        adapter=dict(peft_type="IA3", target_modules=["c_attn", "mlp.c_proj"], feedforward_modules=["mlp.c_proj"], **CONV)),
    "gpt2-prompt": dict(
        about="virtual tokens and learned positions", model="gpt2-tied", optimizer=dict(lr=3e-2),
        adapter=dict(peft_type="PROMPT_TUNING", num_virtual_tokens=4)),
    "gpt_neox": dict(
        about="LoRA on a GPT-NeoX, its head too", model="gpt_neox", adapter=dict(
            r=3, lora_alpha=5, target_modules=["query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h", "lm_head"])),
    "gpt_neox-bitfit": dict(
        about="every bias of a GPT-NeoX, those of norms too, no PEFT format", model="gpt_neox-v4", adapter="bitfit"),
    "olmo2": dict(
        about="LoRA on an OLMo 2, the norms of q trained in full", model="olmo2",
        adapter=dict(r=3, lora_alpha=5, target_modules=ALL, modules_to_save=["q_norm"])),
    "smollm3": dict(
        about="LoRA on a SmolLM3", model="smollm3", adapter=dict(r=3, lora_alpha=5, target_modules=ALL)),
}

RUNS = {
    "train-llama-tied": dict(
        about="all linear layers of a tied Llama, cosine, accumulation, clipping, weight decay, warm-up",
        model="llama-gqa-tied", adapter=dict(r=4, lora_alpha=6, target_modules=ALL), examples=8),
    "train-qwen2-bias": dict(
        about="a Qwen2 with biases and a window, all examples supervised in full, linear schedule",
        model="qwen2-window-v4", adapter=dict(r=3, lora_alpha=7, target_modules=["q_proj", "v_proj", "down_proj"]),
        optimizer=dict(lr=5e-3), loop=dict(schedule="linear", batch_size=3), examples=12, masked=False),
    "train-qwen3": dict(
        about="a Qwen3; lines that wrap around in the middle of a micro-step; other betas and eps",
        model="qwen3-tied", adapter=dict(r=4, lora_alpha=4, target_modules=ALL),
        optimizer=dict(betas=[0.8, 0.95], eps=1e-4), loop=dict(batch_size=3), examples=7),
    "train-embedding-head": dict(
        about="LoRA on embeddings and head, both untied",
        model="llama-untied-v4", adapter=dict(r=4, lora_alpha=6, target_modules=["embed_tokens", "lm_head", "o_proj"]),
        loop=dict(clip=1.9), examples=8),
    "train-tied-embedding": dict(
        about="LoRA on the embeddings of a tied model: the head stays as it was",
        model="llama-gqa-tied", adapter=dict(r=2, lora_alpha=3, target_modules=["embed_tokens", "down_proj"]),
        loop=dict(clip=2.4), examples=8),
    "train-modules-to-save": dict(
        about="head and norms trained in full beside LoRA",
        model="llama-head-dim", adapter=dict(r=2, lora_alpha=3, target_modules=["k_proj", "up_proj"],
                                             modules_to_save=["lm_head", "post_attention_layernorm"]),
        loop=dict(steps=8), examples=8),
    "train-embedding-to-save": dict(
        about="embeddings and linear layers with biases trained in full",
        model="llama-biases-v4", adapter=dict(r=2, lora_alpha=3, target_modules=["q_proj"],
                                              modules_to_save=["embed_tokens", "v_proj"]),
        loop=dict(steps=8, clip=1.9), examples=8),
    "train-rslora": dict(
        about="rank-stabilised scaling, constant schedule, a window on all layers",
        model="mistral-window", adapter=dict(r=9, lora_alpha=4, use_rslora=True, target_modules=["q_proj", "gate_proj"]),
        loop=dict(schedule="constant"), examples=8),
    "train-patterns": dict(
        about="rank_pattern, alpha_pattern, only two of three layers",
        model="llama-head-dim", adapter=dict(r=3, lora_alpha=5, target_modules=["q_proj", "o_proj", "down_proj"],
                                             layers_to_transform=[0, 2],
                                             rank_pattern={"q_proj": 2, "layers.2.mlp.down_proj": 6},
                                             alpha_pattern={"o_proj": 9, "layers.2.mlp.down_proj": 2}),
        loop=dict(schedule="linear"), examples=8),
    "train-regex": dict(
        about="targets by a regular expression, with exclusions; gradient norm never above the clip",
        model="qwen2-tied", adapter=dict(r=4, lora_alpha=6, target_modules=r".*\.(self_attn\.[qv]|mlp\.gate)_proj",
                                         exclude_modules=r".*layers\.1\.mlp.*"),
        loop=dict(clip=1000.0, accumulate=1), examples=8),
    "train-sgd": dict(
        about="sgd with momentum and weight decay, linear schedule, batch_tokens, cut and skipped lines",
        model="llama-llama3-v4", adapter=dict(r=4, lora_alpha=6, target_modules=["q_proj", "k_proj", "v_proj", "up_proj"]),
        optimizer=dict(type="sgd", lr=0.05, momentum=0.9, weight_decay=0.1),
        loop=dict(schedule="linear", batch_tokens=40, accumulate=2, clip=2.0), examples=11, max_length=15, blanks=True),
    "train-epochs": dict(
        about="epochs, warmup_ratio, no accumulation, evaluation after every third step",
        model="qwen2-tied", adapter=dict(r=4, lora_alpha=6, target_modules=ALL),
        loop=dict(epochs=2, warmup_ratio=0.15, accumulate=1), examples=8, held_out=5),
    **{f"train-{name}": {"examples": 8, **spec, "loop": {**SHORT, **spec.get("loop", {})}}
       for name, spec in {**METHODS, **FAMILIES}.items()},
}


def make_lines(generator, count, vocab, masked):
    """Lines of 3 to 20 tokens; in most of them a prompt, and sometimes a hole, without loss."""
    lines = []
    for i in range(count):
        ids = random_ids(generator, 3 + (7 * i + 4) % 18, vocab)
        line = {"input_ids": ids}
        if masked and i % 4:
            labels = list(ids)
            prompt = 1 + (i * 5) % max(1, len(ids) // 2)
            labels[:prompt] = [-100] * prompt
            if i % 3 == 2 and prompt + 2 < len(ids):
                labels[prompt + 1] = -100
            line["labels"] = labels
        lines.append(line)
    return lines


def run_json(spec):
    optimizer = {**ADAMW, **spec.get("optimizer", {})}
    if optimizer["type"] == "sgd":
        optimizer.pop("betas"), optimizer.pop("eps")
    loop = {**LOOP, **spec.get("loop", {})}
    if "batch_tokens" in loop:
        loop.pop("batch_size")
    if "epochs" in loop:
        loop.pop("steps")
    if "warmup_ratio" in loop:
        loop.pop("warmup_steps")
    run = {
        "model": {"path": f"../{spec['model']}/model", "dtype": "f32"},
        "methods": [{"load": "adapter_before"}],
        "data": {"train": "train.jsonl", "format": "tokens", "max_length": spec.get("max_length", 64), "shuffle": False},
        "optimizer": optimizer,
        "train": loop,
        "output": {"dir": "out"},
    }
    if "eva" in spec:  # begins from the data, not from a folder
        run["methods"] = [{"type": "lora", "init": "eva", "eva_config": spec["eva"], **spec["adapter"]}]
    if "held_out" in spec:
        run["data"]["eval"] = "eval.jsonl"
        run["output"]["eval_every"] = 3
    return run


def trained(folder, model_folder, dtype):
    run = json.loads((folder / "run.json").read_text())
    model = load_adapter(load_model(model_folder), folder / "adapter_before", trainable=True).to(dtype)
    return model, train(model, run, folder)


FROZEN = (".vera_A", ".vera_B", ".randlora_A", ".randlora_B")


def relative(left, right):
    return max(abs(a[k] - b[k]) / max(abs(a[k]), 1e-12) for a, b in zip(left, right) for k in a)


def make(name, spec):
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    folder, model_folder = CASES / name, CASES / spec["model"] / "model"
    shutil.rmtree(folder, ignore_errors=True)
    vocab = load_model(model_folder).config.vocab_size

    lines = make_lines(generator, spec["examples"], vocab, spec.get("masked", True))
    if spec.get("blanks"):
        lines.insert(2, {"input_ids": [5, 6, 7, 8], "labels": [5, -100, -100, -100]})
        lines.insert(5, {"input_ids": [9]})
        lines.insert(7, {"input_ids": list(range(3, 23)), "labels": [-100] * 16 + list(range(19, 23))})
    write_jsonl(folder / "train.jsonl", lines)
    if "held_out" in spec:
        write_jsonl(folder / "eval.jsonl", make_lines(generator, spec["held_out"], vocab, True))
    write_json(folder / "run.json", run_json(spec))
    if "eva" in spec:
        run = json.loads((folder / "run.json").read_text())
        eva_adapter(model_folder, spec, run, folder)
    else:
        random_adapter(model_folder, spec["adapter"], generator, folder / "adapter_before", spec["model"])

    rows = [{"input_ids": random_ids(generator, n, vocab)} for n in (2, 11, 25)]
    write_jsonl(folder / "score.jsonl", rows)
    before = score(load_adapter(load_model(model_folder), folder / "adapter_before", False), rows)
    write_jsonl(folder / "expected_before.jsonl", before)

    model, metrics = trained(folder, model_folder, torch.float32)
    save_adapter(model, folder / "adapter_after")
    write_jsonl(folder / "expected_metrics.jsonl", metrics)
    after = score(load_adapter(load_model(model_folder), folder / "adapter_after", False), rows)
    write_jsonl(folder / "expected_after.jsonl", after)
    write_json(folder / "case.json", {
        "kind": "train", "about": spec["about"], "model": f"../{spec['model']}/model", "tolerance": 1e-4,
        "metrics_tolerance": 1e-4, "weights_tolerance": 1e-3,
        "made_with": f"torch {torch.__version__}, transformers {transformers.__version__}, peft {peft.__version__}"})

    # The same in float64: what is left is the rounding of the reference itself.
    wide, wide_metrics = trained(folder, model_folder, torch.float64)
    with tempfile.TemporaryDirectory() as other:
        save_adapter(wide, other)
        left = load_file(folder / "adapter_after" / "adapter_model.safetensors")
        right = load_file(pathlib.Path(other) / "adapter_model.safetensors")
        start = load_file(folder / "adapter_before" / "adapter_model.safetensors")
        beside = pathlib.Path("graft_parameters.safetensors")
        if (folder / "adapter_after" / beside).exists():  # what the optimizer moves
            left, right, start = (load_file(f / beside) for f in (folder / "adapter_after", pathlib.Path(other),
                                                                  folder / "adapter_before"))
        weights = max(((left[k] - right[k]).norm() / right[k].norm()).item() for k in left)
        moved = min(((left[k] - start[k]).norm() / start[k].norm()).item() for k in left
                    if "base_layer" not in k and not k.endswith(FROZEN) and left[k].shape == start[k].shape)
    steps = [m for m in metrics if "loss" in m]
    clip = json.loads((folder / "run.json").read_text())["train"]["clip"]
    rounding = relative(metrics, wide_metrics)
    size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
    print(f"{name:24} {size / 1024:4.0f} KiB  loss {steps[0]['loss']:.3f} to {steps[-1]['loss']:.3f}  "
          f"clipped {sum(m['grad_norm'] > clip for m in steps)}/{len(steps)}  "
          f"norms {min(m['grad_norm'] for m in steps):.2f}..{max(m['grad_norm'] for m in steps):.2f}  "
          f"float64: metrics {rounding:.1e} weights {weights:.1e}, "
          f"moved {moved:.2f}, scores moved {largest_difference(before, after):.2f}")
    assert rounding < 3e-5 and weights < 2e-4 and moved > 5e-3, (name, rounding, weights, moved)


if __name__ == "__main__":
    for case in sys.argv[1:] or RUNS:
        make(case, RUNS[case])
