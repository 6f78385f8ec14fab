// graft.h with arguments that no caller should give: refused before anything is computed.
#include <graft/graft.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/unit/base/temporary_folder.hpp"

namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

const fs::path kGolden = fs::path(GRAFT_SOURCE_DIR) / "tests/golden/data";
const fs::path kCase = kGolden / "cases/train-llama-tied";

class Arguments : public testing::Test {
 protected:
  Arguments() {
    const std::string config = Json{{"plugin_dirs", {GRAFT_BUILT_PLUGIN_DIR}}}.dump();
    EXPECT_EQ(graft_engine_create(config.c_str(), &engine_, &error_), GRAFT_OK) << error_.message;
  }
  ~Arguments() override { graft_engine_destroy(engine_); }

  void expect_refused(graft_status status, const std::string& word) {
    EXPECT_EQ(status, GRAFT_E_INVALID);
    EXPECT_NE(std::string(error_.message).find(word), std::string::npos) << error_.message;
  }

  graft_engine* engine_ = nullptr;
  graft_error error_{};
};

TEST_F(Arguments, SizesThatNoTextHas) {
  graft_tokenizer* tokenizer = nullptr;
  const std::string path = (kGolden / "tiny-tokenizer").string();
  ASSERT_EQ(graft_tokenizer_open(engine_, path.c_str(), &tokenizer, &error_), GRAFT_OK);
  graft_text* text = nullptr;
  const std::int32_t id = 1;
  expect_refused(graft_tokenizer_encode(tokenizer, "a", SIZE_MAX, 0, &text, &error_), "'size'");
  expect_refused(graft_tokenizer_decode(tokenizer, &id, SIZE_MAX - 1, 0, &text, &error_), "'n'");
  expect_refused(graft_tokenizer_decode(tokenizer, &id, SIZE_MAX / 4, 0, &text, &error_), "'n'");
  expect_refused(graft_tokenizer_decode(tokenizer, nullptr, 1, 0, &text, &error_), "'ids'");
  EXPECT_EQ(text, nullptr);
  graft_tokenizer_destroy(tokenizer);
}

TEST_F(Arguments, TopBelowZero) {
  graft_model* model = nullptr;
  const std::string path = (kGolden / "cases/llama-gqa-tied/model").string();
  ASSERT_EQ(graft_model_open(engine_, path.c_str(), R"({"backend": "ref"})", &model, &error_),
            GRAFT_OK)
      << error_.message;
  graft_text* text = nullptr;
  expect_refused(graft_score(model, R"({"input_ids": [1, 2]})", -5, &text, &error_), "'top' is -5");
  EXPECT_EQ(text, nullptr);
  graft_model_destroy(model);
}

TEST_F(Arguments, MetricsWithoutRoomMakeNoStep) {
  std::ifstream file(kCase / "run.json");
  Json json = Json::parse(file);
  const graft::core::test::TemporaryFolder out;
  json["backend"] = {{"type", "ref"}};
  json["output"]["dir"] = out.path();
  graft_session* session = nullptr;
  ASSERT_EQ(
      graft_session_create(engine_, json.dump().c_str(), kCase.c_str(), nullptr, &session, &error_),
      GRAFT_OK)
      << error_.message;
  graft_metrics metrics{};
  for (const std::uint32_t size : {0u, 4u, static_cast<std::uint32_t>(sizeof metrics - 8)}) {
    metrics.struct_size = size;
    expect_refused(graft_session_step(session, &metrics, &error_), "struct_size");
    expect_refused(graft_session_evaluate(session, &metrics, &error_), "struct_size");
  }
  metrics.struct_size = sizeof metrics;
  ASSERT_EQ(graft_session_step(session, &metrics, &error_), GRAFT_OK) << error_.message;
  EXPECT_EQ(metrics.step, 1);
  EXPECT_GT(metrics.loss, 0);
  graft_session_destroy(session);
}

}  // namespace
