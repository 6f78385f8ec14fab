#!/usr/bin/env python3
"""Compares graft with transformers and PEFT on cases that nobody has seen, drawn from a seed.

  scores     random models: log-probabilities
  training   random models, adapters and runs: graft goes on from PEFT's adapter (losses, gradient norms,
             weights), PEFT computes the same with what graft saved, and goes on from it as graft does
  methods    the same for every other method
  matrix     the same for every method on every family of models
  adapters   bottleneck adapters and AdapterFusion, in the files of the adapters library and beside it
  fresh      adapters of every method and initialisation that graft begins itself: PEFT loads them and computes the same
  eva        LoRA that begins from the data, trained: as PEFT does with exact decompositions
  optimizers the states of AdamW in 8 bits over 100 steps, to the bit, beside bitsandbytes
  quant      SmolLM2 over nf4: log-probabilities and six steps, beside bitsandbytes
  smollm2    SmolLM2-135M-Instruct: log-probabilities from the folder and the GGUF, and six steps of LoRA
  text       tokenizers of every kind trained on the spot, and those of --data, on --strings strings each; models of
             SentencePiece; chat templates of --data and generated ones
"""

import argparse
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time
import warnings

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "golden"), str(pathlib.Path(__file__).resolve().parent)]

import torch
import transformers

import check
import draw as drawn
import reference
import smollm2
from common import largest_difference, score, write_json, write_jsonl

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
warnings.filterwarnings("ignore")

SCORE, METRICS, WEIGHTS = 1e-4, 1e-4, 1e-3


class Live:
    def __init__(self, options):
        self.options = options
        self.failed = 0

    def grafts(self):
        for backend in self.options.backends:
            yield backend, check.Graft(self.options.graft, backend, self.options.threads)

    def case(self, title, body):
        """Runs body(report), prints its findings, and counts it where it fails."""
        report = check.Report()
        began = time.monotonic()
        try:
            body(report)
        except SystemExit as stopped:
            report.failures.append(str(stopped))
        print(f"\n{title}  [{time.monotonic() - began:.0f} s]", flush=True)
        self.failed += report.print()
        sys.stdout.flush()


def steady(model_folder, rows, expected, limit):
    """False where the reference's own rounding is near the tolerance: such a case shows nothing."""
    wide = score(reference.load_model(model_folder).double(), rows)
    return largest_difference(expected, wide) < limit


def has_biases(model_folder):
    return any(name.endswith(".bias") for name, _ in reference.load_model(model_folder).named_parameters())


def draw_scores(draw, folder):
    while True:
        about = drawn.model(draw, folder / "model", draw.families)
        vocab = json.loads((folder / "model" / "config.json").read_text())["vocab_size"]
        rows = [{"input_ids": [draw.randrange(vocab) for _ in range(draw.choice([1, 2, 5, 17, 40, 90]))]}
                for _ in range(4)]
        expected = score(reference.load_model(folder / "model"), rows)
        if steady(folder / "model", rows, expected, SCORE / 4):
            write_jsonl(folder / "score.jsonl", rows)
            return about, rows, expected
        for file in (folder / "model").iterdir():
            file.unlink()


def scores(live, draw):
    for i in range(live.options.models):
        with tempfile.TemporaryDirectory() as temporary:
            folder = pathlib.Path(temporary)
            about, _, expected = draw_scores(draw, folder)
            for backend, graft in live.grafts():
                live.case(f"scores {i} on {backend}: {about}", lambda report: check.compare_scores(
                    report, "log-probabilities", graft.score(folder / "model", folder / "score.jsonl"), expected, SCORE))


def reference_run(folder, start, run, dtype=torch.float32):
    model = reference.load_adapter(reference.load_model(folder / "model"), folder / start, trainable=True).to(dtype)
    return model, reference.train(model, run, folder)


def relative(a, b):
    return ((a.detach().double() - b.detach()).norm() / b.detach().norm().clamp(min=1e-30)).item()


