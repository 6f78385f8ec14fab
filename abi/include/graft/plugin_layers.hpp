// graft/plugin_layers.hpp: layers of small networks that methods train: linear, layer norm, LSTM.
#ifndef GRAFT_PLUGIN_LAYERS_HPP
#define GRAFT_PLUGIN_LAYERS_HPP
#include <cmath>
#include <functional>
#include <initializer_list>
#include <string>
#include <vector>

#include "plugin.hpp"

#pragma GCC visibility push(hidden)
namespace graft::plugin {

/// Declares a parameter wherever the network is.
using Declare = std::function<Param(const std::string& name,
                                    std::initializer_list<std::int64_t> dims, Init init)>;

/// At a site, which is there as long as this is used; flags: GRAFT_PARAM_*
inline Declare declare_at(const Site& site, std::uint32_t flags = 0) {
  return [&site, flags](const std::string& name, std::initializer_list<std::int64_t> dims,
                        Init init) { return site.param(name.c_str(), dims, init, flags); };
}

/// x W^T + b
struct LinearParams {
  Param weight, bias;
  Value operator()(const Hook& h, Value x) const { return x.mmT(h(weight)) + h(bias); }
};

/// W [out, in] and b [out], under these names.
inline LinearParams linear(const Declare& param, const std::string& weight, const std::string& bias,
                           std::int64_t out, std::int64_t in, Init of_weight,
                           Init of_bias = Init::zeros()) {
  const Param w = param(weight, {out, in}, of_weight);
  return {w, param(bias, {out}, of_bias)};
}
inline LinearParams linear(const Declare& param, const std::string& at, std::int64_t out,
                           std::int64_t in, Init of_weight, Init of_bias = Init::zeros()) {
  return linear(param, at + ".weight", at + ".bias", out, in, of_weight, of_bias);
}

/// What torch begins the weight and the bias of a layer of so many inputs with.
inline Init torch_init(std::int64_t in) {
  return Init::uniform(1 / std::sqrt(static_cast<double>(in)));
}

/// None, and x as it is, where it was not declared.
struct NormParams {
  Param weight, bias;
  Value operator()(const Hook& h, Value x) const {
    return weight.tensor ? x.layer_norm(h(weight), h(bias), 1e-5) : x;
  }
};

inline NormParams layer_norm(const Declare& param, const std::string& at, std::int64_t n) {
  const Param w = param(at + ".weight", {n}, Init::ones());
  return {w, param(at + ".bias", {n}, Init::zeros())};
}

/// torch's nn.LSTM in both directions, over the rows of a matrix.
class Lstm {
 public:
  Lstm() = default;
  Lstm(const Declare& param, const std::string& at, std::int64_t layers, std::int64_t in,
       std::int64_t hidden) {
    const Init init = torch_init(hidden);
    for (std::int64_t l = 0; l < layers; ++l) {
      for (const char* way : {"", "_reverse"}) {
        const std::string end = "_l" + std::to_string(l) + way;
        const auto part = [&](const std::string& of, std::int64_t from) {
          return linear(param, at + ".weight_" + of + end, at + ".bias_" + of + end, 4 * hidden,
                        from, init, init);
        };
        const LinearParams of_x = part("ih", l == 0 ? in : 2 * hidden);
        cells_.push_back({of_x, part("hh", hidden)});
      }
    }
  }

  /// [rows, in] to [rows, 2 hidden]
  Value operator()(const Hook& h, Value x, std::int64_t rows) const {
    for (std::size_t l = 0; l + 1 < cells_.size(); l += 2) {
      x = concat({run(cells_[l], h, x, rows, false), run(cells_[l + 1], h, x, rows, true)}, 1);
    }
    return x;
  }

 private:
  struct Cell {
    LinearParams in, state;
  };

  /// One direction of one layer: gates i, f, g, o.
  static Value run(const Cell& cell, const Hook& h, Value x, std::int64_t rows, bool backwards) {
    const Value from_x = cell.in(h, x) + h(cell.state.bias);
    const std::int64_t w = from_x.dim(1) / 4;
    Value state, memory, all;
    for (std::int64_t k = 0; k < rows; ++k) {
      const std::int64_t row = backwards ? rows - 1 - k : k;
      Value z = from_x.slice(0, row, row + 1);
      if (state) z = z + state.mmT(h(cell.state.weight));
      const auto gate = [&](std::int64_t i) { return z.slice(1, i * w, (i + 1) * w); };
      const Value fresh = gate(0).sigmoid() * gate(2).tanh();
      memory = memory ? gate(1).sigmoid() * memory + fresh : fresh;
      state = gate(3).sigmoid() * memory.tanh();
      all = !all ? state : backwards ? concat({state, all}, 0) : concat({all, state}, 0);
    }
    return all;
  }

  std::vector<Cell> cells_;  // forwards and backwards, layer by layer
};

}  // namespace graft::plugin
#pragma GCC visibility pop
#endif
