// What a person sees of a run while it goes on.
#pragma once
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
  long long step() const { return step_; }

 private:
  void step_event(const Json& event);

  bool shown_, bar_;
  long long steps_ = 0, first_ = 0, step_ = 0;
  double seconds_ = 0;  ///< of the steps since the start
};

}  // namespace cli
