"""The reference of a fine-tuning run: PEFT, torch and a plain loop that says what graft promises.

Used by make_training.py for the golden cases and by scripts/parity for live ones.
"""

import json
import math
import pathlib
import shutil
import types

import torch
from peft import EvaConfig, PeftConfig, PeftModel, get_peft_model, initialize_lora_eva_weights
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from peft.utils.incremental_pca import IncrementalPCA
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from common import read_jsonl


def load_model(folder, dtype=torch.float32):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="eager")


def peft_config(options):
    """A configuration of PEFT; without peft_type LoRA's."""
    options = dict(options)
    kind = PEFT_TYPE_TO_CONFIG_MAPPING[options.pop("peft_type", "LORA")]
    return kind(task_type="CAUSAL_LM", **options)


def disturb(key, parameter, generator):
    """A value as after some training, so that no part of a method is neutral."""
    noise = torch.randn(parameter.shape, generator=generator)
    if "lora_A" in key:
        parameter.copy_(noise / parameter.shape[1] ** 0.5)
    elif "lora_embedding_A" in key:
        parameter.copy_(0.2 * noise)
    elif "magnitude" in key:
        parameter.mul_(1 + 0.2 * noise)
    elif "lora_" in key:
        parameter.copy_(0.4 / parameter.shape[1] ** 0.5 * noise)
    elif "vera_lambda" in key:
        parameter.copy_(0.5 * noise)
    elif "ia3_l" in key:
        parameter.copy_(1 + 0.2 * noise)
    elif "hada_" in key or "lokr_" in key:
        parameter.copy_(0.8 * noise / parameter.shape[1] ** 0.5)
    elif "oft_R" in key:
        parameter.copy_(0.1 * noise)
    elif "prompt_encoder" in key:
        parameter.copy_((0.5 if parameter.dim() == 2 and "embedding" in key else 0.2) * noise)
    else:
        parameter.add_(0.1 * noise)


class Native(torch.nn.Module):
    """A model some of whose own tensors are trained: a method that PEFT has no format for."""

    def __init__(self, model, notes, tensors):
        super().__init__()
        self.model, self.notes, self.names = model, notes, tensors
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name in tensors)

    def forward(self, **inputs):
        return self.model(**inputs)

    def save_pretrained(self, out):
        own = dict(self.model.named_parameters())
        out.mkdir(parents=True)
        save_file({f"base_model.model.{n}": own[n].detach().float().contiguous() for n in self.names},
                  out / "adapter_model.safetensors", {"format": "pt"})
        (out / "graft.json").write_text(json.dumps(self.notes, indent=2) + "\n")


def native(model, method):
    """`full`: every tensor. `bitfit`: the biases."""
    chosen = [n for n, _ in model.named_parameters() if method == "full" or n.endswith(".bias")]
    return Native(model, {"format": 1, "method": method, "options": {}, "host": {"targets": ".*"}}, chosen)


def random_adapter(model_folder, config, generator, out, name):
    """Saves an adapter with random values everywhere, as after some training."""
    if isinstance(config, str):
        model = native(load_model(model_folder), config)
    else:
        model = get_peft_model(load_model(model_folder), peft_config(config))
        model.peft_config["default"].base_model_name_or_path = name
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if parameter.requires_grad:
                disturb(key, parameter, generator)
    save_adapter(model, out)


def eva_adapter(model_folder, spec, run, folder):
    """Saves the adapter that PEFT's EVA makes of the run's micro-steps, its decompositions exact."""
    def exactly(self, x):
        return torch.linalg.svd(x, full_matrices=False)

    def padded(batch):
        longest = max(len(ids) for ids, _ in batch)
        fill = [longest - len(ids) for ids, _ in batch]
        rows = {"input_ids": [ids + [0] * n for (ids, _), n in zip(batch, fill)],
                "attention_mask": [[1] * len(ids) + [0] * n for (ids, _), n in zip(batch, fill)],
                "labels": [labels + [-100] * n for (_, labels), n in zip(batch, fill)]}
        return {k: torch.tensor(v) for k, v in rows.items()}

    rows = examples(folder / run["data"]["train"], run["data"]["max_length"])
    batches = micro_steps(rows, run["train"])
    data = [padded(next(batches)) for _ in range(run["train"]["steps"] * run["train"].get("accumulate", 1))]
    config = peft_config({**spec["adapter"], "init_lora_weights": "eva", "eva_config": EvaConfig(**spec["eva"])})
    model = get_peft_model(load_model(model_folder), config)
    model.peft_config["default"].base_model_name_or_path = spec["model"]
    lowrank, IncrementalPCA._svd_fn_lowrank = IncrementalPCA._svd_fn_lowrank, exactly
    initialize_lora_eva_weights(model, data, show_progress_bar=False)
    IncrementalPCA._svd_fn_lowrank = lowrank
    save_adapter(model, folder / "adapter_before")


