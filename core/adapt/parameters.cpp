#include "core/adapt/parameters.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <random>

#include "core/adapt/adapter_files.hpp"
#include "core/base/error.hpp"
#include "core/base/philox.hpp"
#include "core/tensor/dtype.hpp"

namespace graft::core {
namespace {

std::int64_t padded(std::int64_t n) {
  return (n + 15) / 16 * 16;
}

void* offset_by(const std::shared_ptr<void>& memory, std::int64_t element, std::uint32_t dtype) {
  return static_cast<std::byte*>(memory.get()) +
         element * static_cast<std::int64_t>(dtype_size(dtype));
}

/// FNV-1a, so that a parameter's values do not depend on which others there are.
std::uint64_t hash_of(const std::string& name) {
  std::uint64_t h = 14695981039346656037ull;
  for (const char c : name) h = (h ^ static_cast<unsigned char>(c)) * 1099511628211ull;
  return h;
}

}  // namespace

std::int64_t Parameter::count() const {
  std::int64_t n = 1;
  for (const std::int64_t d : dims) n *= d;
  return n;
}

std::vector<std::int64_t> Parameter::stored_dims() const {
  return transposed ? std::vector{dims[1], dims[0]} : dims;
}

std::vector<float> transposed(const std::vector<float>& values, std::int64_t rows) {
  const auto n = static_cast<std::size_t>(rows), columns = values.size() / n;
  std::vector<float> result(values.size());
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < columns; ++j) result[j * n + i] = values[i * columns + j];
  }
  return result;
}

ParameterLayout lay_out(const std::vector<Parameter>& parameters, const std::vector<bool>& decays) {
  ParameterLayout layout;
  layout.offset.resize(parameters.size());
  std::vector<std::pair<bool, double>>
      kinds;  // in the order of their first parameters, decayed first
  for (const bool decayed : {true, false}) {
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      const std::pair<bool, double> kind = {decayed, parameters[i].lr_scale};
      if (!parameters[i].trained() || decays.at(i) != decayed) continue;
      if (std::find(kinds.begin(), kinds.end(), kind) == kinds.end()) kinds.push_back(kind);
    }
  }
  for (const auto& [decayed, lr_scale] : kinds) {
    ParameterGroup group;
    group.decays = decayed;
    group.lr_scale = lr_scale;
    group.begin = layout.total;
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      const Parameter& p = parameters[i];
      if (!p.trained() || decays.at(i) != group.decays || p.lr_scale != group.lr_scale) continue;
      layout.offset[i] = layout.total;
      layout.total += padded(p.count());
      group.members.push_back(i);
    }
    group.count = layout.total - group.begin;
    layout.groups.push_back(std::move(group));
  }
  layout.trained = layout.total;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    if (parameters[i].trained()) continue;
    layout.offset[i] = layout.total;
    layout.total += padded(parameters[i].count());
  }
  return layout;
}

ParameterMemory ParameterMemory::allocate(const Device& device, const ParameterLayout& layout,
                                          std::uint32_t compute_dtype, bool train,
                                          std::vector<StateRange> ranges,
                                          const std::optional<fs::path>& pages) {
  ParameterMemory m;
  m.compute_dtype = compute_dtype;
  m.master_dtype = compute_dtype == GRAFT_F64 ? GRAFT_F64 : GRAFT_F32;
  const auto bytes = [](std::int64_t n, std::uint32_t dtype) {
    return static_cast<std::uint64_t>(n) * dtype_size(dtype);
  };
  m.master = device.allocate(bytes(layout.total, m.master_dtype));
  m.compute = compute_dtype == m.master_dtype ? m.master
                                              : device.allocate(bytes(layout.total, compute_dtype));
  if (!train) return m;
  m.gradients = device.allocate(bytes(layout.trained, m.master_dtype));
  m.ranges = std::move(ranges);
  if (!pages) {
    for (const StateRange& range : m.ranges) m.states.push_back(device.allocate(range.bytes()));
    return m;
  }
  constexpr std::uint64_t whole = 4096;
  std::uint64_t end = 0;
  std::vector<std::uint64_t> begins;
  for (const StateRange& range : m.ranges) {
    begins.push_back(end);
    end += (range.bytes() + whole - 1) / whole * whole;
  }
  m.pages = PageFile::make(*pages, end, "optimizer.paged");
  for (const std::uint64_t begin : begins) m.states.push_back(m.pages.at(begin));
  return m;
}

std::uint64_t StateRange::bytes() const {
  return static_cast<std::uint64_t>(count) * dtype_size(dtype);
}

void* ParameterMemory::master_at(std::int64_t element) const {
  return offset_by(master, element, master_dtype);
}
void* ParameterMemory::compute_at(std::int64_t element) const {
  return offset_by(compute, element, compute_dtype);
}
void* ParameterMemory::gradient_at(std::int64_t element) const {
  return offset_by(gradients, element, master_dtype);
}

namespace {

/// torch.empty(n).uniform_(-bound, bound, generator) after `skip` numbers of that generator.
std::vector<float> torch_uniform(std::size_t n, double bound, std::int64_t seed,
                                 std::int64_t skip) {
  std::mt19937 generator(static_cast<std::uint32_t>(seed));
  generator.discard(static_cast<unsigned long long>(skip));
  const auto low = static_cast<float>(-bound), high = static_cast<float>(bound);
  const float width = high - low;
  std::vector<float> v(n);
  for (float& x : v) {
    x = static_cast<float>(generator() & 0xffffff) * 0x1p-24f;
    x = x * width + low;
  }
  return v;
}

/// Norms of the rows of a matrix with `n` of them, or of the columns.
std::vector<float> norms(const std::vector<float>& w, std::size_t n, bool rows) {
  std::vector<double> sum(n, 0);
  const std::size_t other = w.size() / n;
  for (std::size_t i = 0; i < w.size(); ++i) {
    sum[rows ? i / other : i % n] += static_cast<double>(w[i]) * static_cast<double>(w[i]);
  }
  std::vector<float> v;
  for (const double s : sum) v.push_back(static_cast<float>(std::sqrt(s)));
  return v;
}

}  // namespace

