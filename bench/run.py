#!/usr/bin/env python3
"""Runs graft and its peers on the same work, one after the other and round after round.

SmolLM2-135M, LoRA r = 16 on all linear layers, AdamW, clipping. A row is PROGRAM-DTYPE[-WORK]: graft-f32,
peft-bf16-16x128. Prints one table (min, median and max over the rounds) and writes
results/PROCESSOR.md and .json.
"""

import argparse
import importlib.util
import json
import os
import pathlib
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
VOCAB = 49152


def processor():
    """Name of the processor, and those of its instruction sets that decide here."""
    text = pathlib.Path("/proc/cpuinfo").read_text()
    name = re.search(r"model name\s*:\s*(.*)", text)
    identity = re.search(r"cpu family\s*:\s*(\d+).*?model\s*:\s*(\d+)", text, re.S)
    flags = set(re.search(r"flags\s*:\s*(.*)", text).group(1).split())
    sets = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in flags]
    return f"{name.group(1).strip()} (family {identity.group(1)}, model {identity.group(2)})", sets


# By name: documents of a step, as lengths; and what differs in RUN.json.
DRAW = random.Random(11)
WORK = {
    "4x512": ([512] * 4, {}),
    "16x128": ([128] * 16, {}),
    "2x1024": ([1024] * 2, {}),
    "1x4096": ([4096], {}),
    "mixed": ([DRAW.randint(16, 500) for _ in range(32)], {}),
    "block": ([512] * 4, {"recompute": "block"}),
    "one": ([512] * 4, {"rank": 1, "targets": ["v_proj"], "layers": [0]}),
    "top": ([512] * 4, {"layers": list(range(15, 30))}),
    "nf4": ([512] * 4, {"quantization": {"format": "nf4", "double": True, "block": 64, "skip": ["lm_head"]}}),
}
PROGRAMS = ("graft", "peft", "compiled")
DEFAULT = ["graft-bf16", "peft-bf16", "graft-f32", "peft-f32"]


def flops_per_token(lengths):
    """The cost model: forward and backward through frozen matrices, causal attention, adapters of rank 16."""
    matrices, head, adapters, width, layers = 106.2e6, 28.3e6, 4.88e6, 576, 30
    attention = 7 * width * layers * sum(n * n for n in lengths) / sum(lengths)
    return 4 * (matrices + head) + 6 * adapters + attention


def parse_row(name):
    program, dtype, *work = name.split("-", 2)
    work = work[0] if work else "4x512"
    if program not in PROGRAMS or dtype not in ("f32", "bf16") or work not in WORK:
        raise SystemExit(f"run.py: no row '{name}'; a row is one of {', '.join(PROGRAMS)}, then -f32 or -bf16, then "
                         f"nothing or one of -{', -'.join(WORK)}")
    if program != "graft" and WORK[work][1].get("layers") is not None:
        raise SystemExit(f"run.py: '{name}': the work '{work}' compares graft with itself")
    return program, dtype, work


def run_graft(options, model, data, dtype, work, folder):
    lengths, changes = WORK[work]
    out = folder / "out"
    method = {"type": "lora", "rank": changes.get("rank", 16), "alpha": 32,
              "targets": changes.get("targets", "all-linear")}
    if "layers" in changes:
        method["layers"] = changes["layers"]
    run = {
        "model": {"path": str(model), "dtype": dtype},
        "methods": [method],
        "backend": {"type": options.backend, "threads": options.threads},
        "data": {"train": str(data), "format": "tokens", "max_length": max(lengths), "shuffle": False},
        "optimizer": {"type": "adamw", "lr": 2e-4, "weight_decay": 0.01},
        "train": {"steps": options.steps, "batch_size": len(lengths), "schedule": "constant", "clip": 1.0},
        "output": {"dir": str(out)},
    }
    if "recompute" in changes:
        run["train"]["recompute"] = changes["recompute"]
    if "quantization" in changes:
        run["model"]["quantization"] = changes["quantization"]
    (folder / "run.json").write_text(json.dumps(run))
    done = subprocess.run([options.graft, "train", folder / "run.json", "--quiet"], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"run.py: graft failed:\n{done.stderr[-4000:]}")
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    steps = [line for line in lines if "loss" in line]
    start = next(line for line in lines if line.get("event") == "start")
    end = next(line for line in lines if line.get("event") == "end")
    rates = [line["tokens"] / line["seconds"] for line in steps[1:] or steps]
    return {"tokens_per_s": statistics.median(rates), "best_tokens_per_s": max(rates),
            "seconds": [line["seconds"] for line in steps],
            "seconds_to_begin": start["seconds_since_process_start"],
            "seconds_to_first_step": start["seconds_since_process_start"] + steps[0]["seconds"],
            "losses": [line["loss"] for line in steps], "peak_resident_bytes": end["peak_resident_bytes"],
            "plan_bytes": start["plan_bytes"]}


