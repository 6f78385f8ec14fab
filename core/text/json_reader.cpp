#include "core/text/json_reader.hpp"

#include <limits>

namespace graft::core {
namespace {

constexpr std::size_t deepest = 64;

/// Receives the events of nlohmann's parser. Depth 1 is the file's object, 2 that of "model".
class Reader {
 public:
  Reader(TokenizerParts& parts, std::string_view who) : parts_(parts), who_(who) {}

  bool null() { return value(Json()); }
  bool boolean(bool v) { return value(v); }
  bool number_integer(std::int64_t v) { return number(v, v); }
  bool number_unsigned(std::uint64_t v) {
    constexpr auto most = std::numeric_limits<std::int64_t>::max();
    return number(v, v > static_cast<std::uint64_t>(most) ? most : static_cast<std::int64_t>(v));
  }
  bool number_float(double v, const std::string&) {
    if (place_ == Place::vocabulary) fail("an id in model.vocab is not a whole number");
    return value(v);
  }
  bool string(std::string& v) {
    if (place_ == Place::vocabulary) fail("an id in model.vocab is a string");
    if (place_ == Place::merges) {
      if (depth_ == 3) {
        add_line(v);
      } else {
        pair_[pair_size_++ & 1] = parts_.arena.keep(v);
      }
      return true;
    }
    return value(std::move(v));
  }
  bool binary(Json::binary_t&) { return false; }

  bool start_object(std::size_t) {
    if (place_ != Place::elsewhere && place_ != Place::skipped) {
      fail("an object inside model.vocab or model.merges");
    }
    const bool vocabulary = in_model() && key_ == "vocab";
    if (vocabulary && parts_.has_vocabulary) fail("model.vocab is there twice");
    if (vocabulary) enter(Place::vocabulary);
    parts_.has_vocabulary |= vocabulary;
    return open(Json::object());
  }
  bool end_object() { return close(); }
  bool start_array(std::size_t) {
    if (place_ == Place::vocabulary) fail("an id in model.vocab is an array");
    if (place_ == Place::merges && depth_ > 3) fail("a merge holds an array");
    if (place_ == Place::merges) pair_size_ = 0;
    if (in_model() && key_ == "merges") {
      if (!parts_.merges.empty()) fail("model.merges is there twice");
      enter(Place::merges);
    }
    if (in_model() && key_ == "vocab") enter(Place::skipped);
    return open(Json::array());
  }
  bool end_array() {
    if (place_ == Place::merges && depth_ == 4) {
      if (pair_size_ != 2) fail(cat("merge ", parts_.merges.size(), " has not two parts"));
      parts_.merges.emplace_back(pair_[0], pair_[1]);
    }
    return close();
  }
  bool key(std::string& v) {
    if (place_ == Place::vocabulary) {
      piece_ = parts_.arena.keep(v);
      return true;
    }
    key_ = std::move(v);
    if (place_ == Place::elsewhere && stack_.back()->contains(key_)) {
      fail(cat("the key \"", key_, "\" is there twice"));
    }
    if (depth_ == 1) section_ = key_;
    return true;
  }
  bool parse_error(std::size_t byte, const std::string&, const nlohmann::detail::exception& e) {
    std::string_view what = e.what();  // "[json.exception...] parse error at line 4, .."
    what.remove_prefix(std::min(what.find("] ") + 2, what.size()));
    throw Error(GRAFT_E_INVALID, cat(who_, ": not JSON at byte ", byte, ": ", what, "."));
  }

 private:
  enum class Place { elsewhere, vocabulary, merges, skipped };

  [[noreturn]] void fail(const std::string& what) const {
    throw Error(GRAFT_E_INVALID, cat(who_, ": ", what, "."));
  }
  bool in_model() const {
    return place_ == Place::elsewhere && depth_ == 2 && section_ == "model" &&
           stack_.back()->is_object();
  }
  void enter(Place place) {
    place_ = place;
    place_depth_ = depth_;
  }

  template <class T>
  bool number(T v, std::int64_t id) {
    if (place_ == Place::vocabulary) {
      parts_.vocabulary.push_back({piece_, id});
      return true;
    }
    return value(v);
  }

  /// "a b": a merge in the older form, split at its only space.
  void add_line(std::string_view line) {
    if (line.substr(0, 8) == "#version") return;
    const std::size_t space = line.find(' ');
    if (space == line.npos || line.find(' ', space + 1) != line.npos) {
      fail(cat("merge ", parts_.merges.size(), ", '", line, "', must be two pieces and a space"));
    }
    parts_.merges.emplace_back(parts_.arena.keep(line.substr(0, space)),
                               parts_.arena.keep(line.substr(space + 1)));
  }

  bool value(Json v) {
    if (place_ == Place::skipped) return true;
    if (place_ != Place::elsewhere) fail("model.vocab or model.merges holds a wrong value");
    put(std::move(v));
    return true;
  }
  Json* put(Json v) {
    if (stack_.empty()) {
      parts_.rest = std::move(v);
      return &parts_.rest;
    }
    Json& into = *stack_.back();
    if (into.is_array()) {
      into.push_back(std::move(v));
      return &into.back();
    }
    return &(into[key_] = std::move(v));
  }
  bool open(Json v) {
    if (++depth_ > deepest) fail(cat("nested deeper than ", deepest));
    if (place_ == Place::elsewhere) stack_.push_back(put(std::move(v)));
    return true;
  }
  bool close() {
    --depth_;
    if (place_ == Place::elsewhere) {
      stack_.pop_back();
    } else if (depth_ == place_depth_) {
      place_ = Place::elsewhere;
    }
    return true;
  }

  TokenizerParts& parts_;
  std::string_view who_;
  Place place_ = Place::elsewhere;
  std::size_t depth_ = 0, place_depth_ = 0;
  std::vector<Json*> stack_;
  std::string key_, section_;
  std::string_view piece_;
  std::string_view pair_[2];
  std::size_t pair_size_ = 0;
};

}  // namespace

TokenizerParts read_tokenizer_json(std::string_view text, std::string_view who) {
  TokenizerParts parts;
  Reader reader(parts, who);
  Json::sax_parse(text, &reader);
  return parts;
}

}  // namespace graft::core
