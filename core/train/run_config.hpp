// RUN.json: checked against the schema that host and plugins give together, aliases replaced, every
// default filled in.
#pragma once
#include <string>
#include <vector>

#include "core/adapt/attach.hpp"
#include "core/base/json.hpp"
#include "core/data/batches.hpp"
#include "core/data/dataset.hpp"
#include "core/plugin/registry.hpp"
#include "core/train/trainer.hpp"

namespace graft::core {

/// A validated run. `json` is what run.json in the output folder holds: training it again gives the
/// same result. Paths in it are absolute.
struct RunConfig {
  Json json;
  std::string run;  ///< its name among several; empty: it is alone
  fs::path model;
  fs::path chat_template;  ///< "model.template"; empty: the model's own
  std::string dtype;       ///< "auto", "f32", ...
  Quantization quantization;
  std::string backend;  ///< plugin name
  Json backend_options;
  std::vector<MethodEntry> methods;
  std::vector<fs::path> load;  ///< by method: the adapter folder it starts from, or empty
  std::string optimizer;
  Json optimizer_options;  ///< the plugin's
  TrainerOptions trainer;  ///< schedule.total is set when the data is known
  double warmup_ratio = 0;
  DataOptions data;
  BatchOptions batches;
  double stop_loss = 0;  ///< 0: none
  fs::path output;
  std::string name;  ///< of the adapter
  std::int64_t save_every = 0, eval_every = 0, keep = 3;
  bool best = false;
  bool log_progress = true, log_jsonl = true;
};

/// `text`: RUN.json. `folder`: what relative paths in it are relative to. Throws GRAFT_E_CONFIG, with
/// JSON Pointers, for what is wrong in the text itself.
RunConfig read_run_config(std::string_view text, const fs::path& folder, Registry& registry);

/// The same where there may be several ("runs"): each as if it were alone, in a folder of its own.
std::vector<RunConfig> read_run_configs(std::string_view text, const fs::path& folder,
                                        Registry& registry);

/// Throws GRAFT_E_INVALID unless `name` can be a folder's beside the files of a run; `of` says whose
/// name it is.
void require_folder_name(const std::string& name, const char* of);

/// One method entry from an adapter folder's configuration, as `{"load": DIR}` means it. `host` are
/// further host options given beside "load".
MethodEntry loaded_entry(const fs::path& folder, Registry& registry);

}  // namespace graft::core
