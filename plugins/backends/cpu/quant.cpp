// Quantized operands: products expand the matrix piece by piece right before it is multiplied.
#include "plugins/backends/cpu/quant.hpp"

#include <algorithm>
#include <graft/quant.hpp>

#include "plugins/backends/cpu/call.hpp"
#include "plugins/backends/cpu/products.hpp"

namespace graft_cpu {

namespace {

constexpr std::int64_t kPiece = 1 << 20;  // elements that are expanded at a time
constexpr std::int64_t kFewRows = 8;      // rows up to which blocks are multiplied as they lie

/// The columns of c that one piece is for.
std::int64_t piece_columns(const GemmCall& g) {
  const std::int64_t fit = kPiece / std::max<std::int64_t>(g.k, 1) / 256 * 256;
  return std::min(g.n, std::max<std::int64_t>(fit, 256));
}

std::uint64_t aligned(std::uint64_t bytes) {
  return (bytes + 255) / 256 * 256;
}

/// `g` with the first piece's matrix in the place of b, without data.
GemmCall piece_of(const GemmCall& g, bool transposed, Type type) {
  GemmCall piece = g;
  piece.n = piece_columns(g);
  piece.b_type = type;
  piece.b_row = transposed ? 1 : piece.n;
  piece.b_col = transposed ? g.k : 1;
  return piece;
}

/// What a piece is expanded to: what is multiplied in.
Type piece_type(const graft_device& device, const GemmCall& g) {
  return g.a_type == kBf16 && device.native_bf16 ? kBf16 : kF32;
}

}  // namespace

graft_status reads_blocks(graft_device*, const graft_kernel_args* args) {
  for (std::uint32_t i = 0; i < args->n_in; ++i) {
    const graft_quant* q = args->in[i].quant;
    if (q && (args->in[i].ndim != 2 || !graft::quant::consistent(q))) return GRAFT_UNSUPPORTED;
  }
  return GRAFT_OK;
}

Quantized::Quantized(const graft_view& view) : blocks(view.quant) {
  require(view.ndim == 2 && graft::quant::consistent(blocks),
          "a quantized operand is of no known format");
  format = graft::quant::format_of(blocks->format);
  transposed = graft::quant::is_transposed(blocks, view.shape, view.stride);
  require(view.shape[transposed] == blocks->rows && view.shape[!transposed] == blocks->columns,
          "a quantized operand has another shape than its blocks");
}

ExpandCall Quantized::all(const graft_device& device) const {
  ExpandCall e = {};
  e.threads = device.threads;
  e.blocks = blocks;
  e.format = format;
  e.rows = blocks->rows;
  e.columns = blocks->columns;
  return e;
}

std::uint64_t quantized_matmul_workspace(const graft_device& device, const GemmCall& g,
                                         const Quantized& b) {
  const Type type = piece_type(device, g);
  const GemmCall piece = piece_of(g, b.transposed, type);
  const std::uint64_t expanded =
      aligned(static_cast<std::uint64_t>(piece.k * piece.n) * (type == kF32 ? 4 : 2));
  GemmCall few = g;
  few.m = std::min(g.m, kFewRows);
  const GemmCall rest = device.products->leaves(piece);
  return std::max(
      expanded + std::max(device.isa->gemm_workspace(&rest), device.products->scratch_bytes(piece)),
      device.quant->dot_blocks_workspace(&few));
}

void quantized_matmul(Call& call, GemmCall g, const Quantized& b) {
  if (b.transposed && g.m <= kFewRows) {
    g.workspace = call.workspace(call.device.quant->dot_blocks_workspace(&g));
    return call.device.quant->dot_blocks(&g, b.blocks, b.format);
  }
  const Type type = piece_type(call.device, g);
  const GemmCall first = piece_of(g, b.transposed, type);
  const std::uint64_t expanded =
      aligned(static_cast<std::uint64_t>(first.k * first.n) * (type == kF32 ? 4 : 2));
  const GemmCall rest = call.device.products->leaves(first);
  const std::uint64_t beside = call.isa().gemm_workspace(&rest);
  auto* memory = static_cast<char*>(call.workspace(expanded + beside));
  const std::uint64_t room = std::max(call.args.workspace_size, expanded + beside) - expanded;
  Products& products = *call.device.products;
  for (std::int64_t j = 0; j < g.n; j += first.n) {
    GemmCall piece = first;
    piece.n = std::min(first.n, g.n - j);
    if (!b.transposed) piece.b_row = piece.n;
    ExpandCall e = b.all(call.device);
    e.type = type;
    e.out = memory;
    if (b.transposed) {
      e.first_row = j;
      e.rows = piece.n;
    } else {
      e.first_column = j;
      e.columns = piece.n;
    }
    e.out_row = e.columns;
    call.device.quant->expand_blocks(&e);
    piece.b = memory;
    piece.c = static_cast<char*>(g.c) + j * (g.c_type == kF32 ? 4 : 2);
    if (g.bias) piece.bias = static_cast<const char*>(g.bias) + j * (g.a_type == kF32 ? 4 : 2);
    const auto own = [&](const GemmCall& part) {
      GemmCall one = part;
      const std::uint64_t bytes = call.isa().gemm_workspace(&one);
      one.workspace = bytes <= room ? memory + expanded : call.memory(bytes);
      call.isa().gemm(&one);
    };
    if (!products.takes(piece)) {
      own(piece);
      continue;
    }
    products.run(
        piece,
        [&](std::uint64_t bytes) { return bytes <= room ? memory + expanded : call.memory(bytes); },
        own);
  }
}

void copy_quantized(Call& call) {
  const Quantized x(call.args.in[0]);
  graft_view y = call.args.out[0];
  require(y.ndim == 2 && gb::same_shape(call.args.in[0], y), "copy: x and y differ in shape");
  if (x.transposed) {
    std::swap(y.shape[0], y.shape[1]);
    std::swap(y.stride[0], y.stride[1]);
  }
  expand_to(call, x.all(call.device), y, call.accumulates());
}

void expand_to(Call& call, ExpandCall e, const graft_view& y, bool accumulate) {
  const bool direct = !accumulate && (y.dtype == GRAFT_F32 || y.dtype == GRAFT_BF16);
  if (direct && last_axis_dense(y)) {
    e.type = float_type(y);
    e.out = y.data;
    e.out_row = y.stride[0];
    return call.device.quant->expand_blocks(&e);
  }
  // By way of rows in f32.
  const std::int64_t rows =
      std::max<std::int64_t>(1, kPiece / std::max<std::int64_t>(e.columns, 1));
  graft_view x = y;
  x.dtype = GRAFT_F32;
  x.stride[0] = e.columns;
  x.stride[1] = 1;
  x.data = call.memory(static_cast<std::uint64_t>(std::min(rows, e.rows) * e.columns) * 4);
  e.type = kF32;
  e.out = x.data;
  e.out_row = e.columns;
  for (std::int64_t r = 0; r < y.shape[0]; r += rows) {
    ExpandCall part = e;
    part.rows = x.shape[0] = std::min(rows, y.shape[0] - r);
    if (part.ids)
      part.ids += r;
    else
      part.first_row += r;
    call.device.quant->expand_blocks(&part);
    graft_view to = y;
    to.shape[0] = part.rows;
    to.data = static_cast<char*>(y.data) +
              r * y.stride[0] * static_cast<std::int64_t>(gb::dtype_bytes(y.dtype));
    copy_view(call.device, x, to, accumulate);
  }
}

}  // namespace graft_cpu
