"""Several runs on one base in one RUN.json: each is as if it were alone."""
import json
import signal
import struct
import unittest

from support import TEXTS, CommandTest, read_lines, write_lines

CLOSE = 1e-5
# Above the rounding of gradients that are 0 but for it, which Adam would blow up.
EPS = 1e-5


def tensors(path):
    """name -> floats of a safetensors file of f32"""
    raw = path.read_bytes()
    size = struct.unpack("<Q", raw[:8])[0]
    header = json.loads(raw[8:8 + size])
    result = {}
    for name, about in header.items():
        if name == "__metadata__":
            continue
        begin, end = about["data_offsets"]
        result[name] = struct.unpack(f"<{(end - begin) // 4}f", raw[8 + size + begin:8 + size + end])
    return result


class SeveralRuns(CommandTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.other_file = write_lines(cls.root / "other.jsonl", [
            {"prompt": f"{t} And then? ", "completion": t.upper()} for t in TEXTS[:5]])

    def runs(self):
        """Different methods, data, optimizers, schedules, accumulation and lengths."""
        return [
            {"name": "a", "methods": [{"type": "lora", "rank": 4, "alpha": 8, "dropout": 0.1, "targets": "all-linear"}],
             "data": {"train": str(self.train_file), "eval": str(self.other_file), "max_length": 64},
             "optimizer": {"type": "adamw", "lr": 0.01, "weight_decay": 0.1, "eps": EPS},
             "train": {"steps": 7, "batch_size": 2, "seed": 5, "schedule": "cosine", "warmup_steps": 2, "clip": 0.5},
             "output": {"save_every": 2, "eval_every": 3}},
            {"name": "b", "methods": [{"type": "ia3", "targets": ["k_proj", "v_proj", "down_proj"],
                                       "feedforward_modules": ["down_proj"]}],
             "data": {"train": str(self.other_file), "max_length": 48, "shuffle": False},
             "optimizer": {"type": "sgd", "lr": 0.05, "momentum": 0.9},
             "train": {"steps": 4, "batch_tokens": 60, "accumulate": 3, "seed": 9, "schedule": "linear"},
             "output": {"save_every": 1}},
            {"name": "c", "methods": [{"type": "dora", "rank": 2, "targets": ["q_proj", "o_proj"]},
                                      {"type": "adapter", "reduction": 8, "name": "neck"}],
             "data": {"train": str(self.train_file), "eval_fraction": 0.25, "max_length": 40},
             "optimizer": {"type": "adamw", "lr": 0.004, "eps": EPS},
             "train": {"steps": 3, "batch_size": 3, "accumulate": 2}}]

    def together(self, runs=None, backend="ref", dtype="f32", **more):
        whole = {"model": {"path": str(self.model), "dtype": dtype}, "backend": {"type": backend},
                 "output": {"dir": "out"}, "runs": self.runs() if runs is None else runs, **more}
        path = self.folder / "runs.json"
        path.write_text(json.dumps(whole, indent=2))
        return path

    def alone(self, run, backend="ref", dtype="f32"):
        """The folder of a run by itself."""
        run = {**run, "output": {**run.get("output", {}), "dir": f"alone-{run['name']}"}}
        path = self.folder / f"alone-{run['name']}.json"
        whole = {"model": {"path": str(self.model), "dtype": dtype}, "backend": {"type": backend}, **run}
        del whole["name"]
        path.write_text(json.dumps(whole, indent=2))
        self.graft("train", path, "--quiet")
        return self.folder / f"alone-{run['name']}"

    def close(self, a, b, what):
        self.assertLessEqual(abs(a - b), CLOSE * max(abs(a), abs(b), 1e-3), what)

    def same_runs(self, one, other):
        """Metrics and adapters of two folders agree."""
        lines = [[line for line in self.metrics(f) if "step" in line] for f in (one, other)]
        self.assertEqual(len(lines[0]), len(lines[1]))
        for x, y in zip(*lines):
            for key in ("step", "tokens", "eval_tokens", "lr"):
                self.assertEqual(x.get(key), y.get(key), (key, x, y))
            for key in ("loss", "grad_norm", "eval_loss"):
                if key in x or key in y:
                    self.close(x[key], y[key], (key, x, y))
        files = sorted(p.relative_to(one) for p in one.rglob("*") if p.is_file())
        self.assertEqual(files, sorted(p.relative_to(other) for p in other.rglob("*") if p.is_file()))
        adapters = [f for f in files if f.suffix == ".safetensors" and "checkpoints" not in f.parts]
        self.assertTrue(adapters)
        for file in adapters:
            x, y = tensors(one / file), tensors(other / file)
            self.assertEqual(list(x), list(y))
            for name in x:
                largest = max(map(abs, y[name])) or 1
                for i, (p, q) in enumerate(zip(x[name], y[name])):
                    self.assertLessEqual(abs(p - q), CLOSE * largest, (str(file), name, i))

    def test_each_run_is_as_if_it_were_alone(self):
        for backend in ("ref", "cpu"):
            done = self.graft("train", self.together(backend=backend), "--force")
            out = self.folder / "out"
            self.assertEqual(done.stdout.strip(), str(out))
            for run in self.runs():
                with self.subTest(backend=backend, run=run["name"]):
                    alone = self.alone(run, backend)
                    self.same_runs(out / run["name"], alone)
                    self.assertRegex(done.stderr, rf"(?m)^{run['name']}: step +\d")
                    # Its run.json is of the run alone.
                    own = json.loads((out / run["name"] / "run.json").read_text())
                    by_itself = json.loads((alone / "run.json").read_text())
                    own["output"]["dir"] = by_itself["output"]["dir"]
                    self.assertEqual(own, by_itself)
            for folder in self.folder.glob("alone-?"):
                folder.rename(folder.with_name(folder.name + backend))

    def test_common_keys_are_defaults(self):
        common = {"methods": [{"type": "lora", "rank": 2, "targets": ["q_proj"]}],
                  "data": {"train": str(self.train_file), "max_length": 32},
                  "optimizer": {"type": "adamw", "lr": 0.01, "betas": [0.8, 0.9]},
                  "train": {"epochs": 1, "batch_size": 2, "warmup_steps": 1, "seed": 3}}
        runs = [{"name": "plain"},
                {"name": "own", "methods": [{"type": "lora", "rank": 3, "targets": ["v_proj"]}],
                 "data": {"max_length": 24}, "optimizer": {"lr": 0.002},
                 "train": {"steps": 2, "batch_tokens": 50, "warmup_ratio": 0.5}},
                {"name": "sgd", "optimizer": {"type": "sgd", "lr": 0.1}}]
        self.graft("train", self.together(runs, **common), "--quiet")
        read = {run["name"]: json.loads((self.folder / "out" / run["name"] / "run.json").read_text()) for run in runs}
        self.assertEqual(read["plain"]["train"]["epochs"], 1)
        own = read["own"]
        self.assertEqual((own["methods"][0]["rank"], own["data"]["max_length"]), (3, 24))
        self.assertEqual((own["optimizer"]["lr"], own["optimizer"]["betas"]), (0.002, [0.8, 0.9]))
        self.assertEqual({k: own["train"].get(k) for k in ("steps", "epochs", "batch_size", "batch_tokens", "seed",
                                                           "warmup_steps", "warmup_ratio")},
                         {"steps": 2, "epochs": None, "batch_size": None, "batch_tokens": 50, "seed": 3,
                          "warmup_steps": None, "warmup_ratio": 0.5})
        self.assertNotIn("betas", read["sgd"]["optimizer"])
        # The file beside the folders trains all of them again, with the same result.
        whole = self.folder / "out" / "run.json"
        self.graft("train", whole, "--output.dir", "again", "--quiet")
        for run in runs:
            name = f"{run['name']}/adapter_model.safetensors"
            self.assertEqual((self.folder / "out" / name).read_bytes(), (self.folder / "again" / name).read_bytes())

    def test_passes_are_shared(self):
        runs = [{"name": n, "methods": [{"type": "lora", "rank": 2, "targets": "all-linear"}],
                 "data": {"train": str(self.train_file)}, "optimizer": {"type": "sgd", "lr": 0.1},
                 "train": {"steps": 4, "batch_size": 1, "seed": i}} for i, n in enumerate("xyz")]
        done = self.graft("train", self.together(runs), "--profile", "--json", "--quiet")
        events = read_lines(done.stdout)
        profile = next(e for e in events if e.get("event") == "profile")
        # In each of the two layers the frozen product once for all runs, and A and B of each of the three.
        calls = {r["site"]: r["calls"] for r in profile["rows"] if r["op"] == "matmul" and r["direction"] == "forward"}
        self.assertEqual(calls["mlp.down_proj"], 2 * (1 + 3 * 2))
        self.assertEqual({e["run"] for e in events if "loss" in e}, {"x", "y", "z"})

    def test_plan_names_the_runs(self):
        path = self.together()
        plan = json.loads(self.graft("plan", path, "--json").stdout)
        self.assertEqual([(r["name"], r["steps"]) for r in plan["runs"]], [("a", 7), ("b", 4), ("c", 3)])
        self.assertEqual(sum(r["trainable_parameters"] for r in plan["runs"]), plan["trainable_parameters"])
        self.assertIn("steps of 'b'", self.graft("plan", path).stdout)
        self.assertFalse((self.folder / "out").exists())

    def test_one_run_can_have_a_name(self):
        run = {**self.runs()[0], "name": "only"}
        self.graft("train", self.together([run]), "--quiet")
        self.same_runs(self.folder / "out" / "only", self.alone(run))
        self.assertEqual([r["name"] for r in json.loads((self.folder / "out" / "run.json").read_text())["runs"]],
                         ["only"])

    def killed_after(self, number, path):
        """A run that gets a signal in the middle, when "a" has made three steps."""
        process = self.start("train", path)
        self.wait_for_steps(self.folder / "out" / "a", 3, process)
        process.send_signal(number)
        process.wait(60)
        return process

    def test_goes_on_bit_by_bit_after_a_kill(self):
        runs = self.runs()
        for run in runs:
            run["train"]["steps"] *= 4
        path = self.together(runs)
        self.graft("train", path, "--output.dir", "whole", "--quiet")
        for number in (signal.SIGKILL, signal.SIGTERM):
            process = self.killed_after(number, path)
            self.assertEqual(process.returncode, -9 if number == signal.SIGKILL else 130)
            self.refused("train", path, says=["holds a run already"])
            done = self.graft("train", path, "--resume")
            self.assertRegex(done.stderr, r"a: resumed from step \d")
            for name in ("a", "b", "c"):
                with self.subTest(signal=number, run=name):
                    files = [p.relative_to(self.folder / "whole") for p in (self.folder / "whole" / name).rglob("*")
                             if p.suffix == ".safetensors"]
                    self.assertGreater(len(files), 1)
                    for file in files:
                        if (self.folder / "out" / file).exists():  # or it was thinned out
                            self.assertEqual((self.folder / "out" / file).read_bytes(),
                                             (self.folder / "whole" / file).read_bytes(), file)
                    one, other = (self.steps(self.folder / f / name) for f in ("out", "whole"))
                    self.assertEqual([(x["loss"], x["grad_norm"]) for x in one],
                                     [(x["loss"], x["grad_norm"]) for x in other])
            for folder in (self.folder / "out").iterdir():
                if folder.is_dir():
                    for file in sorted(folder.rglob("*"), reverse=True):
                        file.rmdir() if file.is_dir() else file.unlink()
            (self.folder / "out" / "run.json").unlink()

    def test_wrong_runs_are_refused(self):
        lora = {"methods": [{"type": "lora", "rank": 2, "targets": ["q_proj"]}],
                "data": {"train": str(self.train_file)}, "optimizer": {"type": "sgd", "lr": 0.1}}

        def refused(runs, *says, **common):
            self.refused("plan", self.together(runs, **common), status=2, says=says)

        one = {"name": "one", **lora}
        refused([one, one], "two of the runs are named 'one'")
        refused([one, {**one, "name": "a/b"}], "'a/b' is no name for a run")
        refused([one, {**one, "name": "checkpoints"}], "'checkpoints' is no name")
        refused([{"name": "x", **{k: v for k, v in lora.items() if k != "data"}}, one], "run 'x'", "data")
        refused([one, {**lora}], "/runs/1", "name")
        refused([one, {**one, "name": "two", "model": {"path": "x"}}], "/runs/1/model")
        refused([one, {**one, "name": "two", "train": {"stepz": 2}}], "/runs/1/train/stepz", "steps")
        refused([one, {**one, "name": "two", "train": {"recompute": "block"}}], "share one base", "recompute", "'two'")
        refused([one, {**one, "name": "two", "methods": [{"type": "lora", "rank": 0, "targets": ["q_proj"]}]}],
                "run 'two'", "/methods/0/rank")
        refused([{**one, "name": str(i)} for i in range(9)], "/runs")
        refused([], "/runs")
        qlora = {**one, "name": "two", "methods": [{"type": "qlora", "rank": 2, "targets": ["q_proj"]}]}
        refused([one, qlora], "share one base", "quantization")
        for methods, why in (([{"type": "prompt"}], "puts rows of its own before each sequence"),
                             ([{"type": "ln_tuning"}], "of the base model"),
                             ([{"type": "full"}], "of the base model"),
                             ([{"type": "lora", "targets": ["lm_head"]}], "the head"),
                             ([{"type": "lora", "targets": ["q_proj"], "modules_to_save": ["norm"]}],
                              "of the base model")):
            refused([one, {**one, "name": "two", "methods": methods}], "run 'two'", "methods[0]", why)


if __name__ == "__main__":
    unittest.main()
