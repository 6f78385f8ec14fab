#include <cmath>

#include "kernels.hpp"

namespace graft::ref {

void dropout(const graft_kernel_args& args) {
  const graft_view &view = args.in[0], &keys = args.in[1];
  require(view.ndim >= 1 && same_shape(view, args.out[0]), "dropout: x and y differ in shape");
  require(keys.ndim == 2 && keys.shape[0] == view.shape[0] && keys.shape[1] == 2,
          "dropout: keys is not [rows, 2]");
  const std::vector<std::int32_t> seed = load_ids(args.in[2]);
  require(seed.size() == 2, "dropout: seed is not [2]");
  const double p = attr_f(&args, "p");
  const auto stream = static_cast<std::uint32_t>(attr_i(&args, "stream"));
  const auto threshold = static_cast<std::uint64_t>(std::floor(p * 4294967296.0));
  const std::array<std::uint32_t, 2> key = {static_cast<std::uint32_t>(seed[0]),
                                            static_cast<std::uint32_t>(seed[1])};
  for (std::int64_t r = 0; r < view.shape[0]; ++r) {
    Values x = load(row_of(view, r));
    const std::vector<std::int32_t> place = load_ids(row_of(keys, r));
    for (std::size_t e = 0; e < x.size(); ++e) {
      const auto words =
          philox4x32_10({static_cast<std::uint32_t>(e / 4), static_cast<std::uint32_t>(place[0]),
                         static_cast<std::uint32_t>(place[1]), stream},
                        key);
      x[e] = words[e % 4] >= threshold ? x[e] / (1 - p) : 0;
    }
    store(x, row_of(args.out[0], r));
  }
}

}  // namespace graft::ref
