// Which modules a method attaches to, and adapter folders of PEFT.
#include <gtest/gtest.h>

#include "core/adapt/adapter_files.hpp"
#include "core/adapt/storage.hpp"
#include "core/adapt/targets.hpp"
#include "tests/unit/adapt/methods.hpp"
#include "tests/unit/base/expect_error.hpp"
#include "tests/unit/model/tiny_model.hpp"

namespace graft::core {
namespace {

using test::lora_entry;
using Names = std::vector<std::string>;

const DecoderConfig& config() {
  static const DecoderConfig c = config_from_hf(test::tiny_config(4), Json::object(), "tiny");
  return c;
}

/// Names of the matched sites, "model.layers." cut off.
Names matched(const Json& options, Unmatched unmatched = Unmatched::kRefuse) {
  const std::vector<SiteInfo> sites = decoder_sites(config());
  Names names;
  for (const std::size_t i : match_sites(sites, GRAFT_SITE_LINEAR | GRAFT_SITE_EMBEDDING, options,
                                         "methods[0]", unmatched)) {
    const std::string& name = sites[i].name;
    names.push_back(name.rfind("model.layers.", 0) == 0 ? name.substr(13) : name);
  }
  return names;
}

TEST(Targets, ListsAreSuffixesOfWholeParts) {
  EXPECT_EQ(matched({{"targets", {"q_proj"}}, {"layers", {1, 3}}}),
            (Names{"1.self_attn.q_proj", "3.self_attn.q_proj"}));
  EXPECT_EQ(matched({{"targets", {"self_attn.q_proj", "lm_head"}}}).size(), 5u);
  EXPECT_EQ(matched({{"targets", {"model.layers.2.mlp.up_proj"}}}), (Names{"2.mlp.up_proj"}));
  EXPECT_ERROR(matched({{"targets", {"proj"}}}), "'proj' matches no module");
}

TEST(Targets, TextIsARegularExpressionOverTheWholeName) {
  EXPECT_EQ(matched({{"targets", R"(model\.layers\.[02]\.mlp\.(up|down)_proj)"}}),
            (Names{"0.mlp.up_proj", "0.mlp.down_proj", "2.mlp.up_proj", "2.mlp.down_proj"}));
  EXPECT_ERROR(matched({{"targets", "up_proj"}}), "matches no module");
}

TEST(Targets, AllLinearLeavesTheHeadOut) {
  const Names names = matched({{"targets", "all-linear"}});
  EXPECT_EQ(names.size(), 4u * 7);
  EXPECT_EQ(std::count(names.begin(), names.end(), "lm_head"), 0);
}

TEST(Targets, LayersAreANumberAListOrARange) {
  const auto layers = [](const Json& l) {
    return matched({{"targets", {"v_proj"}}, {"layers", l}});
  };
  EXPECT_EQ(layers(2), (Names{"2.self_attn.v_proj"}));
  EXPECT_EQ(layers({{"from", 1}, {"to", 3}}), (Names{"1.self_attn.v_proj", "2.self_attn.v_proj"}));
  EXPECT_EQ(layers({{"from", 3}}), (Names{"3.self_attn.v_proj"}));
  EXPECT_ERROR(layers(9), "'layers' is 9, but the model's layers are 0 to 3.");
  EXPECT_ERROR(layers({1, 4}), "'layers' names 4, but the model's layers are 0 to 3 (they count");
  EXPECT_ERROR(layers({-1}), "'layers' names -1");
  EXPECT_ERROR(layers({{"from", 4}}), "'layers' begins at 4");
  EXPECT_ERROR(layers({{"from", 1}, {"to", 5}}), "'layers' ends before 5");
  EXPECT_ERROR(layers({{"from", 2}, {"to", 2}}), "none is left. The model's layers are 0 to 3.");
  // As PEFT: a whole name is taken whatever the layers are.
  EXPECT_EQ(matched({{"targets", {"v_proj", "lm_head"}}, {"layers", 2}}),
            (Names{"2.self_attn.v_proj", "lm_head"}));
}

TEST(Targets, ExcludeTakesWhatTargetsTakes) {
  EXPECT_EQ(
      matched({{"targets", {"q_proj"}}, {"exclude", {"model.layers.0.self_attn.q_proj"}}}).size(),
      3u);
  EXPECT_EQ(matched({{"targets", {"q_proj", "k_proj"}}, {"exclude", {"k_proj"}}}).size(), 4u);
  EXPECT_EQ(matched({{"targets", "all-linear"}, {"exclude", R"(.*\.mlp\..*)"}}).size(), 16u);
}

TEST(Targets, ModulesThatAreTrainedInFullAreNotTargeted) {
  EXPECT_EQ(matched({{"targets", {"q_proj", "lm_head"}}, {"modules_to_save", {"lm_head"}}}).size(),
            4u);
  EXPECT_EQ(matched({{"targets", "all-linear"}, {"modules_to_save", {"mlp"}}}).size(), 16u);
  EXPECT_EQ(matched({{"targets", "all-linear"}, {"modules_to_save", {"lp"}}}).size(), 28u);
}

TEST(Targets, AMisspeltNameIsRefusedWithTheClosest) {
  EXPECT_ERROR(matched({{"targets", {"q_proj", "vproj"}}}), "'vproj' matches no module");
  EXPECT_ERROR(matched({{"targets", {"q_proj", "vproj"}}}), "Closest: 'v_proj'");
  EXPECT_ERROR(matched(Json::object()), "needs 'targets'");
}

TEST(Targets, AnExclusionOfNothingIsRefused) {
  const auto without = [](const Json& exclude, Unmatched unmatched = Unmatched::kRefuse) {
    return matched({{"targets", {"q_proj"}}, {"exclude", exclude}}, unmatched);
  };
  EXPECT_ERROR(without({"k_proj", "qproj"}), "'exclude' names 'qproj', which matches no module");
  EXPECT_ERROR(without({"qproj"}), "Closest: 'q_proj'");
  EXPECT_ERROR(without(R"(.*\.7\..*)"), "matches no module");
  EXPECT_EQ(without({"k_proj", "norm"}).size(), 4u);
  EXPECT_EQ(without({"qproj"}, Unmatched::kIgnore).size(), 4u);
}

// PEFT refuses a list only when none of it matches.
TEST(Targets, ALoadedListMayNameModulesOfOtherModels) {
  EXPECT_EQ(matched({{"targets", {"q_proj", "c_attn"}}}, Unmatched::kIgnore).size(), 4u);
  EXPECT_ERROR(matched({{"targets", {"c_attn", "c_proj"}}}, Unmatched::kIgnore),
               "matches no module");
}

TEST(Targets, SavedModulesMatchAsPlainText) {
  EXPECT_TRUE(is_saved_module("model.layers.0.input_layernorm", "norm"));
  EXPECT_TRUE(is_saved_module("lm_head", "lm_head"));
  EXPECT_TRUE(is_saved_module("model.layers.0.mlp.up_proj", "mlp"));
  EXPECT_TRUE(is_saved_module("model.layers.0.mlp.up_proj", "layers.0.mlp"));
  EXPECT_FALSE(is_saved_module("model.layers.0.mlp.up_proj", "up"));
  EXPECT_FALSE(is_saved_module("model.norm", "model.norms"));
  EXPECT_FALSE(is_saved_module("model.norm", ""));
}

TEST(Targets, PatternsTakeTheFirstKeyThatFits) {
  const Json patterns = {{"q_proj", 3}, {R"(.*\.1\..*)", 5}, {"layers.2.mlp.up_proj", 7}};
  const auto at = [&](const char* name) {
    const Json* v = pattern_value(patterns, name, "rank_pattern");
    return v ? v->get<int>() : 0;
  };
  EXPECT_EQ(at("model.layers.1.self_attn.q_proj"), 3);
  EXPECT_EQ(at("model.layers.1.self_attn.k_proj"), 5);
  EXPECT_EQ(at("model.layers.2.mlp.up_proj"), 7);
  EXPECT_EQ(at("model.layers.2.self_attn.xq_proj"), 0);
  EXPECT_EQ(at("q_proj"), 3);
  const Json broken = {{"q_(proj", 3}};
  EXPECT_ERROR(pattern_value(broken, "q_proj", "rank_pattern"),
               "rank_pattern: 'q_(proj' is not a regular expression");
}

// ---- storage -----------------------------------------------------------------------------------

TEST(Storage, OptionsGoToPeftAndBack) {
  const MethodEntry e = lora_entry({{"targets", {"q_proj", "v_proj"}},
                                    {"exclude", {"k_proj"}},
                                    {"layers", {0, 2}},
                                    {"modules_to_save", {"lm_head"}}},
                                   {{"rank", 3},
                                    {"alpha", 7},
                                    {"dropout", 0.25},
                                    {"rslora", true},
                                    {"init", "gaussian"},
                                    {"rank_pattern", {{"v_proj", 5}}},
                                    {"alpha_pattern", {{"v_proj", 9}}}});
  const Json config = to_peft(e.api, e.options, e.host, "base", {});
  EXPECT_EQ(config.at("peft_type"), "LORA");
  EXPECT_EQ(config.at("r"), 3);
  EXPECT_EQ(config.at("lora_alpha"), 7);
  EXPECT_EQ(config.at("use_rslora"), true);
  EXPECT_EQ(config.at("init_lora_weights"), "gaussian");
  EXPECT_EQ(config.at("rank_pattern").at("v_proj"), 5);
  EXPECT_EQ(config.at("layers_to_transform"), (Json{0, 2}));
  EXPECT_EQ(config.at("bias"), "none");
  EXPECT_TRUE(
      config.at("trainable_token_indices").is_null());  // PEFT asks an empty list for tensors
  const auto [options, host] = from_peft(e.api, config, "config");
  // The order of keys is no part of it, nor are options that only matter while it is trained.
  Json kept = e.options;
  for (const char* key : {"lr_ratio", "freeze_a", "convert", "trainable_tokens"}) kept.erase(key);
  EXPECT_EQ(nlohmann::json(options), nlohmann::json(kept));
  EXPECT_EQ(nlohmann::json(host), nlohmann::json(e.host));
}

TEST(Storage, WhatPeftCannotExpressIsWrittenAsNames) {
  const MethodEntry e = lora_entry({{"targets", "all-linear"}, {"layers", 1}});
  const Json config = to_peft(e.api, e.options, e.host, "base", {"model.layers.1.mlp.up_proj"});
  EXPECT_EQ(config.at("target_modules"), (Json{"model.layers.1.mlp.up_proj"}));
  EXPECT_TRUE(config.at("layers_to_transform").is_null());
  const Json range = to_peft(e.api, e.options, {{"targets", {"q_proj"}}, {"layers", {{"from", 2}}}},
                             "base", {"model.layers.2.self_attn.q_proj"});
  EXPECT_EQ(range.at("target_modules"), (Json{"model.layers.2.self_attn.q_proj"}));
  const Json closed =
      to_peft(e.api, e.options, {{"targets", {"q_proj"}}, {"layers", {{"from", 1}, {"to", 3}}}},
              "base", {});
  EXPECT_EQ(closed.at("layers_to_transform"), (Json{1, 2}));
}

TEST(Storage, RefusesWhatItDoesNotCompute) {
  const graft_method_api& api = test::built_plugins().method("lora");
  const Json good = {{"peft_type", "LORA"}, {"r", 4}, {"target_modules", {"q_proj"}}};
  const auto with = [&](const char* key, const Json& value) {
    Json config = good;
    config[key] = value;
    from_peft(api, config, "a/adapter_config.json");
  };
  EXPECT_ERROR(with("use_dora", true), "\"use_dora\": true is not supported");
  EXPECT_ERROR(with("lora_bias", true), "\"lora_bias\"");
  EXPECT_ERROR(with("init_lora_weights", "corda"), "corda");
  EXPECT_ERROR(with("new_switch", 3), "\"new_switch\": 3 is not known");
  with("new_switch", nullptr);
  with("bias", "none");
  EXPECT_EQ(from_peft(api, good, "x").first.at("alpha"), 8);  // PEFT's default, not ours
}

TEST(Storage, AliasesAreTakenButNotTwice) {
  const auto aliases = aliases_of(test::built_plugins().method("lora"));
  const Json given = {{"r", 4}, {"lora_alpha", 2}, {"target_modules", {"q_proj"}}};
  EXPECT_EQ(without_aliases(given, aliases, "methods[0]"),
            (Json{{"rank", 4}, {"alpha", 2}, {"targets", {"q_proj"}}}));
  EXPECT_ERROR(without_aliases({{"r", 4}, {"rank", 4}}, aliases, "methods[0]"), "two names");
  EXPECT_ERROR(without_aliases({{"rank", 4}, {"r", 4}}, aliases, "methods[0]"), "two names");
}

// ---- attaching, and folders --------------------------------------------------------------------

class AdapterFolder : public testing::Test {
 protected:
  AdapterFolder()
      : entry(lora_entry({{"targets", {"q_proj", "embed_tokens"}},
                          {"layers", {0, 1}},
                          {"modules_to_save", {"norm"}}},
                         {{"rank", 2}, {"rank_pattern", {{"layers.1.self_attn.q_proj", 3}}}})) {
    entry.host["targets"] = {"q_proj", "model.embed_tokens"};
  }
  std::unique_ptr<AdapterSet> set() const {
    return std::make_unique<AdapterSet>(decoder_sites(config()), std::vector<MethodEntry>{entry},
                                        test::tensors_of(decoder_tensors(config())), Log{});
  }
  std::vector<StoredTensor> tensors(const AdapterSet& s) const {
    std::vector<StoredTensor> all;
    for (const Parameter& p : s.parameters()) {
      std::vector<float> values;
      for (std::int64_t k = 0; k < p.count(); ++k) {
        values.push_back(0.01f * static_cast<float>(k) - static_cast<float>(all.size()));
      }
      all.push_back({p.name, p.dims, [values] { return values; }, p.key});
    }
    return all;
  }

