// Inputs of recordings in which methods put rows before each sequence.
#pragma once
#include <string>
#include <vector>

#include "core/graph/program.hpp"

namespace graft::core {

/// Name of the I32 input of a recording that picks the rows where n rows go before each sequence, on
/// top of `before` rows that are there already. what: "own" (1: a row of the sequence), "row" (its
/// number before), "head" (number of a row of the prefix).
std::string prepend_input(std::int64_t before, std::int64_t n, const char* what);

/// Fills those inputs for sequences of rows cu_seqlens[j] to cu_seqlens[j + 1].
void set_prepend_inputs(Program& program, const std::vector<std::int32_t>& cu_seqlens);

}  // namespace graft::core
