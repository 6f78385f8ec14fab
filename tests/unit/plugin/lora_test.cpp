// What the LoRA plugin declares and records, seen through the ABI.
#include <gtest/gtest.h>

#include <set>

#include "core/plugin/call.hpp"
#include "core/plugin/registry.hpp"
#include "tests/unit/plugin/expect.hpp"
#include "tests/unit/plugin/fake_host.hpp"
#include "tests/unit/plugin/folder.hpp"

namespace graft::core {
namespace {

using test::FakeGraph;
using test::FakeSite;
using test::settled;
using test::text;

class LoraTest : public testing::Test {
 protected:
  LoraTest() {
    folder_.add(test::built("method-lora"));
    RegistryOptions options;
    options.folders = {folder_.path()};
    options.environment = options.installed = false;
    registry_ = std::make_unique<Registry>(options);
    api_ = &registry_->method("lora");
  }

  struct Run {
    std::vector<std::string> params;
    std::string out;
  };

  // Attaches to one site, with `here` as the options that hold there, and records it once.
  Run run(std::int32_t kind, const Json& options, const Json& here) {
    const HostTable host{Log()};
    const HostConfig config(settled(api_->config_schema, options));
    graft_method* method = nullptr;
    call_plugin("lora", [&](graft_error* e) { return api_->create(&host, &config, &method, e); });
    FakeSite site(kind, 5, 7, settled(api_->config_schema, here));
    void* state = nullptr;
    call_plugin("lora", [&](graft_error* e) { return api_->attach(method, &site, &state, e); });

    FakeGraph graph;
    graft_tensor* in[] = {graph.value("x")};
    graft_tensor* out[] = {nullptr};
    graft_hook hook{};
    hook.struct_size = sizeof hook;
    hook.kind = kind;
    hook.in = in;
    hook.out = out;
    hook.n_in = hook.n_out = 1;
    hook.strength = graph.value("strength");
    hook.next = [](graft_ctx* c, const graft_hook*, graft_tensor* const* inner, graft_tensor** y) {
      y[0] = static_cast<FakeGraph*>(c)->value("next(" + text(inner[0]) + ")");
      return graft_status{GRAFT_OK};
    };
    EXPECT_EQ(api_->forward(method, state, &graph, &hook), GRAFT_OK);
    api_->detach(method, state);
    api_->destroy(method);
    return {site.params, text(out[0])};
  }

