// Every method through a whole decoder: gradients against central differences in f64, what a fresh one
// changes, and what wrong options are told.
#include "core/adapt/adapter_files.hpp"
#include "tests/unit/adapt/decoder_step.hpp"
#include "tests/unit/base/expect_error.hpp"
#include "tests/unit/base/temporary_folder.hpp"

namespace graft::core {
namespace {

using test::entry_of;
using test::expect_right_gradients;
using test::Step;
using test::TinyModel;

struct Case {
  const char* name;
  std::vector<std::pair<const char*, std::pair<Json, Json>>> entries;  // method, host, options
  const char* part = "";  // names of the parameters to look at hold this
};

std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << c.name;
}

const Json kSome = {{"targets", {"q_proj", "v_proj", "o_proj", "down_proj"}}};

const std::vector<Case>& cases() {
  static const std::vector<Case> all = {
      {"dora",
       {{"dora",
         {{{"targets", {"q_proj", "o_proj", "embed_tokens", "lm_head"}}},
          {{"rank", 2}, {"alpha", 3}}}}},
       "magnitude"},  // of A and B a part is left out by definition; tests/golden has them
      {"dora_biases", {{"dora", {kSome, {{"rank", 2}, {"alpha", 3}, {"bias", "all"}}}}}, "bias"},
      {"adalora_biases",
       {{"adalora",
         {kSome,
          {{"init_rank", 3}, {"target_rank", 2}, {"total_steps", 9}, {"bias", "lora_only"}}}}}},
      {"pissa", {{"lora", {kSome, {{"rank", 2}, {"alpha", 3}, {"init", "pissa"}}}}}},
      {"olora", {{"lora", {kSome, {{"rank", 2}, {"alpha", 3}, {"init", "olora"}}}}}},
      {"adalora",
       {{"adalora", {kSome, {{"init_rank", 3}, {"target_rank", 2}, {"total_steps", 9}}}}}},
      {"adapter", {{"adapter", {Json::object(), {{"reduction", 3}, {"activation", "tanh"}}}}}},
      {"adapter_switches",
       {{"adapter",
         {Json::object(),
          {{"reduction", 3},
           {"attention", true},
           {"residual_first", false},
           {"scaling", "learned"},
           {"norm_before", true},
           {"norm_after", true},
           {"own_residual", "input"},
           {"activation", "swish"},
           {"residual_last", false}}}}}},
      {"adapter_parallel",
       {{"adapter",
         {Json::object(), {{"reduction", 2}, {"parallel", true}, {"activation", "gelu"}}}}}},
      {"adapter_invertible",
       {{"adapter",
         {Json::object(), {{"reduction", 3}, {"activation", "tanh"}, {"invertible", true}}}}}},
      {"tied_lora", {{"tied_lora", {kSome, {{"rank", 2}, {"alpha", 3}}}}}},
      {"tied_lora_vectors",
       {{"tied_lora", {kSome, {{"rank", 2}, {"alpha", 3}, {"trained", {"u", "v"}}}}}}},
      {"randlora", {{"randlora", {kSome, {{"rank", 3}, {"alpha", 4}}}}}},
      {"lora_biases", {{"lora", {kSome, {{"rank", 2}, {"alpha", 3}, {"bias", "lora_only"}}}}}},
      {"lora_tokens",
       {{"lora", {kSome, {{"rank", 2}, {"alpha", 3}, {"trainable_tokens", {4, 1}}}}}}},
      {"lora_fa",
       {{"lora", {kSome, {{"rank", 2}, {"alpha", 3}, {"freeze_a", true}, {"lr_ratio", 4}}}}}},
      {"vera", {{"vera", {kSome, {{"rank", 3}, {"d_initial", 0.3}}}}}},
      {"ia3", {{"ia3", {kSome, {{"feedforward", {"down_proj"}}}}}}},
      {"ln_tuning", {{"ln_tuning", {Json::object(), Json::object()}}}},
      {"bitfit", {{"bitfit", {Json::object(), Json::object()}}}},
      {"full", {{"full", {Json::object(), Json::object()}}}},
      {"loha", {{"loha", {kSome, {{"rank", 2}, {"alpha", 3}}}}}},
      {"lokr", {{"lokr", {kSome, {{"rank", 2}, {"alpha", 3}}}}}},
      {"lokr_both",
       {{"lokr",
         {{{"targets", {"q_proj", "o_proj"}}},
          {{"rank", 1}, {"decompose_both", true}, {"decompose_factor", 4}}}}}},
      {"oft", {{"oft", {kSome, {{"block_size", 2}}}}}},
      {"oft_exact",
       {{"oft", {{{"targets", {"q_proj", "up_proj"}}}, {{"block_size", 4}, {"neumann", false}}}}}},
      {"oft_shared",
       {{"oft",
         {{{"targets", {"q_proj"}}},
          {{"block_size", 0}, {"blocks", 2}, {"share", true}, {"terms", 2}}}}}},
      {"prompt", {{"prompt", {Json::object(), {{"tokens", 3}}}}}},
      {"prefix", {{"prefix", {Json::object(), {{"tokens", 3}}}}}},
      {"prefix_projection",
       {{"prefix", {Json::object(), {{"tokens", 2}, {"projection", true}, {"hidden", 5}}}}}},
      {"p_tuning", {{"p_tuning", {Json::object(), {{"tokens", 3}, {"hidden", 5}}}}}},
      {"p_tuning_lstm",
       {{"p_tuning", {Json::object(), {{"tokens", 3}, {"hidden", 4}, {"encoder", "lstm"}}}}}},
      {"stacked",
       {{"lora", {kSome, {{"rank", 2}, {"alpha", 3}, {"dropout", 0.2}}}},
        {"ia3", {{{"targets", {"k_proj", "down_proj"}}}, {{"feedforward", {"down_proj"}}}}},
        {"prompt", {Json::object(), {{"tokens", 2}}}},
        {"prefix", {Json::object(), {{"tokens", 2}}}}}}};
  return all;
}

std::vector<MethodEntry> entries_of(const Case& c) {
  std::vector<MethodEntry> entries;
  for (const auto& [method, options] : c.entries) {
    entries.push_back(entry_of(method, options.first, options.second));
  }
  return entries;
}

class Methods : public testing::TestWithParam<Case> {};

TEST_P(Methods, GradientsMatchCentralDifferences) {
  const TinyModel tiny;
  Step step(tiny, entries_of(GetParam()));
  expect_right_gradients(step, GetParam().part);
}

INSTANTIATE_TEST_SUITE_P(Each, Methods, testing::ValuesIn(cases()),
                         [](const auto& one) { return std::string(one.param.name); });

/// Folders of two bottleneck adapters of one width, with random weights, and their fusion.
class Fusion : public testing::Test {
 protected:
  MethodEntry entry(const Json& options) {
    MethodEntry fusion = entry_of("adapter_fusion", Json::object(), options);
    Json seen = Json::array();
    for (const char* name : {"first", "second"}) {
      const MethodEntry inner =
          entry_of("adapter", Json::object(),
                   {{"reduction", 3}, {"activation", "tanh"}, {"attention", true}});
      AdapterSet set(decoder_sites(tiny_.config()), {inner},
                     test::tensors_of(decoder_tensors(tiny_.config())), Log{});
      std::vector<StoredTensor> tensors;
      for (const Parameter& p : set.parameters()) {
        Parameter random{};
        random.name = name + p.name;
        random.dims = p.dims;
        random.init = GRAFT_INIT_NORMAL;
        random.init_scale = 0.4;
        tensors.push_back(
            {p.name, p.dims, [values = initial_values(random, 3)] { return values; }, p.key});
      }
      const fs::path path = folder_.path() / name;
      MethodEntry named = inner;
      named.name = name;
      save_adapter(path, named, tensors, {}, {});
      seen.push_back({{"name", name}, {"path", path.string()}, {"options", inner.options}});
      fusion.fuses.push_back(name);
    }
    fusion.tokens["adapters"] = seen;
    return fusion;
  }

