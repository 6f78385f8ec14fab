"""Quantized bases from outside: qlora, --quantize, folders that bitsandbytes saved, what is refused."""
import json
import shutil
import struct
import unittest

from support import DATA, CommandTest, read_lines, write_lines

ROWS = [{"input_ids": [5, 9, 12, 7, 3, 44]}, {"input_ids": [60, 3, 8]}]
SAVED = DATA / "cases" / "bnb-nf4" / "model"
WEIGHT = "model.layers.0.mlp.up_proj.weight"


def read_file(path):
    """Name -> (entry, bytes)"""
    data = path.read_bytes()
    (size,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8:8 + size])
    header.pop("__metadata__", None)
    return {n: (e, data[8 + size + e["data_offsets"][0]:8 + size + e["data_offsets"][1]]) for n, e in header.items()}


def write_file(path, tensors):
    header, offset = {}, 0
    for name, (entry, data) in tensors.items():
        header[name] = {"dtype": entry["dtype"], "shape": entry["shape"], "data_offsets": [offset, offset + len(data)]}
        offset += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(data for _, data in tensors.values()))


class Quantized(CommandTest):
    def logprobs(self, model, *options):
        rows = write_lines(self.folder / "rows.jsonl", ROWS)
        done = self.graft("score", model, "--input", rows, "--dtype", "f32", "--quiet", *options)
        return [p for line in read_lines(done.stdout) for p in line["logprobs"][1:]]

    def assertNear(self, left, right, delta):
        for a, b in zip(left, right):
            self.assertAlmostEqual(a, b, delta=delta)

    def test_backends_agree_and_formats_matter(self):
        plain = self.logprobs(self.model)
        for how in ("nf4", "nf4:block=32,double=false", "fp4", "int8"):
            with self.subTest(how):
                cpu = self.logprobs(self.model, "--quantize", how, "--backend", "cpu")
                self.assertNear(cpu, self.logprobs(self.model, "--quantize", how, "--backend", "ref"), 2e-5)
                self.assertGreater(max(abs(a - b) for a, b in zip(cpu, plain)), 1e-4)
        self.assertEqual(self.logprobs(self.model, "--quantize", "none"), plain)
        everything = "nf4:" + ",".join("skip=" + m + "_proj" for m in ("q", "k", "v", "o", "gate", "up", "down"))
        self.assertEqual(self.logprobs(self.model, "--quantize", everything + ",skip=lm_head"), plain)

    def test_qlora_is_lora_over_a_quantized_base(self):
        options = {"rank": 2, "targets": ["q_proj", "down_proj"]}
        metrics = []
        for method, model in (({"type": "qlora", **options}, {}),
                              ({"type": "lora", **options}, {"quantization": {"format": "nf4"}})):
            run = self.run_file(methods=[method], model={"dtype": "f32", **model}, train={"steps": 3},
                                optimizer={"lr": 0.05})
            self.graft("train", run, "--force", "--quiet")
            lines = read_lines((self.folder / "out" / "metrics.jsonl").read_text())
            metrics.append([m["loss"] for m in lines if "loss" in m])
            base = json.loads((self.folder / "out" / "graft.json").read_text())["base"]
            self.assertEqual(base["quantization"], {"format": "nf4", "block": 64, "double": True, "skip": ["lm_head"]})
            self.assertEqual(json.loads((self.folder / "out" / "adapter_config.json").read_text())["peft_type"], "LORA")
        self.assertEqual(*metrics)
        adapter = ("--adapter", self.folder / "out")
        rows = write_lines(self.folder / "rows.jsonl", ROWS)
        other = self.graft("score", self.model, "--input", rows, *adapter)
        self.assertIn("was trained on a base that was {\"format\":\"nf4\"", other.stderr)
        same = self.graft("score", self.model, "--input", rows, "--quantize", "nf4", *adapter)
        self.assertNotIn("trained on a base", same.stderr)

    def test_the_optimizer_of_qlora(self):
        def resolved(optimizer):
            config = self.config(methods=[{"type": "qlora", "rank": 2, "targets": ["q_proj"]}], train={"steps": 1})
            del config["optimizer"]
            if optimizer is not None:
                config["optimizer"] = optimizer
            run = self.folder / "run.json"
            run.write_text(json.dumps(config))
            self.graft("train", run, "--force", "--quiet")
            return json.loads((self.folder / "out" / "run.json").read_text())["optimizer"]

        default = resolved(None)
        self.assertEqual((default["type"], default["lr"], default["paged"]), ("adamw", 2e-4, True))
        other = resolved({"lr": 0.5, "paged": "1MiB"})
        self.assertEqual((other["type"], other["lr"], other["paged"]), ("adamw", 0.5, "1MiB"))
        given = resolved({"type": "sgd", "lr": 0.5})
        self.assertEqual((given["type"], given["lr"], given["paged"]), ("sgd", 0.5, False))

    def test_loftq_begins_nearer_to_the_model(self):
        def distance(init, alpha):
            run = self.run_file(methods=[{"type": "qlora", "rank": 8, "alpha": alpha, "init_lora_weights": init,
                                          "targets": "all-linear"}], train={"steps": 1},
                                optimizer={"type": "sgd", "lr": 0})
            self.graft("train", run, "--force", "--quiet")
            got = self.logprobs(self.model, "--quantize", "nf4", "--adapter", self.folder / "out")
            config = json.loads((self.folder / "out" / "adapter_config.json").read_text())
            self.assertIs(config["init_lora_weights"], True)  # its values are in the file
            return sum((a - b) ** 2 for a, b in zip(got, plain))

        plain = self.logprobs(self.model)
        for alpha in (8, 24):
            self.assertLess(distance("loftq", alpha), 0.6 * distance("kaiming", alpha))
        run = self.run_file(methods=[{"type": "lora", "init": "loftq", "targets": "all-linear"}])
        self.refused("plan", run, status=2, says=["not quantized while it is loaded", "model.quantization"])

    def test_qdora_trains(self):
        run = self.run_file(methods=[{"type": "qlora", "base": "dora", "rank": 2, "targets": ["q_proj"]}],
                            model={"dtype": "f32"}, train={"steps": 2}, optimizer={"lr": 0.05})
        self.graft("train", run, "--force", "--quiet")
        self.assertTrue(json.loads((self.folder / "out" / "adapter_config.json").read_text())["use_dora"])

    def test_merging(self):
        run = self.run_file(methods=[{"type": "qlora", "rank": 2, "targets": ["q_proj", "down_proj"]}],
                            model={"dtype": "f32"}, train={"steps": 3}, optimizer={"lr": 0.05})
        self.graft("train", run, "--force", "--quiet")
        chosen = ("--quantize", "nf4", "--adapter", self.folder / "out")
        done = self.graft("merge", self.model, "--output", self.folder / "merged", "--json", *chosen)
        report = json.loads(done.stdout)["requantized"]
        self.assertEqual(len(report), 4)
        for layer in report:
            self.assertEqual(layer["format"], "nf4")
            self.assertGreater(layer["largest"], layer["mean"])
            self.assertGreater(layer["mean"], 0)
        config = json.loads((self.folder / "merged" / "config.json").read_text())
        self.assertEqual(config["quantization_config"]["bnb_4bit_quant_type"], "nf4")
        together = self.logprobs(self.model, *chosen)
        self.assertNear(self.logprobs(self.folder / "merged"), together, 0.5)
        self.graft("merge", self.model, "--output", self.folder / "plain", "--format", "none", *chosen)
        self.assertNear(self.logprobs(self.folder / "plain"), together, 2e-5)

    def test_refused(self):
        for wrong, says in (("nf5", "format"), ("nf4:block=48", "block"), ("nf4:double", "KEY=VALUE"),
                            ("int8:blocks=3", "blocks")):
            with self.subTest(wrong):
                done = self.graft("score", self.model, "--input", "/dev/null", "--quantize", wrong, status=2)
                self.assertIn(says, done.stderr)
        run = self.run_file(methods=[{"type": "qlora", "quantization": {"format": "fp4"}}],
                            model={"quantization": {"format": "nf4"}})
        self.assertIn("Leave one of them out", self.graft("train", run, status=2).stderr)
        run = self.run_file(methods=[{"type": "qlora", "base": "prompt"}])
        self.assertIn("base", self.graft("train", run, status=2).stderr)

    def test_damaged_statistics(self):
        def lacks(name):
            return lambda tensors: tensors.pop(WEIGHT + name)

        def replaced(name, **change):
            def edit(tensors):
                entry, data = tensors[WEIGHT + name]
                tensors[WEIGHT + name] = ({**entry, **change.get("entry", {})}, change.get("data", data))
            return edit

        def described(**change):
            def edit(tensors):
                key = WEIGHT + ".quant_state.bitsandbytes__nf4"
                state = {**json.loads(tensors[key][1]), **change}
                data = json.dumps({k: v for k, v in state.items() if v is not None}).encode()
                tensors[key] = ({"dtype": "U8", "shape": [len(data)]}, data)
            return edit

        def two_states(tensors):
            state = WEIGHT + ".quant_state.bitsandbytes__"
            tensors[state + "fp4"] = tensors[state + "nf4"]

        nan = struct.pack("<f", float("nan"))
        damage = [
            (lacks(".absmax"), "lacks its statistics"), (lacks(".nested_absmax"), "lacks its statistics"),
            (lacks(".nested_quant_map"), "lacks its statistics"), (lacks(".quant_map"), "lacks its statistics"),
            (lacks(".quant_state.bitsandbytes__nf4"), "lacks its statistics"), (two_states, "two quant_states"),
            (described(extra=1), "unknown field 'extra'"), (described(blocksize=48), "blocks of 48"),
            (described(blocksize=32), "'absmax'"), (described(shape=[1 << 60, 1 << 60]), "long"),
            (described(shape=[40]), "two extents"), (described(shape=[2, 2]), "bytes of codes"),
            (described(nested_blocksize=128), "nested statistics in blocks of 128"),
            (described(quant_type="fp4"), "quant_type"), (described(nested_offset="x"), "nested_offset"),
            (described(nested_offset=None), "'absmax'"),
            (replaced(".nested_absmax", entry={"shape": [2]}, data=bytes(8)), "nested_absmax"),
            (replaced(".nested_absmax", data=nan), "no finite numbers"),
            (replaced(".quant_map", data=nan * 16), "no finite numbers")]
        original = read_file(SAVED / "model.safetensors")
        for i, (edit, says) in enumerate(damage):
            with self.subTest(says, damage=i):
                folder = self.folder / f"damaged{i}"
                folder.mkdir()
                shutil.copy(SAVED / "config.json", folder)
                tensors = dict(original)
                edit(tensors)
                write_file(folder / "model.safetensors", tensors)
                rows = write_lines(self.folder / "rows.jsonl", ROWS)
                done = self.graft("score", folder, "--input", rows, status=1)
                self.assertIn(says, done.stderr)
                self.assertIn("up_proj", done.stderr)

    def test_packed_weights(self):
        for name, note in (("gptq-symmetric", False), ("gptq-8-bit", False), ("gptq-act-order", True), ("awq", True)):
            with self.subTest(name):
                model = DATA / "cases" / name / "model"
                rows = write_lines(self.folder / "rows.jsonl", ROWS)
                done = self.graft("score", model, "--input", rows, "--dtype", "f32")
                self.assertEqual("awq" in done.stderr or "gptq" in done.stderr, note)
                self.assertNear(self.logprobs(model), self.logprobs(model, "--quantize", "none"), 2e-5)
                self.assertNear(self.logprobs(model), self.logprobs(model, "--backend", "ref"), 2e-5)

    def test_other_quantizations_are_refused_by_name(self):
        folder = self.folder / "gptq"
        shutil.copytree(DATA / "cases" / "gptq-symmetric" / "model", folder)
        config = json.loads((folder / "config.json").read_text())
        for change, says in (({"quant_method": "hqq"}, "hqq"), ({"bits": 3}, "3 bits"), ({"group_size": 0}, "groups of 0"),
                             ({"checkpoint_format": "marlin"}, "marlin"), ({"bits": 8}, "qzeros"),
                             ({"group_size": 16}, "qzeros"), ({"quant_method": "awq"}, "qzeros"),
                             ({"quant_method": "awq", "version": "gemv"}, "gemv")):
            changed = {**config, "quantization_config": {**config["quantization_config"], **change}}
            (folder / "config.json").write_text(json.dumps(changed))
            self.assertIn(says, self.graft("score", folder, "--input", "/dev/null", status=1).stderr)


if __name__ == "__main__":
    unittest.main()
