// Data files that were cut off or changed: an error that names the line, or examples.
#include <gtest/gtest.h>

#include "core/data/dataset.hpp"
#include "tests/unit/base/damage.hpp"
#include "tests/unit/data/fake_encoder.hpp"

namespace graft::core {
namespace {

struct Lines {
  const char* name;
  Format format;
  const char* text;
};

std::ostream& operator<<(std::ostream& out, const Lines& l) {
  return out << l.name;
}

class HostileData : public testing::TestWithParam<Lines> {};

TEST_P(HostileData, EveryCutAndFlipGivesAnErrorOrExamples) {
  for (const bool told : {true, false}) {
    const fake::Folder folder;
    const fs::path path = folder.file("d.jsonl", "");
    const std::string whole = GetParam().text;
    const auto use = [&](const std::string& text) {
      DataOptions options;
      options.train = {{test::write_file(path, text), std::nullopt, std::nullopt}};
      if (told) options.train[0].format = GetParam().format;
      options.max_length = 100;
      const Data data = open_data(options, fake::encoder(), Log());
      for (std::int64_t i = 0; i < data.train.size(); ++i) {
        const Example example = data.train.example(i);
        ASSERT_EQ(example.ids.size(), example.labels.size());
        ASSERT_LE(example.ids.size(), 100u);
        for (const std::int32_t id : example.ids) ASSERT_TRUE(id >= 0 && id < 300) << id;
      }
    };
    const test::Taken taken = test::damage(whole, use);
    EXPECT_GT(taken.changes, 10u);  // letters of the texts
    EXPECT_LT(taken.changes, whole.size() * 3);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Formats, HostileData,
    testing::Values(
        Lines{"text", Format::kText, "{\"text\": \"a\\u00e9 xy\"}\n{\"text\": \"bc\"}\n"},
        Lines{"completion", Format::kCompletion,
              "{\"prompt\": \"ab\", \"completion\": \" c\\nd\"}\n"},
        Lines{"messages", Format::kMessages,
              "{\"messages\": [{\"role\": \"user\", \"content\": \"hi\"}, "
              "{\"role\": \"assistant\", \"content\": \"yo\"}], \"tools\": [{\"name\": \"t\"}]}\n"},
        Lines{"tokens", Format::kTokens,
              "{\"input_ids\": [1, 22, 256, 7], \"labels\": [-100, 22, 256, -100]}\n"}),
    testing::PrintToStringParamName());

}  // namespace
}  // namespace graft::core
