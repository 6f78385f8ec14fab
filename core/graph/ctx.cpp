#include "core/graph/ctx.hpp"

#include <algorithm>
#include <cstring>

#include "core/base/error.hpp"

namespace graft::core {
namespace {

OpsContext& self(const graft_ctx* c) {
  return *reinterpret_cast<const OpsContext::CCtx*>(c)->self;
}

/// Runs `body`, which gives a value; errors become sticky, NULL operands give NULL.
template <class Body>
graft_tensor* guarded(graft_ctx* c, std::initializer_list<const graft_tensor*> operands,
                      Body body) noexcept {
  OpsContext& ctx = self(c);
  if (ctx.status() < 0) return nullptr;
  for (const graft_tensor* t : operands) {
    if (!t) {
      ctx.fail(GRAFT_E_INVALID, "an op was given NULL instead of a value");
      return nullptr;
    }
  }
  try {
    return ctx.handle(body(ctx));
  } catch (const Error& e) {
    ctx.fail(e.status(), e.what());
  } catch (const std::exception& e) {
    ctx.fail(GRAFT_E_INTERNAL, e.what());
  }
  return nullptr;
}

graft_status c_status(const graft_ctx* c) {
  return self(c).status();
}
void c_fail(graft_ctx* c, graft_status status, const char* message) {
  self(c).fail(status < 0 ? status : graft_status{GRAFT_E_INTERNAL}, message ? message : "");
}

template <class Body>
std::int64_t queried(graft_ctx* c, const graft_tensor* t, Body body) noexcept {
  OpsContext& ctx = self(c);
  if (ctx.status() < 0 || !t) return 0;
  try {
    return body(ctx, ctx.value(t));
  } catch (const Error& e) {
    ctx.fail(e.status(), e.what());
  } catch (const std::exception& e) {
    ctx.fail(GRAFT_E_INTERNAL, e.what());
  }
  return 0;
}

std::int64_t c_dim(graft_ctx* c, const graft_tensor* t, std::int32_t axis) {
  return queried(c, t, [&](OpsContext& ctx, ValueId id) -> std::int64_t {
    const Shape& shape = ctx.recorder().shape(id);
    const auto n = static_cast<std::int32_t>(shape.size());
    const std::int32_t i = axis < 0 ? axis + n : axis;
    if (i < 0 || i >= n) return 0;
    return ctx.number_of(shape[static_cast<std::size_t>(i)]);
  });
}
std::uint32_t c_rank(graft_ctx* c, const graft_tensor* t) {
  return static_cast<std::uint32_t>(queried(c, t, [](OpsContext& ctx, ValueId id) {
    return static_cast<std::int64_t>(ctx.recorder().shape(id).size());
  }));
}
std::uint32_t c_dtype(graft_ctx* c, const graft_tensor* t) {
  return static_cast<std::uint32_t>(queried(c, t, [](OpsContext& ctx, ValueId id) {
    return static_cast<std::int64_t>(ctx.recorder().dtype(id));
  }));
}

graft_tensor* c_matmul(graft_ctx* c, graft_tensor* a, graft_tensor* b, std::uint32_t flags) {
  return guarded(c, {a, b},
                 [&](OpsContext& x) { return x.recorder().matmul(x.value(a), x.value(b), flags); });
}

graft_tensor* binary(graft_ctx* c, const char* op, graft_tensor* a, graft_tensor* b) {
  return guarded(c, {a, b}, [&](OpsContext& x) {
    return x.recorder().one(op, {x.value(a), x.value(b)});
  });
}
graft_tensor* c_add(graft_ctx* c, graft_tensor* a, graft_tensor* b) {
  return binary(c, "add", a, b);
}
graft_tensor* c_sub(graft_ctx* c, graft_tensor* a, graft_tensor* b) {
  return binary(c, "sub", a, b);
}
graft_tensor* c_mul(graft_ctx* c, graft_tensor* a, graft_tensor* b) {
  return binary(c, "mul", a, b);
}
graft_tensor* c_div(graft_ctx* c, graft_tensor* a, graft_tensor* b) {
  return binary(c, "div", a, b);
}

graft_tensor* c_affine(graft_ctx* c, graft_tensor* t, double mul, double add) {
  return guarded(c, {t}, [&](OpsContext& x) { return x.recorder().affine(x.value(t), mul, add); });
}
graft_tensor* c_act(graft_ctx* c, graft_tensor* t, std::int32_t kind) {
  return guarded(c, {t}, [&](OpsContext& x) { return x.recorder().act(x.value(t), kind); });
}
graft_tensor* c_sum(graft_ctx* c, graft_tensor* t, std::int32_t axis, std::int32_t keep) {
  return guarded(c, {t},
                 [&](OpsContext& x) { return x.recorder().sum(x.value(t), axis, keep != 0); });
}
graft_tensor* c_softmax(graft_ctx* c, graft_tensor* t) {
  return guarded(c, {t}, [&](OpsContext& x) { return x.recorder().one("softmax", {x.value(t)}); });
}
graft_tensor* c_norm(graft_ctx* c, graft_tensor* t, graft_tensor* weight, graft_tensor* bias,
                     std::int32_t kind, double eps) {
  return guarded(c, {t, weight}, [&](OpsContext& x) {
    return x.recorder().norm(x.value(t), x.value(weight), x.value(bias), kind, eps);
  });
}

Shape shape_of(OpsContext& x, const std::int64_t* dims, std::uint32_t n) {
  if (n > 0 && !dims) throw Error(GRAFT_E_INVALID, "a shape was given as NULL.");
  Shape shape;
  for (std::uint32_t i = 0; i < n; ++i) shape.push_back(x.extent_of(dims[i]));
  return shape;
}
graft_tensor* c_reshape(graft_ctx* c, graft_tensor* t, const std::int64_t* dims, std::uint32_t n) {
  return guarded(c, {t}, [&](OpsContext& x) {
    return x.recorder().reshape(x.value(t), shape_of(x, dims, n));
  });
}
graft_tensor* c_permute(graft_ctx* c, graft_tensor* t, const std::int32_t* axes, std::uint32_t n) {
  return guarded(c, {t}, [&](OpsContext& x) {
    if (n > 0 && !axes) throw Error(GRAFT_E_INVALID, "permute was given its axes as NULL.");
    return x.recorder().permute(x.value(t), std::vector<std::int32_t>(axes, axes + n));
  });
}
graft_tensor* c_expand(graft_ctx* c, graft_tensor* t, const std::int64_t* dims, std::uint32_t n) {
  return guarded(
      c, {t}, [&](OpsContext& x) { return x.recorder().expand(x.value(t), shape_of(x, dims, n)); });
}
graft_tensor* c_concat(graft_ctx* c, graft_tensor* const* parts, std::uint32_t n,
                       std::int32_t axis) {
  return guarded(c, {}, [&](OpsContext& x) {
    std::vector<ValueId> ids;
    for (std::uint32_t i = 0; i < n; ++i) {
      ids.push_back(parts ? x.value(parts[i]) : kNone);
      if (ids.back() == kNone) throw Error(GRAFT_E_INVALID, "concat was given NULL.");
    }
    return x.recorder().concat(ids, axis);
  });
}
graft_tensor* c_slice(graft_ctx* c, graft_tensor* t, std::int32_t axis, std::int64_t from,
                      std::int64_t to) {
  return guarded(c, {t},
                 [&](OpsContext& x) { return x.recorder().slice(x.value(t), axis, from, to); });
}
graft_tensor* c_gather(graft_ctx* c, graft_tensor* table, graft_tensor* ids) {
  return binary(c, "gather", table, ids);
}
graft_tensor* c_cast(graft_ctx* c, graft_tensor* t, std::uint32_t dtype) {
  return guarded(c, {t}, [&](OpsContext& x) { return x.recorder().cast(x.value(t), dtype); });
}
graft_tensor* c_detach(graft_ctx* c, graft_tensor* t) {
  return guarded(c, {t}, [&](OpsContext& x) { return x.recorder().one("detach", {x.value(t)}); });
}
graft_tensor* c_dropout(graft_ctx* c, graft_tensor* t, double p) {
  return guarded(c, {t}, [&](OpsContext& x) { return x.recorder().dropout(x.value(t), p); });
}

graft_status c_call(graft_ctx* c, const char* op, graft_tensor* const* in, std::uint32_t n_in,
                    const graft_attr* attrs, std::uint32_t n_attr, graft_tensor** out,
                    std::uint32_t n_out) {
  OpsContext& x = self(c);
  if (x.status() < 0) return x.status();
  try {
    const OpDef* def = op ? find_op(op) : nullptr;
    if (!def) throw Error(GRAFT_E_NOT_FOUND, cat("there is no op named '", op ? op : "", "'."));
    std::vector<ValueId> ids;
    for (std::uint32_t i = 0; i < n_in; ++i) {
      ids.push_back(x.value(in[i]));
      if (ids.back() == kNone) throw Error(GRAFT_E_INVALID, cat(op, " was given NULL."));
    }
    Params params;
    for (std::uint32_t i = 0; i < n_attr; ++i) {
      params.attrs.push_back({attrs[i].name, attrs[i].i, attrs[i].f});
    }
    const std::vector<ValueId> made = x.recorder().record(*def, std::move(ids), std::move(params));
    if (made.size() != n_out) {
      throw Error(GRAFT_E_INVALID,
                  cat(op, " has ", made.size(), " results; room was given for ", n_out, "."));
    }
    for (std::size_t i = 0; i < made.size(); ++i) out[i] = x.handle(made[i]);
  } catch (const Error& e) {
    x.fail(e.status(), e.what());
  } catch (const std::exception& e) {
    x.fail(GRAFT_E_INTERNAL, e.what());
  }
  return x.status();
}

void c_assign(graft_ctx* c, graft_tensor* dst, graft_tensor* src) {
  guarded(c, {dst, src}, [&](OpsContext& x) {
    x.recorder().assign(x.value(src), x.value(dst), false);
    return x.value(dst);
  });
}

const graft_ops_api& table() {
  static const graft_ops_api ops = [] {
    graft_ops_api t{};
    t.struct_size = sizeof t;
    t.status = c_status;
    t.fail = c_fail;
    t.dim = c_dim;
    t.rank = c_rank;
    t.dtype = c_dtype;
    t.matmul = c_matmul;
    t.add = c_add;
    t.sub = c_sub;
    t.mul = c_mul;
    t.div = c_div;
    t.affine = c_affine;
    t.act = c_act;
    t.sum = c_sum;
    t.softmax = c_softmax;
    t.norm = c_norm;
    t.reshape = c_reshape;
    t.permute = c_permute;
    t.expand = c_expand;
    t.concat = c_concat;
    t.slice = c_slice;
    t.gather = c_gather;
    t.cast = c_cast;
    t.detach = c_detach;
    t.dropout = c_dropout;
    t.call = c_call;
    t.assign = c_assign;
    return t;
  }();
  return ops;
}

}  // namespace

OpsContext::OpsContext(Recorder& recorder, std::function<ValueId(std::int32_t)> parameter_leaf)
    : recorder_(recorder), parameter_leaf_(std::move(parameter_leaf)), c_{{&table()}, this} {}

graft_tensor* OpsContext::handle(ValueId id) {
  handles_.push_back({id, -1, this});
  return &handles_.back();
}

ValueId OpsContext::value(const graft_tensor* tensor) {
  if (!tensor) return kNone;
  if (tensor->parameter >= 0) return parameter_leaf_(tensor->parameter);
  if (tensor->owner != this) {
    throw Error(GRAFT_E_STATE, "a value of another recording was used; values end with theirs.");
  }
  return tensor->value;
}

std::int64_t OpsContext::number_of(const Extent& e) {
  if (e.fixed()) return e.constant;
  const auto found = std::find(symbols_.begin(), symbols_.end(), e);
  const auto index = found - symbols_.begin();
  if (found == symbols_.end()) symbols_.push_back(e);
  return -1 - index;
}

Extent OpsContext::extent_of(std::int64_t number) const {
  if (number >= 0) return number;
  const auto index = static_cast<std::size_t>(-1 - number);
  if (index >= symbols_.size()) {
    throw Error(GRAFT_E_INVALID, cat("the extent ", number, " is no symbol that dim() has given."));
  }
  return symbols_[index];
}

void OpsContext::fail(graft_status status, const std::string& message) {
  if (status_ < 0) return;
  status_ = status;
  message_ = message;
}

void OpsContext::rethrow(const std::string& who) {
  if (status_ < 0) throw Error(status_, who + ": " + message_);
}

}  // namespace graft::core