def run_peft(options, model, data, dtype, work, folder, compiled=False):
    lengths, changes = WORK[work]
    command = [sys.executable, HERE / "peer_peft.py", "--model", model, "--data", data, "--dtype", dtype,
               "--rows", str(len(lengths)), "--steps", str(options.steps), "--threads", str(options.threads),
               *(["--compile"] if compiled else []), *(["--checkpointing"] if "recompute" in changes else []),
               *(["--nf4"] if "quantization" in changes else [])]
    done = subprocess.run(command, capture_output=True, text=True,
                          env={**os.environ, "OMP_NUM_THREADS": str(options.threads)})
    if done.returncode != 0:
        raise SystemExit(f"run.py: peer_peft.py failed:\n{done.stderr[-4000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def run_row(options, name, model, data, folder):
    program, dtype, work = parse_row(name)
    if program == "graft":
        return run_graft(options, model, data, dtype, work, folder)
    return run_peft(options, model, data, dtype, work, folder, compiled=program == "compiled")


def models(options, names):
    """One folder per dtype: both sides read weights of the type they compute in. graft alone reads the GGUF."""
    sys.path.insert(0, str(HERE.parent / "scripts" / "parity"))
    import smollm2
    if importlib.util.find_spec("torch") is None:
        if peers := [name for name in names if not name.startswith("graft-")]:
            raise SystemExit(f"run.py: '{peers[0]}' needs torch, transformers and PEFT. bench/run.sh --peers installs "
                             "them; PEERS_VENV names a virtual environment that has them")
        gguf = options.smollm2 / "model.gguf"
        if not gguf.exists():
            gguf.parent.mkdir(parents=True, exist_ok=True)
            smollm2.download(gguf)
        return {"f32": gguf, "bf16": gguf}
    _, wide = smollm2.fetch(options.smollm2)
    half = options.smollm2 / "hf-bf16"
    if not (half / "model.safetensors").exists():
        code = ("import sys, torch, transformers; transformers.AutoModelForCausalLM.from_pretrained("
                "sys.argv[1], dtype=torch.bfloat16).save_pretrained(sys.argv[2])")
        subprocess.run([sys.executable, "-c", code, wide, half], check=True, capture_output=True)
        for file in wide.glob("tokenizer*"):
            shutil.copy(file, half)
    return {"f32": wide, "bf16": half}


def results_file(folder, cpu, what):
    """PROCESSOR[-what].md in `folder`."""
    return folder / ("-".join(filter(None, [re.sub(r"[^a-z0-9]+", "-", cpu.lower()).strip("-"), what])) + ".md")


def write_results(folder, cpu, what, text, more):
    """PROCESSOR[-what].md and .json in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    file = results_file(folder, cpu, what)
    file.write_text(text)
    file.with_suffix(".json").write_text(json.dumps(
        {"processor": cpu, "date": time.strftime("%Y-%m-%d"), **more}, indent=1) + "\n")


def spread(values, form):
    return " / ".join(form.format(v) for v in (min(values), statistics.median(values), max(values)))


def table(results, gemm):
    """Markdown; each value is min / median / max over the rounds, each ratio is of medians."""
    lines = ["| row | tokens/s | best step | share of GEMM rate | peak MiB | s to first step | first loss "
             "| tokens/s vs PEFT, compiled | peak vs PEFT |", "|---|---|---|---|---|---|---|---|---|"]

    def median(name, key):
        return statistics.median(r[key] for r in results[name])

    for name, rounds in results.items():
        program, dtype, work = parse_row(name)
        tail = "" if work == "4x512" else "-" + work
        ratios = []
        for peer in (f"peft-{dtype}{tail}", f"compiled-{dtype}{tail}"):
            if program == "graft" and peer in results:
                ratios.append(f"{median(name, 'tokens_per_s') / median(peer, 'tokens_per_s'):.2f}x")
            else:
                ratios.append("-")
        peer = f"peft-{dtype}{tail}"
        peak = ""
        if program == "graft" and peer in results:
            peak = f"{median(name, 'peak_resident_bytes') / median(peer, 'peak_resident_bytes'):.2f}x"
        rate = gemm.get(dtype, gemm["f32"])["step"]
        share = median(name, "tokens_per_s") * flops_per_token(WORK[work][0]) * 1e-9 / rate
        known = not {"rank", "layers"} & set(WORK[work][1])  # the cost model counts adapters everywhere
        lines.append("| " + " | ".join([
            name, spread([r["tokens_per_s"] for r in rounds], "{:.0f}"),
            f"{max(r['best_tokens_per_s'] for r in rounds):.0f}", f"{100 * share:.0f} %" if known else "",
            spread([r["peak_resident_bytes"] / 2**20 for r in rounds], "{:.0f}"),
            spread([r["seconds_to_first_step"] for r in rounds], "{:.1f}"),
            f"{rounds[0]['losses'][0]:.4f}", ", ".join(ratios).replace("-, -", ""), peak]) + " |")
    return "\n".join(lines)


def documents(path, lengths, steps):
    draw = random.Random(17)
    path.write_text("".join(json.dumps({"input_ids": [draw.randrange(VOCAB) for _ in range(n)]}) + "\n"
                            for _ in range(steps) for n in lengths))
    return path


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("row", nargs="*", metavar="ROW",
                        help=f"rows, as PROGRAM-DTYPE[-WORK]: {', '.join(PROGRAMS)}; f32, bf16; {', '.join(WORK)}. "
                             f"Default: {' '.join(DEFAULT)}")
    parser.add_argument("--graft", required=True, help="the graft command, of a release build")
    parser.add_argument("--packed-gemm", required=True, help="bench-packed-gemm of the same build")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--backend", default="cpu")
    parser.add_argument("--smollm2", type=pathlib.Path, default=HERE.parent / ".deps" / "smollm2")
    parser.add_argument("--what", default="", help="a word in the names of the files of results: PROCESSOR-WHAT.md")
    parser.add_argument("--results", type=pathlib.Path, default=HERE / "results")
    options = parser.parse_args()
    names = options.row or DEFAULT
    works = {parse_row(name)[2] for name in names}

    cpu, sets = processor()
    folders = models(options, names)

    def measure_gemm():
        done = subprocess.run([options.packed_gemm, str(options.threads)], check=True, capture_output=True, text=True)
        return json.loads(done.stdout)

    gemm = measure_gemm()
    results = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as temporary:
        data = {work: documents(pathlib.Path(temporary) / f"{work}.jsonl", WORK[work][0], options.steps)
                for work in works}
        for turn in range(options.rounds):
            for name in names:
                _, dtype, work = parse_row(name)
                with tempfile.TemporaryDirectory(dir=temporary) as folder:
                    result = run_row(options, name, folders[dtype], data[work], pathlib.Path(folder))
                results[name].append(result)
                print(f"round {turn + 1}, {name}: {result['tokens_per_s']:.0f} tokens/s, "
                      f"{result['peak_resident_bytes'] / 2**20:.0f} MiB", file=sys.stderr, flush=True)
    # Before and after: the machine may have changed its pace meanwhile. The higher counts.
    for dtype, rates in measure_gemm().items():
        gemm[dtype]["step"] = max(gemm[dtype]["step"], rates["step"])

    versions = next((r[0]["versions"] for r in results.values() if "versions" in r[0]), {})
    work = (f"SmolLM2-135M, LoRA r=16 on all linear layers, 4 rows of 512 tokens unless the row's name says otherwise, "
            f"AdamW, {options.threads} threads, {options.steps} steps (the first is not counted), "
            f"{options.rounds} rounds; min / median / max")
    text = "\n".join([
        f"# {cpu}", "", work + ".", "",
        "Instruction sets: " + ", ".join(sets) + ". Packed matrix products of the step's own shapes (oneDNN), GFLOP/s: "
        + ", ".join(f"{k} {v['step']:.0f}" for k, v in gemm.items())
        + ("." if "bf16" in gemm else "; no bf16 products on this processor: shares of bf16 rows are of f32's rate."),
        *(["Peers: " + ", ".join(f"{k} {v}" for k, v in versions.items()) + "."] if versions else []),
        "", table(results, gemm), ""])
    print(text)
    write_results(options.results, cpu, options.what, text,
                  {"instruction_sets": sets, "work": work, "gemm": gemm, "results": results})


if __name__ == "__main__":
    main()