def draw_training(draw, folder, method=None):
    """A model, an adapter (of LoRA unless a method is named) and a run whose reference is steady, in folder."""
    while True:
        for file in sorted(folder.rglob("*"), reverse=True):
            file.rmdir() if file.is_dir() else file.unlink()
        about, rows, _ = draw_scores(draw, folder)
        config = reference.load_model(folder / "model").config
        options = drawn.method(draw, method, config) if method else drawn.adapter(draw, config)
        if options is None or (method == "bitfit" and not has_biases(folder / "model")):
            continue  # no block size divides; nothing to train
        generator = torch.Generator().manual_seed(draw.randrange(1 << 30))
        reference.random_adapter(folder / "model", options, generator, folder / "before", "model")
        write_jsonl(folder / "train.jsonl", drawn.lines(draw, draw.randrange(5, 13), config.vocab_size))
        run = {"model": {"path": "model", "dtype": "f32"}, "methods": [{"load": "before"}], **drawn.run(draw)}
        if method == "adalora":
            run["train"]["steps"] = drawn.STEPS
        write_json(folder / "run.json", run)
        if not reference.examples(folder / "train.jsonl", run["data"]["max_length"]):
            continue
        model, metrics = reference_run(folder, "before", run)
        exact, wide = reference_run(folder, "before", run, torch.float64)
        rounding = rounding_of(metrics, wide)
        # Adam makes steps of what is nothing but rounding, as of queries that see one key only.
        moved = max(relative(a, b) for a, b in zip(model.parameters(), exact.parameters()) if a.requires_grad)
        if rounding < METRICS / 4 and moved < WEIGHTS / 4:
            reference.save_adapter(model, folder / "after")
            shown = {**(options if isinstance(options, dict) else {"method": options}), **run["optimizer"], **run["train"]}
            return f"{about}\n  {json.dumps(shown)}", run, rows, metrics


def rounding_of(metrics, wide):
    """What the reference's own metrics differ by from those in double precision."""
    return max(abs(a[k] - b[k]) / (abs(a[k]) or 1) for a, b in zip(metrics, wide) for k in a)


def weights(report, subject, actual, expected):
    check.compare_weights(report, check.read_safetensors(actual / "adapter_model.safetensors"),
                          check.read_safetensors(expected / "adapter_model.safetensors"), WEIGHTS, subject)


def with_adapter(folder, adapter, rows):
    return score(reference.load_adapter(reference.load_model(folder / "model"), adapter, False), rows)


def train_both(live, draw, title, method=None):
    draw.wide, draw.trains = method == "prefix", True
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        about, run, rows, metrics = draw_training(draw, folder, method)
        after = with_adapter(folder, folder / "after", rows)
        for backend, graft in live.grafts():
            out, further = folder / f"out-{backend}", folder / f"further-{backend}"

            def body(report):
                lines = graft.train(folder / "run.json", out)
                check.compare_metrics(report, lines, metrics, METRICS)
                weights(report, "weights", out, folder / "after")
                check.compare_scores(report, "PEFT's adapter in graft", graft.score(
                    folder / "model", folder / "score.jsonl", [folder / "after"]), after, SCORE)
                check.compare_scores(report, "graft's adapter in PEFT", graft.score(
                    folder / "model", folder / "score.jsonl", [out]), with_adapter(folder, out, rows), SCORE)
                if method == "adalora":
                    return  # one that has allocated its ranks keeps them; PEFT allocates anew

                again = {**run, "methods": [{"load": out.name}]}
                write_json(folder / "again.json", again)
                model, expected = reference_run(folder, out.name, again)
                if rounding_of(expected, reference_run(folder, out.name, again, torch.float64)[1]) >= METRICS / 4:
                    return  # so far into training the reference's own rounding shows
                reference.save_adapter(model, folder / "expected")
                check.compare_metrics(report, graft.train(folder / "again.json", further), expected, METRICS,
                                      "both go on from graft's")
                weights(report, "both go on from graft's: weights", further, folder / "expected")

            live.case(f"{title} on {backend}: {about}", body)


def training(live, draw):
    for i in range(live.options.runs):
        train_both(live, draw, f"training {i}")


def methods(live, draw):
    for method in live.options.methods:
        draw.families = [f for f in live.options.families if drawn.applies(method, f)]
        train_both(live, draw, f"method {method}", method)


