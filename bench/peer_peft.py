#!/usr/bin/env python3
"""LoRA on all linear layers, or another method, with PEFT + torch, measured; prints one line of JSON.

The work is that of `graft train` in run.py: mean loss over all tokens, gradients clipped, AdamW. Rows of
different lengths are padded to the longest, as transformers' collators do. Attention is torch's fused one, the default of transformers; the head makes
full logits, as transformers does.
"""

import argparse
import json
import os
import resource
import statistics
import time


def seconds_since_process_start():
    """Counts the imports too: a user waits for them."""
    with open("/proc/self/stat") as file:
        ticks = int(file.read().rsplit(")", 1)[1].split()[19])
    with open("/proc/uptime") as file:
        return float(file.read().split()[0]) - ticks / os.sysconf("SC_CLK_TCK")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True, help="JSONL with input_ids")
    parser.add_argument("--rows", type=int, default=4)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--dtype", choices=["bf16", "f32"], default="bf16")
    parser.add_argument("--attention", choices=["sdpa", "eager"], default="sdpa")
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--config", type=json.loads, help="another method, as PEFT's adapter_config.json has it; of peft_type null: all weights")
    parser.add_argument("--nf4", action="store_true", help="bitsandbytes' NF4 with double quantization below it")
    parser.add_argument("--compile", action="store_true", help="torch.compile the model")
    parser.add_argument("--checkpointing", action="store_true", help="recompute each layer in the backward pass")
    options = parser.parse_args()

    import torch
    import peft
    import transformers
    from peft import PEFT_TYPE_TO_CONFIG_MAPPING, LoraConfig, get_peft_model

    torch.set_num_threads(options.threads)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.manual_seed(17)
    dtype = {"bf16": torch.bfloat16, "f32": torch.float32}[options.dtype]
    blocks = {}
    if options.nf4:
        blocks["quantization_config"] = transformers.BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        options.model, dtype=dtype, attn_implementation=options.attention, **blocks)
    if options.config:
        kind = options.config.pop("peft_type")
        config = kind and PEFT_TYPE_TO_CONFIG_MAPPING[kind](task_type="CAUSAL_LM", **options.config)
    else:
        config = LoraConfig(task_type="CAUSAL_LM", r=options.rank, lora_alpha=2 * options.rank, target_modules="all-linear")
    model = get_peft_model(model, config) if config else model
    if options.checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        model.enable_input_require_grads()
    model.train()
    parameters = [p for p in model.parameters() if p.requires_grad]
    if options.compile:
        model.compile()
    optimizer = torch.optim.AdamW(parameters, lr=2e-4, weight_decay=0.01)
    with open(options.data) as file:
        lines = [json.loads(line)["input_ids"] for line in file]

    losses, seconds, first, tokens = [], [], None, []
    for step in range(options.steps):
        began = time.perf_counter()
        rows = [lines[(step * options.rows + i) % len(lines)] for i in range(options.rows)]
        longest = max(map(len, rows))
        batch = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
        # A mask of ones would cost the peer its fast attention.
        padded = {} if bool(mask.all()) else {"attention_mask": mask}
        labels = batch.masked_fill(mask == 0, -100)
        loss = model(input_ids=batch, labels=labels, use_cache=False, **padded).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        if config and hasattr(model.base_model, "update_and_allocate"):
            model.base_model.update_and_allocate(step + 1)
        optimizer.zero_grad()
        losses.append(loss.item())
        seconds.append(time.perf_counter() - began)
        tokens.append(int(mask.sum()))
        first = first or seconds_since_process_start()
    # The first step also allocates and compiles.
    rates = [n / s for n, s in list(zip(tokens, seconds))[1:] or zip(tokens, seconds)]
    print(json.dumps({
        "tokens_per_s": statistics.median(rates), "best_tokens_per_s": max(rates), "seconds": seconds,
        "seconds_to_first_step": first, "losses": losses, "trained": sum(p.numel() for p in parameters),
        "peak_resident_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__, "peft": peft.__version__},
        "cpu_capability": torch.backends.cpu.get_cpu_capability()}))


if __name__ == "__main__":
    main()
