// graft/plugin_bottleneck.hpp: the network of bottleneck adapters, which methods over one or several of
// them share. Options as the method `adapter` has them:
//   z = s up(act(down(norm in)))     down [b, hidden], up [hidden, b], b = hidden / reduction
#ifndef GRAFT_PLUGIN_BOTTLENECK_HPP
#define GRAFT_PLUGIN_BOTTLENECK_HPP
#include <algorithm>
#include <string>
#include <utility>

#include "plugin_layers.hpp"

#pragma GCC visibility push(hidden)
namespace graft::plugin {

/// hidden / factor, at least 1
inline std::int64_t bottleneck_width(std::int64_t hidden, double factor) {
  const auto width = static_cast<std::int64_t>(static_cast<double>(hidden) / factor);
  return std::max<std::int64_t>(1, width);
}

class Bottleneck {
 public:
  struct State {
    LinearParams down = {}, up = {};
    NormParams before = {}, after = {};
    Param scaling = {};
  };

  /// `at`: where in `c` the options are, a JSON Pointer.
  explicit Bottleneck(const Config& c, std::string at = "")
      : config_(c),
        at_(std::move(at)),
        attention(flag("/attention")),
        feedforward(flag("/feedforward")),
        parallel(flag("/parallel")),
        residual_first(flag("/residual_first")),
        residual_last(flag("/residual_last")),
        own_is_output(text("/own_residual") == "output"),
        norm_before(flag("/norm_before")),
        norm_after(flag("/norm_after")),
        early(flag("/residual_before_norm")),
        zero(text("/init") == "zero"),
        activation(text("/activation")),
        learned(text("/scaling")),
        scaling(c.f64((at_ + "/scaling").c_str())),
        dropout(c.f64((at_ + "/dropout").c_str())) {}

  /// Whether an adapter belongs at this site, a residual branch.
  bool wants(const Site& t) const {
    const auto left_out = config_.integers(at_ + "/leave_out");
    if (std::count(left_out.begin(), left_out.end(), t.layer()) > 0) return false;
    const bool mlp = std::string(t.name()).find(".mlp.") != std::string::npos;
    return mlp ? feedforward : attention;
  }

  std::int64_t width(const Site& t) const {
    const std::string path = at_ + "/reduction";
    const std::string own = path + "/" + std::to_string(t.layer());
    double factor = config_.f64(path.c_str());
    if (config_.count(path.c_str()) > 0) {
      factor = config_.f64(own.c_str());
      if (factor == 0) factor = config_.f64((path + "/default").c_str());
    }
    if (factor == 0) {
      refuse("reduction has no entry for layer ", t.layer(), " and no \"default\".");
    }
    return bottleneck_width(t.out_features(), factor);
  }

  State attach(const Site& t, const Declare& param) const {
    const std::int64_t n = t.out_features(), b = width(t);
    State s;
    s.down = linear(param, norm_before ? "adapter_down.1" : "adapter_down.0", b, n,
                    zero ? Init::kaiming_uniform() : Init::normal(0.02));
    s.up = linear(param, "adapter_up", n, b, zero ? Init::zeros() : Init::normal(0.02));
    if (norm_before) s.before = layer_norm(param, "adapter_norm_before", n);
    if (norm_after) s.after = layer_norm(param, "adapter_norm_after", n);
    if (!learned.empty()) {
      s.scaling = param("scaling", {learned == "learned" ? 1 : n}, Init::ones());
    }
    return s;
  }

  Value act(Value x) const {
    if (activation == "relu") return x.relu();
    if (activation == "leakyrelu") return x.relu() * 0.99 + x * 0.01;
    if (activation == "swish") return x.silu();
    if (activation == "gelu") return x.gelu();
    if (activation == "gelu_new") return x.act(GRAFT_ACT_GELU_TANH);
    return activation == "tanh" ? x.tanh() : x.sigmoid();
  }

  /// What the network reads, of the residual stream x and the block's output.
  Value input(Value x, Value block) const {
    return parallel ? x : residual_first ? block + x : block;
  }
  /// z
  Value operator()(const State& s, const Hook& h, Value in) const {
    const Value z = s.up(h, act(s.down(h, s.before(h, in))));
    return learned.empty() ? z * scaling : z * h(s.scaling);
  }

 private:
  bool flag(const char* path) const { return config_.flag((at_ + path).c_str()); }
  std::string text(const char* path) const {
    return std::string(config_.str((at_ + path).c_str()));
  }
  Config config_;
  std::string at_;

 public:
  bool attention, feedforward, parallel, residual_first, residual_last, own_is_output, norm_before,
      norm_after, early, zero;
  std::string activation, learned;
  double scaling, dropout;
};

}  // namespace graft::plugin
#pragma GCC visibility pop
#endif
