// How every reference kernel works: read the operands as f64, apply the formula as it is written
// in graft/plugin.h, round once when storing. Nothing is fast, nothing is clever.
#pragma once
#include <cstdint>
#include <exception>
#include <graft/backend.hpp>
#include <new>
#include <stdexcept>
#include <vector>

namespace graft::ref {

using namespace graft::backend;

using Values = std::vector<double>;  // a view's elements in row-major order

/// Every element of a view of any kernel dtype or I32.
Values load(const graft_view& view);
void load_to(const graft_view& view, double* values);

/// Rounds each value once; with `accumulate`, the sum with what is there.
void store(const double* values, const graft_view& view, bool accumulate = false);
inline void store(const Values& values, const graft_view& view, bool accumulate = false) {
  store(values.data(), view, accumulate);
}

/// A view whose elements can be read one by one: the view itself, or of a quantized one a copy.
struct Readable {
  explicit Readable(const graft_view& given);
  Values values;
  graft_view view;
};

/// supports() of the kernels that read quantized operands: whether their blocks are known.
graft_status reads_blocks(graft_device*, const graft_kernel_args* args);

/// The elements of an I32 view of rank 1.
std::vector<std::int32_t> load_ids(const graft_view& view);

/// `view` at one place of its first axis.
graft_view row_of(const graft_view& view, std::int64_t row);

/// A part of an axis.
graft_view part_of(graft_view view, std::int32_t axis, std::int64_t from, std::int64_t count);

/// `value` as it reads back after being stored as `dtype`.
double round_to(std::uint32_t dtype, double value);

inline std::int64_t last_extent(const graft_view& view) {
  return view.ndim > 0 ? view.shape[view.ndim - 1] : 1;
}

/// What the caller promises; broken, the kernel answers GRAFT_E_INVALID with `message`.
inline void require(bool holds, const char* message) {
  if (!holds) throw std::invalid_argument(message);
}

using Body = void(const graft_kernel_args& args);

/// A table entry's run(): argument counts are checked, no exception leaves.
template <Body* body, std::uint32_t min_in, std::uint32_t max_in, std::uint32_t n_out>
graft_status run(graft_stream*, const graft_kernel_args* args, graft_error* error) {
  try {
    const graft_status counts = check_counts(args, "ref", min_in, max_in, n_out, error);
    if (counts == GRAFT_OK) body(*args);
    return counts;
  } catch (const std::bad_alloc&) {
    return fail(error, GRAFT_E_NO_MEMORY, "ref: no memory for the operands in f64");
  } catch (const std::invalid_argument& e) {
    return fail(error, GRAFT_E_INVALID, "ref: %s", e.what());
  } catch (const std::exception& e) {
    return fail(error, GRAFT_E_INTERNAL, "ref: %s", e.what());
  }
}

}  // namespace graft::ref
