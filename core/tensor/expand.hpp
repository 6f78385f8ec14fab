// Whole tensors from the type they are stored in to the type they are computed with.
#pragma once
#include "core/tensor/host_tensor.hpp"

namespace graft::core {

/// Writes every element of `tensor`, in the order of its shape, to `target` as `dtype` (f32, bf16,
/// f16 or f64): blocks are expanded, interleaved rows put in order. Uses up to `threads` threads;
/// the result does not depend on their number.
void expand(const HostTensor& tensor, std::uint32_t dtype, void* target, int threads);

/// The same for rows [begin, end).
void expand_rows(const HostTensor& tensor, std::uint32_t dtype, void* target, std::int64_t begin,
                 std::int64_t end);

/// The same into a tensor with a buffer of its own.
HostTensor expanded(const HostTensor& tensor, std::uint32_t dtype, int threads);

}  // namespace graft::core
