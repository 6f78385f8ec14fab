"""The command on files that were cut off or changed: an error that says so or a good result; never a
crash, a giant allocation, or the text of an exception that nobody wrote for users. The same with the
sanitizers built in: they end the process with a status of their own.
"""
import json
import random
import resource
import shutil
import subprocess
import time
import unittest

from support import DATA, ENVIRONMENT, GRAFT, CommandTest, write_lines

SECONDS = 9  # of each test
LINE = '{"input_ids": [1, 2, 3]}\n'


class HostileFiles(CommandTest):
    def attempt(self, *arguments, **options):
        """Whether graft took it; holds it to a way to end that is its own."""
        command = [GRAFT, *map(str, arguments), "--quiet"]
        done = subprocess.run(command, capture_output=True, timeout=60, env=ENVIRONMENT, text=True, errors="replace",
                              cwd=self.folder, **options)
        told = f"{' '.join(command)}\n{done.stdout[-2000:]}\n{done.stderr[-6000:]}"
        self.assertIn(done.returncode, (0, 1, 2), told)
        self.assertNotRegex(done.stderr, r"Sanitizer|runtime error|json\.exception|std::|bad_alloc", told)
        if done.returncode:
            self.assertRegex(done.stderr, r"(?m)^graft: .*\w", told)
        self.last = told
        return done.returncode == 0

    def tearDown(self):
        largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        self.assertLess(largest, 2 << 20, "kibibytes were taken for a tiny model")

    def damage(self, files, run):
        """Cuts and changes of the files in turn, until the time is over."""
        whole = {file: file.read_bytes() for file in files}
        self.assertTrue(run(), self.last)
        chance = random.Random(len(whole) + sum(map(len, whole.values())))
        end = time.monotonic() + SECONDS
        count = taken = 0
        while time.monotonic() < end or count < 2 * len(files):
            file = files[count // 2 % len(files)]
            data = bytearray(whole[file])
            # Heads are denser than what follows.
            place = chance.randrange(min(len(data), chance.choice((64, 1024, len(data)))))
            if count % 2:
                del data[place:]
            else:
                for _ in range(chance.choice((1, 1, 3))):
                    data[place] ^= chance.choice((1, 2, 16, 32, 128, 255))
                    place = chance.randrange(len(data))
            file.write_bytes(data)
            taken += run()
            for other in files:
                other.write_bytes(whole[other])
            count += 1
        self.assertLess(taken, count, f"{count} attempts")

    def score(self, model, *more):
        return self.attempt("score", model, "--input", "-", "--backend", "ref", *more, input=LINE)

    def test_models(self):
        model = shutil.copytree(self.model, self.folder / "copy")
        self.damage([model / n for n in ("config.json", "model.safetensors", "tokenizer_config.json", "tokenizer.json")],
                    lambda: self.score(model))

    def test_ggufs(self):
        gguf = self.folder / "model.gguf"
        shutil.copy(DATA / "gguf" / "qwen2-tied.gguf", gguf)
        self.damage([gguf], lambda: self.attempt("inspect", gguf))

    def test_runs_and_data(self):
        run = self.run_file()
        rows = [{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}]
        data = write_lines(self.folder / "text.jsonl", [{"text": "The river"}, {"text": "rises"}])
        tokens = write_lines(self.folder / "tokens.jsonl", [{"input_ids": [1, 2, 3], "labels": [-100, 2, 3]}])
        template = self.folder / "t.jinja"
        template.write_text("{% for m in messages %}{{ m['role'] + ': ' + m.content }}\n{% endfor %}")
        chat = write_lines(self.folder / "chat.jsonl", rows)
        run.write_text(json.dumps(self.config(
            model={"template": "t.jinja"},
            data={"train": [{"path": p.name} for p in (data, tokens, chat)], "format": None}), indent=1))
        self.damage([run, data, tokens, chat, template], lambda: self.attempt("plan", run))

    def test_adapters_and_checkpoints(self):
        run = self.run_file(methods=[{"type": "lora", "rank": 2, "targets": ["q_proj"]}])
        more = ("--train.steps", "2", "--output.keep", "1")
        self.graft("train", run, *more)
        out = self.folder / "out"
        self.damage([out / n for n in ("adapter_config.json", "graft.json", "adapter_model.safetensors")],
                    lambda: self.score(self.model, "--adapter", out))
        step = out / "checkpoints" / "step-000002"

        def resume():
            done = self.attempt("train", run, *more, "--resume")
            for other in (out / "checkpoints").glob("step-*"):  # of a step that the manifest made up
                if other != step:
                    shutil.rmtree(other)
            step.mkdir(exist_ok=True)
            return done

        self.damage([step / "checkpoint.json", step / "state.safetensors", out / "metrics.jsonl"], resume)


if __name__ == "__main__":
    unittest.main()
