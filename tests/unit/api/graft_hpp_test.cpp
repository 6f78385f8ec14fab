// graft.h through graft.hpp: handles, errors, callbacks.
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <graft/graft.hpp>
#include <iterator>
#include <nlohmann/json.hpp>

#include "tests/unit/base/temporary_folder.hpp"

namespace graft {
namespace {

namespace fs = std::filesystem;
using core::test::TemporaryFolder;
using Json = nlohmann::ordered_json;

const fs::path kCase = fs::path(GRAFT_SOURCE_DIR) / "tests/golden/data/cases/train-llama-tied";
const std::string kModel =
    (fs::path(GRAFT_SOURCE_DIR) / "tests/golden/data/cases/llama-gqa-tied/model").string();

Engine make_engine() {
  return Engine(Json{{"plugin_dirs", {GRAFT_BUILT_PLUGIN_DIR}}}.dump());
}

/// The golden case's run, on ref, into `out`.
std::string run_json(const std::string& out) {
  std::ifstream file(kCase / "run.json");
  Json json = Json::parse(file);
  json["backend"] = {{"type", "ref"}};
  json["output"]["dir"] = out;
  return json.dump();
}

TEST(GraftHpp, ErrorsAreExceptions) {
  try {
    Engine("{\"plugin_dir\": []}");
    FAIL() << "a misspelt key was taken";
  } catch (const Error& e) {
    EXPECT_EQ(e.status(), GRAFT_E_INVALID);
    EXPECT_NE(std::string(e.what()).find("plugin_dirs"), std::string::npos) << e.what();
  }
  const Engine engine = make_engine();
  EXPECT_THROW(Tokenizer(engine, "/nowhere"), Error);
  EXPECT_THROW(Model(engine, "/nowhere"), Error);
  EXPECT_THROW(Session(engine, "{}"), Error);
  EXPECT_THROW(engine.plugins("none of this name"), Error);
}

// "Unsupported" is an answer to a plugin's question; a caller of graft.h got no result.
TEST(GraftHpp, AModelOfAnUnknownFamilyIsAnError) {
  const Engine engine = make_engine();
  const TemporaryFolder folder;
  std::ofstream(folder.path() / "config.json") << R"({"model_type": "none_of_these"})";
  try {
    engine.inspect(folder.path());
    FAIL() << "there is no such family";
  } catch (const Error& e) {
    EXPECT_LT(e.status(), 0);
    EXPECT_NE(std::string(e.what()).find("none_of_these"), std::string::npos) << e.what();
  }
}

TEST(GraftHpp, TextsAreStrings) {
  const Engine engine = make_engine();
  EXPECT_TRUE(Json::parse(engine.schema()).contains("properties"));
  EXPECT_FALSE(Json::parse(engine.plugins())["plugins"].empty());
  EXPECT_EQ(Json::parse(engine.inspect(kModel))["kind"], "model");
  const Tokenizer tokenizer(engine, GRAFT_SOURCE_DIR "/tests/golden/data/tiny-tokenizer");
  const std::string text("a\0b \xC3\xBC", 6);  // NULs count
  const auto ids =
      Json::parse(tokenizer.encode(text))["input_ids"].get<std::vector<std::int32_t>>();
  EXPECT_EQ(tokenizer.decode(ids), text);
  EXPECT_EQ(tokenizer.decode({}), "");
}

TEST(GraftHpp, HandlesMoveAndOutliveTheEngine) {
  auto engine = std::make_unique<Engine>(make_engine());
  Model model(*engine, kModel, R"({"backend": "ref", "dtype": "f32"})");
  engine.reset();
  Model moved = std::move(model);
  EXPECT_EQ(Json::parse(moved.score(R"({"input_ids": [1, 2, 3]})", 2))["next_top"].size(), 2u);
}

TEST(GraftHpp, TheLogIsAFunction) {
  Engine engine = make_engine();
  std::atomic<int> lines{0};
  engine.set_log([&](std::int32_t, std::string_view, std::string_view) { ++lines; }, 0);
  const TemporaryFolder out;
  const Session session(engine, run_json(out.path()), kCase.string());
  EXPECT_GT(lines.load(), 0);
}

TEST(GraftHpp, StepsUntilTheEnd) {
  const Engine engine = make_engine();
  const TemporaryFolder out;
  Session session(engine, run_json(out.path()), kCase.string());
  EXPECT_GT(Json::parse(session.plan_json())["total_bytes"].get<double>(), 0);
  std::int64_t steps = 0;
  while (const auto metrics = session.step()) EXPECT_EQ(metrics->step, ++steps);
  EXPECT_EQ(steps, 10);
  EXPECT_FALSE(session.evaluate());
  session.save(out.path() / "saved");
  EXPECT_TRUE(fs::exists(out.path() / "saved/adapter_model.safetensors"));
}

TEST(GraftHpp, CancelSavesAndSaysSo) {
  const Engine engine = make_engine();
  const TemporaryFolder out;
  Session session(engine, run_json(out.path()), kCase.string());
  EXPECT_FALSE(session.run([&](std::string_view) { session.cancel(); }));
  EXPECT_TRUE(fs::exists(out.path() / "adapter_model.safetensors"));
  try {
    session.run([](std::string_view) {});
    FAIL() << "it ran twice";
  } catch (const Error& e) {
    EXPECT_EQ(e.status(), GRAFT_E_STATE) << e.what();
  }
}

TEST(GraftHpp, ExceptionsOfCallbacksComeThrough) {
  const Engine engine = make_engine();
  const TemporaryFolder out;
  Session session(engine, run_json(out.path()), kCase.string());
  EXPECT_THROW(session.run([](std::string_view) { throw std::out_of_range("mine"); }),
               std::out_of_range);
}

}  // namespace
}  // namespace graft
