"""graft quantize from outside: folders and GGUF files that are read back, what is refused; merging into them."""
import json
import resource
import shutil
import unittest

from support import DATA, CommandTest, make_model, read_lines, write_lines

ROWS = [{"input_ids": [5, 9, 12, 7, 3, 44]}, {"input_ids": [60, 3, 8]}]
CONVERSATION = [{"role": "user", "content": "How far is it?"}, {"role": "assistant", "content": "Four miles."}]


class Tools:
    """What both classes need besides CommandTest."""

    @classmethod
    def make_models(cls):
        cls.wide = make_model(cls.root / "wide", hidden=64, inner=96)
        config = json.loads((cls.wide / "tokenizer_config.json").read_text())
        config["chat_template"] = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{{ eos_token }}{% endfor %}"
        (cls.wide / "tokenizer_config.json").write_text(json.dumps(config))
        cls.largest = make_model(cls.root / "largest", hidden=256, inner=512)

    def logprobs(self, model, *options, rows=None):
        lines = write_lines(self.folder / "rows.jsonl", rows or ROWS)
        done = self.graft("score", model, "--input", lines, "--dtype", "f32", "--quiet", *options)
        return [p for line in read_lines(done.stdout) for p in line["logprobs"][1:]]

    def difference(self, left, right):
        self.assertEqual(len(left), len(right))
        return max(abs(a - b) for a, b in zip(left, right))

    def made(self, model, how, output, *options):
        done = self.graft("quantize", model, "--format", how, "--output", self.folder / output, "--json", *options)
        return self.folder / output, json.loads(done.stdout)

    def nothing_left(self, *names):
        self.assertEqual(sorted(p.name for p in self.folder.iterdir() if p.name != "rows.jsonl"), sorted(names))


