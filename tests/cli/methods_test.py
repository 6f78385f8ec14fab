"""Methods from outside: runs of several together, merging, what is refused."""
import json
import unittest

from support import CommandTest, read_lines, write_lines

ROWS = [{"input_ids": [5, 9, 12, 7, 3, 44]}, {"input_ids": [100, 3, 8]}]


class Merging(CommandTest):
    def trained(self, *methods):
        """Folders of the adapters of a short run of the methods."""
        run = self.run_file(methods=list(methods), train={"steps": 3}, optimizer={"lr": 0.05})
        self.graft("train", run, "--force", "--quiet")
        out = self.folder / "out"
        return [out] if len(methods) == 1 else [out / m["type"] for m in methods]

    def logprobs(self, model, adapters=()):
        rows = write_lines(self.folder / "rows.jsonl", ROWS)
        chosen = [a for folder in adapters for a in ("--adapter", folder)]
        done = self.graft("score", model, "--input", rows, "--dtype", "f32", "--backend", "ref", "--quiet", *chosen)
        return [p for line in read_lines(done.stdout) for p in line["logprobs"][1:]]

    def merged(self, adapters):
        out = self.folder / "merged"
        chosen = [a for folder in adapters for a in ("--adapter", folder)]
        done = self.graft("merge", self.model, "--output", out, "--backend", "ref", *chosen)
        self.assertEqual(done.stdout.strip(), str(out))
        return out

    def test_merged_computes_the_same(self):
        some = ["q_proj", "v_proj", "down_proj"]
        for method in ({"type": "lora", "targets": some}, {"type": "lora", "targets": ["lm_head"]},
                       {"type": "dora", "rank": 2, "targets": some}, {"type": "vera", "rank": 8, "targets": some},
                       {"type": "ia3", "targets": some, "feedforward": ["down_proj"]}, {"type": "ln_tuning"},
                       {"type": "loha", "rank": 2, "targets": some}, {"type": "lokr", "rank": 2, "targets": some},
                       {"type": "oft", "block_size": 8, "targets": some}, {"type": "full"},
                       {"type": "adalora", "init_rank": 4, "target_rank": 2, "total_steps": 3, "targets": some},
                       {"type": "tied_lora", "rank": 2, "targets": some},
                       {"type": "randlora", "rank": 8, "alpha": 8, "targets": some},
                       {"type": "lora", "rank": 2, "init": "pissa", "targets": some},
                       {"type": "lora", "rank": 2, "targets": some, "trainable_tokens": [5, 9, 3]}):
            with self.subTest(method):
                adapters = self.trained(method)
                with_adapter, base = self.logprobs(self.model, adapters), self.logprobs(self.model)
                self.assertGreater(max(abs(a - b) for a, b in zip(with_adapter, base)), 1e-3)
                merged = self.merged(adapters)
                for a, b in zip(self.logprobs(merged), with_adapter):
                    self.assertAlmostEqual(a, b, delta=2e-5)
                for file in merged.iterdir():
                    file.unlink()
                merged.rmdir()

    def test_what_began_as_singular_vectors_becomes_a_plain_lora(self):
        lora = {"type": "lora", "rank": 2, "init": "pissa", "targets": ["q_proj", "down_proj"],
                "rank_pattern": {"down_proj": 3}, "alpha_pattern": {"q_proj": 5}}
        for rslora in (False, True):
            with self.subTest(rslora=rslora):
                wanted = self.logprobs(self.model, self.trained({**lora, "rslora": rslora}))
                adapters = self.trained({**lora, "rslora": rslora, "convert": True})
                config = json.loads((adapters[0] / "adapter_config.json").read_text())
                self.assertIs(config["init_lora_weights"], True)
                self.assertEqual(config["r"], 4)
                self.assertEqual(set(config["rank_pattern"].values()), {6})
                for a, b in zip(self.logprobs(self.model, adapters), wanted):
                    self.assertAlmostEqual(a, b, delta=1e-5)

    def test_an_adapter_that_has_lost_ranks_is_trained_further(self):
        adalora = {"type": "adalora", "init_rank": 4, "target_rank": 1, "total_steps": 3, "targets": ["q_proj"]}
        first = self.trained(adalora)[0]
        kept = json.loads((first / "adapter_config.json").read_text())["rank_pattern"]
        self.assertEqual(sum(map(sum, kept.values())), 2)  # of two layers
        first.rename(self.folder / "first")
        self.trained({"load": str(self.folder / "first")})
        again = json.loads((first / "adapter_config.json").read_text())["rank_pattern"]
        self.assertEqual(again, kept)

    def test_what_began_from_the_data_is_resumed_and_trained_further(self):
        lora = {"type": "lora", "rank": 1, "alpha": 5, "init": "eva", "eva_config": {"rho": 4, "tau": 0.6},
                "targets": ["q_proj", "v_proj", "o_proj", "down_proj"]}
        run = self.run_file(methods=[lora], train={"steps": 8, "batch_size": 4}, output={"save_every": 4})
        done = self.graft("plan", run)
        self.assertIn("batches of the data", done.stderr)
        self.graft("train", run, "--output.dir", "whole", "--quiet")
        self.graft("train", run, "--quiet")
        newest = self.folder / "out" / "checkpoints" / "step-000008"
        for file in newest.iterdir():
            file.unlink()
        newest.rmdir()
        self.assertIn("resumed from step 4", self.graft("train", run, "--resume").stderr)
        files = [(self.folder / f / "adapter_model.safetensors").read_bytes() for f in ("whole", "out")]
        self.assertEqual(*files)
        config = json.loads((self.folder / "out" / "adapter_config.json").read_text())
        self.assertEqual(config["init_lora_weights"], "eva")
        self.assertTrue(config["rank_pattern"])
        # A folder has its ranks: nothing is looked at again.
        further = self.run_file(methods=[{"load": str(self.folder / "whole")}], train={"steps": 2})
        done = self.graft("train", further, "--output.dir", "further")
        self.assertNotIn("batches of the data", done.stderr)
        again = json.loads((self.folder / "further" / "adapter_config.json").read_text())
        for key in ("rank_pattern", "alpha_pattern", "target_modules", "r"):
            self.assertEqual(again[key], config[key])
        self.logprobs(self.model, [self.folder / "further"])
        wide = self.run_file(methods=[{**lora, "rank": 16}], train={"steps": 2, "batch_size": 1},
                             data={"max_length": 12})
        self.refused("train", wide, status=2, says=["no batch has as many", "train.batch_size"])

    def test_two_together(self):
        adapters = self.trained({"type": "lora", "rank": 2, "targets": ["q_proj", "down_proj"]},
                                {"type": "ia3", "targets": ["k_proj", "down_proj"], "feedforward": ["down_proj"]})
        for folder, peft_type in zip(adapters, ("LORA", "IA3")):
            self.assertEqual(json.loads((folder / "adapter_config.json").read_text())["peft_type"], peft_type)
        with_adapters = self.logprobs(self.model, adapters)
        for a, b in zip(self.logprobs(self.merged(adapters)), with_adapters):
            self.assertAlmostEqual(a, b, delta=2e-5)

    def test_what_is_refused(self):
        adapters = self.trained({"type": "prompt", "tokens": 3})
        out = self.folder / "merged"
        self.refused("merge", self.model, "--adapter", adapters[0], "--output", out,
                     says=["cannot be merged", "prompt", "--adapter"])
        self.assertFalse(out.exists())
        self.refused("merge", self.model, "--output", out, status=2, says=["--adapter DIR"])
        self.refused("merge", self.model, "--adapter", adapters[0], "--output", self.model, says=["is there already"])


