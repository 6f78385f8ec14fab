// graft.h: tokenizer and chat template.
#include <cstdint>

#include "core/api/engine.hpp"
#include "core/api/guard.hpp"
#include "core/text/chat_template.hpp"
#include "core/text/tokenizer.hpp"

using namespace graft::core;

struct graft_tokenizer {
  std::shared_ptr<EngineState> engine;
  std::optional<Tokenizer> tokenizer;  // none: a template file
  std::optional<ChatTemplate> chat_template;
  std::string path;
};

namespace {

const Tokenizer& tokens_of(graft_tokenizer* t) {
  if (!require(t, "tokenizer").tokenizer) {
    throw Error(GRAFT_E_STATE, cat("'", t->path, "' is a template, not a tokenizer."));
  }
  return *t->tokenizer;
}

/// Refuses counts that no object in memory has: a negative number in another type.
void check_count(std::size_t n, std::size_t size, const char* name) {
  if (n <= static_cast<std::size_t>(PTRDIFF_MAX) / size) return;
  throw Error(GRAFT_E_INVALID, cat("the argument '", name, "' is ", n,
                                   ", more than any text or list has. Is it a negative number?"));
}

}  // namespace

graft_status graft_tokenizer_open(graft_engine* engine, const char* path, graft_tokenizer** out,
                                  graft_error* error) {
  return guard(error, [&] {
    require(out, "out");
    const std::string file = require_text(path, "path");
    const auto& state = require(engine, "engine").state;
    std::optional<Tokenizer> tokenizer;
    if (!file.ends_with(".jinja")) {
      tokenizer = Tokenizer::load(file);
      for (const std::string& note : tokenizer->notes()) state->log.warning("tokenizer", note);
    }
    *out = new graft_tokenizer{state, std::move(tokenizer), ChatTemplate::load(file), file};
  });
}

void graft_tokenizer_destroy(graft_tokenizer* tokenizer) {
  delete tokenizer;
}

graft_status graft_tokenizer_encode(graft_tokenizer* tokenizer, const char* text, size_t size,
                                    int32_t special, graft_text** out, graft_error* error) {
  return guard(error, [&] {
    const Tokenizer& t = tokens_of(tokenizer);
    check_count(size, 1, "size");
    Json ids = Json::array(), offsets = Json::array(), pieces = Json::array();
    for (const Token& token : t.encode({&require(text, "text"), size}, special != 0)) {
      ids.push_back(token.id);
      offsets.push_back({token.begin, token.end});
      pieces.push_back(t.piece(token.id));
    }
    give(out, to_text({{"input_ids", ids}, {"offsets", offsets}, {"pieces", pieces}}));
  });
}

graft_status graft_tokenizer_decode(graft_tokenizer* tokenizer, const int32_t* ids, size_t n,
                                    int32_t skip_special, graft_text** out, graft_error* error) {
  return guard(error, [&] {
    if (n > 0) require(ids, "ids");
    check_count(n, sizeof *ids, "n");
    const std::vector<std::int32_t> list(ids, ids + n);
    give(out, tokens_of(tokenizer).decode(list, skip_special != 0));
  });
}

graft_status graft_tokenizer_template(graft_tokenizer* tokenizer, const char* variables_json,
                                      graft_text** out, graft_error* error) {
  return guard(error, [&] {
    const graft_tokenizer& t = require(tokenizer, "tokenizer");
    if (!t.chat_template) {
      throw Error(GRAFT_E_NOT_FOUND, cat("'", t.path, "' has no chat template."));
    }
    const Json variables =
        parse_json(require_text(variables_json, "variables_json"), "template variables");
    give(out, t.chat_template->render(variables));
  });
}
