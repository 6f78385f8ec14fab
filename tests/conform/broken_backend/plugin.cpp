// A backend with one fault, chosen by "/fault" in its configuration: each is a mistake that somebody
// makes one day, and graft-conform has to see it. Everything else is the reference backend, whose
// entry is linked in as graft_ref_entry().
#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <string>

#include "plugins/backends/ref/kernels.hpp"

extern "C" const graft_plugin* graft_ref_entry(void);

namespace {

using namespace graft::ref;

const graft_backend_api& reference() {
  return *static_cast<const graft_backend_api*>(
      graft_ref_entry()->get_interface(GRAFT_IFACE_BACKEND));
}

// ---- the faults --------------------------------------------------------------------------------

// The last column is left out where the width is odd: a vector loop without its tail.
void matmul_tail(const graft_kernel_args& args) {
  graft_view c = args.out[0], b = args.in[1];
  if (c.shape[c.ndim - 1] % 2) {
    --c.shape[c.ndim - 1];
    --b.shape[b.ndim - 1];
  }
  graft_view in[2] = {args.in[0], b};
  graft_kernel_args fewer = args;
  fewer.n_in = 2;
  fewer.in = in;
  fewer.out = &c;
  matmul(args.n_in == 2 ? fewer : args);
}

// Strides of the result are taken for dense.
void mul_dense(const graft_kernel_args& args) {
  graft_view y = args.out[0];
  std::int64_t stride = 1;
  for (std::int32_t d = y.ndim - 1; d >= 0; --d) {
    y.stride[d] = stride;
    stride *= y.shape[d];
  }
  graft_kernel_args dense = args;
  dense.out = &y;
  mul(dense);
}

// Writes one element past the end.
void add_overrun(const graft_kernel_args& args) {
  add(args);
  graft_view y = args.out[0];
  if (y.ndim == 1 && y.shape[0] == 1003) store(Values{1.0}, row_of(part_of(y, 0, 1003, 1), 0));
}

// Leaves something in its input.
void norm_scribble(const graft_kernel_args& args) {
  norm(args);
  if (elements(args.in[1]) > 0) store(Values{0.5}, row_of(args.in[1], 0));
}

// Another answer each time, far within the tolerance.
void softmax_drift(const graft_kernel_args& args) {
  static std::atomic<int> calls;
  softmax(args);
  Values y = load(args.out[0]);
  if (args.out[0].dtype == GRAFT_F32 && ++calls % 2)
    for (double& value : y) value *= 1 + 0x1p-23;
  store(y, args.out[0]);
}

// Rows share a rounding error that depends on their number.
void norm_by_rows(const graft_kernel_args& args) {
  norm(args);
  Values y = load(args.out[0]);
  if (args.out[0].dtype == GRAFT_F32 && args.out[0].shape[0] > 5)
    for (double& value : y) value *= 1 + 0x1p-23;
  store(y, args.out[0]);
}

// Random words in reverse order: as good a dropout, but not this one.
void dropout_order(const graft_kernel_args& args) {
  const Values key = load(args.in[2]);
  std::int32_t swapped[2] = {static_cast<std::int32_t>(key[1]), static_cast<std::int32_t>(key[0])};
  graft_view in[3] = {args.in[0], args.in[1], args.in[2]};
  in[2].data = swapped;
  in[2].stride[0] = 1;
  graft_kernel_args other = args;
  other.in = in;
  dropout(other);
}

// cos and sin are not rounded to T.
void rope_wide(const graft_kernel_args& args) {
  const Values x = load(args.in[0]);
  std::vector<float> wide(x.begin(), x.end());
  graft_view in[3] = {args.in[0], args.in[1], args.in[2]};
  graft_view y = args.out[0];
  std::int64_t stride = 1;
  for (std::int32_t d = 2; d >= 0; --d) {
    in[0].stride[d] = y.stride[d] = stride;
    stride *= y.shape[d];
  }
  in[0].data = y.data = wide.data();
  in[0].dtype = y.dtype = GRAFT_F32;
  graft_kernel_args f32 = args;
  f32.in = in;
  f32.out = &y;
  if (args.in[0].dtype == GRAFT_F64) return rope(args);
  rope(f32);
  store(Values(wide.begin(), wide.end()), args.out[0]);
}

// Keys of a sequence are counted from its first query, not to its last.
void attention_position(const graft_kernel_args& args) {
  graft_view in[6];
  for (int i = 0; i < 6; ++i) in[i] = args.in[i];
  const Values cu_q = load(in[3]), k_len = load(in[5]);
  std::vector<std::int32_t> lengths;
  for (std::size_t s = 0; s < k_len.size(); ++s)
    lengths.push_back(static_cast<std::int32_t>(std::min(k_len[s], cu_q[s + 1] - cu_q[s])));
  in[5].data = lengths.data();
  in[5].stride[0] = 1;
  graft_kernel_args other = args;
  other.in = in;
  attention(other);
}

// [accumulate] is not looked at.
void reduce_overwrite(const graft_kernel_args& args) {
  graft_kernel_args other = args;
  other.n_attr = 0;
  reduce_sum(other);
}

void crash(const graft_kernel_args& args) {
  if (args.out[0].shape[0] == 0) return;
  std::abort();
}

graft_status refuse(graft_device*, const graft_kernel_args*) {
  return GRAFT_UNSUPPORTED;
}

// ---- the plugin --------------------------------------------------------------------------------

std::vector<graft_kernel> table;
std::string fault;
graft_backend_api api;

template <Body* body>
void replace(const char* name, const char* kernel) {
  if (fault != name) return;
  for (graft_kernel& entry : table)
    if (std::strcmp(entry.name, kernel) == 0) entry.run = run<body, 0, 9, 1>;
}

graft_status open_with_fault(const graft_host* host, const graft_config* config, graft_device** out,
                             graft_error* error) {
  fault = config->api->get_str(config, "/fault");
  const KernelTable right = kernel_table();
  table.assign(right.kernels, right.kernels + right.count);
  replace<matmul_tail>("matmul_tail", "matmul/1");
  replace<mul_dense>("mul_dense", "mul/1");
  replace<add_overrun>("add_overrun", "add/1");
  replace<norm_scribble>("norm_scribble", "norm/1");
  replace<norm_by_rows>("norm_by_rows", "norm/1");
  replace<softmax_drift>("softmax_drift", "softmax/1");
  replace<dropout_order>("dropout_order", "dropout/1");
  replace<rope_wide>("rope_wide", "rope/1");
  replace<attention_position>("attention_position", "attention/1");
  replace<reduce_overwrite>("reduce_overwrite", "reduce_sum/1");
  replace<crash>("crash", "gather/1");
  for (std::size_t i = table.size(); i-- > 0;) {
    const std::string name = table[i].name;
    if (fault == "refuse" && name == "write_rows/1") table[i].supports = refuse;
    if (fault == "decline" && name == "swiglu/1") table[i].supports = refuse;
    if (fault == "missing" && (name == "rope/1" || name == "cross_entropy/1" || name == "swiglu/1"))
      table.erase(table.begin() + static_cast<std::ptrdiff_t>(i));
  }
  if (fault == "unknown") table.push_back({"levitate/1", run<crash, 0, 9, 1>, nullptr, nullptr});
  return reference().open(host, config, out, error);
}

const graft_kernel* kernels(graft_device*, std::uint32_t* n) {
  *n = static_cast<std::uint32_t>(table.size());
  return table.data();
}

// The fault "far_memory" is none: kernels that cannot read any host memory must do as well.
graft_status device_info(graft_device* device, graft_device_info* info, graft_error* error) {
  const graft_status status = reference().device_info(device, info, error);
  if (fault == "far_memory") info->caps &= ~static_cast<std::uint64_t>(GRAFT_CAP_HOST_MEMORY);
  return status;
}

graft_status alloc(graft_device* device, std::uint64_t bytes, void** out, graft_error* error) {
  const graft_status status = reference().alloc(device, bytes, out, error);
  if (fault == "dirty_memory" && bytes > 0) std::memset(*out, 7, bytes);
  return status;
}

const void* get_interface(const char* id) {
  if (std::strcmp(id, GRAFT_IFACE_BACKEND) != 0) return nullptr;
  api = reference();
  api.name = "broken";
  api.open = open_with_fault;
  api.kernels = kernels;
  api.device_info = device_info;
  api.alloc = alloc;
  return &api;
}

const graft_plugin kPlugin = {
    sizeof(graft_plugin), GRAFT_ABI_MAJOR, GRAFT_ABI_MINOR, "org.graft.test.broken", "1", "graft",
    "Apache-2.0",         get_interface};

}  // namespace

extern "C" GRAFT_PLUGIN_EXPORT const graft_plugin* graft_plugin_entry_v0(void) {
  return &kPlugin;
}
