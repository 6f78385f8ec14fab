// OFT: the input of a layer is turned by a block-diagonal orthogonal matrix.
//
//   y = W (x R) + b,  R = diag(R_1, .., R_r),  each R_i [b, b] from a skew-symmetric Q_i
//
//   Cayley-Neumann   R = 1 + 2 Q + 2 Q^2 + .. + 2 Q^(m-2) + Q^(m-1), m terms: cut from (1 + Q) / (1 - Q)
//   exact            R = (1 - Q) (1 + Q)^-1, which turns the other way, as in PEFT
//
// With strength t the input is x + t (x R - x).
//
// Source: Qiu et al. 2023, "Controlling Text-to-Image Diffusion by Orthogonal Finetuning"
// (arXiv:2306.07280), eq. (5); Qiu et al. 2025, "Orthogonal Finetuning Made Scalable"
// (arXiv:2506.19847), section 3.2 for the turned input and the series.
#include <algorithm>
#include <graft/plugin_lowrank.hpp>

namespace {
using namespace graft::plugin;

struct Oft {
  static constexpr const char* name = "oft";
  static constexpr std::uint32_t kinds = GRAFT_SITE_LINEAR;
  static constexpr const char* schema =
      R"({)" GRAFT_LORA_TARGETS
      R"(, "type": "object", "additionalProperties": false, "properties": {
      "block_size": {"type": "integer", "minimum": 0, "default": 32,
        "description": "rows and columns of a block; it divides the layer's inputs. 0: see blocks"},
      "blocks": {"type": "integer", "minimum": 0, "default": 0,
        "description": "how many blocks, with block_size 0"},
      "share": {"type": "boolean", "default": false, "description": "one block, used everywhere"},
      "neumann": {"type": "boolean", "default": true,
        "description": "the Cayley-Neumann series instead of the exact inverse"},
      "terms": {"type": "integer", "minimum": 1, "default": 5, "description": "of the series"},
      )" GRAFT_IDENTITY_OPTION("identity: nothing turns. random: Q is normal, 0.1") "}}";
  static constexpr const char* storage = R"({
    "peft_type": "OFT",
    "fields": {"block_size": {"key": "oft_block_size", "missing": 32}, "blocks": "r",
               "share": "block_share", "neumann": "use_cayley_neumann",
               "terms": "num_cayley_neumann_terms",
               )" GRAFT_IDENTITY_FIELD R"(},
    "constants": {"bias": "none", "fan_in_fan_out": false, "module_dropout": 0.0, "coft": false},
    "ignored": ["eps"]
  })";

  struct State {
    Param q;
    std::int64_t blocks, size;
  };

  explicit Oft(Config c)
      : size(c.i64("/block_size")),
        blocks(c.i64("/blocks")),
        terms(c.i64("/terms")),
        share(c.flag("/share")),
        neumann(c.flag("/neumann")),
        random(c.str("/init") == "random") {
    if ((size == 0) == (blocks == 0)) {
      refuse("block_size is ", size, " and blocks is ", blocks, "; give one of them, the other 0.");
    }
  }

  State attach(const Site& t) const {
    const std::int64_t in = t.in_features(), given = size > 0 ? size : blocks;
    if (in % given != 0) {
      std::int64_t less = given, more = given;
      while (in % less != 0) --less;
      while (more < in && in % more != 0) ++more;
      refuse(size > 0 ? "block_size " : "blocks ", given, " does not divide the ", in,
             " inputs of '", t.name(), "'; ", less, " and ", std::min(more, in), " do.");
    }
    const std::int64_t b = size > 0 ? size : in / blocks;
    return {t.param("oft_R.weight", {share ? 1 : in / b, b * (b - 1) / 2},
                    random ? Init::normal(0.1) : Init::zeros()),
            in / b, b};
  }

  /// Rows x [rows, in] turned, less x itself. `back`: by the transposed matrices.
  Value turned(const State& s, const Hook& h, Value x, bool back) const {
    const Value q = h(s.q).skew();
    const Value in_blocks = x.reshape({x.dim(0), s.blocks, s.size}).permute({1, 0, 2});
    const auto by = [&](Value m) { return back ? in_blocks.mmT(m) : in_blocks.mm(m); };
    Value moved;
    if (neumann) {
      Value power = q, sum = q * 2.0;
      for (std::int64_t k = 2; k < std::max<std::int64_t>(terms, 4) && terms > 2; ++k) {
        power = power.mm(q);
        sum = sum + power * (k + 1 < std::max<std::int64_t>(terms, 4) ? 2.0 : 1.0);
      }
      moved = by(terms == 1 ? q * 0.0 : sum);
    } else {  // (1 - Q) (1 + Q)^-1 - 1 = 2 (1 + Q)^-1 - 2
      moved = (by(q.inverse(1)) - in_blocks) * 2.0;
    }
    return moved.permute({1, 0, 2}).reshape({x.dim(0), s.blocks * s.size});
  }

  void forward(const State& s, const Hook& h) const {
    h.out(h.next(h.in() + turned(s, h, h.in(), false) * h.strength()));
  }

  Merged merge(const State& s, const Hook& h) const {
    return h.plus(turned(s, h, h.weight(), true) * h.strength());
  }

  std::int64_t size, blocks, terms;
  bool share, neumann, random;
};

}  // namespace

GRAFT_METHOD_PLUGIN(Oft, "org.graft.oft", "0.1.0", "graft", "Apache-2.0")
