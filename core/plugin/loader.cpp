#include "core/plugin/loader.hpp"

#include <dlfcn.h>

#include <algorithm>
#include <boost/dll/shared_library.hpp>
#include <cstring>

#include "core/base/error.hpp"
#include "core/plugin/call.hpp"
#include "core/plugin/trust.hpp"

namespace graft::core {
namespace {

namespace dll = boost::dll;

std::string entry_symbol(int major) {
  return cat("graft_plugin_entry_v", major);
}

[[noreturn]] void broken(const fs::path& path, const std::string& what) {
  throw Error(GRAFT_E_INVALID, cat("plugin ", path.string(), " is broken: ", what,
                                   " Ask whoever made it for a mended one."));
}

dll::shared_library open_library(const fs::path& path) {
  // Now: an unresolved symbol is an error here, not a crash in the middle of a run. Local: plugins
  // do not see one another's symbols.
  const auto mode = static_cast<dll::load_mode::type>(dll::load_mode::rtld_now |
                                                      dll::load_mode::rtld_local | RTLD_NODELETE);
  try {
    return dll::shared_library(path, mode);
  } catch (const std::exception& e) {
    throw Error(GRAFT_E_INVALID, cat("plugin ", path.string(), " cannot be loaded: ", e.what(),
                                     ". Build it for this system, and install what it needs."));
  }
}

[[noreturn]] void no_entry(const fs::path& path, const dll::shared_library& library) {
  for (int major = 0; major < 10; ++major) {
    if (major == GRAFT_ABI_MAJOR || !library.has(entry_symbol(major))) continue;
    throw Error(GRAFT_E_VERSION,
                cat("plugin ", path.string(), " needs ABI ", major, ".x, this libgraft offers ",
                    GRAFT_ABI_MAJOR, ".", GRAFT_ABI_MINOR,
                    ". Install the plugin and libgraft of one release."));
  }
  throw Error(GRAFT_E_INVALID,
              cat("plugin ", path.string(), " does not export ", entry_symbol(GRAFT_ABI_MAJOR),
                  ", so it is no plugin of graft."));
}

// What both sides know of a table; the rest of `mine` stays 0.
template <class Table>
Table copy_table(const void* theirs, const fs::path& path, const char* what) {
  std::uint32_t size = 0;
  std::memcpy(&size, theirs, sizeof size);
  if (size < 2 * sizeof size) {
    broken(path, cat(what, " says that it has ", size, " bytes."));
  }
  Table mine{};
  const std::size_t known = std::min<std::size_t>(size, sizeof mine);
  std::memcpy(static_cast<void*>(&mine), theirs, known);
  mine.struct_size = static_cast<std::uint32_t>(known);
  return mine;
}

template <class Table>
std::optional<Table> table(const PluginFile& file, const char* interface_id) {
  const void* theirs = nullptr;
  call_plugin(file.path.string(), [&](graft_error*) {
    theirs = file.get_interface(interface_id);
    return GRAFT_OK;
  });
  if (!theirs) return std::nullopt;
  auto mine = copy_table<Table>(theirs, file.path, interface_id);
  if (!mine.name || !*mine.name) broken(file.path, cat(interface_id, " has no name."));
  if (!mine.config_schema) broken(file.path, cat(interface_id, " has no config_schema."));
  return mine;
}

struct Member {
  template <class Result, class... Arguments>
  Member(const char* its_name, Result (*function)(Arguments...))
      : name(its_name), there(function != nullptr) {}
  const char* name;
  bool there;
};

void require(const PluginFile& file, const char* interface_id, std::initializer_list<Member> all) {
  for (const Member& member : all) {
    if (!member.there) broken(file.path, cat(interface_id, " has no ", member.name, "()."));
  }
}

}  // namespace

PluginFile load_plugin(const fs::path& folder, const fs::path& file) {
  const fs::path path = trusted_file(folder, file);
  const std::string digest = sha256_hex(MappedFile::open(path).bytes());
  const dll::shared_library library = open_library(path);
  if (!library.has(entry_symbol(GRAFT_ABI_MAJOR))) no_entry(path, library);
  const auto entry = &library.get<const graft_plugin*()>(entry_symbol(GRAFT_ABI_MAJOR));

  const graft_plugin* theirs = nullptr;
  call_plugin(path.string(), [&](graft_error*) {
    theirs = entry();
    return GRAFT_OK;
  });
  if (!theirs) broken(path, cat(entry_symbol(GRAFT_ABI_MAJOR), "() returned NULL."));
  const auto plugin = copy_table<graft_plugin>(theirs, path, "its description");
  const std::string abi = cat(plugin.abi_major, ".", plugin.abi_minor);
  if (plugin.abi_major != GRAFT_ABI_MAJOR || plugin.abi_minor != GRAFT_ABI_MINOR) {
    throw Error(GRAFT_E_VERSION,
                cat("plugin ", path.string(), " needs ABI ", abi, ", this libgraft offers ",
                    GRAFT_ABI_MAJOR, ".", GRAFT_ABI_MINOR,
                    ". Install the plugin and libgraft of one release."));
  }
  if (!plugin.id || !plugin.version) broken(path, "it tells no id or no version.");
  if (!plugin.get_interface) broken(path, "it has no get_interface().");
  const auto text = [](const char* s) { return std::string(s ? s : ""); };
  return {path, plugin.id, plugin.version,      text(plugin.vendor), text(plugin.license),
          abi,  digest,    plugin.get_interface};
}

std::optional<graft_method_api> method_table(const PluginFile& file) {
  const auto api = table<graft_method_api>(file, GRAFT_IFACE_METHOD);
  if (api) {
    require(file, GRAFT_IFACE_METHOD,
            {{"create", api->create},
             {"destroy", api->destroy},
             {"attach", api->attach},
             {"detach", api->detach},
             {"forward", api->forward}});
  }
  return api;
}

std::optional<graft_optimizer_api> optimizer_table(const PluginFile& file) {
  const auto api = table<graft_optimizer_api>(file, GRAFT_IFACE_OPTIMIZER);
  if (api) {
    require(file, GRAFT_IFACE_OPTIMIZER,
            {{"create", api->create}, {"destroy", api->destroy}, {"update", api->update}});
    if (api->n_scalars > 0) require(file, GRAFT_IFACE_OPTIMIZER, {{"scalars", api->scalars}});
  }
  return api;
}

std::optional<graft_backend_api> backend_table(const PluginFile& file) {
  const auto api = table<graft_backend_api>(file, GRAFT_IFACE_BACKEND);
  if (api) {
    require(file, GRAFT_IFACE_BACKEND,
            {{"probe", api->probe},
             {"open", api->open},
             {"close", api->close},
             {"device_info", api->device_info},
             {"kernels", api->kernels},
             {"alloc", api->alloc},
             {"free", api->free},
             {"stream_create", api->stream_create},
             {"stream_destroy", api->stream_destroy},
             {"stream_wait", api->stream_wait},
             {"copy", api->copy}});
  }
  return api;
}

}  // namespace graft::core
