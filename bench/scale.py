#!/usr/bin/env python3
"""QLoRA on models of growing size: random weights in the shapes of SmolLM2-135M, Llama-3.2-1B and Llama-3-8B.

Each is written as a bf16 folder, quantized to an NF4 folder, planned, and takes steps of QLoRA (r = 16 on all linear
layers) over it. Prints one table: planned and measured memory by holder, seconds of each part, tokens/s and
the share of the machine's packed GEMM rate; writes results/PROCESSOR-scale.md and .json. The 8B shape wants 24 GB
of disk in --folder.
"""

import argparse
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import random_model  # noqa: E402
from run import HERE, processor, write_results  # noqa: E402

HOLDERS = ("process", "weights", "prepared", "activations", "gradients", "optimizer", "workspace")


def measured(command):
    """Standard output, seconds and the largest resident set of a command."""
    start = time.time()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = subprocess.Popen(command, stdout=out, stderr=err)
        _, status, usage = os.wait4(child.pid, 0)
        out.seek(0)
        err.seek(0)
        if status != 0:
            raise SystemExit(f"scale.py: {' '.join(map(str, command))} failed:\n{err.read().decode()[-4000:]}")
        return out.read().decode(), time.time() - start, usage.ru_maxrss * 1024


def flops_per_token(shape, tokens, rank=16):
    """The cost model: forward and backward through frozen matrices, causal attention, adapters."""
    matrices = [extents for name, extents in random_model.tensors(shape)
                if len(extents) == 2 and "embed_tokens" not in name]
    frozen = sum(rows * columns for rows, columns in matrices)
    if shape["tie_word_embeddings"]:
        frozen += shape["vocab_size"] * shape["hidden_size"]
    layers = [extents for name, extents in random_model.tensors(shape) if "_proj" in name]
    adapters = rank * sum(rows + columns for rows, columns in layers)
    return 4 * frozen + 6 * adapters + 7 * shape["hidden_size"] * shape["num_hidden_layers"] * tokens


def run(options, name, folder):
    shape = random_model.SHAPES[name]
    wide, quantized, out = folder / name, folder / f"{name}-nf4", folder / f"{name}-out"
    result = {}
    if not wide.exists():
        start = time.time()
        random_model.write(shape, wide)
        result["write_seconds"] = time.time() - start
    result["bf16_bytes"] = sum(f.stat().st_size for f in wide.glob("*.safetensors"))
    shutil.rmtree(quantized, ignore_errors=True)
    _, result["quantize_seconds"], result["quantize_peak_bytes"] = measured(
        [options.graft, "quantize", wide, "--format", "nf4", "--output", quantized, "--quiet"])
    result["nf4_bytes"] = sum(f.stat().st_size for f in quantized.glob("*.safetensors"))
    draw = random.Random(5)
    data = folder / f"{name}.jsonl"
    data.write_text("".join(
        json.dumps({"input_ids": [draw.randrange(shape["vocab_size"]) for _ in range(options.tokens)]}) + "\n"
        for _ in range(options.steps)))
    shutil.rmtree(out, ignore_errors=True)
    (folder / f"{name}.json").write_text(json.dumps({
        "model": {"path": str(wide if options.at_load else quantized), "dtype": options.dtype},
        "methods": [{"type": "qlora", "rank": 16, "alpha": 32, "targets": "all-linear",
                     "quantization": {"format": "nf4", "double": True, "block": 64, "skip": ["lm_head"]}}],
        "backend": {"type": "cpu", "threads": options.threads},
        "data": {"train": str(data), "format": "tokens", "max_length": options.tokens, "shuffle": False},
        "train": {"steps": options.steps, "batch_size": 1, "recompute": options.recompute},
        "output": {"dir": str(out)}}))
    result["plan"] = json.loads(measured([options.graft, "plan", folder / f"{name}.json", "--json"])[0])
    _, result["train_seconds"], result["train_peak_bytes"] = measured(
        [options.graft, "train", folder / f"{name}.json", "--quiet"])
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    start = next(line for line in lines if line.get("event") == "start")
    result["seconds_to_begin"] = start["seconds_since_process_start"]
    result["step_seconds"] = [line["seconds"] for line in lines if "loss" in line]
    result["losses"] = [line["loss"] for line in lines if "loss" in line]
    rate = options.tokens / min(result["step_seconds"])
    result["tokens_per_s"] = rate
    result["gflops"] = rate * flops_per_token(shape, options.tokens) * 1e-9
    if not options.keep:
        for path in (wide, quantized, out):
            shutil.rmtree(path, ignore_errors=True)
    return result


