"""Shared by the scripts that make golden cases: random models, scores, small files.

Needs torch, transformers and safetensors; the tests themselves need none of them.
"""

import json
import pathlib

import torch

torch.set_num_threads(1)

CASES = pathlib.Path(__file__).resolve().parent / "data" / "cases"


def write_json(path, value):
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n")


def write_jsonl(path, rows):
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def read_jsonl(path):
    return [json.loads(line) for line in pathlib.Path(path).read_text().splitlines() if line]


def randomise(model, generator):
    """Random normal values everywhere, scaled so that every part matters.

    Norm weights are not 1, biases not 0, attention is far from uniform and the
    logits spread over a few nats: a forgotten factor or term shows.
    """
    tied = model.config.tie_word_embeddings
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if model.config.model_type.startswith("gemma") and "norm" in name:
                parameter.copy_(0.2 + 0.3 * noise)  # less 1
            elif "norm" in name and not name.endswith("bias") or ".ln_" in name and name.endswith("weight"):
                parameter.copy_(1.2 + 0.3 * noise)
            elif name.endswith("bias"):
                parameter.copy_(0.3 * noise)
            elif "embed_tokens" in name or "embed_in" in name or ".wte" in name or ".wpe" in name:
                parameter.copy_((0.3 if tied else 1.0) * noise)
            elif model.config.model_type == "gpt2" and ".h." in name:  # [in, out]
                parameter.copy_(1.4 / parameter.shape[0] ** 0.5 * noise)
            else:
                gain = 1.6 if "q_proj" in name or "k_proj" in name else 1.2
                parameter.copy_(gain / parameter.shape[1] ** 0.5 * noise)
    return model


def random_ids(generator, length, vocab):
    return torch.randint(0, vocab, (length,), generator=generator).tolist()


def score(model, rows, top=3):
    """Output lines of `graft score --top 3`, computed by the given torch model."""
    out = []
    model.eval()
    for row in rows:
        ids = row["input_ids"]
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([ids])).logits[0, -len(ids):]  # without virtual tokens
        table = torch.log_softmax(logits.double(), dim=-1)
        logprobs = [table[i, token].item() for i, token in enumerate(ids[1:])]
        values, indices = table[-1].topk(top)
        out.append({
            "input_ids": ids,
            "logprobs": [None] + logprobs,
            "loss": -sum(logprobs) / len(logprobs) if logprobs else None,
            "next_top": [[i, v] for i, v in zip(indices.tolist(), values.tolist())],
        })
    return out


def largest_difference(left, right):
    """Largest difference of log-probabilities between two lists of score lines."""
    worst = 0.0
    for a, b in zip(left, right):
        for x, y in zip(a["logprobs"][1:], b["logprobs"][1:]):
            worst = max(worst, abs(x - y))
    return worst
