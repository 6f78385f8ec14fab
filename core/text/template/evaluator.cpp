#include "core/text/template/evaluator.hpp"

#include <algorithm>
#include <iterator>
#include <vector>

#include "core/text/template/python.hpp"

namespace graft::core::jinja {
namespace {

enum class Flow { next, skip, leave };

class Evaluator {
 public:
  explicit Evaluator(Dict variables) { scopes_.push_back(std::move(variables)); }

  Rendering run(const Template& whole) {
    try {
      unset(whole.unset);
      block(whole.statements);
    } catch (const RunFailure&) {
      throw;
    } catch (const Failure& failure) {
      throw RunFailure(failure.what(), at_);
    }
    return {std::move(out_), std::move(spans_), hidden_spans_};
  }

 private:
  /// Counts how deep blocks, macros and expressions are in each other: all of it is recursion here.
  class Depth {
   public:
    explicit Depth(int& depth) : depth_(depth) {
      if (++depth_ > deepest_run) throw Failure(cat("a recursion deeper than ", deepest_run));
    }
    ~Depth() { --depth_; }
    Depth(const Depth&) = delete;
    Depth& operator=(const Depth&) = delete;

   private:
    int& depth_;
  };

  Flow block(const Block& statements) {
    const Depth depth(depth_);
    for (const Stmt& statement : statements) {
      const Flow flow = execute(statement);
      if (flow != Flow::next) return flow;
    }
    return Flow::next;
  }

  Flow execute(const Stmt& s) {
    at_ = s.at;
    limits_.step();
    switch (s.kind) {
      case StmtKind::data:
        write(s.text);
        return Flow::next;
      case StmtKind::print:
        write(str(eval(*s.value), limits_));
        return Flow::next;
      case StmtKind::branch:
        return block(truth(eval(*s.value)) ? s.body : s.other);
      case StmtKind::loop:
        return loop(s);
      case StmtKind::assign:
        assign(s, eval(*s.value));
        return Flow::next;
      case StmtKind::capture:
        capture(s);
        return Flow::next;
      case StmtKind::skip:
        return Flow::skip;
      case StmtKind::leave:
        return Flow::leave;
      case StmtKind::generation:
        generation(s);
        return Flow::next;
      case StmtKind::macro:
        scopes_.back().set(s.text, Function{s.text, nullptr, &s, scopes_.size(), nullptr});
        return Flow::next;
      case StmtKind::call:
        write(str(call_with_body(s), limits_));
        return Flow::next;
      case StmtKind::filter:
        write(str(filtered(s), limits_));
        return Flow::next;
      case StmtKind::scope:
        with(s);
        return Flow::next;
    }
    return Flow::next;
  }

  void generation(const Stmt& s) {
    const std::size_t begin = out_.size();
    scopes_.emplace_back();
    unset(s.unset);
    block(s.body);
    scopes_.pop_back();
    if (captures_ > 0) {
      hidden_spans_ = true;
    } else {
      spans_.push_back({begin, out_.size()});
    }
  }

  /// Before the body of a scope.
  void unset(const std::vector<std::string>& names) {
    for (const std::string& name : names) set(name, Undefined{name});
  }

  void with(const Stmt& s) {
    Dict scope;
    for (std::size_t i = 0; i < s.targets.size(); ++i) {
      scope.set(s.targets[i], eval(*s.values[i]));
    }
    scopes_.push_back(std::move(scope));
    unset(s.unset);
    block(s.body);
    scopes_.pop_back();
  }

  /// What run() writes while it is at work.
  template <class Run>
  std::string captured(const Run& work) {
    std::string outer = std::exchange(out_, {});
    ++captures_;
    work();
    --captures_;
    return std::exchange(out_, std::move(outer));
  }

  std::string captured_body(const Stmt& s) {
    return captured([&] {
      scopes_.emplace_back();
      unset(s.unset);
      block(s.body);
      scopes_.pop_back();
    });
  }

  /// What a block writes, through the filters of the statement.
  Value filtered(const Stmt& s) {
    Value text = captured_body(s);
    if (!s.value) return text;
    std::swap(captured_text_, text);
    Value out = eval(*s.value);
    std::swap(captured_text_, text);
    return out;
  }

  /// A call of a macro that gets the statement's body as its caller.
  Value call_with_body(const Stmt& s) {
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
  Value run_body(const Function& function, Arguments& a) {
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
      const std::int64_t loops = std::exchange(loop_depth_, 0);
      scopes_.emplace_back();
      bind(function, a);
      unset(s.unset);
      out = captured([&] { block(s.body); });
      loop_depth_ = loops;
    }
    scopes_.resize(seen);
    std::move(hidden.begin(), hidden.end(), std::back_inserter(scopes_));
    return out;
  }

