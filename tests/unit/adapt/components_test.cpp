// Principal components that grow with batches, and a pass over data as methods see it.
#include "core/adapt/components.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "tests/unit/adapt/methods.hpp"
#include "tests/unit/base/expect_error.hpp"

namespace graft::core {
namespace {

/// In plain loops.
Multiply plain_multiply() {
  return [](const std::vector<float>& x, std::int64_t rows, const std::vector<float>& y,
            std::int64_t columns) {
    const auto m = static_cast<std::size_t>(rows), c = static_cast<std::size_t>(columns);
    const std::size_t f = x.size() / m;
    Products p{std::vector<float>(m * c, 0.0f), std::vector<float>(f * c, 0.0f)};
    for (std::size_t i = 0; i < m; ++i) {
      for (std::size_t j = 0; j < f; ++j) {
        for (std::size_t k = 0; k < c; ++k) p.z[i * c + k] += x[i * f + j] * y[j * c + k];
      }
      for (std::size_t j = 0; j < f; ++j) {
        for (std::size_t k = 0; k < c; ++k) p.w[j * c + k] += x[i * f + j] * p.z[i * c + k];
      }
    }
    return p;
  };
}

/// n rows around (5, -3, 1, 0, ..): cosines times 4, 2, 1 along three axes that are turned against those
/// of the features.
std::vector<float> rows_of(std::size_t n, std::size_t features, std::size_t from = 0) {
  std::vector<float> rows;
  const double size[3] = {4, 2, 1};
  for (std::size_t i = from; i < from + n; ++i) {
    for (std::size_t j = 0; j < features; ++j) {
      double x = j == 0 ? 5 : j == 1 ? -3 : j == 2 ? 1 : 0;
      for (std::size_t k = 0; k < 3; ++k) {
        const double t = static_cast<double>(i) * (1.1 + 0.37 * static_cast<double>(k));
        const double axis = std::cos(static_cast<double>((k + 1) * (2 * j + 1)) * std::acos(-1.0) /
                                     static_cast<double>(2 * features));
        x += size[k] * std::cos(t) * axis;
      }
      rows.push_back(static_cast<float>(x));
    }
  }
  return rows;
}

double dot(const float* a, const float* b, std::size_t n) {
  return std::inner_product(a, a + n, b, 0.0);
}

// All batches at once are the truth, as long as nothing is cut off: there are three directions.
TEST(Components, OfBatchesAreThoseOfAllRows) {
  const std::size_t f = 12;
  PrincipalComponents whole(4, f), parts(4, f);
  ASSERT_TRUE(whole.add(rows_of(30, f), plain_multiply()));
  EXPECT_TRUE(whole.cosines().empty());
  for (std::size_t from = 0; from < 30; from += 10) {
    ASSERT_TRUE(parts.add(rows_of(10, f, from), plain_multiply()));
  }
  const Components &a = whole.result(), &b = parts.result();
  ASSERT_EQ(a.n, 4);
  ASSERT_EQ(b.n, 4);
  for (std::size_t k = 0; k < 3; ++k) {
    EXPECT_NEAR(a.singular[k], b.singular[k], 1e-4 * a.singular[0]);
    EXPECT_NEAR(a.explained[k], b.explained[k], 1e-5);
    EXPECT_NEAR(dot(&a.vectors[k * f], &b.vectors[k * f], f), 1, 1e-5);
    float largest = 0;
    for (std::size_t j = 0; j < f; ++j) {
      const float x = a.vectors[k * f + j];
      if (std::abs(x) > std::abs(largest)) largest = x;
    }
    EXPECT_GT(largest, 0);
  }
  EXPECT_NEAR(a.explained[0] + a.explained[1] + a.explained[2], 1, 1e-5);
  EXPECT_NEAR(a.singular[3], 0, 1e-3);
  ASSERT_EQ(parts.cosines().size(), 4u);
  const double cosine = std::abs(parts.cosines()[0]);  // the largest element may be another one
  EXPECT_GT(cosine, 0.9);
  EXPECT_LT(cosine, 1 - 1e-6);  // the third batch has turned it
}

// Of rows that are known: (1, 1), (-1, -1) and (0.5, -0.5), (-0.5, 0.5) around (2, 7).
TEST(Components, AreThoseOfTheRowsLessTheirMean) {
  PrincipalComponents p(2, 2);
  ASSERT_TRUE(p.add({3, 8, 1, 6, 2.5, 6.5, 1.5, 7.5}, plain_multiply()));
  const Components& c = p.result();
  EXPECT_NEAR(c.singular[0], 2, 1e-5);
  EXPECT_NEAR(c.singular[1], 1, 1e-5);
  EXPECT_NEAR(c.explained[0], 0.8, 1e-5);
  EXPECT_NEAR(c.vectors[0], std::sqrt(0.5), 1e-5);
  EXPECT_NEAR(c.vectors[1], std::sqrt(0.5), 1e-5);
}

TEST(Components, OfFewerRowsThanThemThereAreNone) {
  PrincipalComponents p(4, 6);
  EXPECT_FALSE(p.add(rows_of(3, 6), plain_multiply()));
  EXPECT_EQ(p.result().n, 0);
  EXPECT_TRUE(p.add(rows_of(4, 6), plain_multiply()));
}

// Many features: found by subspace iteration, of which the rest is left out.
TEST(Components, OfManyFeaturesTheLeadingOnesAreFound) {
  const std::size_t f = 150, n = 90;
  std::vector<float> rows = rows_of(n, f);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    rows[i] += 0.02f * static_cast<float>(std::sin(static_cast<double>(i * i % 100003) * 12.9898));
  }
  PrincipalComponents some(3, f), all(70, f);
  ASSERT_TRUE(some.add(rows, plain_multiply()));
  ASSERT_TRUE(all.add(rows, plain_multiply()));
  for (std::size_t k = 0; k < 3; ++k) {
    EXPECT_NEAR(dot(&some.result().vectors[k * f], &all.result().vectors[k * f], f), 1, 1e-5);
    EXPECT_NEAR(some.result().singular[k], all.result().singular[k], 1e-3);
  }
}

// ---- as a method sees it ------------------------------------------------------------------------

/// A pass with made-up components: of site i the k-th explains share[i][k], and is the k-th unit vector.
struct FakePass {
  std::vector<std::vector<float>> share;
  std::vector<std::size_t> same_as;
  std::vector<std::size_t> wanted = {};
  Observation asked = {};

