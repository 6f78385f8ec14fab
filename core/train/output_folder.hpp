// The output folder of a run: who may write it, its metrics, its checkpoints.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/file.hpp"
#include "core/base/json.hpp"
#include "core/train/flat_state.hpp"

namespace graft::core {

/// What a checkpoint holds: where the run stood, and what a step changes, flat, in its file.
struct Snapshot {
  std::int64_t step = 0;
  Json progress = Json::object();  ///< best eval loss and the like
  std::vector<StoredState> state;  ///< of Trainer::state(); bytes of `file`
  MappedFile file;
};

/// A folder that is this process's alone, made if need be.
class FolderLock {
 public:
  /// Throws GRAFT_E_BUSY when another process holds it.
  explicit FolderLock(const fs::path& folder);
  ~FolderLock();
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  fs::path path_;
  int file_ = -1;
};

/// Whether it has files of a run, or an adapter, whole or not.
bool holds_a_run(const fs::path& folder);

class OutputFolder {
 public:
  /// Takes the folder for this process. Throws GRAFT_E_BUSY when another process holds it, or when it
  /// holds another run and neither resume nor force is set.
  OutputFolder(const fs::path& folder, bool resume, bool force);
  ~OutputFolder();
  OutputFolder(const OutputFolder&) = delete;
  OutputFolder& operator=(const OutputFolder&) = delete;

  const fs::path& path() const { return path_; }
  /// With `force`: removes what another run left.
  void clear();

  /// Cuts metrics.jsonl behind the last line of a step up to `step`, then appends to it.
  void open_metrics(std::int64_t step);
  void append(const Json& line);

  /// Writes checkpoints/step-NNNNNN so that it is whole or not there, then removes all but the newest
  /// `keep`. Returns its path.
  fs::path save(std::int64_t step, const Json& progress, const std::vector<FlatState>& state,
                std::int64_t keep);
  /// The newest checkpoint whose digests are right; the broken ones that were passed over are added
  /// to `skipped`.
  std::optional<Snapshot> newest(std::vector<fs::path>& skipped) const;
  /// Its path, without looking inside.
  std::optional<fs::path> newest_path() const;

 private:
  fs::path path_;
  FolderLock lock_;
  bool clears_ = false;
  int metrics_ = -1;
};

}  // namespace graft::core
