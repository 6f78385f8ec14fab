"""What is wrong is said: who, with what value, where, and what would be right. Nothing crashes, and
nothing that existed is damaged."""
import json
import os
import pathlib
import random
import shutil
import struct
import subprocess
import unittest

from support import DATA, HOSTILE, CommandTest, make_model, write_lines


class WrongConfiguration(CommandTest):
    def test_a_misspelt_key(self):
        self.refused("train", self.run_file(methods=[{"type": "lora", "rnak": 4, "targets": "all-linear"}]),
                     status=2, says=["run.json: ", "/methods/0/rnak", "rank"])
        self.refused("plan", self.run_file(train={"batchsize": 2}), status=2, says=["/train", "batch_size"])
        self.refused("plan", self.run_file(), "--optimizer.wieght_decay", "0.1", status=2, says=["weight_decay"])

    def test_a_wrong_type(self):
        self.refused("train", self.run_file(train={"steps": "many"}), status=2, says=["/train/steps", "many", "whole number"])
        self.refused("train", self.run_file(), "--methods.0.rank", "none", status=2, says=["/methods/0/rank", "none"])

    def test_an_alias_beside_its_option(self):
        self.refused("plan", self.run_file(methods=[{"type": "lora", "rank": 4, "r": 4, "targets": "all-linear"}]),
                     status=2, says=["rank"])

    def test_json_that_is_none(self):
        path = self.folder / "broken.json"
        path.write_text('{\n  "model": {"path": "x",,}\n}\n')
        self.refused("train", path, status=2, says=["broken.json:2:"])
        path.write_text('{"model": 1, "model": 2}')
        self.refused("train", path, status=2, says=["broken.json", "model", "twice"])
        self.refused("train", self.folder / "none.json", status=2, says=["none.json", "No such file"])

    def lora(self, **options):
        return self.run_file(methods=[{"type": "lora", "rank": 4, "targets": "all-linear", **options}])

    def test_no_site_matches(self):
        for targets in (["q_prj"], "q_prj"):
            self.refused("plan", self.lora(targets=targets), status=2, says=["q_prj", "q_proj"])
        self.refused("plan", self.lora(targets="q_proj"), status=2, says=["regular expression", '["q_proj"]'])
        self.refused("plan", self.lora(layers=[7]), status=2, says=["'layers' names 7", "0 to 1"])
        self.refused("plan", self.lora(exclude=".*"), status=2, says=["'exclude'", "none is left"])

    def test_values_that_cannot_be(self):
        self.refused("plan", self.lora(targets="(q_proj"), status=2, says=["/methods/0/targets", "(q_proj"])
        self.refused("plan", self.lora(targets=[]), status=2, says=["/methods/0/targets", "1 or more"])
        self.refused("plan", self.lora(layers=-1), status=2, says=["/methods/0/layers", "at least 0"])
        self.refused("plan", self.lora(layers={"to": 0}), status=2, says=["/methods/0/layers/to", "at least 1"])
        self.refused("plan", self.lora(rank=10**11), status=2, says=["lora_A.weight", "[100000000000, ", "rank"])
        self.refused("plan", self.run_file(), "--data.fields.promt", "q", status=2, says=["data.fields", "'prompt'"])
        self.refused("plan", self.run_file(output={"best": True}), status=2, says=["/output/best", "data.eval"])
        self.refused("plan", self.run_file(), "--dtype", "f16x", status=2, says=["/model/dtype", "f16x"])
        self.refused("plan", self.run_file(), "--threads", "100000", status=2, says=["threads", "at most"])
        self.refused("plan", self.run_file(methods=[{"load": "out", "targets": ["q_proj"]}]), status=2,
                     says=["/methods/0/targets", "name, load"])

    def test_numbers_beyond_64_bits_and_nul(self):
        huge = 2**63
        self.refused("plan", self.run_file(), "--train.warmup_steps", str(huge), status=2, says=[str(huge), "at most"])
        self.refused("plan", self.lora(layers=huge), status=2, says=[str(huge)])
        self.refused("plan", self.run_file(data={"train": "a\0b", "format": "text"}), status=2, says=["/data/train", "NUL"])
        for option in ("seed", "max-new-tokens"):
            self.refused("generate", self.model, "--prompt", "a", f"--{option}={2**70}", status=2, says=[f"--{option}"])
        self.refused("generate", self.model, "--prompt", "a", f"--max-new-tokens={2**62}", status=2,
                     says=["--max-new-tokens", "16777216"])

    def test_options_of_generate(self):
        for option, value in (("temperature", "nan"), ("temperature", "-1"), ("top-p", "2"), ("min-p", "-1"),
                              ("repetition-penalty", "0"), ("stop", ""), ("dtype", "zz"), ("backend", "zz"),
                              ("threads", "100000"), ("adapter", "x=inf")):
            done = self.refused("generate", self.model, "--prompt", "a", f"--{option}={value}", status=2)
            name = option if option in ("dtype", "backend", "threads", "adapter") else f"--{option}"
            self.assertIn(name, done.stderr)

    def test_unknown_plugins(self):
        for changes, known in (({"methods": [{"type": "lorra", "targets": "all-linear"}]}, "lora"),
                               ({"optimizer": {"type": "adam"}}, "adamw"), ({"backend": {"type": "rf"}}, "ref")):
            self.refused("plan", self.run_file(**changes), status=2, says=[known])

    def test_memory_limit(self):
        done = self.refused("train", self.run_file(), "--train.memory_limit", "1MiB", says=["memory_limit"])
        self.assertRegex(done.stderr, r"Largest: [^()]+ \([\d.]+ .iB\), [^()]+ \([\d.]+ .iB\), [^()]+ \([\d.]+ .iB\)\.")
        self.assertFalse((self.folder / "out" / "metrics.jsonl").exists())
        for limit, says in (("0", "at least 1"), ("0GiB", "0 bytes")):
            self.refused("train", self.run_file(), "--train.memory_limit", limit, status=2, says=["/train/memory_limit", says])

    def test_names_that_are_none(self):
        self.refused("plan", self.run_file(backend={"type": ""}), status=2, says=["/backend/type", "1 or more"])
        self.refused("plan", self.run_file(backend={"type": 5}), status=2, says=["/backend/type", "5", "string"])
        self.refused("plan", self.run_file(optimizer={"type": 5, "lr": 0.1}), status=2, says=["/optimizer/type", "5"])
        run = self.run_file()
        run.write_text(json.dumps({**json.loads(run.read_text()), "optimizer": {}}))
        self.refused("plan", run, status=2, says=["/optimizer/type is missing", "adamw"])

    def test_more_steps_than_a_run_has(self):
        self.refused("plan", self.run_file(), "--train.steps", str(10**15), status=2, says=["train.steps", "at most"])

    def test_no_decay_of_nothing(self):
        run = self.run_file(optimizer={"type": "adamw", "lr": 0.1, "no_decay": ["lora_B", "bais"]})
        done = self.graft("plan", run)
        self.assertRegex(done.stderr, r"no_decay: no trained tensor has 'bais' in its name")
        self.assertNotIn("'lora_B'", done.stderr)

    def test_weights_that_are_scaled_beyond_numbers(self):
        done = self.refused("train", self.lora(alpha=1e300, dropout=0.0), says=["step 1", "too large"])
        self.assertNotIn("optimizer.lr", done.stderr)


