#include "core/text/template/evaluator.hpp"

#include <vector>

#include "core/text/template/python.hpp"

namespace graft::core::jinja {
namespace {

enum class Flow { next, skip, leave };

class Evaluator {
 public:
  explicit Evaluator(Dict variables) { scopes_.push_back(std::move(variables)); }

  std::string run(const Block& program) {
    try {
      block(program);
    } catch (const RunFailure&) {
      throw;
    } catch (const Failure& failure) {
      throw RunFailure(failure.what(), at_);
    }
    return std::move(out_);
  }

 private:
  Flow block(const Block& statements) {
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
        return block(s.body);
    }
    return Flow::next;
  }

  void write(std::string_view text) {
    limits_.text(out_.size() + text.size() > longest_text ? out_.size() + text.size()
                                                          : text.size());
    out_ += text;
  }

  Flow loop(const Stmt& s) {
    List items = iterate(eval(*s.value), limits_);
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
    if (items.empty()) return block(s.other);
    const auto shared = std::make_shared<const Value>(Value::list(std::move(items)));
    const List& list = *shared->list();
    Flow flow = Flow::next;
    ++loop_depth_;
    for (std::size_t i = 0; i < list.size() && flow != Flow::leave; ++i) {
      limits_.step();
      scopes_.emplace_back();
      scopes_.back().set("loop", Loop{shared, i, loop_depth_});
      at_ = s.at;
      assign(s, list[i]);
      flow = block(s.body);
      scopes_.pop_back();
    }
    --loop_depth_;
    return Flow::next;
  }

  void capture(const Stmt& s) {
    std::string outer = std::exchange(out_, {});
    scopes_.emplace_back();
    block(s.body);
    scopes_.pop_back();
    Value text(std::exchange(out_, std::move(outer)));
    set(s.targets[0], std::move(text));
  }

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
    if (dot == target.npos) return scopes_.back().set(target, std::move(value));
    const std::string name = target.substr(0, dot);
    Dict* space = lookup(name).space();
    if (space == nullptr) throw Failure(cat("'", name, "' is no namespace"));
    limits_.step();
    space->set(target.substr(dot + 1), std::move(value));
  }

  Value lookup(const std::string& name) const {
    for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
      if (const Value* found = scope->find(name)) return *found;
    }
    if (is_global_function(name)) return Function{name, nullptr};
    return Undefined{name};
  }

  Value eval(const Expr& e) {
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
        Arguments arguments = arguments_of(e, parts);
        return e.filter(parts[0], arguments);
      }
      case ExprKind::test: {
        Arguments arguments = arguments_of(e, parts);
        return e.test(parts[0], arguments);
      }
      case ExprKind::call: {
        const Function* function = defined(parts[0]).function();
        if (function == nullptr) throw Failure(cat("a ", parts[0].type_name(), " is no function"));
        Arguments arguments = arguments_of(e, parts);
        return call(*function, arguments);
      }
      default:
        throw Failure("an expression that cannot be evaluated");
    }
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

  /// All parts but the first are arguments, the last ones of them named.
  Arguments arguments_of(const Expr& e, const List& parts) {
    const auto named_from = static_cast<std::ptrdiff_t>(parts.size() - e.names.size());
    std::vector<std::pair<std::string, Value>> named;
    for (std::size_t i = 0; i < e.names.size(); ++i) {
      named.emplace_back(e.names[i], parts[static_cast<std::size_t>(named_from) + i]);
    }
    return {List(parts.begin() + 1, parts.begin() + named_from), std::move(named), limits_};
  }

  std::vector<Dict> scopes_;
  std::string out_;
  Limits limits_;
  std::size_t at_ = 0;
  std::int64_t loop_depth_ = 0;
};

}  // namespace

std::string run(const Block& program, Dict variables) {
  return Evaluator(std::move(variables)).run(program);
}

}  // namespace graft::core::jinja
