// What training reads beside model and data, cut off or changed: run.json, adapters, checkpoints.
#include <gtest/gtest.h>

#include "core/adapt/adapter_files.hpp"
#include "core/train/output_folder.hpp"
#include "core/train/run_config.hpp"
#include "tests/unit/adapt/methods.hpp"
#include "tests/unit/base/damage.hpp"
#include "tests/unit/base/expect_error.hpp"
#include "tests/unit/model/tiny_model.hpp"
#include "tests/unit/train/flat_states.hpp"

namespace graft::core {
namespace {

using test::damage;
using test::TemporaryFolder;
using test::write_file;

std::vector<Json> strange_values() {
  return {nullptr,
          true,
          0,
          -1,
          1e300,
          "",
          "x",
          "a{1,",
          INT64_MAX,
          Json::array(),
          Json::object(),
          Json{7},
          Json{"x"},
          Json{Json{Json::array()}},
          {{"x", {{"y", 1}}}},
          {{"from", "to"}}};
}

TEST(HostileRunFile, KeysOfOtherTypes) {
  const Json whole = {{"model", {{"path", "m"}}},
                      {"methods", {{{"type", "lora"}, {"targets", "all-linear"}}}},
                      {"data", {{"train", "a.jsonl"}, {"eval", "b.jsonl"}}},
                      {"optimizer", {{"type", "adamw"}, {"lr", 1e-2}}},
                      {"train", {{"steps", 3}}},
                      {"output", {{"dir", "out"}}}};
  const auto read = [](const Json& json) {
    SCOPED_TRACE(json.dump());
    test::must_not_break([&] { read_run_config(json.dump(), "/x", test::built_plugins()); });
  };
  // Of the resolved run every key is there.
  const Json resolved = read_run_config(whole.dump(), "/x", test::built_plugins()).json;
  EXPECT_GT(resolved["train"].size(), 6u);
  for (auto section = resolved.begin(); section != resolved.end(); ++section) {
    for (const Json& value : strange_values()) {
      Json changed = resolved;
      changed[section.key()] = value;
      read(changed);
      const bool list = section.value().is_array();
      const Json inner = list ? section.value()[0] : section.value();
      if (!inner.is_object()) continue;
      for (auto it = inner.begin(); it != inner.end(); ++it) {
        changed = resolved;
        (list ? changed[section.key()][0] : changed[section.key()])[it.key()] = value;
        read(changed);
      }
    }
  }
}

TEST(HostileRunFile, EveryCutAndFlipGivesAnErrorOrARun) {
  const std::string whole = R"({
    "model": {"path": "m", "dtype": "f32"},
    "methods": [{"type": "lora", "r": 4, "alpha": 8, "targets": "all-linear", "layers": {"from": 1},
                 "rank_pattern": {"q_proj": 2}}],
    "backend": {"type": "ref", "threads": 1},
    "data": {"train": [{"path": "a.jsonl", "weight": 2}], "eval_fraction": 0.1, "format": "text"},
    "optimizer": {"type": "adamw", "lr": 1e-2, "betas": [0.8, 0.9]},
    "train": {"steps": 3, "batch_size": 2, "warmup_ratio": 0.1, "memory_limit": "4GiB"},
    "output": {"dir": "out", "log": ["jsonl"]}})";
  const test::Taken taken = damage(whole, [](const std::string& text) {
    const RunConfig config = read_run_config(text, "/nowhere", test::built_plugins());
    EXPECT_TRUE(config.json.is_object());
  });
  EXPECT_EQ(taken.cuts, 0u);
  EXPECT_GT(taken.changes, 20u);  // letters of paths, digits of numbers
}

class HostileAdapter : public testing::Test {
 protected:
  HostileAdapter() {
    MethodEntry entry = test::lora_entry({{"targets", {"q_proj", "v_proj"}}, {"layers", {0, 1}}},
                                         {{"rank", 2}, {"rank_pattern", {{"v_proj", 3}}}});
    const AdapterSet set = attach(entry);
    std::vector<StoredTensor> tensors;
    for (const Parameter& p : set.parameters()) {
      const auto zeros = [n = static_cast<std::size_t>(p.count())] {
        return std::vector<float>(n);
      };
      tensors.push_back({p.name, p.dims, zeros, ""});
    }
    save_adapter(folder_.path(), entry, tensors, {"base", "abc", "def", Json::object()}, {});
  }

  AdapterSet attach(const MethodEntry& entry) const {
    return AdapterSet(decoder_sites(config_), {entry}, test::tensors_of(decoder_tensors(config_)),
                      Log{});
  }
  void load() const {
    MethodEntry entry = loaded_entry(folder_.path(), test::built_plugins());
    const AdapterSet set = attach(entry);
    compare_origin(folder_.path(), {"other", "xyz", "uvw"}, Log{});
    EXPECT_EQ(load_adapter(folder_.path(), set.parameters(), 0, entry).size(),
              set.parameters().size());
  }
  test::Taken damage_file(const char* name, std::size_t step = 1) const {
    const fs::path path = folder_.path() / name;
    return damage(
        read_file(path),
        [&](const std::string& text) {
          write_file(path, text);
          load();
        },
        step);
  }

  const DecoderConfig config_ = config_from_hf(test::tiny_config(2), Json::object(), "tiny");
  TemporaryFolder folder_;
};

TEST_F(HostileAdapter, Configuration) {
  const test::Taken taken = damage_file("adapter_config.json");
  EXPECT_LT(taken.cuts, 2u);  // the line break at the end
}

TEST_F(HostileAdapter, Notes) {
  EXPECT_LT(damage_file("graft.json").cuts, 2u);
}

