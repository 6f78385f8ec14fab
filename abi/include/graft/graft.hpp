// graft/graft.hpp: graft.h in C++17. Header-only: handles that destroy themselves, errors as
// exceptions, texts as std::string. Link with libgraft.
//
//   graft::Engine engine;
//   graft::Session session(engine, run_json, "folder/of/run.json");
//   session.run([](std::string_view event) { std::cout << event << '\n'; });
//   graft::Model model(engine, "models/SmolLM2", R"({"adapters": [{"path": "runs/first"}]})");
//   std::string answer = model.generate(R"({"prompt": "Hello"})");
//
// Threads and the JSON are those of graft.h. Handles move and do not copy; they may be destroyed in
// any order. An exception that leaves a callback stops the call and is thrown on from it.
#ifndef GRAFT_HPP
#define GRAFT_HPP
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "graft.h"

namespace graft {

/// What a call of graft.h refused: its status and message.
class Error : public std::runtime_error {
 public:
  Error(graft_status status, const std::string& message)
      : std::runtime_error(message), status_(status) {}
  graft_status status() const noexcept { return status_; }

 private:
  graft_status status_;
};

namespace detail {

/// Runs call(&error); throws where it failed, else returns its status.
template <class Call>
graft_status checked(Call&& call) {
  graft_error error{};
  const graft_status status = call(&error);
  if (status < 0) throw Error(status, error.message);
  return status;
}

/// Runs call(&text, &error) and takes the text over.
template <class Call>
std::string text_of(Call&& call) {
  graft_text* text = nullptr;
  checked([&](graft_error* error) { return call(&text, error); });
  const std::unique_ptr<graft_text, void (*)(graft_text*)> owner(text, graft_text_destroy);
  return std::string(graft_text_data(text), graft_text_size(text));
}

template <class T, void (*destroy)(T*)>
struct Destroy {
  void operator()(T* handle) const noexcept { destroy(handle); }
};
template <class T, void (*destroy)(T*)>
using Handle = std::unique_ptr<T, Destroy<T, destroy>>;

inline const char* pointer(const std::string& text) {
  return text.empty() ? nullptr : text.c_str();
}

}  // namespace detail

/// "0.1.0"
inline std::string version() {
  return graft_version();
}

/// Plugins and the log. Optional texts are passed empty.
class Engine {
 public:
  /// Gets (level, source, message) from any thread; must not throw.
  using Log = std::function<void(std::int32_t, std::string_view, std::string_view)>;

  explicit Engine(const std::string& config_json = {}) {
    graft_engine* engine = nullptr;
    detail::checked([&](graft_error* e) {
      return graft_engine_create(detail::pointer(config_json), &engine, e);
    });
    handle_.reset(engine);
  }

  void set_log(Log log, std::int32_t min_level) {
    auto next = std::make_unique<Log>(std::move(log));
    const graft_log_fn call = [](void* user, std::int32_t level, const char* source,
                                 const char* message) {
      (*static_cast<Log*>(user))(level, source, message);
    };
    graft_engine_set_log(handle_.get(), *next ? call : nullptr, next.get(), min_level);
    log_ = std::move(next);
  }
  void load_plugin(const std::string& path) {
    detail::checked(
        [&](graft_error* e) { return graft_plugin_load(handle_.get(), path.c_str(), e); });
  }
  std::string plugins(const std::string& name = {}) const {
    return detail::text_of([&](graft_text** out, graft_error* e) {
      return graft_plugins_json(handle_.get(), detail::pointer(name), out, e);
    });
  }
  std::string schema(const std::string& plugin = {}) const {
    return detail::text_of([&](graft_text** out, graft_error* e) {
      return graft_schema_json(handle_.get(), detail::pointer(plugin), out, e);
    });
  }
  std::string inspect(const std::string& path, const std::string& options_json = {}) const {
    return detail::text_of([&](graft_text** out, graft_error* e) {
      return graft_inspect_json(handle_.get(), path.c_str(), detail::pointer(options_json), out, e);
    });
  }
  /// A model with adapters in its weights; options as for Model, and "format".
  std::string merge(const std::string& path, const std::string& options_json,
                    const std::string& output) const {
    return detail::text_of([&](graft_text** out, graft_error* e) {
      return graft_merge(handle_.get(), path.c_str(), detail::pointer(options_json), output.c_str(),
                         out, e);
    });
  }
  /// A model in another format.
  std::string quantize(const std::string& path, const std::string& options_json,
                       const std::string& output) const {
    return detail::text_of([&](graft_text** out, graft_error* e) {
      return graft_quantize(handle_.get(), path.c_str(), detail::pointer(options_json),
                            output.c_str(), out, e);
    });
  }
  graft_engine* get() const noexcept { return handle_.get(); }

  Engine(Engine&&) = default;
  Engine& operator=(Engine&&) = delete;
  ~Engine() {
    // Models and sessions may keep the engine alive; the function dies here.
    if (handle_) graft_engine_set_log(handle_.get(), nullptr, nullptr, 0);
  }

