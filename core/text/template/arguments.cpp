#include <algorithm>

#include "core/text/template/builtins.hpp"
#include "core/text/template/python.hpp"

namespace graft::core::jinja {

Value Arguments::take(std::string_view name, Value otherwise) {
  const auto named = std::find_if(named_.begin(), named_.end(),
                                  [&](const auto& argument) { return argument.first == name; });
  if (next_ < positional_.size()) {
    if (named != named_.end()) throw Failure(cat("the argument '", name, "' is there twice"));
    return positional_[next_++];
  }
  if (named == named_.end()) return otherwise;
  Value out = std::move(named->second);
  named_.erase(named);
  return out;
}

Value Arguments::require(std::string_view name) {
  if (empty()) throw Failure(cat("the argument '", name, "' is missing"));
  Value out = take(name, Undefined{std::string(name)});
  if (const Undefined* undefined = out.undefined()) {
    throw Failure(cat("'", undefined->name, "' is undefined"));
  }
  return out;
}

std::string Arguments::text(std::string_view name) {
  const Value value = require(name);
  if (!value.is_text()) {
    throw Failure(cat("the argument '", name, "' must be a str, not a ", value.type_name()));
  }
  return *value.text();
}

std::string Arguments::text(std::string_view name, std::string_view otherwise) {
  const Value value = take(name, {});
  return value.is_none() ? std::string(otherwise) : str(value, limits);
}

std::int64_t Arguments::integer(std::string_view name, std::int64_t otherwise) {
  const Value value = take(name, otherwise);
  if (!value.is_integer()) {
    throw Failure(cat("the argument '", name, "' must be an int, not a ", value.type_name()));
  }
  return value.as_integer();
}

List Arguments::rest() {
  List out(positional_.begin() + static_cast<std::ptrdiff_t>(std::min(next_, positional_.size())),
           positional_.end());
  next_ = positional_.size();
  return out;
}

void Arguments::done() const {
  if (next_ < positional_.size()) throw Failure("too many arguments");
  if (!named_.empty()) throw Failure(cat("there is no argument '", named_.front().first, "'"));
}

}  // namespace graft::core::jinja
