// "runs" of RUN.json: several runs that share a base, each with what it does not have in common with
// the others.
#pragma once
#include <string>
#include <vector>

#include "core/base/error.hpp"
#include "core/base/json.hpp"
#include "core/train/run_config.hpp"

namespace graft::core {

/// Schema of a whole RUN.json that holds "runs".
Json many_runs_schema();

/// One RUN.json for each run, as a user would write it who trains the run alone: the common keys with
/// those of the run over them, and a sub-folder of output.dir. By name. Throws GRAFT_E_INVALID.
std::vector<std::pair<std::string, Json>> apart(const Json& whole);

/// Throws GRAFT_E_INVALID where runs do not agree on what they share.
void require_one_base(const std::vector<RunConfig>& runs);

/// The resolved RUN.json of all of them; of one run its own.
Json config_of_all(const std::vector<const RunConfig*>& runs);

/// The message about a run that is one of several: it names the run.
std::string about_run(const std::string& name, const std::string& message);

/// Runs `part`; what it throws names the run.
template <class F>
void of_run(const std::string& name, F part) {
  try {
    part();
  } catch (const Error& e) {
    throw Error(e.status(), about_run(name, e.what()));
  }
}

}  // namespace graft::core
