"""The commands one by one: what they print, and where."""
import json
import math
import os
import shutil
import re
import subprocess
import unittest

from support import DATA, GRAFT, TEXTS, CommandTest, read_lines, write_lines

COMMANDS = ["train", "score", "generate", "chat", "plan", "merge", "inspect", "tokenize", "template", "plugins", "schema", "version"]


class Help(CommandTest):
    def test_output_may_be_the_input(self):
        path = write_lines(self.folder / "same.jsonl", [{"text": "The river"}, {"text": "A baker"}])
        self.graft("score", self.model, "--input", path, "--output", path, "--quiet")
        lines = read_lines(path.read_text())
        self.assertEqual(len(lines), 2)
        self.assertIn("logprobs", lines[0])
        # A bad line later on leaves what was there as it is.
        bad = self.folder / "bad.jsonl"
        bad.write_text('{"text": "The river"}\nnonsense\n')
        self.refused("score", self.model, "--input", bad, "--output", path, "--quiet", says=["bad.jsonl:2"])
        self.assertEqual(read_lines(path.read_text()), lines)
        self.refused("score", self.model, "--input", bad, "--output", self.folder, says=["it is a folder"])

    def test_weights_that_are_no_numbers(self):
        damaged = self.folder / "damaged"
        shutil.copytree(self.model, damaged)
        with open(damaged / "model.safetensors", "r+b") as file:
            file.seek(-400, os.SEEK_END)
            file.write(b"\xff" * 400)
        lines = self.folder / "lines.jsonl"
        lines.write_text('{"input_ids": [1, 2, 3]}\n')
        self.refused("score", damaged, "--input", lines, says=["lines.jsonl:1", "not a number"])

    def test_graft_alone_lists_the_commands(self):
        text = self.graft().stdout
        for command in COMMANDS:
            self.assertIn(f"graft {command}", text)
        for planned in ("adapter",):
            self.assertRegex(text, f"(?m)^Not there yet: .*{planned}")
            self.refused(planned, status=2, says=["not there yet"])

    def test_examples_work(self):
        self.run_file()
        for name in ("models", "runs"):
            (self.folder / name).mkdir()
        (self.folder / "models" / "SmolLM2").symlink_to(self.model)
        (self.folder / "train.jsonl").symlink_to(self.train_file)
        self.graft("train", "run.json", "--output.dir", "runs/first", "--quiet")
        (self.folder / "graft").symlink_to(GRAFT)
        for command in COMMANDS:
            text = self.graft(command, "--help").stdout
            example = re.search(r"Example:\n  (.*)\n", text)[1]
            with self.subTest(example):
                done = subprocess.run(["/bin/sh", "-c", f"PATH=.:$PATH; {example}"], cwd=self.folder, text=True,
                                      capture_output=True, input="", timeout=120)
                self.assertEqual(done.returncode, 0, done.stderr)

    def test_wrong_command_lines(self):
        run = self.run_file()
        for arguments, says in ((["trian", run], "train"), (["train", run, "--resum"], "--resume"), (["train"], "RUN.json"),
                                (["train", run, "more"], "more"), (["score", self.model], "--input"),
                                (["score", self.model, "--input"], "value"), (["plan", run, "--threads", "x"], "'x'"),
                                (["plan", run, "--methods.3.rank", "1"], "methods"), (["train", run, "--resume", "--force"], "one"),
                                (["generate", self.model], "--prompt"), (["version", "--quiet=1"], "--quiet"),
                                (["score", self.model, "--input", "-", "--adapter", "x=half"], "half")):
            with self.subTest(arguments=arguments[:1] + arguments[2:]):
                self.refused(*arguments, status=2, says=[says], input="")


class Overrides(CommandTest):
    def resolved(self, *arguments):
        self.graft("train", *arguments, "--force", "--quiet", "--train.steps", "1")
        return json.loads((self.folder / "out" / "run.json").read_text())

    def test_keys(self):
        run = self.run_file()
        config = self.resolved(run, "--optimizer.lr", "1e-4", "--methods.0.rank=3", "--output.log", '["jsonl"]',
                               "--dtype", "f32", "--threads", "1", "--output.name", "mine")
        self.assertEqual(config["optimizer"]["lr"], 1e-4)
        self.assertEqual(config["methods"][0]["rank"], 3)
        self.assertEqual(config["output"]["log"], ["jsonl"])
        self.assertEqual(config["output"]["name"], "mine")

    def test_paths_are_relative_to_the_current_folder(self):
        inner = self.folder / "inner"
        inner.mkdir()
        (inner / "mine.jsonl").write_text('{"text": "here it is"}\n')
        run = self.run_file(output={"dir": "out"})
        self.graft("train", run, "--data.train", "mine.jsonl", "--output.dir", "there", "--train.steps", "1", cwd=inner)
        self.assertTrue((inner / "there" / "run.json").exists())
        self.graft("train", run, "--train.steps", "1", cwd=inner)
        self.assertTrue((self.folder / "out" / "run.json").exists())

    def test_a_configuration_from_standard_input(self):
        text = json.dumps(self.config())
        self.assertIn("total", self.graft("plan", "-", input=text).stdout)

    def test_another_backend(self):
        run = self.run_file(backend={"type": "cpu", "of_its_own": 1})
        self.assertEqual(self.resolved(run, "--backend", "ref")["backend"]["type"], "ref")