  void bind(const Function& function, Arguments& a) {
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
                     positional.begin() + static_cast<std::ptrdiff_t>(
                                              std::min(s.targets.size(), positional.size())));
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
    if (function.caller && !s.takes_caller) throw Failure("the macro does not use its caller");
    if (!positional.empty() && !s.takes_varargs) throw Failure("too many arguments");
    if (s.takes_varargs) scopes_.back().set("varargs", Value::tuple(std::move(positional)));
    if (s.takes_kwargs) scopes_.back().set("kwargs", std::move(rest));
    const bool own = std::find(s.targets.begin(), s.targets.end(), "caller") != s.targets.end();
    if (s.takes_caller && (!own || function.caller))
      scopes_.back().set("caller", std::move(caller));
  }

  void write(std::string_view text) {
    limits_.text(out_.size() + text.size() > longest_text ? out_.size() + text.size()
                                                          : text.size());
    out_ += text;
  }

  Flow loop(const Stmt& s) { return loop_over(s, iterate(eval(*s.value), limits_)); }

  /// What is left of the loop around it, where its else leaves or skips that.
  Flow loop_over(const Stmt& s, List items) {
    if (s.filter) {
      List kept;
      for (Value& item : items) {
        scopes_.emplace_back();
        assign(s, item);
        if (truth(eval(*s.filter))) kept.push_back(item);
        scopes_.pop_back();
      }
      items = std::move(kept);
    }
    if (items.empty()) {
      scopes_.emplace_back();
      unset(s.other_unset);
      const Flow flow = block(s.other);
      scopes_.pop_back();
      return flow;
    }
    Loop loop;
    loop.items = std::make_shared<const Value>(Value::list(std::move(items)));
    loop.depth = ++loop_depth_;
    loop.last_changed = limits_.keep(Value(Undefined{}));
    if (s.recursive) {
      loop.again =
          std::make_shared<const Value>(Function{"loop", nullptr, &s, scopes_.size(), nullptr});
    }
    const List& list = *loop.items->list();
    Flow flow = Flow::next;
    for (std::size_t i = 0; i < list.size() && flow != Flow::leave; ++i) {
      limits_.step();
      loop.index = i;
      scopes_.emplace_back();
      scopes_.back().set("loop", loop);
      at_ = s.at;
      assign(s, list[i]);
      unset(s.unset);
      flow = block(s.body);
      scopes_.pop_back();
    }
    --loop_depth_;
    return Flow::next;
  }

  void capture(const Stmt& s) { set(s.targets[0], filtered(s)); }

  void assign(const Stmt& s, const Value& value) {
    if (!s.unpacks) return set(s.targets[0], value);
    const List parts = iterate(value, limits_);
    if (parts.size() != s.targets.size()) {
      throw Failure(cat(parts.size(), " values for ", s.targets.size(), " names"));
    }
    for (std::size_t i = 0; i < parts.size(); ++i) set(s.targets[i], parts[i]);
  }

  void set(const std::string& target, Value value) {
    const std::size_t dot = target.find('.');
    if (dot == target.npos) {
      limits_.step(scopes_.back().items.size() / 16);
      return scopes_.back().set(target, std::move(value));
    }
    const std::string name = target.substr(0, dot);
    Dict* space = lookup(name).space();
    if (space == nullptr) throw Failure(cat("'", name, "' is no namespace"));
    if (target[dot + 1] == '_') throw Failure("names in a namespace must not begin with '_'");
    limits_.step(1 + space->items.size() / 16);
    space->set(target.substr(dot + 1), std::move(value));
  }

  Value lookup(const std::string& name) const {
    for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
      if (const Value* found = scope->find(name)) return *found;
    }
    if (is_global_function(name)) return Function{name, nullptr};
    if (name == "self" || name == "lipsum") throw Failure(cat("'", name, "' is not supported"));
    return Undefined{name};
  }

  Value eval(const Expr& e) {
    const Depth depth(depth_);
    limits_.step();
    at_ = e.at;
    switch (e.kind) {
      case ExprKind::constant:
        return e.value;
      case ExprKind::name:
        return lookup(e.text);
      case ExprKind::list:
        return Value::list(values(e, 0));
      case ExprKind::tuple:
        return Value::tuple(values(e, 0));
      case ExprKind::dict:
        return dict(e);
      case ExprKind::negate:
        return !truth(eval(*e.items[0]));
      case ExprKind::both: {
        Value left = eval(*e.items[0]);
        return truth(left) ? eval(*e.items[1]) : left;
      }
      case ExprKind::either: {
        Value left = eval(*e.items[0]);
        return truth(left) ? left : eval(*e.items[1]);
      }
      case ExprKind::condition:
        return eval(truth(eval(*e.items[1])) ? *e.items[0] : *e.items[2]);
      case ExprKind::compare:
        return compare(e);
      case ExprKind::captured:
        return captured_text_;
      default:
        return operation(e);
    }
  }

