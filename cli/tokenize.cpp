// graft tokenize and graft template.
#include <cstdint>
#include <limits>
#include <sstream>

#include "cli/lines.hpp"
#include "cli/terminal.hpp"

namespace cli {
namespace {

/// "504 3575", "504,3575" or "[504, 3575]"
std::vector<std::int32_t> ids_of_text(std::string text) {
  for (char& c : text) {
    if (c == ',' || c == '[' || c == ']') c = ' ';
  }
  std::vector<std::int32_t> ids;
  std::istringstream stream(text);
  for (std::string word; stream >> word;) {
    std::size_t used = 0;
    std::int32_t id = -1;
    try {
      id = std::stoi(word, &used);
    } catch (const std::exception&) {
      used = 0;
    }
    if (used != word.size()) {
      throw UsageError("'" + word + "' is no token id; numbers like '504 3575' are expected.");
    }
    ids.push_back(id);
  }
  return ids;
}

std::vector<std::int32_t> ids_of_line(const Json& line, const std::string& where) {
  const auto found = line.find("input_ids");
  if (found == line.end() || !found->is_array()) {
    throw Failure(where + ": \"input_ids\", a list of numbers, is expected.");
  }
  std::vector<std::int32_t> ids;
  for (const Json& id : *found) {
    if (!id.is_number_integer() || id < std::numeric_limits<std::int32_t>::min() ||
        id > std::numeric_limits<std::int32_t>::max()) {
      throw Failure(where + ": " + to_text(id) + " in \"input_ids\" is no token id.");
    }
    ids.push_back(id);
  }
  return ids;
}

std::string encode_line(const graft::Tokenizer& tokenizer, const Json& line,
                        const std::string& where, bool special) {
  const auto text = line.find("text");
  if (text == line.end() || !text->is_string()) {
    throw Failure(where + ": \"text\", a string, is expected.");
  }
  Json answer = Json::parse(tokenizer.encode(text->get_ref<const std::string&>(), special));
  answer.erase("pieces");
  return to_text(answer);
}

int tokenize_lines(const graft::Tokenizer& tokenizer, const Options& options) {
  LineReader input(options.value("input"));
  LineWriter output(options.value("output"));
  for (std::string text; input.next(text);) {
    const std::string where = input.where();
    const Json line = parse_line(text, where);
    output.write(at_line(where, "", [&] {
      if (!options.has("decode")) {
        return encode_line(tokenizer, line, where, options.has("special"));
      }
      const std::string decoded =
          tokenizer.decode(ids_of_line(line, where), options.has("skip-special"));
      return to_text({{"text", decoded}});
    }));
  }
  output.finish();
  return kDone;
}

}  // namespace

int tokenize(const Options& options) {
  const bool text = options.positional.size() == 2;
  if (text == options.has("input")) {
    throw UsageError("'graft tokenize MODEL' needs one of TEXT and --input IN.jsonl.");
  }
  if (options.has("skip-special") && !options.has("decode")) {
    throw UsageError("--skip-special goes with --decode.");
  }
  const graft::Engine engine = open_engine(options);
  const graft::Tokenizer tokenizer(engine, options.positional[0]);
  if (!text) return tokenize_lines(tokenizer, options);
  LineWriter output(options.value("output"));
  if (options.has("decode")) {
    const std::string decoded =
        tokenizer.decode(ids_of_text(options.positional[1]), options.has("skip-special"));
    output.write(options.has("json") ? to_text({{"text", decoded}}) : decoded);
    output.finish();
    return kDone;
  }
  const std::string answer = tokenizer.encode(options.positional[1], options.has("special"));
  if (options.has("json")) {
    output.write(answer);
    output.finish();
    return kDone;
  }
  const Json json = Json::parse(answer);
  for (std::size_t i = 0; i < json["input_ids"].size(); ++i) {
    output.write(to_text(json["input_ids"][i]) + "\t" + json["pieces"][i].get<std::string>());
  }
  output.finish();
  return kDone;
}

int apply_template(const Options& options) {
  if (!options.has("input")) {
    throw UsageError("'graft template' needs --input IN.jsonl ('-' is standard input).");
  }
  const graft::Engine engine = open_engine(options);
  const graft::Tokenizer tokenizer(engine, options.positional[0]);
  LineReader input(options.value("input"));
  LineWriter output(options.value("output"));
  for (std::string line; input.next(line);) {
    parse_line(line, input.where());
    try {
      output.write(to_text({{"text", tokenizer.apply_template(line)}}));
    } catch (const graft::Error& e) {
      if (e.status() != GRAFT_E_INVALID) throw;  // there is no template at all
      output.write(to_text({{"error", e.what()}}));
    }
  }
  return kDone;
}

}  // namespace cli
