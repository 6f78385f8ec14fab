#!/usr/bin/env python3
"""Makes data/adamw8bit.json: 100 steps of bitsandbytes' AdamW8bit on a CPU.

"digests": after each step the SHA-256 of the state of the first parameter: codes of m and v, scales of m and v.
"codes": the first codes of both after the last step. "parameters": the first values of each parameter after it;
"m", "v": of those with states in f32.
Run with torch and bitsandbytes installed, on a processor with AVX2. With --seed other numbers are drawn, which
scripts/parity.sh compares live.
"""

import argparse
import hashlib
import json
import pathlib
import warnings

import bitsandbytes as bnb
import torch

STEPS, LR, KEPT = 100, 1e-3, 48
# The first is kept in 8 bits, its last block is short; the second is too small; the third's name is excluded.
NAMES = {"m.q_proj.w": (3, 1453), "m.k_proj.w": (39, 105), "m.embed_tokens.weight": (41, 100)}


def noise(i, n, step, seed):
    """Numbers that are exact in f32: 16 bits of a generator, with magnitudes that differ."""
    k = torch.arange(n, dtype=torch.int64)
    x = (k * 2654435761 + (step * 977 + i * 131 + seed) * 40503) % (1 << 32)
    x = (x ^ (x >> 15)) * 2246822519 % (1 << 32)
    bits = (x >> 8) % (1 << 16) - (1 << 15)
    return (bits.double() * 2.0 ** (-20 - (k % 9).double())).float()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent / "data" / "adamw8bit.json")
    options = parser.parse_args()
    seed = options.seed
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    parameters = [torch.nn.Parameter(noise(7 + i, s[0] * s[1], 0, seed).reshape(s)) for i, s in enumerate(NAMES.values())]
    bnb.optim.GlobalOptimManager.get_instance().override_config(parameters[2], "optim_bits", 32)
    optimizer = bnb.optim.AdamW8bit(parameters, lr=LR, betas=(0.9, 0.99), eps=1e-8, weight_decay=0.1)
    digests = []
    for step in range(1, STEPS + 1):
        for i, p in enumerate(parameters):
            p.grad = noise(i, p.numel(), step, seed).reshape(p.shape)
        optimizer.step()
        state = optimizer.state[parameters[0]]
        digest = hashlib.sha256()
        for name in ("state1", "state2", "absmax1", "absmax2"):
            digest.update(state[name].numpy().tobytes())
        digests.append(digest.hexdigest())
    assert state["state1"].dtype == torch.uint8
    wide = [optimizer.state[p] for p in parameters[1:]]
    assert all(s["state1"].dtype == torch.float32 for s in wide)
    made = {
        "seed": seed, "names": {n: list(s) for n, s in NAMES.items()}, "lr": LR, "digests": digests,
        "codes": [state[name].flatten()[:KEPT].tolist() for name in ("state1", "state2")],
        "parameters": [p.detach().flatten()[:KEPT].tolist() for p in parameters],
        "m": [s["state1"].flatten()[:KEPT].tolist() for s in wide],
        "v": [s["state2"].flatten()[:KEPT].tolist() for s in wide],
    }
    path = options.output
    path.write_text(json.dumps(made) + "\n")
    print(f"{path}: {path.stat().st_size / 1024:.0f} KiB, codes of m {state['state1'].unique().numel()} different")


if __name__ == "__main__":
    main()