namespace {

/// The factors that a parameter of rank `rank` begins as; made anew unless they are the last ones.
const Factors& factors_of(const Parameter& p, std::int64_t rank, const BaseValues& base,
                          LastFactors& last) {
  const bool svd = p.init == GRAFT_INIT_SVD_LEFT || p.init == GRAFT_INIT_SVD_RIGHT;
  const bool left = p.init == GRAFT_INIT_SVD_LEFT || p.init == GRAFT_INIT_QR_LEFT;
  const std::string of = cat(svd, " ", p.base, " ", rank, " ", p.init_scale);
  if (last.of == of) return last.factors;
  Matrix w{0, 0, base(p.base)};
  const auto n = static_cast<std::int64_t>(w.values.size());
  w.rows = left ? p.dims[0] : n / p.dims[1];
  w.cols = n / w.rows;
  last.factors = svd ? svd_factors(w, rank, p.init_scale) : qr_factors(w, rank);
  last.of = of;
  return last.factors;
}

}  // namespace

std::vector<float> initial_values(const Parameter& p, std::uint64_t seed, const BaseValues& base,
                                  LastFactors* last) {
  LastFactors own;
  const auto n = static_cast<std::size_t>(p.count());
  std::uint64_t drawn = 0;
  const auto next = [&] { return random_unit(random_bits(seed, hash_of(p.name), drawn++)); };
  const auto uniform = [&](double bound) {
    std::vector<float> v(n);
    for (float& x : v) x = static_cast<float>((2 * next() - 1) * bound);
    return v;
  };
  switch (p.init) {
    case GRAFT_INIT_ZEROS:
      return std::vector<float>(n, 0.0f);
    case GRAFT_INIT_ONES:
      return std::vector<float>(n, 1.0f);
    case GRAFT_INIT_CONSTANT:
      return std::vector<float>(n, static_cast<float>(p.init_scale));
    case GRAFT_INIT_UNIFORM:
      return uniform(p.init_scale);
    case GRAFT_INIT_KAIMING_UNIFORM:
      return uniform(1 / std::sqrt(static_cast<double>(p.dims.size() > 1 ? p.dims[1] : p.dims[0])));
    case GRAFT_INIT_NORMAL: {  // Box and Muller 1958
      std::vector<float> v(n);
      for (float& x : v) {
        const double radius = std::sqrt(-2 * std::log(1 - next()));
        const double angle = 2 * std::numbers::pi * next();
        x = static_cast<float>(p.init_scale * radius * std::cos(angle));
      }
      return v;
    }
    case GRAFT_INIT_EYE: {
      std::vector<float> v(n, static_cast<float>(p.init_scale));
      const auto width = n / static_cast<std::size_t>(p.dims[0]);
      for (std::size_t i = 0; i * width < n; ++i) {
        const std::size_t at = p.init_rows.empty() ? i : static_cast<std::size_t>(p.init_rows[i]);
        if (at < width) v[i * width + at] = 1;
      }
      return v;
    }
    case GRAFT_INIT_TORCH_UNIFORM:
      return torch_uniform(n, p.init_scale, p.init_seed, p.init_skip);
    case GRAFT_INIT_VALUES:
      return p.init_values;
    case GRAFT_INIT_BASE:
      return base(p.base);
    case GRAFT_INIT_ADAPTER:
      return adapter_tensor(p.init_path, p.base, p.dims);
    case GRAFT_INIT_BASE_ROWS: {
      const std::vector<float> table = base(p.base);
      const auto width = n / static_cast<std::size_t>(p.dims[0]);
      const double rows = static_cast<double>(table.size() / width);
      std::vector<float> v;
      for (std::int64_t i = 0; i < p.dims[0]; ++i) {
        const auto row = p.init_rows.empty()
                             ? static_cast<std::size_t>(next() * rows)
                             : static_cast<std::size_t>(p.init_rows[static_cast<std::size_t>(i)]);
        const auto from = table.begin() + static_cast<std::ptrdiff_t>(row * width);
        v.insert(v.end(), from, from + static_cast<std::ptrdiff_t>(width));
      }
      return v;
    }
    case GRAFT_INIT_SVD_LEFT:
    case GRAFT_INIT_QR_LEFT:
      return factors_of(p, p.dims[1], base, last ? *last : own).left;
    case GRAFT_INIT_SVD_RIGHT:
    case GRAFT_INIT_QR_RIGHT: {
      const Factors& f = factors_of(p, p.dims[0], base, last ? *last : own);
      const bool nothing =
          std::all_of(f.left.begin(), f.left.end(), [](float x) { return x == 0; });
      if (nothing) return uniform(1 / std::sqrt(static_cast<double>(p.dims[1])));
      return f.right;
    }
    case GRAFT_INIT_ROW_NORM:
    case GRAFT_INIT_COLUMN_NORM:
      return norms(base(p.base), n, p.init == GRAFT_INIT_ROW_NORM);
    default:
      throw Error(GRAFT_E_INVALID,
                  cat("parameter '", p.name, "' asks for the unknown initial value ", p.init, "."));
  }
}

}  // namespace graft::core