def table(results, gemm):
    gib = 2.0**30
    names = list(results)
    lines = ["| | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]

    def row(title, value):
        lines.append(f"| {title} | " + " | ".join(value(results[name]) for name in names) + " |")

    row("bf16 folder, GB", lambda r: f"{r['bf16_bytes'] * 1e-9:.2f}")
    row("NF4 folder, GB", lambda r: f"{r['nf4_bytes'] * 1e-9:.2f}")
    row("`graft quantize`: s", lambda r: f"{r['quantize_seconds']:.0f}")
    row("`graft quantize`: peak GiB", lambda r: f"{r['quantize_peak_bytes'] / gib:.2f}")
    for holder in HOLDERS:
        row(f"plan: {holder}, GiB", lambda r, key=f"{holder}_bytes": f"{r['plan'][key] / gib:.2f}")
    row("plan: total, GiB", lambda r: f"{r['plan']['total_bytes'] / gib:.2f}")
    row("measured peak, GiB", lambda r: f"{r['train_peak_bytes'] / gib:.2f}")
    row("plan / measured", lambda r: f"{r['plan']['total_bytes'] / r['train_peak_bytes']:.3f}")
    row("from process start to the first step, s", lambda r: f"{r['seconds_to_begin']:.1f}")
    row("s of each step", lambda r: ", ".join(f"{s:.1f}" for s in r["step_seconds"]))
    row("tokens/s of the best step", lambda r: f"{r['tokens_per_s']:.1f}")
    row("GFLOP/s by the cost model", lambda r: f"{r['gflops']:.0f}")
    row("share of the packed GEMM rate", lambda r: f"{100 * r['gflops'] / gemm:.0f} %")
    row("loss of each step", lambda r: ", ".join(f"{loss:.4f}" for loss in r["losses"]))
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shape", nargs="*", choices=[[], *random_model.SHAPES], default=[],
                        help="default: all of 135M, 1B, 8B")
    parser.add_argument("--graft", required=True, help="the graft command, of a release build")
    parser.add_argument("--packed-gemm", required=True, help="bench-packed-gemm of the same build")
    parser.add_argument("--folder", type=pathlib.Path, help="where models are written; default: a temporary folder")
    parser.add_argument("--keep", action="store_true", help="leave the models in --folder")
    parser.add_argument("--at-load", action="store_true", help="quantize the bf16 folder as it is loaded")
    parser.add_argument("--tokens", type=int, default=512, help="of a step")
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--dtype", default="bf16", help="to compute in")
    parser.add_argument("--recompute", default="lean")
    parser.add_argument("--results", type=pathlib.Path, default=HERE / "results")
    options = parser.parse_args()
    if options.keep and not options.folder:
        raise SystemExit("scale.py: --keep wants a --folder to keep the models in")

    cpu, sets = processor()
    rates = json.loads(subprocess.run([options.packed_gemm, str(options.threads)], check=True, capture_output=True,
                                      text=True).stdout)
    gemm = rates.get(options.dtype, rates["f32"])["step"]
    results = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or pathlib.Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for name in options.shape or random_model.SHAPES:
            results[name] = run(options, name, folder)
            print(f"{name}: peak {results[name]['train_peak_bytes'] / 2**30:.2f} GiB, steps of "
                  + ", ".join(f"{s:.1f} s" for s in results[name]["step_seconds"]), file=sys.stderr, flush=True)
    text = "\n".join([
        f"# {cpu}: QLoRA over NF4", "",
        f"Random weights in the shapes of SmolLM2-135M, Llama-3.2-1B and Llama-3-8B; double quantization, blocks of 64, "
        f"head and embedding in bf16. r = 16 on all linear layers, paged AdamW, one document of {options.tokens} "
        f"tokens a step, computing in {options.dtype}, `recompute: {options.recompute}`, {options.threads} threads"
        + (", quantized while loading" if options.at_load else "") + ".", "",
        "Instruction sets: " + ", ".join(sets) + f". Packed matrix products reached {gemm:.0f} GFLOP/s in the same run"
        + ("." if options.dtype in rates else ", in f32 (there are none in bf16 on this processor)."), "",
        table(results, gemm), ""])
    print(text)
    write_results(options.results, cpu, "scale-at-load" if options.at_load else "scale", text,
                  {"instruction_sets": sets, "gemm": rates, "results": results})


if __name__ == "__main__":
    main()
