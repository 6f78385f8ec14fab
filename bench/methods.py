#!/usr/bin/env python3
"""Every method on the same work, one after the other and round after round.

SmolLM2-135M learns English glosses (WordNet's, from examples/dictionary): 4 documents of 512 tokens a step. Prints
one table: what a method trains, the size of its adapter file, tokens/s and peak memory beside LoRA's, the loss on held-out
documents before and after the same number of tokens, and with --peers what PEFT reaches with its counterpart, each
right after its method. Writes results/PROCESSOR-methods-DTYPE.md and .json; with --add it adds to them.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from run import HERE, models, processor, results_file, spread, write_results  # noqa: E402

ROWS, LENGTH, HELD_OUT = 4, 512, 4
ALL = "all-linear"
QV = ["q_proj", "v_proj"]

# By name: the method of graft, the learning rate, PEFT's counterpart (none: it has none).
METHODS = {
    "lora": ({"type": "lora", "rank": 16, "alpha": 32, "targets": ALL}, 5e-4,
             {"peft_type": "LORA", "r": 16, "lora_alpha": 32, "target_modules": ALL}),
    "qlora": ({"type": "qlora", "rank": 16, "alpha": 32, "targets": ALL,
               "quantization": {"format": "nf4", "double": True, "block": 64, "skip": ["lm_head"]}}, 5e-4,
              {"peft_type": "LORA", "r": 16, "lora_alpha": 32, "target_modules": ALL, "nf4": True}),
    "dora": ({"type": "dora", "rank": 16, "alpha": 32, "targets": ALL}, 5e-4,
             {"peft_type": "LORA", "use_dora": True, "r": 16, "lora_alpha": 32, "target_modules": ALL}),
    "adalora": ({"type": "adalora", "init_rank": 12, "target_rank": 8, "targets": ALL}, 1e-3,
                {"peft_type": "ADALORA", "init_r": 12, "target_r": 8, "target_modules": ALL}),
    "loha": ({"type": "loha", "rank": 8, "alpha": 16, "targets": ALL}, 5e-4,
             {"peft_type": "LOHA", "r": 8, "alpha": 16, "target_modules": ALL}),
    "lokr": ({"type": "lokr", "rank": 8, "alpha": 16, "targets": ALL}, 1e-3,
             {"peft_type": "LOKR", "r": 8, "alpha": 16, "target_modules": ALL}),
    "oft": ({"type": "oft", "block_size": 32, "targets": ALL}, 1e-3,
            {"peft_type": "OFT", "oft_block_size": 32, "target_modules": ALL}),
    "vera": ({"type": "vera", "rank": 64, "targets": QV}, 5e-3,
             {"peft_type": "VERA", "r": 64, "target_modules": QV}),
    "randlora": ({"type": "randlora", "rank": 32, "targets": QV}, 1e-3,
                 {"peft_type": "RANDLORA", "r": 32, "target_modules": QV}),
    "tied_lora": ({"type": "tied_lora", "rank": 16, "targets": QV}, 1e-3, None),
    "ia3": ({"type": "ia3", "targets": ["k_proj", "v_proj", "down_proj"], "feedforward": ["down_proj"]}, 5e-3,
            {"peft_type": "IA3", "target_modules": ["k_proj", "v_proj", "down_proj"],
             "feedforward_modules": ["down_proj"]}),
    "ln_tuning": ({"type": "ln_tuning"}, 1e-3, {"peft_type": "LN_TUNING"}),
    "adapter": ({"type": "adapter"}, 1e-3, None),
    "prompt": ({"type": "prompt", "tokens": 20}, 3e-2, {"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 20}),
    "prefix": ({"type": "prefix", "tokens": 20}, 1e-2, {"peft_type": "PREFIX_TUNING", "num_virtual_tokens": 20}),
    "p_tuning": ({"type": "p_tuning", "tokens": 20}, 1e-3, {"peft_type": "P_TUNING", "num_virtual_tokens": 20}),
    "full": ({"type": "full"}, 5e-5, {"peft_type": None}),
}


def tool(command):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"methods.py: {command[0]} failed:\n{done.stderr[-4000:]}")
    return done.stdout


def documents(options, model, folder):
    """Token ids of documents of LENGTH, glosses in a row: those to learn, and HELD_OUT others."""
    source = HERE.parent / "examples" / "dictionary" / "data" / "train.jsonl"
    if not source.exists():
        raise SystemExit(f"methods.py: no {source}; scripts/demo.sh or examples/dictionary/prepare.py writes it")
    texts = [" ".join(message["content"] for message in json.loads(line)["messages"] if message["role"] != "system")
             for line in source.read_text().splitlines()]
    lines = folder / "texts.jsonl"
    lines.write_text("".join(json.dumps({"text": text + "\n"}) + "\n" for text in texts))
    out = folder / "ids.jsonl"
    tool([options.graft, "tokenize", model, "--input", lines, "--output", out, "--quiet"])
    ids = [i for line in out.read_text().splitlines() for i in json.loads(line)["input_ids"]]
    wanted = options.steps * ROWS + HELD_OUT
    if len(ids) < wanted * LENGTH:
        raise SystemExit(f"methods.py: the glosses make {len(ids) // LENGTH} documents, {wanted} are needed: fewer --steps")
    rows = [json.dumps({"input_ids": ids[i * LENGTH:(i + 1) * LENGTH]}) + "\n" for i in range(wanted)]
    (folder / "train.jsonl").write_text("".join(rows[HELD_OUT:]))
    (folder / "eval.jsonl").write_text("".join(rows[:HELD_OUT]))
    return folder


def run_graft(options, model, data, name, folder):
    method, rate, _ = METHODS[name]
    if name == "adalora":
        method = {**method, "total_steps": options.steps, "tinit": options.steps // 5, "tfinal": options.steps // 3}
    run = {
        "model": {"path": str(model), "dtype": options.dtype},
        "methods": [method],
        "backend": {"type": "cpu", "threads": options.threads},
        "data": {"train": str(data / "train.jsonl"), "eval": str(data / "eval.jsonl"), "format": "tokens",
                 "max_length": LENGTH, "shuffle": False},
        "optimizer": {"type": "adamw", "lr": rate},
        "train": {"steps": options.steps, "batch_size": ROWS, "schedule": "constant", "clip": 1.0},
        "output": {"dir": str(folder / "out")},
    }
    (folder / "run.json").write_text(json.dumps(run))
    trained = json.loads(tool([options.graft, "plan", folder / "run.json", "--json"]))["trainable_parameters"]
    tool([options.graft, "train", folder / "run.json", "--quiet"])
    lines = [json.loads(line) for line in (folder / "out" / "metrics.jsonl").read_text().splitlines()]
    steps = [line for line in lines if "loss" in line]
    evals = [line["eval_loss"] for line in lines if "eval_loss" in line]
    end = next(line for line in lines if line.get("event") == "end")
    files = list((folder / "out").glob("*.safetensors"))
    return {"tokens_per_s": statistics.median(line["tokens"] / line["seconds"] for line in steps[1:] or steps),
            "peak_resident_bytes": end["peak_resident_bytes"], "trained": trained, "losses": [s["loss"] for s in steps],
            "file_bytes": sum(file.stat().st_size for file in files), "tokens": end["tokens"],
            "eval_before": evals[0], "eval_after": evals[-1]}


def run_peft(options, model, data, name):
    config = dict(METHODS[name][2])
    blocks = ["--nf4"] if config.pop("nf4", False) else []
    if name == "adalora":
        config |= {"total_step": options.steps, "tinit": options.steps // 5, "tfinal": options.steps // 3}
    done = tool([sys.executable, HERE / "peer_peft.py", "--model", model, "--data", data / "train.jsonl", "--dtype",
                 options.dtype, "--rows", ROWS, "--steps", min(options.steps, options.peer_steps), "--threads",
                 options.threads, "--config", json.dumps(config), *blocks])
    return json.loads(done.splitlines()[-1])


def ratio(results, row, other, key, digits=2):
    if not results.get(row) or not results.get(other):
        return "-"
    return f"{middle(results, row, key) / middle(results, other, key):.{digits}f}x"


def middle(results, row, key):
    return statistics.median(r[key] for r in results[row])


def table(results, peers):
    lines = ["| method | trained | adapter file, KiB | tokens/s | LoRA's time | peak MiB | LoRA's peak | eval loss before, after "
             "| PEFT tokens/s | ratio | PEFT's peak |", "|---|---|---|---|---|---|---|---|---|---|---|"]
    for name, rounds in results.items():
        first = rounds[0]
        peer = peers.get(name)
        rate = f"{statistics.median(r['tokens_per_s'] for r in peer):.0f}" if peer else "-"
        both = {"own": rounds, "peer": peer}
        lines.append("| " + " | ".join([
            name, f"{first['trained']:,}", f"{first['file_bytes'] / 1024:,.0f}",
            spread([r["tokens_per_s"] for r in rounds], "{:.0f}"), ratio(results, "lora", name, "tokens_per_s"),
            spread([r["peak_resident_bytes"] / 2**20 for r in rounds], "{:.0f}"),
            ratio(results, name, "lora", "peak_resident_bytes"),
            f"{first['eval_before']:.3f}, {first['eval_after']:.3f}", rate, ratio(both, "own", "peer", "tokens_per_s"),
            ratio(both, "own", "peer", "peak_resident_bytes")]) + " |")
    return "\n".join(lines)


def before(options, cpu):
    """What earlier runs have left: results, those of the peers, their versions."""
    file = results_file(options.results, cpu, f"methods-{options.dtype}").with_suffix(".json")
    if not file.exists():
        return {}, {}, {}
    found = json.loads(file.read_text())
    return found["results"], found["peers"], found["versions"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("method", nargs="*", metavar="METHOD", help=f"some of: {', '.join(METHODS)}. Default: all")
    parser.add_argument("--graft", required=True, help="the graft command, of a release build")
    parser.add_argument("--dtype", choices=["bf16", "f32"], default="bf16")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--peers", action="store_true", help="PEFT's counterparts too")
    parser.add_argument("--peer-steps", type=int, default=4, help="at most so many of them")
    parser.add_argument("--add", action="store_true",
                        help="to what a run before has left in the files of results, for a table in several sittings")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--smollm2", type=pathlib.Path, default=HERE.parent / ".deps" / "smollm2")
    parser.add_argument("--results", type=pathlib.Path, default=HERE / "results")
    options = parser.parse_args()
    names = options.method or list(METHODS)
    if unknown := [name for name in names if name not in METHODS]:
        raise SystemExit(f"methods.py: no method '{unknown[0]}'; there are {', '.join(METHODS)}")
    model = models(options, [f"{program}-{options.dtype}" for program in ("graft", *["peft"] * options.peers)])[options.dtype]
    cpu, sets = processor()
    results, peers, versions = {}, {}, {}
    if options.add:
        results, peers, versions = before(options, cpu)
    for name in names:
        results.setdefault(name, [])
    with tempfile.TemporaryDirectory() as temporary:
        data = documents(options, model, pathlib.Path(temporary))
        for turn in range(options.rounds):
            for name in names:
                with tempfile.TemporaryDirectory(dir=temporary) as folder:
                    results[name].append(run_graft(options, model, data, name, pathlib.Path(folder)))
                said = f"round {turn + 1}, {name}: {results[name][-1]['tokens_per_s']:.0f} tokens/s"
                if options.peers and METHODS[name][2]:
                    peers.setdefault(name, []).append(run_peft(options, model, data, name))
                    versions = peers[name][-1]["versions"]
                    said += f"; PEFT {peers[name][-1]['tokens_per_s']:.0f}"
                print(said, file=sys.stderr, flush=True)
    results = {name: results[name] for name in METHODS if name in results}
    text = "\n".join([
        f"# Methods on {cpu}", "",
        f"SmolLM2-135M in {options.dtype}, {ROWS} documents of {LENGTH} tokens of WordNet's glosses a step, AdamW, {options.threads} "
        f"threads, {options.steps} steps (the first is not timed); min / median / max over "
        f"{min(map(len, results.values()))} to {max(map(len, results.values()))} runs. Eval loss: before "
        f"training and after {results[names[0]][0]['tokens']:,} tokens. Ratios are of medians; a time above 1 is slower than LoRA's.",
        "", "Instruction sets: " + ", ".join(sets) + ".",
        *(["Peers: " + ", ".join(f"{k} {v}" for k, v in versions.items()) + "."] if versions else []),
        "", table(results, peers), ""])
    print(text)
    write_results(options.results, cpu, f"methods-{options.dtype}", text,
                  {"instruction_sets": sets, "methods": METHODS, "results": results, "peers": peers,
                   "versions": versions})


if __name__ == "__main__":
    main()
