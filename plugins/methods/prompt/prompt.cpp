// Prompt tuning: trained embeddings before those of each sequence.
//
// Source: Lester et al. 2021, "The Power of Scale for Parameter-Efficient Prompt Tuning"
// (arXiv:2104.08691), section 2.
#include <graft/plugin_virtual.hpp>

namespace {
using namespace graft::plugin;

struct Prompt {
  static constexpr const char* name = "prompt";
  static constexpr std::uint32_t kinds = GRAFT_SITE_EMBEDDING;
  static constexpr const char* schema = R"({
    "type": "object", "additionalProperties": false, "x-graft-targets": ".*", "properties": {
      )" GRAFT_VIRTUAL_OPTION R"(,
      "init": {"type": "string", "enum": ["random", "vocabulary", "text"], "default": "random",
        "description": "normal, embeddings of tokens drawn at random, or those of init_text"},
      "init_text": {"type": "string", "default": "", "x-graft-tokens": true,
        "description": "for init text: cut, or repeated, to as many tokens"}
    }})";
  // How it began is not told: what was drawn is in the file.
  static constexpr const char* storage = R"({
    "peft_type": "PROMPT_TUNING", )" GRAFT_VIRTUAL_STORED ", " GRAFT_VIRTUAL_EMBEDDED R"(,
    "fields": {)" GRAFT_VIRTUAL_FIELD R"(,
               "init": {"key": "prompt_tuning_init",
                        "values": {"random": ["RANDOM", "SAMPLE_VOCAB", "TEXT"],
                                   "vocabulary": ["RANDOM"], "text": ["RANDOM"]}}},
    "constants": {"num_transformer_submodules": 1},
    "ignored": ["prompt_tuning_init_text", "tokenizer_name_or_path", "tokenizer_kwargs"]
  })";

  struct State {
    Param prompt;
  };

  explicit Prompt(Config c) : tokens(c.i64("/tokens")), vocabulary(c.str("/init") == "vocabulary") {
    const std::uint32_t n = c.str("/init") == "text" ? c.count("/init_text") : 0;
    if (c.str("/init") == "text" && n == 0) {
      refuse("init is \"text\", but init_text is empty.");
    }
    for (std::int64_t i = 0; n > 0 && i < tokens; ++i) {
      const std::string path = "/init_text/" + std::to_string(i % n);
      rows.push_back(static_cast<std::int32_t>(c.i64(path.c_str())));
    }
  }

  State attach(const Site& t) const {
    t.virtual_tokens(tokens);
    const bool from_rows = vocabulary || !rows.empty();
    const Init init = from_rows ? Init::base_rows("weight", rows.empty() ? nullptr : rows.data())
                                : Init::normal(1);
    return {t.param("prompt", {tokens, t.out_features()}, init)};
  }

  void forward(const State& s, const Hook& h) const { h.out(h.prepend(h.next(), h(s.prompt))); }

  std::int64_t tokens;
  bool vocabulary;
  std::vector<std::int32_t> rows;
};

}  // namespace

GRAFT_METHOD_PLUGIN(Prompt, "org.graft.prompt", "0.1.0", "graft", "Apache-2.0")
