#!/usr/bin/env python3
"""Tokenizing speed of graft beside PyPI's `tokenizers`, on the same 20 MB of mixed text, in one run.

    bench/text.py [--program build/bin/bench-text] [--megabytes 20] MODEL...

MODEL is a folder with tokenizer.json. Python must have `tokenizers` (scripts/parity/peers.sh makes one that
has). For each model: MB/s on one thread and on two, of both; then seconds for a megabyte of one thing, and
seconds to load.
"""
import argparse
import json
import os
import pathlib
import random
import subprocess
import sys
import sysconfig
import tempfile
import time

SCRIPTS = [(0x61, 0x7B), (0x430, 0x450), (0x3B1, 0x3CA), (0x5D0, 0x5EB), (0x627, 0x64B), (0x905, 0x93A),
           (0xE01, 0xE2F), (0x3041, 0x3094), (0x4E00, 0x5200), (0xAC00, 0xAF00)]


def mixed_text(size):
    """Half of it Python's own library, half of it words in ten scripts, numbers and emoji; in texts of 4 kB."""
    draw = random.Random(5)
    library = pathlib.Path(sysconfig.get_paths()["stdlib"])
    sources = sorted(p for p in library.rglob("*.py") if "site-packages" not in p.parts)
    draw.shuffle(sources)
    words = [[ "".join(chr(draw.randrange(*s)) for _ in range(draw.randint(1, 9))) for _ in range(4000)]
             for s in SCRIPTS]
    out, total, source = [], 0, iter(sources * 50)
    while total < size:
        text = next(source).read_text(encoding="utf-8", errors="replace")
        for at in range(0, len(text), 4096):
            out.append(text[at:at + 4096])
            own = words[draw.randrange(len(words))]
            made = []
            while sum(map(len, made)) < 2000:
                made.append(draw.choice([own[int(4000 * draw.random() ** 3)], own[int(4000 * draw.random() ** 3)],
                                         str(draw.randrange(10 ** draw.randint(1, 6))),
                                         draw.choice(["\U0001f600", "...", "caf\u00e9", "\n", "don't"])]))
            out.append(" ".join(made))
            total += len(out[-1].encode()) + len(out[-2].encode())
            if total >= size:
                break
    return out


# Run in a process of its own, so that the number of threads is that of its pool.
PEER = """
import json, sys, time
from tokenizers import Tokenizer
start = time.perf_counter()
tokenizer = Tokenizer.from_file(sys.argv[1] + "/tokenizer.json")
load = time.perf_counter() - start
texts = [json.loads(line) for line in open(sys.argv[2], encoding="utf-8")]
best = {}
for name in ("encode_batch", "encode_batch_fast"):
    for _ in range(2):
        start = time.perf_counter()
        tokens = sum(len(e.ids) for e in getattr(tokenizer, name)(texts, add_special_tokens=False))
        best[name] = min(best.get(name, 1e9), time.perf_counter() - start)
print(json.dumps({"load": load, "tokens": tokens, **best}))
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--program", default="build/bin/bench-text")
    parser.add_argument("--megabytes", type=float, default=20)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("models", nargs="+", metavar="MODEL")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "texts.jsonl")
        with open(file, "w", encoding="utf-8") as out:
            out.writelines(json.dumps(text) + "\n" for text in mixed_text(options.megabytes * 1e6))
        for model in options.models:
            for threads in options.threads:
                ours = subprocess.run([options.program, model, file, str(threads)], capture_output=True, text=True,
                                      check=True)
                mine = json.loads(ours.stdout)
                peer = json.loads(subprocess.run(
                    [sys.executable, "-c", PEER, model, file], capture_output=True, text=True, check=True,
                    env={**os.environ, "RAYON_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "true"}).stdout)
                rate = lambda seconds: mine["bytes"] / 1e6 / seconds  # noqa: E731
                same = "" if mine["tokens"] == peer["tokens"] else \
                    f" (TOKENS DIFFER: {mine['tokens']} and {peer['tokens']})"
                print(f"{model}, {threads} thread(s): graft {rate(mine['seconds']):.1f} MB/s, tokenizers "
                      f"{rate(peer['encode_batch']):.1f} MB/s ({rate(peer['encode_batch_fast']):.1f} without "
                      f"offsets), {peer['encode_batch'] / mine['seconds']:.1f} times{same}; load "
                      f"{ours.stderr.split()[-1]} s and {peer['load']:.2f} s", flush=True)
            done = subprocess.run([options.program, model, "--runs"], capture_output=True, text=True, check=True)
            print("  a megabyte of: " + ", ".join(
                f"{line.rsplit(None, 2)[0]} {line.rsplit(None, 2)[1]} s" for line in done.stdout.splitlines()), flush=True)


if __name__ == "__main__":
    start = time.time()
    main()
    print(f"{time.time() - start:.0f} s")