class WrongModel(CommandTest):
    def score(self, model, **options):
        return self.refused("score", model, "--input", "-", "--backend", "ref", input='{"input_ids": [1, 2]}\n', **options)

    def copy(self, name="copy"):
        return pathlib.Path(shutil.copytree(self.model, self.folder / name))

    def test_no_model(self):
        self.score(self.folder / "nothing", says=["nothing"])
        self.refused("train", self.run_file(model={"path": "nothing"}), says=["nothing"])
        (self.folder / "empty").mkdir()
        self.score(self.folder / "empty", says=["config.json"])

    def test_a_missing_and_a_misshapen_tensor(self):
        for change, says in ((lambda c: c.update(num_hidden_layers=3), "model.layers.2"),
                             (lambda c: c.update(intermediate_size=50), "mlp.")):
            model = self.copy()
            config = json.loads((model / "config.json").read_text())
            change(config)
            (model / "config.json").write_text(json.dumps(config))
            self.score(model, says=[says])
            shutil.rmtree(model)

    def test_layers_that_are_not_used_are_told(self):
        model = self.copy()
        config = json.loads((model / "config.json").read_text())
        config["num_hidden_layers"] = 1
        (model / "config.json").write_text(json.dumps(config))
        done = self.graft("score", model, "--input", "-", "--backend", "ref", input='{"input_ids": [1, 2]}\n')
        self.assertRegex(done.stderr, r"1 layers; its files hold more, 'model\.layers\.1\.")
        plain = self.graft("score", self.model, "--input", "-", "--backend", "ref", input='{"input_ids": [1, 2]}\n')
        self.assertNotIn("layers", plain.stderr)

    def test_an_index_of_nothing(self):
        model = self.copy()
        (model / "model.safetensors").unlink()
        (model / "model.safetensors.index.json").write_text('{"weight_map": {}}')
        self.score(model, says=["weight_map", "names no tensor"])

    def test_a_tokenizer_larger_than_the_model(self):
        model = make_model(self.folder / "small", vocab=300)
        self.score(model, says=["512", "300"])

    def test_a_cut_or_damaged_safetensors(self):
        model = self.copy()
        file = model / "model.safetensors"
        whole = file.read_bytes()
        self.damage(file, whole, model, random.Random(1), struct.unpack("<Q", whole[:8])[0] + 8)

    def test_a_cut_or_damaged_gguf(self):
        file = self.folder / "model.gguf"
        whole = (DATA / "gguf" / "llama-gqa-tied.gguf").read_bytes()
        self.damage(file, whole, file, random.Random(2), 4096)

    def damage(self, file, whole, model, chance, head):
        for n in [0, 1, 7, 8, 9, head - 1, head, len(whole) - 1] + [chance.randrange(len(whole)) for _ in range(6)]:
            file.write_bytes(whole[:n])
            done = self.graft("score", model, "--input", "-", "--backend", "ref", status=1, input='{"input_ids": [1]}\n')
            self.assertIn(file.name, done.stderr)
        for _ in range(16):
            data = bytearray(whole)
            data[chance.randrange(head)] ^= 1 << chance.randrange(8)
            file.write_bytes(data)
            # An error, or a good result: a number in the metadata may be another good number.
            command = ["score", model, "--input", "-", "--backend", "ref", "--quiet"]
            try:
                self.graft(*command, status=1, input='{"input_ids": [1]}\n')
            except AssertionError:
                self.graft(*command, status=0, input='{"input_ids": [1]}\n')

    def test_an_adapter_of_another_base(self):
        self.graft("train", self.run_file(), "--train.steps", "1", "--quiet")
        wider = make_model(self.folder / "wider", hidden=64)
        self.score_with(wider, 1, ["lora_A"])
        further = self.run_file("further.json", model={"path": str(wider)}, methods=[{"load": "out"}], output={"dir": "more"})
        for command in ("plan", "train"):  # before anything is made
            self.refused(command, further, says=["lora_A"])
        self.assertFalse((self.folder / "more").exists())
        same_shape = make_model(self.folder / "other", seed=2)
        done = self.score_with(same_shape, 0, ["warning"])
        self.assertIn("another", done.stderr)
        self.assertEqual(self.score_with(self.model, 0, []).stderr.count("warning"), 0)

    def test_an_adapter_that_is_no_pickle(self):
        self.graft("train", self.run_file(), "--train.steps", "1", "--quiet")
        (self.folder / "out" / "adapter_model.safetensors").rename(self.folder / "out" / "adapter_model.bin")
        self.score_with(self.model, 1, ["adapter_model.bin", "no zip file"])

    def score_with(self, model, status, says):
        done = self.graft("score", model, "--input", "-", "--adapter", "out", "--backend", "ref", status=status,
                          input='{"input_ids": [1, 2]}\n')
        for text in says:
            self.assertIn(text, done.stderr)
        return done


