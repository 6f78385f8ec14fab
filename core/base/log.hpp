// Where messages for people go. The core prints nothing by itself.
#pragma once
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

namespace graft::core {

enum class Level { kDebug = 0, kInfo = 1, kWarning = 2, kError = 3 };

struct LogRecord {
  Level level;
  std::string_view source;   // "data", "plugin lora", ...
  std::string_view message;  // one sentence or more, no line break at the end
};

/// A value to be passed around by copy: copies share one sink. A Log made without a sink is silent.
/// Any thread may write; the sink is called by one thread at a time and must not write to the log.
class Log {
 public:
  using Sink = std::function<void(const LogRecord&)>;

  Log() = default;
  explicit Log(Sink sink, Level least = Level::kInfo)
      : state_(std::make_shared<State>()), least_(least) {
    state_->sink = std::move(sink);
  }

  void write(Level level, std::string_view source, std::string_view message) const {
    if (!takes(level)) return;
    const std::lock_guard lock(state_->mutex);
    state_->sink({level, source, message});
  }
  void debug(std::string_view source, std::string_view message) const {
    write(Level::kDebug, source, message);
  }
  void info(std::string_view source, std::string_view message) const {
    write(Level::kInfo, source, message);
  }
  void warning(std::string_view source, std::string_view message) const {
    write(Level::kWarning, source, message);
  }
  void error(std::string_view source, std::string_view message) const {
    write(Level::kError, source, message);
  }

  /// Whether a message of this level would be written: ask before composing a costly one.
  bool takes(Level level) const { return state_ && state_->sink && level >= least_; }

 private:
  struct State {
    std::mutex mutex;
    Sink sink;
  };
  std::shared_ptr<State> state_;
  Level least_ = Level::kInfo;
};

}  // namespace graft::core