 private:
  std::unique_ptr<Log> log_;
  detail::Handle<graft_engine, graft_engine_destroy> handle_;
};

/// Text to tokens and back, without weights.
class Tokenizer {
 public:
  Tokenizer(const Engine& engine, const std::string& path) {
    graft_tokenizer* tokenizer = nullptr;
    detail::checked([&](graft_error* e) {
      return graft_tokenizer_open(engine.get(), path.c_str(), &tokenizer, e);
    });
    handle_.reset(tokenizer);
  }
  /// {"input_ids", "offsets", "pieces"}
  std::string encode(std::string_view text, bool special = false) const {
    return detail::text_of([&](graft_text** out, graft_error* e) {
      return graft_tokenizer_encode(handle_.get(), text.data() ? text.data() : "", text.size(),
                                    special ? 1 : 0, out, e);
    });
  }
  std::string decode(const std::vector<std::int32_t>& ids, bool skip_special = false) const {
    return detail::text_of([&](graft_text** out, graft_error* e) {
      return graft_tokenizer_decode(handle_.get(), ids.data(), ids.size(), skip_special ? 1 : 0,
                                    out, e);
    });
  }
  std::string apply_template(const std::string& variables_json) const {
    return detail::text_of([&](graft_text** out, graft_error* e) {
      return graft_tokenizer_template(handle_.get(), variables_json.c_str(), out, e);
    });
  }
  graft_tokenizer* get() const noexcept { return handle_.get(); }

 private:
  detail::Handle<graft_tokenizer, graft_tokenizer_destroy> handle_;
};

/// A base model with adapters, for inference.
class Model {
 public:
  /// Gets each piece of text as it comes; false stops.
  using OnText = std::function<bool(std::string_view)>;

  Model(const Engine& engine, const std::string& path, const std::string& options_json = {}) {
    graft_model* model = nullptr;
    detail::checked([&](graft_error* e) {
      return graft_model_open(engine.get(), path.c_str(), detail::pointer(options_json), &model, e);
    });
    handle_.reset(model);
  }
  std::string info() const {
    return detail::text_of([&](graft_text** out, graft_error* e) {
      return graft_model_info_json(handle_.get(), out, e);
    });
  }
  std::string score(const std::string& request_json, std::int32_t top = 0) {
    return detail::text_of([&](graft_text** out, graft_error* e) {
      return graft_score(handle_.get(), request_json.c_str(), top, out, e);
    });
  }
  std::string generate(const std::string& request_json, const OnText& on_text = {}) {
    struct Call {
      const OnText& on_text;
      std::exception_ptr thrown;
    } call{on_text, {}};
    const graft_text_fn forward = [](void* user, const char* piece, size_t size) -> std::int32_t {
      Call& c = *static_cast<Call*>(user);
      try {
        return c.on_text(std::string_view(piece, size)) ? 0 : 1;
      } catch (...) {
        c.thrown = std::current_exception();
        return 1;
      }
    };
    std::string answer = detail::text_of([&](graft_text** out, graft_error* e) {
      return graft_generate(handle_.get(), request_json.c_str(), on_text ? forward : nullptr, &call,
                            out, e);
    });
    if (call.thrown) std::rethrow_exception(call.thrown);
    return answer;
  }
  graft_model* get() const noexcept { return handle_.get(); }

 private:
  detail::Handle<graft_model, graft_model_destroy> handle_;
};

/// A training run.
class Session {
 public:
  /// Gets the events of graft_session_run, as JSON.
  using OnEvent = std::function<void(std::string_view)>;

  Session(const Engine& engine, const std::string& config_json, const std::string& base_dir = {},
          const std::string& options_json = {}) {
    graft_session* session = nullptr;
    detail::checked([&](graft_error* e) {
      return graft_session_create(engine.get(), config_json.c_str(), detail::pointer(base_dir),
                                  detail::pointer(options_json), &session, e);
    });
    handle_.reset(session);
  }
  std::string plan_json() const {
    return detail::text_of([&](graft_text** out, graft_error* e) {
      return graft_session_plan_json(handle_.get(), out, e);
    });
  }
  std::string plan_text() const {
    return detail::text_of([&](graft_text** out, graft_error* e) {
      return graft_session_plan_text(handle_.get(), out, e);
    });
  }
  std::string config() const {
    return detail::text_of([&](graft_text** out, graft_error* e) {
      return graft_session_config_json(handle_.get(), out, e);
    });
  }
  /// To the end of the run; false: cancelled, everything saved.
  bool run(const OnEvent& on_event = {}) {
    struct Call {
      const OnEvent& on_event;
      graft_session* session;
      std::exception_ptr thrown;
    } call{on_event, handle_.get(), {}};
    const graft_event_fn forward = [](void* user, const char* event) {
      Call& c = *static_cast<Call*>(user);
      if (c.thrown) return;
      try {
        c.on_event(event);
      } catch (...) {
        c.thrown = std::current_exception();
        graft_session_cancel(c.session);
      }
    };
    const graft_status status = detail::checked([&](graft_error* e) {
      return graft_session_run(handle_.get(), on_event ? forward : nullptr, &call, e);
    });
    if (call.thrown) std::rethrow_exception(call.thrown);
    return status == GRAFT_OK;
  }
  /// Nothing: the run is at its end.
  std::optional<graft_metrics> step() { return metrics(graft_session_step); }
  /// Nothing: there is no eval data.
  std::optional<graft_metrics> evaluate() { return metrics(graft_session_evaluate); }
  void save(const std::string& dir) {
    detail::checked(
        [&](graft_error* e) { return graft_session_save(handle_.get(), dir.c_str(), e); });
  }
  /// From any thread or a signal handler.
  void cancel() const noexcept { graft_session_cancel(handle_.get()); }
  graft_session* get() const noexcept { return handle_.get(); }

 private:
  std::optional<graft_metrics> metrics(graft_status (*function)(graft_session*, graft_metrics*,
                                                                graft_error*)) {
    graft_metrics m{};
    m.struct_size = sizeof m;
    const graft_status status =
        detail::checked([&](graft_error* e) { return function(handle_.get(), &m, e); });
    if (status == GRAFT_SKIP) return std::nullopt;
    return m;
  }

  detail::Handle<graft_session, graft_session_destroy> handle_;
};

}  // namespace graft
#endif
