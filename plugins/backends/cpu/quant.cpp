// Quantized operands: products expand the matrix piece by piece right before it is multiplied.
#include "plugins/backends/cpu/quant.hpp"

#include <algorithm>
#include <graft/quant.hpp>

#include "plugins/backends/cpu/call.hpp"
#include "plugins/backends/cpu/products.hpp"

namespace graft_cpu {

namespace {

constexpr std::int64_t kPiece = 1 << 20;  // elements that are expanded at a time
constexpr std::int64_t kDeep = 1 << 14;   // rows of b above which not all are expanded at a time
constexpr std::int64_t kLeastDepth = 1024;
constexpr std::int64_t kFewRows = 8;  // rows up to which blocks are multiplied as they lie

/// What is expanded at a time: `depth` rows and `columns` columns of b.
struct Cut {
  std::int64_t depth, columns;
};

/// All of a column of b, but where that is long and lies across the blocks' rows (the way back through
/// a head): the products of its pieces are then added up.
Cut cut_of(const GemmCall& g, bool transposed) {
  const auto whole = [](std::int64_t n) { return n / 256 * 256; };
  if (transposed || g.k <= kDeep) {
    const std::int64_t fit = whole(kPiece / std::max<std::int64_t>(g.k, 1));
    return {g.k, std::min(g.n, std::max<std::int64_t>(fit, 256))};
  }
  const std::int64_t depth = std::max(whole(kPiece / std::max<std::int64_t>(g.n, 1)), kLeastDepth);
  return {std::min(g.k, depth),
          std::min(g.n, std::max<std::int64_t>(whole(kDeep * 256 / depth), 256))};
}

std::uint64_t aligned(std::uint64_t bytes) {
  return (bytes + 255) / 256 * 256;
}

/// `g` with the first piece's matrix in the place of b, without data.
GemmCall piece_of(const GemmCall& g, const Cut& cut, bool transposed, Type type) {
  GemmCall piece = g;
  piece.n = cut.columns;
  piece.k = cut.depth;
  piece.b_type = type;
  piece.b_row = transposed ? 1 : piece.n;
  piece.b_col = transposed ? g.k : 1;
  if (cut.depth < g.k) piece.c_type = kF32;
  return piece;
}

/// Sums of several pieces' products, in f32.
std::uint64_t sums_bytes(const GemmCall& g, const GemmCall& piece) {
  return piece.c_type == g.c_type ? 0 : aligned(static_cast<std::uint64_t>(g.m * piece.n) * 4);
}

std::int64_t bytes_of(Type type) {
  return type == kF32 ? 4 : 2;
}

/// What a piece is expanded to: what is multiplied in.
Type piece_type(const graft_device& device, const GemmCall& g) {
  return g.a_type == kBf16 && device.native_bf16 ? kBf16 : kF32;
}

std::uint64_t expanded_bytes(const GemmCall& piece) {
  return aligned(static_cast<std::uint64_t>(piece.k * piece.n * bytes_of(piece.b_type)));
}

/// c = (or +=) the sums of a piece.
void store_sums(const Call& call, const GemmCall& g, const GemmCall& piece, void* c) {
  ElementCall rows = {};
  rows.threads = g.threads;
  rows.nest.ndim = 1;
  rows.nest.count = rows.nest.extent[0] = g.m;
  rows.nest.stride[0][0] = piece.c_row;
  rows.nest.stride[0][1] = g.c_row;
  rows.length = piece.n;
  rows.step[0] = rows.step[1] = 1;
  rows.data[0] = piece.c;
  rows.data[1] = c;
  call.isa().convert(&rows, kF32, g.c_type, g.accumulate);
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
  const GemmCall piece = piece_of(g, cut_of(g, b.transposed), b.transposed, type);
  GemmCall few = g;
  few.m = std::min(g.m, kFewRows);
  const GemmCall rest = device.products->leaves(piece);
  return std::max(
      expanded_bytes(piece) + sums_bytes(g, piece) +
          std::max(device.isa->gemm_workspace(&rest), device.products->scratch_bytes(piece)),
      device.quant->dot_blocks_workspace(&few));
}

void quantized_matmul(Call& call, GemmCall g, const Quantized& b) {
  if (b.transposed && g.m <= kFewRows) {
    g.workspace = call.workspace(call.device.quant->dot_blocks_workspace(&g));
    return call.device.quant->dot_blocks(&g, b.blocks, b.format);
  }
  const Cut cut = cut_of(g, b.transposed);
  const GemmCall first = piece_of(g, cut, b.transposed, piece_type(call.device, g));
  const std::uint64_t own_bytes = expanded_bytes(first) + sums_bytes(g, first);
  const GemmCall rest = call.device.products->leaves(first);
  const std::uint64_t beside = call.isa().gemm_workspace(&rest);
  auto* memory = static_cast<char*>(call.workspace(own_bytes + beside));
  const std::uint64_t room = std::max(call.args.workspace_size, own_bytes + beside) - own_bytes;
  const auto scratch = [&](std::uint64_t bytes) {
    return bytes <= room ? memory + own_bytes : call.memory(bytes);
  };
  const auto own = [&](const GemmCall& part) {
    GemmCall one = part;
    one.workspace = scratch(call.isa().gemm_workspace(&one));
    call.isa().gemm(&one);
  };
  Products& products = *call.device.products;
  for (std::int64_t j = 0; j < g.n; j += cut.columns) {
    GemmCall piece = first;
    piece.n = std::min(cut.columns, g.n - j);
    if (!b.transposed) piece.b_row = piece.n;
    char* const c = static_cast<char*>(g.c) + j * bytes_of(g.c_type);
    piece.c = c;
    if (sums_bytes(g, first) > 0) {
      piece.c = memory + expanded_bytes(first);
      piece.c_row = piece.n;
      piece.accumulate = 0;
    }
    if (g.bias) piece.bias = static_cast<const char*>(g.bias) + j * bytes_of(g.a_type);
    for (std::int64_t l = 0; l < g.k; l += cut.depth) {
      piece.k = std::min(cut.depth, g.k - l);
      piece.a = static_cast<const char*>(g.a) + l * g.a_col * bytes_of(g.a_type);
      ExpandCall e = b.all(call.device);
      e.type = first.b_type;
      e.out = memory;
      e.first_row = b.transposed ? j : l;
      e.rows = b.transposed ? piece.n : piece.k;
      e.first_column = b.transposed ? 0 : j;
      e.columns = b.transposed ? g.k : piece.n;
      e.out_row = e.columns;
      call.device.quant->expand_blocks(&e);
      piece.b = memory;
      if (products.takes(piece))
        products.run(piece, scratch, own);
      else
        own(piece);
      piece.accumulate = 1;
      piece.bias = nullptr;
    }
    if (piece.c != c) store_sums(call, g, piece, c);
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
