#include "core/text/template/evaluator.hpp"

#include "core/text/template/evaluation.hpp"

namespace graft::core::jinja {

Rendering Evaluator::run(const Template& whole) {
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

Flow Evaluator::block(const Block& statements) {
  const Depth depth(depth_);
  for (const Stmt& statement : statements) {
    const Flow flow = execute(statement);
    if (flow != Flow::next) return flow;
  }
  return Flow::next;
}

Flow Evaluator::execute(const Stmt& s) {
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
      assign(s.target, eval(*s.value));
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
    case StmtKind::named:
      named(s);
      return Flow::next;
  }
  return Flow::next;
}

void Evaluator::generation(const Stmt& s) {
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

void Evaluator::with(const Stmt& s) {
  Dict scope;
  for (std::size_t i = 0; i < s.targets.size(); ++i) {
    scope.set(s.targets[i], eval(*s.values[i]));
  }
  scopes_.push_back(std::move(scope));
  unset(s.unset);
  block(s.body);
  scopes_.pop_back();
}

void Evaluator::named(const Stmt& s) {
  std::vector<Dict> hidden;
  if (!s.scoped) {
    hidden.assign(std::make_move_iterator(scopes_.begin() + 1),
                  std::make_move_iterator(scopes_.end()));
    scopes_.resize(1);
  }
  const std::size_t seen = scopes_.size();
  scopes_.emplace_back();
  unset(s.unset);
  block(s.body);
  scopes_.resize(seen);
  std::move(hidden.begin(), hidden.end(), std::back_inserter(scopes_));
}

std::string Evaluator::captured_body(const Stmt& s) {
  return captured([&] {
    scopes_.emplace_back();
    unset(s.unset);
    block(s.body);
    scopes_.pop_back();
  });
}

/// What a block writes, through the filters of the statement.
Value Evaluator::filtered(const Stmt& s) {
  Value text = captured_body(s);
  if (!s.value) return text;
  std::swap(captured_text_, text);
  Value out = eval(*s.value);
  std::swap(captured_text_, text);
  return out;
}

/// What is left of the loop around it, where its else leaves or skips that.
Flow Evaluator::loop_over(const Stmt& s, List items) {
  const std::int64_t depth = 1 + std::exchange(loop_depth_, 0);
  if (s.filter) {
    List kept;
    for (Value& item : items) {
      scopes_.emplace_back();
      assign(s.target, item);
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
  loop.depth = depth;
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
    assign(s.target, list[i]);
    unset(s.unset);
    flow = block(s.body);
    scopes_.pop_back();
  }
  return Flow::next;
}

void Evaluator::assign(const Target& target, const Value& value) {
  if (!target.unpacks) return set(target.name, value);
  const List parts = iterate(value, limits_);
  if (parts.size() != target.parts.size()) {
    throw Failure(cat(parts.size(), " values for ", target.parts.size(), " names"));
  }
  for (std::size_t i = 0; i < parts.size(); ++i) assign(target.parts[i], parts[i]);
}

void Evaluator::set(const std::string& target, Value value) {
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

Rendering run(const Template& whole, Dict variables) {
  return Evaluator(std::move(variables)).run(whole);
}

}  // namespace graft::core::jinja
