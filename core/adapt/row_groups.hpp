// Several independent sets of methods on one pass through a frozen base: the rows of a recording are
// in groups, one group for each set, and the methods of a set see the rows of their group alone.
#pragma once
#include <string>
#include <vector>

#include "core/adapt/attach.hpp"

namespace graft::core {

/// Throws GRAFT_E_CONFIG where something of the set cannot be kept to a group of rows: a tensor of
/// the base that is trained, rows put before sequences, a change of the head. `who` begins the
/// message.
void require_row_groups(const AdapterSet& set, const std::string& who);

/// Runs each site with what all `sets` have attached to it, the g-th to the rows of group g. What
/// the base makes of a site's input is computed once for all of them; a method that changes the input
/// has it computed for the rows of its group.
SiteRunner run_by_group(std::vector<AdapterRecording*> sets);

}  // namespace graft::core
