// graft/plugin_method.hpp: what a method sees of a model, and its table; plugin.hpp tells how it is used.
#ifndef GRAFT_PLUGIN_METHOD_HPP
#define GRAFT_PLUGIN_METHOD_HPP
#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "plugin.h"
#include "plugin_values.hpp"

#pragma GCC visibility push(hidden)
namespace graft::plugin {

// ---- sites and hooks ----------------------------------------------------------------------------

/// How a parameter begins.
struct Init {
  std::int32_t kind;
  double scale = 0;
  const char* from = nullptr;
  std::int64_t seed = 0, skip = 0;
  const std::int32_t* rows = nullptr;
  const char* path = nullptr;
  const float* values = nullptr;
  static Init zeros() { return {GRAFT_INIT_ZEROS}; }
  static Init ones() { return {GRAFT_INIT_ONES}; }
  static Init constant(double value) { return {GRAFT_INIT_CONSTANT, value}; }
  static Init normal(double deviation) { return {GRAFT_INIT_NORMAL, deviation}; }
  static Init uniform(double bound) { return {GRAFT_INIT_UNIFORM, bound}; }
  /// torch's kaiming_uniform_(a=sqrt(5)), the initial value of nn.Linear
  static Init kaiming_uniform() { return {GRAFT_INIT_KAIMING_UNIFORM}; }
  /// What torch's CPU generator draws after `skip` numbers.
  static Init torch_uniform(double bound, std::int64_t seed, std::int64_t skip) {
    return {GRAFT_INIT_TORCH_UNIFORM, bound, nullptr, seed, skip};
  }
  /// From a tensor of the site's module: "weight" or "bias".
  static Init base(const char* tensor) { return {GRAFT_INIT_BASE, 0, tensor}; }
  static Init row_norm(const char* tensor) { return {GRAFT_INIT_ROW_NORM, 0, tensor}; }
  static Init column_norm(const char* tensor) { return {GRAFT_INIT_COLUMN_NORM, 0, tensor}; }
  /// Rows of a tensor; nullptr: drawn from the seed of the run.
  static Init base_rows(const char* tensor, const std::int32_t* rows) {
    return {GRAFT_INIT_BASE_ROWS, 0, tensor, 0, 0, rows};
  }
  /// A pair whose product times `scale` is the best approximation of the tensor with its rank.
  static Init svd_left(const char* tensor, double scale) {
    return {GRAFT_INIT_SVD_LEFT, scale, tensor};
  }
  static Init svd_right(const char* tensor, double scale) {
    return {GRAFT_INIT_SVD_RIGHT, scale, tensor};
  }
  static Init qr_left(const char* tensor) { return {GRAFT_INIT_QR_LEFT, 0, tensor}; }
  static Init qr_right(const char* tensor) { return {GRAFT_INIT_QR_RIGHT, 0, tensor}; }
  /// 1 on the diagonal, or in row i at rows[i].
  static Init eye(double elsewhere = 0, const std::int32_t* rows = nullptr) {
    return {GRAFT_INIT_EYE, elsewhere, nullptr, 0, 0, rows};
  }
  /// A tensor of the same site in another adapter's folder.
  static Init adapter(const char* folder, const char* tensor) {
    return {GRAFT_INIT_ADAPTER, 0, tensor, 0, 0, nullptr, folder};
  }
  /// As many as the parameter has elements; copied by Site::param().
  static Init these(const float* values) {
    return {GRAFT_INIT_VALUES, 0, nullptr, 0, 0, nullptr, nullptr, values};
  }
};

class Site {
 public:
  explicit Site(graft_site* site) : site_(site) {
    info_.struct_size = sizeof info_;
    graft_error error{};
    const graft_status status = site->api->info(site, &info_, &error);
    if (status != GRAFT_OK) throw Error(status, error.message);
  }
  const char* name() const { return info_.name; }
  std::int32_t kind() const { return info_.kind; }
  /// graft_site_info tells what these are at each kind of site.
  std::int64_t in_features() const { return info_.in_features; }
  std::int64_t out_features() const { return info_.out_features; }
  std::int64_t n_heads() const { return info_.n_heads; }
  std::int64_t head_dim() const { return info_.head_dim; }
  std::int32_t layer() const { return info_.layer; }
  bool has_bias() const { return info_.has_bias != 0; }
  /// The options as they hold here, patterns applied.
  Config config() const { return Config(site_->api->config(site_)); }