  TinyModel tiny_;
  test::TemporaryFolder folder_;
};

TEST_F(Fusion, GradientsMatchCentralDifferences) {
  const Json switches[] = {
      Json::object(),
      {{"residual_before", true}, {"value_before_softmax", false}, {"regularization", false}},
      {{"query_before", true}, {"key", false}, {"value_init", "normal"}}};
  for (const Json& options : switches) {
    SCOPED_TRACE(options.dump());
    Step step(tiny_, {entry(options)});
    int trained = 0;
    for (const Parameter& p : step.parameters()) trained += p.trained() ? 1 : 0;
    EXPECT_EQ(step.with_gradient.size(), static_cast<std::size_t>(trained));
    for (const std::string& name : step.with_gradient) {
      EXPECT_EQ(name.find("adapter_"), name.npos) << name << " belongs to a fused adapter";
    }
    expect_right_gradients(step, "query.weight");
    expect_right_gradients(step, "value");
    if (options.value("key", true)) expect_right_gradients(step, "key.weight");
  }
}

TEST(FullFineTuning, KeepsATiedHeadTied) {
  const TinyModel tiny(test::tiny_config(1, {{"tie_word_embeddings", true}}));
  Step step(tiny, {entry_of("full", Json::object())});
  int tables = 0;
  for (const Parameter& p : step.parameters()) tables += p.dims == std::vector<std::int64_t>{13, 8};
  EXPECT_EQ(tables, 1);
  expect_right_gradients(step);
}

TEST(TrainedTokens, AreRowsOfATiedHeadToo) {
  const TinyModel tiny(test::tiny_config(1, {{"tie_word_embeddings", true}}));
  Step step(tiny, {entry_of("lora", kSome, {{"rank", 2}, {"trainable_tokens", {4, 1}}})});
  int rows = 0;
  for (const Parameter& p : step.parameters()) rows += p.name.ends_with("trainable_tokens_delta");
  EXPECT_EQ(rows, 1);
  expect_right_gradients(step);
}

// ---- what wrong options are told -----------------------------------------------------------------

void attach(const char* method, const Json& host, const Json& options) {
  const DecoderConfig config =
      config_from_hf(test::tiny_config(2, {{"attention_bias", false}}), Json::object(), "tiny");
  AdapterSet(decoder_sites(config), {entry_of(method, host, options)},
             test::tensors_of(decoder_tensors(config)), Log{});
}

TEST(WrongOptions, AreRefusedWithWhatWouldBeRight) {
  EXPECT_ERROR(attach("lora", kSome, {{"rank", 0}}), "/rank is 0, but must be at least 1");
  EXPECT_ERROR(attach("vera", {{"targets", {"input_layernorm"}}}, Json::object()),
               "matches no module");
  EXPECT_ERROR(attach("ia3", {{"targets", {"k_proj"}}}, {{"feedforward", {"down_proj"}}}),
               "feedforward names \"down_proj\", which is not among the targets");
  EXPECT_ERROR(
      attach("oft", {{"targets", {"q_proj"}}}, {{"block_size", 3}}),
      "block_size 3 does not divide the 8 inputs of 'model.layers.0.self_attn.q_proj'; 2 and 4 do");
  EXPECT_ERROR(attach("oft", {{"targets", {"q_proj"}}}, {{"block_size", 2}, {"blocks", 4}}),
               "give one of them");
  EXPECT_ERROR(attach("bitfit", Json::object(), Json::object()),
               "none of the 24 targeted modules has a bias");
  EXPECT_ERROR(attach("prefix", {{"targets", ".*layers.0.*"}}, {{"tokens", 2}}),
               "all layers need as many");
  EXPECT_ERROR(attach("prompt", Json::object(), {{"init", "text"}}), "init_text is empty");
  EXPECT_ERROR(attach("lora", {{"targets", {"embed_tokens"}}}, {{"init", "pissa"}}),
               "init \"pissa\" is for linear layers");
  EXPECT_ERROR(attach("lora", {{"targets", {"o_proj"}}}, {{"bias", "lora_only"}}),
               "no targeted module has a bias. Leave it out");
  EXPECT_ERROR(attach("lora", kSome, {{"trainable_tokens", {13}}}), "has the tokens 0 to 12");
  EXPECT_ERROR(attach("lora", kSome, {{"rank_pattern", {{"q_proj", 4}, {"qproj", 4}}}}),
               "rank_pattern names 'qproj', which is no end");
  EXPECT_ERROR(attach("lora", kSome, {{"convert", true}}), "convert is true, but init \"kaiming\"");
  EXPECT_ERROR(
      attach("lora", {{"targets", {"q_proj"}}, {"modules_to_save", {"lm_hed"}}}, Json::object()),
      "no module with weights of that name. Did you mean 'lm_head'?");
  EXPECT_ERROR(attach("lora", kSome, {{"trainable_tokens", {3, 3}}}), "names 3 twice");
  EXPECT_ERROR(attach("lora", {{"targets", {"embed_tokens"}}}, {{"trainable_tokens", {3}}}),
               "targets match it too. Leave it out of targets");
  EXPECT_ERROR(attach("adapter", Json::object(), {{"feedforward", false}}),
               "attention and feedforward are both false");
  EXPECT_ERROR(attach("adapter", {{"targets", ".*residual"}}, {{"invertible", true}}),
               "invertible needs the embedding and lm_head among the targets");
  EXPECT_ERROR(attach("tied_lora", kSome, {{"trained", {"A", "u"}}}),
               "names neither \"B\" nor \"v\"");
  EXPECT_ERROR(attach("randlora", kSome, {{"rank", 0}}), "/rank is 0, but must be at least 1");
  EXPECT_ERROR(attach("adalora", kSome, Json::object()), "total_steps");
  EXPECT_ERROR(attach("adalora", kSome, {{"total_steps", 9}, {"tinit", 4}, {"tfinal", 5}}),
               "leave none of 9 total_steps for ranks to fall in");
  EXPECT_ERROR(attach("adalora", kSome, {{"total_steps", 9}, {"init_rank", 4}}),
               "target_rank 8 is above init_rank 4");
  EXPECT_ERROR(attach("prompt", Json::object(), {{"tokens", 0}}),
               "/tokens is 0, but must be at least 1");
  EXPECT_ERROR(attach("ln_tuning", {{"targets", {"q_proj"}}}, Json::object()), "matches no module");
}

}  // namespace
}  // namespace graft::core
