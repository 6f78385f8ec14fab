// LoKr: the update is a Kronecker product, its second factor (and on demand the first) of low rank.
//
//   y = W x + b + s (C kron D) x      C [ol, im], D [ok, in / im], ol ok = out, s = alpha / r
//
// The product is never formed: with x as a matrix X [im, in / im] it is C (X D^T).
//
// Source: Yeh et al. 2023, "Navigating Text-To-Image Customization: From LyCORIS Fine-Tuning to
// Model Evaluation" (arXiv:2309.14859), section 3.2; Edalati et al. 2022, KronA (arXiv:2212.10650).
#include <algorithm>
#include <graft/plugin_lowrank.hpp>

namespace {
using namespace graft::plugin;

struct Lokr {
  static constexpr const char* name = "lokr";
  static constexpr std::uint32_t kinds = GRAFT_SITE_LINEAR;
  static constexpr const char* schema =
      R"({)" GRAFT_LORA_TARGETS
      R"(, "type": "object", "additionalProperties": false, "properties": {)" GRAFT_RANK_OPTIONS
      R"(, "decompose_both": {"type": "boolean", "default": false,
        "description": "the first factor is of low rank, too, where that saves parameters"},
      "decompose_factor": {"type": "integer", "minimum": -1, "default": -1,
        "description": "extent of the first factor, where it divides; -1: near the square root"},
      "init": {"type": "string", "enum": ["identity", "lycoris", "random"], "default": "identity",
        "description": "identity: the first factor is 0. lycoris: the second is. random: none"}}})";
  static constexpr const char* storage =
      R"({"peft_type": "LOKR", "fields": {)" GRAFT_RANK_FIELDS
      R"(, "decompose_both": "decompose_both", "decompose_factor": "decompose_factor",
         "init": {"key": "init_weights", "values": {"identity": [true], "lycoris": ["lycoris"],
                                                    "random": [false]}}},
      "constants": {"rank_dropout": 0.0, "module_dropout": 0.0, "rank_dropout_scale": false,
                    "use_effective_conv2d": false}})";

  struct Factor {
    Param whole, a, b;  // whole, or a b
    Value operator()(const Hook& h) const { return whole.tensor ? h(whole) : h(a).mm(h(b)); }
  };
  struct State {
    Factor c, d;
    std::int64_t ol, ok, im, in;
    double scale;
  };

  explicit Lokr(Config c)
      : factor(c.i64("/decompose_factor")), both(c.flag("/decompose_both")), init(c.str("/init")) {}

  // PEFT's factorization(): `factor` itself if it divides, else the largest divisor up to the square
  // root and, where given, up to it.
  std::pair<std::int64_t, std::int64_t> split(std::int64_t n) const {
    if (factor > 0 && n % factor == 0) return {factor, n / factor};
    std::int64_t best = 1;
    for (std::int64_t d = 1; d * d <= n; ++d) {
      if (n % d == 0 && (factor <= 0 || d <= factor)) best = d;
    }
    return {best, n / best};
  }

  static Factor declare(const Site& t, const std::string& key, std::int64_t rows, std::int64_t cols,
                        std::int64_t rank, bool whole, bool zero) {
    const Init kaiming = Init::kaiming_uniform(), first = zero ? Init::zeros() : kaiming;
    if (whole) return {t.param(key.c_str(), {rows, cols}, first), {}, {}};
    // The first zero is PEFT's: that of a for the first factor, of b for the second.
    const bool a = key.back() == '1';
    return {{},
            t.param((key + "_a").c_str(), {rows, rank}, a ? first : kaiming),
            t.param((key + "_b").c_str(), {rank, cols}, a ? kaiming : first)};
  }

  State attach(const Site& t) const {
    const std::int64_t r = t.config().i64("/rank");
    const auto [im, in] = split(t.in_features());
    const auto [ol, ok] = split(t.out_features());
    const bool whole_c = !(both && 2 * r < std::max(ol, im)), whole_d = 2 * r >= std::max(ok, in);
    return {declare(t, "lokr_w1", ol, im, r, whole_c, init == "identity"),
            declare(t, "lokr_w2", ok, in, r, whole_d, init == "lycoris"),
            ol,
            ok,
            im,
            in,
            t.config().f64("/alpha") / static_cast<double>(r)};
  }

  void forward(const State& s, const Hook& h) const {
    const Value x = h.in().reshape({h.in().dim(0), s.im, s.in});
    const Value xd = x.mmT(s.d(h) * s.scale);           // [rows, im, ok]
    const Value y = xd.permute({0, 2, 1}).mmT(s.c(h));  // [rows, ok, ol]
    const Value flat = y.permute({0, 2, 1}).reshape({h.in().dim(0), s.ol * s.ok});
    h.out(h.next() + flat * h.strength());
  }

  Merged merge(const State& s, const Hook& h) const {
    const Value c = s.c(h).reshape({s.ol, 1, s.im, 1}), d = s.d(h).reshape({1, s.ok, 1, s.in});
    const Value update = (c * d).reshape({s.ol * s.ok, s.im * s.in});
    return h.plus(update * (h.strength() * s.scale));
  }

  std::int64_t factor;
  bool both;
  std::string init;
};

}  // namespace

GRAFT_METHOD_PLUGIN(Lokr, "org.graft.lokr", "0.1.0", "graft", "Apache-2.0")
