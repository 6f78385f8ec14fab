#include <algorithm>
#include <iterator>
#include <memory>

#include "core/text/template/evaluation.hpp"

namespace graft::core::jinja {

/// A call of a macro that gets the statement's body as its caller.
Value Evaluator::call_with_body(const Stmt& s) {
  const Function caller{"caller", nullptr, &s, scopes_.size(), nullptr};
  List parts = values(*s.value, 0);
  at_ = s.at;
  const Function* macro = defined(parts[0]).function();
  if (macro == nullptr || macro->body == nullptr) {
    throw Failure("'call' needs the call of a macro");
  }
  Function with_caller = *macro;
  with_caller.caller = std::make_shared<const Value>(caller);
  Arguments arguments = arguments_of(*s.value, parts);
  return run_body(with_caller, arguments);
}

/// A macro, the body of a call block, or a recursive loop.
Value Evaluator::run_body(const Function& function, Arguments& a) {
  const Depth depth(depth_);
  const Stmt& s = *function.body;
  limits_.step(8);
  // The body sees the scopes that it stands in, not those that it is called from.
  const std::size_t seen = std::min(function.scopes, scopes_.size());
  std::vector<Dict> hidden(
      std::make_move_iterator(scopes_.begin() + static_cast<std::ptrdiff_t>(seen)),
      std::make_move_iterator(scopes_.end()));
  scopes_.resize(seen);
  std::string out;
  if (s.kind == StmtKind::loop) {
    const List items = iterate(a.require("iterable"), limits_);
    a.done();
    out = captured([&] { loop_over(s, items); });
  } else {
    scopes_.emplace_back();
    bind(function, a);
    unset(s.unset);
    out = captured([&] { block(s.body); });
  }
  scopes_.resize(seen);
  std::move(hidden.begin(), hidden.end(), std::back_inserter(scopes_));
  return out;
}

void Evaluator::bind(const Function& function, Arguments& a) {
  const Stmt& s = *function.body;
  List positional = a.rest();
  std::vector<std::pair<std::string, Value>> named = a.rest_named();
  Value caller = Undefined{"caller"};
  if (function.caller) caller = *function.caller;
  const std::size_t without_default = s.targets.size() - s.values.size();
  for (std::size_t i = 0; i < s.targets.size(); ++i) {
    const auto given = std::find_if(named.begin(), named.end(), [&](const auto& argument) {
      return argument.first == s.targets[i];
    });
    Value value = Undefined{cat("parameter ", s.targets[i])};
    if (i < positional.size()) {
      if (given != named.end()) throw Failure(cat("'", s.targets[i], "' is there twice"));
      value = positional[i];
    } else if (given != named.end()) {
      value = std::move(given->second);
      named.erase(given);
    } else if (i >= without_default) {
      value = eval(*s.values[i - without_default]);
    }
    scopes_.back().set(s.targets[i], std::move(value));
  }
  positional.erase(positional.begin(),
                   positional.begin() +
                       static_cast<std::ptrdiff_t>(std::min(s.targets.size(), positional.size())));
  Dict rest;
  for (auto& [name, value] : named) {
    if (name == "caller" && s.takes_caller && !function.caller) {
      caller = std::move(value);
    } else if (s.takes_kwargs) {
      rest.set(name, std::move(value));
    } else {
      throw Failure(cat("there is no argument '", name, "'"));
    }
  }
  if (function.caller && !s.takes_caller) {
    if (!s.takes_kwargs) throw Failure("the macro does not use its caller");
    rest.set("caller", *function.caller);
  }
  if (!positional.empty() && !s.takes_varargs) throw Failure("too many arguments");
  if (s.takes_varargs) scopes_.back().set("varargs", Value::tuple(std::move(positional)));
  if (s.takes_kwargs) scopes_.back().set("kwargs", std::move(rest));
  const bool own = std::find(s.targets.begin(), s.targets.end(), "caller") != s.targets.end();
  if (s.takes_caller && (!own || function.caller)) scopes_.back().set("caller", std::move(caller));
}

Value Evaluator::call_value(const Value& callee, Arguments& arguments) {
  const Value* value = &callee;
  if (const Loop* loop = value->loop(); loop != nullptr && loop->again) {
    value = loop->again.get();
    loop_depth_ = loop->depth;
  }
  if (const Counter* counter = value->counter()) return count(*counter, arguments);
  const Function* function = value->function();
  if (function == nullptr) throw Failure(cat("a ", callee.type_name(), " is no function"));
  return function->body != nullptr ? run_body(*function, arguments) : call(*function, arguments);
}

/// All parts but the first are arguments, the last ones of them named; "*" and "**" name what
/// holds more of them.
Arguments Evaluator::arguments_of(const Expr& e, const List& parts) {
  const std::size_t named_from = parts.size() - e.names.size();
  List positional(parts.begin() + 1, parts.begin() + static_cast<std::ptrdiff_t>(named_from));
  std::vector<std::pair<std::string, Value>> named;
  for (std::size_t i = 0; i < e.names.size(); ++i) {
    const Value& part = parts[named_from + i];
    if (e.names[i] == "*") {
      const List more = iterate(defined(part), limits_);
      positional.insert(positional.end(), more.begin(), more.end());
    } else if (e.names[i] == "**") {
      if (part.dict() == nullptr) throw Failure(cat("'**' needs a dict, not a ", part.type_name()));
      limits_.step(part.dict()->items.size() * (1 + named.size()));
      for (const auto& [name, value] : part.dict()->items) {
        if (!name.is_text())
          throw Failure(cat("a ", name.type_name(), " is no name of an argument"));
        add_named(named, *name.text(), value);
      }
    } else {
      add_named(named, e.names[i], part);
    }
  }
  return {std::move(positional), std::move(named), limits_};
}

void Evaluator::add_named(std::vector<std::pair<std::string, Value>>& named,
                          const std::string& name, const Value& value) {
  const auto same = [&](const auto& argument) { return argument.first == name; };
  if (std::any_of(named.begin(), named.end(), same))
    throw Failure(cat("'", name, "' is there twice"));
  named.emplace_back(name, value);
}

}  // namespace graft::core::jinja
