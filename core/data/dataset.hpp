// Examples of data files that may be larger than memory: the files are mapped, an index of 16 bytes
// an example is kept, and an example is tokenized when it is asked for.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/file.hpp"
#include "core/base/log.hpp"
#include "core/data/example.hpp"
#include "core/data/lines.hpp"

namespace graft::core {

struct DataFile {
  fs::path path;
  std::optional<Format> format;  // else found out from the first line
  std::optional<double> weight;  // share of the examples; see sampler.hpp
};

struct DataOptions {
  std::vector<DataFile> train;
  std::optional<DataFile> eval;
  double eval_fraction = 0;     // 0: no split
  std::int64_t max_length = 0;  // 0: nothing is cut
  Fields fields;
  std::uint64_t seed = 0;  // of the split
  int threads = 1;         // tokenizing when opened
};

/// What became of the lines.
struct DataCounts {
  std::int64_t lines = 0;       // that are not blank
  std::int64_t cut = 0;         // longer than max_length (examples that were kept)
  std::int64_t skipped = 0;     // without a supervised token
  std::int64_t tokens = 0;      // in the examples
  std::int64_t supervised = 0;  // of those, with a loss
};

/// The examples of one file lie in [begin, end) of the dataset.
struct Source {
  MappedFile file;
  Pieces pieces = Pieces::kLines;
  LineReading reading;
  std::optional<double> weight;
  std::int64_t begin = 0, end = 0;
};

/// Immutable; any thread. Copies share the index. Never empty once opened.
class Dataset {
 public:
  std::int64_t size() const;
  /// Tokens of an example, and how many of them a loss is taken on: from the index.
  std::int32_t length(std::int64_t example) const;
  std::int32_t supervised(std::int64_t example) const;
  /// Reads and tokenizes. Throws GRAFT_E_STATE when the file has changed since it was opened.
  Example example(std::int64_t index) const;
  /// "train.jsonl:12". Counts lines from the start of the file: for messages.
  std::string where(std::int64_t example) const;
  const std::vector<Source>& sources() const;
  const DataCounts& counts() const;
  /// SHA-256 of the bytes of all files in their order.
  std::string digest() const;

  struct Tables;
  explicit Dataset(std::shared_ptr<const Tables> tables) : tables_(std::move(tables)) {}

 private:
  std::shared_ptr<const Tables> tables_;
};

struct Data {
  Dataset train;
  std::optional<Dataset> eval;
};

/// Opens the files and goes through every line once: parses, tokenizes, checks, measures. Says the
/// formats and counts in the log. Throws GRAFT_E_INVALID with file and line.
///
/// With eval_fraction a line is held out when a hash of the seed, its file's place in the list and
/// its place in the file falls below the fraction: adding lines at the end moves no other line.
///
/// A file that ends in .txt is plain text, a paragraph (up to a blank line) an example; all others
/// are JSONL, an object a line. Blank lines are passed over.
Data open_data(const DataOptions& options, const Encoder& encoder, const Log& log);

/// "data" of RUN.json as a JSON Schema, and its value (with defaults filled in) as options. Paths
/// are relative to `folder`.
Json data_schema();
DataOptions data_options(const Json& data, const fs::path& folder, std::uint64_t seed);

}  // namespace graft::core