  /// Declares a parameter, saved as "base_model.model.<site>.<name>". flags: GRAFT_PARAM_*
  /// lr_scale: its learning rate is so many times that of the step.
  Param param(const char* name, std::initializer_list<std::int64_t> dims, Init init,
              std::uint32_t flags = 0, double lr_scale = 1) const {
    graft_param_desc desc{};
    if (dims.size() < 1 || dims.size() > sizeof desc.dims / sizeof *desc.dims) {
      throw Error(GRAFT_E_INTERNAL, std::string("parameter '") + name + "' has " +
                                        std::to_string(dims.size()) + " axes; 1 to 4 are possible");
    }
    desc.struct_size = sizeof desc;
    desc.flags = flags;
    desc.name = name;
    desc.init = init.kind;
    desc.init_scale = init.scale;
    desc.init_from = init.from;
    desc.init_seed = init.seed;
    desc.init_skip = init.skip;
    desc.init_rows = init.rows;
    desc.init_path = init.path;
    desc.init_values = init.values;
    desc.lr_scale = lr_scale;
    for (const std::int64_t extent : dims) desc.dims[desc.n_dims++] = extent;
    graft_error error{};
    graft_tensor* tensor = site_->api->param(site_, &desc, &error);
    if (!tensor) throw Error(error.code < 0 ? error.code : GRAFT_E_INTERNAL, error.message);
    return {tensor};
  }

  /// forward() will prepend() n rows to each sequence here.
  void virtual_tokens(std::int64_t n) const {
    graft_error error{};
    const graft_status status = site_->api->virtual_tokens(site_, n, &error);
    if (status != GRAFT_OK) throw Error(status, error.message);
  }

 private:
  graft_site* site_;
  graft_site_info info_{};
};

/// The tensors of a model's own op after merging.
struct Merged {
  Value weight, bias;
};

/// One site while a step is recorded. graft_hook tells the inputs and outputs of each kind.
class Hook {
 public:
  Hook(graft_ctx* ctx, const graft_hook* hook) : ctx_(ctx), hook_(hook) {}
  std::int32_t kind() const { return hook_->kind; }
  Value operator()(Param p) const { return {ctx_, p.tensor}; }
  Value in(std::uint32_t i = 0) const {
    if (i >= hook_->n_in) throw Error(GRAFT_E_INTERNAL, "asked for an input that is not there");
    return {ctx_, hook_->in[i]};
  }
  /// Of the model's own op; empty if it has none.
  Value weight() const { return {ctx_, hook_->weight}; }
  Value bias() const { return {ctx_, hook_->bias}; }
  /// [1], varies from run to run: whatever you add to the output is multiplied by it.
  Value strength() const { return {ctx_, hook_->strength}; }

  /// The model's own op with `update` added to its weight.
  Merged plus(Value update) const { return {weight() + update, bias()}; }

  /// What is inside this hook, at last the model's own op, on the hook's inputs or on others.
  Value next() const { return run<1>(hook_->in)[0]; }
  Value next(Value x) const {
    graft_tensor* in[] = {x.tensor()};
    return run<1>(in)[0];
  }
  Value next(Value x, Value inner) const {
    graft_tensor* in[] = {x.tensor(), inner.tensor()};
    return run<1>(in)[0];
  }
  std::pair<Value, Value> next_kv(Value k, Value v) const {
    graft_tensor* in[] = {k.tensor(), v.tensor()};
    const auto out = run<2>(in);
    return {out[0], out[1]};
  }
  /// x with the rows of `prefix` before those of each sequence; see Site::virtual_tokens().
  Value prepend(Value x, Value prefix) const {
    return {ctx_, hook_->prepend(ctx_, hook_, x.tensor(), prefix.tensor())};
  }
  void out(Value y) const { hook_->out[0] = y.tensor(); }
  void out_kv(Value k, Value v) const {
    hook_->out[0] = k.tensor();
    hook_->out[1] = v.tensor();
  }

