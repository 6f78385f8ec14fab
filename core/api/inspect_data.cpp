// graft_inspect_json: data files, as training would read them.
#include <algorithm>
#include <cmath>
#include <thread>

#include "core/api/inspect.hpp"
#include "core/data/dataset.hpp"
#include "core/model/checkpoint.hpp"
#include "core/text/utf8.hpp"
#include "core/train/session_parts.hpp"

namespace graft::core {
namespace {

/// Rows of the embedding; of a folder with tokenizer files only, its tokens.
std::int64_t vocabulary(const fs::path& model) {
  if (fs::is_directory(model) && !fs::exists(model / "config.json")) {
    return Tokenizer::load(model).size();
  }
  return Checkpoint::open(model).config().vocab;
}

std::string text_of(const Text& text, const std::vector<std::int32_t>& ids) {
  if (text.has_tokenizer()) return utf8_lossy(text.tokenizer().decode(ids, false));
  std::string joined;
  for (const std::int32_t id : ids) joined += cat(id, " ");
  return joined;
}

/// Runs of tokens with the same mask, as text.
Json spans(const Text& text, const Example& e) {
  Json list = Json::array();
  for (std::size_t begin = 0, end = 0; begin < e.ids.size(); begin = end) {
    const auto has_loss = [&](std::size_t i) { return i > 0 && e.labels[i] != kNoLabel; };
    std::vector<std::int32_t> ids;
    for (end = begin; end < e.ids.size() && has_loss(end) == has_loss(begin); ++end) {
      ids.push_back(e.ids[end]);
    }
    list.push_back({{"loss", has_loss(begin)}, {"text", text_of(text, ids)}});
  }
  return list;
}

Json show(const Dataset& data, const Text& text, std::int64_t index) {
  const Example e = data.example(index);
  Json mask = Json::array(), pieces = Json::array();
  for (std::size_t i = 0; i < e.ids.size(); ++i) {
    mask.push_back(i > 0 && e.labels[i] != kNoLabel ? 1 : 0);
    const bool known = text.has_tokenizer() && e.ids[i] < text.tokenizer().size();
    pieces.push_back(known ? Json(utf8_lossy(text.tokenizer().piece(e.ids[i]))) : Json());
  }
  return {{"where", data.where(index)}, {"input_ids", e.ids},
          {"labels", e.labels},         {"mask", mask},
          {"pieces", pieces},           {"spans", spans(text, e)}};
}

}  // namespace

Json inspect_data(const fs::path& path, const InspectOptions& options, const Log& log) {
  if (options.model.empty()) {
    throw Error(GRAFT_E_INVALID,
                cat("'", path.string(), "' is taken for a data file, whose tokens depend on the ",
                    "model: name one (--model MODEL)."));
  }
  const Text text = Text::open(options.model, {}, vocabulary(options.model), log);
  DataOptions how;
  how.train.push_back({path, std::nullopt, std::nullopt});
  if (!options.format.empty()) how.train[0].format = parse_format(options.format, "format");
  how.max_length = options.max_length;
  how.threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  const Dataset data = open_data(how, text.encoder(), log).train;
  std::vector<std::int32_t> lengths;
  for (std::int64_t i = 0; i < data.size(); ++i) lengths.push_back(data.length(i));
  std::sort(lengths.begin(), lengths.end());
  const auto quantile = [&](double q) {
    return lengths[static_cast<std::size_t>(
        std::llround(q * static_cast<double>(lengths.size() - 1)))];
  };
  const DataCounts& counts = data.counts();
  Json first = Json::array();
  for (std::int64_t i = 0; i < std::min(options.limit, data.size()); ++i) {
    first.push_back(show(data, text, i));
  }
  return {{"kind", "data"},
          {"path", path.string()},
          {"format", to_string(data.sources().front().reading.format)},
          {"lines", counts.lines},
          {"examples", data.size()},
          {"cut", counts.cut},
          {"skipped", counts.skipped},
          {"tokens", counts.tokens},
          {"supervised", counts.supervised},
          {"length",
           {{"least", lengths.front()},
            {"median", quantile(0.5)},
            {"p95", quantile(0.95)},
            {"most", lengths.back()}}},
          {"first", first}};
}

}  // namespace graft::core
