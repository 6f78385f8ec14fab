"""Writes data/tensors/mixed.safetensors with Python's own `safetensors` package."""

import pathlib

import numpy
from safetensors.numpy import save_file

OUT = pathlib.Path(__file__).resolve().parent / "data" / "tensors"


def raw(text, dtype, shape):
    return numpy.frombuffer(text, dtype).reshape(shape)


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    save_file({
        "d": raw(b"\x07", numpy.uint8, ()),
        'b"\n/\x01': raw(b"abcdefgh", numpy.float32, (2, 1)),
        "a": raw(b"ij", numpy.float16, (1,)),
        "aa": raw(b"kl", numpy.float16, (1, 1)),
        "c\u00e9": raw(b"", numpy.int64, (0, 4)),
    }, OUT / "mixed.safetensors", metadata={"format": "pt"})


if __name__ == "__main__":
    main()