 private:
  template <std::size_t N>
  std::array<Value, N> run(graft_tensor* const* in) const {
    if (hook_->n_out != N) {
      throw Error(GRAFT_E_INTERNAL, "this kind of site has " + std::to_string(hook_->n_out) +
                                        " outputs: next() is for one, next_kv() for two");
    }
    std::array<graft_tensor*, N> made{};
    const graft_status status = hook_->next(ctx_, hook_, in, made.data());
    if (status < 0) throw Error(status, "what is inside the hook failed");
    std::array<Value, N> out;
    for (std::size_t i = 0; i < N; ++i) out[i] = Value(ctx_, made[i]);
    return out;
  }

  graft_ctx* ctx_;
  const graft_hook* hook_;
};

/// What parameters hold between two steps.
class Values {
 public:
  explicit Values(const graft_values* values) : values_(values) {}
  /// Optimizer steps done.
  std::int64_t index() const { return values_->index; }
  /// All n elements of a parameter.
  std::vector<float> value(Param p, std::int64_t n) const { return read(p, GRAFT_READ_VALUE, n); }
  std::vector<float> gradient(Param p, std::int64_t n) const {
    return read(p, GRAFT_READ_GRADIENT, n);
  }
  void write(Param p, const std::vector<float>& values) const {
    graft_error error{};
    const graft_status status =
        values_->write(values_, p.tensor, values.data(), values.size(), &error);
    if (status != GRAFT_OK) throw Error(status, error.message);
  }

 private:
  std::vector<float> read(Param p, std::int32_t what, std::int64_t n) const {
    std::vector<float> out(static_cast<std::size_t>(n));
    graft_error error{};
    const graft_status status =
        values_->read(values_, p.tensor, what, out.data(), out.size(), &error);
    if (status != GRAFT_OK) throw Error(status, error.message);
    return out;
  }

  const graft_values* values_;
};

/// An adapter about to be written: what is in it instead of parameters and options as they are.
class AdapterFile {
 public:
  explicit AdapterFile(graft_adapter_file* file) : file_(file) {}
  void tensor(Param p, std::initializer_list<std::int64_t> dims,
              const std::vector<float>& values) const {
    std::int64_t n = 1;
    for (const std::int64_t d : dims) n *= d;
    if (n != static_cast<std::int64_t>(values.size())) {
      throw Error(GRAFT_E_INTERNAL, "a tensor of " + std::to_string(n) + " numbers was given " +
                                        std::to_string(values.size()));
    }
    graft_error error{};
    const graft_status status =
        file_->tensor(file_, p.tensor, dims.begin(), static_cast<std::uint32_t>(dims.size()),
                      values.data(), &error);
    if (status != GRAFT_OK) throw Error(status, error.message);
  }
  /// path: a JSON Pointer.
  void option(const std::string& path, const std::string& json) const {
    graft_error error{};
    const graft_status status = file_->option(file_, path.c_str(), json.c_str(), &error);
    if (status != GRAFT_OK) throw Error(status, error.message);
  }

