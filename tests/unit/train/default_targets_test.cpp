#include "core/train/default_targets.hpp"

#include <gtest/gtest.h>

#include "tests/unit/adapt/methods.hpp"

namespace graft::core {
namespace {

MethodEntry settled(const std::string& method, const std::string& type,
                    const Json& host = Json::object()) {
  MethodEntry entry = test::entry_of(method, {{"targets", nullptr}});
  entry.host = host;
  settle_targets(entry, type);
  return entry;
}

TEST(DefaultTargets, ArePeftsForTheTypeOfTheModel) {
  EXPECT_EQ(settled("lora", "llama").host["targets"], Json({"q_proj", "v_proj"}));
  EXPECT_EQ(settled("vera", "gpt2").host["targets"], Json::array({"c_attn"}));
  EXPECT_EQ(settled("oft", "gpt_neox").host["targets"], Json::array({"query_key_value"}));
  EXPECT_EQ(settled("lora", "qwen2", {{"targets", {"o_proj"}}}).host["targets"],
            Json::array({"o_proj"}));
  EXPECT_FALSE(settled("lora", "phi3").host.contains("targets"));  // PEFT has none either
  EXPECT_EQ(settled("ln_tuning", "qwen3").host["targets"],
            Json::array({"post_attention_layernorm"}));
  EXPECT_TRUE(settled("ln_tuning", "olmo2").host["targets"].is_string());
}

TEST(DefaultTargets, TellWhichOfThemAreFeedForwardModules) {
  const MethodEntry llama = settled("ia3", "llama");
  EXPECT_EQ(llama.host["targets"], Json({"k_proj", "v_proj", "down_proj"}));
  EXPECT_EQ(llama.options["feedforward"], Json::array({"down_proj"}));
  EXPECT_EQ(settled("ia3", "gpt2").options["feedforward"], Json::array({"mlp.c_proj"}));
  EXPECT_EQ(settled("ia3", "qwen2", {{"targets", {"k_proj"}}}).options["feedforward"],
            Json::array());
  EXPECT_EQ(settled("ia3", "phi3", {{"targets", {"down_proj"}}}).options["feedforward"],
            Json::array());
  MethodEntry given =
      test::entry_of("ia3", {{"targets", {"down_proj"}}}, {{"feedforward", Json::array()}});
  settle_targets(given, "llama");
  EXPECT_EQ(given.options["feedforward"], Json::array());
}

}  // namespace
}  // namespace graft::core
