#!/usr/bin/env python3
"""Prints the ABI that the headers in abi/include/graft declare: every macro, enum constant, type,
struct (size, alignment, and offset, size and declaration of each field) and exported function.

  abi_dump.py                     print it
  abi_dump.py --check abi/golden/0.txt   compare; exit status 1 and a diff if it changed
  abi_dump.py --write abi/golden/0.txt   acknowledge the change

Types are text as the C preprocessor leaves it; numbers come from a program that is compiled and run.
"""
import argparse
import difflib
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
INCLUDE = ROOT / "abi" / "include"
CC = os.environ.get("CC", "cc")


def run(*command, **more):
    return subprocess.run(command, check=True, capture_output=True, text=True, **more).stdout


def headers():
    """plugin.h and graft.h, both of which include types.h."""
    return [h for h in ("types.h", "plugin.h", "graft.h") if (INCLUDE / "graft" / h).exists()]


def preprocess(source, *flags):
    """The lines that come from our own headers, not from those of the system."""
    text = run(CC, "-std=c11", "-E", f"-I{INCLUDE}", *flags, "-x", "c", "-", input=source)
    ours = False
    for line in text.splitlines():
        marker = re.match(r'# \d+ "([^"]*)"', line)
        if marker:
            ours = marker[1].startswith(str(INCLUDE))
        elif ours:
            yield line


def statements(text):
    """Splits C text at the semicolons and brace ends that are in no bracket."""
    depth, start = 0, 0
    for i, c in enumerate(text):
        depth += (c in "{([") - (c in "})]")
        if c == ";" and depth == 0:
            yield " ".join(text[start:i].split())
            start = i + 1
    rest = " ".join(text[start:].split())
    if rest:
        sys.exit(f"abi_dump: text without an end: {rest[:120]}")


def tidy(declaration):
    declaration = re.sub(r"__attribute__\s*\(\(.*?\)\)\)?", "", declaration)
    declaration = re.sub(r"\s*\*\s*", "* ", declaration)
    declaration = re.sub(r"\* (?=[*,)])", "*", declaration)
    declaration = re.sub(r"\(\* (?=\w)", "(*", declaration)
    return re.sub(r"\(\s+", "(", " ".join(declaration.split()))


def fields(declaration):
    """(name, declaration) of each name that one member declaration introduces."""
    pointer = re.match(r"[^(]*\(\s*\*\s*(?:const\s+)?(\w+)", declaration)
    if pointer:
        yield pointer[1], tidy(declaration)
        return
    base = re.match(r"(?:(?:const|struct|unsigned|signed|long|short)\s+)*\w+", declaration)[0]
    for declarator in declaration[len(base):].split(","):
        name = re.search(r"(\w+)\s*(?:\[[^]]*\]\s*)*$", declarator)[1]
        yield name, tidy(f"{base} {declarator}")


def declarations(text):
    enums, structs, functions, others = [], [], [], []
    for statement in statements(text):
        if match := re.match(r"(?:typedef )?enum\s*\w*\s*{(.*)}", statement):
            enums += [part.split("=")[0].strip() for part in match[1].split(",") if part.strip()]
        elif match := re.match(r"typedef struct (\w+)\s*{(.*)}\s*(\w+)$", statement):
            structs.append((match[3], [f for s in statements(match[2]) for f in fields(s)]))
        elif statement.startswith("typedef") or re.match(r"struct \w+$", statement):
            others.append(tidy(statement))
        elif match := re.match(r".*?\b(graft_\w+)\s*\(", statement):
            functions.append((match[1], tidy(statement)))
        else:
            sys.exit(f"abi_dump: cannot read this declaration: {statement[:200]}")
    return enums, structs, functions, others


def dump():
    source = "".join(f"#include <graft/{header}>\n" for header in headers())
    text = "\n".join(preprocess(source))
    enums, structs, functions, others = declarations(text)
    macros = sorted({m[1]: (m[2], " ".join(m[3].split())) for line in preprocess(source, "-dD")
                     if (m := re.match(r"#define (GRAFT_\w+)(\([^)]*\))?(.*)", line))
                     and not m[1].endswith("_H")}.items())

    probe = [source, "#include <stdio.h>\nint main(void) {\n"]
    for name in enums:
        probe.append(f'printf("enum {name} %lld\\n", (long long){name});\n')
    for name, members in structs:
        probe.append(f'printf("struct {name} size %zu align %zu\\n", sizeof({name}), '
                     f"_Alignof({name}));\n")
        for field, declaration in members:
            probe.append(f'printf("  %zu +%zu %s\\n", offsetof({name}, {field}), '
                         f'sizeof((({name}*)0)->{field}), "{declaration}");\n')
    probe.append("return 0; }\n")
    with tempfile.TemporaryDirectory() as folder:
        program = pathlib.Path(folder) / "probe"
        run(CC, "-std=c11", f"-I{INCLUDE}", "-x", "c", "-", "-o", program, input="".join(probe))
        numbers = run(program)

    lines = ["# The ABI of the headers, written by tests/guards/abi_dump.py; see docs/hacking.md."]
    lines += [f"macro {name}{args or ''} {value}".rstrip() for name, (args, value) in macros]
    lines += numbers.splitlines()
    lines += [f"type {text}" for text in sorted(others)]
    lines += [f"function {name}: {text}" for name, text in sorted(functions)]
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", metavar="FILE", type=pathlib.Path)
    parser.add_argument("--write", metavar="FILE", type=pathlib.Path)
    options = parser.parse_args()
    text = dump()
    if options.write:
        options.write.write_text(text)
    elif options.check:
        golden = options.check.read_text() if options.check.exists() else ""
        if text != golden:
            sys.stdout.writelines(difflib.unified_diff(
                golden.splitlines(True), text.splitlines(True), str(options.check), "the headers"))
            sys.exit("\nThe ABI is not the one in the golden file. If that is meant, raise "
                     "GRAFT_ABI_MINOR, say why in the commit, and run\n"
                     "  tests/guards/abi_dump.py --write abi/golden/0.txt")
    else:
        print(text, end="")


if __name__ == "__main__":
    main()
