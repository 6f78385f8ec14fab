// What is right: the reference kernels, compiled into this program, on dense copies of the
// operands.
#pragma once
#include <string_view>
#include <vector>

#include "problem.hpp"

namespace graft::conform {

enum class Precision { kF64, kAsGiven };  // operands widened to f64, or in the dtypes they have

/// The results of `kernel` for the problem.
std::vector<Values> reference(std::string_view kernel, const Problem& problem, Precision precision);

/// Whether every backend must have it.
bool is_required(std::string_view kernel);

}  // namespace graft::conform
