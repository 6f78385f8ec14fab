// graft/plugin_coupling.hpp: a coupling layer behind the embeddings, undone in front of the head.
//
//   y1 = x1 + F(x2), y2 = x2 + G(y1)       x2 = y2 - G(y1), x1 = y1 - F(x2)
//
// Source: Dinh et al. 2014, NICE (arXiv:1410.8516), section 3.2; Pfeiffer et al. 2020, MAD-X
// (arXiv:2005.00052), section 4.2.3.
#ifndef GRAFT_PLUGIN_COUPLING_HPP
#define GRAFT_PLUGIN_COUPLING_HPP
#include <string>
#include <utility>

#include "plugin_layers.hpp"

#pragma GCC visibility push(hidden)
namespace graft::plugin {

/// F and G, networks with one hidden layer each.
struct Coupling {
  LinearParams f1 = {}, f2 = {}, g1 = {}, g2 = {};
  std::int64_t hidden = 0;  ///< extent of what is halved

  /// Shared by the sites that declare it.
  static Coupling declare(const Declare& param, const std::string& at, std::int64_t hidden,
                          std::int64_t width) {
    const std::int64_t half = hidden / 2;
    const auto layer = [&](const char* of, std::int64_t out, std::int64_t in) {
      return linear(param, at + of, out, in, Init::normal(0.02));
    };
    Coupling c;
    c.f1 = layer(".F.0", width, half);
    c.f2 = layer(".F.2", half, width);
    c.g1 = layer(".G.0", width, half);
    c.g2 = layer(".G.2", half, width);
    c.hidden = hidden;
    return c;
  }

  template <class Act>
  Value apply(const Hook& h, const Act& act, Value x) const {
    const auto [x1, x2] = halves(x);
    const Value y1 = x1 + f2(h, act(f1(h, x2))) * h.strength();
    return concat({y1, x2 + g2(h, act(g1(h, y1))) * h.strength()}, 1);
  }
  template <class Act>
  Value undo(const Hook& h, const Act& act, Value y) const {
    const auto [y1, y2] = halves(y);
    const Value x2 = y2 - g2(h, act(g1(h, y1))) * h.strength();
    return concat({y1 - f2(h, act(f1(h, x2))) * h.strength(), x2}, 1);
  }

 private:
  std::pair<Value, Value> halves(Value x) const {
    return {x.slice(1, 0, hidden / 2), x.slice(1, hidden / 2, hidden)};
  }
};

}  // namespace graft::plugin
#pragma GCC visibility pop
#endif