class WrongData(CommandTest):
    def train_on(self, text, says, format_="text"):
        (self.folder / "data.jsonl").write_text(text)
        run = self.run_file(data={"train": "data.jsonl", "format": format_})
        self.refused("train", run, says=says)
        self.assertFalse((self.folder / "out" / "metrics.jsonl").exists())

    def test_an_empty_file(self):
        self.train_on("", ["data.jsonl"])
        self.train_on("\n\n", ["data.jsonl"])

    def test_broken_lines(self):
        self.train_on('{"text": "a b c"}\n\n{"text": }\n', ["data.jsonl:3"])
        self.train_on('{"text": "a b c"}\n{"txt": "d"}\n', ["data.jsonl:2", "text"])
        self.train_on('{"text": "a b c"}\n{"text": 7}\n', ["data.jsonl:2"])

    def test_a_token_id_out_of_range(self):
        self.train_on('{"input_ids": [1, 2, 3]}\n{"input_ids": [1, 512]}\n', ["data.jsonl:2", "512"], "tokens")
        self.train_on('{"input_ids": [1, -1]}\n', ["data.jsonl:1", "-1"], "tokens")

    def test_no_file(self):
        self.refused("train", self.run_file(data={"train": "none.jsonl"}), says=["none.jsonl"])

    def test_a_line_of_score(self):
        for line, says in (('{"input_ids": [1, 512]}', "512"), ("{", "not JSON"), ("[1]", "object"), ('{"x": 1}', "text")):
            path = self.folder / "in.jsonl"
            path.write_text('{"input_ids": [1, 2]}\n\n' + line + '\n{"input_ids": [3]}\n')
            done = self.refused("score", self.model, "--input", path, "--backend", "ref", says=["in.jsonl:3", says])
            self.assertEqual(len(done.stdout.splitlines()), 1)  # what was done before stays

    def test_a_line_of_generate(self):
        path = write_lines(self.folder / "in.jsonl", [{"prompt": "a", "max_new_tokens": 1}, {"prompt": "a", "top_kk": 1}])
        done = self.refused("generate", self.model, "--input", path, "--backend", "ref", says=["in.jsonl:2", "top_k"])
        self.assertEqual(len(done.stdout.splitlines()), 1)

    def test_what_a_line_of_generate_begins_with(self):
        for line, says in (({"prompt": "a", "input_ids": [1]}, ["prompt", "input_ids", "one of them"]),
                           ({"prompt": "a", "messages": []}, ["prompt", "messages", "one of them"]),
                           ({"input_ids": [1], "chat": True}, ["input_ids", "chat"]),
                           ({"input_ids": [1], "system": "b"}, ["input_ids", "system"]),
                           ({"input_ids": [2**32 + 1]}, [str(2**32 + 1), "511"]), ({"input_ids": [-1]}, ["-1", "511"]),
                           ({}, ["prompt", "messages", "input_ids"])):
            path = write_lines(self.folder / "in.jsonl", [line])
            self.refused("generate", self.model, "--input", path, "--backend", "ref", says=["in.jsonl:1", *says])


