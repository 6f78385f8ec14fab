#include "core/data/dataset.hpp"

#include <algorithm>
#include <atomic>
#include <exception>
#include <system_error>
#include <thread>

#include "core/base/digest.hpp"
#include "core/base/philox.hpp"
#include "core/data/streams.hpp"

namespace graft::core {

struct Dataset::Tables {
  std::vector<Source> sources;
  std::vector<std::uint64_t> offsets;
  std::vector<std::int32_t> lengths, supervised;
  std::int64_t max_length = 0;
  Encoder encoder;
  DataCounts counts;

  const Source& source_of(std::int64_t example) const {
    const auto after = [](std::int64_t i, const Source& source) { return i < source.begin; };
    return *std::prev(std::upper_bound(sources.begin(), sources.end(), example, after));
  }
};

namespace {

// Lines between two joins of the threads.
constexpr std::size_t kBlock = 8192;

std::string place(const Source& source, std::int64_t line) {
  return cat(source.file.path().string(), ':', line);
}

Json parse_piece(const Source& source, const Piece& piece) {
  const std::string_view text = source.file.text().substr(piece.begin, piece.end - piece.begin);
  return parse_json(text, place(source, piece.line), static_cast<std::size_t>(piece.line));
}

Example read_piece(const Source& source, const Piece& piece, const Encoder& encoder) {
  const std::string who = place(source, piece.line);
  try {
    if (source.pieces == Pieces::kLines) {
      return encode_line(parse_piece(source, piece), source.reading, encoder, who);
    }
    const std::string_view text = source.file.text().substr(piece.begin, piece.end - piece.begin);
    return encode_text(text, source.reading.add_eos, encoder, who);
  } catch (const Error& e) {
    const std::string_view what = e.what();
    if (what.starts_with(who)) throw;
    throw Error(e.status(), cat(who, ": ", what));  // the tokenizer knows no file
  }
}

Source open_source(const DataFile& file, const Fields& fields) {
  Source source;
  source.file = MappedFile::open(file.path);
  source.reading.fields = fields;
  source.weight = file.weight;
  const bool plain = file.path.extension() == ".txt";
  source.pieces = plain ? Pieces::kParagraphs : Pieces::kLines;
  Piece first;
  if (!PieceReader(source.file.text(), source.pieces).next(first)) {
    throw Error(GRAFT_E_INVALID, cat(file.path.string(), ": the file is empty; there must be at ",
                                     "least one example in it."));
  }
  if (plain && file.format.value_or(Format::kText) != Format::kText) {
    throw Error(GRAFT_E_INVALID,
                cat(file.path.string(), ": a .txt file has format text, not ",
                    to_string(*file.format), ". Name a JSONL file so that it ends in .jsonl."));
  }
  if (file.format) {
    source.reading.format = *file.format;
  } else if (!plain) {
    source.reading.format =
        detect_format(parse_piece(source, first), fields, place(source, first.line));
  }
  return source;
}

struct Measured {
  std::int64_t length = 0, supervised = 0;
  bool cut = false;
  std::exception_ptr error;
};

Measured measure(const Source& source, const Piece& piece, std::int64_t max_length,
                 const Encoder& encoder) {
  Measured result;
  try {
    Example example = read_piece(source, piece, encoder);
    result.cut = max_length > 0 && example.cut(max_length);
    result.length = static_cast<std::int64_t>(example.ids.size());
    result.supervised = example.supervised();
    if (result.length > 0x7fffffff) {
      throw Error(GRAFT_E_INVALID, cat(place(source, piece.line), ": ", result.length,
                                       " tokens are too many. Set data.max_length."));
    }
  } catch (...) {
    result.error = std::current_exception();
  }
  return result;
}

std::vector<Measured> measure_all(const Source& source, const std::vector<Piece>& pieces,
                                  const DataOptions& options, const Encoder& encoder) {
  std::vector<Measured> results(pieces.size());
  std::atomic<std::size_t> next{0};
  const auto work = [&] {
    for (std::size_t i = next++; i < pieces.size(); i = next++) {
      results[i] = measure(source, pieces[i], options.max_length, encoder);
    }
  };
  std::vector<std::thread> threads;
  const std::size_t wanted = std::min<std::size_t>(
      options.threads > 1 ? static_cast<std::size_t>(options.threads) : 1, pieces.size() / 64 + 1);
  try {
    for (std::size_t i = 1; i < wanted; ++i) threads.emplace_back(work);
  } catch (const std::system_error&) {
    // No more threads to be had: those that run, and this one, do the work.
  }
  work();
  for (std::thread& thread : threads) thread.join();
  for (const Measured& result : results) {
    if (result.error) std::rethrow_exception(result.error);  // that of the first line, always
  }
  return results;
}

void add(Dataset::Tables& tables, const Piece& piece, const Measured& measured) {
  ++tables.counts.lines;
  if (measured.supervised == 0) {
    ++tables.counts.skipped;
    return;
  }
  tables.counts.cut += measured.cut;
  tables.counts.tokens += measured.length;
  tables.counts.supervised += measured.supervised;
  tables.offsets.push_back(piece.begin);
  tables.lengths.push_back(static_cast<std::int32_t>(measured.length));
  tables.supervised.push_back(static_cast<std::int32_t>(measured.supervised));
}

class Opener {
 public:
  Opener(const DataOptions& options, const Encoder& encoder, const Log& log)
      : options_(options), encoder_(encoder), log_(log) {}

