#!/usr/bin/env python3
"""Compares `graft template` with transformers' rendering of chat templates.

    scripts/parity/templates.py --graft build/bin/graft [--generated 1000] [--seed 1] [TEMPLATE.jinja...]

Conversations with system, tools, tool calls, parts and odd turns go through every template, and generated
templates (grammar.py) through a context of their own. Where one raises, the other must.
"""
import argparse
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import warnings

from transformers.utils.chat_template_utils import render_jinja_template

import grammar

TOOLS = [{"type": "function", "function": {
    "name": "get_weather", "description": "Weather \u00e9 <b> & 'quoted'",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}, "n": {"type": "number"}},
                   "required": ["city"]}}}]
CALL = {"role": "assistant", "content": "", "tool_calls": [
    {"type": "function", "id": "call00001", "function": {
        "name": "get_weather", "arguments": {"city": "Z\u00fcrich", "n": 1.5, "deep": [1, {"a": None}]}}}]}
U, A = (lambda t: {"role": "user", "content": t}), (lambda t: {"role": "assistant", "content": t})
S = lambda t: {"role": "system", "content": t}  # noqa: E731
RESULT = {"role": "tool", "name": "get_weather", "content": "sunny", "tool_call_id": "call00001"}
PART = lambda t: {"type": "text", "text": t}  # noqa: E731
CONVERSATIONS = [
    [U(" Hi "), A("Hello!\n"), U("2+2?")], [S("Be brief."), U("Hi"), A("Hello!")], [U("Hi")], [],
    [S("  only a system  ")], [A("first")], [U("a"), U("b")], [U("a"), A("b"), A("c")],
    [U("Hi"), A("<think>\nhm\n</think>\n\nAnswer"), U("More"), A("<think>x</think>y")],
    [U("Weather?"), CALL, RESULT, A("It is sunny."), U("Thanks")], [U("Weather?"), CALL, RESULT],
    [S("s"), U("Weather?"), {**CALL, "content": None}, RESULT, RESULT],
    [U("Weather?"), {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}],
    [S("s"), U("\u4f60\u597d \U0001f600 <|im_end|> {{ x }} {% raw %}"), A("ok")],
    [{"role": "user", "content": [PART("parts"), PART(" two")]}],
    [{"role": "system", "content": [PART("parts")]}, {"role": "user", "content": [{"type": "image"}, PART("t")]},
     {"role": "assistant", "content": [PART("done")]}],
    [U("x"), {"role": "assistant", "content": "y", "reasoning_content": "because"}, U("z")],
    [{"role": "user"}], [{"role": "odd", "content": "?"}, U("q")], [U(None)], [U("")],
    [{"role": "developer", "content": "d"}, U("q"), A("a")],
]
VARIABLES = [{}, {"add_generation_prompt": True}, {"add_generation_prompt": True, "tools": TOOLS},
             {"add_generation_prompt": True, "enable_thinking": False}, {"continue_final_message": True},
             {"tools": TOOLS, "tools_in_user_message": False, "date_string": "1 Jan 2025"},
             {"documents": [{"title": "T", "text": "body"}], "add_generation_prompt": True}]
TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}


def theirs(source, given):
    given = dict(given)
    fixed = {"tools": given.pop("tools", None), "documents": given.pop("documents", None),
             "add_generation_prompt": given.pop("add_generation_prompt", False),
             "continue_final_message": given.pop("continue_final_message", False)}
    if fixed["continue_final_message"] and fixed["add_generation_prompt"]:
        return {"error": "both"}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            rendered = render_jinja_template([given.pop("messages")], chat_template=source, **fixed, **given)
        return {"text": rendered[0][0]}
    except Exception as error:  # whatever a template can bring about
        return {"error": f"{type(error).__name__}: {error}"}


def mine(graft, path, inputs):
    """Lines, or the message where the template is refused."""
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as file:
        file.writelines(json.dumps(i) + "\n" for i in inputs)
        file.flush()
        done = subprocess.run([*graft, "template", str(path), "--input", file.name],
                              capture_output=True, check=False)
    if done.returncode != 0:
        return done.stderr.decode().strip()
    return [json.loads(line) for line in done.stdout.decode().split("\n") if line]


# An address, which no two runs share.
ADDRESS = re.compile(r" at 0x[0-9a-f]+>")


def compare(graft, path, source, inputs, quiet=False):
    ours = mine(graft, path, inputs)
    shown = 0
    for number, given in enumerate(inputs):
        expected = theirs(source, given)
        got = {"error": ours} if isinstance(ours, str) else ours[number]
        if got.get("text") == expected.get("text") or ADDRESS.search(expected.get("text", "")):
            continue
        shown += 1
        if shown <= 2:
            print(f"{path.name} of {json.dumps(given)[:300]}\n  graft {got}\n  jinja {expected}")
            if quiet:
                print(f"  template {source!r}")
    if not quiet:
        print(f"{path.name}: {len(inputs)} renderings, {shown} differences"
              + (f" (refused: {ours})" if isinstance(ours, str) else ""))
    return shown


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--graft", required=True)
    parser.add_argument("--generated", type=int, default=1000, help="templates from the grammar")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("templates", nargs="*", type=pathlib.Path)
    options = parser.parse_args()
    graft = options.graft.split()
    inputs = [{"messages": c, "tools": None, "documents": None, "add_generation_prompt": False,
               **TOKENS, **v} for c in CONVERSATIONS for v in VARIABLES]
    wrong = 0
    for path in options.templates:
        wrong += compare(graft, path, path.read_text(encoding="utf-8"), inputs)
    makes = grammar.Grammar(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "generated.jinja"
        differences = 0
        for _ in range(options.generated):
            source = makes.template()
            path.write_text(source, encoding="utf-8")
            differences += compare(graft, path, source, [{"messages": [], **grammar.CONTEXT}], quiet=True)
    print(f"{len(options.templates)} templates, {wrong} differences; {options.generated} generated, "
          f"{differences} differences")
    sys.exit(1 if wrong + differences else 0)


if __name__ == "__main__":
    main()
