// What goes into the sites of a base model, batch by batch: for parameters that begin from data.
#pragma once
#include "core/adapt/observe.hpp"
#include "core/base/log.hpp"
#include "core/data/batches.hpp"
#include "core/model/model.hpp"

namespace graft::core {

/// The micro-steps of `batches` from the first on, round and round, through the base model alone.
/// `open` opens it; it is loaded for the pass and let go after it. Equal inputs (queries, keys and
/// values share theirs) are looked at once. Throws GRAFT_E_CONFIG where no batch has as many rows
/// as there are to be components, and GRAFT_E_NO_MEMORY where it would take more than the limit (0: none).
InputPass input_pass(const Device& device, std::function<Model()> open, Batches& batches,
                     std::uint64_t memory_limit, const Log& log);

}  // namespace graft::core
