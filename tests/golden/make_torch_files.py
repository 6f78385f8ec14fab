#!/usr/bin/env python3
"""Makes data/tensors/torch.bin, torch-protocol4.bin and torch-state.bin: dicts of tensors as torch.save writes them.

Run with torch installed. The tests of core/tensor/torch_file read them.
"""

import collections
import pathlib

import torch

FOLDER = pathlib.Path(__file__).resolve().parent / "data" / "tensors"


def numbers(*shape, dtype=torch.float32):
    return (torch.arange(1, 1 + torch.Size(shape).numel()).reshape(shape) * 0.5).to(dtype)


def main():
    base = numbers(3, 4)
    tensors = {
        "plain": numbers(2, 3), "scalar": numbers(), "empty": numbers(0, 4), "half": numbers(3, dtype=torch.float16),
        "brain": numbers(3, dtype=torch.bfloat16), "double": numbers(2, dtype=torch.float64),
        "long": torch.tensor([1 << 40, -2]), "bool": torch.tensor([True, False]), "base": base,
        "transposed": base.T, "part": base[1:, 1:3], "parameter": torch.nn.Parameter(numbers(2, 2)),
    }
    torch.save(tensors, FOLDER / "torch.bin")
    torch.save(tensors, FOLDER / "torch-protocol4.bin", pickle_protocol=4)
    layer = torch.nn.Linear(2, 3)
    with torch.no_grad():
        layer.weight.copy_(numbers(3, 2))
        layer.bias.copy_(numbers(3))
    state = layer.state_dict()
    assert isinstance(state, collections.OrderedDict) and hasattr(state, "_metadata")
    torch.save(state, FOLDER / "torch-state.bin")


if __name__ == "__main__":
    main()
