// Arithmetic with broadcasting, activations, SwiGLU, conversions.
#include "plugins/backends/cpu/isa/elementwise.hpp"

#include <graft/plugin.h>

#include "plugins/backends/cpu/isa/families.hpp"

namespace graft_cpu {
namespace GRAFT_ISA {

void binary(const ElementCall* c, Binary op) {
  with_type(c->type, [&](auto t) {
    typedef typename decltype(t)::type T;
    switch (op) {
      case Binary::kAdd:
        return map2<T>(*c, [](F a, F b) { return a + b; });
      case Binary::kSub:
        return map2<T>(*c, [](F a, F b) { return a - b; });
      case Binary::kMul:
        return map2<T>(*c, [](F a, F b) { return a * b; });
      case Binary::kDiv:
        return map2<T>(*c, [](F a, F b) { return a / b; });
    }
  });
}

void affine(const ElementCall* c, float mul, float add) {
  with_type(c->type, [&](auto t) {
    map1<typename decltype(t)::type>(*c, [=](F x) { return x * mul + add; });
  });
}

// ---- activations --------------------------------------------------------------------------------

namespace {

constexpr float kRootHalf = 0.707106781f, kGelu = 0.797884561f, kGeluCubic = 0.044715f;

F gelu_argument(F x) {
  return kGelu * (x + kGeluCubic * x * x * x);
}

/// f(value) with value(x), the activation.
template <class Use>
int32_t with_act(int32_t kind, Use f) {
  switch (kind) {
    case GRAFT_ACT_RELU:
      f([](F x) { return x > 0.0f ? x : (x != x ? x : F{}); });
      return 1;
    case GRAFT_ACT_GELU:
      f([](F x) { return 0.5f * x * (1.0f + verf(x * kRootHalf)); });
      return 1;
    case GRAFT_ACT_GELU_TANH:
      f([](F x) { return x * sigmoid(2.0f * gelu_argument(x)); });  // (1 + tanh u) / 2
      return 1;
    case GRAFT_ACT_SILU:
      f([](F x) { return x * sigmoid(x); });
      return 1;
    case GRAFT_ACT_TANH:
      f([](F x) { return vtanh(x); });
      return 1;
    case GRAFT_ACT_SIGMOID:
      f([](F x) { return sigmoid(x); });
      return 1;
    case GRAFT_ACT_EXP:
      f([](F x) { return vexp(x); });
      return 1;
    case GRAFT_ACT_SQRT:
      f([](F x) { return vsqrt(x); });
      return 1;
    case GRAFT_ACT_ABS:
      f([](F x) { return absolute(x); });
      return 1;
    case GRAFT_ACT_SIGN:
      f([](F x) { return x > 0.0f ? splat(1) : (x < 0.0f ? splat(-1) : x); });
      return 1;
    default:
      return 0;
  }
}

/// f(derivative) with derivative(x).
template <class Use>
int32_t with_derivative(int32_t kind, Use f) {
  switch (kind) {
    case GRAFT_ACT_RELU:
      f([](F x) { return x > 0.0f ? splat(1) : F{}; });
      return 1;
    case GRAFT_ACT_GELU:
      f([](F x) {
        const float root = 0.398942280f;  // 1 / sqrt(2 pi)
        return 0.5f * (1.0f + verf(x * kRootHalf)) + x * root * vexp(-0.5f * x * x);
      });
      return 1;
    case GRAFT_ACT_GELU_TANH:
      f([](F x) {
        const F twice = 2.0f * gelu_argument(x);
        const F s = sigmoid(twice), rest = sigmoid(-twice);  // 1 - s without cancellation
        return s + 2.0f * x * s * rest * kGelu * (1.0f + 3 * kGeluCubic * x * x);
      });
      return 1;
    case GRAFT_ACT_SILU:
      f([](F x) {
        const F s = sigmoid(x);
        return s * (1.0f + x * (1.0f - s));
      });
      return 1;
    case GRAFT_ACT_TANH:
      f([](F x) {
        const F t = vtanh(x);
        return 1.0f - t * t;
      });
      return 1;
    case GRAFT_ACT_SIGMOID:
      f([](F x) {
        const F s = sigmoid(x);
        return s * (1.0f - s);
      });
      return 1;
    case GRAFT_ACT_EXP:
      f([](F x) { return vexp(x); });
      return 1;
    case GRAFT_ACT_SQRT:
      f([](F x) { return 0.5f / vsqrt(x); });
      return 1;
    case GRAFT_ACT_ABS:
      f([](F x) { return x > 0.0f ? splat(1) : (x < 0.0f ? splat(-1) : x); });
      return 1;
    case GRAFT_ACT_SIGN:
      f([](F) { return F{}; });
      return 1;
    default:
      return 0;
  }
}

}  // namespace

int32_t act(const ElementCall* c, int32_t kind) {
  return with_act(kind, [&](auto f) {
    with_type(c->type, [&](auto t) { map1<typename decltype(t)::type>(*c, f); });
  });
}

int32_t act_bwd(const ElementCall* c, int32_t kind) {
  return with_derivative(kind, [&](auto f) {
    with_type(c->type, [&](auto t) {
      map2<typename decltype(t)::type>(*c, [&](F dy, F x) { return dy * f(x); });
    });
  });
}

void swiglu(const ElementCall* c) {
  with_type(c->type, [&](auto t) {
    map2<typename decltype(t)::type>(*c, [](F gate, F up) { return gate * sigmoid(gate) * up; });
  });
}

void swiglu_bwd(const ElementCall* c) {
  with_type(c->type, [&](auto t) {
    typedef typename decltype(t)::type T;
    for_pieces(*c, [&](int64_t run, int64_t from, int64_t to) {
      T* p[5];
      for (int i = 0; i < 5; ++i) p[i] = (T*)c->data[i] + offset(c->nest, run, i);
      const Run<T> dys{p[0], c->step[0]}, gates{p[1], c->step[1]}, ups{p[2], c->step[2]};
      strip(to - from, [&](int64_t piece, auto n) {
        const int64_t j = from + piece;
        const F dy = dys.at(j, n), gate = gates.at(j, n), up = ups.at(j, n);
        const F s = sigmoid(gate);
        put(p[3], c->step[3], j, dy * up * s * (1.0f + gate * (1.0f - s)), n);
        put(p[4], c->step[4], j, dy * gate * s, n);
      });
    });
  });
}

// ---- conversions --------------------------------------------------------------------------------

namespace {

template <class X, class Y>
void convert_runs(const ElementCall& c, bool accumulate) {
  for_pieces(c, [&](int64_t run, int64_t from, int64_t to) {
    const X* x = (const X*)c.data[0] + offset(c.nest, run, 0) + from;
    Y* y = (Y*)c.data[1] + offset(c.nest, run, 1) + from;
    if (accumulate)
      strip(to - from,
            [&](int64_t j, auto n) { store(y + j, load(y + j, n) + load(x + j, n), n); });
    else
      strip(to - from, [&](int64_t j, auto n) { store(y + j, load(x + j, n), n); });
  });
}

template <class X>
void convert_from(const ElementCall& c, Type to, bool accumulate) {
  if (to == kF32) return convert_runs<X, float>(c, accumulate);
  if (to == kBf16) return convert_runs<X, Bf16>(c, accumulate);
  convert_runs<X, F16>(c, accumulate);
}

}  // namespace

void convert(const ElementCall* c, Type from, Type to, int32_t accumulate) {
  if (from == kF32) return convert_from<float>(*c, to, accumulate);
  if (from == kBf16) return convert_from<Bf16>(*c, to, accumulate);
  convert_from<F16>(*c, to, accumulate);
}

}  // namespace GRAFT_ISA
}  // namespace graft_cpu
