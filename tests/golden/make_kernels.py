"""Makes data/kernels.json: every kernel of the backend contract, computed by torch in float64,
and the few that say where bf16 rounds.

    python tests/golden/make_kernels.py

Backward kernels come from torch's autograd of the forward formula, so no derivative of graft is
repeated here. Dropout's random words are written out from the paper's formula; its published
vectors are in tests/conform/backend_test.cpp.
Needs torch; the test that reads the file needs none.
"""

import json
import math
import pathlib

import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)
GENERATOR = torch.Generator().manual_seed(7)
CASES = []


def rand(*shape, low=-2.0, high=2.0):
    x = torch.rand(shape, generator=GENERATOR) * (high - low) + low
    return x.round(decimals=2)  # few digits in the file


def grad(*shape, **limits):
    return rand(*shape, **limits).requires_grad_()


def ids(*values):
    return torch.tensor(values, dtype=torch.int32)


def operand(tensor):
    tensor = tensor.detach()
    kind = {torch.int32: "i32", torch.float64: "f64", torch.float32: "f32",
            torch.bfloat16: "bf16"}[tensor.dtype]
    return {"type": kind, "shape": list(tensor.shape), "values": tensor.flatten().tolist()}


def case(kernel, inputs, outputs, before=None, **attrs):
    CASES.append({
        "kernel": kernel,
        "attrs": attrs,
        "in": [operand(x) for x in inputs],
        "out": [operand(y) for y in outputs],
        "before": [operand(x) for x in before] if before else [],
    })


def elementwise():
    a, b = rand(3, 5), rand(3, 5, low=0.5)
    case("add/1", [a, b], [a + b])
    case("sub/1", [a, b], [a - b])
    case("mul/1", [a, b], [a * b])
    case("div/1", [a, b], [a / b])
    case("affine/1", [a], [a * -0.7 + 0.3], mul=-0.7, add=0.3)
    case("copy/1", [a], [a + b], before=[b], accumulate=1)
    case("fill/1", [], [torch.full((2, 3), -1.5)], value=-1.5)
    acts = {
        1: torch.relu, 2: F.gelu, 3: lambda x: F.gelu(x, approximate="tanh"), 4: F.silu,
        5: torch.tanh, 6: torch.sigmoid, 7: torch.exp, 8: torch.sqrt, 9: torch.abs, 10: torch.sign,
    }
    for kind, function in acts.items():
        x = grad(23, low=0.1 if kind == 8 else -3, high=3)
        dy = rand(23)
        y = function(x)
        y.backward(dy)
        case("act/1", [x], [y], kind=kind)
        case("act_bwd/1", [dy, x], [x.grad], kind=kind)


def products():
    a, b, bias, before = rand(2, 3, 4), rand(2, 4, 5), rand(5), rand(2, 3, 5)
    case("matmul/1", [a, b, bias], [0.7 * a @ b + bias], alpha=0.7)
    case("matmul/1", [a, b, bias], [before + 0.7 * a @ b + bias], before=[before], alpha=0.7,
         accumulate=1)
    wide = rand(2, 3), rand(3, 259), rand(259)
    case("matmul/1", list(wide), [wide[0] @ wide[1] + wide[2]], alpha=1.0)
    heads = rand(2, 2, 3, 4), rand(2, 2, 4, 3)
    case("matmul/1", list(heads), [0.3 * heads[0] @ heads[1]], alpha=0.3)
    x, before = rand(3, 4, 5), rand(1, 4, 1)
    case("reduce_sum/1", [x], [x.sum((0, 2), keepdim=True)])
    case("reduce_sum/1", [x], [before + x.sum((0, 2), keepdim=True)], before=[before], accumulate=1)
    case("reduce_sum/1", [x], [x.sum(1, keepdim=True)])


