#include "core/model/config.hpp"

#include <gtest/gtest.h>

#include <limits>

#include "core/base/file.hpp"
#include "tests/unit/base/expect_error.hpp"

namespace graft::core {
namespace {

const Json none = Json::object();

Json golden_cases() {
  const fs::path path = fs::path(GRAFT_SOURCE_DIR) / "tests/golden/data/configs.json";
  return parse_json(read_file(path), path.string());
}

Json small() {
  return {{"model_type", "llama"},  {"hidden_size", 64},        {"intermediate_size", 96},
          {"num_hidden_layers", 4}, {"num_attention_heads", 4}, {"num_key_value_heads", 2},
          {"vocab_size", 100}};
}
Json with(std::initializer_list<std::pair<const char*, Json>> changes, Json config = small()) {
  for (const auto& [key, value] : changes) config[key] = value;
  return config;
}

std::vector<std::int32_t> ids(const Json& value) {
  if (value.is_null()) return {};
  return value.is_array() ? value.get<std::vector<std::int32_t>>()
                          : std::vector<std::int32_t>{value.get<std::int32_t>()};
}

TEST(ConfigTest, AgreesWithTransformers) {
  const Json cases = golden_cases();
  for (const auto& [name, entry] : cases.items()) {
    SCOPED_TRACE(name);
    const Json& want = entry["expected"];
    const DecoderConfig found = config_from_hf(entry["config"], none, name);
    EXPECT_EQ(std::string(found.family->type), entry["config"]["model_type"]);
    EXPECT_EQ(found.hidden, want["hidden"]);
    EXPECT_EQ(found.layers, want["layers"]);
    EXPECT_EQ(found.heads, want["heads"]);
    EXPECT_EQ(found.kv_heads, want["kv_heads"]);
    EXPECT_EQ(found.head_dim, want["head_dim"]);
    EXPECT_EQ(found.intermediate, want["intermediate"]);
    EXPECT_EQ(found.vocab, want["vocab"]);
    EXPECT_EQ(found.max_positions, want["max_positions"]);
    EXPECT_EQ(found.norm_eps, want["norm_eps"]);
    EXPECT_EQ(found.tied_head, want["tied_head"]);
    EXPECT_EQ(!found.names().q_norm.empty(), want["qk_norm"]);
    EXPECT_EQ(
        (std::vector<bool>{found.q_bias, found.k_bias, found.v_bias, found.o_bias, found.mlp_bias}),
        want["biases"].get<std::vector<bool>>());
    EXPECT_EQ(found.window, want["window"].get<std::vector<std::int64_t>>());
    EXPECT_EQ(found.eos, ids(want["eos"]));
    EXPECT_EQ(found.bos ? Json(*found.bos) : Json(), want["bos"]);
    EXPECT_EQ(found.pad ? Json(*found.pad) : Json(), want["pad"]);
    EXPECT_EQ(found.layer_rope, want["layer_rope"].get<std::vector<std::int32_t>>());
    const auto scales = want["scales"].get<std::vector<double>>();
    ASSERT_EQ(found.attention_scale.size(), scales.size());
    for (std::size_t l = 0; l < scales.size(); ++l) {
      EXPECT_DOUBLE_EQ(found.attention_scale[l], scales[l]) << l;
    }
    EXPECT_EQ(Json({found.attention_softcap, found.final_softcap}),
              Json(want["softcaps"].get<std::vector<double>>()));
    EXPECT_EQ(found.embedding_scale, want["embedding_scale"]);
    ASSERT_EQ(found.ropes.size(), want["ropes"].size());
    for (std::size_t k = 0; k < found.ropes.size(); ++k) {
      const Rope& rope = found.ropes[k];
      const Json& wanted = want["ropes"][k];
      EXPECT_NEAR(rope.attention_scaling, wanted["attention_scaling"], 1e-6);
      EXPECT_EQ(rope.original_length, wanted.value("original_length", 0));
      const auto equal = [](const std::vector<float>& values, const Json& others) {
        ASSERT_EQ(values.size(), others.size());
        for (std::size_t i = 0; i < values.size(); ++i) {
          const float value = others[i];
          // Two units in the last place: powf of torch is not correctly rounded.
          ASSERT_NEAR(values[i], value, 2 * value * std::numeric_limits<float>::epsilon()) << i;
        }
      };
      equal(rope.inv_freq, wanted["inv_freq"]);
      equal(rope.long_inv_freq, wanted.value("long_inv_freq", Json::array()));
    }
  }
}

TEST(ConfigTest, KeepsWhatItRead) {
  const Json generation = {{"eos_token_id", {7, 8}}, {"bos_token_id", 3}, {"temperature", 0.6}};
  const Json config =
      with({{"torch_dtype", "bfloat16"}, {"eos_token_id", 2}, {"pad_token_id", -1}});
  const DecoderConfig found = config_from_hf(config, generation, "c");
  EXPECT_EQ(found.eos, (std::vector<std::int32_t>{7, 8}));
  EXPECT_EQ(found.bos, 3);
  EXPECT_EQ(found.pad, std::nullopt);
  EXPECT_EQ(found.storage_dtype, std::uint32_t{GRAFT_BF16});
  EXPECT_EQ(found.generation["temperature"], 0.6);
  EXPECT_EQ(found.hf, config);
  EXPECT_EQ(config_from_hf(with({{"dtype", "float16"}}), none, "c").storage_dtype,
            std::uint32_t{GRAFT_F16});
  EXPECT_EQ(config_from_hf(with({{"eos_token_id", nullptr}}), none, "c").eos.size(), 0u);
}

TEST(ConfigTest, RefusesOtherModels) {
  EXPECT_ERROR_STATUS(config_from_hf(with({{"model_type", "mixtral"}}), none, "c.json"),
                      GRAFT_UNSUPPORTED,
                      "c.json: models of type \"mixtral\" are not supported. Supported: llama, "
                      "mistral, qwen2, qwen3, gemma, gemma2, gemma3_text, phi3, gpt2, gpt_neox, "
                      "olmo2, smollm3.");
  EXPECT_ERROR(config_from_hf({{"hidden_size", 8}}, none, "c"), "\"model_type\" is missing");
  EXPECT_ERROR(config_from_hf(Json::array(), none, "c"), "must be a JSON object");
  EXPECT_ERROR_STATUS(config_from_hf(with({{"quantization_config", none}}), none, "c"),
                      GRAFT_UNSUPPORTED, "quantized");
}

TEST(ConfigTest, RefusesUnknownSwitches) {
  const auto refused = [](const char* family,
                          std::initializer_list<std::pair<const char*, Json>> changes,
                          const char* part) {
    try {
      config_from_hf(with(changes, with({{"model_type", family}})), none, "c");
      ADD_FAILURE() << "no error with " << part;
    } catch (const Error& error) {  // unsupported, or impossible
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
    }
  };
  refused("llama", {{"hidden_act", "mish"}},
          "\"hidden_act\" is \"mish\", which is not supported. Supported: gelu, ");
  refused("gemma2", {{"hidden_activation", "mish"}}, "\"hidden_activation\" is \"mish\"");
  refused("gpt2", {{"activation_function", "mish"}}, "\"activation_function\" is \"mish\"");
  refused("gpt2", {{"add_cross_attention", true}}, "\"add_cross_attention\" is true");
  refused("gemma", {{"use_bidirectional_attention", true}}, "\"use_bidirectional_attention\"");
  refused("gemma2", {{"layer_types", {"chunked", "chunked", "chunked", "chunked"}}},
          "\"layer_types\" is \"chunked\", but must be \"full_attention\" or");
  refused("gemma2", {{"query_pre_attn_scalar", 0}}, "\"query_pre_attn_scalar\" is 0");
  refused("gemma2", {{"attn_logit_softcapping", -1.0}}, "\"attn_logit_softcapping\" is -1.0");
  refused("gemma3_text", {{"sliding_window_pattern", 0}}, "\"sliding_window_pattern\" is 0");
  refused("llama", {{"partial_rotary_factor", 0.5}}, "\"partial_rotary_factor\" is not 1");
  refused("phi3", {{"partial_rotary_factor", 0.7}}, "must be an even number");
  refused("phi3", {{"partial_rotary_factor", 1.5}}, "must be an even number");
  refused("phi3", {{"rope_scaling", {{"type", "su"}, {"short_factor", {1.0}}}}},
          "rope_type \"longrope\" needs \"short_factor\", a list of 8 numbers");
  refused("phi3", {{"rope_scaling", {{"type", "dynamic"}}}},
          "Supported: default, linear, llama3, ");
  refused("gpt_neox", {{"rotary_pct", 0.0}}, "must be an even number");
  refused("smollm3", {{"no_rope_layers", {1, 0}}}, "a list of 4 numbers, one per layer");
  refused("smollm3", {{"no_rope_layers", {1, 0, 2, 1}}},
          "\"no_rope_layers\" is 2, but must be 0 or 1");
  refused("smollm3", {{"no_rope_layer_interval", 0}}, "\"no_rope_layer_interval\" is 0");
  refused("qwen2", {{"rope_parameters", {{"full_attention", none}}}},
          "which this family does not have");
}

TEST(ConfigTest, RefusesWrongValues) {
  const auto refused = [](std::initializer_list<std::pair<const char*, Json>> changes,
                          const char* part) {
    EXPECT_ERROR(config_from_hf(with(changes), none, "c"), part);
  };
  refused({{"hidden_size", "64"}}, "\"hidden_size\" is \"64\", but must be an integer");
  refused({{"hidden_size", 64.0}}, "must be an integer");
  refused({{"hidden_size", 0}}, "\"hidden_size\" is 0, but must be 1 to 262144");
  refused({{"num_hidden_layers", -1}}, "\"num_hidden_layers\" is -1");
  refused({{"num_hidden_layers", 1000000}}, "\"num_hidden_layers\" is 1000000");
  refused({{"vocab_size", 18446744073709551615u}}, "must be an integer");
  refused({{"vocab_size", std::int64_t{1} << 40}}, "\"vocab_size\"");
  refused({{"num_attention_heads", 0}}, "\"num_attention_heads\" is 0");
  refused({{"num_key_value_heads", 3}}, "(4) must be a multiple of \"num_key_value_heads\" (3)");
  refused({{"head_dim", 5}}, "\"head_dim\" is 5, but must be even");
  refused({{"rms_norm_eps", -1e-5}}, "\"rms_norm_eps\"");
  refused({{"rms_norm_eps", "x"}}, "must be a number");
  refused({{"attention_bias", 1}}, "must be true or false");
  refused({{"eos_token_id", "</s>"}}, "\"eos_token_id\" is \"</s>\", but must be a token id");
  refused({{"eos_token_id", {2, -3}}}, "must be a token id");
  refused({{"eos_token_id", 4294967296}}, "must be a token id");
  const Json qwen = with({{"model_type", "qwen2"}});
  EXPECT_ERROR(config_from_hf(with({{"layer_types", {"full_attention"}}}, qwen), none, "c"),
               "a list of 4 texts");
  const Json sliding = {"full_attention", "full_attention", "full_attention", "sliding_attention"};
  EXPECT_ERROR(config_from_hf(with({{"layer_types", sliding}}, qwen), none, "c"),
               "no \"sliding_window\" is in use");
  EXPECT_ERROR(config_from_hf(with({{"model_type", "mistral"}, {"sliding_window", 0}}), none, "c"),
               "\"sliding_window\" is 0, but must be above 0");
}

TEST(ConfigTest, RefusesRopeItDoesNotKnow) {
  const auto refused = [](const Json& scaling, graft_status status, const char* part) {
    EXPECT_ERROR_STATUS(config_from_hf(with({{"rope_scaling", scaling}}), none, "c"), status, part);
  };
  refused({{"rope_type", "dynamic"}, {"factor", 2.0}}, GRAFT_UNSUPPORTED,
          "rope_type \"dynamic\" is not supported. Supported: default, linear, llama3, yarn, "
          "longrope.");
  refused({{"type", "su"}}, GRAFT_UNSUPPORTED, "rope_type \"su\"");
  refused({{"rope_type", "linear"}}, GRAFT_E_INVALID, "rope_type \"linear\" needs \"factor\"");
  refused({{"rope_type", "linear"}, {"factor", 0}}, GRAFT_E_INVALID, "above 0");
  refused({{"rope_type", "llama3"}, {"factor", 8.0}}, GRAFT_E_INVALID, "\"low_freq_factor\"");
  refused(
      {{"rope_type", "llama3"}, {"factor", 8.0}, {"low_freq_factor", 4}, {"high_freq_factor", 4}},
      GRAFT_E_INVALID, "must be above");
  refused({{"rope_theta", 1.0}}, GRAFT_E_INVALID, "\"rope_theta\" is 1");
  refused({{"rope_type", 3}}, GRAFT_E_INVALID, "must be a text");
  refused({{"full_attention", {{"rope_type", "default"}}}}, GRAFT_UNSUPPORTED, "full_attention");
  refused("linear", GRAFT_E_INVALID, "must be an object");
  EXPECT_ERROR_STATUS(config_from_hf(with({{"partial_rotary_factor", 0.5}}), none, "c"),
                      GRAFT_UNSUPPORTED, "partial_rotary_factor");
}

}  // namespace
}  // namespace graft::core
