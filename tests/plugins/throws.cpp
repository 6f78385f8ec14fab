// A method that throws across the border, which no plugin may do: from the entry, or from create(),
// attach() or forward().
#include <graft/plugin.h>

#include <cstring>
#include <stdexcept>

namespace {

graft_status create(const graft_host*, const graft_config* config, graft_method** out,
                    graft_error*) {
  if (config->api->get_i64(config, "/in_create")) throw std::runtime_error("thrown in create");
  static int instance;
  *out = reinterpret_cast<graft_method*>(&instance);
  return GRAFT_OK;
}
void destroy(graft_method*) {}
graft_status attach(graft_method*, graft_site*, void**, graft_error*) {
  throw std::runtime_error("thrown in attach");
}
void detach(graft_method*, void*) {}
graft_status forward(graft_method*, void*, graft_ctx*, const graft_hook*) {
  throw 17;
}

const graft_method_api table = [] {
  graft_method_api t{};
  t.struct_size = sizeof t;
  t.site_kinds = GRAFT_SITE_LINEAR;
  t.name = "throws";
  t.config_schema = R"({"type": "object"})";
  t.create = create;
  t.destroy = destroy;
  t.attach = attach;
  t.detach = detach;
  t.forward = forward;
  return t;
}();

const void* get_interface(const char* id) {
  return std::strcmp(id, GRAFT_IFACE_METHOD) ? nullptr : &table;
}

[[maybe_unused]] const graft_plugin plugin = {
    sizeof(graft_plugin), GRAFT_ABI_MAJOR, GRAFT_ABI_MINOR,
    "org.example.throws", "1.0.0",         "Example",
    "Apache-2.0",         get_interface};

}  // namespace

const graft_plugin* graft_plugin_entry_v0() {
#ifdef HOSTILE_THROWS_IN_ENTRY
  throw std::runtime_error("thrown in the entry");
#else
  return &plugin;
#endif
}