def norms():
    x, dy = grad(4, 7, low=-6), rand(4, 7)
    y = torch.softmax(x, -1)
    y.backward(dy)
    case("softmax/1", [x], [y])
    case("softmax_bwd/1", [dy, y], [x.grad])
    eps = 0.02
    for kind in (0, 1):
        x, w, b, dy = grad(4, 7), grad(7), grad(7), rand(4, 7)
        if kind == 0:
            y = F.rms_norm(x, (7,), w, eps)
            case("norm/1", [x, w], [y], kind=kind, eps=eps)
            case("norm/1", [x, w, b], [y + b], kind=kind, eps=eps)
            y.backward(dy)
            case("norm_bwd_weight/1", [dy, x], [w.grad], kind=kind, eps=eps)
        else:
            y = F.layer_norm(x, (7,), w, b, eps)
            case("norm/1", [x, w, b], [y], kind=kind, eps=eps)
            case("norm/1", [x, w], [y - b], kind=kind, eps=eps)
            y.backward(dy)
            before = rand(7), rand(7)
            case("norm_bwd_weight/1", [dy, x], [w.grad + before[0], b.grad + before[1]],
                 before=before, kind=kind, eps=eps, accumulate=1)
        case("norm_bwd/1", [dy, x, w], [x.grad], kind=kind, eps=eps)
        r = rand(4, 7)
        s = x + r
        y = F.rms_norm(s, (7,), w, eps) if kind == 0 else F.layer_norm(s, (7,), w, None, eps)
        case("add_norm/1", [x, r, w], [s, y], kind=kind, eps=eps)


