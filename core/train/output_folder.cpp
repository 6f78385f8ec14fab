#include "core/train/output_folder.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>

#include "core/base/digest.hpp"
#include "core/base/error.hpp"
#include "core/tensor/safetensors.hpp"

namespace graft::core {
namespace {

constexpr const char* kMetrics = "metrics.jsonl";
constexpr const char* kLock = ".graft.lock";
constexpr const char* kManifest = "checkpoint.json";
constexpr const char* kState = "state.safetensors";

std::string step_name(std::int64_t step) {
  std::string digits = std::to_string(step);
  return "step-" + std::string(digits.size() < 6 ? 6 - digits.size() : 0, '0') + digits;
}

/// Folders of whole checkpoints, oldest first.
std::vector<fs::path> checkpoints(const fs::path& folder) {
  std::vector<fs::path> found;
  std::error_code ignored;
  for (const auto& item : fs::directory_iterator(folder / "checkpoints", ignored)) {
    const std::string name = item.path().filename().string();
    if (name.starts_with("step-") && name.find('.') == std::string::npos)
      found.push_back(item.path());
  }
  std::sort(found.begin(), found.end(), [](const fs::path& a, const fs::path& b) {
    const auto number = [](const fs::path& p) {
      return std::strtoll(p.filename().string().c_str() + 5, nullptr, 10);
    };
    return number(a) < number(b);
  });
  return found;
}

}  // namespace

bool holds_a_run(const fs::path& folder) {
  for (const char* name : {kMetrics, "run.json", "adapter_config.json", "adapter_model.safetensors",
                           "graft.json", "checkpoints"}) {
    if (fs::exists(folder / name)) return true;
  }
  return false;
}

namespace {

/// The files of an adapter.
void remove_adapter(const fs::path& folder) {
  for (const char* name : {"adapter_model.safetensors", "adapter_config.json", "graft.json",
                           "graft_parameters.safetensors"}) {
    fs::remove_all(folder / name);
  }
}

void remove_run(const fs::path& folder) {
  for (const char* name : {kMetrics, "run.json", "plan.txt"}) fs::remove_all(folder / name);
  remove_adapter(folder);
  std::vector<fs::path> of_methods;
  for (const auto& item : fs::directory_iterator(folder)) {
    if (fs::exists(item.path() / "graft.json")) of_methods.push_back(item.path());
  }
  for (const fs::path& method : of_methods) {
    remove_adapter(method);
    std::error_code not_empty;
    fs::remove(method, not_empty);
  }
  for (const fs::path& checkpoint : checkpoints(folder)) fs::remove_all(checkpoint);
  std::error_code not_empty;  // something of the user's own lies there
  fs::remove(folder / "checkpoints", not_empty);
}

/// Whether `path` still names the file that is open as `file`.
bool is_same_file(const fs::path& path, int file) {
  struct stat named {
  }, held{};
  return ::stat(path.c_str(), &named) == 0 && ::fstat(file, &held) == 0 &&
         named.st_ino == held.st_ino && named.st_dev == held.st_dev;
}

/// Read piece by piece: a mapped file would count as this process's memory.
std::string digest_of(const fs::path& path) {
  Sha256 digest;
  std::ifstream file(path, std::ios::binary);
  std::vector<char> piece(std::size_t{1} << 18);
  while (file.read(piece.data(), static_cast<std::streamsize>(piece.size())) || file.gcount() > 0) {
    digest.add(std::string_view(piece.data(), static_cast<std::size_t>(file.gcount())));
  }
  if (!file.eof()) throw Error(GRAFT_E_IO, cat("cannot read '", path.string(), "' again."));
  return digest.hex();
}

/// Throws whatever is wrong with it.
Snapshot read_checkpoint(const fs::path& folder) {
  const fs::path manifest = folder / kManifest;
  const Json json = parse_json(read_file(manifest), manifest.string());
  if (digest_of(folder / kState) != json.at("files").at(kState).get<std::string>()) {
    throw Error(GRAFT_E_INVALID, "its digest is wrong");
  }
  Snapshot snapshot;
  snapshot.file = MappedFile::open(folder / kState);
  snapshot.step = json.at("step").get<std::int64_t>();
  snapshot.progress = json.at("progress");
  const bool whole = snapshot.step >= 0 && snapshot.progress.at("config").is_object() &&
                     snapshot.progress.at("tokens").is_number_integer();
  const Safetensors file = Safetensors::parse(snapshot.file);
  for (std::size_t i = 0; i < file.names().size(); ++i) {
    const HostTensor t = file.tensor(i == 0 ? std::string("master") : cat("state.", i - 1));
    if (!whole || (t.dtype != GRAFT_F32 && t.dtype != GRAFT_U8)) {
      throw Error(GRAFT_E_INVALID, "it holds something else than a run");
    }
    snapshot.state.push_back({t.dtype, t.bytes});
  }
  return snapshot;
}

void make_folder(const fs::path& folder) {
  std::error_code failed;
  fs::create_directories(folder, failed);
  if (failed) {
    throw Error(GRAFT_E_IO,
                cat("output.dir: cannot make '", folder.string(), "': ", failed.message(), "."));
  }
}

}  // namespace

FolderLock::FolderLock(const fs::path& folder) : path_(folder / kLock) {
  make_folder(folder);
  // The last holder may remove the file between our open and our lock. Then there is a new one to be
  // tried, or two processes would each hold a file of that name.
  do {
    if (file_ >= 0) ::close(file_);
    file_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (file_ < 0) {
      throw Error(GRAFT_E_IO, cat("output.dir: cannot write in '", folder.string(),
                                  "': ", std::strerror(errno), "."));
    }
    if (::flock(file_, LOCK_EX | LOCK_NB) != 0) {
      ::close(file_);
      throw Error(GRAFT_E_BUSY,
                  cat("output.dir: '", folder.string(), "' is in use by another process. Wait ",
                      "for it, or choose another folder with --output.dir."));
    }
  } while (!is_same_file(path_, file_));
}

FolderLock::~FolderLock() {
  std::error_code ignored;
  fs::remove(path_, ignored);  // while it is still locked
  ::close(file_);
}

OutputFolder::OutputFolder(const fs::path& folder, bool resume, bool force)
    : path_(folder), lock_(folder) {
  if (resume || !holds_a_run(folder)) return;
  if (!force) {
    throw Error(
        GRAFT_E_BUSY,
        cat("output.dir: '", folder.string(), "' holds a run already. Use --resume to go on ",
            "with it, --force to overwrite it, or another folder with --output.dir."));
  }
  clears_ = true;
}

void OutputFolder::clear() {
  if (clears_) remove_run(path_);
  clears_ = false;
}

OutputFolder::~OutputFolder() {
  if (metrics_ >= 0) ::close(metrics_);
}

void OutputFolder::open_metrics(std::int64_t step) {
  const fs::path file = path_ / kMetrics;
  if (fs::exists(file)) {
    const std::string text = read_file(file);
    std::string kept;
    for (std::size_t begin = 0; begin < text.size();) {
      const std::size_t end = text.find('\n', begin);
      if (end == std::string::npos) break;  // a line that was cut off
      const std::string line = text.substr(begin, end - begin);
      begin = end + 1;
      const Json json = Json::parse(line, nullptr, false);
      if (!json.is_object() || (json.contains("event") && json["event"] == "end")) continue;
      if (json.contains("step") && json["step"].is_number() && json["step"] > step) continue;
      kept += line + "\n";
    }
    write_file_atomically(file, kept);
  }
  metrics_ = ::open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (metrics_ < 0) {
    throw Error(GRAFT_E_IO, cat("cannot write '", file.string(), "': ", std::strerror(errno), "."));
  }
}

void OutputFolder::append(const Json& line) {
  const std::string text = to_text(line) + "\n";
  if (::write(metrics_, text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    throw Error(GRAFT_E_IO, cat("cannot write '", (path_ / kMetrics).string(),
                                "': ", std::strerror(errno), "."));
  }
}

fs::path OutputFolder::save(std::int64_t step, const Json& progress,
                            const std::vector<FlatState>& state, std::int64_t keep) {
  const fs::path folder = path_ / "checkpoints";
  const fs::path target = folder / step_name(step);
  const fs::path temporary = folder / (step_name(step) + ".tmp");
  fs::remove_all(temporary);
  try {
    fs::create_directories(temporary);
    std::vector<SafetensorsItem> items;
    for (std::size_t i = 0; i < state.size(); ++i) {
      items.push_back({i == 0 ? std::string("master") : cat("state.", i - 1),
                       state[i].dtype,
                       {state[i].count},
                       state[i].write});
    }
    write_safetensors(temporary / kState, std::move(items), {});
    const Json manifest = {{"step", step},
                           {"progress", progress},
                           {"files", {{kState, digest_of(temporary / kState)}}}};
    write_file_atomically(temporary / kManifest, manifest.dump(2) + "\n");
    fs::remove_all(target);
    fs::rename(temporary, target);
  } catch (const fs::filesystem_error& e) {
    std::error_code ignored;
    fs::remove_all(temporary, ignored);
    throw Error(GRAFT_E_IO, cat("cannot write the checkpoint '", target.string(),
                                "': ", e.code().message(), "."));
  } catch (...) {
    std::error_code ignored;
    fs::remove_all(temporary, ignored);
    throw;
  }
  sync_folder(folder);
  const std::vector<fs::path> all = checkpoints(path_);
  for (std::size_t i = 0; i + static_cast<std::size_t>(keep) < all.size(); ++i) {
    fs::remove_all(all[i]);
  }
  return target;
}

std::optional<fs::path> OutputFolder::newest_path() const {
  const std::vector<fs::path> all = checkpoints(path_);
  return all.empty() ? std::nullopt : std::optional(all.back());
}

std::optional<Snapshot> OutputFolder::newest(std::vector<fs::path>& skipped) const {
  const std::vector<fs::path> all = checkpoints(path_);
  for (auto it = all.rbegin(); it != all.rend(); ++it) {
    try {
      return read_checkpoint(*it);
    } catch (const std::exception&) {
      skipped.push_back(*it);
    }
  }
  return std::nullopt;
}

}  // namespace graft::core
