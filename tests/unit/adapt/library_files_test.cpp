// Adapter folders of the adapters library, and PEFT's with a pickle.
#include "core/adapt/library_files.hpp"

#include <gtest/gtest.h>

#include "core/adapt/adapter_tensors.hpp"
#include "tests/unit/adapt/methods.hpp"
#include "tests/unit/base/damage.hpp"
#include "tests/unit/base/expect_error.hpp"
#include "tests/unit/base/temporary_folder.hpp"

namespace graft::core {
namespace {

using Names = std::vector<std::string>;

const Names kAll = {"model.layers.0.self_attn.residual", "model.layers.0.mlp.residual",
                    "model.layers.2.self_attn.residual", "model.layers.2.mlp.residual"};

Origin origin(const char* type = "llama") {
  Origin o;
  o.base_path = "base";
  o.facts = {{"type", type}, {"hidden", 24}, {"layers", 3}};
  return o;
}

MethodEntry adapter(const Json& options = {{"attention", true}}) {
  return test::entry_of("adapter", Json::object(), options);
}

TEST(LibraryKeys, StandWhereTheLibraryHasItsModules) {
  EXPECT_EQ(library_key("adapters", "model.layers.3.mlp.residual.adapter_up.weight"),
            "model.layers.3.output_adapters.adapters.{name}.adapter_up.weight");
  EXPECT_EQ(library_key("adapters", "transformer.h.3.self_attn.residual.scaling"),
            "transformer.h.3.attention_adapters.adapters.{name}.scaling");
  EXPECT_EQ(library_key("adapters", "model.invertible.F.0.bias"),
            "model.invertible_adapters.{name}.F.0.bias");
  EXPECT_EQ(library_key("fusion", "model.layers.3.mlp.residual.query.bias"),
            "model.layers.3.output_adapters.adapter_fusion_layer.{name}.query.bias");
  EXPECT_EQ(with_name("a.{name}.b", "x,y"), "a.x,y.b");
}

TEST(LibraryKeys, OfOlderFilesAreRead) {
  EXPECT_EQ(todays_key("layers.0.output_adapters.adapters.a.scaling", "model."),
            "model.layers.0.output_adapters.adapters.a.scaling");
  EXPECT_EQ(todays_key("model.layers.0.output_adapters.layer_text_task_adapters.a.x", "model."),
            "model.layers.0.output_adapters.adapters.a.x");
  EXPECT_EQ(todays_key("model.invertible_lang_adapters.a.F.0.bias", "model."),
            "model.invertible_adapters.a.F.0.bias");
}

TEST(LibraryConfig, IsWhatTheLibraryWrites) {
  MethodEntry entry = adapter({{"attention", true},
                               {"activation", "gelu_new"},
                               {"own_residual", "input"},
                               {"scaling", 2},
                               {"reduction", {{"0", 4}, {"default", 8}}},
                               {"init", "zero"}});
  entry.name = "v1.2";
  const Json config = to_library(entry, origin(), kAll);
  EXPECT_TRUE(is_library_config(config));
  EXPECT_EQ(config["name"], "v1_2");  // a part of keys, which are cut at points
  EXPECT_EQ(config["model_type"], "llama");
  EXPECT_EQ(config["hidden_size"], 24);
  EXPECT_EQ(config["model_class"], "LlamaAdapterModel");  // "undo" is the default
  const Json& inner = config["config"];
  EXPECT_EQ(inner["mh_adapter"], true);
  EXPECT_EQ(inner["output_adapter"], true);
  EXPECT_EQ(inner["non_linearity"], "gelu_new");
  EXPECT_EQ(inner["residual_before_ln"], false);
  EXPECT_EQ(inner["scaling"].dump(), "2.0");  // the library takes no whole number
  EXPECT_EQ(inner["reduction_factor"]["0"], 4);
  EXPECT_EQ(inner["init_weights"], "mam_adapter");
  EXPECT_TRUE(inner["inv_adapter"].is_null());
  EXPECT_EQ(inner["leave_out"], Json::array({1}));  // where nothing is attached
  EXPECT_EQ(inner["use_gating"], false);
  Json back = from_library(entry.api, config, "file");
  EXPECT_EQ(back["reduction"], entry.options["reduction"]);
  EXPECT_EQ(back["own_residual"], "input");
  EXPECT_EQ(back["leave_out"], Json::array({1}));
  EXPECT_EQ(back["undo"], true);
}

TEST(LibraryConfig, IsRefusedWhereItMeansSomethingElse) {
  const graft_method_api api = adapter().api;
  const Json good = to_library(adapter(), origin(), kAll);
  const auto read = [&](auto change) {
    Json config = good;
    change(config);
    return from_library(api, config, "file");
  };
  EXPECT_EQ(read([](Json&) {})["activation"], "relu");
  EXPECT_EQ(read([](Json& c) { c["config"]["non_linearity"] = "SiLU"; })["activation"], "swish");
  EXPECT_EQ(read([](Json& c) { c["config"]["non_linearity"] = "gelu"; })["activation"], "gelu");
  EXPECT_EQ(read([](Json& c) {
              c.erase("version");  // of its predecessor
              c["config"]["non_linearity"] = "gelu";
            })["activation"],
            "gelu_new");
  EXPECT_EQ(read([](Json& c) { c["model_class"] = "LlamaForCausalLM"; })["undo"], false);
  EXPECT_FALSE(read([](Json& c) { c.erase("model_class"); }).contains("undo"));
  EXPECT_ERROR(read([](Json& c) { c["model_type"] = "bert"; }), "\"model_type\" is 'bert'");
  EXPECT_ERROR(read([](Json& c) { c["model_type"] = 7; }), "\"model_type\" is ''");
  EXPECT_ERROR(read([](Json& c) { c["config"]["phm_layer"] = true; }), "\"phm_layer\": true");
  EXPECT_ERROR(read([](Json& c) { c["config"]["use_gating"] = true; }), "\"use_gating\": true");
  EXPECT_ERROR(read([](Json& c) { c["config"]["stochastic_depth"] = 0.1; }),
               "\"stochastic_depth\"");
  EXPECT_ERROR(read([](Json& c) { c["config"]["inv_adapter"] = "glow"; }), "\"inv_adapter\"");
  EXPECT_ERROR(read([](Json& c) { c["config"]["residual_before_ln"] = "post_add"; }),
               "\"post_add\"");
  EXPECT_ERROR(read([](Json& c) { c["config"]["new_switch"] = 1; }),
               "\"new_switch\": 1 is not known");
}

TEST(LibraryConfig, IsNotWrittenForWhatTheLibraryCannotLoad) {
  EXPECT_EQ(library_refusal(adapter(), origin().facts, kAll), "");
  EXPECT_NE(library_refusal(adapter(), origin("qwen2").facts, kAll).find("'qwen2'"),
            std::string::npos);
  EXPECT_NE(library_refusal(adapter(Json::object()), origin().facts, kAll).find("' has one"),
            std::string::npos);
  const Names less(kAll.begin(), kAll.end() - 1);
  EXPECT_NE(library_refusal(adapter(), origin().facts, less)
                .find("'model.layers.2.mlp.residual' has none"),
            std::string::npos);
  MethodEntry saved = adapter();
  saved.host["modules_to_save"] = {"norm"};
  EXPECT_NE(library_refusal(saved, origin().facts, kAll).find("modules_to_save"),
            std::string::npos);
}

class LibraryFolder : public testing::Test {
 protected:
  LibraryFolder() {
    entry_.name = "a";
    for (const char* name : {"adapter_norm_before.weight", "adapter_up.bias"}) {
      Parameter p;
      p.name = std::string("model.layers.0.mlp.residual.") + name;
      p.key = library_key("adapters", p.name);
      p.dims = {2};
      parameters_.push_back(std::move(p));
    }
  }
  void save() const {
    std::vector<StoredTensor> tensors;
    for (const Parameter& p : parameters_) {
      tensors.push_back({p.name, p.dims, [] { return std::vector<float>{1, 2}; }, p.key});
    }
    save_adapter(folder_.path(), entry_, tensors, origin(), {"model.layers.0.mlp.residual"});
  }
  std::vector<std::vector<float>> load() const {
    return load_adapter(folder_.path(), parameters_, 0, entry_);
  }
  void erase(const char* name) const { fs::remove(folder_.path() / name); }

