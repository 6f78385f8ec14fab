#include "core/model/prequantized.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <map>

#include "core/model/checkpoint.hpp"
#include "core/tensor/dtype.hpp"
#include "core/tensor/expand.hpp"
#include "core/tensor/packed.hpp"
#include "core/tensor/quantize.hpp"
#include "core/tensor/safetensors.hpp"
#include "tests/unit/base/damage.hpp"
#include "tests/unit/base/expect_error.hpp"

namespace graft::core {
namespace {

const fs::path cases = fs::path(GRAFT_SOURCE_DIR) / "tests/golden/data/cases";
const std::string module = "model.layers.0.mlp.down_proj";

struct Part {
  std::uint32_t dtype = 0;
  std::vector<std::int64_t> shape;
  std::string bytes;
};

/// What a folder has of one module.
class Parts {
 public:
  explicit Parts(const std::string& name) {
    const Checkpoint checkpoint = Checkpoint::open(cases / name / "model");
    packing_ = checkpoint.config().packing;
    const Safetensors file = Safetensors::open(cases / name / "model/model.safetensors");
    for (const std::string& key : file.names()) {
      if (!key.starts_with(module + ".")) continue;
      const HostTensor t = file.tensor(key);
      parts_[key] = {
          t.dtype, t.shape, {reinterpret_cast<const char*>(t.bytes.data()), t.bytes.size()}};
    }
    if (packing_) parts_[module + ".weight"] = parts_.at(module + ".qweight");
  }

  const std::map<std::string, Part>& all() const { return parts_; }

  /// Reads the weight with `part` in the place of that of `name`, every value of it.
  std::vector<float> read(const std::string& name, const Part& part) const {
    const auto tensor = [&](const std::string& key, const Part& p) {
      HostTensor t;
      t.name = key;
      t.dtype = p.dtype;
      t.shape = p.shape;
      t.bytes = std::as_bytes(std::span(p.bytes));
      return t;
    };
    const TensorLookup lookup = [&](const std::string& key) -> std::optional<HostTensor> {
      if (key == name) return tensor(key, part);
      const auto found = parts_.find(key);
      return found == parts_.end() ? std::nullopt : std::optional(tensor(key, found->second));
    };
    const std::string weight = module + ".weight";
    HostTensor codes = *lookup(packing_ ? module + ".qweight" : weight);
    codes.name = weight;
    const HostTensor read =
        packing_ ? with_groups(codes, *packing_, lookup) : with_statistics(codes, lookup);
    std::vector<float> values(static_cast<std::size_t>(read.elements()));
    expand(read, GRAFT_F32, values.data(), 2);
    return values;
  }

 private:
  std::optional<Packing> packing_;
  std::map<std::string, Part> parts_;
};

class Prequantized : public testing::TestWithParam<const char*> {};

TEST_P(Prequantized, TakesNoDamage) {
  const Parts parts(GetParam());
  std::size_t changed = 0;
  for (const auto& [name, whole] : parts.all()) {
    SCOPED_TRACE(name);
    const auto use = [&, key = name, dtype = whole.dtype,
                      shape = whole.shape](const std::string& bytes) {
      Part part{dtype, shape, bytes};
      // As a file would have it: rows less, or a part of one.
      const std::size_t size = dtype_size(dtype);
      part.bytes.resize(bytes.size() / size * size);
      const std::int64_t n = static_cast<std::int64_t>(part.bytes.size() / size);
      const std::int64_t row = shape.size() == 2 ? shape[1] : 1;
      if (n % row == 0 && shape.size() == 2) {
        part.shape = {n / row, row};
      } else {
        part.shape = {n};
      }
      parts.read(key, part);
    };
    const std::size_t step = std::max<std::size_t>(1, whole.bytes.size() / 150);
    const test::Taken taken = test::damage(whole.bytes, use, step);
    changed += taken.changes;
  }
  EXPECT_GT(changed, 0u);  // codes may be anything
}

TEST_P(Prequantized, TakesNoOtherShapesAndTypes) {
  const Parts parts(GetParam());
  for (const auto& [name, whole] : parts.all()) {
    for (const std::uint32_t dtype :
         {GRAFT_U8, GRAFT_I8, GRAFT_F16, GRAFT_BF16, GRAFT_F32, GRAFT_I32}) {
      const auto n = static_cast<std::int64_t>(whole.bytes.size() / dtype_size(dtype));
      for (const std::vector<std::int64_t>& shape : {std::vector<std::int64_t>{},
                                                     {0},
                                                     {0, 8},
                                                     {8, 0},
                                                     {n},
                                                     {1, n},
                                                     {n, 1},
                                                     {n / 8, 8},
                                                     {2, 2, 2},
                                                     {std::int64_t{1} << 40, 0}}) {
        Part part{dtype, shape, whole.bytes};
        std::int64_t count = 1;
        for (const std::int64_t extent : shape) count *= extent;
        part.bytes.resize(static_cast<std::size_t>(count) * dtype_size(dtype));
        test::must_not_break([&, key = name] { parts.read(key, part); });
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, Prequantized,
                         testing::Values("bnb-nf4", "bnb-fp4", "gptq-symmetric", "gptq-act-order",
                                         "awq"),
                         [](const auto& param) {
                           std::string name = param.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

// Blocks hold the same values where they can, and are refused where they cannot.
TEST(Packed, BecomesBlocks) {
  for (const auto& [name, format] : {std::pair("gptq-symmetric", "q4_0"),
                                     {"gptq-8-bit", "q8_0"},
                                     {"gptq-act-order", ""},
                                     {"gptq-2-bit", ""},
                                     {"awq", ""}}) {
    const Checkpoint checkpoint = Checkpoint::open(cases / name / "model");
    const HostTensor t = checkpoint.tensor(module + ".weight");
    ASSERT_TRUE(t.packed) << name;
    EXPECT_EQ(exact_blocks(*t.packed), format) << name;
    EXPECT_EQ(t.shape, (std::vector<std::int64_t>{64, 96}));
    if (!*format) continue;
    graft_quant q = quantized_shape(format, 64, 96, 0, false);
    std::vector<std::byte> memory(buffer_bytes(q));
    set_buffers(q, memory.data());
    repack(*t.packed, format, memory.data());
    std::vector<float> values(64 * 96), blocks(64 * 96);
    expand(t, GRAFT_F32, values.data(), 2);
    expand_rows(q, GRAFT_F32, blocks.data(), 0, 64);
    EXPECT_EQ(values, blocks) << name;
  }
}

TEST(Packed, RefusesWhatDoesNotFit) {
  const Parts parts("gptq-act-order");
  Part part = parts.all().at(module + ".g_idx");
  const std::int32_t far = 6;
  std::memcpy(part.bytes.data() + 20, &far, sizeof far);
  EXPECT_ERROR(parts.read(module + ".g_idx", part), "a group 6 in \"g_idx\"; there are 6");
  part = parts.all().at(module + ".scales");
  part.bytes[1] = '\x7c';
  EXPECT_ERROR(parts.read(module + ".scales", part), "no finite numbers");
  part.dtype = GRAFT_I32;
  EXPECT_ERROR(parts.read(module + ".scales", part), "\"scales\"");
}

}  // namespace
}  // namespace graft::core
