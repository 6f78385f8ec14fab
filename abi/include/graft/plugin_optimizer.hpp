// graft/plugin_optimizer.hpp: what an optimizer sees of a step, and its table; OptimizerOf tells what the
// class is like.
#ifndef GRAFT_PLUGIN_OPTIMIZER_HPP
#define GRAFT_PLUGIN_OPTIMIZER_HPP
#include <algorithm>
#include <array>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "plugin.h"
#include "plugin_values.hpp"

#pragma GCC visibility push(hidden)
namespace graft::plugin {

/// Whether the name of a parameter holds one of the parts that an option lists.
inline bool holds_one_of(std::string_view name, const std::vector<std::string>& parts) {
  return std::any_of(parts.begin(), parts.end(), [&](const std::string& part) {
    return name.find(part) != std::string_view::npos;
  });
}

/// One group of parameters while an optimizer step is recorded.
class Update {
 public:
  Update(graft_ctx* ctx, const graft_update* update, std::uint32_t n_state)
      : ctx_(ctx), update_(update), n_state_(n_state) {}
  std::uint32_t size() const { return update_->n; }
  Value param(std::uint32_t i) const { return {ctx_, update_->param[i]}; }
  Value grad(std::uint32_t i) const { return {ctx_, update_->grad[i]}; }
  /// Empty where OptimizerOf's state() has said that there is none.
  Value state(std::uint32_t i, std::uint32_t k = 0) const {
    return {ctx_, update_->state[i * n_state_ + k]};
  }
  /// Of the parameter, as in an adapter's file without prefix; "" for a range of several.
  std::string_view name(std::uint32_t i) const { return update_->name[i]; }
  std::uint32_t phase() const { return update_->phase; }
  /// [1], the k-th number that scalars() returned for this step.
  Value scalar(std::uint32_t k) const { return {ctx_, update_->scalars[k]}; }
  /// dst = src, dst being a parameter or a state. Go on with src, not with dst.
  void assign(Value dst, Value src) const { ctx_->ops->assign(ctx_, dst.tensor(), src.tensor()); }

 private:
  graft_ctx* ctx_;
  const graft_update* update_;
  std::uint32_t n_state_;
};

/// An optimizer is a class O:
///   static constexpr const char *name, *schema; uint32_t n_state, flags (GRAFT_OPTIMIZER_*)
///   explicit O(Config), or O(Host, Config)
///   std::array<double, N> scalars(const graft_step&);   the N numbers that vary from step to step
///   void update(const Update&);                         records the update of a group
///   std::vector<std::int64_t> state(std::string_view name, const std::vector<std::int64_t>& dims,
///                                   std::uint32_t k);   optional: extents of the k-th state of a
///                                                       parameter, empty for none
///   std::uint32_t state_dtype(std::uint32_t k);         optional, beside state(): GRAFT_U8, or 0 for
///                                                       the parameter's
///   static constexpr uint32_t n_phases; uint32_t phase(const graft_step&);     optional, both
namespace detail {
template <class O, class = void>
struct HasState : std::false_type {};
template <class O>
struct HasState<O, std::void_t<decltype(&O::state)>> : std::true_type {};

template <class O, class = void>
struct HasStateDtype : std::false_type {};
template <class O>
struct HasStateDtype<O, std::void_t<decltype(&O::state_dtype)>> : std::true_type {};

template <class O, class = void>
struct Phases : std::false_type {
  enum : std::uint32_t { kCount = 1 };
};
template <class O>
struct Phases<O, std::void_t<decltype(O::n_phases)>> : std::true_type {
  enum : std::uint32_t { kCount = O::n_phases };
};
}  // namespace detail

template <class O>
class OptimizerOf {
  using Scalars = decltype(std::declval<O&>().scalars(std::declval<const graft_step&>()));
  enum : std::uint32_t { kScalars = std::tuple_size<Scalars>::value };

  static O* self(graft_optimizer* o) { return reinterpret_cast<O*>(o); }
  static graft_status create(const graft_host* host, const graft_config* config,
                             graft_optimizer** out, graft_error* error) {
    return guard(error, [&] {
      *out = reinterpret_cast<graft_optimizer*>(detail::create<O>(host, config));
      return GRAFT_OK;
    });
  }
  static void destroy(graft_optimizer* o) { delete self(o); }
  static void scalars(graft_optimizer* o, const graft_step* step, double* out) {
    for (std::size_t k = 0; k < kScalars; ++k) out[k] = std::numeric_limits<double>::quiet_NaN();
    guard(nullptr, [&] {  // after an exception the numbers stay NaN, which stops the run
      const Scalars values = self(o)->scalars(*step);
      for (std::size_t k = 0; k < kScalars; ++k) out[k] = values[k];
      return GRAFT_OK;
    });
  }
  static graft_status update(graft_optimizer* o, graft_ctx* ctx, const graft_update* update) {
    return detail::record(ctx, [&] { self(o)->update(Update(ctx, update, O::n_state)); });
  }
  static graft_status state(graft_optimizer* o, const char* name, const std::int64_t* dims,
                            std::uint32_t n_dims, std::uint32_t k, graft_state_desc* out,
                            graft_error* error) {
    if constexpr (detail::HasState<O>::value) {
      return guard(error, [&] {
        const std::vector<std::int64_t> shape(dims, dims + n_dims);
        const std::vector<std::int64_t> made = self(o)->state(name, shape, k);
        if (made.size() > sizeof out->dims / sizeof *out->dims) {
          throw Error(GRAFT_E_INTERNAL, "a state has more than 4 axes");
        }
        out->n_dims = static_cast<std::uint32_t>(made.size());
        for (std::size_t i = 0; i < made.size(); ++i) out->dims[i] = made[i];
        if constexpr (detail::HasStateDtype<O>::value) {
          if (const std::uint32_t dtype = self(o)->state_dtype(k)) out->dtype = dtype;
        }
        return GRAFT_OK;
      });
    } else {
      return (void)o, (void)name, (void)dims, (void)n_dims, (void)k, (void)out, (void)error,
             GRAFT_OK;
    }
  }
  static std::uint32_t phase(graft_optimizer* o, const graft_step* step) {
    if constexpr (detail::Phases<O>::value) {
      return self(o)->phase(*step);
    } else {
      return (void)o, (void)step, 0;
    }
  }

 public:
  static const void* get_interface(const char* id) {
    static constexpr graft_optimizer_api api{sizeof(graft_optimizer_api),
                                             O::flags,
                                             O::name,
                                             O::schema,
                                             O::n_state,
                                             kScalars,
                                             create,
                                             destroy,
                                             scalars,
                                             update,
                                             detail::HasState<O>::value ? state : nullptr,
                                             detail::Phases<O>::value ? phase : nullptr,
                                             detail::Phases<O>::kCount,
                                             0};
    return std::string_view(id) == GRAFT_IFACE_OPTIMIZER ? &api : nullptr;
  }
};

}  // namespace graft::plugin
#pragma GCC visibility pop
#endif