def matrix(live, draw):
    for family in live.options.families:
        for method in live.options.methods:
            if drawn.applies(method, family):
                # So that each repeats alone.
                own = random.Random(f"{live.options.seed} matrix {family} {method}")
                own.families = [family]
                train_both(live, own, f"{method} on a {family}", method)


# Not PEFT's: its options of the same meaning have other names there, or are of no meaning here.
NOT_GRAFTS = ("peft_type", "fan_in_fan_out", "use_dora")
# These move what the model says from the first step on.
MOVING = ("prompt", "prefix", "p_tuning")


def begun(draw, config, name, variant):
    """The entry of `methods` with which graft begins an adapter; None where the drawn model cannot have it."""
    options = drawn.method(draw, name, config) if name != "lora" else drawn.adapter(draw, config)
    if options is None:
        return None
    options = {k: v for k, v in options.items() if k not in NOT_GRAFTS and not (name == "oft" and k == "r")}
    if name == "p_tuning":
        options["encoder"] = options.pop("encoder_reparameterization_type").lower()
    if variant:
        options = {k: v for k, v in options.items() if k not in ("rank_pattern", "layers_to_transform", "modules_to_save")}
        options.update(r=min(options["r"], 3), init=variant, target_modules=[
            t for t in options["target_modules"] if t in drawn.linear(config)] or [drawn.linear(config)[0]])
    return {"type": name, **options}


FRESH = [("lora", None), ("lora", "gaussian"), ("lora", "pissa"), ("lora", "olora"), ("lora", "eva"),
         *((name, None) for name in drawn.METHODS if name not in ("bitfit", "full"))]


def fresh(live, draw):
    for name, variant in FRESH:
        if name != "lora" and name not in live.options.methods:
            continue
        title = f"fresh {name}{' ' + variant if variant else ''}"
        draw.families = [f for f in live.options.families if drawn.applies(name, f)]
        draw.wide = name == "prefix"
        with tempfile.TemporaryDirectory() as temporary:
            folder, method = pathlib.Path(temporary), None
            while method is None:
                for file in sorted(folder.rglob("*"), reverse=True):
                    file.rmdir() if file.is_dir() else file.unlink()
                about, rows, base = draw_scores(draw, folder)
                config = reference.load_model(folder / "model").config
                method = begun(draw, config, name, variant)
            write_jsonl(folder / "train.jsonl", drawn.lines(draw, 9, config.vocab_size))
            run = {"model": {"path": "model", "dtype": "f32"}, "methods": [method], **drawn.run(draw)}
            run["train"].update(steps=5, warmup_steps=1)
            run["train"].pop("warmup_ratio", None)
            if variant == "eva":
                run["train"].pop("batch_tokens", None)
                run["train"]["batch_size"], run["data"]["max_length"] = 3, 64
            for backend, graft in live.grafts():

                def body(report):
                    for steps, end in ((1, "begin"), (5, "end")):
                        run["train"]["steps"] = steps
                        if name == "adalora":
                            method.update(total_step=steps, tinit=0, tfinal=0)
                        write_json(folder / "run.json", run)
                        out = folder / f"{end}-{backend}"
                        graft.train(folder / "run.json", out)
                        expected = with_adapter(folder, out, rows)
                        check.compare_scores(report, f"{end} in PEFT", graft.score(
                            folder / "model", folder / "score.jsonl", [out]), expected, SCORE)
                        if name in MOVING:
                            continue
                        # The only step of a warm-up has lr 0, so the first adapter must still change nothing.
                        moved = largest_difference(base, expected)
                        report.require(moved < SCORE if steps == 1 else moved > 2 * SCORE,
                                       f"{end}: the adapter moves log-probabilities by {moved:.2e}")

                live.case(f"{title} on {backend}: {about}\n  {json.dumps(method)}", body)


