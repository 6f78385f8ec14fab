#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <numeric>

#include "cli/command.hpp"

namespace cli {
namespace {

std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row[b.size()];
}

const Option* find(const Command& command, std::string_view name) {
  for (const Option& o : command.options) {
    if (name == o.name) return &o;
  }
  return nullptr;
}

/// Top-level keys of RUN.json that may be given whole; all others have a dot.
bool is_override(std::string_view name) {
  for (const std::string_view key :
       {"model", "methods", "optimizer", "data", "train", "output", "task"}) {
    if (name == key) return true;
  }
  return name.find('.') != std::string_view::npos;
}

[[noreturn]] void unknown(const Command& command, const std::string& name) {
  std::vector<std::string> known{"help"};
  for (const Option& o : command.options) known.emplace_back(o.name);
  std::string hint = did_you_mean(name, known);
  if (!hint.empty()) hint.insert(hint.find('\'') + 1, "--");
  throw UsageError("unknown option '--" + name + "' of 'graft " + command.name + "'." + hint +
                   " 'graft " + command.name + " --help' lists them.");
}

}  // namespace

std::string did_you_mean(std::string_view word, const std::vector<std::string>& known) {
  const auto best = std::min_element(known.begin(), known.end(), [&](const auto& a, const auto& b) {
    return distance(word, a) < distance(word, b);
  });
  if (best == known.end() || distance(word, *best) > std::max(word.size(), best->size()) / 2) {
    return "";
  }
  return " Did you mean '" + *best + "'?";
}

std::string Options::value(const std::string& name, const std::string& otherwise) const {
  const auto found = values.find(name);
  return found == values.end() ? otherwise : found->second.back();
}

const std::vector<std::string>& Options::all(const std::string& name) const {
  static const std::vector<std::string> none;
  const auto found = values.find(name);
  return found == values.end() ? none : found->second;
}

long long Options::integer(const std::string& name, long long otherwise, long long minimum) const {
  if (!has(name)) return otherwise;
  const std::string text = value(name);
  char* end = nullptr;
  errno = 0;
  const long long number = std::strtoll(text.c_str(), &end, 10);
  if (errno == ERANGE && number > 0) {
    throw UsageError("--" + name + " is '" + text + "'; at most " + std::to_string(number) +
                     " is expected.");
  }
  if (text.empty() || *end || number < minimum) {
    throw UsageError("--" + name + " is '" + text + "'; a whole number of at least " +
                     std::to_string(minimum) + " is expected.");
  }
  return number;
}

double Options::number(const std::string& name, double otherwise) const {
  if (!has(name)) return otherwise;
  const std::string text = value(name);
  char* end = nullptr;
  const double number = std::strtod(text.c_str(), &end);
  if (text.empty() || *end || !std::isfinite(number)) {
    throw UsageError("--" + name + " is '" + text + "'; a number is expected.");
  }
  return number;
}

Options parse(const Command& command, const std::vector<std::string>& arguments) {
  Options options;
  options.raw = arguments;
  bool only_positional = false;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    if (only_positional || argument.rfind("-", 0) != 0 || argument == "-") {
      options.positional.push_back(argument);
      continue;
    }
    if (argument == "--") {
      only_positional = true;
      continue;
    }
    if (argument == "-h") {
      options.values["help"].emplace_back();
      continue;
    }
    if (argument.rfind("--", 0) != 0) {
      throw UsageError("unknown option '" + argument + "': options begin with two dashes.");
    }
    const std::size_t equals = argument.find('=');
    const std::string name = argument.substr(2, equals == std::string::npos ? equals : equals - 2);
    const Option* option = find(command, name);
    const bool override_ = !option && command.overrides && is_override(name);
    if (name == "help") {
      options.values["help"].emplace_back();
      continue;
    }
    if (!option && !override_) unknown(command, name);
    const bool flag = option && !option->value;
    if (flag && equals != std::string::npos) {
      throw UsageError("--" + name + " takes no value.");
    }
    std::string value;
    if (equals != std::string::npos) {
      value = argument.substr(equals + 1);
    } else if (!flag) {
      if (i + 1 == arguments.size() || arguments[i + 1].rfind("--", 0) == 0) {
        throw UsageError("--" + name + " needs a value" +
                         (i + 1 == arguments.size()
                              ? std::string(".")
                              : "; one that begins with two dashes is written --" + name + "=" +
                                    arguments[i + 1] + "."));
      }
      value = arguments[++i];
    }
    if (override_) {
      options.overrides.emplace_back(name, value);
    } else {
      options.values[name].push_back(value);
    }
  }
  if (options.has("help")) return options;
  const std::size_t n = options.positional.size();
  if (n < command.least || n > command.most) {
    throw UsageError(
        n < command.least
            ? "'graft " + std::string(command.name) + "' needs " + command.arguments + "."
            : "'" + options.positional[command.most] + "' is one argument too many for 'graft " +
                  command.name + " " + command.arguments + "'.");
  }
  return options;
}

std::string help_of(const Command& command) {
  std::string text = "graft " + std::string(command.name) + " " + command.arguments + "\n\n" +
                     command.summary + ".\n";
  if (*command.details) text += "\n" + std::string(command.details) + "\n";
  text += "\nOptions:\n";
  for (const Option& o : command.options) {
    std::string left = "  --" + std::string(o.name) + (o.value ? " " + std::string(o.value) : "");
    left.resize(std::max<std::size_t>(left.size() + 2, 29), ' ');
    text += left + o.help + "\n";
  }
  text += "\nExample:\n  " + std::string(command.example) + "\n";
  return text;
}

}  // namespace cli
