// graft.h: tokenizer and chat template.
#include "core/api/engine.hpp"
#include "core/api/guard.hpp"
#include "core/text/chat_template.hpp"
#include "core/text/tokenizer.hpp"

using namespace graft::core;

struct graft_tokenizer {
  std::shared_ptr<EngineState> engine;
  Tokenizer tokenizer;
  std::optional<ChatTemplate> chat_template;
  std::string path;
};

graft_status graft_tokenizer_open(graft_engine* engine, const char* path, graft_tokenizer** out,
                                  graft_error* error) {
  return guard(error, [&] {
    require(out, "out");
    const std::string file = require_text(path, "path");
    *out = new graft_tokenizer{require(engine, "engine").state, Tokenizer::load(file),
                               ChatTemplate::load(file), file};
  });
}

void graft_tokenizer_destroy(graft_tokenizer* tokenizer) {
  delete tokenizer;
}

graft_status graft_tokenizer_encode(graft_tokenizer* tokenizer, const char* text, size_t size,
                                    int32_t special, graft_text** out, graft_error* error) {
  return guard(error, [&] {
    const Tokenizer& t = require(tokenizer, "tokenizer").tokenizer;
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
    const std::vector<std::int32_t> list(ids, ids + n);
    give(out, require(tokenizer, "tokenizer").tokenizer.decode(list, skip_special != 0));
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
