// How llama.cpp's converter names and orders what a Hugging Face folder holds, both ways.
#pragma once
#include <string>
#include <string_view>

#include "core/model/config.hpp"
#include "core/tensor/host_tensor.hpp"

namespace graft::core {

/// The Hugging Face name of a tensor of a GGUF ("blk.0.attn_q.weight"), or "".
std::string hf_name_of_gguf(std::string_view name, const ModuleNames& names);
/// The other way round; "" where GGUF has no place for it.
std::string gguf_name_of_hf(std::string_view name, const ModuleNames& names);

/// Marks the order in which the rows of a tensor of that (Hugging Face) name lie in a GGUF.
void set_gguf_order(HostTensor& tensor, const DecoderConfig& config);
/// What a GGUF's values are more than a folder's: norm weights of some families.
float gguf_offset(const HostTensor& tensor, const DecoderConfig& config);

}  // namespace graft::core