class Quantize(CommandTest, Tools):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.make_models()

    def test_folders_are_what_quantizing_while_loading_gives(self):
        plain = self.logprobs(self.model)
        for how, name in (("nf4", "a"), ("nf4:double=false", "b"), ("nf4:block=128", "c"), ("fp4", "d"), ("int8", "e"),
                          ("nf4:skip=o_proj,skip=lm_head", "f")):
            with self.subTest(how):
                folder, report = self.made(self.model, how, name)
                self.assertEqual(report["format"], how.split(":")[0])
                self.assertEqual(report["tensors"], 12 if "skip" in how else 14)
                self.assertEqual(self.logprobs(folder), self.logprobs(self.model, "--quantize", how))
                self.assertGreater(self.difference(self.logprobs(folder), plain), 1e-4)
                config = json.loads((folder / "config.json").read_text())["quantization_config"]
                self.assertEqual(config["quant_method"], "bitsandbytes")
                self.assertEqual(config["load_in_8bit"], how == "int8")
                self.assertEqual(config["bnb_4bit_use_double_quant"], how not in ("nf4:double=false", "int8"))
                skipped = ["o_proj", "lm_head"] if "skip" in how else None
                self.assertEqual(config["llm_int8_skip_modules"], skipped)
                self.assertEqual((folder / "tokenizer.json").read_bytes(), (self.model / "tokenizer.json").read_bytes())

    def test_a_folder_is_quantized_once_more_with_a_warning(self):
        first, _ = self.made(self.model, "nf4", "first")
        done = self.graft("quantize", first, "--format", "int8", "--output", self.folder / "second")
        self.assertIn("quantized already (nf4)", done.stderr)
        self.assertLess(self.difference(self.logprobs(self.folder / "second"), self.logprobs(first)), 0.3)
        same, _ = self.made(first, "nf4", "third")
        self.assertEqual((same / "model.safetensors").read_bytes(), (first / "model.safetensors").read_bytes())

    def test_gguf_files(self):
        rows = ROWS + [{"text": "In spring the water's 12 high;\n\n brown.  "}, {"messages": CONVERSATION}]
        plain = self.logprobs(self.wide, rows=rows)
        bounds = {"f32": (0, 1e-5), "f16": (1e-7, 1e-2), "bf16": (1e-6, 0.1), "q8_0": (1e-4, 0.1), "q4_0": (1e-3, 1.5),
                  "q4_k_m": (1e-3, 1.5)}
        for how, (least, most) in bounds.items():
            with self.subTest(how):
                file, report = self.made(self.wide, how, f"{how}.gguf")
                far = self.difference(self.logprobs(file, rows=rows), plain)
                self.assertLessEqual(least, far)
                self.assertLess(far, most)
                # Norms stay f32. Rows of 64 are too short for blocks of 256.
                types = {"f32": 5, "q8_0": 3, "q5_0": 12} if how == "q4_k_m" else {"f32": 5, how: 15}
                types = {"f32": 20} if how == "f32" else types
                self.assertEqual(report["types"], {**types, **({"q8_0": 1, "q4_0": 14} if how == "q4_0" else {})})
                answer = self.graft("template", file, "--input", "-", input=json.dumps({"messages": CONVERSATION}))
                wanted = self.graft("template", self.wide, "--input", "-", input=json.dumps({"messages": CONVERSATION}))
                self.assertEqual(answer.stdout, wanted.stdout)

    def test_mixtures_of_types(self):
        file, report = self.made(self.largest, "q4_k_m", "k.gguf")
        # Of two layers the second is among those with more bits; the head is the embedding.
        self.assertEqual(report["types"], {"f32": 5, "q4_k": 12, "q6_k": 3})
        self.assertLess(self.difference(self.logprobs(file), self.logprobs(self.largest)), 1.5)
        file, report = self.made(self.largest, "q4_0", "0.gguf")
        self.assertEqual(report["types"], {"f32": 5, "q4_0": 14, "q6_k": 1})

    def test_from_gguf(self):
        plain, _ = self.made(self.wide, "f32", "plain.gguf")
        for how in ("q8_0", "q4_0", "q4_k_m"):
            direct, _ = self.made(self.wide, how, f"{how}.gguf")
            again, _ = self.made(plain, how, f"{how}-again.gguf")
            self.assertEqual(self.logprobs(direct), self.logprobs(again))
        twice = self.graft("quantize", direct, "--format", "q8_0", "--output", self.folder / "twice.gguf")
        self.assertIn("quantized already", twice.stderr)

    def test_quantizes_to_blocks_while_loading(self):
        for how in ("q8_0", "q4_0", "q4_1", "q5_0", "q5_1", "iq4_nl"):
            cpu = self.logprobs(self.wide, "--quantize", how, "--backend", "cpu")
            self.assertLess(self.difference(cpu, self.logprobs(self.wide, "--quantize", how, "--backend", "ref")), 2e-5)
            self.assertGreater(self.difference(cpu, self.logprobs(self.wide)), 1e-4)
        message = self.refused("score", self.model, "--input", "/dev/null", "--quantize", "q4_0").stderr
        self.assertIn("down_proj", message)
        self.assertIn("48", message)

    def test_refused(self):
        out = self.folder / "out.gguf"
        quantize = ("quantize", self.model, "--output", out, "--format")
        self.refused(*quantize, "q9", status=2, says=["q4_k_m", "format"])
        self.refused(*quantize, "q4_0", says=["ffn_down", "rows of 48", "nf4"])
        self.refused(*quantize, "q4_k_m", says=["rows of 48"])
        self.refused(*quantize, "q8_0:block=64", status=2, says=["block"])
        self.refused(*quantize, "int8:double=false", status=2, says=["double"])
        self.refused(*quantize, "nf4:block=48", status=2, says=["block"])
        self.refused(*quantize, "nf4", status=2, says=["out.gguf", "folder"])
        self.refused("quantize", self.wide, "--format", "q8_0", "--output", self.folder / "out", status=2, says=[".gguf"])
        self.refused("quantize", self.model, "--format", "nf4", status=2, says=["--output"])
        self.refused("quantize", self.model, "--output", out, status=2, says=["--format"])
        self.refused("quantize", self.folder / "none", "--format", "nf4", "--output", out.with_suffix(""), says=["none"])
        every = "nf4:" + ",".join("skip=" + m + "_proj" for m in ("q", "k", "v", "o", "gate", "up", "down"))
        self.refused("quantize", self.model, "--format", every, "--output", self.folder / "out", says=["skip"])
        self.nothing_left()
        self.made(self.wide, "f16", "is.gguf")
        self.refused("quantize", self.folder / "is.gguf", "--format", "nf4", "--output", self.folder / "out",
                     says=["is.gguf", "Hugging Face folder"])
        before = (self.folder / "is.gguf").read_bytes()
        self.refused("quantize", self.wide, "--format", "q8_0", "--output", self.folder / "is.gguf", says=["is there already"])
        self.assertEqual((self.folder / "is.gguf").read_bytes(), before)
        (self.folder / "full").mkdir()
        (self.folder / "full" / "file").write_text("x")
        self.refused("quantize", self.model, "--format", "nf4", "--output", self.folder / "full", says=["is there already"])
        self.nothing_left("full", "is.gguf")

    def test_what_gguf_has_no_place_for(self):
        folder = self.folder / "qwen"
        shutil.copytree(DATA / "cases" / "qwen2-window-v4" / "model", folder)
        self.refused("quantize", folder, "--format", "f32", "--output", self.folder / "q.gguf", says=["windows"])
        other = DATA / "cases" / "gpt2-untied" / "model"
        self.refused("quantize", other, "--format", "f32", "--output", self.folder / "q.gguf", says=["activation"])
        self.nothing_left("qwen")

    def test_a_full_disk_leaves_nothing(self):
        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (60000, 60000))

        for how, output in (("q8_0", "out.gguf"), ("nf4", "out")):
            # Signals stay as Python has them: writing too much is an error, no end.
            done = self.graft("quantize", self.wide, "--format", how, "--output", self.folder / output, status=1,
                              preexec_fn=limit, restore_signals=False)
            self.assertIn("File too large", done.stderr)
            self.nothing_left()

    def test_every_family_comes_back(self):
        """The models of the golden cases, as GGUF and as folders."""
        for name in ("llama-gqa-tied", "llama-biases-v4", "llama-llama3", "llama-yarn", "llama-linear", "mistral-window",
                     "qwen2-tied", "qwen3-tied", "gemma-mqa", "gemma2", "gemma3-v4", "phi3-longrope", "phi3-window",
                     "gpt2-tied", "gpt_neox", "olmo2", "smollm3"):
            with self.subTest(name):
                source = DATA / "cases" / name / "model"
                rows = [{"input_ids": [5, 9, 12, 7, 3, 44, 8, 1, 60, 2]}]
                file, _ = self.made(source, "f32", f"{name}.gguf")
                far = self.difference(self.logprobs(file, rows=rows), self.logprobs(source, rows=rows))
                self.assertLess(far, 2e-5)
                folder, _ = self.made(source, "nf4", name)
                self.assertEqual(self.logprobs(folder, rows=rows), self.logprobs(source, "--quantize", "nf4", rows=rows))


