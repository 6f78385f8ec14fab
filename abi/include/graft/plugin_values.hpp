// graft/plugin_values.hpp: the part of plugin.hpp that works on a recording and on options: errors,
// configuration, values and their operators.
#ifndef GRAFT_PLUGIN_VALUES_HPP
#define GRAFT_PLUGIN_VALUES_HPP
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "plugin.h"

#pragma GCC visibility push(hidden)
namespace graft::plugin {

// ---- errors -------------------------------------------------------------------------------------

/// Say who, what is wrong with its value, where, and what would be right.
class Error : public std::runtime_error {
 public:
  Error(graft_status status, const std::string& message)
      : std::runtime_error(message), status_(status) {}
  graft_status status() const { return status_; }

 private:
  graft_status status_;
};

/// Throws an Error of the parts in a row: texts and whole numbers.
template <class... Parts>
[[noreturn]] void refuse(const Parts&... parts) {
  std::string text;
  const auto add = [&](const auto& part) {
    if constexpr (std::is_integral_v<std::decay_t<decltype(part)>>) {
      text += std::to_string(part);
    } else {
      text += part;
    }
  };
  (add(parts), ...);
  throw Error(GRAFT_E_INVALID, text);
}

/// Writes an error, its text cut at a code point where it is too long. `error` may be NULL.
inline graft_status put(graft_error* error, graft_status status, std::string_view text) noexcept {
  if (!error) return status;
  std::size_t n = text.size();
  if (n >= sizeof error->message) {
    n = sizeof error->message - 1;
    while (n > 0 && (static_cast<unsigned char>(text[n]) & 0xC0) == 0x80) --n;
  }
  if (n > 0) std::memcpy(error->message, text.data(), n);
  error->message[n] = 0;
  error->code = status;
  return status;
}

/// Runs f, which returns a graft_status. No exception leaves the plugin.
template <class F>
graft_status guard(graft_error* error, F&& f) noexcept {
  try {
    return f();
  } catch (const Error& e) {
    return put(error, e.status(), e.what());
  } catch (const std::bad_alloc&) {
    return put(error, GRAFT_E_NO_MEMORY, "out of memory");
  } catch (const std::exception& e) {
    return put(error, GRAFT_E_INTERNAL, e.what());
  } catch (...) {
    return put(error, GRAFT_E_INTERNAL, "an exception of an unknown type");
  }
}

// ---- host and configuration ---------------------------------------------------------------------

/// The entry's options. A path is a JSON Pointer; the schema has settled presence and type.
class Config {
 public:
  explicit Config(const graft_config* c) : c_(c) {}
  std::int64_t i64(const char* path) const { return c_->api->get_i64(c_, path); }
  double f64(const char* path) const { return c_->api->get_f64(c_, path); }
  bool flag(const char* path) const { return i64(path) != 0; }
  std::string_view str(const char* path) const { return c_->api->get_str(c_, path); }
  std::uint32_t count(const char* path) const { return c_->api->count(c_, path); }
  std::string_view json(const char* path) const { return c_->api->json(c_, path); }
  /// A list of whole numbers, or of booleans.
  std::vector<std::int64_t> integers(const std::string& path) const {
    std::vector<std::int64_t> list;
    for (std::uint32_t i = 0; i < count(path.c_str()); ++i) {
      list.push_back(i64((path + "/" + std::to_string(i)).c_str()));
    }
    return list;
  }
  /// A list of strings.
  std::vector<std::string> strings(const std::string& path) const {
    std::vector<std::string> list;
    for (std::uint32_t i = 0; i < count(path.c_str()); ++i) {
      list.emplace_back(str((path + "/" + std::to_string(i)).c_str()));
    }
    return list;
  }

 private:
  const graft_config* c_;
};

class Host {
 public:
  explicit Host(const graft_host* host) : host_(host) {}
  /// level: GRAFT_LOG_*
  void log(std::int32_t level, const char* source, const std::string& message) const {
    host_->log(host_, level, source, message.c_str());
  }

