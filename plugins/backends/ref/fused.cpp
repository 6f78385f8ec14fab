// The optional kernels: one call for what the host otherwise decomposes.
#include <algorithm>
#include <cmath>
#include <graft/dynamic8.hpp>

#include "kernels.hpp"

namespace graft::ref {

void swiglu(const graft_kernel_args& args) {
  require(same_shape(args.in[0], args.out[0]) && same_shape(args.in[1], args.out[0]),
          "swiglu: gate, up and y differ in shape");
  Values y = load(args.in[0]);
  const Values up = load(args.in[1]);
  for (std::size_t i = 0; i < y.size(); ++i) y[i] = act_value(GRAFT_ACT_SILU, y[i]) * up[i];
  store(y, args.out[0]);
}

void swiglu_bwd(const graft_kernel_args& args) {
  for (int i = 0; i < 3; ++i)
    require(same_shape(args.in[i], args.out[0]) && same_shape(args.in[i], args.out[1]),
            "swiglu_bwd: operands differ in shape");
  const Values dy = load(args.in[0]);
  Values gate = load(args.in[1]), up = load(args.in[2]);
  for (std::size_t i = 0; i < dy.size(); ++i) {
    const double x = gate[i];
    gate[i] = dy[i] * up[i] * act_derivative(GRAFT_ACT_SILU, x);
    up[i] = dy[i] * act_value(GRAFT_ACT_SILU, x);
  }
  store(gate, args.out[0]);
  store(up, args.out[1]);
}

void add_norm(const graft_kernel_args& args) {
  const graft_view& x = args.in[0];
  require(same_shape(x, args.in[1]) && same_shape(x, args.out[0]) && same_shape(x, args.out[1]),
          "add_norm: x, r, s and y differ in shape");
  Values s = load(x);
  const Values r = load(args.in[1]), weight = norm_weight(args, 2);
  const std::int64_t d = last_extent(x);
  require(static_cast<std::int64_t>(weight.size()) == d, "add_norm: weight is not [d]");
  // The norm sees the sum as it is stored.
  for (std::size_t i = 0; i < s.size(); ++i) s[i] = round_to(x.dtype, s[i] + r[i]);
  store(s, args.out[0]);
  const std::int64_t kind = attr_i(&args, "kind");
  const double eps = attr_f(&args, "eps");
  for (double* row = s.data(); row != s.data() + s.size(); row += d)
    norm_row(row, weight.data(), nullptr, row, d, kind, eps, x.dtype);
  store(s, args.out[1]);
}

void adam_update(const graft_kernel_args& args) {
  const Values grad = load(args.in[0]);
  const double decay = load(args.in[1]).at(0), step_size = load(args.in[2]).at(0),
               denom_scale = load(args.in[3]).at(0);
  for (int i = 0; i < 3; ++i)
    require(same_shape(args.in[0], args.out[i]), "adam_update: grad, param, m, v differ in shape");
  Values param = load(args.out[0]), m = load(args.out[1]), v = load(args.out[2]);
  const double beta1 = attr_f(&args, "beta1"), beta2 = attr_f(&args, "beta2"),
               eps = attr_f(&args, "eps");
  for (std::size_t i = 0; i < grad.size(); ++i) {
    m[i] = beta1 * m[i] + (1 - beta1) * grad[i];
    v[i] = beta2 * v[i] + (1 - beta2) * grad[i] * grad[i];
    param[i] = param[i] * decay - step_size * m[i] / (std::sqrt(v[i]) * denom_scale + eps);
  }
  store(param, args.out[0]);
  store(m, args.out[1]);
  store(v, args.out[2]);
}

namespace {

/// The numbers of a state, out of their codes.
std::vector<float> expanded(const Values& codes, const Values& scales, const dynamic8::Map& map) {
  std::vector<float> x;
  for (std::size_t i = 0; i < codes.size(); ++i) {
    x.push_back(map.value[static_cast<std::uint8_t>(codes[i])] *
                static_cast<float>(scales[i / dynamic8::kBlock]));
  }
  return x;
}

void keep(const std::vector<float>& x, const dynamic8::Map& map, const graft_view& codes,
          const graft_view& scales) {
  Values code(x.size()), scale((x.size() + dynamic8::kBlock - 1) / dynamic8::kBlock);
  for (std::size_t i = 0; i < x.size(); ++i) {
    double& largest = scale[i / dynamic8::kBlock];
    largest = std::max(largest, std::fabs(static_cast<double>(x[i])));
  }
  for (std::size_t i = 0; i < x.size(); ++i) {
    const float inverse = dynamic8::inverse_scale(static_cast<float>(scale[i / dynamic8::kBlock]));
    code[i] = map.code[dynamic8::place_of(x[i], inverse)];
  }
  store(code, codes);
  store(scale, scales);
}

}  // namespace

void adam8_update(const graft_kernel_args& args) {
  for (int i = 0; i < 3; ++i)
    require(same_shape(args.in[0], args.out[i]), "adam8_update: grad, param, m, v differ in shape");
  require(args.out[1].dtype == GRAFT_U8 && args.out[2].dtype == GRAFT_U8,
          "adam8_update: m and v are not U8 [n]");
  const Values grad = load(args.in[0]);
  const std::size_t blocks = (grad.size() + dynamic8::kBlock - 1) / dynamic8::kBlock;
  for (int i = 3; i < 5; ++i)
    require(static_cast<std::size_t>(elements(args.out[i])) == blocks,
            "adam8_update: m_scale and v_scale have one number for each 256 of the gradient");
  const double decay = load(args.in[1]).at(0), step_size = load(args.in[2]).at(0),
               denom_scale = load(args.in[3]).at(0), eps = attr_f(&args, "eps");
  const auto beta1 = static_cast<float>(attr_f(&args, "beta1")),
             beta2 = static_cast<float>(attr_f(&args, "beta2")),
             rest1 = static_cast<float>(1 - attr_f(&args, "beta1")),
             rest2 = static_cast<float>(1 - attr_f(&args, "beta2"));
  const dynamic8::Map &signed_map = dynamic8::map(true), &plain = dynamic8::map(false);
  std::vector<float> m = expanded(load(args.out[1]), load(args.out[3]), signed_map),
                     v = expanded(load(args.out[2]), load(args.out[4]), plain);
  Values param = load(args.out[0]);
  for (std::size_t i = 0; i < grad.size(); ++i) {
    const auto g = static_cast<float>(grad[i]);
    const float kept_m = beta1 * m[i], kept_v = beta2 * v[i], part = rest2 * g;
    m[i] = std::fma(rest1, g, kept_m);
    v[i] = std::fma(part, g, kept_v);
    param[i] = param[i] * decay -
               step_size * m[i] / (std::sqrt(static_cast<double>(v[i])) * denom_scale + eps);
  }
  store(param, args.out[0]);
  keep(m, signed_map, args.out[1], args.out[3]);
  keep(v, plain, args.out[2], args.out[4]);
}

void sum_squares(const graft_kernel_args& args) {
  double sum = 0;
  for (const double x : load(args.in[0])) sum += x * x;
  store(&sum, args.out[0]);
}

}  // namespace graft::ref