class Plan(CommandTest):
    def test_json_and_text(self):
        run = self.run_file()
        plan = json.loads(self.graft("plan", run, "--json").stdout)
        parts = ("process", "weights", "prepared", "activations", "gradients", "optimizer", "workspace")
        self.assertEqual(plan["total_bytes"], sum(plan[part + "_bytes"] for part in parts))
        self.assertGreater(plan["ops"]["backward"], 0)
        self.assertGreater(plan["flops_per_token"], 0)
        extents = 2 * (32 + 32) + 2 * (32 + 16) + 3 * (32 + 48)  # of q, o, of k, v, of the MLP; two layers of rank 4
        self.assertEqual(plan["trainable_parameters"], 2 * 4 * extents)
        text = self.graft("plan", run).stdout
        self.assertIn("total", text)
        weights = re.search(".*weights of the base model.*", text)[0]
        self.assertIn(weights, self.graft("train", run, "--dry-run").stdout)
        self.assertFalse((self.folder / "out").exists())


class Score(CommandTest):
    def test_lines_and_summary(self):
        rows = [{"text": TEXTS[0]}, {"prompt": "A baker", "completion": " bakes bread."}, {"input_ids": [5]},
                {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes"}]}]
        done = self.graft("score", self.model, "--input", write_lines(self.folder / "in.jsonl", rows), "--top", "3",
                          "--backend", "ref")
        lines = read_lines(done.stdout)
        self.assertEqual(len(lines), 4)
        first = lines[0]
        self.assertIsNone(first["logprobs"][0])
        self.assertAlmostEqual(first["loss"], -sum(first["logprobs"][1:]) / (len(first["logprobs"]) - 1), places=6)
        self.assertEqual([len(line["next_top"]) for line in lines], [3] * 4)
        self.assertIsNone(lines[2]["loss"])
        summary = re.search(r"4 lines, (\d+) tokens, mean loss (\S+), perplexity (\S+)", done.stderr)
        self.assertTrue(summary, done.stderr)
        self.assertAlmostEqual(math.exp(float(summary[2])), float(summary[3]), delta=0.01 * float(summary[3]))
        self.assertLess(int(summary[1]), sum(len(line["logprobs"]) - 1 for line in lines))

    def test_output_file_and_standard_input(self):
        done = self.graft("score", self.model, "--input", "-", "--output", "out.jsonl", "--backend", "ref", "--quiet",
                          input='{"input_ids": [1, 2, 3]}\n')
        self.assertEqual((done.stdout, done.stderr), ("", ""))
        self.assertEqual(read_lines((self.folder / "out.jsonl").read_text())[0]["input_ids"], [1, 2, 3])

    def test_adapters_have_strengths(self):
        self.graft("train", self.run_file(), "--quiet")
        def loss(*arguments):
            done = self.graft("score", self.model, "--input", "-", "--backend", "ref", *arguments,
                              input=json.dumps({"text": TEXTS[0]}) + "\n")
            return json.loads(done.stdout)["loss"]
        base, full = loss(), loss("--adapter", "out")
        self.assertLess(full, base)
        self.assertAlmostEqual(loss("--adapter", "out=0"), base, places=5)
        self.assertNotAlmostEqual(loss("--adapter", "out=0.5"), full, places=4)


class Generate(CommandTest):
    def generate(self, *arguments, **options):
        return self.graft("generate", self.model, "--backend", "ref", "--quiet", *arguments, **options).stdout

    def test_the_same_with_and_without_lines(self):
        text = self.generate("--prompt", "The river", "--greedy", "--max-new-tokens", "8")
        answer = json.loads(self.generate("--input", "-", "--greedy", input='{"prompt": "The river", "max_new_tokens": 8}\n'))
        self.assertEqual(answer["text"] + "\n", text)
        self.assertEqual(len(answer["output_ids"]), 8)
        self.assertEqual(answer["stop"], "length")
        self.assertEqual(json.loads(self.generate("--prompt", "The river", "--greedy", "--max-new-tokens", "8", "--json")), answer)

    def test_a_line_names_its_adapter(self):
        for name, lr in (("one", "0.02"), ("two", "0.05")):
            self.graft("train", self.run_file(output={"dir": name}), "--quiet", "--optimizer.lr", lr)
        def lines(requests, *adapters):
            path = write_lines(self.folder / "in.jsonl", [{"prompt": "The river", "max_new_tokens": 6, "greedy": True, **r}
                                                          for r in requests])
            options = [o for a in adapters for o in ("--adapter", a)]
            return [line["output_ids"] for line in read_lines(self.graft("generate", self.model, "--input", path,
                                                                         "--backend", "ref", *options).stdout)]
        alone = [lines([{}])[0], lines([{}], "one")[0], lines([{}], "two")[0], lines([{}], "one", "two")[0]]
        self.assertGreater(len({tuple(ids) for ids in alone}), 2)
        asked = [{"adapter": []}, {"adapter": "one"}, {"adapter": ["two"]}, {}, {"adapter": "one"}]
        self.assertEqual(lines(asked, "one", "two"), alone + [alone[1]])
        self.refused("generate", self.model, "--input", "-", "--backend", "ref", "--adapter", "one",
                     input='{"prompt": "a", "adapter": "three"}\n', says=["three", "There are: one"])

    def test_a_seed_fixes_the_choice(self):
        def ids(seed):
            return json.loads(self.generate("--prompt", "A", "--seed", str(seed), "--ignore-eos", "--max-new-tokens", "12",
                                            "--json"))["output_ids"]
        self.assertEqual(ids(1), ids(1))
        self.assertNotEqual(ids(1), ids(2))

    def test_the_template(self):
        answer = json.loads(self.generate("--prompt", "Hi", "--chat", "--max-new-tokens", "1", "--greedy", "--json"))
        text = self.graft("template", self.model, "--input", "-", input=json.dumps(
            {"messages": [{"role": "user", "content": "Hi"}], "add_generation_prompt": True}) + "\n").stdout
        ids = json.loads(self.graft("tokenize", self.model, "--input", "-", input=text).stdout)["input_ids"]
        self.assertEqual(answer["input_ids"], ids)

    def test_a_last_message_of_the_assistant_is_gone_on_with(self):
        messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "The river"}]
        answer = json.loads(self.generate("--input", "-", "--greedy", "--max-new-tokens", "1", input=json.dumps(
            {"messages": messages}) + "\n"))
        text = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nThe river"
        ids = json.loads(self.graft("tokenize", self.model, "--input", "-", input=json.dumps({"text": text}) + "\n").stdout)
        self.assertEqual(answer["input_ids"], ids["input_ids"])

    def test_a_conversation(self):
        done = self.graft("chat", self.model, "--backend", "ref", "--max-new-tokens", "2", "--greedy", input="Hi\nAnd?\n")
        self.assertGreaterEqual(done.stdout.count("\n"), 2)


