#!/usr/bin/env python3
"""Tokenizing speed of graft beside PyPI's `tokenizers`, on the same 20 MB of mixed text, in one run.

    bench/text.py [--program build/bin/bench-text] [--megabytes 20] [--threads 1 2] [--passes 2] [--large] [--folder F] MODEL...

MODEL is a folder with tokenizer.json, or one of unigram, wordpiece and wordlevel, which are trained on the spot as
XLM-R, BERT and plain words have it. Python must have `tokenizers` (scripts/parity/peers.sh makes one that has). For
each model: MB/s on one thread and on two, of both; then seconds for a megabyte of one thing, and seconds to load.
--passes: of each over the texts, in one process; the first is told too. --large: seconds to load made vocabularies of
250,000 entries, in processes of their own. --folder: keeps the texts and what is trained for the next call.
"""
import argparse
import contextlib
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


def trained(kind, folder):
    """A tokenizer of this kind over the same sort of text."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
    path = pathlib.Path(folder) / kind
    if path.exists():
        return str(path)
    texts = mixed_text(4e6)
    if kind == "wordpiece":
        tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
        trainer = trainers.WordPieceTrainer(vocab_size=30000, show_progress=False, special_tokens=["[PAD]", "[UNK]"])
    elif kind == "wordlevel":
        tokenizer = Tokenizer(models.WordLevel(unk_token="<unk>"))
        tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.NFC(), pre_tokenizers.Whitespace()
        trainer = trainers.WordLevelTrainer(vocab_size=50000, show_progress=False, special_tokens=["<unk>"])
    else:
        tokenizer = Tokenizer(models.Unigram())
        tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
        tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
        trainer = trainers.UnigramTrainer(vocab_size=20000, show_progress=False, unk_token="<unk>", special_tokens=["<unk>"])
        texts = texts[::8]
    tokenizer.train_from_iterator(texts, trainer)
    path.mkdir()
    tokenizer.save(str(path / "tokenizer.json"))
    return str(path)


def large_models(folder, count=250_000):
    """Vocabularies of `count` entries that are made of one another, as merges make them."""
    draw = random.Random(1)
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [256 + n for n in range(256 - len(printable))]
    pieces = [chr(c) for c in printable + others]
    vocab, merges, letters = {p: i for i, p in enumerate(pieces)}, [], [*"abcdefghijklmnopqrstuvwxyz\u0120"]
    while len(pieces) < count:
        left = draw.choice(pieces[-20000:] if draw.random() < 0.5 else letters)
        right = draw.choice(letters) if draw.random() < 0.7 else draw.choice(pieces[:5000])
        if len(left + right) <= 14 and left + right not in vocab:
            vocab[left + right] = len(pieces)
            pieces.append(left + right)
            merges.append([left, right])
    line = [p.replace("\u0120", "\u2581") for p in pieces]
    word = {("##" + p).replace("##\u0120", "", 1): i for i, p in enumerate(pieces)}
    made = {
        "bpe": ({"type": "BPE", "vocab": vocab, "merges": merges}, {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}),
        "unigram": ({"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0.0], *([p, -5 - i / 20000] for i, p in enumerate(line))]},
                    {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always"}),
        "wordpiece": ({"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
                       "vocab": {**word, "[UNK]": count}}, {"type": "BertPreTokenizer"}),
        "wordlevel": ({"type": "WordLevel", "unk_token": "<unk>", "vocab": {**vocab, "<unk>": count}}, {"type": "Whitespace"}),
    }
    for name, (model, pre_tokenizer) in made.items():
        path = pathlib.Path(folder) / f"large-{name}"
        path.mkdir()
        (path / "tokenizer.json").write_text(json.dumps({"version": "1.0", "added_tokens": [], "pre_tokenizer": pre_tokenizer, "model": model},
                                                        ensure_ascii=False), encoding="utf-8")
        yield name, len(model["vocab"]), str(path)


def load_large(program, folder):
    for name, count, path in large_models(folder):
        seconds = sorted(float(subprocess.run([program, path, "--load"], capture_output=True, text=True, check=True).stderr.split()[-1])
                         for _ in range(11))
        print(f"{name}, {count} entries: loads in {seconds[0]:.3f} s, the middle of eleven {seconds[5]:.3f} s", flush=True)


# Run in a process of its own, so that the number of threads is that of its pool.
PEER = """
import json, sys, time
from tokenizers import Tokenizer
start = time.perf_counter()
tokenizer = Tokenizer.from_file(sys.argv[1] + "/tokenizer.json")
load = time.perf_counter() - start
texts = [json.loads(line) for line in open(sys.argv[2], encoding="utf-8")]
took = {}
for name, times in (("encode_batch", int(sys.argv[3])), ("encode_batch_fast", 1)):
    for _ in range(times):
        start = time.perf_counter()
        tokens = sum(len(e.ids) for e in getattr(tokenizer, name)(texts, add_special_tokens=False))
        took.setdefault(name, []).append(time.perf_counter() - start)