def rotations():
    """transformers' rotate_half: x cos + [-x2, x1] sin, cos and sin repeated for both halves."""
    rows, heads, dim, rotary, scale = 4, 2, 10, 6, 1.25
    x, dy = grad(rows, heads, dim), rand(rows, heads, dim)
    positions = ids(0, 3, 700, 11)
    inv_freq = 100.0 ** (-torch.arange(0, rotary, 2) / rotary)
    inv_freq = inv_freq.float()  # as the kernel takes it
    angles = positions.double()[:, None, None] * inv_freq.double()
    angles = torch.cat((angles, angles), -1)
    part, rest = x[..., :rotary], x[..., rotary:]
    half = torch.cat((-part[..., rotary // 2:], part[..., :rotary // 2]), -1)
    y = torch.cat((scale * (part * angles.cos() + half * angles.sin()), rest), -1)
    y.backward(dy)
    case("rope/1", [x, positions, inv_freq], [y], scale=scale, inverse=0)
    case("rope/1", [dy, positions, inv_freq], [x.grad], scale=scale, inverse=1)


def rows():
    table, x, picked = rand(5, 3, 2), rand(4, 3, 2), ids(3, 0, 3, 4)
    case("gather/1", [table, picked], [table[picked.long()]])
    case("scatter_add/1", [x, picked], [torch.zeros_like(table).index_add(0, picked, x)])
    case("scatter_add/1", [x, picked], [table.index_add(0, picked, x)], before=[table],
         accumulate=1)
    once = ids(4, 1, 0, 2)
    case("write_rows/1", [x, once], [table.index_copy(0, once.long(), x)], before=[table])


def losses():
    logits, dloss = grad(5, 9, low=-5), rand(5)
    labels = ids(3, -100, 0, 8, -1)
    loss = F.cross_entropy(logits, labels.long().clamp(min=-1), reduction="none", ignore_index=-1)
    lse = logits.logsumexp(-1)
    loss.backward(dloss)
    case("cross_entropy/1", [logits, labels], [loss, lse])
    case("cross_entropy_bwd/1", [logits, labels, lse, dloss], [logits.grad])


def philox(counter, key):
    counter, key = list(counter), list(key)
    for _ in range(10):
        p0, p1 = 0xD2511F53 * counter[0], 0xCD9E8D57 * counter[2]
        counter = [(p1 >> 32) ^ counter[1] ^ key[0], p1 & 0xFFFFFFFF,
                   (p0 >> 32) ^ counter[3] ^ key[1], p0 & 0xFFFFFFFF]
        key = [(key[0] + 0x9E3779B9) & 0xFFFFFFFF, (key[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return counter


def dropout():
    p, stream = 0.4, 3000000000
    x, keys, seed = rand(3, 2, 5), ids(7, -1, 8, -2, 1 << 30, 9).reshape(3, 2), ids(-123, 456)
    y = x.clone().reshape(3, 10)
    word = [[int(v) & 0xFFFFFFFF for v in row] for row in keys]
    key = [int(v) & 0xFFFFFFFF for v in seed]
    for r in range(3):
        for e in range(10):
            bits = philox((e // 4, *word[r], stream), key)[e % 4]
            y[r, e] = y[r, e] / (1 - p) if bits >= math.floor(p * 2**32) else 0
    case("dropout/1", [x, keys, seed], [y.reshape(3, 2, 5)], p=p, stream=stream)
    # Bits equal to the threshold are kept.
    bits = philox((0, 5, 6, 0), (7, 8))[0]
    x, p = rand(1, 1, low=1), bits / 2**32
    case("dropout/1", [x, ids(5, 6).reshape(1, 2), ids(7, 8)], [x / (1 - p)], p=p, stream=0)


def attend(causal, window, softcap, sequences, krows, heads=4, kv_heads=2, d=6, dv=5, scale=0.45):
    """One query after the other, as a masked softmax over the keys of its sequence."""
    count = sum(n for n, _, _ in sequences)
    q, k, v = grad(count, heads, d), grad(krows, kv_heads, d), grad(krows, kv_heads, dv)
    outs, lses, row = [], [], 0
    for n, begin, length in sequences:
        keys = k[begin:begin + length].repeat_interleave(heads // kv_heads, 1)
        values = v[begin:begin + length].repeat_interleave(heads // kv_heads, 1)
        scores = torch.einsum("qhd,khd->hqk", q[row:row + n], keys) * scale
        if softcap:
            scores = softcap * torch.tanh(scores / softcap)
        position = torch.arange(length - n, length)[:, None]
        key = torch.arange(length)[None, :]
        hidden = torch.zeros(n, length, dtype=torch.bool)
        if causal:
            hidden |= key > position
        if window:
            hidden |= key <= position - window
        scores = scores.masked_fill(hidden, -math.inf)
        outs.append(torch.einsum("hqk,khd->qhd", torch.softmax(scores, -1), values))
        lses.append(scores.logsumexp(-1).T)
        row += n
    o, lse = torch.cat(outs), torch.cat(lses)
    do = rand(*o.shape)
    o.backward(do)
    cu_q = [0]
    for n, _, _ in sequences:
        cu_q.append(cu_q[-1] + n)
    lengths = [ids(*cu_q), ids(*(b for _, b, _ in sequences)), ids(*(n for _, _, n in sequences))]
    attrs = dict(scale=scale, causal=causal, window=window, softcap=float(softcap))
    case("attention/1", [q, k, v, *lengths], [o, lse], **attrs)
    case("attention_bwd/1", [do, q, k, v, o, lse, *lengths], [q.grad, k.grad, v.grad], **attrs)


def attentions():
    documents = [(1, 0, 1), (4, 1, 4), (3, 5, 3)]
    shared = [(2, 1, 6), (3, 8, 3), (1, 2, 5)]  # keys before the queries, keys of nobody, shared keys
    attend(1, 0, 0, documents, 8)
    attend(0, 0, 0, documents, 8)
    attend(1, 2, 0, documents, 8)
    attend(0, 3, 1.5, documents, 8)
    attend(1, 0, 1.5, shared, 12)
    attend(1, 3, 0, shared, 12, heads=3, kv_heads=1)


def fused():
    gate, up, dy = grad(3, 5), grad(3, 5), rand(3, 5)
    y = F.silu(gate) * up
    y.backward(dy)
    case("swiglu/1", [gate, up], [y])
    case("swiglu_bwd/1", [dy, gate, up], [gate.grad, up.grad])
    # Three steps of torch.optim.AdamW; the last is the case.
    lr, decay, betas, eps = 0.03, 0.1, (0.85, 0.95), 1e-3
    parameter = grad(9)
    optimizer = torch.optim.AdamW([parameter], lr=lr, betas=betas, eps=eps, weight_decay=decay)
    for step in (1, 2, 3):
        parameter.grad = rand(9)
        before = [parameter.detach().clone()] + [
            optimizer.state[parameter][name].clone() for name in ("exp_avg", "exp_avg_sq")
            if step > 1]
        optimizer.step()
    state = optimizer.state[parameter]
    scalars = [torch.tensor([1 - lr * decay]), torch.tensor([lr / (1 - betas[0]**3)]),
               torch.tensor([1 / math.sqrt(1 - betas[1]**3)])]
    case("adam_update/1", [parameter.grad, *scalars],
         [parameter, state["exp_avg"], state["exp_avg_sq"]], before=before, beta1=betas[0],
         beta2=betas[1], eps=eps)
    x = rand(37)
    case("sum_squares/1", [x], [(x * x).sum().reshape(1)])


def rounded():
    """bf16, where a line of the contract says what is rounded: exact in f64, rounded there alone."""
    bf16, eps = torch.bfloat16, 0.02
    x, r, dy = (rand(3, 64).to(bf16) for _ in range(3))
    w = rand(64).to(bf16)

    def rms(values):
        values = values.double()
        hat = (values * (values.square().mean(-1, keepdim=True) + eps).rsqrt()).to(bf16)
        return hat, (hat.double() * w.double()).to(bf16)

    hat, y = rms(x)
    case("norm/1", [x, w], [y], kind=0, eps=eps)
    case("norm_bwd_weight/1", [dy, x], [(dy.double() * hat.double()).sum(0).float()], kind=0,
         eps=eps)
    s = (x.double() + r.double()).to(bf16)
    case("add_norm/1", [x, r, w], [s, rms(s)[1]], kind=0, eps=eps)
    x, positions = rand(3, 2, 16).to(bf16), ids(1, 30, 777)
    inv_freq = (100.0 ** (-torch.arange(0, 16, 2) / 16)).float()
    angles = positions.float()[:, None, None] * inv_freq
    cos, sin = angles.cos().to(bf16).double(), angles.sin().to(bf16).double()
    a, b = x.double().chunk(2, -1)
    y = torch.cat((a * cos - b * sin, b * cos + a * sin), -1).to(bf16)
    case("rope/1", [x, positions, inv_freq], [y], scale=1.0, inverse=0)


def small():
    b, upper = 4, rand(3, 6)
    rows, columns = torch.triu_indices(b, b, 1)
    square = torch.zeros(3, b, b)
    square[:, rows, columns] = upper
    skewed = square - square.mT
    case("skew/1", [upper], [skewed])
    y = rand(3, b, b)
    case("unskew/1", [y], [(y - y.mT)[:, rows, columns]])
    x = rand(3, b, b)
    tall = rand(2, 5, 3)
    tall[1, :, 2] = tall[1, :, 0] - 2 * tall[1, :, 1]  # depends on the others: a unit vector instead
    made = torch.linalg.qr(tall.double())
    q = made.Q * made.R.diagonal(dim1=1, dim2=2).sign()[:, None]
    rest = torch.eye(5, dtype=torch.float64)
    rest = rest - q[1, :, :2] @ q[1, :, :2].T @ rest
    sizes = rest.square().sum(0)
    at = next((i for i in range(5) if sizes[i] >= 0.5), int(sizes.argmax()))
    q[1, :, 2] = rest[:, at] / rest[:, at].norm()
    case("orthonormal/1", [tall], [q.float()])
    case("inverse/1", [x], [torch.linalg.inv(x.double() + 0.7 * torch.eye(b)).float()], shift=0.7)


if __name__ == "__main__":
    for part in (elementwise, products, norms, rotations, rows, losses, dropout, attentions, fused,
                 rounded, small):
        part()
    path = pathlib.Path(__file__).resolve().parent / "data" / "kernels.json"
    path.write_text("[\n" + ",\n".join(json.dumps(one) for one in CASES) + "\n]\n")
    print(f"{path}: {len(CASES)} cases")