  InputPass pass() {
    return [this](Observation& seen, const std::function<void(std::int64_t)>& next) {
      asked = seen;
      std::vector<Components> made(seen.sites.size());
      for (std::size_t i = 0; i < made.size(); ++i) {
        Components& c = made[i];
        c.n = static_cast<std::int64_t>(share.at(i).size());
        c.features = seen.sites[i].features;
        c.explained = share[i];
        c.singular.assign(share[i].size(), 4);
        c.vectors.assign(share[i].size() * static_cast<std::size_t>(c.features), 0);
        for (std::size_t k = 0; k < share[i].size(); ++k) {
          c.vectors[k * static_cast<std::size_t>(c.features) + k] = 1;
        }
        seen.sites[i].components = &c;
        seen.sites[i].same_as = same_as.at(i);
      }
      next(1);
      for (const ObservedSite& site : seen.sites) wanted.push_back(site.wanted);
    };
  }
};

DecoderConfig one_layer() {
  return config_from_hf(
      parse_json(
          R"({"model_type": "llama", "vocab_size": 20, "hidden_size": 8, "intermediate_size": 12,
          "num_hidden_layers": 1, "num_attention_heads": 2, "rms_norm_eps": 1e-5})",
          "config.json"),
      Json::object(), "tiny");
}