class Tokenize(CommandTest):
    def test_there_and_back(self):
        texts = TEXTS + ["Привет, мир. 你好", "<|im_start|>user\n12", "", "a\u0000b"]
        lines = self.graft("tokenize", self.model, "--input", "-", input="".join(json.dumps({"text": t}) + "\n" for t in texts)).stdout
        for text, line in zip(texts, read_lines(lines)):
            self.assertEqual(sorted(line), ["input_ids", "offsets"])
            ends = [end for _, end in line["offsets"]]
            self.assertEqual(ends[-1] if ends else 0, len(text.encode()))
        back = self.graft("tokenize", DATA / "tiny-tokenizer", "--decode", "--input", "-", input=lines).stdout
        self.assertEqual([line["text"] for line in read_lines(back)], texts)
        skipped = self.graft("tokenize", self.model, "[1, 80]", "--decode", "--skip-special").stdout
        self.assertNotIn("im_start", skipped)
        shown = self.graft("tokenize", self.model, "The sea").stdout.splitlines()
        self.assertRegex(shown[0], r"^\d+\t\S+$")

    def test_what_is_not_followed_is_told_once(self):
        self.model = shutil.copytree(self.model, self.folder / "model")
        path = self.model / "tokenizer.json"
        file = json.loads(path.read_text())
        file["model"]["dropout"] = 0.1
        path.write_text(json.dumps(file))
        for command in (("tokenize", self.model, "A baker"), ("generate", self.model, "--prompt", "A", "--max-new-tokens", "1"),
                        ("train", self.run_file(), "--train.steps", "1")):
            self.assertEqual(self.graft(*command).stderr.count("BPE dropout"), 1, command)

    def test_an_adapter_of_another_template(self):
        self.model = shutil.copytree(self.model, self.folder / "model")
        self.graft("train", self.run_file(), "--train.steps", "1", "--quiet")
        command = ("generate", self.model, "--adapter", "out", "--prompt", "A", "--max-new-tokens", "1")
        self.assertNotIn("chat template", self.graft(*command).stderr)
        (self.model / "chat_template.jinja").write_text("{{ messages[0].content }}")
        self.assertIn("another chat template", self.graft(*command).stderr)

    def test_wrong_lines(self):
        self.refused("tokenize", self.model, "--input", "-", input='{"text": "a"}\n{"text": 1}\n', says=["standard input:2"])
        self.refused("tokenize", self.model, "--decode", "--input", "-", input='{"input_ids": [99999]}\n', says=["standard input:1", "99999"])
        self.refused("tokenize", self.model, "4 x", "--decode", status=2, says=["'x'"])

    def test_templates_that_refuse(self):
        path = self.folder / "own.jinja"
        path.write_text("{% if not messages %}{{ raise_exception('no messages') }}{% endif %}{{ messages[0].content }}{{ extra }}")
        rows = [{"messages": [{"role": "user", "content": "Hi"}], "extra": "!"}, {"messages": []}]
        lines = read_lines(self.graft("template", path, "--input", write_lines(self.folder / "in.jsonl", rows)).stdout)
        self.assertEqual(lines[0], {"text": "Hi!"})
        self.assertIn("no messages", lines[1]["error"])


