#!/usr/bin/env python3
"""Compares ids, offsets and decoded text of `graft tokenize` with Hugging Face `tokenizers`.

    scripts/parity/text.py --graft build/bin/graft [--strings 10000] [--seed 1] MODEL...

MODEL is a folder with tokenizer.json, or a .gguf file of a byte-level tokenizer. Tokenizers of every
kind that are trained on the spot are always among them. Text around every added token is tried as far as
--strings allows; a tenth as many strings again are bytes that are no UTF-8, given to libgraft.so (--library)
itself. Needs PyPI's `tokenizers`.
"""
import argparse
import itertools
import json
import pathlib
import subprocess
import sys
import tempfile

from tokenizers import Tokenizer

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import kinds  # noqa: E402
from gguf_tokenizer import tokenizer_of_gguf  # noqa: E402
from raw_bytes import Library, lossy  # noqa: E402
from strings import Strings  # noqa: E402


def run(graft, model, options, lines):
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as file:
        for line in lines:
            file.write(json.dumps(line) + "\n")
        file.flush()
        done = subprocess.run([*graft, "tokenize", str(model), "--input", file.name, *options],
                              capture_output=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{model}: {done.stderr.decode()}")
    return [json.loads(line) for line in done.stdout.decode().split("\n") if line]


def byte_offsets(text, offsets):
    at = [0]
    for character in text:
        at.append(at[-1] + len(character.encode("utf-8")))
    return [[at[begin], at[end]] for begin, end in offsets]


# So many at a time: the peer's encodings of all would fill the memory.
AT_ONCE = 10000


class Differences:
    """Counts them and shows the first few."""

    def __init__(self):
        self.count = 0

    def check(self, what, text, mine, theirs):
        if mine != theirs:
            self.count += 1
            if self.count <= 5:
                print(f"  {what} of {text!r}\n    graft      {mine}\n    tokenizers {theirs}")
        return mine == theirs


def compare(graft, model, oracle, texts):
    differences, count = Differences(), 0
    texts = iter(texts)
    while some := list(itertools.islice(texts, AT_ONCE)):
        count += len(some)
        # Every other string with the tokens that the tokenizer adds by itself.
        for special in (False, True):
            compare_some(graft, model, oracle, some[special::2], special, differences.check)
    print(f"{model}: {count} strings, {differences.count} differences", flush=True)
    return differences.count


def compare_raw(library, model, oracle, raws):
    differences, tokenizer, count, odd = Differences(), library.open(model), 0, 0
    for raw in raws:
        text, at = lossy(raw)
        count += 1
        odd += text.encode("utf-8") != raw
        mine, theirs = library.encode(tokenizer, raw, True), oracle.encode(text)
        if differences.check("ids", raw, mine["input_ids"], theirs.ids):
            differences.check("offsets", raw, mine["offsets"], [[at[begin], at[end]] for begin, end in theirs.offsets])
    library.close(tokenizer)
    print(f"{model}: {count} byte strings, {odd} no UTF-8, {differences.count} differences", flush=True)
    return differences.count


def drawn(strings, count):
    """`count` strings: at most half of them text around added tokens, all of it where there is room."""
    around = list(strings.around())
    if len(around) > count // 2:
        around = strings.random.sample(around, count // 2)
    yield from around
    for _ in range(count - len(around)):
        yield strings.next(longer=True)


def compare_model(options, model, oracle, strings):
    graft = options.graft.split()
    strings.specials = [*strings.specials, *(t.content for t in oracle.get_added_tokens_decoder().values())]
    return (compare(graft, model, oracle, drawn(strings, options.strings))
            + compare_raw(options.library, model, oracle, (strings.raw() for _ in range(options.strings // 10))))


def compare_some(graft, model, oracle, texts, special, check):
    encodings = oracle.encode_batch(texts, add_special_tokens=special)
    lines = run(graft, model, ["--special"] if special else [], [{"text": t} for t in texts])
    assert len(lines) == len(texts), f"{len(lines)} lines for {len(texts)} texts"
    for text, line, encoding in zip(texts, lines, encodings):
        check("ids", text, line["input_ids"], encoding.ids)
        if line["input_ids"] == encoding.ids:
            check("offsets", text, line["offsets"], byte_offsets(text, encoding.offsets))
    for skip in (False, True):
        ids = [e.ids for e in encodings]
        # Cut in the middle: half characters must come out as U+FFFD.
        ids = [i if n % 2 else i[len(i) // 3: -len(i) // 3 or None] for n, i in enumerate(ids)]
        options = ["--decode"] + (["--skip-special"] if skip else [])
        decoded = run(graft, model, options, [{"input_ids": i} for i in ids])
        for one, line in zip(ids, decoded):
            check("text", one, line["text"], oracle.decode(one, skip_special_tokens=skip))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--graft", required=True, help="the command, with arguments if it needs any")
    parser.add_argument("--strings", type=int, default=10000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kinds", nargs="*", choices=kinds.KINDS, default=list(kinds.KINDS),
                        help="what is trained on the spot")
    parser.add_argument("--library", type=pathlib.Path, help="libgraft.so; by default the program's ../lib/libgraft.so")
    parser.add_argument("models", nargs="*", type=pathlib.Path)
    options = parser.parse_args()
    program = pathlib.Path(options.graft.split()[0]).resolve()
    options.library = Library(options.library or program.parent.parent / "lib" / "libgraft.so")
    wrong = 0
    for model in options.models:
        oracle = (tokenizer_of_gguf(model) if model.suffix == ".gguf"
                  else Tokenizer.from_file(str(model / "tokenizer.json")))
        wrong += compare_model(options, model, oracle, Strings(options.seed, []))
    for number, kind in enumerate(options.kinds):
        with tempfile.TemporaryDirectory(prefix=kind) as name:
            folder = pathlib.Path(name)
            strings = Strings(options.seed + 1 + number, [
                "<s>", "</s>", "<m>", " <m> ", "<r>  ", "<b>", "foo", "foo.", "caf\u00e9",
                "cafe\u0301", "e\u0301t", "\u00e9t", "<a>", "<a>b", "  x ", "[CLS]", "[UNK]"])
            oracle = kinds.train(kind, strings)
            oracle.save(str(folder / "tokenizer.json"))
            oracle = Tokenizer.from_file(str(folder / "tokenizer.json"))
            wrong += compare_model(options, folder, oracle, strings)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
