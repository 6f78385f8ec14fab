// One problem, given to one kernel of the device and judged.
#pragma once
#include <string>

#include "device.hpp"
#include "problem.hpp"

namespace graft::conform {

struct Verdict {
  std::string failure;       // "" when the kernel is right
  bool declined = false;     // supports() said no
  bool rows_matter = false;  // a row's bits depend on how many other rows there are
  double worst = 0;          // largest error, as a share of what is allowed
};

Verdict check(const Device& device, const graft_kernel& kernel, const Problem& problem,
              bool odd_start);

}  // namespace graft::conform
