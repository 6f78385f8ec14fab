#!/usr/bin/env python3
"""Compares `graft template` with jinja2 in transformers' environment.

    scripts/parity/templates.py --graft build/bin/graft TEMPLATE.jinja...

Conversations with system, tools, tool calls and odd turns go through every template. Where one raises,
the other must. A template that graft refuses to parse is listed, and is no difference.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

TOOLS = [{"type": "function", "function": {
    "name": "get_weather", "description": "Weather \u00e9 <b> & 'quoted'",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}, "n": {"type": "number"}},
                   "required": ["city"]}}}]
CALL = {"role": "assistant", "content": "", "tool_calls": [
    {"type": "function", "id": "call00001", "function": {
        "name": "get_weather", "arguments": {"city": "Z\u00fcrich", "n": 1.5, "deep": [1, {"a": None}]}}}]}
U, A = (lambda t: {"role": "user", "content": t}), (lambda t: {"role": "assistant", "content": t})
S = lambda t: {"role": "system", "content": t}  # noqa: E731
CONVERSATIONS = [
    [U(" Hi "), A("Hello!\n"), U("2+2?")], [S("Be brief."), U("Hi"), A("Hello!")], [U("Hi")], [],
    [S("  only a system  ")], [A("first")], [U("a"), U("b")], [U("a"), A("b"), A("c")],
    [U("Hi"), A("<think>\nhm\n</think>\n\nAnswer"), U("More"), A("<think>x</think>y")],
    [U("Weather?"), CALL, {"role": "tool", "name": "get_weather", "content": "sunny",
                           "tool_call_id": "call00001"}, A("It is sunny."), U("Thanks")],
    [S("s"), U("\u4f60\u597d \U0001f600 <|im_end|> {{ x }} {% raw %}"), A("ok")],
    [{"role": "user", "content": [{"type": "text", "text": "parts"}, {"type": "text", "text": " two"}]}],
    [U("x"), {"role": "assistant", "content": "y", "reasoning_content": "because"}, U("z")],
    [{"role": "user"}], [{"role": "odd", "content": "?"}, U("q")], [U(None)], [U("")],
]
VARIABLES = [{}, {"add_generation_prompt": True}, {"add_generation_prompt": True, "tools": TOOLS},
             {"add_generation_prompt": True, "enable_thinking": False},
             {"tools": TOOLS, "tools_in_user_message": False, "date_string": "1 Jan 2025"}]
TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}


class Raised(Exception):
    pass


def environment():
    """As transformers sets it up; the time stands still."""
    out = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators,
                          sort_keys=sort_keys)

    def raise_exception(message):
        raise Raised(message)

    out.filters["tojson"] = tojson
    out.globals["raise_exception"] = raise_exception
    import datetime
    out.globals["strftime_now"] = lambda form: datetime.datetime.now().strftime(form)
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--graft", required=True)
    parser.add_argument("templates", nargs="+", type=pathlib.Path)
    options = parser.parse_args()
    inputs = [{"messages": c, "tools": None, "documents": None, "add_generation_prompt": False,
               **TOKENS, **v} for c in CONVERSATIONS for v in VARIABLES]
    wrong, refused = 0, 0
    for path in options.templates:
        template = environment().from_string(path.read_text(encoding="utf-8"))
        with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as file:
            file.writelines(json.dumps(i) + "\n" for i in inputs)
            file.flush()
            done = subprocess.run([*options.graft.split(), "template", str(path), "--input", file.name],
                                  capture_output=True, check=False)
        if done.returncode != 0:
            refused += 1
            print(f"{path.name}: refused: {done.stderr.decode().strip()}")
            continue
        shown = 0
        for given, line in zip(inputs, done.stdout.decode().split("\n")):
            mine = json.loads(line)
            try:
                theirs = {"text": template.render(**given)}
            except Exception as error:  # whatever a template can bring about
                theirs = {"error": f"{type(error).__name__}: {error}"}
            if mine.get("text") != theirs.get("text"):
                wrong += 1
                shown += 1
                if shown <= 2:
                    print(f"{path.name} of {json.dumps(given)[:300]}\n  graft {mine}\n  jinja {theirs}")
        print(f"{path.name}: {len(inputs)} renderings, {shown} differences")
    print(f"{len(options.templates)} templates, {refused} refused, {wrong} differences")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
