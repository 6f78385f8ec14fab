// Kernels that make each element from the operands' elements at the same place. All operands are
// read before anything is written, so out == in is safe.
#include <cmath>

#include "kernels.hpp"

namespace graft::ref {
namespace {

template <typename F>
void unary(const graft_kernel_args& args, F&& f) {
  require(same_shape(args.in[0], args.out[0]), "x and y have different shapes");
  Values x = load(args.in[0]);
  for (double& value : x) value = f(value);
  store(x, args.out[0]);
}

template <typename F>
void binary(const graft_kernel_args& args, F&& f) {
  require(same_shape(args.in[0], args.out[0]) && same_shape(args.in[1], args.out[0]),
          "operands of an elementwise kernel have different shapes (broadcast is stride 0)");
  Values a = load(args.in[0]);
  const Values b = load(args.in[1]);
  for (std::size_t i = 0; i < a.size(); ++i) a[i] = f(a[i], b[i]);
  store(a, args.out[0]);
}

double sigmoid(double x) {
  return 1 / (1 + std::exp(-x));
}
double sign(double x) {
  return x > 0 ? 1 : x < 0 ? -1 : 0;
}

constexpr double kSqrtHalf = 0.70710678118654752440;       // 1 / sqrt(2)
constexpr double kNormalDensity = 0.39894228040143267794;  // 1 / sqrt(2 pi)
constexpr double kSqrtTwoOverPi = 0.79788456080286535588;
constexpr double kGeluCubic = 0.044715;

}  // namespace

double act_value(std::int64_t kind, double x) {
  switch (kind) {
    case GRAFT_ACT_RELU:
      return x > 0 ? x : 0;
    case GRAFT_ACT_GELU:
      return x / 2 * (1 + std::erf(x * kSqrtHalf));
    case GRAFT_ACT_GELU_TANH:
      return x / 2 * (1 + std::tanh(kSqrtTwoOverPi * (x + kGeluCubic * x * x * x)));
    case GRAFT_ACT_SILU:
      return x * sigmoid(x);
    case GRAFT_ACT_TANH:
      return std::tanh(x);
    case GRAFT_ACT_SIGMOID:
      return sigmoid(x);
    case GRAFT_ACT_EXP:
      return std::exp(x);
    case GRAFT_ACT_SQRT:
      return std::sqrt(x);
    case GRAFT_ACT_ABS:
      return std::fabs(x);
    case GRAFT_ACT_SIGN:
      return sign(x);
    default:
      throw std::invalid_argument("act: kind is not one of GRAFT_ACT_*");
  }
}

double act_derivative(std::int64_t kind, double x) {
  switch (kind) {
    case GRAFT_ACT_RELU:
      return x > 0 ? 1 : 0;
    case GRAFT_ACT_GELU:
      return (1 + std::erf(x * kSqrtHalf)) / 2 + x * kNormalDensity * std::exp(-x * x / 2);
    case GRAFT_ACT_GELU_TANH: {
      const double t = std::tanh(kSqrtTwoOverPi * (x + kGeluCubic * x * x * x));
      return (1 + t) / 2 + x / 2 * (1 - t * t) * kSqrtTwoOverPi * (1 + 3 * kGeluCubic * x * x);
    }
    case GRAFT_ACT_SILU: {
      const double s = sigmoid(x);
      return s * (1 + x * (1 - s));
    }
    case GRAFT_ACT_TANH: {
      const double t = std::tanh(x);
      return 1 - t * t;
    }
    case GRAFT_ACT_SIGMOID: {
      const double s = sigmoid(x);
      return s * (1 - s);
    }
    case GRAFT_ACT_EXP:
      return std::exp(x);
    case GRAFT_ACT_SQRT:
      return 0.5 / std::sqrt(x);
    case GRAFT_ACT_ABS:
      return sign(x);
    case GRAFT_ACT_SIGN:
      return 0;
    default:
      throw std::invalid_argument("act: kind is not one of GRAFT_ACT_*");
  }
}

void copy(const graft_kernel_args& args) {
  require(same_shape(args.in[0], args.out[0]), "x and y have different shapes");
  const Readable from(args.in[0]);
  const bool accumulate = attr_i(&args, "accumulate") != 0;
  if (from.view.ndim < 2) return store(load(from.view), args.out[0], accumulate);
  // Row by row: a model's largest tensor in f64 would be the peak of loading it.
  for (std::int64_t row = 0; row < from.view.shape[0]; ++row) {
    store(load(row_of(from.view, row)), row_of(args.out[0], row), accumulate);
  }
}

void fill(const graft_kernel_args& args) {
  const Values values(static_cast<std::size_t>(elements(args.out[0])), attr_f(&args, "value"));
  store(values, args.out[0]);
}

void add(const graft_kernel_args& args) {
  binary(args, [](double a, double b) { return a + b; });
}
void sub(const graft_kernel_args& args) {
  binary(args, [](double a, double b) { return a - b; });
}
void mul(const graft_kernel_args& args) {
  binary(args, [](double a, double b) { return a * b; });
}
void div(const graft_kernel_args& args) {
  binary(args, [](double a, double b) { return a / b; });
}

void affine(const graft_kernel_args& args) {
  const double factor = attr_f(&args, "mul", 1), term = attr_f(&args, "add");
  unary(args, [&](double x) { return x * factor + term; });
}

void act(const graft_kernel_args& args) {
  const std::int64_t kind = attr_i(&args, "kind");
  unary(args, [&](double x) { return act_value(kind, x); });
}

void act_bwd(const graft_kernel_args& args) {
  const std::int64_t kind = attr_i(&args, "kind");
  binary(args, [&](double dy, double x) { return dy * act_derivative(kind, x); });
}

}  // namespace graft::ref