  /// Those that evaluate all their parts first.
  Value operation(const Expr& e) {
    List parts = values(e, 0);
    at_ = e.at;
    switch (e.kind) {
      case ExprKind::attribute:
        return attribute(parts[0], e.text);
      case ExprKind::subscript:
        return subscript(parts[0], parts[1]);
      case ExprKind::slice:
        return slice(defined(parts[0]), parts[1], parts[2], parts[3], limits_);
      case ExprKind::minus:
        return negative(parts[0]);
      case ExprKind::plus:
        return negative(negative(parts[0]));
      case ExprKind::arithmetic:
        return arithmetic(e.text, parts[0], parts[1], limits_);
      case ExprKind::concatenate: {
        std::string out;
        for (const Value& part : parts) {
          const std::string text = str(part, limits_);
          limits_.text(out.size() + text.size());
          out += text;
        }
        return out;
      }
      case ExprKind::filter: {
        if (e.filter == nullptr) throw Failure(cat("no filter named '", e.text, "'"));
        Arguments arguments = arguments_of(e, parts);
        return e.filter(parts[0], arguments);
      }
      case ExprKind::test: {
        if (e.test == nullptr) throw Failure(cat("no test named '", e.text, "'"));
        Arguments arguments = arguments_of(e, parts);
        return e.test(parts[0], arguments);
      }
      case ExprKind::call: {
        Arguments arguments = arguments_of(e, parts);
        return call_value(defined(parts[0]), arguments);
      }
      default:
        throw Failure("an expression that cannot be evaluated");
    }
  }

  Value call_value(const Value& callee, Arguments& arguments) {
    const Value* value = &callee;
    if (const Loop* loop = value->loop(); loop != nullptr && loop->again) value = loop->again.get();
    if (const Counter* counter = value->counter()) return count(*counter, arguments);
    const Function* function = value->function();
    if (function == nullptr) throw Failure(cat("a ", callee.type_name(), " is no function"));
    return function->body != nullptr ? run_body(*function, arguments) : call(*function, arguments);
  }

  static const Value& defined(const Value& value) {
    if (const Undefined* u = value.undefined()) throw Failure(cat("'", u->name, "' is undefined"));
    return value;
  }

  List values(const Expr& e, std::size_t first) {
    List out;
    out.reserve(e.items.size() - first);
    for (std::size_t i = first; i < e.items.size(); ++i) out.push_back(eval(*e.items[i]));
    return out;
  }

  Value dict(const Expr& e) {
    Dict out;
    for (std::size_t i = 0; i < e.items.size(); i += 2) {
      const Value key = eval(*e.items[i]);
      if (!key.is_text()) throw Failure(cat("a key must be a str, not a ", key.type_name()));
      out.set(*key.text(), eval(*e.items[i + 1]));
    }
    return out;
  }

  Value compare(const Expr& e) {
    Value left = eval(*e.items[0]);
    for (std::size_t i = 0; i < e.names.size(); ++i) {
      Value right = eval(*e.items[i + 1]);
      at_ = e.at;
      if (!holds(e.names[i], left, right)) return false;
      left = std::move(right);
    }
    return true;
  }

  bool holds(const std::string& op, const Value& a, const Value& b) {
    if (op == "==") return equal(a, b, limits_);
    if (op == "!=") return !equal(a, b, limits_);
    if (op == "in") return contains(b, a, limits_);
    if (op == "not in") return !contains(b, a, limits_);
    defined(a);
    defined(b);
    if (op == "<") return less(a, b, limits_);
    if (op == ">") return less(b, a, limits_);
    return op == "<=" ? less(a, b, limits_) || equal(a, b, limits_)
                      : less(b, a, limits_) || equal(a, b, limits_);
  }

  /// All parts but the first are arguments, the last ones of them named; "*" and "**" name what
  /// holds more of them.
  Arguments arguments_of(const Expr& e, const List& parts) {
    const std::size_t named_from = parts.size() - e.names.size();
    List positional(parts.begin() + 1, parts.begin() + static_cast<std::ptrdiff_t>(named_from));
    std::vector<std::pair<std::string, Value>> named;
    for (std::size_t i = 0; i < e.names.size(); ++i) {
      const Value& part = parts[named_from + i];
      if (e.names[i] == "*") {
        const List more = iterate(defined(part), limits_);
        positional.insert(positional.end(), more.begin(), more.end());
      } else if (e.names[i] == "**") {
        if (part.dict() == nullptr)
          throw Failure(cat("'**' needs a dict, not a ", part.type_name()));
        limits_.step(part.dict()->items.size() * (1 + named.size()));
        for (const auto& [name, value] : part.dict()->items) add_named(named, name, value);
      } else {
        add_named(named, e.names[i], part);
      }
    }
    return {std::move(positional), std::move(named), limits_};
  }

  static void add_named(std::vector<std::pair<std::string, Value>>& named, const std::string& name,
                        const Value& value) {
    const auto same = [&](const auto& argument) { return argument.first == name; };
    if (std::any_of(named.begin(), named.end(), same))
      throw Failure(cat("'", name, "' is there twice"));
    named.emplace_back(name, value);
  }

  std::vector<Dict> scopes_;
  std::vector<GeneratedSpan> spans_;
  bool hidden_spans_ = false;
  Value captured_text_;
  int captures_ = 0, depth_ = 0;
  std::string out_;
  Limits limits_;
  std::size_t at_ = 0;
  std::int64_t loop_depth_ = 0;
};

}  // namespace

Rendering run(const Template& whole, Dict variables) {
  return Evaluator(std::move(variables)).run(whole);
}

}  // namespace graft::core::jinja
