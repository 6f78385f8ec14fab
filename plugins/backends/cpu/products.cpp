#include "plugins/backends/cpu/products.hpp"

#ifdef _OPENMP
#include <omp.h>
#endif

#include <algorithm>
#include <bit>
#include <cstring>

namespace graft_cpu {

namespace {

constexpr std::size_t kMostEntries = 512;
constexpr std::int64_t kSmallProduct = 65536;  ///< multiplications that are not worth a primitive

/// oneDNN takes its number of threads from the calling thread's OpenMP setting.
class Threads {
 public:
#ifdef _OPENMP
  explicit Threads(int n) : before_(omp_get_max_threads()) {
    omp_set_num_threads(n);
  }
  ~Threads() {
    omp_set_num_threads(before_);
  }
#else
  explicit Threads(int) {}
  ~Threads() {}
#endif
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

 private:
  [[maybe_unused]] int before_ = 0;
};

dnnl::memory::data_type onednn_type(Type type) {
  return type == kBf16 ? dnnl::memory::data_type::bf16 : dnnl::memory::data_type::f32;
}

std::int64_t type_bytes(Type type) {
  return type == kF32 ? 4 : 2;
}

/// One axis dense, the other's stride not smaller than a line.
bool plain(std::int64_t rows, std::int64_t row, std::int64_t cols, std::int64_t col) {
  return (col == 1 && row >= cols) || (row == 1 && col >= rows);
}

/// A weight's gradient: the sum runs over the rows of both operands.
bool sums_over_rows(const GemmCall& c) {
  return c.a_row == 1 && c.a_col != 1;
}

/// The largest of the extents that get a primitive of their own, at most n; 0 below 16.
std::int64_t largest_piece(std::int64_t n) {
  for (std::int64_t piece = 2048; piece >= 16; piece /= 2)
    if (piece <= n) return piece;
  return 0;
}

void* moved(const void* data, std::int64_t elements, Type type) {
  return const_cast<char*>(static_cast<const char*>(data) + elements * type_bytes(type));
}

}  // namespace

Products::Products(Isa isa, int threads, bool native_bf16)
    : isa_(isa),
      threads_(threads),
      native_bf16_(native_bf16),
      engine_(dnnl::engine::kind::cpu, 0),
      stream_(engine_) {}

bool Products::takes(const GemmCall& c) const {
  const bool f32 = c.a_type == kF32 && c.b_type == kF32 && c.c_type == kF32;
  const bool bf16 = native_bf16_ && c.a_type == kBf16 && c.b_type == kBf16;
  if (!f32 && !bf16) return false;
  if (!plain(c.m, c.a_row, c.k, c.a_col) || !plain(c.k, c.b_row, c.n, c.b_col)) return false;
  if (c.c_col != 1 || c.c_row < c.n) return false;
  if (c.bias && c.alpha != 1) return false;  // a bias is added before anything is scaled
  if (c.m <= 8 || c.m * c.n * c.k < kSmallProduct) return false;
  // Where oneDNN copies all of a wide transposed operand for a few rows, reading it once is faster.
  return !(isa_ != Isa::kAvx512 && c.b_row == 1 && c.n > 16 * c.m);
}

Products::Entry& Products::entry_of(const GemmCall& c) {
  const Key key = {c.m,
                   c.n,
                   c.k,
                   c.a_row,
                   c.a_col,
                   c.b_row,
                   c.b_col,
                   c.c_row,
                   c.a_type | c.c_type << 8 | (c.bias != nullptr) << 16 | c.accumulate << 17,
                   std::bit_cast<std::int32_t>(c.alpha)};
  const auto found = entries_.find(key);
  if (found != entries_.end()) {
    found->second.used = ++clock_;
    return found->second;
  }
  if (entries_.size() >= kMostEntries) {
    const auto oldest = std::min_element(
        entries_.begin(), entries_.end(),
        [](const auto& a, const auto& b) { return a.second.used < b.second.used; });
    entries_.erase(oldest);
  }
  Entry entry;
  entry.a = {{c.m, c.k}, onednn_type(c.a_type), {c.a_row, c.a_col}};
  entry.b = {{c.k, c.n}, onednn_type(c.b_type), {c.b_row, c.b_col}};
  entry.c = {{c.m, c.n}, onednn_type(c.c_type), {c.c_row, 1}};
  if (c.bias) entry.bias = {{1, c.n}, onednn_type(c.a_type), {c.n, 1}};
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  dnnl::post_ops after;
  if (c.alpha != 1) after.append_eltwise(dnnl::algorithm::eltwise_linear, c.alpha, 0);
  if (c.accumulate) after.append_sum(1);
  attr.set_post_ops(after);
  const auto made =
      c.bias
          ? dnnl::matmul::primitive_desc(engine_, entry.a, entry.b, entry.bias, entry.c, attr, true)
          : dnnl::matmul::primitive_desc(engine_, entry.a, entry.b, entry.c, attr, true);
  if (made && std::strncmp(made.impl_info_str(), "ref", 3) != 0) {
    entry.scratch = made.scratchpad_desc();
    entry.primitive = dnnl::matmul(made);
  }
  entry.used = ++clock_;
  return entries_.emplace(key, std::move(entry)).first->second;
}

std::uint64_t Products::scratch_bytes(const GemmCall& c) {
  if (!takes(c)) return 0;
  const Threads threads(threads_);
  GemmCall piece = c;
  if (isa_ == Isa::kAvx512 && c.m > 64 && !sums_over_rows(c)) piece.m = largest_piece(c.m);
  if (isa_ == Isa::kAvx512 && c.k > 64 && sums_over_rows(c)) piece.k = largest_piece(c.k);
  const Entry& entry = entry_of(piece);
  return entry.primitive ? entry.scratch.get_size() : 0;
}

GemmCall Products::leaves(const GemmCall& c) {
  if (!takes(c)) return c;
  {
    const Threads threads(threads_);
    if (!entry_of(c).primitive) return c;
  }
  GemmCall rest = c;
  const bool over_rows = sums_over_rows(c);
  std::int64_t& extent = over_rows ? rest.k : rest.m;
  const std::int64_t others = over_rows ? c.m * c.n : c.n * c.k;
  std::int64_t most = std::max<std::int64_t>(15, kSmallProduct / others);
  if (!over_rows && isa_ != Isa::kAvx512 && c.b_row == 1) most = std::max(most, (c.n - 1) / 16);
  extent = std::min(extent, most);
  return rest;
}

void Products::run_whole(const GemmCall& c, const Memory& scratch, const Own& own) {
  Entry& entry = entry_of(c);
  if (!entry.primitive) return own(c);
  const auto memory = [&](const dnnl::memory::desc& desc, const void* data) {
    return dnnl::memory(desc, engine_, const_cast<void*>(data));
  };
  std::unordered_map<int, dnnl::memory> arguments = {{DNNL_ARG_SRC, memory(entry.a, c.a)},
                                                     {DNNL_ARG_WEIGHTS, memory(entry.b, c.b)},
                                                     {DNNL_ARG_DST, memory(entry.c, c.c)}};
  if (c.bias) arguments.emplace(DNNL_ARG_BIAS, memory(entry.bias, c.bias));
  if (entry.scratch.get_size() > 0)
    arguments.emplace(DNNL_ARG_SCRATCHPAD,
                      memory(entry.scratch, scratch(entry.scratch.get_size())));
  entry.primitive.execute(stream_, arguments);
  stream_.wait();
}

/// With AVX-512 a primitive is code of its own, and rows differ in number from call to call: they
/// are cut into pieces of a few fixed sizes. Elsewhere all shapes share their code.
void Products::run(const GemmCall& c, const Memory& scratch, const Own& own) {
  const Threads threads(threads_);
  const bool over_rows = sums_over_rows(c);
  const std::int64_t extent = over_rows ? c.k : c.m;
  if (isa_ != Isa::kAvx512 || extent <= 64 || (over_rows && c.c_type != kF32))
    return run_whole(c, scratch, own);
  for (std::int64_t from = 0; from < extent;) {
    const std::int64_t whole = largest_piece(extent - from);
    GemmCall piece = c;
    if (over_rows) {
      piece.k = whole ? whole : extent - from;
      piece.a = moved(c.a, from * c.a_col, c.a_type);
      piece.b = moved(c.b, from * c.b_row, c.b_type);
      if (from > 0) {
        piece.accumulate = 1;
        piece.bias = nullptr;
      }
    } else {
      piece.m = whole ? whole : extent - from;
      piece.a = moved(c.a, from * c.a_row, c.a_type);
      piece.c = moved(c.c, from * c.c_row, c.c_type);
    }
    if (whole)
      run_whole(piece, scratch, own);
    else
      own(piece);
    from += over_rows ? piece.k : piece.m;
  }
}

}  // namespace graft_cpu