  // Goes through one file; a line goes to `eval` when its hash is below `fraction`.
  void read(const DataFile& file, std::size_t number, double fraction, Dataset::Tables& train,
            Dataset::Tables* eval) {
    Source source = open_source(file, options_.fields);
    const DataCounts before = train.counts;
    begin(source, train);
    if (eval != nullptr) begin(source, *eval);
    PieceReader reader(source.file.text(), source.pieces);
    std::vector<Piece> block;
    std::uint64_t index = 0;
    for (bool more = true; more;) {
      Piece piece;
      more = reader.next(piece);
      if (more) block.push_back(piece);
      if (more && block.size() < kBlock) continue;
      const std::vector<Measured> measured = measure_all(source, block, options_, encoder_);
      for (std::size_t i = 0; i < block.size(); ++i, ++index) {
        const std::uint64_t bits =
            random_bits(options_.seed, stream_id(Stream::kSplit, number, 0), index);
        const bool held_out = eval != nullptr && random_unit(bits) < fraction;
        add(held_out ? *eval : train, block[i], measured[i]);
      }
      block.clear();
    }
    train.sources.back().end = static_cast<std::int64_t>(train.offsets.size());
    if (eval != nullptr) eval->sources.back().end = static_cast<std::int64_t>(eval->offsets.size());
    tell(file, source, before, train.counts);
  }

  std::shared_ptr<const Dataset::Tables> finish(Dataset::Tables tables, const std::string& what) {
    if (tables.offsets.empty()) {
      throw Error(
          GRAFT_E_INVALID,
          cat(what, ": there is no example to learn from: of ", tables.counts.lines, " lines ",
              tables.counts.skipped, " have no supervised token",
              options_.max_length > 0 ? cat(" within max_length ", options_.max_length) : "",
              options_.eval_fraction > 0
                  ? cat(", and eval_fraction ", options_.eval_fraction, " took its part")
                  : "",
              ". Look at them with 'graft inspect'."));
    }
    tables.max_length = options_.max_length;
    tables.encoder = encoder_;
    tables.offsets.shrink_to_fit();
    tables.lengths.shrink_to_fit();
    tables.supervised.shrink_to_fit();
    return std::make_shared<const Dataset::Tables>(std::move(tables));
  }

 private:
  static void begin(const Source& source, Dataset::Tables& tables) {
    tables.sources.push_back(source);
    tables.sources.back().begin = static_cast<std::int64_t>(tables.offsets.size());
  }

  void tell(const DataFile& file, const Source& source, const DataCounts& before,
            const DataCounts& now) const {
    const std::int64_t skipped = now.skipped - before.skipped, cut = now.cut - before.cut;
    std::string text =
        cat(file.path.string(), ": format ", to_string(source.reading.format),
            file.format                            ? ""
            : source.pieces == Pieces::kParagraphs ? " (a plain text file)"
                                                   : " (found out from the first line)",
            ", ", now.lines - before.lines - skipped, " examples, ", now.tokens - before.tokens,
            " tokens, ", now.supervised - before.supervised, " of them with a loss");
    if (cut > 0) text += cat("; ", cut, " cut at max_length ", options_.max_length);
    if (skipped > 0) text += cat("; ", skipped, " skipped, as no token of theirs has a loss");
    log_.info("data", text + ".");
  }

