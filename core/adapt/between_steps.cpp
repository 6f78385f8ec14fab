#include "core/adapt/between_steps.hpp"

#include <algorithm>

#include "core/adapt/attach_state.hpp"
#include "core/base/error.hpp"
#include "core/base/put_error.hpp"
#include "core/plugin/call.hpp"

namespace graft::core {
namespace {

/// What a plugin sees as a graft_values.
struct CValues {
  graft_values base;  // first: the plugin's pointer is this one
  const ParameterAccess* access = nullptr;
  AdapterSet::State* set = nullptr;
  std::size_t entry = 0;
};

/// What a plugin sees as a graft_adapter_file.
struct CFile {
  graft_adapter_file base;  // first: the plugin's pointer is this one
  AdapterSet::State* set = nullptr;
  std::size_t entry = 0;
  FileChanges changes;
};

template <class F>
graft_status guarded(graft_error* error, F&& f) {
  try {
    f();
    return GRAFT_OK;
  } catch (const Error& e) {
    return put_error(error, e.status(), e.what());
  } catch (const std::exception& e) {
    return put_error(error, GRAFT_E_INTERNAL, e.what());
  }
}

std::size_t index_of(const AdapterSet::State& set, std::size_t entry, const graft_tensor* param) {
  const auto i = param ? static_cast<std::size_t>(param->parameter) : set.parameters.size();
  if (i < set.parameters.size() && set.parameters[i].entry == entry) return i;
  throw Error(GRAFT_E_INVALID, "between steps a method has to do with its own parameters alone.");
}

void require_count(const Parameter& p, std::uint64_t n) {
  if (n == static_cast<std::uint64_t>(p.count())) return;
  throw Error(GRAFT_E_INVALID,
              cat("parameter '", p.name, "' has ", p.count(), " elements, not ", n, "."));
}

graft_status read(const graft_values* values, const graft_tensor* param, std::int32_t what,
                  float* out, std::uint64_t n, graft_error* error) {
  return guarded(error, [&] {
    const CValues& v = *reinterpret_cast<const CValues*>(values);
    const std::size_t i = index_of(*v.set, v.entry, param);
    const Parameter& p = v.set->parameters[i];
    require_count(p, n);
    const bool gradient = what == GRAFT_READ_GRADIENT;
    if (gradient && (!v.access->gradient || !p.trained())) {
      throw Error(GRAFT_E_STATE, cat("parameter '", p.name, "' has no gradient now."));
    }
    const std::vector<float> got = gradient ? v.access->gradient(i) : v.access->value(i);
    std::copy(got.begin(), got.end(), out);
  });
}

graft_status write(const graft_values* values, graft_tensor* param, const float* from,
                   std::uint64_t n, graft_error* error) {
  return guarded(error, [&] {
    const CValues& v = *reinterpret_cast<const CValues*>(values);
    const std::size_t i = index_of(*v.set, v.entry, param);
    require_count(v.set->parameters[i], n);
    if (!v.access->write) throw Error(GRAFT_E_STATE, "nothing is written while a file is.");
    v.access->write(i, std::vector<float>(from, from + n));
  });
}

graft_status keep_tensor(graft_adapter_file* file, const graft_tensor* param,
                         const std::int64_t* dims, std::uint32_t n_dims, const float* values,
                         graft_error* error) {
  return guarded(error, [&] {
    CFile& f = *reinterpret_cast<CFile*>(file);
    const std::size_t i = index_of(*f.set, f.entry, param);
    FileChanges::Tensor tensor;
    std::int64_t n = 1;
    for (std::uint32_t k = 0; k < n_dims; ++k) {
      if (dims[k] < 0 || (dims[k] > 0 && n > (std::int64_t{1} << 40) / dims[k])) {
        throw Error(GRAFT_E_INVALID, cat("extent ", dims[k], " of a tensor for the file."));
      }
      n *= dims[k];
      tensor.dims.push_back(dims[k]);
    }
    tensor.values.assign(values, values + n);
    f.changes.tensors[i] = std::move(tensor);
  });
}

graft_status keep_option(graft_adapter_file* file, const char* path, const char* json,
                         graft_error* error) {
  return guarded(error, [&] {
    CFile& f = *reinterpret_cast<CFile*>(file);
    const bool of_host = std::string_view(path) == "/targets";
    (of_host ? f.changes.host : f.changes.options)[Json::json_pointer(path)] =
        parse_json(json, cat("option ", path));
  });
}

CValues values_of(AdapterSet::State& set, std::size_t entry, const ParameterAccess& access) {
  CValues values{};
  values.base.struct_size = sizeof values.base;
  values.base.index = access.index;
  values.base.read = read;
  values.base.write = write;
  values.access = &access;
  values.set = &set;
  values.entry = entry;
  return values;
}

std::vector<void*> states_of(const AdapterSet::State& set, std::size_t entry) {
  std::vector<void*> states;
  for (const Attachment& a : set.attachments) {
    if (a.entry == entry) states.push_back(a.state);
  }
  return states;
}

}  // namespace

bool after_step(AdapterSet& adapters, const ParameterAccess& access) {
  AdapterSet::State& set = adapters.state();
  bool any = false;
  for (std::size_t e = 0; e < set.entries.size(); ++e) {
    const graft_method_api& api = set.entries[e].api;
    if (!api.after_step) continue;
    any = true;
    const CValues values = values_of(set, e, access);
    const std::vector<void*> states = states_of(set, e);
    call_plugin(set.who(e), [&](graft_error* error) {
      return api.after_step(set.methods[e], states.data(),
                            static_cast<std::uint32_t>(states.size()), &values.base, error);
    });
  }
  return any;
}

FileChanges file_changes(AdapterSet& adapters, std::size_t e, const ParameterAccess& access) {
  AdapterSet::State& set = adapters.state();
  CFile file{};
  file.base.struct_size = sizeof file.base;
  file.base.tensor = keep_tensor;
  file.base.option = keep_option;
  file.set = &set;
  file.entry = e;
  file.changes.options = set.entries[e].options;
  file.changes.host = set.entries[e].host;
  const graft_method_api& api = set.entries[e].api;
  if (!api.save) return std::move(file.changes);
  const CValues values = values_of(set, e, access);
  const std::vector<void*> states = states_of(set, e);
  call_plugin(set.who(e), [&](graft_error* error) {
    return api.save(set.methods[e], states.data(), static_cast<std::uint32_t>(states.size()),
                    &values.base, &file.base, error);
  });
  return std::move(file.changes);
}

}  // namespace graft::core