 private:
  graft_adapter_file* file_;
};

// ---- the method table of a class ----------------------------------------------------------------

namespace detail {
template <class T>
struct Optional : std::false_type {
  using Inner = T;
};
template <class T>
struct Optional<std::optional<T>> : std::true_type {
  using Inner = T;
};

template <class M, class = void>
struct HasStorage : std::false_type {};
template <class M>
struct HasStorage<M, std::void_t<decltype(M::storage)>> : std::true_type {};
template <class M>
constexpr const char* storage() {
  if constexpr (HasStorage<M>::value) {
    return M::storage;
  } else {
    return nullptr;
  }
}

template <class M, class = void>
struct HasPlan : std::false_type {};
template <class M>
struct HasPlan<M, std::void_t<decltype(&M::plan)>> : std::true_type {};

template <class M, class = void>
struct HasForward : std::false_type {};
template <class M>
struct HasForward<M, std::void_t<decltype(&M::forward)>> : std::true_type {};

template <class M, class = void>
struct HasMerge : std::false_type {};
template <class M>
struct HasMerge<M, std::void_t<decltype(&M::merge)>> : std::true_type {};

template <class M, class = void>
struct HasStored : std::false_type {};
template <class M>
struct HasStored<M, std::void_t<decltype(&M::stored)>> : std::true_type {};

template <class M, class = void>
struct HasLoss : std::false_type {};
template <class M>
struct HasLoss<M, std::void_t<decltype(&M::loss)>> : std::true_type {};

template <class M, class = void>
struct HasAfterStep : std::false_type {};
template <class M>
struct HasAfterStep<M, std::void_t<decltype(&M::after_step)>> : std::true_type {};

template <class M, class = void>
struct HasObserve : std::false_type {};
template <class M>
struct HasObserve<M, std::void_t<decltype(&M::observe)>> : std::true_type {};

template <class M, class = void>
struct HasSave : std::false_type {};
template <class M>
struct HasSave<M, std::void_t<decltype(&M::save)>> : std::true_type {};
}  // namespace detail

template <class M>
class MethodOf {
  using Attached = decltype(std::declval<M&>().attach(std::declval<const Site&>()));
  using State = typename detail::Optional<Attached>::Inner;

