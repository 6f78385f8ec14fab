#include "core/infer/model_content.hpp"

#include <unistd.h>

#include <cmath>

#include "core/base/error.hpp"
#include "core/tensor/expand.hpp"
#include "core/tensor/quantize.hpp"

namespace graft::core {

HostTensor ModelContent::original(const std::string& name) const {
  const DecoderConfig& config = checkpoint.config();
  const bool head = name == config.head_name() && !checkpoint.has(name);
  return checkpoint.tensor(head ? config.embedding_name() : name);
}

std::vector<float> ModelContent::floats(const std::string& name) const {
  if (changes(name)) return values(name);
  const HostTensor tensor = original(name);
  std::vector<float> result(static_cast<std::size_t>(tensor.elements()));
  expand(tensor, GRAFT_F32, result.data(), threads);
  return result;
}

void Loss::add(const graft_quant& blocks, const float* values) {
  format_ = blocks.format;
  std::vector<float> row(static_cast<std::size_t>(blocks.columns));
  for (std::int64_t r = 0; r < blocks.rows; ++r) {
    expand_rows(blocks, GRAFT_F32, row.data(), r, r + 1);
    for (const float again : row) {
      const double error = std::fabs(static_cast<double>(again) - *values++);
      largest_ = std::max(largest_, error);
      sum_ += error;
    }
  }
  count_ += blocks.rows * blocks.columns;
}

Json Loss::json(const std::string& name) const {
  const double mean = count_ == 0 ? 0 : sum_ / static_cast<double>(count_);
  return {{"name", name}, {"format", format_}, {"largest", largest_}, {"mean", mean}};
}

void require_new(const fs::path& output) {
  std::error_code ignored;
  if (!fs::exists(output) || (fs::is_directory(output) && fs::is_empty(output, ignored))) return;
  throw Error(GRAFT_E_BUSY, cat("--output: '", output.string(),
                                "' is there already. Name what is not there, or an empty folder."));
}

void write_folder(const fs::path& output, const std::function<void(const fs::path&)>& fill) {
  fs::path place = fs::absolute(output).lexically_normal();
  if (!place.has_filename()) place = place.parent_path();  // "folder/"
  fs::path unfinished = place;
  unfinished += cat(".tmp-", ::getpid());
  std::error_code error;
  fs::create_directories(unfinished, error);
  if (error) {
    throw Error(GRAFT_E_IO,
                cat("cannot create '", unfinished.string(), "': ", error.message(), "."));
  }
  try {
    fill(unfinished);
    sync_folder(unfinished);
    fs::rename(unfinished, place);
  } catch (const fs::filesystem_error& e) {
    fs::remove_all(unfinished, error);
    throw Error(GRAFT_E_IO, cat("cannot write '", output.string(), "': ", e.code().message(), "."));
  } catch (...) {
    fs::remove_all(unfinished, error);
    throw;
  }
  sync_folder(place.parent_path());
}

void copy_other_files(const fs::path& from, const fs::path& to) {
  for (const auto& item : fs::directory_iterator(from)) {
    const std::string name = item.path().filename().string();
    const bool weights = name.ends_with(".safetensors") || name.ends_with(".index.json") ||
                         name.ends_with(".bin") || name.ends_with(".gguf");
    if (!item.is_regular_file() || weights || name == "config.json") continue;
    fs::copy_file(item.path(), to / name);
  }
}

}  // namespace graft::core
