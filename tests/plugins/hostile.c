/* Plugins that break the rules, one per value of HOSTILE_<CASE>; without any, a good one: a method
 * in C11 that changes nothing. tests/unit/plugin loads them. */
#include <graft/plugin.h>
#include <string.h>

#ifndef NAME
#define NAME "good"
#endif

static int instances;

static graft_status create(const graft_host* host, const graft_config* config, graft_method** out,
                           graft_error* error) {
  (void)config, (void)error;
  host->log(host, GRAFT_LOG_INFO, NAME, "made");
  *out = (graft_method*)&instances;
  ++instances;
  return GRAFT_OK;
}
static void destroy(graft_method* m) {
  if (m) --instances;
}
static graft_status attach(graft_method* m, graft_site* site, void** state, graft_error* error) {
  (void)m, (void)site, (void)error;
  *state = NULL;
  return GRAFT_OK;
}
static void detach(graft_method* m, void* state) {
  (void)m, (void)state;
}
static graft_status forward(graft_method* m, void* state, graft_ctx* ctx, const graft_hook* hook) {
  (void)m, (void)state;
  return hook->next(ctx, hook, hook->in, hook->out);
}

#if defined(HOSTILE_LONG_TABLE)
/* A table of a later ABI: our fields, then fields that today's host has never heard of. */
static const struct {
  graft_method_api api;
  uint64_t later[4];
} table = {.api = {.struct_size = sizeof table,
                   .site_kinds = GRAFT_SITE_LINEAR,
                   .name = NAME,
                   .config_schema = "{\"type\":\"object\",\"additionalProperties\":false}",
                   .create = create,
                   .destroy = destroy,
                   .attach = attach,
                   .detach = detach,
                   .forward = forward},
           .later = {~0u, ~0u, ~0u, ~0u}};
#else
__attribute__((unused)) static const graft_method_api table = {
#if defined(HOSTILE_SHORT_TABLE)
    /* The host must not look at what lies behind. */
    .struct_size = offsetof(graft_method_api, storage),
#elif defined(HOSTILE_TINY_TABLE)
    .struct_size = 3,
#else
    .struct_size = sizeof table,
#endif
    .site_kinds = GRAFT_SITE_LINEAR,
    .name = NAME,
    .config_schema = "{\"type\":\"object\",\"additionalProperties\":false}",
    .create = create,
    .destroy = destroy,
    .attach = attach,
    .detach = detach,
#if !defined(HOSTILE_NO_FORWARD)
    .forward = forward
#endif
};
#endif

#if defined(HOSTILE_UNRESOLVED)
extern int graft_symbol_that_nobody_has(void);
#endif

static const void* get_interface(const char* id) {
#if defined(HOSTILE_UNRESOLVED)
  if (graft_symbol_that_nobody_has()) return NULL;
#endif
#if defined(HOSTILE_NO_TABLES)
  (void)id, (void)forward;
  return NULL;
#else
  (void)forward;
  return strcmp(id, GRAFT_IFACE_METHOD) ? NULL : &table;
#endif
}

static const graft_plugin plugin = {.struct_size = sizeof plugin,
                                    .abi_major = GRAFT_ABI_MAJOR,
#if defined(HOSTILE_NEWER_MINOR)
                                    .abi_minor = GRAFT_ABI_MINOR + 1,
#else
                                    .abi_minor = GRAFT_ABI_MINOR,
#endif
                                    .id = "org.example." NAME,
                                    .version = "1.2.3",
                                    .vendor = "Example",
                                    .license = "Apache-2.0",
#if !defined(HOSTILE_NULL_INTERFACE)
                                    .get_interface = get_interface
#endif
};

#if defined(HOSTILE_WRONG_MAJOR)
GRAFT_PLUGIN_EXPORT const graft_plugin* graft_plugin_entry_v1(void);
GRAFT_PLUGIN_EXPORT const graft_plugin* graft_plugin_entry_v1(void) {
  return &plugin;
}
#elif defined(HOSTILE_NO_ENTRY)
GRAFT_PLUGIN_EXPORT const graft_plugin* some_other_symbol(void);
GRAFT_PLUGIN_EXPORT const graft_plugin* some_other_symbol(void) {
  return &plugin;
}
#else
const graft_plugin* graft_plugin_entry_v0(void) {
#if defined(HOSTILE_NULL_INTERFACE)
  (void)get_interface;
#endif
#if defined(HOSTILE_NULL_ENTRY)
  return instances ? &plugin : NULL;
#else
  return &plugin;
#endif
}
#endif
