// What a person sees of a run while it goes on.
#pragma once
#include <map>
#include <string>

#include "cli/lines.hpp"

namespace cli {

class Progress {
 public:
  /// `shown`: false says nothing but warnings of the run.
  explicit Progress(bool shown);
  ~Progress();
  /// An event of graft_session_run.
  void event(const Json& event);
  /// "step 12", or of several runs "step 12 of a and step 4 of b".
  std::string steps() const;

 private:
  /// How far a run is.
  struct One {
    long long steps = 0, first = -1, step = 0;
    double seconds = 0;    ///< of the steps since the start
    std::string in_short;  ///< for a line of all runs
  };
  void step_event(const Json& event, One& run, const std::string& prefix);
  void show_all() const;

  bool shown_, bar_;
  std::map<std::string, One> runs_;  // by name; "": the only one
};

}  // namespace cli