// Every key with values of every other type.
TEST_F(HostileAdapter, KeysOfOtherTypes) {
  for (const char* name : {"adapter_config.json", "graft.json"}) {
    const std::string whole = read_file(folder_.path() / name);
    const Json json = parse_json(whole, name);
    for (auto it = json.begin(); it != json.end(); ++it) {
      for (const Json& value : strange_values()) {
        Json changed = json;
        changed[it.key()] = value;
        write_file(folder_.path() / name, changed.dump());
        SCOPED_TRACE(cat(name, ": ", it.key(), " = ", value.dump()));
        test::must_not_break([&] { load(); });
      }
    }
    for (const Json& value : strange_values()) {
      write_file(folder_.path() / name, value.dump());
      SCOPED_TRACE(cat(name, " = ", value.dump()));
      test::must_not_break([&] { load(); });
    }
    write_file(folder_.path() / name, whole);
  }
  load();
}

TEST_F(HostileAdapter, Weights) {
  const test::Taken taken = damage_file("adapter_model.safetensors", 17);
  EXPECT_EQ(taken.cuts, 0u);
  EXPECT_GT(taken.changes, 20u);  // the numbers
}

class HostileCheckpoint : public testing::Test {
 protected:
  HostileCheckpoint() {
    OutputFolder out(folder_.path(), false, false);
    const Json progress = {{"tokens", 77}, {"config", {{"seed", 3}}}, {"best_loss", 1.5}};
    out.save(12, progress, test::flat_states({{1, 2, 3, 4}, {5, 6}}), 1);
    manifest_ = read_file(file("checkpoint.json"));
  }
  fs::path file(const char* name) const {
    return folder_.path() / "checkpoints" / "step-000012" / name;
  }
  /// nullopt: passed over.
  std::optional<Snapshot> newest() const {
    const OutputFolder out(folder_.path(), true, false);
    std::vector<fs::path> skipped;
    const auto found = out.newest(skipped);
    EXPECT_EQ(skipped.size(), found ? 0u : 1u);
    return found;
  }
  /// A state file whose digest in the manifest is right.
  void write_state(const std::string& bytes) const {
    write_file(file("state.safetensors"), bytes);
    Json manifest = parse_json(manifest_, "manifest");
    manifest["files"]["state.safetensors"] =
        sha256_hex(std::as_bytes(std::span(bytes.data(), bytes.size())));
    write_file(file("checkpoint.json"), manifest.dump());
  }

  TemporaryFolder folder_;
  std::string manifest_;
};

TEST_F(HostileCheckpoint, Manifest) {
  const auto taken = damage(manifest_, [&](const std::string& text) {
    write_file(file("checkpoint.json"), text);
    const auto found = newest();
    if (!found) throw Error(GRAFT_E_INVALID, "passed over");
    EXPECT_GE(found->step, 0);
    EXPECT_TRUE(found->progress.at("config").is_object());
    EXPECT_TRUE(found->progress.at("tokens").is_number_integer());
  });
  EXPECT_LT(taken.cuts, 2u);
}

TEST_F(HostileCheckpoint, AnyDamageOfTheStateIsSeen) {
  const auto taken = damage(read_file(file("state.safetensors")), [&](const std::string& text) {
    write_file(file("state.safetensors"), text);
    if (!newest()) throw Error(GRAFT_E_INVALID, "passed over");
  });
  EXPECT_EQ(taken.cuts, 0u);
  EXPECT_EQ(taken.changes, 0u);
}

TEST_F(HostileCheckpoint, AStateThatWasMadeToFit) {
  damage(read_file(file("state.safetensors")), [&](const std::string& text) {
    write_state(text);
    const auto found = newest();
    if (!found) throw Error(GRAFT_E_INVALID, "passed over");
    for (const auto& values : found->state) EXPECT_LE(values.bytes.size(), 16u);
  });
  const std::string whole = read_file(file("state.safetensors"));
  std::string other = whole;
  for (std::size_t at = 0; (at = other.find("F32", at)) != std::string::npos;) {
    other.replace(at, 3, "I32");  // as large, but no numbers of a run
  }
  ASSERT_NE(other, whole);
  write_state(other);
  EXPECT_FALSE(newest());
}

TEST_F(HostileCheckpoint, ManifestsThatLie) {
  for (const auto& [key, value] : std::vector<std::pair<const char*, Json>>{
           {"step", -1},
           {"step", "12"},
           {"step", nullptr},
           {"progress", Json::object()},
           {"progress", {{"tokens", 1}, {"config", 3}}},
           {"progress", {{"tokens", "many"}, {"config", Json::object()}}},
           {"files", 7}}) {
    Json manifest = parse_json(manifest_, "manifest");
    manifest[key] = value;
    write_file(file("checkpoint.json"), manifest.dump());
    EXPECT_FALSE(newest()) << key << " " << value;
  }
}

TEST(HostileMetrics, LinesThatAreNoneAreCutOut) {
  const TemporaryFolder folder;
  write_file(folder.path() / "metrics.jsonl",
             "{\"step\": 1, \"loss\": 2}\n{\"event\": 7}\n{\"event\": {\"step\": []}}\n[1]\n\xff\n"
             "{\"step\": \"3\"}\n{\"step\": 9, \"loss\": 1}\n{\"step\": 2, \"lo");
  OutputFolder out(folder.path(), true, false);
  out.open_metrics(2);
  EXPECT_EQ(read_file(folder.path() / "metrics.jsonl"),
            "{\"step\": 1, \"loss\": 2}\n{\"event\": 7}\n{\"event\": {\"step\": []}}\n"
            "{\"step\": \"3\"}\n");
}

}  // namespace
}  // namespace graft::core