AdapterSet attached(const Json& options, InputPass pass, bool loaded = false) {
  MethodEntry entry = test::lora_entry({{"targets", {"q_proj", "k_proj", "down_proj"}}}, options);
  entry.loaded = loaded;
  return {decoder_sites(one_layer()),
          {entry},
          test::tensors_of(decoder_tensors(one_layer())),
          Log{},
          std::move(pass)};
}

const Parameter* named(const AdapterSet& set, const std::string& end) {
  for (const Parameter& p : set.parameters()) {
    if (p.name.ends_with(end)) return &p;
  }
  return nullptr;
}

TEST(Eva, RanksGoWhereTheyExplainMost) {
  // The budget is 2 + 2 + 1; q and k share their inputs, of which two components are behind all others.
  FakePass fake{{{0.9f, 0.2f, 0.1f, 0}, {0.9f, 0.2f, 0.1f, 0}, {0.6f, 0.5f}}, {0, 0, 2}};
  const AdapterSet set = attached({{"rank", 2},
                                   {"alpha", 6},
                                   {"init", "eva"},
                                   {"eva_config", {{"tau", 0.7}, {"whiten", true}}},
                                   {"rank_pattern", {{"down_proj", 1}}}},
                                  fake.pass());
  EXPECT_EQ(fake.asked.settled, 0.7);
  EXPECT_TRUE(fake.asked.supervised);
  ASSERT_EQ(fake.asked.sites.size(), 3u);
  EXPECT_EQ(fake.asked.sites[0].most, 4u);
  EXPECT_EQ(fake.asked.sites[2].most, 2u);
  EXPECT_EQ(fake.wanted, (std::vector<std::size_t>{2, 1, 2}));
  const Parameter* a = named(set, "q_proj.lora_A.weight");
  ASSERT_TRUE(a);
  EXPECT_EQ(a->dims, (std::vector<std::int64_t>{2, 8}));
  std::vector<float> unit(16, 0);
  unit[0] = unit[9] = 0.5f;  // whitened: over the root of 4
  EXPECT_EQ(initial_values(*a, 1), unit);
  EXPECT_EQ(named(set, "k_proj.lora_A.weight")->dims[0], 1);
  EXPECT_EQ(named(set, "down_proj.lora_B.weight")->dims[1], 2);
}

TEST(Eva, LayersMayBeLeftWithNoRank) {
  FakePass fake{{{0.9f, 0.8f}, {0.9f, 0.8f}, {0.1f, 0.05f}}, {0, 0, 2}};
  const AdapterSet set = attached(
      {{"rank", 1}, {"init", "eva"}, {"eva_config", {{"use_label_mask", false}}}}, fake.pass());
  EXPECT_FALSE(fake.asked.supervised);
  EXPECT_EQ(fake.wanted, (std::vector<std::size_t>{2, 1, 0}));
  EXPECT_FALSE(named(set, "down_proj.lora_A.weight"));
  EXPECT_EQ(set.attached(0).size(), 2u);
}

TEST(Eva, WithoutRoomToMoveAllRanksStay) {
  FakePass fake{{{0.9f, 0.8f}, {0.9f, 0.8f}, {0.1f, 0.05f}}, {0, 0, 2}};
  attached({{"rank", 2}, {"init", "eva"}, {"eva_config", {{"rho", 1}}}}, fake.pass());
  EXPECT_EQ(fake.asked.sites[1].most, 2u);
  EXPECT_EQ(fake.wanted, (std::vector<std::size_t>{2, 2, 2}));
}

TEST(Eva, NeedsDataUnlessItIsLoaded) {
  EXPECT_ERROR(attached({{"init", "eva"}}, {}), "begins from the data");
  const AdapterSet set = attached({{"rank", 3}, {"init", "eva"}}, {}, true);
  EXPECT_EQ(named(set, "q_proj.lora_A.weight")->dims[0], 3);
  FakePass untouched{{}, {}};
  attached({{"init", "kaiming"}}, untouched.pass());
  EXPECT_TRUE(untouched.asked.sites.empty());
}

}  // namespace
}  // namespace graft::core
