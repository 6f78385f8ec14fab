#!/usr/bin/env python3
"""Runs graft and its peers on the same work, one after the other and round after round.

SmolLM2-135M, LoRA r = 16 on all linear layers, 4 rows of 512 tokens a step, AdamW, clipping. Prints one
table (min, median and max over the rounds) and writes results/PROCESSOR.md and .json.
"""

import argparse
import json
import os
import pathlib
import random
import re
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


def run_graft(options, model, data, dtype, folder):
    out = folder / "out"
    run = {
        "model": {"path": str(model), "dtype": dtype},
        "methods": [{"type": "lora", "rank": options.rank, "alpha": 2 * options.rank, "targets": "all-linear"}],
        "backend": {"type": options.backend, "threads": options.threads},
        "data": {"train": str(data), "format": "tokens", "max_length": options.length, "shuffle": False},
        "optimizer": {"type": "adamw", "lr": 2e-4, "weight_decay": 0.01},
        "train": {"steps": options.steps, "batch_size": options.rows, "schedule": "constant", "clip": 1.0},
        "output": {"dir": str(out)},
    }
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
            "seconds_to_first_step": start["seconds_since_process_start"] + steps[0]["seconds"],
            "losses": [line["loss"] for line in steps], "peak_resident_bytes": end["peak_resident_bytes"],
            "plan_bytes": start["plan_bytes"]}


def run_peft(options, model, data, dtype, folder):
    command = [sys.executable, HERE / "peer_peft.py", "--model", model, "--data", data, "--dtype", dtype]
    for key in ("rows", "steps", "threads", "rank"):
        command += [f"--{key}", str(getattr(options, key))]
    done = subprocess.run(command, capture_output=True, text=True,
                          env={**os.environ, "OMP_NUM_THREADS": str(options.threads)})
    if done.returncode != 0:
        raise SystemExit(f"run.py: peer_peft.py failed:\n{done.stderr[-4000:]}")
    return json.loads(done.stdout.splitlines()[-1])


ROWS = {"graft-bf16": (run_graft, "bf16"), "peft-bf16": (run_peft, "bf16"),
        "graft-f32": (run_graft, "f32"), "peft-f32": (run_peft, "f32")}


def models(options):
    """One folder per dtype: both sides read weights of the type they compute in."""
    sys.path.insert(0, str(HERE.parent / "scripts" / "parity"))
    import smollm2
    _, wide = smollm2.fetch(options.smollm2)
    half = options.smollm2 / "hf-bf16"
    if not (half / "model.safetensors").exists():
        code = ("import sys, torch, transformers; transformers.AutoModelForCausalLM.from_pretrained("
                "sys.argv[1], dtype=torch.bfloat16).save_pretrained(sys.argv[2])")
        subprocess.run([sys.executable, "-c", code, wide, half], check=True, capture_output=True)
    return {"f32": wide, "bf16": half}


def spread(values, form):
    return " / ".join(form.format(v) for v in (min(values), statistics.median(values), max(values)))


def table(results):
    """Markdown; each value is min / median / max over the rounds, each ratio is of medians."""
    lines = ["| row | tokens/s | best step | peak MiB | s to first step | first loss | tokens/s vs peer | peak vs peer |",
             "|---|---|---|---|---|---|---|---|"]

    def median(name, key):
        return statistics.median(r[key] for r in results[name])

    for name, rounds in results.items():
        peer = "peft-" + name.split("-")[1]
        ratios = ["", ""]
        if name.startswith("graft-") and peer in results:
            ratios = [f"{median(name, key) / median(peer, key):.2f}x" for key in ("tokens_per_s", "peak_resident_bytes")]
        lines.append("| " + " | ".join([
            name, spread([r["tokens_per_s"] for r in rounds], "{:.0f}"),
            f"{max(r['best_tokens_per_s'] for r in rounds):.0f}",
            spread([r["peak_resident_bytes"] / 2**20 for r in rounds], "{:.0f}"),
            spread([r["seconds_to_first_step"] for r in rounds], "{:.1f}"),
            f"{rounds[0]['losses'][0]:.4f}", *ratios]) + " |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("row", nargs="*", metavar="ROW", help=f"which rows, of {', '.join(ROWS)}; default: all")
    parser.add_argument("--graft", required=True, help="the graft command, of a release build")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--rows", type=int, default=4, help="rows in a step")
    parser.add_argument("--length", type=int, default=512, help="tokens in a row")
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--backend", default="cpu")
    parser.add_argument("--smollm2", type=pathlib.Path, default=HERE.parent / ".deps" / "smollm2")
    parser.add_argument("--results", type=pathlib.Path, default=HERE / "results")
    options = parser.parse_args()
    names = options.row or list(ROWS)
    if unknown := [name for name in names if name not in ROWS]:
        parser.error(f"no row '{unknown[0]}'; there are {', '.join(ROWS)}")

    cpu, sets = processor()
    folders = models(options)
    gemm = json.loads(subprocess.run([sys.executable, HERE / "peer_gemm.py", "--threads", str(options.threads)],
                                     check=True, capture_output=True, text=True).stdout)
    results = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as temporary:
        data = pathlib.Path(temporary) / "data.jsonl"
        draw = random.Random(17)
        data.write_text("".join(json.dumps({"input_ids": [draw.randrange(VOCAB) for _ in range(options.length)]}) + "\n"
                                for _ in range(options.rows * options.steps)))
        for turn in range(options.rounds):
            for name in names:
                function, dtype = ROWS[name]
                with tempfile.TemporaryDirectory(dir=temporary) as folder:
                    result = function(options, folders[dtype], data, dtype, pathlib.Path(folder))
                results[name].append(result)
                print(f"round {turn + 1}, {name}: {result['tokens_per_s']:.0f} tokens/s, "
                      f"{result['peak_resident_bytes'] / 2**20:.0f} MiB", file=sys.stderr, flush=True)

    versions = next((r[0]["versions"] for r in results.values() if "versions" in r[0]), {})
    work = (f"SmolLM2-135M, LoRA r={options.rank} on all linear layers, {options.rows} rows of {options.length} tokens, "
            f"AdamW, {options.threads} threads, {options.steps} steps (the first is not counted), "
            f"{options.rounds} rounds; min / median / max")
    text = "\n".join([
        f"# {cpu}", "", work + ".", "",
        "Instruction sets: " + ", ".join(sets) + ". torch's matrix products, GFLOP/s: "
        + ", ".join(f"{k} {v:.0f}" for k, v in gemm.items()) + ".",
        *(["Peers: " + ", ".join(f"{k} {v}" for k, v in versions.items()) + "."] if versions else []),
        "", table(results), ""])
    print(text)
    slug = re.sub(r"[^a-z0-9]+", "-", cpu.lower()).strip("-")
    options.results.mkdir(parents=True, exist_ok=True)
    (options.results / f"{slug}.md").write_text(text)
    (options.results / f"{slug}.json").write_text(json.dumps(
        {"processor": cpu, "instruction_sets": sets, "date": time.strftime("%Y-%m-%d"), "work": work, "gemm": gemm,
         "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
