// Quantized operands: every format, both ways round, blocks that straddle rows.
#include <cstring>
#include <graft/quant.hpp>
#include <stdexcept>

#include "problems.hpp"

namespace graft::conform {
namespace {

struct BlockSize {
  const char* name;
  std::int64_t elements, bytes;
  int scales[2];  // where halves lie in a block; -1: none
};

constexpr BlockSize kBlocks[] = {
    {"q4_0", 32, 18, {0, -1}},   {"q4_1", 32, 20, {0, 2}},      {"q5_0", 32, 22, {0, -1}},
    {"q5_1", 32, 24, {0, 2}},    {"q8_0", 32, 34, {0, -1}},     {"iq4_nl", 32, 18, {0, -1}},
    {"q2_k", 256, 84, {80, 82}}, {"q3_k", 256, 110, {108, -1}}, {"q4_k", 256, 144, {0, 2}},
    {"q5_k", 256, 176, {0, 2}},  {"q6_k", 256, 210, {208, -1}}};

template <class T>
void put(std::vector<std::byte>& buffer, std::size_t index, T value) {
  if (buffer.size() < (index + 1) * sizeof(T)) buffer.resize((index + 1) * sizeof(T));
  std::memcpy(buffer.data() + index * sizeof(T), &value, sizeof value);
}

void fill_random(Maker& make, std::vector<std::byte>& buffer, std::int64_t size) {
  buffer.resize(static_cast<std::size_t>(size));
  for (std::byte& b : buffer) b = static_cast<std::byte>(make.integer(0, 255));
}

void make_gguf(Maker& make, const BlockSize& size, Blocks& b) {
  graft_quant& q = b.quant;
  q.format = size.name;
  q.block_elements = size.elements;
  q.block_bytes = size.bytes;
  const std::int64_t count = q.rows * (q.columns / size.elements);
  fill_random(make, b.buffer[0], count * size.bytes);
  for (std::int64_t i = 0; i < count; ++i) {
    for (const int at : size.scales) {
      if (at < 0) continue;
      const auto half = backend::from_double<backend::F16>(make.uniform(-0.02, 0.02));
      std::memcpy(b.buffer[0].data() + i * size.bytes + at, &half, 2);
    }
  }
}

void make_book(Maker& make, const char* name, std::int64_t block, bool nested, Blocks& b) {
  graft_quant& q = b.quant;
  q.format = name;
  q.block_elements = block;
  q.block_bytes = block / 2;
  const std::int64_t elements = q.rows * q.columns, count = (elements + block - 1) / block;
  fill_random(make, b.buffer[0], (elements + 1) / 2);
  for (std::size_t i = 0; i < 16; ++i) put(b.buffer[3], i, static_cast<float>(make.uniform(-1, 1)));
  if (!nested) {
    for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i)
      put(b.buffer[1], i, static_cast<float>(make.uniform(0.01, 2)));
    return;
  }
  fill_random(make, b.buffer[1], count);
  for (std::size_t i = 0; i < static_cast<std::size_t>((count + 255) / 256); ++i)
    put(b.buffer[2], i, static_cast<float>(make.uniform(0.1, 0.5)));
  for (std::size_t i = 0; i < 256; ++i)
    put(b.buffer[4], i, static_cast<float>(make.uniform(-1, 1)));
  put(b.buffer[4], 256, 1.25f);
}

void make_int8(Maker& make, Blocks& b) {
  graft_quant& q = b.quant;
  q.format = "int8";
  q.block_elements = q.block_bytes = q.columns;
  fill_random(make, b.buffer[0], q.rows * q.columns);
  for (std::size_t i = 0; i < static_cast<std::size_t>(q.rows); ++i)
    put(b.buffer[1], i, static_cast<float>(make.uniform(0.1, 2)));
}

struct Matrix {
  const char* format;
  std::int64_t rows, columns;
};

// Each format small, then with more rows and columns than any tile; odd numbers of columns.
std::vector<Matrix> matrices() {
  std::vector<Matrix> all;
  for (const BlockSize& size : kBlocks) {
    all.push_back({size.name, 7, 2 * size.elements});
    all.push_back({size.name, 67, 1024});
  }
  for (const char* format : {"nf4:64", "nf4:64:nested", "nf4:32", "nf4:4096:nested", "fp4:64",
                             "fp4:128:nested", "int8"}) {
    all.push_back({format, 7, 128});
    all.push_back({format, 67, 1024});
    all.push_back({format, 9, 37});  // blocks and bytes straddle rows
    all.push_back({format, 130, 602});
  }
  all.push_back({"nf4:64:nested", 1, 1});
  all.push_back({"nf4:64:nested", 700, 288});
  all.push_back({"nf4:64:nested", 16500, 64});  // a head, whose way back sums over its rows
  return all;
}

std::string text_of_matrix(const Matrix& m) {
  return std::string(m.format) + " " + text_of({m.rows, m.columns});
}

// b may be rounded to T before it is multiplied.
double product_tolerance(std::uint32_t type, std::uint32_t result) {
  if (type != GRAFT_BF16) return 0;
  return result == GRAFT_BF16 ? 0x1.4p-7 + 0x1.01p-8 : 0x1.01p-8;
}

}  // namespace