# Where graft keeps the parameters of a network that makes a prompt; PEFT keeps what it makes only.
BESIDE = "graft_parameters.safetensors"


def encoder_of(model):
    """The prompt encoder of a PEFT model, and the names of its parameters in graft's file if it is a network."""
    encoder = model.prompt_encoder["default"] if hasattr(model, "prompt_encoder") else None
    kind = model.peft_config["default"].peft_type.value if encoder is not None else None
    network = kind == "P_TUNING" or (kind == "PREFIX_TUNING" and model.peft_config["default"].prefix_projection)
    own = model.get_base_model() if encoder is not None else None
    table = next(n for n, m in own.named_modules() if m is own.get_input_embeddings()) if own is not None else None
    prefix = {"P_TUNING": f"base_model.model.{table}.", "PREFIX_TUNING": "base_model."}.get(kind)
    # In training PEFT's LSTM encoder reads its embedding, and so does the MLP's.
    names = {n: prefix + n for n, _ in encoder.named_parameters()} if network else {}
    return encoder, names


def save_adapter(model, out):
    """PEFT's own files, without the model card and with sets in a fixed order."""
    out = pathlib.Path(out)
    shutil.rmtree(out, ignore_errors=True)
    model.save_pretrained(out)
    if not isinstance(model, Native):
        encoder, names = encoder_of(model)
        if names:
            save_file({names[n]: p.detach().float().contiguous() for n, p in encoder.named_parameters()},
                      out / BESIDE, {"format": "pt"})
    (out / "README.md").unlink(missing_ok=True)
    if not (out / "adapter_config.json").exists():
        return
    config = json.loads((out / "adapter_config.json").read_text())
    for key, value in config.items():
        if isinstance(value, list) and value and isinstance(value[0], str):
            config[key] = sorted(value)
    (out / "adapter_config.json").write_text(json.dumps(config, indent=2) + "\n")


def load_adapter(model, folder, trainable):
    folder = pathlib.Path(folder)
    if not (folder / "adapter_config.json").exists():
        notes = json.loads((folder / "graft.json").read_text())
        values = {k.removeprefix("base_model.model."): v
                  for k, v in load_file(folder / "adapter_model.safetensors").items()}
        with torch.no_grad():
            for key, parameter in model.named_parameters():
                if key in values:
                    parameter.copy_(values[key])
        return Native(model, notes, list(values))
    options = json.loads((folder / "adapter_config.json").read_text())
    if trainable and options["peft_type"] in ("PROMPT_TUNING", "PREFIX_TUNING", "P_TUNING"):
        # PEFT trains a loaded prompt no further, so it is made anew and filled.
        kept = PeftConfig.from_pretrained(str(folder))
        kept.inference_mode = False
        model = get_peft_model(model, kept)
        encoder, names = encoder_of(model)
        values = load_file(folder / (BESIDE if names else "adapter_model.safetensors"))
        with torch.no_grad():
            if names:
                for name, parameter in encoder.named_parameters():
                    parameter.copy_(values[names[name]])
            else:
                encoder.embedding.weight.copy_(values["prompt_embeddings"])
        return model
    return PeftModel.from_pretrained(model, folder, is_trainable=trainable)


def examples(path, max_length):
    """Lines of a `tokens` file, cut at the end; those without a supervised token left are skipped."""
    kept = []
    for row in read_jsonl(path):
        ids = row["input_ids"][:max_length]
        labels = row.get("labels", row["input_ids"])[:max_length]
        if any(label != -100 for label in labels[1:]):
            kept.append((ids, labels))
    return kept


