// A kernel call as the baseline half sees it: views checked, and made dense along their last axis
// where they are not, so that the kernels in isa/ need no other case.
#ifndef GRAFT_CPU_CALL_HPP
#define GRAFT_CPU_CALL_HPP
#include <cstdlib>
#include <graft/backend.hpp>
#include <memory>
#include <string>
#include <vector>

#include "plugins/backends/cpu/device.hpp"

namespace graft_cpu {

namespace gb = graft::backend;

/// What the caller promised and did not keep: GRAFT_E_INVALID with this text.
struct Refusal {
  std::string text;
};
inline void require(bool holds, const char* text) {
  if (!holds) throw Refusal{text};
}

/// f32 or bf16; everything else is refused.
Type float_type(const graft_view& view);

inline std::int64_t last_extent(const graft_view& view) {
  return view.ndim > 0 ? view.shape[view.ndim - 1] : 1;
}
inline bool last_axis_dense(const graft_view& view) {
  return view.ndim == 0 || view.shape[view.ndim - 1] <= 1 || view.stride[view.ndim - 1] == 1;
}

/// y = x (or += x): any strides, any pair of the dtypes of "copy/1".
void copy_view(const graft_device& device, const graft_view& x, const graft_view& y,
               bool accumulate);

class Call {
 public:
  Call(graft_device& on, const graft_kernel_args& given) : device(on), args(given) {}

  graft_device& device;
  const graft_kernel_args& args;

  const IsaKernels& isa() const { return *device.isa; }
  bool accumulates() const { return gb::attr_i(&args, "accumulate") != 0; }
  double real(const char* name, double missing = 0) const {
    return gb::attr_f(&args, name, missing);
  }
  std::int64_t integer(const char* name) const { return gb::attr_i(&args, name); }

  /// Input i with a dense last axis (a copy if need be), or dense as a whole.
  graft_view in_rows(std::uint32_t i);
  graft_view in_dense(std::uint32_t i);
  /// Output i likewise; finish() brings a copy home. `kept`: its values are read, too.
  graft_view out_rows(std::uint32_t i, bool kept = false);
  graft_view out_dense(std::uint32_t i, bool kept = false);
  void finish();

  /// Memory until the end of the call.
  void* memory(std::uint64_t bytes);
  /// The planned workspace, or memory of the call's own if it is too small.
  void* workspace(std::uint64_t bytes) {
    return bytes <= args.workspace_size ? args.workspace : memory(bytes);
  }

 private:
  graft_view copy_of(const graft_view& view, bool filled);

  struct Free {
    void operator()(void* p) const { std::free(p); }
  };
  std::vector<std::unique_ptr<void, Free>> memory_;
  std::vector<std::pair<graft_view, graft_view>> home_;  // copy, output
};

/// The axes before the last one of all views, which have one shape but for the last axis.
RowCall rows_of(const Call& call, std::initializer_list<const graft_view*> views);

/// All axes of views of one shape.
ElementCall elements_of(const Call& call, std::initializer_list<const graft_view*> views);

/// The nest over all axes of loops that make_loop() made.
template <std::size_t N>
Nest nest_of(const gb::Loop<N>& loop, std::int32_t axes) {
  Nest nest = {};
  nest.ndim = 1;
  nest.count = 1;
  nest.extent[0] = 1;
  if (axes > 0) nest.ndim = axes;
  for (std::int32_t d = 0; d < axes; ++d) {
    nest.extent[d] = loop.extent[d];
    nest.count *= loop.extent[d];
    for (std::size_t i = 0; i < N; ++i) nest.stride[d][i] = loop.stride[d][i];
  }
  return nest;
}

using Body = void(Call& call);

/// A table entry's run(): counts are checked, no exception leaves.
template <Body* body, std::uint32_t min_in, std::uint32_t max_in, std::uint32_t n_out>
graft_status run(graft_stream* stream, const graft_kernel_args* args, graft_error* error) {
  try {
    const graft_status counts = gb::check_counts(args, "cpu", min_in, max_in, n_out, error);
    if (counts != GRAFT_OK) return counts;
    Call call(*stream->device, *args);
    body(call);
    call.finish();
    return GRAFT_OK;
  } catch (const std::bad_alloc&) {
    return gb::fail(error, GRAFT_E_NO_MEMORY, "cpu: no memory for a copy of an operand");
  } catch (const Refusal& e) {
    return gb::fail(error, GRAFT_E_INVALID, "cpu: %s", e.text.c_str());
  } catch (const std::exception& e) {
    return gb::fail(error, GRAFT_E_INTERNAL, "cpu: %s", e.what());
  }
}

// Kernels, one file per family.
Body copy, fill, add, sub, mul, div, affine, act, act_bwd, swiglu, swiglu_bwd;  // elementwise.cpp
Body softmax, softmax_bwd, cross_entropy, cross_entropy_bwd;                    // rows.cpp
Body norm, norm_bwd, norm_bwd_weight, add_norm, rope, dropout;                  // rows.cpp
Body gather, scatter_add, write_rows;                                           // index.cpp
Body reduce_sum, sum_squares, adam_update, adam8_update;                        // reduce.cpp
Body matmul;                                                                    // matmul.cpp
Body attention, attention_bwd;                                                  // attention.cpp
Body skew, unskew, inverse, orthonormal;                                        // small.cpp
using Bytes = uint64_t(graft_device*, const graft_kernel_args*);
Bytes norm_bwd_weight_workspace, reduce_sum_workspace, sum_squares_workspace, matmul_workspace,
    attention_workspace, attention_bwd_workspace;

}  // namespace graft_cpu
#endif