class LibraryAdapters(CommandTest):
    """Bottleneck adapters and their fusion, in the files of the adapters library."""
    SWITCHES = {"type": "adapter", "reduction": 4}

    def trained(self, name, **options):
        run = self.run_file(methods=[{**self.SWITCHES, **options}], train={"steps": 3}, optimizer={"lr": 0.05},
                            output={"name": name})
        self.graft("train", run, "--force", "--quiet", "--output.dir", self.folder / name)
        return self.folder / name

    def logprobs(self, *adapters):
        rows = write_lines(self.folder / "rows.jsonl", ROWS)
        chosen = [a for folder in adapters for a in ("--adapter", folder)]
        done = self.graft("score", self.model, "--input", rows, "--dtype", "f32", "--backend", "ref", "--quiet", *chosen)
        return [p for line in read_lines(done.stdout) for p in line["logprobs"][1:]]

    def fusion(self, *adapters, **options):
        method = {"type": "adapter_fusion", "adapters": [str(a) for a in adapters], **options}
        return self.run_file(methods=[method], train={"steps": 3}, optimizer={"lr": 0.05})

    def test_each_of_both_files_is_enough(self):
        folder = self.trained("one")
        wanted = self.logprobs(folder)
        self.assertNotEqual(wanted, self.logprobs())
        (folder / "adapter.safetensors").unlink()
        self.assertEqual(wanted, self.logprobs(folder))
        found = json.loads(self.graft("inspect", folder, "--json").stdout)
        self.assertEqual((found["method"], found["library"]), ("adapter", "adapters.1.3.0"))
        self.assertEqual(len(found["tensors"]), 2 * 4)
        found = json.loads(self.graft("inspect", folder / "pytorch_adapter.bin", "--json").stdout)
        self.assertEqual((found["kind"], len(found["tensors"])), ("torch", 2 * 4))

    def test_what_the_library_has_no_place_for_is_kept_natively(self):
        folder = self.trained("one", attention=True, targets=r"model\.layers\.1\..*residual|.*0\.mlp\.residual")
        self.assertFalse((folder / "adapter_config.json").exists())
        self.assertNotEqual(self.logprobs(folder), self.logprobs())

    def test_a_fusion_takes_those_before_it(self):
        one, two = self.trained("one"), self.trained("two", activation="tanh")
        self.graft("train", self.fusion(one, two), "--quiet")
        out = self.folder / "out"
        config = json.loads((out / "adapter_fusion_config.json").read_text())
        self.assertEqual((config["adapter_names"], config["name"]), (["one", "two"], "one,two"))
        wanted = self.logprobs(one, two, out)
        self.assertEqual(wanted, self.logprobs(out))  # which has noted where they are
        self.assertNotEqual(wanted, self.logprobs(one, two))
        two = two.rename(self.folder / "moved")
        self.refused("score", self.model, "--input", self.folder / "rows.jsonl", "--adapter", out,
                     says=["fuses the adapter 'two'"])
        self.assertEqual(wanted, self.logprobs(two, one, out))
        self.refused("score", self.model, "--input", self.folder / "rows.jsonl", "--adapter", f"{one}=0.5", "--adapter", two,
                     "--adapter", out, says=["no strength of its own"])
        self.refused("merge", self.model, "--adapter", one, "--adapter", two, "--adapter", out, "--output",
                     self.folder / "merged", says=["cannot be merged"])
        run = self.run_file(methods=[{"load": str(one)}, {"load": str(two)}, {"load": str(out)}], train={"steps": 1})
        self.graft("train", run, "--quiet", "--output.dir", self.folder / "further")
        self.assertNotEqual(wanted, self.logprobs(one, two, self.folder / "further"))

    def test_what_cannot_be_fused_is_refused(self):
        one, two = self.trained("one"), self.trained("two", reduction=8)
        for folders, status, says in (((one,), 2, ["at least two"]), ((one, one), 1, ["'one'", "another name"]),
                                      ((one, two), 2, ["different widths", "has 8", "one reduction"])):
            self.refused("train", self.fusion(*folders), "--force", status=status, says=says)
        places = self.trained("three", attention=True)
        self.refused("train", self.fusion(one, places), "--force", status=2, says=["only one of", "the same places"])
        inverted = self.trained("four", invertible=True)
        self.refused("train", self.fusion(one, inverted), "--force", status=2, says=["invertible"])
        run = self.run_file(methods=[{"type": "lora", "targets": ["q_proj"], "rank": 2}], train={"steps": 1})
        self.graft("train", run, "--quiet", "--force", "--output.dir", self.folder / "lora")
        self.refused("train", self.fusion(one, self.folder / "lora"), "--force",
                     says=["method 'lora'", "'adapter'"])


