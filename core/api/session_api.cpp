// graft.h: training.
#include <algorithm>
#include <cstddef>
#include <cstring>

#include "core/api/engine.hpp"
#include "core/api/guard.hpp"
#include "core/base/config_error.hpp"
#include "core/base/schema.hpp"
#include "core/train/run.hpp"

using namespace graft::core;

struct graft_session {
  std::shared_ptr<EngineState> engine;
  std::unique_ptr<Run> run;
};

namespace {

RunOptions read_options(const char* options_json) {
  const Json schema = parse_json(R"json({
    "type": "object", "additionalProperties": false, "properties": {
      "resume": {"type": "boolean", "default": false},
      "force": {"type": "boolean", "default": false},
      "profile": {"type": "boolean", "default": false}}})json",
                                 "the schema of session options");
  const Json json = of_the_config([&] {
    return validate(options_json ? parse_json(options_json, "session options") : Json::object(),
                    schema, "session options");
  });
  return {json["resume"], json["force"], json["profile"]};
}

/// What the first version of graft_metrics had.
constexpr std::size_t kLeastMetrics = offsetof(graft_metrics, seconds) + sizeof(double);

/// Before a step: nothing is computed for metrics that cannot be given.
void check_metrics(graft_metrics* out) {
  const std::uint32_t size = require(out, "metrics").struct_size;
  if (size >= kLeastMetrics) return;
  throw Error(GRAFT_E_INVALID, cat("metrics: struct_size is ", size, "; set it to ",
                                   "sizeof(graft_metrics), which is ", sizeof *out, "."));
}

/// Copies what the caller has room for.
void fill(graft_metrics* out, const graft_metrics& mine) {
  graft_metrics copy = mine;
  copy.struct_size = out->struct_size;
  std::memcpy(out, &copy, std::min<std::size_t>(copy.struct_size, sizeof copy));
}

}  // namespace

graft_status graft_session_create(graft_engine* engine, const char* config_json,
                                  const char* base_dir, const char* options_json,
                                  graft_session** out, graft_error* error) {
  return guard(error, [&] {
    require(out, "out");
    const auto& state = require(engine, "engine").state;
    std::vector<RunConfig> configs = read_run_configs(require_text(config_json, "config_json"),
                                                      base_dir ? base_dir : "", state->registry);
    *out = new graft_session{state, std::make_unique<Run>(std::move(configs), state->registry,
                                                          state->log, read_options(options_json))};
  });
}

void graft_session_destroy(graft_session* session) {
  delete session;
}

graft_status graft_session_plan_json(graft_session* session, graft_text** out, graft_error* error) {
  return guard(error, [&] { give(out, to_text(require(session, "session").run->plan_json())); });
}

graft_status graft_session_plan_text(graft_session* session, graft_text** out, graft_error* error) {
  return guard(error, [&] { give(out, require(session, "session").run->plan_text()); });
}

graft_status graft_session_config_json(graft_session* session, graft_text** out,
                                       graft_error* error) {
  return guard(error, [&] { give(out, to_text(require(session, "session").run->config())); });
}

graft_status graft_session_run(graft_session* session, graft_event_fn on_event, void* user,
                               graft_error* error) {
  return guard(error, [&]() -> graft_status {
    const bool whole = require(session, "session").run->run([&](const Json& event) {
      if (on_event) on_event(user, to_text(event).c_str());
    });
    return whole ? GRAFT_OK : GRAFT_INTERRUPTED;
  });
}

graft_status graft_session_step(graft_session* session, graft_metrics* inout, graft_error* error) {
  return guard(error, [&]() -> graft_status {
    Run& run = *require(session, "session").run;
    check_metrics(inout);
    const auto m = run.step();
    if (!m) return GRAFT_SKIP;
    graft_metrics mine{};
    mine.step = run.steps_done();
    mine.tokens = m->tokens;
    mine.loss = m->loss;
    mine.grad_norm = m->grad_norm;
    mine.lr = m->lr;
    mine.seconds = m->seconds;
    fill(inout, mine);
    return GRAFT_OK;
  });
}

graft_status graft_session_evaluate(graft_session* session, graft_metrics* inout,
                                    graft_error* error) {
  return guard(error, [&]() -> graft_status {
    Run& run = *require(session, "session").run;
    check_metrics(inout);
    const auto m = run.evaluate();
    if (!m) return GRAFT_SKIP;
    graft_metrics mine{};
    mine.step = run.steps_done();
    mine.tokens = m->tokens;
    mine.loss = m->loss;
    fill(inout, mine);
    return GRAFT_OK;
  });
}

graft_status graft_session_save(graft_session* session, const char* dir, graft_error* error) {
  return guard(error, [&] { require(session, "session").run->save(require_text(dir, "dir")); });
}

void graft_session_cancel(graft_session* session) {
  if (session) session->run->cancel();
}