class MergeQuantized(CommandTest, Tools):
    """Adapters into weights that are quantized."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.make_models()

    def adapter(self, model, **more):
        run = self.run_file(methods=[{"type": "lora", "rank": 2, "targets": ["q_proj", "down_proj"]}],
                            model={"path": str(model), "dtype": "f32", **more}, train={"steps": 3},
                            optimizer={"lr": 0.05})
        self.graft("train", run, "--force", "--quiet")
        return "--adapter", self.folder / "out"

    def check(self, model, output):
        chosen = self.adapter(model)
        together = self.logprobs(model, *chosen)
        report = json.loads(self.graft("merge", model, "--output", self.folder / output, "--json", *chosen).stdout)
        self.assertEqual(report["tensors"], 4)
        self.assertEqual(len(report["requantized"]), 4)
        for layer in report["requantized"]:
            self.assertGreater(layer["largest"], layer["mean"])
            self.assertGreater(layer["mean"], 0)
        far = self.difference(self.logprobs(self.folder / output), together)
        self.assertGreater(far, 1e-4)
        self.assertLess(far, 1.0)
        plain = self.folder / ("plain-" + output)
        done = self.graft("merge", model, "--output", plain, "--format", "none", "--json", *chosen)
        self.assertNotIn("requantized", json.loads(done.stdout))
        self.assertLess(self.difference(self.logprobs(plain), together), 2e-3 if output.endswith("gguf") else 2e-5)
        return report["requantized"]

    def test_a_folder_stays_as_it_is_quantized(self):
        for how in ("nf4:block=32", "int8"):
            with self.subTest(how):
                name = how[:3]
                model, _ = self.made(self.model, how, name)
                layers = self.check(model, name + "-merged")
                self.assertEqual({layer["format"] for layer in layers}, {how.split(":")[0]})
                config = json.loads((self.folder / (name + "-merged") / "config.json").read_text())
                self.assertEqual(config, json.loads((model / "config.json").read_text()))
                config = json.loads((self.folder / f"plain-{name}-merged" / "config.json").read_text())
                self.assertNotIn("quantization_config", config)

    def test_a_gguf_file_keeps_its_types(self):
        model, before = self.made(self.wide, "q4_0", "model.gguf")
        layers = self.check(model, "merged.gguf")
        self.assertEqual({layer["format"] for layer in layers}, {"q4_0"})
        chosen = ("--adapter", self.folder / "out")
        done = self.graft("merge", model, "--output", self.folder / "again.gguf", "--json", *chosen)
        self.assertEqual(json.loads(done.stdout)["types"], before["types"])
        self.refused("merge", model, "--output", self.folder / "folder", *chosen, says=["GGUF file", ".gguf"])

    def test_a_folder_becomes_a_gguf_file(self):
        chosen = self.adapter(self.model)
        self.graft("merge", self.model, "--output", self.folder / "merged.gguf", *chosen)
        far = self.difference(self.logprobs(self.folder / "merged.gguf"), self.logprobs(self.model, *chosen))
        self.assertLess(far, 1e-2)


if __name__ == "__main__":
    unittest.main()
