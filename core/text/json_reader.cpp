#include "core/text/json_reader.hpp"

#include "core/text/json_cursor.hpp"

namespace graft::core {
namespace {

class Reader {
 public:
  Reader(std::string_view text, std::string_view who)
      : cursor_(text, who), who_(who), size_(text.size()) {}

  TokenizerParts run() {
    // Brackets that never close are found before anything is done.
    if (cursor_.peek() != '{') cursor_.value();
    object([&](std::string_view key) {
      if (parts_.rest.contains(key)) fail(cat("the key \"", key, "\" is there twice"));
      if (key == "model" && cursor_.peek() == '{') {
        parts_.rest["model"] = Json::object();
        model(parts_.rest["model"]);
      } else {
        parts_.rest[std::string(key)] = small_value();
      }
    });
    cursor_.end();
    return std::move(parts_);
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw Error(GRAFT_E_INVALID, cat(who_, ": ", what, "."));
  }

  /// each(key) reads the value.
  template <class Each>
  void object(const Each& each) {
    cursor_.expect('{');
    if (cursor_.take('}')) return;
    do {
      const std::string_view key = cursor_.text(parts_.arena);
      cursor_.expect(':');
      each(key);
    } while (cursor_.take(','));
    cursor_.expect('}');
  }
  template <class Each>
  void array(const Each& each) {
    cursor_.expect('[');
    if (cursor_.take(']')) return;
    do each();
    while (cursor_.take(','));
    cursor_.expect(']');
  }

  Json small_value() {
    const std::size_t begin = cursor_.at();
    const std::string_view text = cursor_.value();
    try {
      return Json::parse(text);
    } catch (const Json::parse_error& error) {
      std::string_view what = error.what();  // "[json.exception...] parse error at line 4, .."
      what.remove_prefix(std::min(what.find("] ") + 2, what.size()));
      throw Error(GRAFT_E_INVALID,
                  cat(who_, ": not JSON at byte ", begin + error.byte, ": ", what, "."));
    } catch (const Json::out_of_range&) {
      throw Error(GRAFT_E_INVALID,
                  cat(who_, ": a number is too large in the value at byte ", begin, "."));
    }
  }

  void model(Json& into) {
    bool has_vocab = false, has_merges = false;
    object([&](std::string_view key) {
      const char next = cursor_.peek();
      if (key == "vocab" && (next == '{' || next == '[')) {
        if (std::exchange(has_vocab, true)) fail("model.vocab is there twice");
        next == '{' ? vocabulary_of_ids() : vocabulary_of_scores();
        make_vocabulary();
      } else if (key == "merges" && next == '[') {
        if (std::exchange(has_merges, true)) fail("model.merges is there twice");
        reserve(parts_.merges);
        array([&] { merge(); });
      } else {
        if (into.contains(key)) fail(cat("the key \"", key, "\" is there twice"));
        into[std::string(key)] = small_value();
      }
    });
  }

  /// On a thread of its own, if there is one to be had, as it takes as long as reading the merges.
  void make_vocabulary() {
    constexpr std::size_t many = 20000;
    if (parts_.vocabulary.size() < many) return;
    // The entries stay where they are when the vector is moved.
    parts_.made =
        std::async([entries = std::span(std::as_const(parts_.vocabulary)), who = std::string(who_),
                    repeats = parts_.repeats()] { return Vocabulary(entries, who, repeats); });
  }

  /// Room for what may come, in memory that is taken only as it is used: growing means copying.
  template <class T>
  void reserve(std::vector<T>& items) const {
    constexpr std::size_t smallest = 24, most = 2'000'000;  // bytes of an item in the file; items
    items.reserve(std::min(size_ / smallest, most));
  }

  void vocabulary_of_ids() {
    reserve(parts_.vocabulary);
    parts_.kind = TokenizerParts::Kind::ids;
    object([&](std::string_view piece) {
      const char next = cursor_.peek();
      if (next == '"') fail("an id in model.vocab is a string");
      if (next == '[') fail("an id in model.vocab is an array");
      if (next == '{') fail("an object inside model.vocab");
      const JsonCursor::Number id = cursor_.number();
      if (!id.whole) fail("an id in model.vocab is not a whole number");
      parts_.vocabulary.push_back({piece, id.integer});
    });
  }

  void vocabulary_of_scores() {
    reserve(parts_.vocabulary);
    reserve(parts_.scores);
    parts_.kind = TokenizerParts::Kind::scores;
    array([&] {
      cursor_.expect('[');
      const std::string_view piece = cursor_.text(parts_.arena);
      cursor_.expect(',');
      parts_.scores.push_back(cursor_.number().value);
      cursor_.expect(']');
      parts_.vocabulary.push_back({piece, static_cast<std::int64_t>(parts_.vocabulary.size())});
    });
  }

  void merge() {
    if (cursor_.peek() == '"') return merge_in_one(cursor_.text(parts_.arena));
    if (cursor_.peek() != '[') fail("model.merges holds a wrong value");
    std::string_view pair[2];
    std::size_t size = 0;
    array([&] {
      const char next = cursor_.peek();
      if (next == '[') fail("a merge holds an array");
      if (next != '"') fail("model.merges holds a wrong value");
      pair[size++ & 1] = cursor_.text(parts_.arena);
    });
    if (size != 2) fail(cat("merge ", parts_.merges.size(), " has not two parts"));
    parts_.merges.push_back({pair[0], pair[1]});
  }

  /// "a b": a merge in the older form, split at its only space.
  void merge_in_one(std::string_view line) {
    if (line.substr(0, 8) == "#version") return;
    const std::size_t space = line.find(' ');
    if (space == line.npos || line.find(' ', space + 1) != line.npos) {
      fail(cat("merge ", parts_.merges.size(), ", '", line, "', must be two pieces and a space"));
    }
    parts_.merges.push_back({line.substr(0, space), line.substr(space + 1)});
  }

  JsonCursor cursor_;
  std::string_view who_;
  std::size_t size_;
  TokenizerParts parts_;
};

}  // namespace

Vocabulary TokenizerParts::take_vocabulary(std::string_view who) {
  return made.valid() ? made.get() : Vocabulary(vocabulary, who, repeats());
}

TokenizerParts read_tokenizer_json(std::string_view text, std::string_view who) {
  return Reader(text, who).run();
}

}  // namespace graft::core