  MethodEntry entry;
  test::TemporaryFolder folder;
  const Origin origin{"base", "abc", "def"};
};

TEST_F(AdapterFolder, ParametersHavePeftsNamesAndShapes) {
  const auto s = set();
  std::map<std::string, std::vector<std::int64_t>> found;
  for (const Parameter& p : s->parameters()) found[p.name] = p.dims;
  const std::int64_t v = config().vocab, h = config().hidden;
  EXPECT_EQ(found["model.embed_tokens.lora_embedding_A"], (std::vector<std::int64_t>{2, v}));
  EXPECT_EQ(found["model.embed_tokens.lora_embedding_B"], (std::vector<std::int64_t>{h, 2}));
  EXPECT_EQ(found["model.layers.0.self_attn.q_proj.lora_A.weight"],
            (std::vector<std::int64_t>{2, h}));
  EXPECT_EQ(found["model.layers.1.self_attn.q_proj.lora_B.weight"],
            (std::vector<std::int64_t>{24, 3}));
  EXPECT_EQ(found.count("model.norm.weight"), 1u);
  EXPECT_EQ(found.count("model.layers.3.input_layernorm.weight"), 1u);  // "norm" ends it too
  EXPECT_EQ(found.count("model.layers.3.self_attn.k_norm.weight"), 1u);
  EXPECT_EQ(found.size(), 2u + 2 * 2 + 1 + 4 * 4);
}

TEST_F(AdapterFolder, ComesBackAsItWasSaved) {
  const auto s = set();
  const auto saved = tensors(*s);
  save_adapter(folder.path(), entry, saved, origin, {});
  const auto loaded = load_adapter(folder.path(), s->parameters(), 0, s->entries()[0]);
  ASSERT_EQ(loaded.size(), saved.size());
  for (std::size_t i = 0; i < saved.size(); ++i) EXPECT_EQ(loaded[i], saved[i].values());
  const Safetensors file = Safetensors::open(folder.path() / "adapter_model.safetensors");
  EXPECT_TRUE(file.has("base_model.model.model.norm.weight"));
  EXPECT_EQ(adapter_notes(folder.path()).at("base").at("fingerprint"), "abc");
  EXPECT_TRUE(adapter_notes(folder.path() / "none").is_null());
}

TEST_F(AdapterFolder, NamesTensorsThatDoNotFit) {
  const auto s = set();
  const auto good = tensors(*s);
  const auto with = [&](auto change) {
    auto all = good;
    change(all);
    save_adapter(folder.path(), entry, all, origin, {});
    load_adapter(folder.path(), s->parameters(), 0, s->entries()[0]);
  };
  EXPECT_ERROR(with([](auto& all) { all.erase(all.begin() + 1); }),
               "has no tensor 'base_model.model.model.embed_tokens.lora_embedding_B'");
  EXPECT_ERROR(with([](auto& all) { std::swap(all[0].dims[0], all[0].dims[1]); }),
               "is [13, 2], but its configuration and the base model need [2, 13]");
  EXPECT_ERROR(with([](auto& all) {
                 all.push_back(all[0]);
                 all.back().name = "model.layers.9.mlp.up_proj.lora_A.weight";
               }),
               "layers.9.mlp.up_proj.lora_A.weight' belongs to no module");
  with([](auto& all) {  // PEFT's copy of a targeted embedding is no part of the adapter
    all.push_back(all[0]);
    all.back().name = "model.embed_tokens.base_layer.weight";
  });
}

TEST_F(AdapterFolder, SaysWhenTheBaseIsAnother) {
  save_adapter(folder.path(), entry, tensors(*set()), origin, {});
  std::vector<std::string> said;
  const Log log([&](const LogRecord& r) { said.emplace_back(r.message); });
  compare_origin(folder.path(), origin, log);
  EXPECT_TRUE(said.empty());
  compare_origin(folder.path(), {"other", "xyz", "def"}, log);
  ASSERT_EQ(said.size(), 1u);
  EXPECT_NE(said[0].find("trained on 'base'"), std::string::npos) << said[0];
  compare_origin(folder.path(), {"base", "abc", "new"}, log);
  ASSERT_EQ(said.size(), 2u);
  EXPECT_NE(said[1].find("chat template"), std::string::npos) << said[1];
}

TEST(InitialValues, AreAFunctionOfSeedAndName) {
  Parameter p;
  p.name = "a";
  p.dims = {4, 9};
  p.init = GRAFT_INIT_KAIMING_UNIFORM;
  const auto values = initial_values(p, 3);
  EXPECT_EQ(initial_values(p, 3), values);
  EXPECT_NE(initial_values(p, 4), values);
  float most = 0;
  for (const float v : values) most = std::max(most, std::abs(v));
  EXPECT_LE(most, 1.0f / 3);  // torch's kaiming_uniform_ with a = sqrt(5): 1 / sqrt(fan_in)
  EXPECT_GT(most, 0.25f);
  p.name = "b";
  EXPECT_NE(initial_values(p, 3), values);
  p.init = GRAFT_INIT_NORMAL;
  p.init_scale = 0.5;
  p.dims = {100, 100};
  double sum = 0, squares = 0;
  for (const float v : initial_values(p, 3)) {
    sum += v;
    squares += static_cast<double>(v) * v;
  }
  EXPECT_NEAR(sum / 1e4, 0, 0.02);
  EXPECT_NEAR(std::sqrt(squares / 1e4), 0.5, 0.02);
}

}  // namespace
}  // namespace graft::core
