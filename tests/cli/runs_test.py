"""Training through the command: what is written, stopping, and going on."""
import json
import random
import resource
import shutil
import signal
import subprocess
import time
import unittest

from support import GRAFT, CommandTest, read_lines, write_lines

LONG = {"train": {"steps": 160}, "output": {"save_every": 10}}


class Runs(CommandTest):
    def test_writes_the_output_folder(self):
        run = self.run_file(data={"eval": str(self.train_file)}, output={"eval_every": 6, "keep": 2})
        done = self.graft("train", run)
        out = self.folder / "out"
        self.assertEqual(done.stdout.strip(), str(out))
        for name in ("adapter_config.json", "adapter_model.safetensors", "graft.json", "run.json", "plan.txt"):
            self.assertTrue((out / name).stat().st_size > 0, name)
        lines = self.metrics(out)
        self.assertEqual((lines[0]["event"], lines[-1]["event"]), ("start", "end"))
        self.assertGreater(lines[0]["plan_bytes"], 0)
        self.assertEqual([line["step"] for line in self.steps(out)], list(range(1, 13)))
        for key in ("step", "loss", "grad_norm", "lr", "tokens", "tokens_per_s", "seconds"):
            self.assertIn(key, self.steps(out)[0])
        evaluated = {line["step"]: line["eval_loss"] for line in lines if "eval_loss" in line}
        self.assertEqual(sorted(evaluated), [0, 6, 12])
        self.assertLess(evaluated[12], evaluated[0])
        self.assertEqual(sorted(p.name for p in (out / "checkpoints").iterdir()), ["step-000008", "step-000012"])
        # The resolved configuration gives the same result.
        self.graft("train", out / "run.json", "--output.dir", "again", "--quiet")
        self.assertEqual((out / "adapter_model.safetensors").read_bytes(),
                         (self.folder / "again" / "adapter_model.safetensors").read_bytes())

    def test_prints_lines_where_there_is_no_terminal(self):
        run = self.run_file()
        errors = self.graft("train", run).stderr
        self.assertRegex(errors, r"step 12/12  loss \d+\.\d+  \d+ tokens/s  lr \S+  ETA")
        self.assertNotIn("\x1b", errors)
        self.assertEqual(self.graft("train", run, "--force", "--quiet").stderr, "")

    def test_prints_events_as_json(self):
        events = read_lines(self.graft("train", self.run_file(), "--json", "--quiet").stdout)
        self.assertEqual(events[0]["event"], "start")
        self.assertEqual(events[-1]["event"], "end")
        self.assertEqual(sum("loss" in e for e in events), 12)

    def test_batches_of_all_sizes_run_on_one_recording(self):
        texts = ["a", "The river", "A baker bakes bread. " * 3, "sea " * 20, "It is four miles.", "x " * 30]
        data = write_lines(self.folder / "sizes.jsonl", [{"text": t} for t in texts])
        self.graft("train", self.run_file(data={"train": str(data)},
                                          train={"steps": 10, "batch_size": None, "batch_tokens": 64}))
        out = self.folder / "out"
        self.assertGreater(len({line["tokens"] for line in self.steps(out)}), 3)
        self.assertEqual(self.metrics(out)[-1]["recordings"], 1)

    def test_force_keeps_the_old_run_until_the_new_one_can_start(self):
        run = self.run_file(train={"steps": 2})
        self.graft("train", run, "--quiet")
        adapter = self.folder / "out" / "adapter_model.safetensors"
        before = adapter.read_bytes()
        own = self.folder / "out" / "checkpoints" / "notes.txt"
        own.write_text("mine")
        broken = self.folder / "broken"
        shutil.copytree(self.folder / "out", broken)
        (broken / "adapter_model.safetensors").write_bytes(before[:40])
        again = self.run_file("again.json", methods=[{"load": str(broken)}], train={"steps": 2})
        self.refused("train", again, "--force", "--quiet", says=["adapter_model.safetensors"])
        self.assertEqual(adapter.read_bytes(), before)
        # From its own adapter, over it.
        same = self.run_file("same.json", methods=[{"load": str(self.folder / "out")}], train={"steps": 2})
        self.graft("train", same, "--force", "--quiet")
        self.assertNotEqual(adapter.read_bytes(), before)
        self.assertEqual(own.read_text(), "mine")

    def test_resume_refuses_other_data_and_another_base(self):
        data = write_lines(self.folder / "d.jsonl", [{"text": "The river."}, {"text": "A baker bakes bread."}])
        model = self.folder / "base"
        shutil.copytree(self.model, model)
        run = self.run_file(data={"train": str(data)}, model={"path": str(model)},
                            train={"steps": 4}, output={"save_every": 2})
        self.graft("train", run, "--quiet")
        self.graft("train", run, "--resume", "--quiet")
        text = data.read_text()
        data.write_text(text.replace("river", "ocean"))
        self.refused("train", run, "--resume", "--quiet", says=["the training data", "has changed"])
        data.write_text(text)
        weights = model / "model.safetensors"
        raw = bytearray(weights.read_bytes())
        raw[-2] ^= 0x40
        weights.write_bytes(raw)
        self.refused("train", run, "--resume", "--quiet", says=["the base model", "has changed"])

    def test_names_of_methods_stay_inside_the_folder(self):
        for name in ("../evil", "a/b", "checkpoints", ".hidden", "adapter_config.json"):
            methods = [{"type": "lora", "rank": 2, "targets": "all-linear", "name": name},
                       {"type": "lora", "rank": 2, "targets": "all-linear"}]
            self.refused("train", self.run_file(methods=methods), "--quiet", status=2, says=[name, "no name"])

    def test_f64_trains_without_checkpoints(self):
        run = self.run_file(model={"dtype": "f64"}, train={"steps": 2}, output={"save_every": 1})
        done = self.graft("train", run)
        self.assertIn("no checkpoints", done.stderr)
        self.assertTrue((self.folder / "out" / "adapter_model.safetensors").stat().st_size > 0)

    def test_messages_do_not_go_into_files(self):
        run = self.run_file(train={"steps": 3})
        done = subprocess.run(f"{GRAFT} train {run} >&- 2>&-", shell=True)
        self.assertEqual(done.returncode, 0)
        self.assertEqual(len(self.steps(self.folder / "out")), 3)

    def test_profile_adds_up(self):
        run = self.run_file(train={"steps": 4})
        done = self.graft("train", run, "--profile", "--quiet")
        self.assertRegex(done.stdout, r"Time of a step \(mean of 3 steps\)")
        self.assertRegex(done.stdout, r"matmul  mlp.down_proj  \(backward\)")
        events = read_lines(self.graft("train", run, "--force", "--profile", "--json", "--quiet").stdout)
        profile = next(e for e in events if e.get("event") == "profile")
        self.assertEqual(profile["steps"], 3)
        # Kernels take their part of the step, and the rows are all of them.
        self.assertAlmostEqual(sum(r["seconds"] for r in profile["rows"]), profile["kernels_seconds"], places=6)
        self.assertLess(profile["kernels_seconds"], profile["seconds"])
        # Two layers with a LoRA each: the frozen product and those with A and B.
        forward = {r["site"]: r["calls"] for r in profile["rows"]
                   if r["op"] == "matmul" and r["direction"] == "forward"}
        self.assertEqual(forward["mlp.down_proj"], 6)
        self.assertEqual(self.metrics(self.folder / "out")[-1]["event"], "end")
        # Without the option nothing is timed or printed.
        self.assertNotIn('"profile"', self.graft("train", run, "--force", "--json", "--quiet").stdout)

    def test_trains_on_from_an_adapter(self):
        self.graft("train", self.run_file())
        more = self.run_file("more.json", methods=[{"load": "out"}], output={"dir": "more"})
        self.graft("train", more)
        self.assertLess(self.steps(self.folder / "more")[-1]["loss"], self.steps(self.folder / "out")[0]["loss"])

    def test_two_methods_write_two_folders(self):
        methods = [{"type": "lora", "name": name, "rank": 2, "targets": [target]}
                   for name, target in (("first", "q_proj"), ("second", "down_proj"))]
        self.graft("train", self.run_file(methods=methods))
        for name in ("first", "second"):
            self.assertTrue((self.folder / "out" / name / "adapter_model.safetensors").exists())
        self.graft("inspect", "out")
        # Over it, a run of one method: nothing of the two is left.
        self.graft("train", self.run_file(), "--force", "--train.steps", "1")
        self.assertFalse((self.folder / "out" / "first").exists())
        self.assertFalse((self.folder / "out" / "second").exists())

    def test_data_from_a_pipe(self):
        text = self.train_file.read_text()
        self.graft("train", self.run_file(), "--train.steps", "2", "--quiet")
        self.graft("train", self.run_file(), "--train.steps", "2", "--quiet", "--data.train", "-", "--output.dir", "piped",
                   input=text)
        outs = [(self.folder / name / "adapter_model.safetensors").read_bytes() for name in ("out", "piped")]
        self.assertEqual(*outs)

    def test_a_killed_run_goes_on_to_the_same_adapter(self):
        self.kill_and_resume(**LONG)

    def test_a_killed_run_on_the_cpu_backend(self):
        self.kill_and_resume(**LONG, backend={"type": "cpu", "threads": 2})

    def test_a_killed_run_in_the_dtype_of_the_machine(self):
        self.kill_and_resume(**LONG, backend={"type": "cpu", "threads": 2}, model={"dtype": "auto"})

    def kill_and_resume(self, **changes):
        """Kills the run at five random moments, each time goes on with it; compares with a run left alone."""
        run = self.run_file(**changes)
        self.assertGreater(self.config(**changes)["methods"][0]["dropout"], 0)
        begin = time.monotonic()
        self.graft("train", run, "--output.dir", "whole", "--quiet")
        length = time.monotonic() - begin
        chance = random.Random()
        kills = 0
        for attempt in range(40):
            resumable = any((self.folder / "out" / "checkpoints").glob("step-*[0-9]"))
            how = "--resume" if resumable else "--force"
            process = self.start("train", run, how, "--quiet")
            wait = chance.uniform(0.05, 0.7) * length if kills < 5 else None
            try:
                process.wait(timeout=wait)
                self.assertEqual(process.returncode, 0, process.stderr.read())
                break
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                kills += 1
        else:
            self.fail("the run never ended")
        self.assertGreater(kills, 0)
        self.same_run("whole", "out")

    def same_run(self, a, b):
        a, b = self.folder / a, self.folder / b
        self.assertEqual((a / "adapter_model.safetensors").read_bytes(), (b / "adapter_model.safetensors").read_bytes())
        curves = [[(s["step"], s["loss"], s["grad_norm"]) for s in self.steps(folder)] for folder in (a, b)]
        self.assertEqual(*curves)

    def test_a_signal_finishes_the_step_and_saves(self):
        self.graft("train", self.run_file(**LONG), "--output.dir", "whole", "--quiet")
        for number in (signal.SIGINT, signal.SIGTERM):
            shutil.rmtree(self.folder / "out", ignore_errors=True)
            process = self.start("train", self.folder / "run.json")
            self.wait_for_steps(self.folder / "out", 3, process)
            process.send_signal(number)
            _, errors = process.communicate(timeout=60)
            self.assertEqual(process.returncode, 130, errors)
            self.assertRegex(errors, r"graft: interrupted after step \d+")
            self.assertIn(f"graft train {self.folder / 'run.json'} --resume", errors)
            lines = self.metrics(self.folder / "out")
            self.assertEqual(lines[-1]["event"], "end")
            self.assertLess(lines[-1]["steps"], 160)
            self.graft("score", self.model, "--input", "-", "--adapter", "out", "--backend", "ref",
                       input='{"text": "The river"}\n')
            again = self.graft("train", self.folder / "run.json", "--resume")
            self.assertIn(f"resumed from step {lines[-1]['steps']}", again.stderr)
            self.same_run("whole", "out")

    def test_a_broken_checkpoint_is_passed_over(self):
        self.graft("train", self.run_file(**LONG), "--output.dir", "whole", "--quiet")
        process = self.start("train", self.folder / "run.json", "--quiet")
        self.wait_for_steps(self.folder / "out", 35, process)
        process.kill()
        process.communicate()
        newest = max((self.folder / "out" / "checkpoints").glob("step-*[0-9]"))
        state = newest / "state.safetensors"
        data = bytearray(state.read_bytes())
        data[-1] ^= 1
        state.write_bytes(data)
        done = self.graft("train", self.folder / "run.json", "--resume")
        self.assertIn(newest.name, done.stderr)
        self.same_run("whole", "out")

    def test_a_whole_checkpoint_is_not_replaced_by_its_like(self):
        run = self.run_file(output={"keep": 1})
        self.graft("train", run, "--quiet")
        state = self.folder / "out" / "checkpoints" / "step-000012" / "state.safetensors"
        file = state.stat().st_ino
        self.graft("train", run, "--resume", "--quiet")  # there is nothing left to do
        self.assertEqual(state.stat().st_ino, file)

    def test_states_in_a_file_change_nothing(self):
        for optimizer in ({"type": "adamw"}, {"type": "adamw8bit", "min_8bit_size": 129}, {"type": "muon"}):
            with self.subTest(optimizer["type"]):
                run = self.run_file(optimizer=optimizer, train={"steps": 6}, output={"save_every": 3})
                self.graft("train", run, "--output.dir", "whole", "--force", "--quiet")
                self.graft("train", run, "--force", "--quiet", "--optimizer.paged", "4KiB")
                self.same_run("whole", "out")
                states = [self.folder / f / "checkpoints/step-000006/state.safetensors" for f in ("whole", "out")]
                self.assertEqual(*[s.read_bytes() for s in states])
                # From a checkpoint of the one on as the other.
                shutil.rmtree(self.folder / "out" / "checkpoints" / "step-000006")
                self.graft("train", run, "--resume", "--quiet")
                self.same_run("whole", "out")
                shutil.rmtree(self.folder / "out" / "checkpoints" / "step-000006")
                self.graft("train", run, "--resume", "--quiet", "--optimizer.paged", "true")
                self.same_run("whole", "out")
        self.assertEqual([f.name for f in (self.folder / "out").iterdir() if "pages" in f.name], [])

    def test_the_plan_tells_what_is_paged(self):
        def plan(*options):
            return json.loads(self.graft("plan", self.folder / "run.json", "--json", *options).stdout)

        self.run_file(methods=[{"type": "lora", "rank": 8, "targets": "all-linear"}])
        whole, paged = plan(), plan("--optimizer.paged", "true")
        small = plan("--optimizer.paged", "40000")
        self.assertEqual(whole["paged_bytes"], 0)
        self.assertGreater(paged["paged_bytes"], 40000)
        self.assertEqual(paged["optimizer_bytes"], whole["optimizer_bytes"])  # all of it fits in what may be resident
        self.assertEqual(small["paged_bytes"], paged["paged_bytes"])
        self.assertEqual(whole["optimizer_bytes"] - small["optimizer_bytes"], paged["paged_bytes"] - 4096 * 8)
        text = self.graft("plan", self.folder / "run.json", "--optimizer.paged", "true").stdout
        self.assertRegex(text, r"optimizer states in a file +\d")
        self.refused("plan", self.folder / "run.json", "--optimizer.paged", "much", status=2, says=["/optimizer/paged"])

    @unittest.skipIf(resource.getrlimit(resource.RLIMIT_FSIZE)[0] != resource.RLIM_INFINITY, "files are limited already")
    def test_no_room_for_states(self):
        def limit():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))

        self.refused("train", self.run_file(), "--optimizer.paged", "true", preexec_fn=limit,
                     says=["optimizer.paged: no file of", "out"])

    def test_a_run_with_other_settings_is_not_resumed(self):
        self.graft("train", self.run_file(), "--quiet")
        for option, value, says in (("optimizer.lr", "0.02", "/optimizer/lr was 0.01"),
                                    ("methods.0.rank", "3", "/methods/0/rank was 4"),
                                    ("train.stop_loss", "9", "/train/stop_loss was nothing"),
                                    ("methods.0.modules_to_save", '["lm_head"]', "/methods/0/modules_to_save was nothing")):
            done = self.refused("train", self.folder / "run.json", "--resume", f"--{option}", value, status=2, says=[says])
            self.assertNotIn("{", done.stderr)
        run = json.loads((self.folder / "run.json").read_text())
        run["train"]["warmup_steps"] = 1
        (self.folder / "more.json").write_text(json.dumps(run))
        self.graft("train", self.folder / "more.json", "--force", "--quiet")
        self.refused("train", self.folder / "run.json", "--resume", status=2, says=["/train/warmup_steps was 1", "is nothing now"])

    def test_nothing_to_resume(self):
        self.refused("train", self.run_file(), "--resume", says=["no whole checkpoint", "without --resume"])

    def test_a_folder_in_use_is_refused(self):
        run = self.run_file(**LONG)
        process = self.start("train", run)
        self.wait_for_steps(self.folder / "out", 1, process)
        for how in ([], ["--force"], ["--resume"]):
            self.refused("train", run, *how, says=["in use", str(self.folder / "out")])
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        self.assertEqual(process.returncode, 130)

    def test_a_finished_run_is_not_overwritten(self):
        run = self.run_file()
        self.graft("train", run)
        before = {p.name: p.read_bytes() for p in (self.folder / "out").iterdir() if p.is_file()}
        self.refused("train", run, says=["--force", "--resume"])
        self.assertEqual(before, {p.name: p.read_bytes() for p in (self.folder / "out").iterdir() if p.is_file()})
        self.graft("train", run, "--force", "--train.steps", "2")
        self.assertEqual(len(self.steps(self.folder / "out")), 2)

    def test_a_loss_that_is_not_a_number_stops_the_run(self):
        run = self.run_file(optimizer={"type": "sgd", "lr": 1e30}, output={"save_every": 1})
        done = self.refused("train", run, says=["checkpoint", "step-00000"])
        self.assertRegex(done.stderr, r"step \d+")

    def test_the_best_adapter_is_kept(self):
        run = self.run_file(data={"eval": str(self.train_file)}, optimizer={"lr": 0.3},
                            output={"best": True, "eval_every": 2})
        done = self.graft("train", run)
        evaluated = {line["step"]: line["eval_loss"] for line in self.metrics(self.folder / "out")
                     if "eval_loss" in line and line["step"] > 0}
        best = min(evaluated, key=evaluated.get)
        self.assertIn(f"that of step {best}", done.stderr)


if __name__ == "__main__":
    unittest.main()