 private:
  const graft_host* host_;
};

// ---- values -------------------------------------------------------------------------------------

/// A parameter as attach() declared it; a Hook makes a Value of it.
struct Param {
  graft_tensor* tensor = nullptr;
};

/// A value of the recording: two pointers, copied freely, owning nothing. Operators record. After
/// an error values are empty and further operators do nothing, so no checks are needed between.
class Value {
 public:
  Value() = default;
  Value(graft_ctx* ctx, graft_tensor* tensor) : ctx_(ctx), tensor_(tensor) {}
  graft_ctx* ctx() const { return ctx_; }
  graft_tensor* tensor() const { return tensor_; }
  explicit operator bool() const { return tensor_ != nullptr; }

  /// A count, or a negative symbol for an extent that varies from run to run. -1: the last axis.
  std::int64_t dim(std::int32_t axis) const { return ops().dim(ctx_, tensor_, axis); }
  std::uint32_t rank() const { return ops().rank(ctx_, tensor_); }
  std::uint32_t dtype() const { return ops().dtype(ctx_, tensor_); }

  /// Matrix products over the last two axes: a b, a bᵀ, aᵀ b.
  Value mm(Value b) const { return make(ops().matmul(ctx_, tensor_, b.tensor_, 0)); }
  Value mmT(Value b) const { return make(ops().matmul(ctx_, tensor_, b.tensor_, GRAFT_TRANS_B)); }
  Value tmm(Value b) const { return make(ops().matmul(ctx_, tensor_, b.tensor_, GRAFT_TRANS_A)); }

  /// this · mul + add
  Value affine(double mul, double add) const { return make(ops().affine(ctx_, tensor_, mul, add)); }
  Value act(std::int32_t kind) const { return make(ops().act(ctx_, tensor_, kind)); }
  Value relu() const { return act(GRAFT_ACT_RELU); }
  Value gelu() const { return act(GRAFT_ACT_GELU); }
  Value silu() const { return act(GRAFT_ACT_SILU); }
  Value tanh() const { return act(GRAFT_ACT_TANH); }
  Value sigmoid() const { return act(GRAFT_ACT_SIGMOID); }
  Value exp() const { return act(GRAFT_ACT_EXP); }
  Value sqrt() const { return act(GRAFT_ACT_SQRT); }
  Value abs() const { return act(GRAFT_ACT_ABS); }
  Value sum(std::int32_t axis, bool keep_dim = false) const {
    return make(ops().sum(ctx_, tensor_, axis, keep_dim ? 1 : 0));
  }
  Value softmax() const { return make(ops().softmax(ctx_, tensor_)); }
  Value rms_norm(Value weight, double eps) const {
    return make(ops().norm(ctx_, tensor_, weight.tensor_, nullptr, GRAFT_NORM_RMS, eps));
  }
  /// `bias` may be empty.
  Value layer_norm(Value weight, Value bias, double eps) const {
    return make(ops().norm(ctx_, tensor_, weight.tensor_, bias.tensor_, GRAFT_NORM_LAYER, eps));
  }
  /// table[this]: this holds ids.
  Value gather_from(Value table) const { return make(ops().gather(ctx_, table.tensor_, tensor_)); }
  Value cast(std::uint32_t to) const { return make(ops().cast(ctx_, tensor_, to)); }
  Value detach() const { return make(ops().detach(ctx_, tensor_)); }
  /// Nothing is recorded for p = 0.
  Value dropout(double p) const { return p > 0 ? make(ops().dropout(ctx_, tensor_, p)) : *this; }

  Value reshape(std::initializer_list<std::int64_t> dims) const {
    return make(ops().reshape(ctx_, tensor_, dims.begin(), size(dims)));
  }
  Value expand(std::initializer_list<std::int64_t> dims) const {
    return make(ops().expand(ctx_, tensor_, dims.begin(), size(dims)));
  }
  Value permute(std::initializer_list<std::int32_t> axes) const {
    return make(ops().permute(ctx_, tensor_, axes.begin(), size(axes)));
  }
  /// [n, b (b - 1) / 2] to skew-symmetric matrices [n, b, b], of which it is the upper triangle.
  Value skew() const;
  /// (this + shift 1)^-1 of square matrices [n, b, b].
  Value inverse(double shift = 0) const;
  /// Orthonormal columns that span those of matrices [n, a, b], b <= a.
  Value orthonormal() const;
  /// A matrix transposed.
  Value t() const { return permute({1, 0}); }
  Value slice(std::int32_t axis, std::int64_t from, std::int64_t to) const {
    return make(ops().slice(ctx_, tensor_, axis, from, to));
  }

