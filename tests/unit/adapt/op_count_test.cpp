// Nothing below the first trained part is differentiated: the number of recorded ops by formula.
#include <gtest/gtest.h>

#include "core/graph/differentiate.hpp"
#include "tests/unit/adapt/methods.hpp"
#include "tests/unit/model/tiny_model.hpp"

namespace graft::core {
namespace {

using test::lora_entry;

struct Counts {
  std::int64_t forward = 0, backward = 0;
};

/// Ops of a step of a plain Llama (no biases, no qk_norm), recorded without a device.
Counts count(std::int64_t layers, const Json& host) {
  Json json = test::tiny_config(layers);
  json["model_type"] = "llama";
  json["attention_bias"] = false;
  const DecoderConfig config = config_from_hf(json, Json::object(), "tiny");
  AdapterSet set(decoder_sites(config), {lora_entry(host)},
                 test::tensors_of(decoder_tensors(config)), Log{});
  Graph graph;
  Recorder r(graph);
  AdapterRecording attached(set, r, GRAFT_F32, true, {true});
  const std::vector<TensorNeed> needs = decoder_tensors(config);
  const WeightLookup weights = attached.lookup([&](Recorder& rec, const std::string& name) {
    for (std::size_t i = 0; i < needs.size(); ++i) {
      if (needs[i].name != name) continue;
      const Shape shape(needs[i].shape.begin(), needs[i].shape.end());
      return rec.leaf(Role::kWeight, static_cast<std::int32_t>(i), GRAFT_F32, shape, name);
    }
    throw Error(GRAFT_E_NOT_FOUND, name);
  });
  const SiteRunner runner = attached.runner();
  const DecoderMode mode{GRAFT_F32, 0};
  const DecoderRecording decoder{config, mode, weights, runner};
  const ValueId rows = r.input("supervised_rows", GRAFT_I32, {Symbol::kSupervised});
  const ValueId logits = decoder.logits(r, decoder.hidden(r), rows);
  const ValueId labels = r.input("labels", GRAFT_I32, {Symbol::kSupervised});
  const ValueId losses = r.record("cross_entropy", {logits, labels}).at(0);
  const auto gradients = differentiate(r, r.sum(losses, 0, true));
  for (const auto& [leaf, gradient] : gradients) {
    EXPECT_TRUE(r.value(leaf).trainable) << r.value(leaf).name;
    EXPECT_EQ(r.shape(leaf), r.shape(gradient));
  }
  // No op of the backward pass belongs to a layer below the first that is trained.
  return {count_ops(graph, Direction::kForward), count_ops(graph, Direction::kBackward)};
}

// Forward, by hand. A layer: 2 norms, 7 products, 3 reshapes of q, k, v and 1 of o, 2 ropes,
// attention, swiglu, 2 sums. Around the layers: embedding, norm, gather of the supervised rows, head,
// cross entropy, sum. LoRA at a site: x A^T, the strength times alpha / r, times u, u B^T, a sum.
constexpr std::int64_t kLayer = 2 + 7 + 4 + 2 + 1 + 1 + 2, kAround = 6, kLora = 5;

// Backward. Head and loss: 1 to begin with, the sum's expand, cross entropy, the head's product,
// scatter, norm.
constexpr std::int64_t kTop = 6;
// A LoRA site: dB = dy^T u, du = dy B, times the scaled strength, dA = .. x.
constexpr std::int64_t kLoraParts = 4;

TEST(OpCount, ForwardIsAFormulaOfLayersAndSites) {
  for (const std::int64_t layers : {1, 2, 5}) {
    EXPECT_EQ(count(layers, {{"targets", {"v_proj"}}}).forward,
              layers * (kLayer + kLora) + kAround);
    EXPECT_EQ(count(layers, {{"targets", "all-linear"}}).forward,
              layers * (kLayer + 7 * kLora) + kAround);
    EXPECT_EQ(count(layers, {{"targets", {"lm_head"}}}).forward, layers * kLayer + kAround + kLora);
  }
}

TEST(OpCount, TheHeadAloneIsDifferentiatedWithoutAnyLayer) {
  // 1, expand, cross entropy; then only the site's own.
  for (const std::int64_t layers : {1, 2, 5}) {
    EXPECT_EQ(count(layers, {{"targets", {"lm_head"}}}).backward, 3 + kLoraParts);
  }
}

TEST(OpCount, NothingBelowTheLastLayersSiteIsDifferentiated) {
  // down_proj of the last layer: the final norm, and the site.
  // v_proj of the last layer: both branches of the mlp, its norm and the sum of the two ways, the
  // output projection, attention with the reshapes on its two sides.
  const std::int64_t mlp = 1 + 1 + 2 + 1 + 1 + 1, attention = 1 + 1 + 1 + 1;
  for (const std::int64_t layers : {1, 2, 5}) {
    const auto last = [&](const char* module) {
      return count(layers, {{"targets", {module}}, {"layers", layers - 1}}).backward;
    };
    EXPECT_EQ(last("down_proj"), kTop + kLoraParts) << layers;
    EXPECT_EQ(last("v_proj"), kTop + mlp + attention + kLoraParts) << layers;
  }
}

TEST(OpCount, GrowsByTheSameNumberWithEachLayer) {
  for (const char* module : {"q_proj", "v_proj", "up_proj", "down_proj"}) {
    std::vector<std::int64_t> backward;
    for (std::int64_t layers = 1; layers <= 4; ++layers) {
      backward.push_back(count(layers, {{"targets", {module}}}).backward);
    }
    EXPECT_GT(backward[1], backward[0]);
    EXPECT_EQ(backward[2] - backward[1], backward[1] - backward[0]) << module;
    EXPECT_EQ(backward[3] - backward[2], backward[1] - backward[0]) << module;
    // The layers below the only one that is trained add nothing.
    EXPECT_EQ(count(4, {{"targets", {module}}, {"layers", 3}}).backward, backward[0]) << module;
  }
}

}  // namespace
}  // namespace graft::core
