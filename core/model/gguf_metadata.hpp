// A decoder's configuration as the metadata of a GGUF file, as llama.cpp's converter writes it.
#pragma once
#include <string>

#include "core/model/config.hpp"
#include "core/tensor/gguf_write.hpp"

namespace graft::core {

/// Keys, and tensors of rotary factors, of everything that GGUF has a place for.
void add_model_metadata(GgufWriter& writer, const DecoderConfig& config);

/// Throws GRAFT_UNSUPPORTED naming the first thing in which what was read back of a file differs from
/// what should be in it: GGUF has no place for it.
void require_same_model(const DecoderConfig& wanted, const DecoderConfig& read);

/// The type that llama.cpp gives to a tensor in a file of `kind`: "q4_0", "q4_k_m", "q8_0", or a plain
/// type. Throws GRAFT_E_INVALID where rows have no whole number of blocks.
std::string gguf_type_of(const std::string& kind, const std::string& gguf_name,
                         const std::vector<std::int64_t>& shape, const DecoderConfig& config);
/// Throws GRAFT_E_CONFIG with the kinds that there are. The number is general.file_type's.
std::uint32_t gguf_file_type(const std::string& kind);
bool is_gguf_kind(const std::string& kind);

}  // namespace graft::core
