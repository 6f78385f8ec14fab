"""Writes data/tensors/blocks.safetensors, encoded.safetensors and small.gguf with the `gguf` package (0.19.0).

blocks.safetensors: for each block format "<format>.blocks" (bytes) and "<format>.values" (what
gguf expands them to). encoded.safetensors: "values", and for each format that gguf writes "<format>.blocks". small.gguf: values of every type, tensors of a few types.
"""

import pathlib

import gguf
import numpy
from gguf import GGMLQuantizationType as Type
from safetensors.numpy import save_file

OUT = pathlib.Path(__file__).resolve().parent / "data" / "tensors"

# Where the f16 scales of a block lie.
FORMATS = {
    Type.Q4_0: [0], Type.Q4_1: [0, 2], Type.Q5_0: [0], Type.Q5_1: [0, 2], Type.Q8_0: [0],
    Type.IQ4_NL: [0], Type.Q2_K: [80, 82], Type.Q3_K: [108], Type.Q4_K: [0, 2],
    Type.Q5_K: [0, 2], Type.Q6_K: [208],
}
# Ordinary, negative, largest, smallest, largest subnormal, zeros, infinity, not a number.
SCALES = [0x2e66, 0xb1ec, 0x7bff, 0x0001, 0x03ff, 0x0000, 0x8000, 0x7c00, 0x7e01]


def blocks():
    random = numpy.random.default_rng(3)
    tensors = {}
    for kind, places in FORMATS.items():
        elements, size = gguf.GGML_QUANT_SIZES[kind]
        count = 12 if elements == 32 else 5
        data = random.integers(0, 256, (count, size), dtype=numpy.uint8)
        for row in range(1, count):  # the first block keeps its random scales
            for i, place in enumerate(places):
                scale = SCALES[(row - 1 + 4 * i) % len(SCALES)]
                data[row, place] = scale & 255
                data[row, place + 1] = scale >> 8
        name = kind.name.lower()
        tensors[f"{name}.blocks"] = data
        with numpy.errstate(all="ignore"):
            tensors[f"{name}.values"] = gguf.quants.dequantize(data, kind)
    save_file(tensors, OUT / "blocks.safetensors")


def encoded():
    random = numpy.random.default_rng(5)
    values = random.standard_normal((24, 96)).astype(numpy.float32)
    values *= numpy.float32(10) ** random.integers(-4, 3, (24, 1)).astype(numpy.float32)
    values[2, 32:64] = 0
    values[3, :32] = 0.37  # no range
    values[4, 5:9] = [7, -7, 7, -7]  # the first of equal magnitude
    values[5, :32] = numpy.arange(32) - 15.5  # places half way
    values[6, :32] = numpy.linspace(-1e-7, 1e-7, 32)
    values[7, 3] = 60000
    tensors = {"values": values}
    for kind in (Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1, Type.Q8_0):
        tensors[f"{kind.name.lower()}.blocks"] = gguf.quants.quantize(values, kind)
    save_file(tensors, OUT / "encoded.safetensors")


def small():
    writer = gguf.GGUFWriter(OUT / "small.gguf", "llama")
    writer.add_uint8("a.u8", 200)
    writer.add_int8("a.i8", -100)
    writer.add_uint16("a.u16", 60000)
    writer.add_int16("a.i16", -30000)
    writer.add_uint32("a.u32", 4000000000)
    writer.add_int32("a.i32", -2000000000)
    writer.add_uint64("a.u64", 1 << 40)
    writer.add_int64("a.i64", -(1 << 40))
    writer.add_float32("a.f32", 0.1)
    writer.add_float64("a.f64", 0.1)
    writer.add_bool("a.bool", True)
    writer.add_string("a.text", "h\u00e9llo")
    writer.add_array("a.texts", ["x", "", "\u20ac"])
    writer.add_array("a.integers", [-1, 2, 300])
    writer.add_array("a.floats", [0.5, -2.0])
    rows = numpy.arange(96, dtype=numpy.float32).reshape(3, 32)
    writer.add_tensor("f32", rows[:2, :3].copy())
    writer.add_tensor("f16", rows[:1, :5].astype(numpy.float16))
    for kind in (Type.BF16, Type.Q8_0):
        data = gguf.quants.quantize(rows, kind)
        writer.add_tensor(kind.name.lower(), data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    blocks()
    encoded()
    small()