  static M* self(graft_method* m) { return reinterpret_cast<M*>(m); }
  static graft_status create(const graft_host* host, const graft_config* config, graft_method** out,
                             graft_error* error) {
    return guard(error, [&] {
      *out = reinterpret_cast<graft_method*>(detail::create<M>(host, config));
      return GRAFT_OK;
    });
  }
  static void destroy(graft_method* m) { delete self(m); }
  static graft_status plan(graft_method* m, graft_site* const* sites, std::uint32_t n,
                           graft_error* error) {
    if constexpr (detail::HasPlan<M>::value) {
      return guard(error, [&] {
        self(m)->plan(std::vector<Site>(sites, sites + n));
        return GRAFT_OK;
      });
    } else {
      return (void)m, (void)sites, (void)n, (void)error, GRAFT_OK;
    }
  }
  static graft_status attach(graft_method* m, graft_site* site, void** state, graft_error* error) {
    return guard(error, [&]() -> graft_status {
      auto attached = self(m)->attach(Site(site));
      if constexpr (detail::Optional<Attached>::value) {
        if (!attached) return GRAFT_SKIP;
        *state = new State(std::move(*attached));
      } else {
        *state = new State(std::move(attached));
      }
      return GRAFT_OK;
    });
  }
  static void detach(graft_method*, void* state) { delete static_cast<State*>(state); }
  static graft_status forward(graft_method* m, void* state, graft_ctx* ctx,
                              const graft_hook* hook) {
    return detail::record(ctx, [&] {
      const Hook h(ctx, hook);
      if constexpr (detail::HasForward<M>::value) {
        self(m)->forward(*static_cast<const State*>(state), h);
      } else {
        (void)m, (void)state;
        h.out(h.next());
      }
    });
  }
  static graft_status merge(graft_method* m, void* state, graft_ctx* ctx, const graft_hook* hook,
                            graft_tensor** weight, graft_tensor** bias) {
    if constexpr (detail::HasMerge<M>::value) {
      return detail::record(ctx, [&] {
        const Merged made = self(m)->merge(*static_cast<const State*>(state), Hook(ctx, hook));
        *weight = made.weight.tensor();
        *bias = made.bias.tensor();
      });
    } else {
      return (void)m, (void)state, (void)ctx, (void)hook, (void)weight, (void)bias, GRAFT_OK;
    }
  }
  static graft_status stored(graft_method* m, void* state, graft_ctx* ctx, const graft_hook* hook,
                             const char* name, graft_tensor** out) {
    if constexpr (detail::HasStored<M>::value) {
      return detail::record(ctx, [&] {
        *out = self(m)->stored(*static_cast<const State*>(state), Hook(ctx, hook), name).tensor();
      });
    } else {
      return (void)m, (void)state, (void)ctx, (void)hook, (void)name, (void)out, GRAFT_OK;
    }
  }
  static graft_status loss(graft_method* m, void* state, graft_ctx* ctx, const graft_hook* hook,
                           graft_tensor** out) {
    if constexpr (detail::HasLoss<M>::value) {
      return detail::record(ctx, [&] {
        *out = self(m)->loss(*static_cast<const State*>(state), Hook(ctx, hook)).tensor();
      });
    } else {
      return (void)m, (void)state, (void)ctx, (void)hook, (void)out, GRAFT_OK;
    }
  }
  static std::vector<const State*> typed(void* const* states, std::uint32_t n) {
    std::vector<const State*> result;
    for (std::uint32_t i = 0; i < n; ++i) result.push_back(static_cast<const State*>(states[i]));
    return result;
  }
  static graft_status after_step(graft_method* m, void* const* states, std::uint32_t n,
                                 const graft_values* values, graft_error* error) {
    if constexpr (detail::HasAfterStep<M>::value) {
      return guard(error, [&] {
        self(m)->after_step(typed(states, n), Values(values));
        return GRAFT_OK;
      });
    } else {
      return (void)m, (void)states, (void)n, (void)values, (void)error, GRAFT_OK;
    }
  }
  static graft_status save(graft_method* m, void* const* states, std::uint32_t n,
                           const graft_values* values, graft_adapter_file* file,
                           graft_error* error) {
    if constexpr (detail::HasSave<M>::value) {
      return guard(error, [&] {
        self(m)->save(typed(states, n), Values(values), AdapterFile(file));
        return GRAFT_OK;
      });
    } else {
      return (void)m, (void)states, (void)n, (void)values, (void)file, (void)error, GRAFT_OK;
    }
  }
  static graft_status observe(graft_method* m, graft_input_pass* pass, graft_error* error) {
    if constexpr (detail::HasObserve<M>::value) {
      return guard(error, [&] {
        self(m)->observe(*pass, std::vector<Site>(pass->sites, pass->sites + pass->n));
        return GRAFT_OK;
      });
    } else {
      return (void)m, (void)pass, (void)error, GRAFT_OK;
    }
  }

 public:
  /// Without forward() only tensors of the base are replaced, which the host merges itself.
  static constexpr bool kMerges = detail::HasMerge<M>::value || !detail::HasForward<M>::value;

  static const void* get_interface(const char* id) {
    static constexpr graft_method_api api{sizeof(graft_method_api),
                                          M::kinds,
                                          M::name,
                                          M::schema,
                                          detail::storage<M>(),
                                          create,
                                          destroy,
                                          detail::HasPlan<M>::value ? plan : nullptr,
                                          attach,
                                          detach,
                                          forward,
                                          kMerges ? merge : nullptr,
                                          detail::HasStored<M>::value ? stored : nullptr,
                                          detail::HasLoss<M>::value ? loss : nullptr,
                                          detail::HasAfterStep<M>::value ? after_step : nullptr,
                                          detail::HasSave<M>::value ? save : nullptr,
                                          detail::HasObserve<M>::value ? observe : nullptr};
    return std::string_view(id) == GRAFT_IFACE_METHOD ? &api : nullptr;
  }
};

}  // namespace graft::plugin
#pragma GCC visibility pop
#endif