class NoRoom(CommandTest):
    def test_a_full_device(self):
        lines = write_lines(self.folder / "in.jsonl", [{"input_ids": [1, 2]}])
        self.refused("score", self.model, "--input", lines, "--output", "/dev/full", "--backend", "ref", says=["No space left"])
        with open("/dev/full", "w") as full:
            done = subprocess.run([os.environ["GRAFT"], "version"], stdout=full, stderr=subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, 1)
        self.assertIn("No space left", done.stderr)

    def test_a_folder_that_cannot_be_written(self):
        file = self.folder / "file"
        file.write_text("kept")
        for place in (file / "out", "/proc/graft-out"):
            self.refused("train", self.run_file(), "--output.dir", place, says=[str(place)])
        self.assertEqual(file.read_text(), "kept")

    def test_a_full_disk(self):
        disk = self.folder / "disk"
        disk.mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96k", "tmpfs", str(disk)], capture_output=True)
        if mounted.returncode:
            self.skipTest("a small file system cannot be mounted here")
        self.addCleanup(subprocess.run, ["umount", "-l", str(disk)])
        (disk / "other").write_text("kept")
        self.refused("train", self.run_file(), "--output.dir", disk / "out", "--output.save_every", "1", "--methods.0.rank",
                     "8", says=["No space left"])
        self.assertEqual((disk / "other").read_text(), "kept")
        for whole in (disk / "out").rglob("*.safetensors"):  # no file is there in part
            self.graft("inspect", whole)


class WrongPlugin(CommandTest):
    def hostile(self, name, kind="method"):
        file = f"libgraft-{kind}-{name}.so"
        if not (HOSTILE / file).exists():
            self.skipTest(f"{file} is not built (target hostile-{name})")
        folder = self.folder / "plugins"
        folder.mkdir(exist_ok=True)
        shutil.copy(HOSTILE / file, folder)
        (folder / file).chmod(0o755)
        return folder

    def attempt(self, name, says):
        folder = self.hostile(name)
        run = self.run_file(methods=[{"type": name, "targets": "all-linear"}])
        done = self.graft_any("plan", run, "--plugin-dir", folder)
        for text in says:
            self.assertIn(text, done.stderr)
        listing = self.graft("plugins", "--plugin-dir", folder)  # the others are still there
        self.assertIn("lora", listing.stdout)
        return listing

    def graft_any(self, *arguments):
        try:
            return self.graft(*arguments, status=1)
        except AssertionError:
            return self.graft(*arguments, status=2)

    def test_a_world_writable_plugin(self):
        folder = self.hostile("good")
        (folder / "libgraft-method-good.so").chmod(0o777)
        listing = self.graft("plugins", "--plugin-dir", folder).stdout
        self.assertRegex(listing, r"good +cannot be used: .*writ")

    def test_a_newer_abi(self):
        self.attempt("newer_minor", ["newer_minor", "ABI"])

    def test_no_interface(self):
        self.attempt("null_entry", ["null_entry"])
        self.attempt("null_interface", ["null_interface"])

    def test_one_that_throws(self):
        self.attempt("throws_in_entry", ["throws_in_entry"])
        self.attempt("throws", ["throws"])


if __name__ == "__main__":
    unittest.main()