  test::Folder folder_;
  std::unique_ptr<Registry> registry_;
  const graft_method_api* api_;
};

TEST_F(LoraTest, LinearLayer) {
  const Json options = {{"rank", 4}, {"alpha", 6}, {"dropout", 0.25}};
  const Run got = run(GRAFT_SITE_LINEAR, options, options);
  EXPECT_EQ(got.params,
            (std::vector<std::string>{
                cat("lora_A.weight [4, 5] init ", GRAFT_INIT_KAIMING_UNIFORM, " scale 0"),
                cat("lora_B.weight [7, 4] init ", GRAFT_INIT_ZEROS, " scale 0")}));
  EXPECT_EQ(got.out,
            "add(next(x), mmT(mul(mmT(dropout(x, 0.25), lora_A.weight), "
            "affine(strength, 1.5, 0)), lora_B.weight))");
}

TEST_F(LoraTest, DefaultsArePeftsRankAndNoDropout) {
  const Run got = run(GRAFT_SITE_LINEAR, Json::object(), Json::object());
  EXPECT_EQ(got.params.at(0).substr(0, 20), "lora_A.weight [8, 5]");
  EXPECT_EQ(got.out,
            "add(next(x), mmT(mul(mmT(x, lora_A.weight), affine(strength, 2, 0)), "
            "lora_B.weight))");
}

TEST_F(LoraTest, EmbeddingHasNoDropout) {
  const Json options = {{"rank", 4}, {"alpha", 6}, {"dropout", 0.25}};
  const Run got = run(GRAFT_SITE_EMBEDDING, options, options);
  EXPECT_EQ(got.params, (std::vector<std::string>{
                            cat("lora_embedding_A [4, 5] init ", GRAFT_INIT_ZEROS, " scale 0"),
                            cat("lora_embedding_B [7, 4] init ", GRAFT_INIT_NORMAL, " scale 1")}));
  EXPECT_EQ(got.out,
            "add(next(x), mmT(mul(gather(permute(lora_embedding_A, 1, 0), x), "
            "affine(strength, 1.5, 0)), lora_embedding_B))");
}

TEST_F(LoraTest, TakesRankAndAlphaOfTheSite) {
  const Run got = run(GRAFT_SITE_LINEAR, {{"rank", 4}, {"alpha", 6}}, {{"rank", 2}, {"alpha", 7}});
  EXPECT_EQ(got.params.at(1).substr(0, 20), "lora_B.weight [7, 2]");
  EXPECT_NE(got.out.find("affine(strength, 3.5, 0)"), std::string::npos) << got.out;
}

TEST_F(LoraTest, RsloraDividesByTheRootAndGaussianByTheRank) {
  const Json options = {{"rank", 4}, {"alpha", 6}, {"rslora", true}, {"init", "gaussian"}};
  const Run got = run(GRAFT_SITE_LINEAR, options, options);
  EXPECT_NE(got.out.find("affine(strength, 3, 0)"), std::string::npos) << got.out;
  EXPECT_EQ(got.params.at(0), cat("lora_A.weight [4, 5] init ", GRAFT_INIT_NORMAL, " scale 0.25"));
}

TEST_F(LoraTest, HandsOnTheHostsError) {
  const HostTable host{Log()};
  const HostConfig config(settled(api_->config_schema, Json::object()));
  graft_method* method = nullptr;
  call_plugin("lora", [&](graft_error* e) { return api_->create(&host, &config, &method, e); });
  FakeSite site(GRAFT_SITE_LINEAR, 5, 7, config.value());
  site.refuse_param = GRAFT_E_NO_MEMORY;
  void* state = nullptr;
  test::expect_error(
      [&] {
        call_plugin("lora", [&](graft_error* e) { return api_->attach(method, &site, &state, e); });
      },
      GRAFT_E_NO_MEMORY, {"no room for lora_A.weight"});
  api_->destroy(method);
}

TEST_F(LoraTest, SchemaRefusesWhatMakesNoSense) {
  for (const char* bad :
       {R"({"rank": 0})", R"({"rank": 1.5})", R"({"dropout": 1})", R"({"dropout": -0.1})",
        R"({"init": "evo"})", R"({"rnak": 8})", R"({"rank_pattern": {"q_proj": 0}})"}) {
    EXPECT_THROW(settled(api_->config_schema, Json::parse(bad)), Error) << bad;
  }
}

TEST_F(LoraTest, StorageNamesOptionsThatExist) {
  const Json schema = parse_json(api_->config_schema, "schema");
  const Json storage = parse_json(api_->storage, "storage");
  EXPECT_EQ(storage.at("peft_type"), "LORA");
  std::set<std::string>
      without;  // they say how A and B are trained; PEFT's file has no place for it
  for (const auto& [option, ignored] : schema.at("properties").items()) {
    if (!storage.at("fields").contains(option)) without.insert(option);
  }
  EXPECT_EQ(without, (std::set<std::string>{"convert", "freeze_a", "lr_ratio"}));
  for (const auto& [option, field] : storage.at("fields").items()) {
    ASSERT_TRUE(schema.at("properties").contains(option)) << option;
    if (!field.is_object() || !field.contains("values")) continue;
    for (const auto& value : schema.at("properties").at(option).at("enum")) {
      EXPECT_TRUE(field.at("values").contains(value.get<std::string>())) << value;
    }
  }
}

}  // namespace
}  // namespace graft::core
