#include "core/adapt/site_table.hpp"

#include <algorithm>
#include <cstring>

#include "core/adapt/attach_state.hpp"
#include "core/adapt/library_files.hpp"
#include "core/base/error.hpp"
#include "core/base/put_error.hpp"
#include "core/tensor/host_tensor.hpp"

namespace graft::core {
namespace {

CSite& of(const graft_site* site) {
  return *const_cast<CSite*>(reinterpret_cast<const CSite*>(site));
}

graft_status site_info(const graft_site* site, graft_site_info* out, graft_error* error) {
  if (!out || out->struct_size < sizeof(std::uint32_t)) {
    return put_error(error, GRAFT_E_INVALID, "site info: struct_size is not set.");
  }
  const CSite& c = of(site);
  const SiteInfo& s = c.set->sites[c.site];
  graft_site_info mine{};
  mine.struct_size = out->struct_size;
  mine.kind = s.kind;
  mine.name = s.name.c_str();
  mine.in_features = s.in_features;
  mine.out_features = s.out_features;
  mine.n_heads = s.heads;
  mine.head_dim = s.head_dim;
  mine.layer = s.layer;
  mine.has_bias = s.has_bias ? 1 : 0;
  std::memcpy(out, &mine, std::min<std::size_t>(out->struct_size, sizeof mine));
  return GRAFT_OK;
}

const graft_config* site_config(const graft_site* site) {
  return of(site).config.get();
}

/// A parameter that begins as something of a base tensor must have its shape, or one number for each
/// of its rows or columns.
void check_base(const AdapterSet::State& set, const Parameter& p, const std::string& where) {
  constexpr std::string_view lost = ".lost";  // what quantizing took from the tensor
  const bool whole = !p.base.ends_with(lost);
  const BaseTensor* base =
      set.tensor(whole ? p.base : p.base.substr(0, p.base.size() - lost.size()));
  if (!base) throw Error(GRAFT_E_INVALID, cat(where, ": the model has no tensor '", p.base, "'."));
  const auto& shape = base->shape;
  bool fits = p.dims == shape;
  if (p.init != GRAFT_INIT_BASE) {
    const bool matrices = shape.size() == 2 && p.dims.size() == 2;
    switch (p.init) {
      case GRAFT_INIT_ROW_NORM:
        fits = shape.size() == 2 && p.count() == shape[0];
        break;
      case GRAFT_INIT_COLUMN_NORM:
        fits = shape.size() == 2 && p.count() == shape[1];
        break;
      case GRAFT_INIT_SVD_LEFT:
      case GRAFT_INIT_QR_LEFT:
        fits = matrices && p.dims[0] == shape[0];
        break;
      default:  // right factors, rows
        fits = matrices && p.dims[1] == shape[1];
    }
    for (const std::int32_t row : p.init_rows) fits = fits && row >= 0 && row < shape[0];
  }
  if (!fits) {
    throw Error(GRAFT_E_INVALID, cat(where, ": parameter '", p.name, "' has another shape than '",
                                     p.base, "', from which it begins."));
  }
}

graft_tensor* site_param(graft_site* site, const graft_param_desc* desc, graft_error* error) {
  try {
    CSite& c = of(site);
    graft_param_desc d{};
    if (desc) std::memcpy(&d, desc, std::min<std::size_t>(desc->struct_size, sizeof d));
    const std::string where = cat(c.set->who(c.entry), " at '", c.set->sites[c.site].name, "'");
    if (!d.name || !*d.name || d.n_dims < 1 || d.n_dims > 4) {
      throw Error(GRAFT_E_INVALID, cat(where, ": a parameter needs a name and 1 to 4 axes."));
    }
    Parameter p;
    const bool shared = (d.flags & GRAFT_PARAM_SHARED) != 0;
    p.name = shared ? std::string(d.name) : c.set->sites[c.site].name + "." + d.name;
    if (shared) p.key = cat("base_model.", d.name);
    if (const auto& storage = c.set->storages[c.entry]) {
      p.key = storage->of_peft() ? storage->tensors.value(d.name, p.key)
                                 : library_key(storage->layout, p.name);
    }
    std::int64_t n = 1;
    for (std::uint32_t i = 0; i < d.n_dims; ++i) {
      if (d.dims[i] < 1 || d.dims[i] > (std::int64_t{1} << 40) / n) {
        throw Error(
            GRAFT_E_INVALID,
            cat(where, ": parameter '", d.name, "' would be ",
                shape_text({d.dims, d.dims + d.n_dims}), ", but each extent must be at least ",
                "1 and the product at most 2^40. Mind the rank and the other sizes."));
      }
      n *= d.dims[i];
      p.dims.push_back(d.dims[i]);
    }
    p.init = d.init;
    p.init_scale = d.init_scale;
    p.init_seed = d.init_seed;
    p.init_skip = d.init_skip;
    if (d.init_rows) p.init_rows.assign(d.init_rows, d.init_rows + d.dims[0]);
    if (d.init_values) p.init_values.assign(d.init_values, d.init_values + n);
    if (d.init == GRAFT_INIT_VALUES && !d.init_values) {
      throw Error(GRAFT_E_INVALID, cat(where, ": parameter '", d.name, "' has no init_values."));
    }
    if (d.lr_scale != 0) p.lr_scale = d.lr_scale;
    p.flags = d.flags;
    p.entry = c.entry;
    if (d.init_from) {
      p.base = c.set->sites[c.site].name + "." + d.init_from;
      if (d.init == GRAFT_INIT_ADAPTER) {
        p.init_path = d.init_path ? d.init_path : "";
      } else {
        check_base(*c.set, p, where);
      }
    }
    if ((d.flags & GRAFT_PARAM_REPLACES) != 0) {
      if (!d.init_from || !c.set->tensor(p.base))
        throw Error(GRAFT_E_INVALID, cat(where, ": '", d.name, "' replaces nothing."));
      p.transposed = c.set->tensor(p.base)->transposed;
      return c.set->replace(std::move(p));
    }
    for (const Parameter& known : c.set->parameters) {
      if (known.entry != c.entry || known.name != p.name) continue;
      if (shared && known.dims == p.dims) return known.handle.get();
      throw Error(GRAFT_E_INVALID, cat(where, ": parameter '", d.name, "' was declared twice."));
    }
    return c.set->add_parameter(std::move(p));
  } catch (const Error& e) {
    put_error(error, e.status(), e.what());
  } catch (const std::exception& e) {
    put_error(error, GRAFT_E_INTERNAL, e.what());
  }
  return nullptr;
}

graft_status site_virtual_tokens(graft_site* site, std::int64_t n, graft_error* error) {
  CSite& c = of(site);
  const std::int32_t kind = c.set->sites[c.site].kind;
  if (n < 1 || (kind != GRAFT_SITE_EMBEDDING && kind != GRAFT_SITE_ATTN_KV)) {
    return put_error(error, GRAFT_E_INVALID,
                     cat("virtual tokens: ", n, " at '", c.set->sites[c.site].name,
                         "'; at least one is expected, at embeddings or keys and values."));
  }
  // Nothing stands before a sequence in a table of positions: "not here".
  if (c.set->sites[c.site].positions) return GRAFT_SKIP;
  c.virtual_rows = n;
  return GRAFT_OK;
}

}  // namespace

const graft_site_api& site_table() {
  static const graft_site_api table = [] {
    graft_site_api t{};
    t.struct_size = sizeof t;
    t.info = site_info;
    t.config = site_config;
    t.param = site_param;
    t.virtual_tokens = site_virtual_tokens;
    return t;
  }();
  return table;
}

}  // namespace graft::core
