#!/usr/bin/env python3
"""Builds examples/method-plugin as a stranger would, over an installed graft, and trains with it.

  example.py --build BUILD_FOLDER --source REPOSITORY --cmake cmake
"""
import argparse
import json
import pathlib
import struct
import subprocess
import sys
import tempfile


def run(*command, **options):
    command = [str(part) for part in command]
    done = subprocess.run(command, capture_output=True, text=True, **options)
    if done.returncode:
        sys.exit(f"example: {' '.join(command)}\nended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def tensors(path):
    data = path.read_bytes()
    (size,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8:8 + size])
    header.pop("__metadata__", None)
    found = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        found[name] = struct.unpack(f"<{(end - begin) // 4}f", data[8 + size + begin:8 + size + end])
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", required=True, type=pathlib.Path)
    parser.add_argument("--source", required=True, type=pathlib.Path)
    parser.add_argument("--cmake", default="cmake")
    options = parser.parse_args()
    cases = options.source / "tests" / "golden" / "data" / "cases"

    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary).resolve()
        prefix, built = folder / "anywhere", folder / "build"
        run(options.cmake, "--install", options.build, "--prefix", prefix)
        run(options.cmake, "-S", options.source / "examples" / "method-plugin", "-B", built,
            f"-DCMAKE_PREFIX_PATH={prefix}", f"-DCMAKE_INSTALL_PREFIX={prefix}")
        run(options.cmake, "--build", built)
        run("ctest", "--output-on-failure", "--no-tests=error", cwd=built)
        graft = prefix / "bin" / "graft"
        plugins = built / "lib" / "graft" / "plugins" / "0"

        listing = run(graft, "plugins", "scale_shift", "--plugin-dir", plugins)
        assert "org.example.scale_shift" in listing and "shift" in listing, listing

        run_json = folder / "run.json"
        run_json.write_text(json.dumps({
            "model": {"path": str(cases / "llama-gqa-tied" / "model"), "dtype": "f32"},
            "methods": [{"type": "scale_shift", "targets": ["q_proj", "down_proj"]}],
            "data": {"train": str(cases / "train-llama-tied" / "train.jsonl"), "format": "tokens",
                     "max_length": 64, "shuffle": False},
            "optimizer": {"type": "adamw", "lr": 0.05},
            "train": {"steps": 12, "batch_size": 4, "schedule": "constant"},
            "output": {"dir": str(folder / "out")}}))
        run(graft, "train", run_json, "--plugin-dir", plugins, "--quiet")
        lines = [json.loads(line) for line in (folder / "out" / "metrics.jsonl").read_text().splitlines()]
        losses = [line["loss"] for line in lines if "loss" in line]
        assert len(losses) == 12 and losses[-1] < losses[0], losses
        trained = tensors(folder / "out" / "adapter_model.safetensors")
        scales = {name: values for name, values in trained.items() if name.endswith(".ssf_scale")}
        shifts = [name for name in trained if name.endswith(".ssf_shift")]
        assert scales and len(scales) == len(shifts) == len(trained) // 2, sorted(trained)
        for name, values in scales.items():
            assert any(value != 1 for value in values), f"{name} was not trained"

        # Installed beside graft's own plugins it is found without a word.
        run(options.cmake, "--install", built)
        assert "org.example.scale_shift" in run(graft, "plugins", "scale_shift")
    print(f"loss {losses[0]:.4f} -> {losses[-1]:.4f} with {len(trained)} tensors trained")


main()
