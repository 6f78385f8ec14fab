#include <cmath>

#include "kernels.hpp"

namespace graft::ref {
namespace {

struct Rotation {
  double cos, sin;
};

// Angle and sine in F32, or F64 for T = f64; rounded to T.
Rotation rotation_at(std::int32_t position, double inv_freq, double scale, std::uint32_t dtype) {
  if (dtype == GRAFT_F64) {
    const double angle = position * inv_freq;
    return {std::cos(angle) * scale, std::sin(angle) * scale};
  }
  const float angle = static_cast<float>(position) * static_cast<float>(inv_freq);
  const auto factor = static_cast<float>(scale);
  return {round_to(dtype, static_cast<double>(std::cos(angle) * factor)),
          round_to(dtype, static_cast<double>(std::sin(angle) * factor))};
}

}  // namespace

// y1 = x1 cos - x2 sin, y2 = x2 cos + x1 sin for the pair (x1, x2) = (x[i], x[i + rotary/2]).
void rope(const graft_kernel_args& args) {
  const graft_view& view = args.in[0];
  require(view.ndim == 3 && same_shape(view, args.out[0]), "rope: x and y are [rows, heads, d]");
  Values x = load(view);
  const std::vector<std::int32_t> positions = load_ids(args.in[1]);
  const Values inv_freq = load(args.in[2]);
  const std::int64_t rows = view.shape[0], heads = view.shape[1], d = view.shape[2];
  const bool by_row = args.in[2].ndim == 2;
  require(!by_row || args.in[2].shape[0] == rows, "rope: inv_freq is not [rows, rotary / 2]");
  const std::int64_t half = last_extent(args.in[2]);
  require(static_cast<std::int64_t>(positions.size()) == rows, "rope: positions is not [rows]");
  require(2 * half <= d, "rope: inv_freq is longer than half of head_dim");
  const double scale = attr_f(&args, "scale", 1);
  const bool inverse = attr_i(&args, "inverse");
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t i = 0; i < half; ++i) {
      Rotation by =
          rotation_at(positions[r], inv_freq[by_row ? r * half + i : i], scale, view.dtype);
      if (inverse) by.sin = -by.sin;
      for (std::int64_t h = 0; h < heads; ++h) {
        double& first = x[(r * heads + h) * d + i];
        double& second = x[(r * heads + h) * d + i + half];
        const double rotated = first * by.cos - second * by.sin;
        second = second * by.cos + first * by.sin;
        first = rotated;
      }
    }
  }
  store(x, args.out[0]);
}

}  // namespace graft::ref