class Inspect(CommandTest):
    def test_a_model(self):
        info = json.loads(self.graft("inspect", self.model, "--json").stdout)
        self.assertEqual((info["kind"], info["family"], info["hidden"], info["vocab"]), ("model", "llama", 32, 512))
        self.assertEqual(info["dtypes"], {"f32": info["tensors"]})
        self.assertEqual(info["parameters"] * 4, info["bytes"])
        self.assertEqual(info["tokenizer"]["size"], 512)
        self.assertIn("llama", self.graft("inspect", self.model).stdout)

    def test_files(self):
        for path, kind in ((self.model / "model.safetensors", "safetensors"), (DATA / "gguf" / "llama-gqa-tied.gguf", "gguf")):
            info = json.loads(self.graft("inspect", path, "--json").stdout)
            self.assertEqual(info["kind"], kind)
            self.assertEqual(sorted(info["tensors"][0]), ["dtype", "name", "shape"])
            self.assertIn(info["tensors"][0]["name"], self.graft("inspect", path).stdout)
        self.assertEqual(info["model"]["family"], "llama")

    def test_an_adapter(self):
        self.graft("train", self.run_file(), "--train.steps", "1", "--quiet")
        info = json.loads(self.graft("inspect", "out", "--json").stdout)
        self.assertEqual((info["method"], info["peft_type"], info["options"]["rank"]), ("lora", "LORA", 4))
        self.assertEqual(info["parameters"], sum(math.prod(t["shape"]) for t in info["tensors"]))
        self.assertIn("lora_A", self.graft("inspect", "out").stdout)

    def test_data_with_its_mask(self):
        path = write_lines(self.folder / "in.jsonl", [{"prompt": "A baker", "completion": " bakes"}, {"prompt": "x", "completion": " y"}])
        info = json.loads(self.graft("inspect", path, "--model", self.model, "--json").stdout)
        self.assertEqual((info["kind"], info["format"], info["examples"]), ("data", "completion", 2))
        example = info["first"][0]
        self.assertEqual(info["supervised"], sum(sum(e["mask"]) for e in info["first"]))
        self.assertEqual("".join(span["text"] for span in example["spans"]), "A baker bakes<|im_end|>")
        self.assertIn("A baker[ bakes<|im_end|>]", self.graft("inspect", path, "--model", self.model).stdout)
        self.refused("inspect", path, says=["--model"])
        self.refused("inspect", self.folder, says=["config.json"])


class Describe(CommandTest):
    def test_plugins(self):
        listing = self.graft("plugins").stdout
        for name in ("lora", "adamw", "sgd", "ref"):
            self.assertRegex(listing, rf"(?m)^\w+ +{name} .*ABI 0\.\d+ ")
        self.assertIn("rank", self.graft("plugins", "lora").stdout)
        info = json.loads(self.graft("plugins", "lora", "--json").stdout)["plugins"][0]
        self.assertIn("rank", info["options"]["properties"])
        self.refused("plugins", "lorra", says=["lora"])

    def test_schema(self):
        schema = json.loads(self.graft("schema").stdout)
        self.assertIn("optimizer", schema["properties"])
        self.assertIn("rank", json.loads(self.graft("schema", "--plugin", "lora").stdout)["properties"])

    def test_version(self):
        self.assertRegex(self.graft("version").stdout, r"^graft \d+\.\d+\.\d+ \(ABI \d+\.\d+\)$")
        self.assertEqual(sorted(json.loads(self.graft("version", "--json").stdout)), ["abi", "version"])


if __name__ == "__main__":
    unittest.main()
