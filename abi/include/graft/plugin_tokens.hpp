// graft/plugin_tokens.hpp: rows of some tokens in an embedding, and in a head that is tied to it, trained
// beside a method's own parameters. They stand in for rows of the base: with D the rows less those of the
// base and S [n, vocabulary] choosing them,
//
//   embedding   y = W[ids] + (S^T)[ids] D          head   y = x W^T + x D^T S
//
// Names of tensors are PEFT's (trainable_token_indices).
#ifndef GRAFT_PLUGIN_TOKENS_HPP
#define GRAFT_PLUGIN_TOKENS_HPP
#include <algorithm>
#include <string>
#include <vector>

#include "plugin.hpp"

/// A property of a schema: sites are then the embedding and such a head, for these tokens, too.
#define GRAFT_TOKENS_OPTION                                                                 \
  R"("trainable_tokens": {"type": "array", "items": {"type": "integer", "minimum": 0}, )"   \
  R"("default": [], "x-graft-vocabulary": true, "description": "Tokens whose rows of the )" \
  R"(embedding are trained, also in a head tied to it"})"

#pragma GCC visibility push(hidden)
namespace graft::plugin {

struct Tokens {
  Param rows, before, chosen;
};

/// `embedding`: its name, which the rows have also at the head.
inline Tokens attach_tokens(const Site& site, const std::vector<std::int32_t>& tokens,
                            const std::string& embedding) {
  const bool table = site.kind() == GRAFT_SITE_EMBEDDING;
  const std::int64_t vocabulary = table ? site.in_features() : site.out_features();
  for (auto token = tokens.begin(); token != tokens.end(); ++token) {
    if (*token >= vocabulary) {
      refuse("trainable_tokens names ", *token, "; the model has the tokens 0 to ", vocabulary - 1);
    }
    if (std::find(tokens.begin(), token, *token) != token) {
      refuse("trainable_tokens names ", *token, " twice");
    }
  }
  const auto n = static_cast<std::int64_t>(tokens.size());
  const std::int64_t width = table ? site.out_features() : site.in_features();
  const std::uint32_t own = GRAFT_PARAM_SHARED | GRAFT_PARAM_FROZEN | GRAFT_PARAM_NOSAVE;
  const Init begin = Init::base_rows("weight", tokens.data());
  const std::string saved = "model." + embedding + ".token_adapter.trainable_tokens_delta";
  return {site.param(saved.c_str(), {n, width}, begin, GRAFT_PARAM_SHARED),
          site.param("tokens_before", {n, width}, begin, own),
          site.param("tokens_chosen", {n, vocabulary}, Init::eye(0, tokens.data()), own)};
}

/// What they add to the output of the site.
inline Value token_update(const Tokens& t, const Hook& h) {
  const auto change = (h(t.rows) - h(t.before)) * h.strength(), chosen = h(t.chosen);
  const auto x = h.in();
  return h.kind() == GRAFT_SITE_EMBEDDING ? x.gather_from(chosen.t()).mm(change)
                                          : x.mmT(change).mm(chosen);
}

/// What they add to its weight.
inline Value token_change(const Tokens& t, const Hook& h) {
  return h(t.chosen).tmm(h(t.rows) - h(t.before)) * h.strength();
}

}  // namespace graft::plugin
#pragma GCC visibility pop
#endif
