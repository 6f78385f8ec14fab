"""Writes data/tensors/quantized.safetensors with bitsandbytes (0.50.2) on the CPU.

"values": a matrix with an outlier, zeros and a block of zeros. For nf4 and fp4 and sizes of
blocks "<type>.<block>[.nested].": codes, scales (and nested, offset), of some what they expand to.
"ties.*": codes of 8 bits of values between two places. "mean.*": means of vectors.
"tail.*": a number of elements that blocks do not divide. "codes8.*": the dynamic map of 8 bits.
"int8.*": rows of integers.
"""

import pathlib

import bitsandbytes.functional as functional
import torch
from safetensors.torch import save_file

OUT = pathlib.Path(__file__).resolve().parent / "data" / "tensors"


def four_bits(prefix, values, kind, block, nested, out):
    codes, state = functional.quantize_4bit(values, blocksize=block, quant_type=kind,
                                            compress_statistics=nested)
    out[f"{prefix}.codes"] = codes.reshape(-1)
    out[f"{prefix}.scales"] = state.absmax
    if block == 64 or nested:
        out[f"{prefix}.expanded"] = functional.dequantize_4bit(codes, state).reshape(values.shape)
    if nested:
        out[f"{prefix}.nested"] = state.state2.absmax
        out[f"{prefix}.offset"] = state.offset.reshape(1)


def ties(generator):
    """Blocks with a value half way between two of the 65536 places of the map, where rounding shows."""
    blocks = torch.rand(4000, 256, generator=generator) * 0.2 - 0.1
    places = (blocks * (1 / blocks.abs().amax(1, keepdim=True)) + 1) * 0.5 * 65535
    half = ((places - places.floor() == 0.5) & (places.floor() % 2 == 0)).any(1)
    codes, _ = functional.quantize_blockwise(blocks, blocksize=256)
    exact = functional.create_dynamic_map()
    even = torch.bucketize(places.round() / 65535 * 2 - 1, (exact[1:] + exact[:-1]) / 2)
    half &= (even != codes).any(1)
    return blocks[half].reshape(-1), codes[half].reshape(-1)


def main():
    torch.manual_seed(11)
    values = torch.randn(44, 192) * torch.linspace(0.01, 1.5, 44)[:, None]
    values[3, 5] = 40.0
    values[7, :96] = 0
    values[9, 10] = -0.0
    values[10, :128] = 0
    out = {"values": values}
    for kind in ("nf4", "fp4"):
        for block in (32, 64, 4096):
            four_bits(f"{kind}.{block}", values, kind, block, False, out)
    four_bits("nf4.32.nested", values, "nf4", 32, True, out)
    generator = torch.Generator().manual_seed(3)
    sizes = [1, 3, 7, 8, 31, 33, 255, 257, 511, 513, 2049, 13824]
    means = [torch.rand(n, generator=generator) * 0.1 for n in sizes]
    out["mean.sizes"] = torch.tensor(sizes, dtype=torch.int32)
    out["mean.values"] = torch.cat(means).half()
    out["mean.means"] = torch.stack([v.half().float().mean() for v in means])
    out["map"] = functional.create_dynamic_map()
    # One block alone, after it one that is short, the number of elements odd.
    tail = torch.randn(101)
    codes, scales = torch.ops.bitsandbytes.quantize_4bit(tail, 64, "nf4", torch.uint8)
    out["tail.values"], out["tail.codes"], out["tail.scales"] = tail, codes.reshape(-1), scales
    centred = torch.randn(600) * 0.3
    codes, state = functional.quantize_blockwise(centred, blocksize=256)
    out["codes8.values"], out["codes8.codes"], out["codes8.scales"] = centred, codes, state.absmax
    out["ties.values"], out["ties.codes"] = ties(generator)
    rows = values[:12]
    codes, scales, _ = functional.int8_vectorwise_quant(rows.clone())
    expanded = functional.int8_vectorwise_dequant(codes, scales)
    out["int8.codes"], out["int8.scales"], out["int8.expanded"] = codes, scales, expanded
    for kind in ("nf4", "fp4"):
        wrong = (out[f"{kind}.64.expanded"] - values).abs().mean() / values.abs().mean()
        print(f"{kind}: mean error {wrong:.4f} of the mean magnitude")
    save_file({name: t.contiguous() for name, t in out.items()}, OUT / "quantized.safetensors")


if __name__ == "__main__":
    main()
