// Schemas of RUN.json: the host's parts, and the whole.
#pragma once
#include "core/adapt/storage.hpp"
#include "core/base/json.hpp"
#include "core/plugin/registry.hpp"

namespace graft::core {

/// The host's keys of a methods[] entry, of one that is loaded from a folder, of "optimizer", and of
/// the whole file.
Json host_method_schema();
Json loaded_method_schema();
Json host_optimizer_schema();
Json host_schema();

/// The published schema: the host's keys and those of every installed plugin.
Json run_schema(Registry& registry);

}  // namespace graft::core
