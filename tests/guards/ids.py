#!/usr/bin/env python3
"""Checks that the core knows no method, optimizer or backend by name: no string literal in core/
is the id of a plugin. Words that mean something else are in ids_allowed.txt with the reason."""
import pathlib
import re
import sys

ROOT = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parents[2]).resolve()
ALLOWED = pathlib.Path(__file__).with_name("ids_allowed.txt")
# Comments and character literals are matched too, so that a quote in them does not start a string.
TOKEN = re.compile(r"""//[^\n]*|/\*.*?\*/|'(?:\\.|[^'\\\n])+'"""
                   r"""|R"(?P<mark>[^(\s]*)\((?P<raw>.*?)\)(?P=mark)"|"(?P<text>(?:\\.|[^"\\\n])*)\"""",
                   re.DOTALL)


def literals(text):
    text = re.sub(r"(?<=[0-9a-fA-F])'(?=[0-9a-fA-F])", "", text)  # 1'000'000
    for match in TOKEN.finditer(text):
        value = match["text"] if match["text"] is not None else match["raw"]
        if value is not None:
            yield text.count("\n", 0, match.start()) + 1, value


def main():
    ids = {folder.name for folder in ROOT.glob("plugins/*/*") if folder.is_dir()}
    allowed = {}
    for line in ALLOWED.read_text().splitlines():
        if line and not line.startswith("#"):
            file, word, reason = line.split(None, 2)
            allowed[file, word] = reason
    unused, wrong = set(allowed), 0
    files = [f for f in sorted((ROOT / "core").rglob("*")) if f.suffix in (".cpp", ".hpp")]
    for file in files:
        name = str(file.relative_to(ROOT))
        for line, value in literals(file.read_text()):
            if value not in ids:
                continue
            if (name, value) in allowed:
                unused.discard((name, value))
                continue
            print(f'{name}:{line}: "{value}" is the id of a plugin. The core decides nothing by '
                  f"such an id; if the word means something else here, add a line with the reason "
                  f"to tests/guards/ids_allowed.txt.")
            wrong += 1
    for name, value in sorted(unused):
        print(f"tests/guards/ids_allowed.txt: {name} {value}: not needed any more")
        wrong += 1
    print(f"{len(files)} files, {len(ids)} ids, {wrong} wrong")
    sys.exit(1 if wrong or not files else 0)


main()