print(json.dumps({"load": load, "tokens": tokens, **took}))
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--program", default="build/bin/bench-text")
    parser.add_argument("--megabytes", type=float, default=20)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--passes", type=int, default=2)
    parser.add_argument("--folder", help="where texts and models are kept")
    parser.add_argument("--large", action="store_true", help="seconds to load 250,000 entries")
    parser.add_argument("models", nargs="*", metavar="MODEL")
    options = parser.parse_args()
    with contextlib.nullcontext(options.folder) if options.folder else tempfile.TemporaryDirectory() as folder:
        os.makedirs(folder, exist_ok=True)
        file = os.path.join(folder, f"texts-{options.megabytes:g}.jsonl")
        if not os.path.exists(file):
            with open(file, "w", encoding="utf-8") as out:
                out.writelines(json.dumps(text) + "\n" for text in mixed_text(options.megabytes * 1e6))
        if options.large:
            load_large(options.program, folder)
        for model in options.models:
            if not os.path.isdir(model):
                model = trained(model, folder)
            for threads in options.threads:
                ours = subprocess.run([options.program, model, file, str(threads), str(options.passes)], capture_output=True, text=True,
                                      check=True)
                mine = json.loads(ours.stdout)
                peer = json.loads(subprocess.run(
                    [sys.executable, "-c", PEER, model, file, str(options.passes)], capture_output=True, text=True, check=True,
                    env={**os.environ, "RAYON_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "true"}).stdout)
                rate = lambda seconds: f"{mine['bytes'] / 1e6 / seconds:.1f}"  # noqa: E731
                both = lambda seconds: f"{rate(min(seconds))} MB/s (the first time {rate(seconds[0])})"  # noqa: E731
                same = "" if mine["tokens"] == peer["tokens"] else \
                    f" (TOKENS DIFFER: {mine['tokens']} and {peer['tokens']})"
                best, other = min(mine["seconds"]), min(peer["encode_batch"])
                print(f"{os.path.basename(model)}, {mine['bytes'] / 1e6:.1f} MB, {threads} thread(s): graft {both(mine['seconds'])}, "
                      f"tokenizers {both(peer['encode_batch'])}, {rate(min(peer['encode_batch_fast']))} without offsets; "
                      f"{other / best:.1f} times, the first time {peer['encode_batch'][0] / mine['seconds'][0]:.1f}{same}; "
                      f"load {ours.stderr.split()[-1]} s and {peer['load']:.2f} s", flush=True)
            done = subprocess.run([options.program, model, "--runs"], capture_output=True, text=True, check=True)
            print("  a megabyte of: " + ", ".join(
                f"{line.rsplit(None, 2)[0]} {line.rsplit(None, 2)[1]} s" for line in done.stdout.splitlines()), flush=True)


if __name__ == "__main__":
    start = time.time()
    main()
    print(f"{time.time() - start:.0f} s")
