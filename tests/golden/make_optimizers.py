#!/usr/bin/env python3
"""Makes data/optimizers.json: parameters after each of some steps, as other implementations compute them in
float64 from given values and gradients.

  muon        torch.optim.Muon, its iteration left in float64 (torch casts to bfloat16), torch.optim.AdamW for
              what is no matrix
  adafactor   transformers.Adafactor
  galore      the algorithm of the paper with a whole singular value decomposition; the optimizer's own moments as in
              transformers' former AdamW, as the authors have it
  lion        the algorithm of the paper

Run with torch and transformers installed.
"""

import json
import math
import pathlib

import torch
from transformers import Adafactor

torch.set_default_dtype(torch.float64)
STEPS, LR = 5, 0.1
NAMES = {"m.layers.0.self_attn.wide": (4, 7), "m.layers.0.mlp.tall": (9, 4), "m.embed_tokens.table": (6, 5),
         "m.norm.bias": (7,)}


def start(i, shape):
    return torch.sin(torch.arange(math.prod(shape)) * 1.3 + 3 * i + 0.5).reshape(shape)


def slope(i, shape, step):
    return torch.cos(torch.arange(math.prod(shape)) * (0.7 + 0.1 * i) + 5 * i + 1.7 * step).reshape(shape)


def run(rule):
    """rule(parameters, lr) makes one step of parameters with gradients."""
    parameters = {n: torch.nn.Parameter(start(i, s)) for i, (n, s) in enumerate(NAMES.items())}
    seen = []
    for step in range(1, STEPS + 1):
        for i, (name, p) in enumerate(parameters.items()):
            p.grad = slope(i, NAMES[name], step)
        with torch.no_grad():
            rule(parameters, LR / step, step)
        seen.append([p.detach().flatten().tolist() for p in parameters.values()])
    return seen


def of_torch(make):
    """Optimizers that make(parameters) gives, each step with its learning rate."""
    made = []

    def rule(parameters, lr, _):
        if not made:
            made.extend(make(parameters))
        for optimizer, ratio in made:
            for group in optimizer.param_groups:
                group["lr"] = lr * ratio
            optimizer.step()

    return rule


def muon(ratio, others, **options):
    def make(parameters):
        matrices = [p for n, p in parameters.items() if p.dim() == 2 and "embed_tokens" not in n]
        rest = [p for n, p in parameters.items() if p.dim() != 2 or "embed_tokens" in n]
        return [(torch.optim.Muon(matrices, **options), 1),
                (torch.optim.AdamW(rest, foreach=False, weight_decay=options["weight_decay"], **others), ratio)]

    return of_torch(make)


def adafactor(**options):
    return of_torch(lambda parameters: [(Adafactor(parameters.values(), relative_step=False, **options), 1)])


def lion(beta1, beta2, decay):
    moments = {}

    def rule(parameters, lr, _):
        for name, p in parameters.items():
            m = moments.setdefault(name, torch.zeros_like(p))
            p.mul_(1 - lr * decay).sub_(lr * torch.sign(beta1 * m + (1 - beta1) * p.grad))
            m.mul_(beta2).add_((1 - beta2) * p.grad)

    return rule


def galore(rank, interval, scale, targets, beta1, beta2, eps, decay):
    states = {}

    def rule(parameters, lr, t):
        for name, p in parameters.items():
            state = states.setdefault(name, {})
            g, wide = p.grad, p.dim() == 2 and p.shape[0] < p.shape[1]
            low = p.dim() == 2 and min(p.shape) > rank and any(part in name for part in targets)
            if low:
                if (t - 1) % interval == 0:
                    u, _, v = torch.linalg.svd(g, full_matrices=False)
                    state["p"] = u[:, :rank] if wide else v[:rank].T
                g = state["p"].T @ g if wide else g @ state["p"]
            m = state["m"] = beta1 * state.get("m", 0) + (1 - beta1) * g
            v = state["v"] = beta2 * state.get("v", 0) + (1 - beta2) * g * g
            n = m / (v.sqrt() + eps)
            if low:
                n = scale * (state["p"] @ n if wide else n @ state["p"].T)
            p.sub_(lr * math.sqrt(1 - beta2**t) / (1 - beta1**t) * n)
            p.mul_(1 - lr * decay)

    return rule


CASES = [
    ("lion", dict(betas=[0.8, 0.95], weight_decay=0.2), lambda: lion(0.8, 0.95, 0.2)),
    ("adafactor", dict(scale_parameter=False), lambda: adafactor(scale_parameter=False)),
    ("adafactor", dict(scale_parameter=True, beta1=0.7, weight_decay=0.2, decay_rate=-0.6, clip_threshold=0.5,
                       eps=[1e-3, 0.6]),
     lambda: adafactor(scale_parameter=True, beta1=0.7, weight_decay=0.2, decay_rate=-0.6, clip_threshold=0.5,
                       eps=(1e-3, 0.6))),
    ("muon", dict(weight_decay=0.2, adamw_lr_ratio=0.3, betas=[0.8, 0.9], eps=1e-3),
     lambda: muon(0.3, dict(betas=(0.8, 0.9), eps=1e-3), weight_decay=0.2)),
    ("muon", dict(weight_decay=0.0, nesterov=False, momentum=0.8, ns_steps=3, adjust_lr="match_rms_adamw",
                  ns_coefficients=[3, -4, 2]),
     lambda: muon(1, {}, weight_decay=0.0, nesterov=False, momentum=0.8, ns_steps=3, adjust_lr_fn="match_rms_adamw",
                  ns_coefficients=(3, -4, 2))),
    # One projection: the sign of a singular vector is arbitrary.
    ("galore", dict(rank=2, interval=7, scale=0.6, iterations=400, targets=["self_attn", "mlp"], betas=[0.8, 0.9],
                    eps=1e-3, weight_decay=0.2),
     lambda: galore(2, 7, 0.6, ["self_attn", "mlp"], 0.8, 0.9, 1e-3, 0.2)),
]

if __name__ == "__main__":
    torch.Tensor.bfloat16 = lambda self: self.clone()
    made = {"names": {n: list(s) for n, s in NAMES.items()}, "lr": LR, "cases": []}
    for name, options, rule in CASES:
        after = run(rule())
        moved = max(abs(a - b) for p, q in zip(after[0], after[-1]) for a, b in zip(p, q))
        print(f"{name:10} {options}: moved by {moved:.3f}")
        made["cases"].append({"optimizer": name, "options": options, "after": after})
    path = pathlib.Path(__file__).resolve().parent / "data" / "optimizers.json"
    path.write_text(json.dumps(made) + "\n")
    print(f"{path}: {path.stat().st_size / 1024:.0f} KiB")
