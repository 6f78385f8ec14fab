// Rows of some tokens in an embedding, and in a head that is tied to it, trained beside LoRA. They stand
// in for rows of the base: with D the rows less those of the base and S [n, vocabulary] choosing them,
//
//   embedding   y = W[ids] + (S^T)[ids] D          head   y = x W^T + x D^T S
//
// Names of options and tensors are PEFT's (trainable_token_indices).
#pragma once
#include <algorithm>
#include <graft/plugin.hpp>
#include <string>
#include <vector>

namespace {

struct Tokens {
  graft::plugin::Param rows, before, chosen;
};

/// `embedding`: its name, which the rows have also at the head.
Tokens attach_tokens(const graft::plugin::Site& site, const std::vector<std::int32_t>& tokens,
                     const std::string& embedding) {
  using graft::plugin::Error;
  using graft::plugin::Init;
  const bool table = site.kind() == GRAFT_SITE_EMBEDDING;
  const std::int64_t vocabulary = table ? site.in_features() : site.out_features();
  for (auto token = tokens.begin(); token != tokens.end(); ++token) {
    const std::string named = "trainable_tokens names " + std::to_string(*token);
    if (*token >= vocabulary) {
      throw Error(GRAFT_E_INVALID,
                  named + "; the model has the tokens 0 to " + std::to_string(vocabulary - 1));
    }
    if (std::find(tokens.begin(), token, *token) != token) {
      throw Error(GRAFT_E_INVALID, named + " twice");
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
graft::plugin::Value token_update(const Tokens& t, const graft::plugin::Hook& h) {
  const auto change = (h(t.rows) - h(t.before)) * h.strength(), chosen = h(t.chosen);
  const auto x = h.in();
  return h.kind() == GRAFT_SITE_EMBEDDING ? x.gather_from(chosen.t()).mm(change)
                                          : x.mmT(change).mm(chosen);
}

/// What they add to its weight.
graft::plugin::Value token_change(const Tokens& t, const graft::plugin::Hook& h) {
  return h(t.chosen).tmm(h(t.rows) - h(t.before)) * h.strength();
}

}  // namespace