  test::TemporaryFolder folder_;
  MethodEntry entry_ = adapter({{"norm_before", true}});
  std::vector<Parameter> parameters_;
};

TEST_F(LibraryFolder, HoldsBothFilesAndComesBackFromEach) {
  save();
  const Names keys = {"model.layers.0.output_adapters.adapters.a.adapter_norm_before.weight",
                      "model.layers.0.output_adapters.adapters.a.adapter_down.0.weight",
                      "model.layers.0.output_adapters.adapters.a.adapter_up.bias"};
  EXPECT_EQ(TorchFile::open(folder_.path() / "pytorch_adapter.bin").names(), keys);
  EXPECT_EQ(Safetensors::open(folder_.path() / "adapter.safetensors").names().size(), 3u);
  EXPECT_EQ(adapter_name(folder_.path()), "a");
  const std::vector<std::vector<float>> wanted = {{1, 2}, {1, 2}};
  EXPECT_EQ(load(), wanted);
  erase("adapter.safetensors");
  EXPECT_EQ(load(), wanted);
  EXPECT_EQ(adapter_weights_path(folder_.path()).filename(), "pytorch_adapter.bin");
  erase("pytorch_adapter.bin");
  EXPECT_THROW(load(), Error);
}

TEST_F(LibraryFolder, IsReadUnderTheNameInItsConfiguration) {
  save();
  entry_.name = "other";
  EXPECT_EQ(load().size(), 2u);
  EXPECT_EQ(adapter_tensor(folder_.path(), "model.layers.0.mlp.residual.adapter_up.bias", {2}),
            (std::vector<float>{1, 2}));
  EXPECT_ERROR(adapter_tensor(folder_.path(), "model.layers.0.mlp.residual.adapter_up.bias", {3}),
               "is [2], but its configuration and the base model need [3]");
}

TEST_F(LibraryFolder, RefusesTensorsThatBelongToNothing) {
  save();
  parameters_.pop_back();
  EXPECT_ERROR(load(), "adapter_up.bias' belongs to no module");
}

TEST_F(LibraryFolder, SurvivesDamage) {
  save();
  erase("adapter.safetensors");
  const fs::path file = folder_.path() / "pytorch_adapter.bin";
  const test::Taken taken = test::damage(
      read_file(file),
      [&](const std::string& bytes) {
        test::write_file(file, bytes);
        load();
      },
      23);
  EXPECT_EQ(taken.cuts, 0u);
}

TEST(PeftFolder, MayHoldAPickle) {
  test::TemporaryFolder folder;
  MethodEntry entry = test::lora_entry({{"targets", {"q_proj"}}});
  Parameter p;
  p.name = "model.layers.0.self_attn.q_proj.lora_A.weight";
  p.dims = {2};
  std::vector<Parameter> parameters;
  parameters.push_back(std::move(p));
  const std::vector<float> values = {3, 4};
  write_torch_file(folder.path() / "adapter_model.bin",
                   {{"base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight",
                     GRAFT_F32,
                     {2},
                     [&](const Sink& sink) { sink(values.data(), 8); }}});
  EXPECT_EQ(load_adapter(folder.path(), parameters, 0, entry).at(0), values);
}

}  // namespace
}  // namespace graft::core