bool quantized(const Problem& problem) {
  for (const Operand& x : problem.in)
    if (x.blocks) return true;
  return false;
}

Operand Maker::quantized(const std::string& format, std::int64_t rows, std::int64_t columns,
                         bool transposed) {
  auto b = std::make_shared<Blocks>();
  b->quant.rows = rows;
  b->quant.columns = columns;
  const std::size_t colon = format.find(':');
  const std::string name = format.substr(0, colon);
  if (name == "nf4" || name == "fp4") {
    const bool nested = format.find(":nested") != std::string::npos;
    make_book(*this, name == "nf4" ? "nf4" : "fp4", std::stoll(format.substr(colon + 1)), nested,
              *b);
  } else if (name == "int8") {
    make_int8(*this, *b);
  } else {
    for (const BlockSize& size : kBlocks)
      if (name == size.name) make_gguf(*this, size, *b);
  }
  graft_quant& q = b->quant;
  if (!q.format) throw std::logic_error("a problem with an unknown block format");
  q.data = b->buffer[0].data();
  q.data_bytes = b->buffer[0].size();
  for (std::size_t i = 0; i < 4; ++i) {
    if (b->buffer[i + 1].empty()) continue;
    q.aux[i] = b->buffer[i + 1].data();
    q.aux_bytes[i] = b->buffer[i + 1].size();
  }
  std::vector<float> values(static_cast<std::size_t>(rows * columns));
  for (std::int64_t r = 0; r < rows; ++r)
    quant::expand(&q, quant::format_of(q.format), r, 0, columns, values.data() + r * columns);
  b->values.assign(values.begin(), values.end());
  Operand x{type_, {rows, columns}, {}, b->values};
  if (transposed) {
    x.shape = {columns, rows};
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t c = 0; c < columns; ++c)
        x.values[static_cast<std::size_t>(c * rows + r)] =
            b->values[static_cast<std::size_t>(r * columns + c)];
  }
  x.blocks = std::move(b);
  x.transposed = transposed;
  return x;
}

void quantized_matmul_problems(Maker& make) {
  for (const Matrix& w : matrices()) {
    for (const bool transposed : {true, false}) {
      const std::int64_t k = transposed ? w.columns : w.rows, n = transposed ? w.rows : w.columns;
      for (const std::int64_t m : {1, 5, 40, 150}) {
        if (m > 40 && (w.rows < 60 || w.rows > 10000)) continue;
        for (const std::uint32_t to : make.result_types()) {
          std::vector<Operand> in = {make.real({m, k}, {}, -1, 1),
                                     make.quantized(w.format, w.rows, w.columns, transposed)};
          if (m == 5) in.push_back(make.real({n}));
          const std::string what = text_of({m, k, n}) + " by " + text_of_matrix(w) +
                                   (transposed ? ", transposed" : "") +
                                   (to != make.type() ? ", into f32" : "");
          Problem& problem =
              make.add(what, std::move(in), {Maker::result_as(to, {m, n})},
                       {attr_real("alpha", m == 5 ? 1 : 0.7)}, magnitudes("matmul/1"));
          problem.tolerance = product_tolerance(make.type(), to);
          if (m == 40) make.add_accumulating();
        }
      }
    }
  }
}

void quantized_gather_problems(Maker& make) {
  for (const Matrix& w : matrices()) {
    make.add("rows of " + text_of_matrix(w),
             {make.quantized(w.format, w.rows, w.columns, false),
              make.random_ids(w.rows > 60 ? 90 : 5, w.rows)},
             {make.result({w.rows > 60 ? 90 : 5, w.columns}, {{}, 1, 3, 0})}, {}, relative)
        .tolerance = one_rounding(make.type());
  }
}

void quantized_copy_problems(Maker& make) {
  for (const Matrix& w : matrices()) {
    for (const bool transposed : {false, true}) {
      const Operand x = make.quantized(w.format, w.rows, w.columns, transposed);
      Problem& problem = make.add(text_of_matrix(w) + (transposed ? ", transposed" : ""), {x},
                                  {make.result(x.shape)}, {}, relative);
      problem.tolerance = one_rounding(make.type());
      if (transposed) make.add_accumulating().tolerance = 0x1p-6;
    }
  }
}

}  // namespace graft::conform
