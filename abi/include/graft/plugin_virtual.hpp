// graft/plugin_virtual.hpp: what methods with virtual tokens before each sequence share.
#ifndef GRAFT_PLUGIN_VIRTUAL_HPP
#define GRAFT_PLUGIN_VIRTUAL_HPP
#include "plugin.hpp"

/// A property of a schema.
#define GRAFT_VIRTUAL_OPTION                        \
  R"("tokens": {"type": "integer", "minimum": 1, )" \
  R"("default": 20, "description": "how many virtual tokens"})"
/// A member of the "fields" of a storage.
#define GRAFT_VIRTUAL_FIELD R"("tokens": "num_virtual_tokens")"
/// Further members of a storage: the parameter, or what is computed, "prompt" is PEFT's tensor.
#define GRAFT_VIRTUAL_STORED \
  R"("host": ["modules_to_save"], "tensors": {"prompt": "prompt_embeddings"})"
/// A member of a storage: the shape that PEFT wants to know, of tokens as wide as embeddings.
#define GRAFT_VIRTUAL_EMBEDDED \
  R"("model": {"token_dim": "hidden", "num_attention_heads": "heads", "num_layers": "layers"})"
#endif