def eva(live, draw):
    """The ranks and numbers that EVA makes of a run's data, and a run that begins with them."""
    for i in range(max(1, live.options.runs // 2)):
        with tempfile.TemporaryDirectory() as temporary:
            folder = pathlib.Path(temporary)
            about, rows, _ = draw_scores(draw, folder)
            config = reference.load_model(folder / "model").config
            options = dict(r=draw.randrange(1, 4), lora_alpha=draw.randrange(1, 9), use_rslora=draw.random() < 0.3,
                           target_modules=draw.sample(drawn.linear(config), draw.randrange(1, 5)))
            if config.model_type == "gpt2":
                options["fan_in_fan_out"] = True
            own = dict(rho=draw.choice([1.0, 2.0, 3.0]), tau=draw.choice([0.8, 0.9]), use_label_mask=draw.random() < 0.5,
                       adjust_scaling_factors=draw.random() < 0.7)
            write_jsonl(folder / "train.jsonl", drawn.lines(draw, 24, config.vocab_size))
            run = {"model": {"path": "model", "dtype": "f32"}, **drawn.run(draw)}
            run["train"].update(steps=8, accumulate=1, batch_size=6)
            run["train"].pop("batch_tokens", None)
            run["data"]["max_length"] = 64
            reference.eva_adapter(folder / "model", {"adapter": options, "eva": own, "model": "model"}, run, folder)
            before = folder / "adapter_before"
            model, metrics = reference_run(folder, before.name, run)
            reference.save_adapter(model, folder / "after")
            plain = {k: v for k, v in options.items() if k not in NOT_GRAFTS}
            run["methods"] = [{"type": "lora", "init": "eva", "eva_config": own, **plain}]
            write_json(folder / "run.json", run)
            for backend, graft in live.grafts():
                out = folder / f"out-{backend}"

                def body(report):
                    check.compare_metrics(report, graft.train(folder / "run.json", out), metrics, METRICS)
                    weights(report, "weights", out, folder / "after")
                    saved, wanted = (json.loads((f / "adapter_config.json").read_text()) for f in (out, folder / "after"))
                    check.compare_config(report, saved, wanted)
                    check.compare_scores(report, "graft's adapter in PEFT", graft.score(
                        folder / "model", folder / "score.jsonl", [out]), with_adapter(folder, out, rows), SCORE)

                live.case(f"eva {i} on {backend}: {about}\n  {json.dumps({**options, **own})}", body)


TEXTS = ["The capital of France is Paris. It lies on the river Seine and has about 2 million inhabitants.",
         "def add(a, b):\n    return a + b\n\nprint(add(2, 40))  # prints 42\n",
         "Water boils at 100 degrees Celsius at sea level; on Mount Everest it boils at about 71 degrees.",
         "Once upon a time there was a miller who had three sons. When he died, he left them his mill, his "
         "donkey and his cat. The eldest took the mill, the second the donkey, and the youngest the cat."]


def smollm(live, draw):
    gguf, hf = smollm2.fetch(live.options.smollm2)
    tokenizer = transformers.AutoTokenizer.from_pretrained(hf)
    rows = [{"input_ids": tokenizer(text)["input_ids"]} for text in TEXTS]
    rows.append({"input_ids": [draw.randrange(49152) for _ in range(300)]})
    expected = score(reference.load_model(hf), rows)
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        (folder / "model").symlink_to(hf.resolve())
        for backend, graft in live.grafts():
            count = len(rows) if backend != "ref" else 1  # plain loops take seconds per token
            write_jsonl(folder / "score.jsonl", rows[:count])
            for name, path in (("folder", hf), ("GGUF", gguf)):
                live.case(f"SmolLM2 from its {name} on {backend}", lambda report: check.compare_scores(
                    report, "log-probabilities", graft.score(path, folder / "score.jsonl"), expected[:count], 1e-3))
        write_jsonl(folder / "train.jsonl", rows[:4])
        options = dict(r=16, lora_alpha=32, target_modules=drawn.LINEAR)
        reference.random_adapter(hf, options, torch.Generator().manual_seed(draw.randrange(1 << 30)),
                                 folder / "before", "SmolLM2")
        for backend, graft in live.grafts():
            length, rows_each = (8, 1) if backend == "ref" else (64, 2)
            run = {"model": {"path": "model", "dtype": "f32"}, "methods": [{"load": "before"}],
                   "data": {"train": "train.jsonl", "format": "tokens", "max_length": length, "shuffle": False},
                   "optimizer": dict(type="adamw", lr=1e-4, betas=[0.9, 0.999], eps=1e-8, weight_decay=0.1),
                   "train": dict(steps=6, batch_size=rows_each, accumulate=2, schedule="cosine", warmup_steps=2,
                                 clip=1.0),
                   "output": {"dir": "out"}}
            write_json(folder / "run.json", run)
            model, metrics = reference_run(folder, "before", run)
            reference.save_adapter(model, folder / "after")
            out = folder / f"out-{backend}"

            def body(report):
                check.compare_metrics(report, graft.train(folder / "run.json", out), metrics, METRICS)
                weights(report, "weights", out, folder / "after")

            live.case(f"SmolLM2, six steps on {backend}", body)


def quant(live, draw):
    """SmolLM2 over nf4, quantized by graft while it is loaded and by bitsandbytes."""
    _, hf = smollm2.fetch(live.options.smollm2)
    tokenizer = transformers.AutoTokenizer.from_pretrained(hf)
    rows = [{"input_ids": tokenizer(text)["input_ids"]} for text in TEXTS]

    def peer(_=None):
        how = transformers.BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4",
                                              bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=torch.float32)
        return transformers.AutoModelForCausalLM.from_pretrained(
            hf, quantization_config=how, dtype=torch.float32, attn_implementation="eager", device_map="cpu")

    expected = score(peer(), rows)
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        (folder / "model").symlink_to(hf.resolve())
        peer().save_pretrained(folder / "saved")
        write_jsonl(folder / "score.jsonl", rows)
        write_jsonl(folder / "train.jsonl", rows)
        options = dict(r=16, lora_alpha=32, target_modules=drawn.LINEAR)
        reference.random_adapter(hf, options, torch.Generator().manual_seed(draw.randrange(1 << 30)),
                                 folder / "before", "SmolLM2")
        run = {"model": {"path": "model", "dtype": "f32", "quantization": {"format": "nf4"}},
               "methods": [{"load": "before"}],
               "data": {"train": "train.jsonl", "format": "tokens", "max_length": 64, "shuffle": False},
               "optimizer": dict(type="adamw", lr=1e-4, betas=[0.9, 0.999], eps=1e-8, weight_decay=0.1),
               "train": dict(steps=6, batch_size=2, schedule="cosine", warmup_steps=2, clip=1.0),
               "output": {"dir": "out"}}
        write_json(folder / "run.json", run)
        metrics = reference.train(reference.load_adapter(peer(), folder / "before", trainable=True), run, folder)
        subprocess.run([live.options.graft, "quantize", str(hf), "--format", "nf4", "--output", str(folder / "written"),
                        "--quiet"], check=True, stdout=subprocess.DEVNULL)
        live.case("SmolLM2 that graft wrote as nf4, in transformers", lambda report: check.compare_scores(
            report, "log-probabilities", score(reference.load_model(folder / "written"), rows), expected, 1e-5))
        for backend in live.options.backends:
            if backend == "ref":  # plain loops take seconds per token
                continue
            graft = check.Graft(live.options.graft, backend, live.options.threads, "nf4")
            plain = check.Graft(live.options.graft, backend, live.options.threads)
            live.case(f"SmolLM2 as nf4 on {backend}", lambda report: check.compare_scores(
                report, "log-probabilities", graft.score(hf, folder / "score.jsonl"), expected, 2e-3))
            live.case(f"SmolLM2 that bitsandbytes saved on {backend}", lambda report: check.compare_scores(
                report, "log-probabilities", plain.score(folder / "saved", folder / "score.jsonl"), expected, 2e-3))
            live.case(f"SmolLM2 as nf4, six steps on {backend}", lambda report: check.compare_metrics(
                report, plain.train(folder / "run.json", folder / f"out-{backend}"), metrics, 1e-3))


def text(live, draw):
    """Each in a process of its own: text.py and templates.py can be run alone too."""
    data = live.options.data
    tokenizers = sorted(data.glob("tokenizers/*")) if data else []
    templates = sorted(data.glob("chat-templates/*.jinja")) if data else []
    if not data:
        print("\nno --data FOLDER with tokenizers/ and chat-templates/: real ones are not compared")
    for title, script, options in (
            ("tokenizers", "text.py", ["--strings", str(live.options.strings), *map(str, tokenizers)]),
            ("SentencePiece", "pieces.py", ["--strings", str(min(live.options.strings, 5000))]),
            ("chat templates", "templates.py", ["--generated", "1000", *map(str, templates)])):
        seed = str(draw.randrange(1 << 20))

        def body(report):
            done = subprocess.run([sys.executable, str(ROOT / "scripts" / "parity" / script), "--graft",
                                   live.options.graft, "--seed", seed, *options], check=False)
            if done.returncode != 0:
                report.failures.append(f"{script} --seed {seed} found differences, see above")

        live.case(title, body)


def adapters(live, draw):
    """In an environment of its own, as the library needs another transformers."""
    made = subprocess.run([str(ROOT / "scripts" / "parity" / "peers_adapters.sh")], check=True, stdout=subprocess.PIPE, text=True)
    seed = str(draw.randrange(1 << 20))

    def body(report):
        done = subprocess.run([made.stdout.strip(), str(ROOT / "scripts" / "parity" / "library.py"), "--graft",
                               live.options.graft, "--seed", seed, "--threads", str(live.options.threads), "--backends",
                               *live.options.backends], check=False)
        if done.returncode != 0:
            report.failures.append(f"library.py --seed {seed} found differences, see above")

    live.case("the adapters library", body)


def optimizers(live, draw):
    """graft's side is a unit test that reads what the peer has done."""
    test = pathlib.Path(live.options.graft).parent / "unit-optim"
    seed = draw.randrange(1 << 20)

    def body(report):
        with tempfile.TemporaryDirectory() as folder:
            made = pathlib.Path(folder) / "adamw8bit.json"
            subprocess.run([sys.executable, str(ROOT / "tests" / "golden" / "make_adamw8bit.py"), "--seed", str(seed), "--output",
                            str(made)], check=True, stdout=subprocess.DEVNULL)
            done = subprocess.run([str(test), "--gtest_filter=AdamW8Bit.HasTheStatesOfBitsandbytes*"],
                                  env={**os.environ, "GRAFT_ADAMW8BIT_GOLDEN": str(made)}, capture_output=True, text=True)
        if done.returncode != 0 or "[  PASSED  ] 2 tests" not in done.stdout:
            report.failures.append(f"adamw8bit, numbers {seed}: {done.stdout[-1500:]}{done.stderr[-500:]}")

    live.case(f"AdamW in 8 bits, numbers {seed}", body)


PARTS = {"scores": scores, "training": training, "methods": methods, "matrix": matrix, "adapters": adapters, "fresh": fresh,
         "eva": eva, "optimizers": optimizers, "smollm2": smollm, "quant": quant, "text": text}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--graft", required=True, help="the graft command")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30))
    parser.add_argument("--backends", nargs="+", default=["ref", "cpu"])
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--models", type=int, default=8, help="random models in `scores`")
    parser.add_argument("--runs", type=int, default=6, help="random runs in `training`")
    parser.add_argument("--methods", nargs="+", choices=drawn.METHODS, default=drawn.METHODS)
    parser.add_argument("--families", nargs="+", choices=drawn.FAMILIES, default=drawn.FAMILIES)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--smollm2", type=pathlib.Path, default=ROOT / ".deps" / "smollm2",
                        help="where SmolLM2 is kept, downloaded if it is not there")
    parser.add_argument("--data", type=pathlib.Path, help="a folder with tokenizers/ and chat-templates/, for `text`")
    parser.add_argument("--strings", type=int, default=100000, help="strings for each tokenizer in `text`")
    options = parser.parse_args()
    print(f"seed {options.seed}")
    live = Live(options)
    for part in options.only:
        draw = random.Random(f"{options.seed} {part}")
        draw.families = options.families
        PARTS[part](live, draw)
    print(f"\n{'all agree' if not live.failed else f'{live.failed} cases FAILED'}; --seed {options.seed} repeats this")
    return 1 if live.failed else 0


if __name__ == "__main__":
    sys.exit(main())