def micro_steps(rows, train):
    """Whole examples in file order, round and round: batch_size of them or as many as fit."""
    at = 0

    def take():
        nonlocal at
        row = rows[at % len(rows)]
        at += 1
        return row

    while True:
        if "batch_size" in train:
            yield [take() for _ in range(train["batch_size"])]
        else:
            batch = [take()]
            while sum(len(r[0]) for r in batch) + len(rows[at % len(rows)][0]) <= train["batch_tokens"]:
                batch.append(take())
            yield batch


def schedule_factor(train, steps, k):
    """f(k) of get_constant_schedule_with_warmup, get_linear_.. and get_cosine_schedule_with_warmup."""
    warmup = train.get("warmup_steps", math.ceil(train.get("warmup_ratio", 0.0) * steps))
    if k < warmup:
        return k / max(1, warmup)
    kind = train.get("schedule", "constant")
    if kind == "constant":
        return 1.0
    done = (k - warmup) / max(1, steps - warmup)
    return max(0.0, 1.0 - done) if kind == "linear" else max(0.0, 0.5 * (1.0 + math.cos(math.pi * done)))


def supervised_loss(model, ids, labels):
    """Sum of the losses of an example, and how many there are; the first token is not predicted."""
    logits = model(input_ids=torch.tensor([ids])).logits[0, -len(ids):-1]  # without virtual tokens
    target = torch.tensor(labels[1:])
    total = torch.nn.functional.cross_entropy(logits, target, ignore_index=-100, reduction="sum")
    return total, int((target != -100).sum())


def mean_loss(model, rows):
    model.eval()
    with torch.no_grad():
        parts = [supervised_loss(model, *row) for row in rows]
    model.train()
    return sum(p[0].item() for p in parts) / sum(p[1] for p in parts)


def make_optimizer(parameters, options):
    options = dict(options)
    kind = options.pop("type")
    if kind == "adamw":
        return torch.optim.AdamW(parameters, foreach=False, **options)
    return torch.optim.SGD(parameters, foreach=False, **options)


def loss_term(model):
    """What PEFT's own forward pass adds to the loss: AdaLoRA's term. None where it adds nothing."""
    if getattr(model, "peft_type", None) != "ADALORA":
        return None
    inner, forward = model.base_model.model, model.base_model.model.forward
    inner.forward = lambda: types.SimpleNamespace(loss=torch.zeros((), dtype=next(model.parameters()).dtype))
    term = model.base_model().loss
    inner.forward = forward
    return term


def train(model, run, folder, term_of=loss_term):
    """Runs what run.json says on a PEFT model; returns the lines of metrics.jsonl that must come out."""
    data, loop, output = run["data"], run["train"], run.get("output", {})
    rows = examples(folder / data["train"], data.get("max_length", 1 << 30))
    held_out = examples(folder / data["eval"], data.get("max_length", 1 << 30)) if "eval" in data else []
    accumulate = loop.get("accumulate", 1)
    if "steps" in loop:
        steps = loop["steps"]
    else:
        steps = loop["epochs"] * len(rows) // (loop["batch_size"] * accumulate)
        assert steps * loop["batch_size"] * accumulate == loop["epochs"] * len(rows)

    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = make_optimizer(parameters, run["optimizer"])
    batches = micro_steps(rows, loop)
    lines = []
    model.train()
    for k in range(steps):
        micro = [next(batches) for _ in range(accumulate)]
        count = sum(sum(label != -100 for label in labels[1:]) for batch in micro for _, labels in batch)
        lr = run["optimizer"]["lr"] * schedule_factor(loop, steps, k)
        for group in optimizer.param_groups:
            group["lr"] = lr
        optimizer.zero_grad()
        loss = 0.0
        for batch in micro:
            part = sum(supervised_loss(model, *row)[0] for row in batch) / count
            part.backward()
            loss += part.item()
        term = term_of(model)
        if term is not None:
            term.backward()
            loss += term.item()
        clip = loop.get("clip", math.inf)
        norm = torch.nn.utils.clip_grad_norm_(parameters, clip).item()
        optimizer.step()
        if term is not None and term_of is loss_term:
            model.base_model.update_and_allocate(k + 1)
        tokens = sum(len(ids) for batch in micro for ids, _ in batch)
        lines.append({"step": k + 1, "loss": loss, "grad_norm": norm, "lr": lr, "tokens": tokens})
        if held_out and (k + 1) % output["eval_every"] == 0:
            lines.append({"step": k + 1, "eval_loss": mean_loss(model, held_out)})
    return lines