class FreshMethods(CommandTest):
    def test_those_with_a_neutral_value_change_nothing(self):
        rows = write_lines(self.folder / "rows.jsonl", ROWS)

        def losses(*adapter):
            done = self.graft("score", self.model, "--input", rows, "--dtype", "f32", "--backend", "ref", "--quiet",
                              *adapter)
            return [line["loss"] for line in read_lines(done.stdout)]

        base = losses()
        some = ["q_proj", "down_proj"]
        for method in ({"type": "dora", "targets": some}, {"type": "vera", "targets": some}, {"type": "ln_tuning"},
                       {"type": "ia3", "targets": some, "feedforward": ["down_proj"]}, {"type": "full"},
                       {"type": "loha", "targets": some}, {"type": "lokr", "targets": some},
                       {"type": "oft", "block_size": 8, "targets": some},
                       {"type": "adalora", "total_steps": 10, "tinit": 5, "targets": some},
                       {"type": "tied_lora", "targets": some},
                       {"type": "tied_lora", "targets": some, "trained": ["u", "v"]},
                       {"type": "randlora", "rank": 8, "targets": some},
                       {"type": "lora", "targets": some, "trainable_tokens": [5, 9]}):
            with self.subTest(method):
                # The only step of a warm-up has the rate 0.
                run = self.run_file(methods=[method], train={"steps": 1, "warmup_steps": 1})
                self.graft("train", run, "--force", "--quiet")
                for a, b in zip(losses("--adapter", self.folder / "out"), base):
                    self.assertAlmostEqual(a, b, delta=1e-6)

    def test_targets_that_are_not_given_are_those_of_peft(self):
        for method, targets, more in (({"type": "lora"}, ["q_proj", "v_proj"], {}),
                                      ({"type": "ia3"}, ["k_proj", "v_proj", "down_proj"], {"feedforward": ["down_proj"]})):
            with self.subTest(method):
                self.graft("train", self.run_file(methods=[method], train={"steps": 1}), "--force", "--quiet")
                noted = json.loads((self.folder / "out" / "run.json").read_text())["methods"][0]
                self.assertEqual(noted["targets"], targets)
                self.assertEqual({k: noted[k] for k in more}, more)
                config = json.loads((self.folder / "out" / "adapter_config.json").read_text())
                self.assertEqual(config["target_modules"], targets)
                if more:
                    self.assertEqual(config["feedforward_modules"], more["feedforward"])

    def test_ranks_of_one_step_are_kept(self):
        method = {"type": "adalora", "total_steps": 1, "targets": ["q_proj"]}
        self.graft("train", self.run_file(methods=[method], train={"steps": 1}), "--force", "--quiet")
        rows = write_lines(self.folder / "rows.jsonl", ROWS)
        self.graft("score", self.model, "--input", rows, "--adapter", self.folder / "out", "--quiet")

    def test_generating_with_virtual_tokens_is_scoring(self):
        for method in ({"type": "prompt", "tokens": 3}, {"type": "prefix", "tokens": 4},
                       {"type": "p_tuning", "tokens": 2, "hidden": 8}):
            with self.subTest(method):
                run = self.run_file(methods=[method], train={"steps": 2})
                self.graft("train", run, "--force", "--quiet")
                common = ["--adapter", self.folder / "out", "--dtype", "f32", "--backend", "ref", "--quiet"]
                rows = write_lines(self.folder / "ask.jsonl", [{"input_ids": [5, 9, 12]}])
                done = self.graft("generate", self.model, "--input", rows, "--greedy", "--max-new-tokens", "4",
                                  "--ignore-eos", *common)
                made = read_lines(done.stdout)[0]["output_ids"]
                ids = [5, 9, 12]
                for token in made:
                    rows = write_lines(self.folder / "ask.jsonl", [{"input_ids": ids}])
                    top = read_lines(self.graft("score", self.model, "--input", rows, "--top", "1", *common).stdout)
                    self.assertEqual(top[0]["next_top"][0][0], token)
                    ids = ids + [token]


if __name__ == "__main__":
    unittest.main()
