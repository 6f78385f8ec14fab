// The op table that plugins record with: graft_ctx over a Recorder.
#pragma once
#include <graft/plugin.h>

#include <deque>
#include <functional>
#include <string>
#include <vector>

#include "core/graph/recorder.hpp"

/// What a plugin's graft_tensor pointer points to: a value of one recording, or a parameter, which
/// outlives recordings.
struct graft_tensor {
  graft::core::ValueId value = graft::core::kNone;  ///< of the recording `owner`
  std::int32_t parameter = -1;                      ///< index, if it is a parameter
  const void* owner = nullptr;                      ///< the OpsContext; nullptr for parameters
};

namespace graft::core {

/// Lets plugin code write into a recording. Keeps the first error; take_error() rethrows it.
class OpsContext {
 public:
  /// `parameter_leaf` gives the value of a parameter in this recording.
  OpsContext(Recorder& recorder, std::function<ValueId(std::int32_t)> parameter_leaf);
  OpsContext(const OpsContext&) = delete;
  OpsContext& operator=(const OpsContext&) = delete;

  graft_ctx* c_ctx() { return &c_.base; }
  Recorder& recorder() { return recorder_; }

  /// A handle that lives as long as this object.
  graft_tensor* handle(ValueId id);
  /// The value behind a handle. Throws on one of another recording. NULL gives kNone.
  ValueId value(const graft_tensor* tensor);

  /// A negative symbol for an extent that is not fixed, else its number; and back.
  std::int64_t number_of(const Extent& e);
  Extent extent_of(std::int64_t number) const;

  void fail(graft_status status, const std::string& message);
  graft_status status() const { return status_; }
  /// Throws what was kept, if anything. `who` begins the message.
  void rethrow(const std::string& who);

  struct CCtx {  // what the C side sees first: a graft_ctx; behind it the way back
    graft_ctx base;
    OpsContext* self;
  };

 private:
  Recorder& recorder_;
  std::function<ValueId(std::int32_t)> parameter_leaf_;
  CCtx c_;
  std::deque<graft_tensor> handles_;
  std::vector<Extent> symbols_;
  graft_status status_ = GRAFT_OK;
  std::string message_;
};

}  // namespace graft::core
