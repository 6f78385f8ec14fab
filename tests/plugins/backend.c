/* A backend that offers nothing but an answer to probe(): PROBE. */
#include <graft/plugin.h>
#include <string.h>

static int32_t probe(void) {
  return PROBE;
}
static graft_status open_device(const graft_host* host, const graft_config* config,
                                graft_device** out, graft_error* error) {
  (void)host, (void)config, (void)out, (void)error;
  return GRAFT_UNSUPPORTED;
}
static void close_device(graft_device* d) {
  (void)d;
}
static graft_status device_info(graft_device* d, graft_device_info* out, graft_error* error) {
  (void)d, (void)out, (void)error;
  return GRAFT_UNSUPPORTED;
}
static const graft_kernel* kernels(graft_device* d, uint32_t* n) {
  (void)d;
  *n = 0;
  return NULL;
}
static graft_status allocate(graft_device* d, uint64_t bytes, void** out, graft_error* error) {
  (void)d, (void)bytes, (void)out, (void)error;
  return GRAFT_UNSUPPORTED;
}
static void release(graft_device* d, void* memory) {
  (void)d, (void)memory;
}
static graft_status stream_create(graft_device* d, graft_stream** out, graft_error* error) {
  (void)d, (void)out, (void)error;
  return GRAFT_UNSUPPORTED;
}
static void stream_destroy(graft_stream* s) {
  (void)s;
}
static graft_status stream_wait(graft_stream* s, graft_error* error) {
  (void)s, (void)error;
  return GRAFT_UNSUPPORTED;
}
static graft_status copy(graft_stream* s, void* dst, const void* src, uint64_t bytes,
                         int32_t to_device, graft_error* error) {
  (void)s, (void)dst, (void)src, (void)bytes, (void)to_device, (void)error;
  return GRAFT_UNSUPPORTED;
}

static const graft_backend_api table = {.struct_size = sizeof table,
                                        .name = NAME,
                                        .config_schema = "{\"type\":\"object\"}",
                                        .probe = probe,
                                        .open = open_device,
                                        .close = close_device,
                                        .device_info = device_info,
                                        .kernels = kernels,
                                        .alloc = allocate,
                                        .free = release,
                                        .stream_create = stream_create,
                                        .stream_destroy = stream_destroy,
                                        .stream_wait = stream_wait,
                                        .copy = copy};

static const void* get_interface(const char* id) {
  return strcmp(id, GRAFT_IFACE_BACKEND) ? NULL : &table;
}
static const graft_plugin plugin = {.struct_size = sizeof plugin,
                                    .abi_major = GRAFT_ABI_MAJOR,
                                    .abi_minor = GRAFT_ABI_MINOR,
                                    .id = "org.example." NAME,
                                    .version = "1.0.0",
                                    .get_interface = get_interface};
const graft_plugin* graft_plugin_entry_v0(void) {
  return &plugin;
}
