#!/usr/bin/env python3
"""Checks that the arrows between folders point one way: cli, bindings, examples -> abi <- plugins,
core -> abi, and inside core a folder uses only folders above it."""
import pathlib
import re
import sys

ROOT = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parents[2]).resolve()
CORE = "base plugin tensor graph model adapt optim text data train infer api".split()
USER_HEADERS = ["graft/graft.h", "graft/graft.hpp"]
ENDINGS = {".c", ".h", ".cpp", ".hpp", ".cu", ".cuh", ".inc"}
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)


def inside(file, name, home):
    """Is the quoted `name` in `file` a file of the folder `home`, or of one below it?"""
    for start in (file.parent, ROOT):
        found = (start / name).resolve()
        if found.exists():
            return home == found.parent or home in found.parents
    return False


def refusal(file, quoted, name):
    """Why `file` must not include `name`, or None."""
    parts = file.relative_to(ROOT).parts
    if parts[0] == "abi":
        if name.startswith("core/") or quoted and not inside(file, name, ROOT / "abi/include/graft"):
            return "abi depends on nothing"
        return None
    if parts[0] == "core":
        if not quoted:
            return "core headers are included with quotes" if name.startswith("core/") else None
        target = re.match(r"core/(\w+)/", name)
        if not target:
            return "quoted includes in core are rooted at the repository: \"core/<folder>/<file>\""
        allowed = CORE[: CORE.index(parts[1]) + 1]
        if target[1] not in allowed:
            return f"core/{parts[1]} uses only {', '.join(allowed)}"
        return None
    home = ROOT.joinpath(*parts[: {"plugins": 3, "cli": 1}.get(parts[0], 2)])
    if quoted:
        return None if inside(file, name, home) else f"it is not in {home.relative_to(ROOT)}/"
    if name.startswith("core/"):
        return "core is for libgraft alone"
    if parts[0] == "plugins" and name in USER_HEADERS:
        return "plugins are given tables, they call nothing of libgraft"
    if parts[0] in ("cli", "bindings") and name.startswith("graft/") and name not in USER_HEADERS:
        return f"of graft it uses only {', '.join(USER_HEADERS)}"
    return None


def main():
    files, wrong = 0, 0
    for top in ("abi", "core", "plugins", "cli", "examples", "bindings"):
        for file in sorted((ROOT / top).rglob("*")):
            if file.suffix not in ENDINGS:
                continue
            files += 1
            relative = file.relative_to(ROOT)
            if top == "core" and relative.parts[1] not in CORE:
                sys.exit(f"{relative}: core/{relative.parts[1]} is not in the list of core folders")
            text = file.read_text()
            for match in INCLUDE.finditer(text):
                reason = refusal(file, match[1] == '"', match[2])
                if reason:
                    line = text.count("\n", 0, match.start()) + 1
                    print(f"{relative}:{line}: includes {match[2]}: {reason}")
                    wrong += 1
    print(f"{files} files, {wrong} wrong includes")
    sys.exit(1 if wrong or not files else 0)


main()
