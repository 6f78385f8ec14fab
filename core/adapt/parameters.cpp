#include "core/adapt/parameters.hpp"

#include <cmath>
#include <numbers>

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

ParameterLayout lay_out(const std::vector<Parameter>& parameters, const std::vector<bool>& decays) {
  ParameterLayout layout;
  layout.offset.resize(parameters.size());
  for (const bool decayed : {true, false}) {
    ParameterGroup group;
    group.decays = decayed;
    group.begin = layout.total;
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      if (!parameters[i].trained() || decays.at(i) != decayed) continue;
      layout.offset[i] = layout.total;
      layout.total += padded(parameters[i].count());
      group.members.push_back(i);
    }
    group.count = layout.total - group.begin;
    if (group.count > 0) layout.groups.push_back(std::move(group));
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
                                          std::uint32_t n_state) {
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
  for (std::uint32_t i = 0; i < n_state; ++i) {
    m.states.push_back(device.allocate(bytes(layout.trained, m.master_dtype)));
  }
  return m;
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

std::vector<float> initial_values(const Parameter& p, std::uint64_t seed) {
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
    default:
      throw Error(GRAFT_E_INVALID,
                  cat("parameter '", p.name, "' asks for the unknown initial value ", p.init, "."));
  }
}

}  // namespace graft::core