  const DataOptions& options_;
  const Encoder& encoder_;
  const Log& log_;
};

}  // namespace

std::int64_t Dataset::size() const {
  return static_cast<std::int64_t>(tables_->offsets.size());
}

std::int32_t Dataset::length(std::int64_t example) const {
  return tables_->lengths[static_cast<std::size_t>(example)];
}

std::int32_t Dataset::supervised(std::int64_t example) const {
  return tables_->supervised[static_cast<std::size_t>(example)];
}

Example Dataset::example(std::int64_t index) const {
  const Source& source = tables_->source_of(index);
  const auto changed = [&](const std::string& why) {
    return Error(GRAFT_E_STATE, cat(source.file.path().string(), ": the file has changed since it ",
                                    "was opened", why, ". Leave it alone while it is in use."));
  };
  PieceReader reader(source.file.text(), source.pieces,
                     tables_->offsets[static_cast<std::size_t>(index)]);
  Piece piece;
  if (!reader.next(piece)) throw changed("");
  Example example;
  try {
    example = read_piece(source, piece, tables_->encoder);
  } catch (const Error& error) {
    throw changed(cat(" (", error.what(), ")"));  // it could be read then
  }
  if (tables_->max_length > 0) example.cut(tables_->max_length);
  if (static_cast<std::int64_t>(example.ids.size()) != length(index) ||
      example.supervised() != supervised(index)) {
    throw changed("");
  }
  return example;
}

std::string Dataset::where(std::int64_t example) const {
  const Source& source = tables_->source_of(example);
  const auto offset = tables_->offsets[static_cast<std::size_t>(example)];
  const std::string_view before = source.file.text().substr(0, offset);
  return place(source, 1 + std::count(before.begin(), before.end(), '\n'));
}

std::string Dataset::digest() const {
  Sha256 digest;
  for (const Source& source : tables_->sources) digest.add(source.file.bytes());
  return digest.hex();
}

const std::vector<Source>& Dataset::sources() const {
  return tables_->sources;
}
const DataCounts& Dataset::counts() const {
  return tables_->counts;
}

Data open_data(const DataOptions& options, const Encoder& encoder, const Log& log) {
  if (options.train.empty()) throw Error(GRAFT_E_INVALID, "data.train: there is no file named.");
  if (options.max_length == 1 || options.max_length < 0) {
    throw Error(GRAFT_E_INVALID, cat("data.max_length is ", options.max_length,
                                     ", but must be at least 2, or 0 for no limit."));
  }
  if (!(options.eval_fraction >= 0 && options.eval_fraction < 1)) {
    throw Error(GRAFT_E_INVALID, cat("data.eval_fraction is ", options.eval_fraction,
                                     ", but must lie between 0 and 1."));
  }
  if (options.eval && options.eval_fraction > 0) {
    throw Error(GRAFT_E_CONFIG, "data.eval and data.eval_fraction are both there: give one.");
  }
  check_fields(options.fields, "data.fields");
  Opener opener(options, encoder, log);
  Dataset::Tables train, eval;
  const bool split = options.eval_fraction > 0;
  for (std::size_t i = 0; i < options.train.size(); ++i) {
    opener.read(options.train[i], i, options.eval_fraction, train, split ? &eval : nullptr);
  }
  if (split && (train.counts.lines == 0) != (eval.counts.lines == 0)) {
    throw Error(GRAFT_E_CONFIG,
                cat("data.eval_fraction is ", options.eval_fraction, ": of ",
                    train.counts.lines + eval.counts.lines, " examples that leaves none to ",
                    train.counts.lines == 0 ? "learn from" : "evaluate on",
                    ". Take another fraction, or name a file in data.eval."));
  }
  if (options.eval) opener.read(*options.eval, 0, 0, eval, nullptr);
  for (Source& source : eval.sources) source.weight.reset();  // all of it, once
  Data data{Dataset(opener.finish(std::move(train), "data.train")), std::nullopt};
  if (split || options.eval) {
    data.eval = Dataset(opener.finish(std::move(eval), split ? "data.eval_fraction" : "data.eval"));
  }
  return data;
}

}  // namespace graft::core
