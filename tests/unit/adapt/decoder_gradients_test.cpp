// A whole decoder with LoRA attached, in f64 on the reference backend: gradients of everything that
// is trained against central differences, and what is recorded for them.
#include "tests/unit/adapt/decoder_step.hpp"

namespace graft::core {
namespace {

using test::expect_right_gradients;
using test::lora_entry;
using test::Step;
using test::StepOptions;
using test::tiny_config;
using test::TinyModel;

std::vector<MethodEntry> everywhere() {
  return {lora_entry({{"targets",
                       {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
                        "embed_tokens", "lm_head"}},
                      {"modules_to_save", {"post_attention_layernorm", "q_norm"}}},
                     {{"rank", 2}, {"alpha", 3}, {"rank_pattern", {{"v_proj", 3}}}}),
          lora_entry({{"targets", {"v_proj", "down_proj"}}, {"layers", 0}},
                     {{"rank", 1}, {"alpha", 2}, {"rslora", true}, {"dropout", 0.3}})};
}

TEST(DecoderGradients, MatchCentralDifferencesUnderEveryPolicy) {
  const TinyModel tiny;
  std::vector<std::vector<double>> first;
  for (const Recompute recompute : {Recompute::kNothing, Recompute::kLean, Recompute::kBlock}) {
    StepOptions options;
    options.recompute = recompute;
    Step step(tiny, everywhere(), options);
    EXPECT_TRUE(step.tiled);
    if (first.empty()) {
      expect_right_gradients(step);
      step.loss();
      first = step.gradients;
    }
    step.loss();
    for (std::size_t i = 0; i < first.size(); ++i) {
      for (std::size_t k = 0; k < first[i].size(); ++k) {
        EXPECT_DOUBLE_EQ(step.gradients[i][k], first[i][k]) << step.parameters()[i].name;
      }
    }
  }
}

TEST(DecoderGradients, MatchWithFullyTrainedModules) {
  const TinyModel tiny;
  Step step(tiny, {lora_entry({{"targets", {"o_proj"}},
                               {"modules_to_save",
                                {"embed_tokens", "lm_head", "model.norm", "q_proj", "up_proj",
                                 "input_layernorm"}}},
                              {{"rank", 2}, {"alpha", 3}})});
  expect_right_gradients(step);
}

TEST(DecoderGradients, TiedHeadsAddUpInTheEmbedding) {
  const TinyModel tiny(tiny_config(1, {{"tie_word_embeddings", true}}));
  Step step(tiny,
            {lora_entry({{"targets", {"lm_head", "embed_tokens"}}}, {{"rank", 2}, {"alpha", 3}})});
  expect_right_gradients(step);
}

TEST(DecoderGradients, DoNotDependOnTheTiling) {
  const TinyModel tiny;
  std::vector<std::vector<double>> whole;
  double loss = 0;
  for (const std::int64_t rows : {0, 1, 2, 3, 5, 7, 64}) {
    StepOptions options;
    options.tile_rows = rows;
    Step step(tiny, everywhere(), options);
    const double now = step.loss();
    if (whole.empty()) {
      whole = step.gradients;
      loss = now;
      EXPECT_FALSE(step.tiled);
      continue;
    }
    EXPECT_TRUE(step.tiled);
    EXPECT_NEAR(now, loss, 1e-12);
    for (std::size_t i = 0; i < whole.size(); ++i) {
      for (std::size_t k = 0; k < whole[i].size(); ++k) {
        EXPECT_NEAR(step.gradients[i][k], whole[i][k], 1e-12)
            << step.parameters()[i].name << " with tiles of " << rows;
      }
    }
  }
}

TEST(DecoderGradients, OnlyTrainedTensorsHaveThem) {
  const TinyModel tiny;
  Step step(tiny, everywhere());
  std::vector<std::string> trained;
  for (const Parameter& p : step.parameters()) trained.push_back(p.name);
  std::sort(trained.begin(), trained.end());
  std::sort(step.with_gradient.begin(), step.with_gradient.end());
  EXPECT_EQ(step.with_gradient, trained);
}

}  // namespace
}  // namespace graft::core
