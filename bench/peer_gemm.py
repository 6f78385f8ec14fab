#!/usr/bin/env python3
"""What the machine's matrix products reach through torch, in GFLOP/s; prints one line of JSON.

A yardstick to read the other rows by: it varies between machines, and with the neighbours on one.
"""

import argparse
import json
import time

import torch


def rate(dtype, m, n, k, seconds):
    a, b = torch.randn(m, k).to(dtype), torch.randn(n, k).to(dtype)
    torch.nn.functional.linear(a, b)
    best, until = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < until:
        began = time.perf_counter()
        torch.nn.functional.linear(a, b)
        best = min(best, time.perf_counter() - began)
    return 2e-9 * m * n * k / best


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=1.0)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    shapes = {"mlp": (2048, 1536, 576), "large": (2048, 2048, 2048)}
    print(json.dumps({f"{name} {dtype}": rate(getattr(torch, dtype), *shape, options.seconds)
                      for name, shape in shapes.items() for dtype in ("float32", "bfloat16")}))


if __name__ == "__main__":
    main()
