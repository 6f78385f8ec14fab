"""Installs the build into a folder, moves that folder, and uses it from there: the command, a method
plugin and a C program, through find_package and pkg-config."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "tests" / "cli"))
import support  # noqa: E402

BUILD = pathlib.Path(os.environ["GRAFT_BUILD"])
CMAKE = os.environ["CMAKE"]
# The command and its plugins are found without help from outside.
CLEAN = {k: v for k, v in os.environ.items() if not k.startswith(("GRAFT", "LD_"))}

# Loads the library by a name relative to a folder that is not the current one any more when it looks.
RELATIVE = """
import ctypes, glob, json, os
library = ctypes.CDLL(os.path.join(".", glob.glob("*/libgraft.so")[0]))
os.chdir("/")
library.graft_text_data.restype = ctypes.c_char_p
engine, text, error = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.create_string_buffer(512)
assert library.graft_engine_create(None, ctypes.byref(engine), error) == 0
assert library.graft_plugins_json(engine, None, ctypes.byref(text), error) == 0
print(*(plugin["path"] for plugin in json.loads(library.graft_text_data(text))["plugins"]))
"""


def run(*command, status=0, **more):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=300,
                          env={**CLEAN, **more.pop("env", {})}, **more)
    if done.returncode != status:
        raise AssertionError(f"{command}: status {done.returncode}\n{done.stdout[-3000:]}"
                             f"\n{done.stderr[-3000:]}")
    return done.stdout


class Install(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        temporary = tempfile.TemporaryDirectory(prefix="graft-install-")
        cls.addClassCleanup(temporary.cleanup)
        cls.root = pathlib.Path(temporary.name).resolve()
        cls.installed_to = cls.root / "first"
        run(CMAKE, "--install", BUILD, "--prefix", cls.installed_to)
        cls.prefix = cls.root / "moved"
        cls.installed_to.rename(cls.prefix)
        cls.graft = cls.prefix / "bin" / "graft"
        cls.libdir = next(cls.prefix.rglob("libgraft.so")).parent
        cls.plugins = cls.libdir / "graft" / "plugins" / "0"

        model = support.make_model(cls.root / "model")
        support.write_lines(cls.root / "train.jsonl", [{"text": t} for t in support.TEXTS])
        cls.config = {
            "model": {"path": str(model), "dtype": "f32"},
            "methods": [{"type": "lora", "targets": ["q_proj"]}],
            "backend": {"type": "ref"},
            "data": {"train": str(cls.root / "train.jsonl"), "format": "text"},
            "optimizer": {"type": "adamw", "lr": 0.01},
            "train": {"steps": 8, "batch_size": 4},
            "output": {"dir": "out"}}

    def configure_and_build(self, example):
        build = self.root / f"build-{example}"
        run(CMAKE, "-S", ROOT / "examples" / example, "-B", build,
            f"-DCMAKE_PREFIX_PATH={self.prefix}")
        run(CMAKE, "--build", build)
        return build

    def test_nothing_knows_where_it_was_built(self):
        texts = [*self.prefix.rglob("*.cmake"), *self.prefix.rglob("*.pc")]
        self.assertGreater(len(texts), 4)
        for path in texts:
            for place in (self.installed_to, ROOT, BUILD):
                self.assertNotIn(str(place), path.read_text(), path)

    def test_command_finds_the_plugins_beside_its_library(self):
        listed = json.loads(run(self.graft, "plugins", "--json"))
        found = {pathlib.Path(plugin["path"]) for plugin in listed["plugins"]}
        self.assertEqual(found, set(self.plugins.glob("libgraft-*.so")))
        self.assertGreaterEqual(len(found), 4)

    def test_library_finds_them_when_it_was_loaded_by_a_relative_path(self):
        listed = run(sys.executable, "-c", RELATIVE, cwd=self.libdir.parent)
        self.assertEqual(set(listed.split()), {str(path) for path in self.plugins.glob("libgraft-*.so")})

    def test_method_plugin(self):
        build = self.configure_and_build("method-plugin")
        run("ctest", "--test-dir", build, "--no-tests=error")
        folder = self.root / "method"
        folder.mkdir()
        config = {**self.config, "methods": [{"type": "scale_shift", "targets": ["q_proj", "v_proj"]}]}
        (folder / "run.json").write_text(json.dumps(config))
        plugins = build / "lib" / "graft" / "plugins" / "0"
        run(self.graft, "train", folder / "run.json", "--plugin-dir", plugins)
        lines = support.read_lines((folder / "out" / "metrics.jsonl").read_text())
        losses = [line["loss"] for line in lines if "loss" in line]
        self.assertEqual(len(losses), 8)
        self.assertLess(losses[-1], losses[0])
        # Without its folder the method is unknown, and the message says which there are.
        done = subprocess.run([str(self.graft), "train", str(folder / "run.json"), "--force"],
                              capture_output=True, text=True, env=CLEAN)
        self.assertIn(done.returncode, (1, 2))
        self.assertIn("scale_shift", done.stderr)
        self.assertIn("lora", done.stderr)

    def check_c_program(self, program, folder):
        folder.mkdir()
        (folder / "run.json").write_text(json.dumps(self.config))
        output = run(program, folder / "run.json", self.root / "model", folder / "adapter", "The river")
        self.assertIn("step 5: loss ", output)
        self.assertTrue((folder / "adapter" / "adapter_model.safetensors").exists())

    def test_c_program_with_find_package(self):
        build = self.configure_and_build("c")
        self.check_c_program(build / "train", self.root / "c-cmake")

    def test_c_program_with_pkg_config(self):
        source = self.root / "c-source"
        source.mkdir()
        for name in ("train.c", "Makefile"):
            (source / name).write_text((ROOT / "examples" / "c" / name).read_text())
        run("make", "-C", source, env={"PKG_CONFIG_PATH": str(self.libdir / "pkgconfig")})
        self.check_c_program(source / "train", self.root / "c-make")


if __name__ == "__main__":
    unittest.main()
