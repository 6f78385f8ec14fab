// A tokenizer small enough to be checked by eye: a byte is a token, and a few texts are one token.
#pragma once
#include <unistd.h>

#include <string>
#include <utility>
#include <vector>

#include "core/base/file.hpp"
#include "core/data/example.hpp"

namespace graft::core::fake {

constexpr std::int32_t kEos = 256, kBos = 257, kTurn = 258, kTwoBreaks = 259, kXy = 260;

inline std::vector<Token> encode(std::string_view text, bool add_special) {
  static const std::vector<std::pair<std::string_view, std::int32_t>> pieces = {
      {"<e>", kEos}, {"<t>", kTurn}, {"\n\n", kTwoBreaks}, {"xy", kXy}};
  std::vector<Token> tokens;
  if (add_special) tokens.push_back({kBos, 0, 0});
  for (std::size_t at = 0; at < text.size();) {
    std::size_t size = 1;
    std::int32_t id = static_cast<unsigned char>(text[at]);
    for (const auto& [piece, piece_id] : pieces) {
      if (!text.substr(at).starts_with(piece)) continue;
      size = piece.size();
      id = piece_id;
    }
    tokens.push_back({id, static_cast<std::int64_t>(at), static_cast<std::int64_t>(at + size)});
    at += size;
  }
  return tokens;
}

/// ChatML with shorter names: <t>role\ncontent<e>\n
inline std::string render(const Json& variables) {
  std::string text;
  if (variables.contains("tools")) text += cat("<t>tools\n", to_text(variables["tools"]), "<e>\n");
  for (const Json& message : variables.at("messages")) {
    text += cat("<t>", message.at("role").get<std::string>(), '\n',
                message.at("content").get<std::string>(), "<e>\n");
  }
  if (variables.at("add_generation_prompt").get<bool>()) text += "<t>assistant\n";
  return text;
}

inline Encoder encoder() {
  Encoder result;
  result.encode = encode;
  result.render = render;
  result.is_special = [](std::int32_t id) { return id >= kEos && id <= kTurn; };
  result.eos = kEos;
  result.vocabulary = 300;
  return result;
}

/// Text of ids; a token without a label is replaced by '.'.
inline std::string shown(const std::vector<std::int32_t>& ids) {
  std::string text;
  for (const std::int32_t id : ids) {
    if (id == kNoLabel) {
      text += '.';
    } else if (id < 256) {
      text += static_cast<char>(id);
    } else {
      const char* names[] = {"<e>", "<b>", "<t>", "\n\n", "xy"};
      text += id - 256 < 5 ? names[id - 256] : "?";
    }
  }
  return text;
}

/// A folder of its own for the files of a test.
class Folder {
 public:
  Folder() : path_(fs::temp_directory_path() / cat("graft-data-", ::getpid(), "-", count()++)) {
    fs::create_directories(path_);
  }
  ~Folder() { fs::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  fs::path file(const std::string& name, std::string_view content) const {
    write_file_atomically(path_ / name, content);
    return path_ / name;
  }

 private:
  static int& count() {
    static int value = 0;
    return value;
  }
  fs::path path_;
};

}  // namespace graft::core::fake
