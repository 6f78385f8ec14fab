#include "core/text/template/scopes.hpp"

#include <unordered_map>

namespace graft::core::jinja {
namespace {

/// The names that one scope reads and sets, without those of the scopes inside it.
class Scope {
 public:
  explicit Scope(const Scope* outer) : outer_(outer) {}

  void read(const std::string& name) {
    if (!knows(name)) known_.emplace(name, false);
  }
  void take(const std::string& name) { known_[name] = false; }
  void take(const Target& target) {
    if (!target.unpacks) return take(target.name);
    for (const Target& part : target.parts) take(part);
  }
  void set(const std::string& name) {
    if (known_.contains(name)) return;
    const bool unset = !in_branch_ && (outer_ == nullptr || !outer_->knows(name));
    known_.emplace(name, unset);
    if (unset) unset_.push_back(name);
  }

  void read(const Expr& e) {
    if (e.kind == ExprKind::name) read(e.text);
    for (const ExprPtr& item : e.items) read(*item);
  }
  void read(const ExprPtr& e) {
    if (e) read(*e);
  }

  void visit(const Block& block) {
    for (const Stmt& s : block) visit(s);
  }

  std::vector<std::string> unset() { return std::move(unset_); }

 private:
  bool knows(const std::string& name) const {
    return known_.contains(name) || (outer_ != nullptr && outer_->knows(name));
  }

  /// `ns.name = value` reads ns.
  void set(const Target& target) {
    for (const Target& part : target.parts) set(part);
    if (target.unpacks) return;
    const std::size_t dot = target.name.find('.');
    dot == target.name.npos ? set(target.name) : read(target.name.substr(0, dot));
  }

  void visit(const Stmt& s) {
    switch (s.kind) {
      case StmtKind::branch: {
        read(s.value);
        const bool outer = std::exchange(in_branch_, true);
        visit(s.body);
        visit(s.other);
        in_branch_ = outer;
        break;
      }
      case StmtKind::macro:
        set(s.text);
        break;
      case StmtKind::scope:
        for (const ExprPtr& value : s.values) read(value);
        break;
      case StmtKind::assign:
        read(s.value);
        set(s.target);
        break;
      case StmtKind::capture:
        set(s.target);
        break;
      default:  // the defaults of what a call's body takes are read inside it
        read(s.value);
        break;
    }
  }

  const Scope* outer_;
  std::unordered_map<std::string, bool> known_;
  std::vector<std::string> unset_;
  bool in_branch_ = false;
};

void inside(Block& block, const Scope& around);

/// The body of a statement that opens a scope.
std::vector<std::string> body_of(Block& body, Scope&& scope) {
  scope.visit(body);
  inside(body, scope);
  return scope.unset();
}

void statement(Stmt& s, const Scope& around) {
  Scope scope(&around);
  switch (s.kind) {
    case StmtKind::branch:
      inside(s.body, around);
      inside(s.other, around);
      return;
    case StmtKind::loop:
      scope.take("loop");
      scope.take(s.target);
      s.other_unset = body_of(s.other, Scope(&around));
      break;
    case StmtKind::macro:
    case StmtKind::call:
      for (const std::string& target : s.targets) scope.take(target);
      for (const ExprPtr& value : s.values) scope.read(value);
      if (s.takes_caller) scope.take("caller");
      if (s.takes_kwargs) scope.take("kwargs");
      if (s.takes_varargs) scope.take("varargs");
      break;
    case StmtKind::scope:
      for (const std::string& target : s.targets) scope.take(target);
      break;
    case StmtKind::capture:
    case StmtKind::filter:
    case StmtKind::generation:
    case StmtKind::named:
      break;
    default:
      return;
  }
  s.unset = body_of(s.body, std::move(scope));
}

void inside(Block& block, const Scope& around) {
  for (Stmt& s : block) statement(s, around);
}

}  // namespace

void find_unset_names(Template& whole) {
  whole.unset = body_of(whole.statements, Scope(nullptr));
}

}  // namespace graft::core::jinja