  friend Value operator+(Value a, Value b) {
    return a.make(a.ops().add(a.ctx_, a.tensor_, b.tensor_));
  }
  friend Value operator-(Value a, Value b) {
    return a.make(a.ops().sub(a.ctx_, a.tensor_, b.tensor_));
  }
  friend Value operator*(Value a, Value b) {
    return a.make(a.ops().mul(a.ctx_, a.tensor_, b.tensor_));
  }
  friend Value operator/(Value a, Value b) {
    return a.make(a.ops().div(a.ctx_, a.tensor_, b.tensor_));
  }
  friend Value operator+(Value a, double c) { return a.affine(1, c); }
  friend Value operator+(double c, Value a) { return a.affine(1, c); }
  friend Value operator-(Value a, double c) { return a.affine(1, -c); }
  friend Value operator-(double c, Value a) { return a.affine(-1, c); }
  friend Value operator*(Value a, double c) { return a.affine(c, 0); }
  friend Value operator*(double c, Value a) { return a.affine(c, 0); }
  friend Value operator/(Value a, double c) { return a.affine(1 / c, 0); }
  friend Value operator-(Value a) { return a.affine(-1, 0); }

 private:
  const graft_ops_api& ops() const { return *ctx_->ops; }
  Value make(graft_tensor* tensor) const { return {ctx_, tensor}; }
  template <class List>
  static std::uint32_t size(const List& list) {
    return static_cast<std::uint32_t>(list.size());
  }

  graft_ctx* ctx_ = nullptr;
  graft_tensor* tensor_ = nullptr;
};

inline Value concat(const std::vector<Value>& parts, std::int32_t axis) {
  std::vector<graft_tensor*> raw;
  for (const Value& part : parts) raw.push_back(part.tensor());
  graft_ctx* ctx = parts.begin()->ctx();
  return {ctx, ctx->ops->concat(ctx, raw.data(), static_cast<std::uint32_t>(raw.size()), axis)};
}

inline graft_attr attr(const char* name, std::int64_t i) {
  return {name, nullptr, i, 0};
}
inline graft_attr attr(const char* name, int i) {
  return {name, nullptr, i, 0};
}
inline graft_attr attr(const char* name, double f) {
  return {name, nullptr, 0, f};
}
inline graft_attr attr(const char* name, const char* s) {
  return {name, s, 0, 0};
}

/// An op by its name, with N results: call<2>("..", {x}, {attr("eps", 1e-5)}). The first input
/// tells the recording and must be there.
template <std::size_t N>
std::array<Value, N> call(const char* op, std::initializer_list<Value> in,
                          std::initializer_list<graft_attr> attrs = {}) {
  std::vector<graft_tensor*> raw, made(N, nullptr);
  for (const Value& value : in) raw.push_back(value.tensor());
  graft_ctx* ctx = in.begin()->ctx();
  ctx->ops->call(ctx, op, raw.data(), static_cast<std::uint32_t>(raw.size()), attrs.begin(),
                 static_cast<std::uint32_t>(attrs.size()), made.data(),
                 static_cast<std::uint32_t>(N));
  std::array<Value, N> out;
  for (std::size_t i = 0; i < N; ++i) out[i] = Value(ctx, made[i]);
  return out;
}

inline Value Value::skew() const {
  return call<1>("skew", {*this})[0];
}
inline Value Value::inverse(double shift) const {
  return call<1>("inverse", {*this}, {attr("shift", shift)})[0];
}
inline Value Value::orthonormal() const {
  return call<1>("orthonormal", {*this})[0];
}

// ---- of the tables of methods and optimizers ----------------------------------------------------

namespace detail {
template <class T>
T* create(const graft_host* host, const graft_config* config) {
  if constexpr (std::is_constructible_v<T, Host, Config>) {
    return new T(Host(host), Config(config));
  } else {
    return new T(Config(config));
  }
}

/// The sticky error of a recording gets what a member threw; an earlier error stays.
template <class F>
graft_status record(graft_ctx* ctx, F&& f) noexcept {
  graft_error error{};
  const graft_status status = guard(&error, [&] {
    f();
    return ctx->ops->status(ctx);
  });
  if (status < 0 && ctx->ops->status(ctx) == GRAFT_OK) ctx->ops->fail(ctx, status, error.message);
  return status;
}
}  // namespace detail
}  // namespace graft::plugin
#pragma GCC visibility pop
#endif
